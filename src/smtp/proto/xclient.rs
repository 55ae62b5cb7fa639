//! XCLIENT: a proxy or a test tells whom it speaks for
//! (<http://www.postfix.org/XCLIENT_README.html>).
//!
//! Here it is read; who may say it, and what becomes of it, is the server's. Names and values are
//! kept in types that cannot break a line, a log or a header field.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    command::{ClientName, Command},
    parameters::{Parameter, parameters},
    parse::{Parsed, syntax},
    reply::{Detail, Reply},
};
use crate::mail::dsn::xtext;

/// What is told of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// ADDR.
    pub address: Told<IpAddr>,
    /// PORT.
    pub port: Told<u16>,
    /// NAME: what the DNS calls its address.
    pub name: Told<ClientName>,
    /// HELO: what it calls itself.
    pub helo: Told<ClientName>,
    /// PROTO: whether it said EHLO.
    pub extended: Told<bool>,
    /// LOGIN: as whom it logged in.
    pub login: Told<String>,
    /// DESTADDR.
    pub local_address: Told<IpAddr>,
    /// DESTPORT.
    pub local_port: Told<u16>,
}

/// One attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told<T> {
    /// Nothing was said: what was known still holds.
    #[default]
    Unsaid,
    /// The proxy does not know it, for now or for good.
    Unknown,
    /// This.
    Is(T),
}

impl<T> Told<T> {
    /// What is known now, after `before` was.
    pub fn or(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Unsaid => before,
            Self::Unknown => None,
            Self::Is(value) => Some(value),
        }
    }
}

/// The attributes that every port takes, as EHLO lists them; with [`LOGIN`] where people log in.
pub const ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";
/// The attribute that is for submission.
pub const LOGIN: &str = "LOGIN";

/// The argument of XCLIENT.
pub fn xclient(argument: &str) -> Parsed {
    let attributes = parameters(argument)?;
    if attributes.is_empty() {
        return Err(syntax(
            "the form is XCLIENT attribute=value ..., as EHLO lists them",
        ));
    }
    let mut told = Introduction::default();
    for attribute in &attributes {
        told.take(attribute)?;
    }
    Ok(Command::Xclient(Box::new(told)))
}

impl Introduction {
    fn take(&mut self, attribute: &Parameter<'_>) -> Result<(), Reply> {
        let value = attribute.value.unwrap_or_default();
        match attribute.keyword.to_ascii_uppercase().as_str() {
            "ADDR" => self.address = told(value, address)?,
            "DESTADDR" => self.local_address = told(value, address)?,
            "PORT" => self.port = told(value, port)?,
            "DESTPORT" => self.local_port = told(value, port)?,
            "NAME" => self.name = told(value, ClientName::new)?,
            "HELO" => self.helo = told(value, ClientName::new)?,
            "PROTO" => self.extended = told(value, is_extended)?,
            LOGIN => self.login = told(value, login)?,
            _ => return Err(syntax("an attribute is not known here; EHLO lists what is")),
        }
        Ok(())
    }
}

/// A value, or that it is not known.
fn told<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Result<Told<T>, Reply> {
    let wrong = || {
        Reply::new(
            501,
            Detail(5, 4),
            "an attribute has a value that is none of its",
        )
    };
    // Postfix says so of what it looked up in vain, and of what it could not look up.
    if ["[UNAVAILABLE]", "[TEMPUNAVAIL]"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
    {
        return Ok(Told::Unknown);
    }
    let text = xtext(value).and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.filter(|text| !text.chars().any(char::is_control));
    text.and_then(|text| read(&text))
        .map(Told::Is)
        .ok_or_else(wrong)
}

/// IPv4, or IPv6 behind its prefix; some leave that out.
fn address(text: &str) -> Option<IpAddr> {
    let six = text.split_at_checked(IPV6.len());
    match six.filter(|(prefix, _)| prefix.eq_ignore_ascii_case(IPV6)) {
        Some((_, rest)) => rest
            .parse::<Ipv6Addr>()
            .ok()
            .map(|six| IpAddr::from(six).to_canonical()),
        None => text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()),
    }
}

