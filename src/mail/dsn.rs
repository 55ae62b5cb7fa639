//! What senders ask to be told about their messages: the parameters of RFC 3461 4, with the
//! internationalized addresses of RFC 6533 3.
//!
//! Pure. Texts are kept as they came, because they are passed on as they came (RFC 3461 5.2.1), and
//! are decoded for reports. Whatever one of these types holds is printable ASCII, encoded and
//! decoded alike, so it can stand in a command and in a field of a report. What is done about the
//! wishes is not decided here.

use std::fmt::{self, Write};

use super::address::Address;

/// RFC 3461 4.3: what of the message goes back with the report of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

impl Ret {
    /// From the value of RET.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Headers]
            .into_iter()
            .find(|ret| text.eq_ignore_ascii_case(ret.as_str()))
    }

    /// As the value of RET.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

/// RFC 3461 4.4: the sender's own name for the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// From the value of ENVID, which is xtext.
    pub fn parse(text: &str) -> Option<Self> {
        let sound = text.len() <= ENVELOPE_ID_BYTES_MAX && printable(text).is_some();
        sound.then(|| Self(text.into()))
    }

    /// As the value of ENVID.
    pub fn as_xtext(&self) -> &str {
        &self.0
    }

    /// For people and fields.
    pub fn decoded(&self) -> String {
        printable(&self.0).unwrap_or_default()
    }
}

/// RFC 3461 4.2: the recipient as the sender named him, whatever became of the address since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(Box<str>);

impl OriginalRecipient {
    /// From the value of ORCPT: a type of address and an address. One of type `utf-8` that was
    /// written with characters beyond ASCII is kept in the form that every server takes (RFC 6533
    /// 3).
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        if text.len() > ORIGINAL_BYTES_MAX || !is_atom(kind) || address.is_empty() {
            return None;
        }
        if kind.eq_ignore_ascii_case(UTF_8) {
            let address = utf8_address(address)?;
            return Some(Self(format!("{kind};{address}").into()));
        }
        printable(address).map(|_| Self(text.into()))
    }

    /// From what [`OriginalRecipient::as_str`] gave, which may be longer than what may be said.
    pub fn restored(text: &str) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        let sound = is_atom(kind) && !address.is_empty();
        let sound = sound && address.bytes().all(|b| b.is_ascii_graphic() && b != b'=');
        sound.then(|| Self(text.into()))
    }

    /// As the value of ORCPT.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a field of a report has it (RFC 3464 2.3.1, RFC 6533 3).
    pub fn typed(&self) -> String {
        match self.0.split_once(';') {
            Some((kind, address)) if kind.eq_ignore_ascii_case(UTF_8) => {
                format!("{kind}; {address}")
            }
            Some((kind, address)) => {
                format!("{kind}; {}", printable(address).unwrap_or_default())
            }
            None => String::new(),
        }
    }
}

/// RFC 3461 4.1: when a sender wants to hear of a recipient; none of them is NEVER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// On success.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// When it takes long.
    pub delay: bool,
}

impl Notify {
    /// Under no condition.
    pub const NEVER: Self = Self {
        success: false,
        failure: false,
        delay: false,
    };

    /// From the value of NOTIFY.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut notify = Self::NEVER;
        for word in text.split(',') {
            let flag = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut notify.success,
                "FAILURE" => &mut notify.failure,
                "DELAY" => &mut notify.delay,
                // NEVER stands alone.
                _ => return None,
            };
            *flag = true;
        }
        Some(notify)
    }

    /// What is said of two wishes at once about one copy: whatever either of them wants. Who said
    /// nothing wants to hear of failures and delays (RFC 3461 4.1).
    pub fn either(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let silent = Self {
            success: false,
            failure: true,
            delay: true,
        };
        let (a, b) = match (one, other) {
            (None, None) => return None,
            (one, other) => (one.unwrap_or(silent), other.unwrap_or(silent)),
        };
        Some(Self {
            success: a.success || b.success,
            failure: a.failure || b.failure,
            delay: a.delay || b.delay,
        })
    }
}

/// As the value of NOTIFY.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let mut between = "";
        for (_, word) in words.into_iter().filter(|(asked, _)| *asked) {
            write!(f, "{between}{word}")?;
            between = ",";
        }
        if between.is_empty() {
            f.write_str("NEVER")?;
        }
        Ok(())
    }
}

/// An address with its type, as fields of reports have it; RFC 6533 3 utf-8-addr-xtext where ASCII
/// does not do.
pub fn typed(address: &Address) -> String {
    let text = address.to_string();
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    let mut out = format!("{UTF_8}; ");
    text.chars().for_each(|c| push_utf8(&mut out, c));
    out
}

/// RFC 3461 4 xtext decoded: printable, `+` only before two upper-case hexadecimal digits.
pub fn xtext(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || match bytes.next()? {
            b @ b'0'..=b'9' => Some(b - b'0'),
            b @ b'A'..=b'F' => Some(b - b'A' + 10),
            _ => None,
        };
        out.push(match byte {
            b'+' => digit()? * 16 + digit()?,
            b'=' => return None,
            other if other.is_ascii_graphic() => other,
            _ => return None,
        });
    }
    (!text.is_empty()).then_some(out)
}

/// RFC 3461 4.2, 4.4: xtext of graphic and white space characters of ASCII, decoded. A tab would
/// not be the same behind the fold of a field, so it is none of them.
fn printable(text: &str) -> Option<String> {
    let text = String::from_utf8(xtext(text)?).ok()?;
    is_printable(&text).then_some(text)
}

