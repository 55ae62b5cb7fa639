//! The envelope of a message and the paths of MAIL and RCPT.
//!
//! RFC 5321 4.1.1.2, 4.1.1.3, 4.1.2 (paths), 4.5.1 (`<Postmaster>`), 3.6.1 (source routes may be
//! refused, and are). Parameters after a path belong to the command, not here: the parsers return
//! them unread. A caller that did not get SMTPUTF8 must refuse a path whose text is not ASCII
//! (RFC 6531 3.4): the text is what the returned rest is shorter by.

use std::fmt;

use super::{
    address::{Address, AddressError, Domain, LocalPart},
    dsn::{EnvelopeId, Notify, OriginalRecipient, Ret},
    quirk,
    urgency::{Deadline, Priority, Release},
};

/// Who sent a message, to whom it goes, and what the transport must be able to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where failures are reported.
    pub sender: ReversePath,
    /// Who shall get the message, in the order they were given.
    pub recipients: Vec<Address>,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
    /// RFC 6531: the transaction was declared internationalized.
    pub smtputf8: bool,
    /// What else was said of it.
    pub options: MailOptions,
}

/// What a sender says about a whole message, for every server that it passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailOptions {
    /// RFC 3461 4.3: what of it goes back when it fails.
    pub ret: Option<Ret>,
    /// RFC 3461 4.4.
    pub envelope_id: Option<EnvelopeId>,
    /// RFC 8689: it goes over TLS to servers that are known to be the right ones, or not at all.
    pub require_tls: bool,
    /// RFC 8460 3: it tells of TLS that fails, so it goes with whatever TLS there is, or none.
    pub despite_tls: bool,
    /// RFC 2852: until when it is to be delivered.
    pub deliver_by: Option<Deadline>,
    /// RFC 4865: it does not begin to go before that.
    pub release: Option<Release>,
    /// RFC 6710: whether it goes before others, if its sender said so.
    pub priority: Option<Priority>,
}

/// What a sender says about one recipient, for every server on the way to him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptOptions {
    /// RFC 3461 4.1: when he wants to be told; without a word, of failures and delays.
    pub notify: Option<Notify>,
    /// RFC 3461 4.2.
    pub original: Option<OriginalRecipient>,
}

impl RcptOptions {
    /// RFC 3461 5.2.3: whether success is to be reported.
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }

    /// RFC 3461 4.1: whether nothing at all is to be reported.
    pub fn wants_nothing(&self) -> bool {
        self.notify == Some(Notify::NEVER)
    }

    /// RFC 3461 5.2.6: whether failure is to be reported.
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// RFC 3461 5.2.7.3 (c): the same for what an address stands for.
    pub fn expanded(&self) -> Self {
        let mut options = self.clone();
        if let Some(notify) = &mut options.notify {
            notify.success = false;
        }
        options
    }
}

/// RFC 6152 BODY parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyKind {
    /// Only US-ASCII octets.
    #[default]
    SevenBit,
    /// Any octets, in lines.
    EightBit,
    /// RFC 3030 3: any octets, in no lines that count.
    Binary,
}

/// Where a message came from: nowhere (reports and other machine mail), or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nothing is ever reported back (RFC 5321 4.5.5).
    Null,
    /// An address.
    Address(Address),
}

impl ReversePath {
    /// The address, unless this is the null path.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Whether this is `<>`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// With its angle brackets.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// Where a message shall go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain: the postmaster of this host (RFC 5321 4.5.1).
    Postmaster,
    /// An address.
    Address(Address),
}

/// With its angle brackets.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// Reads what follows `MAIL FROM:`; gives the path and the parameters after it.
pub fn parse_reverse_path(text: &str) -> Result<(ReversePath, &str), AddressError> {
    let text = skip_spaces(text)?;
    if let Some(rest) = text.strip_prefix("<>") {
        return Ok((ReversePath::Null, after_path(rest)?));
    }
    match take_path(text)? {
        (Found::Address(address), rest) => Ok((ReversePath::Address(address), rest)),
        (Found::LocalOnly(_), _) => Err(AddressError::DomainMissing),
    }
}

/// Reads what follows `RCPT TO:`; gives the path and the parameters after it.
pub fn parse_forward_path(text: &str) -> Result<(ForwardPath, &str), AddressError> {
    let text = skip_spaces(text)?;
    if text.starts_with("<>") {
        return Err(AddressError::NullRecipient);
    }
    match take_path(text)? {
        (Found::Address(address), rest) => Ok((ForwardPath::Address(address), rest)),
        // RFC 5321 4.1.1.3: without regard to case.
        (Found::LocalOnly(local), rest) if local.as_str().eq_ignore_ascii_case("postmaster") => {
            Ok((ForwardPath::Postmaster, rest))
        }
        (Found::LocalOnly(_), _) => Err(AddressError::DomainMissing),
    }
}

/// What a path held.
enum Found {
    Address(Address),
    LocalOnly(LocalPart),
}

