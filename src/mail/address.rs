//! Addresses: a local part and a domain, parsed once into the only form the server decides on.
//!
//! RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3. A [`Domain`] is a lower-case A-label host name
//! (which may have underscores) or an address literal. A [`LocalPart`] is the unquoted text;
//! its quotes are spelling, not meaning. Characters such as `%`, `!`, `:` and a quoted `@` have
//! no meaning in it, so no relay trick survives the parse. Not here: address lists of header
//! fields (`mail::mime`), paths of commands (`mail::envelope`).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use super::quirk;

/// A mailbox address. The order sorts by local part, then domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Left of the at sign, unquoted.
    pub local: LocalPart,
    /// Right of the at sign, canonical.
    pub domain: Domain,
}

impl Address {
    /// Reads one `local@domain`, nothing before it and nothing after it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, rest) = LocalPart::take(text)?;
        let domain = rest.strip_prefix('@').ok_or_else(|| missing_at(rest))?;
        Ok(Self {
            local,
            domain: Domain::parse(domain)?,
        })
    }

    /// Whether a peer without SMTPUTF8 can be given this address: the domain always can.
    pub fn is_ascii(&self) -> bool {
        self.local.0.is_ascii()
    }

    /// The local part as it is looked up: composed (NFC) and in lower case.
    pub fn folded_local(&self) -> String {
        self.local.folded()
    }

    /// `user+tag@example.org` as `user@example.org` and `tag`, cut at the first separator. `None`
    /// without a separator, or when nothing stands before it.
    pub fn without_tag(&self, separator: char) -> Option<(Self, &str)> {
        let (base, tag) = self.local.0.split_once(separator)?;
        let local = LocalPart::from_unquoted(base).ok()?;
        Some((
            Self {
                local,
                domain: self.domain.clone(),
            },
            tag,
        ))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// What stands left of the at sign, without quotes and backslashes: 1 to 64 octets, no controls.
/// `Display` gives the shortest spelling that RFC 5321 allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// From text that carries no quoting.
    pub fn from_unquoted(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::LocalPartEmpty);
        }
        if text.len() > LOCAL_PART_OCTETS_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        if text.chars().any(is_forbidden) {
            return Err(AddressError::ForbiddenCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The unquoted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Composed (NFC) and in lower case: the form in which accounts are looked up.
    pub fn folded(&self) -> String {
        if self.0.is_ascii() {
            return self.0.to_ascii_lowercase();
        }
        // Lower-casing can leave composed text decomposed, so compose last.
        self.0
            .nfc()
            .collect::<String>()
            .to_lowercase()
            .nfc()
            .collect()
    }

    /// Reads a local part from the front of `text`; gives it and what follows it.
    pub(super) fn take(text: &str) -> Result<(Self, &str), AddressError> {
        match text.strip_prefix('"') {
            Some(quoted) => Self::take_quoted(quoted),
            None => Self::take_dot_string(text),
        }
    }

    /// RFC 5321 4.1.2 Quoted-string, after the opening quote.
    fn take_quoted(text: &str) -> Result<(Self, &str), AddressError> {
        let mut unquoted = String::new();
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            let literal = match c {
                '"' => {
                    let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
                    return Ok((Self::from_unquoted(&unquoted)?, rest));
                }
                '\\' => chars.next().ok_or(AddressError::QuoteNotClosed)?.1,
                other => other,
            };
            if unquoted.len() > LOCAL_PART_OCTETS_MAX {
                return Err(AddressError::LocalPartTooLong);
            }
            unquoted.push(literal);
        }
        Err(AddressError::QuoteNotClosed)
    }

    /// RFC 5321 4.1.2 Dot-string.
    fn take_dot_string(text: &str) -> Result<(Self, &str), AddressError> {
        let end = text
            .find(|c| !is_atext(c) && c != '.')
            .unwrap_or(text.len());
        let (local, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        if !quirk::STRAY_DOTS_IN_LOCAL_PART && !is_dot_string(local) {
            return Err(AddressError::StrayDot);
        }
        Ok((Self::from_unquoted(local)?, rest))
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// A host name in lower-case A-labels, or an IP address in brackets. Equal domains have equal text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>, Option<IpAddr>);

impl Domain {
    /// Reads a host name (in A-labels or U-labels) or an address literal.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(AddressError::BadLiteral)?;
            return literal(inner)
                .map(Self::from_ip)
                .ok_or(AddressError::BadLiteral);
        }
        let name = canonical_name(text)?;
        // An all-digit top label is an IP address without its brackets; DNS has no such names.
        let top = name.rsplit('.').next().unwrap_or_default();
        if top.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::LiteralWithoutBrackets);
        }
        Ok(Self(name.into(), None))
    }

    /// The address literal of `ip`.
    pub fn from_ip(ip: IpAddr) -> Self {
        let text = match ip {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        };
        Self(text.into(), Some(ip))
    }

    /// The canonical text: ASCII, host names in lower case, literals with their brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The IP address, when this is an address literal.
    pub fn literal(&self) -> Option<IpAddr> {
        self.1
    }

    /// The name as people read it, in U-labels. For display only: decide on [`Domain::as_str`].
    pub fn to_unicode(&self) -> String {
        if self.1.is_some() || !self.0.contains("xn--") {
            return self.0.to_string();
        }
        let bytes = self.0.as_bytes();
        match Uts46::new().to_unicode(bytes, AsciiDenyList::STD3, Hyphens::CheckFirstLast) {
            (shown, Ok(())) => shown.into_owned(),
            (_, Err(_)) => self.0.to_string(),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// Why a text is not an address or not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no at sign, so no domain.
    #[error("the domain is missing: an address is local-part@domain")]
    DomainMissing,
    /// Nothing stands before the at sign.
    #[error("the local part is empty")]
    LocalPartEmpty,
    /// RFC 5321 4.5.3.1.1.
    #[error("the local part is longer than 64 octets")]
    LocalPartTooLong,
    /// A dot at an end or next to another one, without quotes.
    #[error("the local part has a stray dot: put it in quotes")]
    StrayDot,
    /// A quoted local part has no closing quote.
    #[error("the quoted local part is not closed")]
    QuoteNotClosed,
    /// A control character, a NUL, or a character that needs quotes.
    #[error("the address has a character that is not allowed there")]
    ForbiddenCharacter,
    /// Not letters, digits and hyphens in labels of 1 to 63, or not valid IDNA.
    #[error("the domain is not a host name")]
    BadDomain,
    /// RFC 5321 4.5.3.1.2: more than 255 octets in the form the DNS counts.
    #[error("the domain is too long: 253 characters, 63 per label")]
    DomainTooLong,
    /// In brackets, but neither IPv4 nor `IPv6:`.
    #[error("the address literal is not [IPv4] or [IPv6:...]")]
    BadLiteral,
    /// An IP address that lacks its brackets.
    #[error("an IP address as domain needs brackets: [192.0.2.1]")]
    LiteralWithoutBrackets,
    /// RFC 5321 3.6.1: a server may refuse source routes; we do.
    #[error("source routes are not accepted: the path is only <local-part@domain>")]
    SourceRoute,
    /// RFC 5321 4.5.5: the null path is where reports come from; nobody is there to get mail.
    #[error("the null path <> is for senders: a recipient is <local-part@domain>")]
    NullRecipient,
    /// The path lacks `<`, `>` or the space after it.
    #[error("the path is not <local-part@domain>")]
    BadPath,
}

/// The error for text that follows a local part but is no at sign.
fn missing_at(rest: &str) -> AddressError {
    if rest.is_empty() {
        AddressError::DomainMissing
    } else {
        AddressError::ForbiddenCharacter
    }
}

/// RFC 5322 3.2.3 atext, with RFC 6531 3.3 UTF8-non-ascii.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

/// Whether `text` needs no quotes.
fn is_dot_string(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Characters that no local part may hold, quoted or not: controls, line separators, marks that
/// change the direction of reading, invisible spaces. The joiners U+200C and U+200D spell words in
/// Persian and Indic scripts, so they stay.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{fffd}'
        )
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// The inside of an address literal (RFC 5321 4.1.3).
fn literal(inner: &str) -> Option<IpAddr> {
    match inner.split_at_checked("IPv6:".len()) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => {
            v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Lower-case A-labels of a host name; refuses what does not come back to itself through Unicode.
fn canonical_name(text: &str) -> Result<String, AddressError> {
    // A U-label is never longer than 63 * 4 octets; this only bounds the work.
    if text.len() > 4 * DOMAIN_CHARACTERS_MAX {
        return Err(AddressError::DomainTooLong);
    }
    let name = text.to_ascii_lowercase();
    let name = if name.is_ascii() && !has_a_label(&name) {
        name
    } else {
        through_idna(&name)?
    };
    if name.len() > DOMAIN_CHARACTERS_MAX || name.split('.').any(|label| label.len() > 63) {
        return Err(AddressError::DomainTooLong);
    }
    if name.split('.').all(is_label) {
        Ok(name)
    } else {
        Err(AddressError::BadDomain)
    }
}

/// UTS 46 to ASCII, only for names whose dots are dots and whose foreign labels stay foreign.
fn through_idna(name: &str) -> Result<String, AddressError> {
    let encode = |text: &str| {
        let (list, hyphens) = (AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        let ascii = Uts46::new().to_ascii(text.as_bytes(), list, hyphens, DnsLength::Ignore);
        ascii
            .map(|ascii| ascii.into_owned())
            .map_err(|_| AddressError::BadDomain)
    };
    let ascii = encode(name)?;
    // Look-alikes of the full stop or of ASCII letters would make one name from another.
    let pairs = name.split('.').zip(ascii.split('.'));
    let foreign_stays = pairs
        .clone()
        .all(|(typed, label)| typed.is_ascii() || label_is_a(label));
    if !foreign_stays || name.split('.').count() != ascii.split('.').count() {
        return Err(AddressError::BadDomain);
    }
    let (shown, valid) = Uts46::new().to_unicode(
        ascii.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
    );
    if valid.is_err() || encode(&shown)? != ascii {
        return Err(AddressError::BadDomain);
    }
    Ok(ascii)
}

fn has_a_label(name: &str) -> bool {
    name.split('.').any(label_is_a)
}

fn label_is_a(label: &str) -> bool {
    label.starts_with("xn--")
}

/// RFC 5321 4.1.2 sub-domain: letters and digits, hyphens only inside; and underscores.
fn is_label(label: &str) -> bool {
    let underscore = |b| quirk::UNDERSCORE_IN_DOMAIN && b == b'_';
    !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || underscore(b))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 5321 4.5.3.1.1.
const LOCAL_PART_OCTETS_MAX: usize = 64;
/// RFC 5321 4.5.3.1.2 allows 255 octets; with the DNS's length octets that is 253 characters.
const DOMAIN_CHARACTERS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_have_one_canonical_spelling() {
        for (typed, canonical) in [
            ("user@example.org", "user@example.org"),
            ("User@EXAMPLE.Org", "User@example.org"),
            ("\"user\"@example.org", "user@example.org"),
            ("\"us\\er\"@example.org", "user@example.org"),
            ("\"a b\"@example.org", "\"a b\"@example.org"),
            ("\"a\\\"b\\\\\"@example.org", "\"a\\\"b\\\\\"@example.org"),
            ("a%b!c@example.org", "a%b!c@example.org"),
            ("\"user@dom\"@here", "\"user@dom\"@here"),
            ("u@[192.0.2.1]", "u@[192.0.2.1]"),
            ("u@[IPV6:2001:DB8:0::1]", "u@[IPv6:2001:db8::1]"),
            ("u@b\u{fc}cher.example", "u@xn--bcher-kva.example"),
            ("u@B\u{dc}CHER.example", "u@xn--bcher-kva.example"),
            ("u@XN--BCHER-KVA.example", "u@xn--bcher-kva.example"),
            (
                "\u{4f60}\u{597d}@example.org",
                "\u{4f60}\u{597d}@example.org",
            ),
            ("u@r3---sn-abc.example", "u@r3---sn-abc.example"),
        ] {
            let address = Address::parse(typed).unwrap();
            assert_eq!(address.to_string(), canonical);
            assert_eq!(Address::parse(canonical), Ok(address));
        }
    }

    #[test]
    fn quirk_stray_dots_equal_their_quoted_spelling() {
        let typed = Address::parse("a..b.@example.jp").unwrap();
        assert_eq!(typed, Address::parse("\"a..b.\"@example.jp").unwrap());
        assert_eq!(typed.to_string(), "\"a..b.\"@example.jp");
    }

    #[test]
    fn quirk_underscore_in_domain_is_a_character_as_others() {
        for (typed, canonical) in [
            ("user@Foo_Bar.example", "user@foo_bar.example"),
            ("user@_x.example", "user@_x.example"),
        ] {
            let address = Address::parse(typed).unwrap();
            assert_eq!(address.to_string(), canonical);
        }
    }

    #[test]
    fn texts_that_are_not_addresses_are_refused() {
        use AddressError as E;
        for (typed, error) in [
            ("", E::LocalPartEmpty),
            ("@example.org", E::LocalPartEmpty),
            ("\"\"@example.org", E::LocalPartEmpty),
            ("user", E::DomainMissing),
            ("user@", E::BadDomain),
            ("a@b@c", E::BadDomain),
            ("a b@c", E::ForbiddenCharacter),
            ("a:b@c", E::ForbiddenCharacter),
            ("a\r\nb@c", E::ForbiddenCharacter),
            ("\"a\r\nb\"@c", E::ForbiddenCharacter),
            ("\"a\\\nb\"@c", E::ForbiddenCharacter),
            ("\"a\0b\"@c", E::ForbiddenCharacter),
            ("a\u{85}b@c", E::ForbiddenCharacter),
            ("a\u{202e}b@c", E::ForbiddenCharacter),
            ("\"ab@c", E::QuoteNotClosed),
            ("\"ab\\", E::QuoteNotClosed),
            ("\"ab\"c@d", E::ForbiddenCharacter),
            ("u@example..org", E::BadDomain),
            ("u@example.org.", E::BadDomain),
            ("u@-example.org", E::BadDomain),
            // Beyond ASCII names are strict.
            ("u@ex_ample.b\u{fc}cher.example", E::BadDomain),
            ("u@ex ample.org", E::BadDomain),
            ("u@example.org\r\nX: y", E::BadDomain),
            ("u@192.0.2.1", E::LiteralWithoutBrackets),
            ("u@[192.0.2.1", E::BadLiteral),
            ("u@[192.0.2.256]", E::BadLiteral),
            ("u@[2001:db8::1]", E::BadLiteral),
            ("u@[IPv6:fe80::1%eth0]", E::BadLiteral),
            ("u@[x-tag:y]", E::BadLiteral),
            // Look-alike dots and letters, and A-labels that do not re-encode to themselves.
            ("u@example\u{3002}org", E::BadDomain),
            ("u@\u{ff45}xample.org", E::BadDomain),
            ("u@xn--example-.org", E::BadDomain),
            ("u@xn--a.org", E::BadDomain),
            ("u@xn--.org", E::BadDomain),
            ("u@exa\u{ad}mple.org", E::BadDomain),
        ] {
            assert_eq!(Address::parse(typed), Err(error), "{typed:?}");
        }
    }

    #[test]
    fn lengths_are_met_exactly() {
        let address = |local: usize, label: usize| {
            Address::parse(&format!("{}@{}.org", "l".repeat(local), "d".repeat(label)))
        };
        assert!(address(64, 63).is_ok());
        assert_eq!(address(65, 63), Err(AddressError::LocalPartTooLong));
        assert_eq!(address(64, 64), Err(AddressError::DomainTooLong));
        let quoted = format!("\"{}\"@a", "\\l".repeat(1_000_000));
        assert_eq!(Address::parse(&quoted), Err(AddressError::LocalPartTooLong));
        let long = format!("{}a", "a.".repeat(126));
        assert!(Domain::parse(&long).is_ok());
        assert_eq!(
            Domain::parse(&format!("a{long}.a")),
            Err(AddressError::DomainTooLong)
        );
    }

    #[test]
    fn lookups_fold_case_and_cut_tags() {
        let address = Address::parse("Us\u{45}\u{301}r+News+x@example.org").unwrap();
        assert_eq!(address.folded_local(), "us\u{e9}r+news+x");
        let (base, tag) = address.without_tag('+').unwrap();
        assert_eq!((base.folded_local().as_str(), tag), ("us\u{e9}r", "News+x"));
        assert!(!address.is_ascii());
        assert_eq!(Address::parse("+x@a").unwrap().without_tag('+'), None);
        assert_eq!(Address::parse("x@a").unwrap().without_tag('+'), None);
        let domain = Domain::parse("xn--bcher-kva.example").unwrap();
        assert_eq!(domain.to_unicode(), "b\u{fc}cher.example");
        assert_eq!(
            Domain::parse("[192.0.2.1]").unwrap().literal(),
            "192.0.2.1".parse().ok()
        );
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_to_itself(text in "\\PC{0,20}@\\PC{0,20}") {
            if let Ok(address) = Address::parse(&text) {
                let printed = address.to_string();
                prop_assert!(!printed.contains(['\r', '\n', '\0']));
                prop_assert_eq!(Address::parse(&printed), Ok(address));
            }
        }

        #[test]
        fn any_unquoted_local_part_survives_its_quoting(text in "[ -~\u{e9}\u{4f60}]{1,30}") {
            if let Ok(local) = LocalPart::from_unquoted(&text) {
                let address = Address::parse(&format!("{local}@example.org"));
                prop_assert_eq!(address.map(|a| a.local), Ok(local));
            }
        }
    }
}