fn port(text: &str) -> Option<u16> {
    // `parse` would take a sign.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn is_extended(text: &str) -> Option<bool> {
    match text.to_ascii_uppercase().as_str() {
        "SMTP" => Some(false),
        "ESMTP" => Some(true),
        _ => None,
    }
}

fn login(text: &str) -> Option<String> {
    (text.len() <= LOGIN_BYTES_MAX).then(|| text.to_owned())
}

const IPV6: &str = "IPV6:";
/// RFC 5321 4.5.3.1.3: no address is longer.
const LOGIN_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(argument: &str) -> Introduction {
        match xclient(argument) {
            Ok(Command::Xclient(told)) => *told,
            other => panic!("{argument}: {other:?}"),
        }
    }

    #[test]
    fn attributes_tell_of_a_client_what_is_known() {
        let told = read("NAME=spike.example ADDR=168.100.189.2");
        assert_eq!(
            told.name,
            Told::Is(ClientName::new("spike.example").unwrap())
        );
        assert_eq!(told.address, Told::Is("168.100.189.2".parse().unwrap()));
        assert_eq!(told.port, Told::Unsaid);
        let told = read("addr=IPV6:2001:db8::1 port=7 DestAddr=192.0.2.1 DESTPORT=25 proto=smtp");
        assert_eq!(told.address, Told::Is("2001:db8::1".parse().unwrap()));
        assert_eq!((told.port, told.local_port), (Told::Is(7), Told::Is(25)));
        assert_eq!(told.local_address, Told::Is("192.0.2.1".parse().unwrap()));
        assert_eq!(told.extended, Told::Is(false));
        let told = read("NAME=[UNAVAILABLE] ADDR=[unavailable] HELO=[TEMPUNAVAIL] LOGIN=a+2Bb@c");
        assert_eq!((told.name, told.address), (Told::Unknown, Told::Unknown));
        assert_eq!(told.helo, Told::Unknown);
        assert_eq!(told.login, Told::Is("a+b@c".to_owned()));
        let told = read("ADDR=::ffff:192.0.2.9 PROTO=ESMTP HELO=x+28y+29");
        assert_eq!(told.address, Told::Is("192.0.2.9".parse().unwrap()));
        assert_eq!(told.helo, Told::Is(ClientName::new("x?y?").unwrap()));
    }

    #[test]
    fn what_is_known_stays_until_something_else_is_told() {
        assert_eq!(Told::Unsaid.or(Some(1)), Some(1));
        assert_eq!(Told::Unknown.or(Some(1)), None);
        assert_eq!(Told::Is(2).or(Some(1)), Some(2));
    }

    #[test]
    fn what_is_no_value_of_its_attribute_is_refused() {
        for argument in [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=localhost",
            "ADDR=192.0.2.1.5",
            "ADDR=[192.0.2.1]",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=IPV6:[2001:db8::1]",
            "ADDR=192.0.2.1 ADDR=192.0.2.2",
            "PORT=+7",
            "PORT=65536",
            "PORT=7a",
            "PORT=-1",
            "PROTO=LMTP",
            "PROTO=",
            "HELO=a+0D+0ARCPT",
            "NAME=a+00b",
            "NAME=a+b",
            "LOGIN=a+0Ab",
            "FOO=bar",
            "=x",
            &format!("LOGIN={}", "x".repeat(255)),
        ] {
            let reply = xclient(argument).unwrap_err();
            assert_eq!(reply.code(), 501, "{argument:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            text in "( ?(ADDR|NAME|PORT|HELO|PROTO|LOGIN)?=?[0-9A-Fa-f:.+=\\[\\]-]{0,12}){0,6}",
        ) {
            let _ = xclient(&text);
        }
    }
}
