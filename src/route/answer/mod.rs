//! Answers while nobody is there (RFC 3834, RFC 5230): who is answered, and with what.
//!
//! Pure. A message is answered when a person may have written it to the account itself: it has a
//! sender, no mark of a program, a list or bulk mail, and one of the account's addresses among its
//! recipients. What is doubtful is not answered: an answer too few is missed by nobody, one too
//! many goes to somebody who never wrote. How often is `answering`'s question.

mod text;

use crate::mail::{
    address::{Address, Domain, LocalPart},
    header::{Field, Fields},
    mime::{AddressEntry, Bounds, parse_addresses},
};

pub(super) use text::{Answer, written};

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Its sender, or who it says it is from, is a program.
    Program,
    /// It says that it was made by one, or wants no answer.
    Automatic,
    /// It came over a list.
    List,
    /// It was sent to many.
    Bulk,
    /// It is a report.
    Report,
}

/// Whether a message with this header and sender wants no answer; none when a person may have
/// written it.
pub(super) fn silence(header: &[u8], sender: &Address) -> Option<Silence> {
    if is_program(sender.local.as_str()) {
        return Some(Silence::Program);
    }
    Fields::new(header).find_map(|field| silenced_by(&field))
}

fn silenced_by(field: &Field<'_>) -> Option<Silence> {
    let name = field.name.to_ascii_lowercase();
    let value = || String::from_utf8_lossy(&field.unfolded()).to_ascii_lowercase();
    let word = |value: &str| {
        let end = value.find([';', ' ', '\t', '(']).unwrap_or(value.len());
        value.get(..end).unwrap_or_default().to_owned()
    };
    match name.as_slice() {
        // RFC 3834 2, 5.
        b"auto-submitted" => (word(&value()) != "no").then_some(Silence::Automatic),
        b"precedence" => ["bulk", "list", "junk", "auto_reply"]
            .contains(&word(&value()).as_str())
            .then_some(Silence::Bulk),
        b"x-auto-response-suppress" => value()
            .split([',', ';', ' '])
            .any(|word| ["all", "oof", "autoreply"].contains(&word))
            .then_some(Silence::Automatic),
        b"x-autoreply" | b"x-autorespond" => Some(Silence::Automatic),
        b"x-spam-flag" => (word(&value()) == "yes").then_some(Silence::Bulk),
        // RFC 6522 3, RFC 8098 3.
        b"content-type" => value()
            .starts_with("multipart/report")
            .then_some(Silence::Report),
        b"from" | b"sender" => addresses(field)
            .any(|address| is_program(address.local.as_str()))
            .then_some(Silence::Program),
        // RFC 2369, RFC 2919, RFC 5230 4.6.
        name => name.starts_with(b"list-").then_some(Silence::List),
    }
}

/// RFC 3834 2, RFC 5230 4.6: addresses behind which nobody reads.
fn is_program(local: &str) -> bool {
    let local = local.to_lowercase();
    // What forwarders and senders that mark their bounces put before it.
    let marked = ["srs0", "srs1", "prvs="]
        .iter()
        .any(|mark| local.starts_with(mark));
    let local = match local.rsplit('=').next() {
        Some(own) if marked => own,
        _ => &local,
    };
    let is_at = |list: &[&str], at: fn(&str, &str) -> bool| list.iter().any(|name| at(local, name));
    is_at(NOBODY, |local, name| local == name)
        || is_at(NOBODY_BEGINS, |local, name| local.starts_with(name))
        || is_at(NOBODY_ENDS, |local, name| local.ends_with(name))
        || local.contains("-bounces")
}

/// The first address among those that the message was sent to which `is_own` knows (RFC 5230 4.5).
pub(super) fn addressed(header: &[u8], is_own: impl Fn(&Address) -> bool) -> Option<Address> {
    let to = Fields::new(header).filter(|field| TO.iter().any(|name| field.is(name)));
    let mut looked_at = 0_usize;
    for field in to {
        for address in addresses(&field) {
            looked_at = looked_at.saturating_add(1);
            if looked_at > RECIPIENTS_MAX {
                return None;
            }
            if is_own(&address) {
                return Some(address);
            }
        }
    }
    None
}

/// The addresses of a field, as far as they are any.
fn addresses(field: &Field<'_>) -> impl Iterator<Item = Address> + use<> {
    let entries = parse_addresses(&field.unfolded(), &Bounds::default());
    entries.into_iter().filter_map(|entry| {
        let AddressEntry::Mailbox(mailbox) = entry else {
            return None;
        };
        let local = std::str::from_utf8(&mailbox.local).ok()?;
        let domain = std::str::from_utf8(&mailbox.host).ok()?;
        Some(Address {
            local: LocalPart::from_unquoted(local).ok()?,
            domain: Domain::parse(domain).ok()?,
        })
    })
}

const TO: &[&str] = &["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];
const NOBODY: &[&str] = &[
    "postmaster",
    "listserv",
    "majordomo",
    "nobody",
    "bounce",
    "bounces",
    "root",
    "daemon",
    "auto-reply",
    "autoreply",
];
const NOBODY_BEGINS: &[&str] = &[
    "mailer-daemon",
    "owner-",
    "bounce-",
    "bounce+",
    "bounces-",
    "bounces+",
    "noreply",
    "no-reply",
    "no_reply",
    "no.reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "do.not.reply",
];
const NOBODY_ENDS: &[&str] = &[
    "-owner",
    "-request",
    "-bounce",
    "-relay",
    "-noreply",
    "-no-reply",
    ".noreply",
    "_noreply",
];
/// Addresses among which an account's own is looked for.
const RECIPIENTS_MAX: usize = 500;

#[cfg(test)]
mod tests;
