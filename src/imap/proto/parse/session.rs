//! Arguments of the commands about the session itself: LOGIN, AUTHENTICATE, ENABLE, ID, and those
//! without any.

use super::{Mistake, Parsed, Scanner, scan::utf8};
use crate::{
    base::secret::Secret,
    imap::proto::{
        command::CommandBody,
        limits::{ID_FIELD_BYTES_MAX, ID_PAIRS_MAX, ID_VALUE_BYTES_MAX},
    },
    wire::{MechanismName, mechanism::initial_response},
};

macro_rules! without_arguments {
    ($($(#[$doc:meta])* $name:ident => $body:ident,)*) => {
        $($(#[$doc])*
        pub fn $name(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
            scanner.end()?;
            Ok(CommandBody::$body)
        })*
    };
}

without_arguments! {
    /// `CAPABILITY`
    capability => Capability,
    /// `NOOP`
    noop => Noop,
    /// `LOGOUT`
    logout => Logout,
    /// `STARTTLS`
    start_tls => StartTls,
    /// `NAMESPACE`
    namespace => Namespace,
    /// `IDLE`
    idle => Idle,
    /// `DONE`
    done => Done,
    /// `CHECK`
    check => Check,
    /// `CLOSE`
    close => Close,
    /// `UNSELECT`
    unselect => Unselect,
    /// `EXPUNGE`
    expunge => Expunge,
    /// `UNAUTHENTICATE` (RFC 8437 3)
    unauthenticate => Unauthenticate,
}

/// RFC 3501 9: `"LOGIN" SP userid SP password`
pub fn login(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let user = scanner.text()?;
    scanner.space()?;
    let password = Secret::new(scanner.text()?);
    scanner.end()?;
    Ok(CommandBody::Login { user, password })
}

/// RFC 4959 3: `"AUTHENTICATE" SP auth-type [SP (base64 / "=")]`
pub fn authenticate(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mechanism = MechanismName::parse(utf8(scanner.atom()?)?)
        .ok_or_else(|| Mistake::bad("this is no name of a mechanism; CAPABILITY lists them"))?;
    let initial = if scanner.is_at_end() {
        None
    } else {
        scanner.space()?;
        let text = scanner.run(|byte| byte != b' ');
        let response = initial_response(text);
        Some(response.ok_or_else(|| Mistake::bad("an initial response is base64, or ="))?)
    };
    scanner.end()?;
    Ok(CommandBody::Authenticate { mechanism, initial })
}

/// RFC 4978 5: `"COMPRESS" SP algorithm`
pub fn compress(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    if !scanner.atom()?.eq_ignore_ascii_case(b"DEFLATE") {
        return Err(Mistake::bad("COMPRESS knows DEFLATE and nothing else"));
    }
    scanner.end()?;
    Ok(CommandBody::Compress)
}

/// RFC 5161 4: `"ENABLE" 1*(SP capability)`
pub fn enable(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mut capabilities = Vec::new();
    while capabilities.is_empty() || !scanner.is_at_end() {
        scanner.space()?;
        let capability = utf8(scanner.atom()?)?.to_ascii_uppercase();
        if !capabilities.contains(&capability) && capabilities.len() < ENABLED_MAX {
            capabilities.push(capability);
        }
    }
    Ok(CommandBody::Enable(capabilities))
}

/// Unknown capabilities are ignored (RFC 5161 3.1), and there are not so many known ones.
const ENABLED_MAX: usize = 32;

/// RFC 2971 4: `"ID" SP id_params_list`
pub fn id(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mut pairs = Vec::new();
    scanner.space()?;
    if scanner.eat(b'(') {
        while !scanner.eat(b')') {
            if !pairs.is_empty() {
                scanner.space()?;
            }
            pairs.push(id_pair(scanner)?);
            if pairs.len() > ID_PAIRS_MAX {
                return Err(Mistake::bad("an ID may have 30 fields"));
            }
        }
    } else if !scanner.word().eq_ignore_ascii_case(b"NIL") {
        return Err(Mistake::bad(
            "a list of fields and values, or NIL, is expected",
        ));
    }
    scanner.end()?;
    Ok(CommandBody::Id(pairs))
}

fn id_pair(scanner: &mut Scanner<'_>) -> Parsed<(String, Option<String>)> {
    let field = scanner.string()?;
    scanner.space()?;
    let value = scanner.nstring()?;
    let value_bytes = value.as_ref().map_or(0, |value| value.len());
    // RFC 2971 3.3
    if field.len() > ID_FIELD_BYTES_MAX || value_bytes > ID_VALUE_BYTES_MAX {
        return Err(Mistake::bad("a field of an ID has 30 octets, a value 1024"));
    }
    let field = utf8(&field)?.to_owned();
    let value = value
        .map(|value| utf8(&value).map(str::to_owned))
        .transpose()?;
    Ok((field, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::parse::tests::{assert_all_refused, parsed};

    fn login_of(user: &str, password: &str) -> Option<CommandBody> {
        Some(CommandBody::Login {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        })
    }

    #[test]
    fn commands_without_arguments_take_none() {
        for (name, body) in [
            ("CAPABILITY", CommandBody::Capability),
            ("NOOP", CommandBody::Noop),
            ("LOGOUT", CommandBody::Logout),
            ("STARTTLS", CommandBody::StartTls),
            ("NAMESPACE", CommandBody::Namespace),
            ("IDLE", CommandBody::Idle),
            ("CHECK", CommandBody::Check),
            ("CLOSE", CommandBody::Close),
            ("UNSELECT", CommandBody::Unselect),
            ("EXPUNGE", CommandBody::Expunge),
        ] {
            assert_eq!(parsed(name), Some(body), "{name}");
            assert_all_refused(&[&format!("{name} x"), &format!("{name} ")]);
        }
    }

    #[test]
    fn login_takes_two_strings() {
        assert_eq!(parsed("LOGIN alice pw"), login_of("alice", "pw"));
        assert_eq!(
            parsed("LOGIN \"al ice\" \"p\\\"w\""),
            login_of("al ice", "p\"w")
        );
        assert_eq!(
            parsed("LOGIN a@b.example \"\u{fc}\""),
            login_of("a@b.example", "\u{fc}")
        );
        assert_all_refused(&[
            "LOGIN",
            "LOGIN ",
            "LOGIN alice",
            "LOGIN alice ",
            "LOGIN  alice pw",
            "LOGIN alice  pw",
            "LOGIN alice pw x",
            "LOGIN alice pw ",
            "LOGIN alice (pw)",
            "LOGIN alice p\u{fc}",
        ]);
    }

    #[test]
    fn authenticate_takes_a_mechanism_and_perhaps_a_response() {
        let asked = |mechanism: &str, initial: Option<&'static [u8]>| {
            Some(CommandBody::Authenticate {
                mechanism: MechanismName::parse(mechanism).unwrap(),
                initial: initial.map(|octets| Secret::new(octets.into())),
            })
        };
        assert_eq!(parsed("AUTHENTICATE PLAIN"), asked("PLAIN", None));
        assert_eq!(parsed("AUTHENTICATE plain ="), asked("plain", Some(b"")));
        assert_eq!(
            parsed("AUTHENTICATE PLAIN AGFsaWNlAHB3"),
            asked("PLAIN", Some(b"\0alice\0pw"))
        );
        assert_all_refused(&[
            "AUTHENTICATE",
            "AUTHENTICATE ",
            "AUTHENTICATE PLAIN ",
            "AUTHENTICATE PLAIN %%%",
            "AUTHENTICATE PLAIN AGFsaWNlAHB",
            "AUTHENTICATE PLAIN = =",
            "AUTHENTICATE \"PLAIN\"",
            // What may be a password is no name, and not kept.
            "AUTHENTICATE AGFsaWNlAHB3AA==",
            "AUTHENTICATE A23456789012345678901",
        ]);
    }

    #[test]
    fn enable_takes_capabilities() {
        let enabled = |names: &[&str]| {
            Some(CommandBody::Enable(
                names.iter().map(|name| (*name).to_owned()).collect(),
            ))
        };
        assert_eq!(parsed("ENABLE condstore"), enabled(&["CONDSTORE"]));
        assert_eq!(
            parsed("ENABLE UTF8=ACCEPT X x"),
            enabled(&["UTF8=ACCEPT", "X"])
        );
        assert_all_refused(&["ENABLE", "ENABLE ", "ENABLE X ", "ENABLE (X)"]);
    }

    #[test]
    fn id_takes_pairs_or_nil() {
        assert_eq!(parsed("ID NIL"), Some(CommandBody::Id(vec![])));
        assert_eq!(parsed("ID ()"), Some(CommandBody::Id(vec![])));
        assert_eq!(
            parsed("ID (\"name\" \"x\" \"version\" nil)"),
            Some(CommandBody::Id(vec![
                ("name".to_owned(), Some("x".to_owned())),
                ("version".to_owned(), None),
            ]))
        );
        assert_all_refused(&[
            "ID",
            "ID name",
            "ID (\"name\")",
            "ID (\"name\" x)",
            "ID (NIL \"x\")",
            "ID (\"name\" \"x\" )",
            "ID (\"name\" \"x\"",
        ]);
    }

    #[test]
    fn an_id_is_bounded() {
        for (pairs, ok) in [(ID_PAIRS_MAX, true), (ID_PAIRS_MAX + 1, false)] {
            let pairs = vec!["\"a\" \"b\""; pairs].join(" ");
            assert_eq!(parsed(&format!("ID ({pairs})")).is_some(), ok);
        }
        for (field, value, ok) in [
            (ID_FIELD_BYTES_MAX, ID_VALUE_BYTES_MAX, true),
            (ID_FIELD_BYTES_MAX + 1, 1, false),
            (1, ID_VALUE_BYTES_MAX + 1, false),
        ] {
            let text = format!("ID (\"{}\" \"{}\")", "f".repeat(field), "v".repeat(value));
            assert_eq!(parsed(&text).is_some(), ok);
        }
    }
}