/// RFC 5321 4.1.2 Path, with or without its brackets.
fn take_path(text: &str) -> Result<(Found, &str), AddressError> {
    let (inner, bracketed) = match text.strip_prefix('<') {
        Some(inner) => (inner, true),
        None if quirk::PATH_WITHOUT_BRACKETS => (text, false),
        None => return Err(AddressError::BadPath),
    };
    if inner.is_empty() || (!bracketed && inner.starts_with(' ')) {
        return Err(AddressError::BadPath);
    }
    // RFC 5321 3.6.1: a server may decline source routes.
    if inner.starts_with('@') && inner.contains(':') {
        return Err(AddressError::SourceRoute);
    }
    let (local, rest) = LocalPart::take(inner)?;
    let close = |c| if bracketed { c == '>' } else { c == ' ' };
    if let Some(domain) = rest.strip_prefix('@') {
        let end = domain.find(close).unwrap_or(domain.len());
        let (domain, rest) = domain.split_at_checked(end).unwrap_or((domain, ""));
        let domain = Domain::parse(domain)?;
        let rest = after_close(rest, bracketed)?;
        return Ok((Found::Address(Address { local, domain }), rest));
    }
    if !rest.is_empty() && !rest.starts_with(close) {
        return Err(AddressError::ForbiddenCharacter);
    }
    Ok((Found::LocalOnly(local), after_close(rest, bracketed)?))
}

/// What follows a path, from its closing bracket on.
fn after_close(rest: &str, bracketed: bool) -> Result<&str, AddressError> {
    let rest = if bracketed {
        rest.strip_prefix('>').ok_or(AddressError::BadPath)?
    } else {
        rest
    };
    after_path(rest)
}

/// The parameters: nothing, or something set off by a space.
fn after_path(rest: &str) -> Result<&str, AddressError> {
    if rest.is_empty() || rest.starts_with(' ') {
        Ok(rest.trim_matches(' '))
    } else {
        Err(AddressError::BadPath)
    }
}

fn skip_spaces(text: &str) -> Result<&str, AddressError> {
    let path = text.trim_start_matches(' ');
    if quirk::SPACE_BEFORE_PATH || path.len() == text.len() {
        Ok(path)
    } else {
        Err(AddressError::BadPath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reverse(text: &str) -> Result<(String, &str), AddressError> {
        parse_reverse_path(text).map(|(path, rest)| (path.to_string(), rest))
    }

    fn forward(text: &str) -> Result<(String, &str), AddressError> {
        parse_forward_path(text).map(|(path, rest)| (path.to_string(), rest))
    }

    #[test]
    fn paths_give_the_address_and_leave_the_parameters() {
        for (text, path, rest) in [
            ("<>", "<>", ""),
            ("<> SIZE=10", "<>", "SIZE=10"),
            ("<a@b.example>", "<a@b.example>", ""),
            (
                "<a@b.example> SIZE=10 BODY=8BITMIME ",
                "<a@b.example>",
                "SIZE=10 BODY=8BITMIME",
            ),
            ("<\"a>b c\"@d>  X=Y", "<\"a>b c\"@d>", "X=Y"),
            ("<a@[192.0.2.1]>", "<a@[192.0.2.1]>", ""),
        ] {
            assert_eq!(reverse(text), Ok((path.to_owned(), rest)));
        }
        assert_eq!(
            forward("<postMaster> X"),
            Ok(("<Postmaster>".to_owned(), "X"))
        );
        assert_eq!(
            forward("<a@b> NOTIFY=NEVER"),
            Ok(("<a@b>".to_owned(), "NOTIFY=NEVER"))
        );
    }

    #[test]
    fn quirk_path_without_brackets_ends_at_a_space() {
        assert_eq!(
            reverse("a@b.example SIZE=1"),
            Ok(("<a@b.example>".to_owned(), "SIZE=1"))
        );
        assert_eq!(forward("postmaster"), Ok(("<Postmaster>".to_owned(), "")));
        assert_eq!(forward("a@b>"), Err(AddressError::BadDomain));
        assert_eq!(reverse(""), Err(AddressError::BadPath));
    }

    #[test]
    fn quirk_space_before_path_is_skipped() {
        assert_eq!(reverse("  <a@b>"), Ok(("<a@b>".to_owned(), "")));
        assert_eq!(reverse(" <>"), Ok(("<>".to_owned(), "")));
        assert_eq!(reverse(" "), Err(AddressError::BadPath));
    }

    #[test]
    fn paths_that_mean_something_else_are_refused() {
        use AddressError as E;
        for (text, error) in [
            ("<", E::BadPath),
            ("<>", E::NullRecipient),
            (" <> SIZE=1", E::NullRecipient),
            ("<a@b", E::BadPath),
            ("<a@b>SIZE=1", E::BadPath),
            ("<a@b>>", E::BadPath),
            ("<a>", E::DomainMissing),
            ("a", E::DomainMissing),
            ("<@relay.example,@b:user@c>", E::SourceRoute),
            ("<@relay.example:user@c>", E::SourceRoute),
            ("<a@b@c>", E::BadDomain),
            ("<a@b\r\nDATA>", E::BadDomain),
            ("<a,b@c>", E::ForbiddenCharacter),
            ("<a b@c>", E::ForbiddenCharacter),
            ("Name <a@b>", E::DomainMissing),
        ] {
            assert_eq!(forward(text), Err(error), "{text:?}");
        }
        assert_eq!(reverse("<postmaster>"), Err(E::DomainMissing));
    }

    #[test]
    fn relay_tricks_stay_inside_the_local_part() {
        for (text, local, domain) in [
            (
                "<user%victim.example@here.example>",
                "user%victim.example",
                "here.example",
            ),
            (
                "<victim.example!user@here.example>",
                "victim.example!user",
                "here.example",
            ),
            (
                "<\"user@victim.example\"@here.example>",
                "user@victim.example",
                "here.example",
            ),
            (
                "<\"@victim.example:user\"@here.example>",
                "@victim.example:user",
                "here.example",
            ),
        ] {
            let (path, _) = parse_forward_path(text).unwrap();
            let ForwardPath::Address(address) = path else {
                panic!("{text}")
            };
            assert_eq!(
                (address.local.as_str(), address.domain.as_str()),
                (local, domain)
            );
        }
    }
}