/// RFC 6533 3: utf-8-addr-xtext, or characters as they are; becomes the former.
fn utf8_address(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        if let Some(embedded) = rest.strip_prefix("\\x{") {
            let (hex, behind) = embedded.split_once('}')?;
            push_utf8(&mut out, scalar(hex)?);
            rest = behind;
            continue;
        }
        if c.is_control() || c == ' ' || (c.is_ascii() && !is_qchar(c)) {
            return None;
        }
        push_utf8(&mut out, c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    Some(out)
}

/// RFC 6533 3 HEXPOINT.
fn scalar(hex: &str) -> Option<char> {
    let sound =
        (1..=6).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let number = u32::from_str_radix(hex, 16).ok().filter(|_| sound)?;
    char::from_u32(number).filter(|c| !c.is_control())
}

fn push_utf8(out: &mut String, c: char) {
    if is_qchar(c) {
        out.push(c);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}

/// RFC 6533 3.
fn is_qchar(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=')
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// RFC 822 atom, as far as it can stand in a parameter.
fn is_atom(text: &str) -> bool {
    let special = |b| b"()<>@,;:\\\".[]".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !special(b))
}

/// The type of addresses beyond ASCII (RFC 6533 3).
const UTF_8: &str = "utf-8";
/// RFC 3461 5.4 (a).
const ENVELOPE_ID_BYTES_MAX: usize = 100;
/// RFC 3461 5.4 (c).
const ORIGINAL_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_are_a_list_or_never() {
        for (text, shown) in [
            ("NEVER", Some("NEVER")),
            ("never", Some("NEVER")),
            ("Success", Some("SUCCESS")),
            ("DELAY,FAILURE", Some("FAILURE,DELAY")),
            ("SUCCESS,FAILURE,DELAY", Some("SUCCESS,FAILURE,DELAY")),
            ("FAILURE,FAILURE", Some("FAILURE")),
            ("NEVER,FAILURE", None),
            ("SUCCESS,", None),
            ("", None),
            ("ALWAYS", None),
        ] {
            let notify = Notify::parse(text).map(|notify| notify.to_string());
            assert_eq!(notify.as_deref(), shown, "{text:?}");
        }
    }

    #[test]
    fn two_wishes_about_one_copy_are_both_heard() {
        let of = |text: &str| Notify::parse(text);
        for (one, other, both) in [
            (None, None, None),
            (of("NEVER"), of("NEVER"), of("NEVER")),
            (of("NEVER"), None, of("FAILURE,DELAY")),
            (of("SUCCESS"), None, of("SUCCESS,FAILURE,DELAY")),
            (of("SUCCESS"), of("DELAY"), of("SUCCESS,DELAY")),
        ] {
            assert_eq!(Notify::either(one, other), both);
            assert_eq!(Notify::either(other, one), both);
        }
    }

    #[test]
    fn envelope_ids_are_xtext_of_what_can_be_printed() {
        for (text, decoded) in [
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb+3Dc+20d", Some("a+b=c d")),
            ("a+2bb", None),
            ("a+2", None),
            ("a+0D+0AX-Evil:+201", None),
            ("a+C3+A9", None),
            ("a=b", None),
            ("", None),
        ] {
            let id = EnvelopeId::parse(text);
            assert_eq!(id.as_ref().map(EnvelopeId::decoded).as_deref(), decoded);
            assert_eq!(id.as_ref().map_or(text, EnvelopeId::as_xtext), text);
        }
        // RFC 3461 5.4.
        assert!(EnvelopeId::parse(&"x".repeat(100)).is_some());
        assert!(EnvelopeId::parse(&"x".repeat(101)).is_none());
    }

    #[test]
    fn original_recipients_have_a_type_and_stay_as_they_are() {
        for (text, kept, typed) in [
            (
                "rfc822;Bob@There.example",
                None,
                "rfc822; Bob@There.example",
            ),
            ("rfc822;a+2Bb@c.example", None, "rfc822; a+b@c.example"),
            ("x-odd;a+20b", None, "x-odd; a b"),
            ("utf-8;\\x{E4}@b.example", None, "utf-8; \\x{E4}@b.example"),
            ("UTF-8;\u{e4}+@b.example", Some(""), ""),
            (
                "utf-8;\u{e4}@b\u{fc}.example",
                Some("utf-8;\\x{E4}@b\\x{FC}.example"),
                "utf-8; \\x{E4}@b\\x{FC}.example",
            ),
        ] {
            let found = OriginalRecipient::parse(text);
            let shown = found.as_ref().map_or("", OriginalRecipient::as_str);
            assert_eq!(shown, kept.unwrap_or(text));
            assert_eq!(found.map_or_else(String::new, |o| o.typed()), typed);
        }
        for text in [
            "rfc822",
            "rfc822;",
            ";a@b",
            "rfc 822;a",
            "rfc822;a+0Ab",
            "rfc822;a+",
            "rfc822;\u{e4}@b",
            "utf-8;\\x{A}",
            "utf-8;\\x{D800}",
            "utf-8;\\x{e4}",
            "utf-8;\\y",
            "utf-8;a b",
        ] {
            assert_eq!(OriginalRecipient::parse(text), None, "{text:?}");
        }
        let long = |n: usize| format!("rfc822;{}", "x".repeat(n - 7));
        assert!(OriginalRecipient::parse(&long(500)).is_some());
        assert!(OriginalRecipient::parse(&long(501)).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_stand_in_a_command_and_in_a_field(text in "\\PC{0,40}") {
            let original = OriginalRecipient::parse(&format!("utf-8;{text}"));
            if let Some(original) = original {
                prop_assert!(original.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'='));
                prop_assert!(is_printable(&original.typed()));
                prop_assert_eq!(OriginalRecipient::restored(original.as_str()), Some(original));
            }
            if let Some(id) = EnvelopeId::parse(&text) {
                prop_assert!(is_printable(&id.decoded()));
            }
        }
    }
}
