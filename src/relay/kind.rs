//! What kind of refusal a reply is: greylisting, a full mailbox, a bad name of ours, and so on.
//!
//! Pure. A telling enhanced status (RFC 3463, 5248, 7372) decides first; the many that say only
//! "policy" or "other" leave it to the words that servers use, and where these say nothing, to the
//! code and the stage of the conversation. The words are facts about the large providers and the
//! common servers; a reply that none of them fits is [`Class::Other`], which changes nothing. What
//! is final and what is tried again is decided without this (`smtp::client::classify`, Q-03).

use crate::{
    queue::record::Class,
    smtp::client::{
        classify::Stage,
        reply::{Enhanced, Reply},
    },
};

/// The kind of a refusal at this stage.
pub(super) fn kind_of(stage: Stage, reply: &Reply) -> Class {
    let text = reply.text().to_lowercase();
    let status = reply.enhanced.or_else(|| qmail_status(&text));
    let telling = status.and_then(|status| by_status(status, &text));
    telling
        .or_else(|| by_words(&text))
        .or_else(|| status.and_then(by_subject))
        .or_else(|| by_code(stage, reply.code))
        .unwrap_or_default()
}

/// What a status says that leaves no doubt.
fn by_status(Enhanced(class, subject, detail): Enhanced, text: &str) -> Option<Class> {
    Some(match (subject, detail) {
        // rspamd has no other words for greylisting.
        (7, 1) if class == 4 && text == "try again later" => Class::Greylisted,
        // Exchange says 5.1.10 of its own recipients, where RFC 7505 means a domain.
        (1, 10) if text.contains("null mx") => Class::UnknownDomain,
        (1, 1 | 6 | 10) => Class::UnknownUser,
        (1, 2) => Class::UnknownDomain,
        // Google says it of mailboxes that get too much, too.
        (2, 1) if says(text, MAILBOX_BUSY) => Class::MailboxBusy,
        (2, 1) => Class::Disabled,
        (2, 2) => Class::MailboxFull,
        (2, 3) | (3, 4) => Class::TooLarge,
        // RFC 6531 4.2.
        (6, 7..=10) => Class::Unsupported,
        (7, 10 | 29 | 30) if says(text, TLS) => Class::Tls,
        // Over IPv6 Microsoft asks for what it does without over IPv4.
        (7, 25..=27) if text.contains("ipv6") => Class::Ipv6Refused,
        // RFC 7372 3.3.
        (7, 25) => Class::NoReverseDns,
        // RFC 7372 3.1, 3.2, 3.4; 27, 30, 32 and 40 are Google's, 509 and 515 Microsoft's.
        (7, 20..=24 | 26 | 27 | 30 | 32 | 40 | 509 | 515) => Class::Unauthenticated,
        // RFC 8514.
        (7, 28) => Class::RateLimited,
        (7, 500 | 501 | 502 | 503 | 511 | 606..=649) if !says(text, BUSY) => Class::Reputation,
        (7, 64 | 54) => Class::RelayingDenied,
        (7, 57) => Class::AuthRequired,
        (7, 650..=699) => Class::RateLimited,
        _ => return None,
    })
}

/// What a status says when the words say nothing.
fn by_subject(Enhanced(class, subject, detail): Enhanced) -> Option<Class> {
    Some(match (subject, detail) {
        (3, _) => Class::ServerTrouble,
        // Congestion.
        (4, 5) => Class::RateLimited,
        (4, _) if class == 4 => Class::ServerTrouble,
        (6, _) => Class::Content,
        (7, _) => Class::Policy,
        _ => return None,
    })
}

/// What code and stage say when nothing else does.
fn by_code(stage: Stage, code: u16) -> Option<Class> {
    Some(match (code, stage) {
        (530, _) => Class::AuthRequired,
        // RFC 5321 4.3.2: of a recipient's storage, or of the message.
        (552, Stage::Rcpt) => Class::MailboxFull,
        (552, _) => Class::TooLarge,
        (452, Stage::Mail | Stage::Data | Stage::Content) => Class::ServerTrouble,
        // RFC 5321 3.8, 4.2.2: the service is not available.
        (421, _) => Class::ServerTrouble,
        _ => return None,
    })
}

/// The first kind whose words are there.
fn by_words(text: &str) -> Option<Class> {
    let mut kinds = WORDS.iter();
    kinds
        .find(|(_, words)| says(text, words))
        .map(|(class, _)| *class)
}

/// Whether one of `words` is in the lower-case `text`; of several with `+` between them, all.
fn says(text: &str, words: &[&str]) -> bool {
    let all = |words: &&str| words.split('+').all(|word| text.contains(word));
    words.iter().any(all)
}

/// qmail has its status at the end: `sorry, no mailbox here by that name. (#5.1.1)`.
fn qmail_status(text: &str) -> Option<Enhanced> {
    let (_, status) = text.rsplit_once("(#")?;
    let mut parts = status.strip_suffix(')')?.split('.');
    let mut next = || parts.next()?.parse().ok();
    let (class, subject, detail) = (next()?, next()?, next()?);
    let class = u8::try_from(class)
        .ok()
        .filter(|class| [4, 5].contains(class))?;
    Some(Enhanced(class, subject, detail))
}

/// A mailbox that gets too much from everybody.
const MAILBOX_BUSY: &[&str] = &[
    "receiving mail too quickly",
    "receiving mail at a rate",
    "recipient thread limit",
];
/// A server that is busy, not one that has banned us.
const BUSY: &[&str] = &["server busy", "try again later"];
/// Words about TLS.
const TLS: &[&str] = &["tls", "encrypt"];

/// Kinds and their words, the more telling ones first: a text that names a list and asks for
/// patience is about patience.
const WORDS: &[(Class, &[&str])] = &[
    (
        Class::Greylisted,
        &[
            "greylist",
            "graylist",
            "grey list",
            "grey-list",
            "gray-list",
            // Yahoo.
            "[gl01]",
            // Mimecast.
            "internal resources are temporarily unavailable",
            "internal resource temporarily unavailable",
            // OpenBSD's spamd.
            "temporary failure, please try again later",
        ],
    ),
    (Class::MailboxBusy, MAILBOX_BUSY),
    (
        Class::RateLimited,
        &[
            "rate limit",
            "ratelimit",
            "rate-limit",
            "rate of",
            "unusual rate",
            "unexpected volume",
            "[tss04]",
            "throttl",
            "too many connections",
            "too many concurrent",
            "too many simultaneous",
            "too many messages",
            "too many emails",
            "too many mails",
            "too many sessions",
            "too much mail",
            "too fast",
            "too quickly",
            "connection limit",
            "connection rate",
            "concurrent connections",
            "send limit exceeded",
            "exceeded+limit+per hour",
            "slow down",
            "server busy",
            "mail flood",
            "421 rl0",
        ],
    ),
    (
        Class::Ipv6Refused,
        &[
            "ipv6 sending guidelines",
            "ipv6+not accepted",
            "ipv6+ptr",
            "ipv6+reverse dns",
            "ipv6+must pass",
        ],
    ),
    (
        Class::NoReverseDns,
        &[
            "reverse dns",
            "reverse hostname",
            "reverse lookup",
            "reverse mapping",
            "ptr record",
            "ptr resource",
            "no ptr",
            "rdns",
            "cannot find your hostname",
            "helo command rejected",
            "ehlo command rejected",
            "invalid helo",
            "client host rejected: cannot find",
        ],
    ),
    (
        Class::RelayingDenied,
        &[
            "relay access denied",
            "relaying denied",
            "relay denied",
            "relay not permitted",
            "relaying not permitted",
            "relaying not allowed",
            "unable to relay",
            "not permitted to relay",
            "allowed rcpthosts",
            "we do not relay",
        ],
    ),
    (
        Class::UnknownUser,
        &[
            "user unknown",
            "unknown user",
            "unknown recipient",
            "recipient unknown",
            "unknown local part",
            "unknown mailbox",
            "mailbox unknown",
            "unknown address",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no such address",
            "no such person",
            "no mailbox here by that name",
            "not a valid mailbox",
            "invalid recipient",
            "invalid mailbox",
            "mailbox not found",
            "recipient not found",
            "recipientnotfound",
            "user not found",
            "user doesn't exist",
            "user does not exist",
            "mailbox does not exist",
            "account does not exist",
            "address does not exist",
            "unrouteable address",
            "undeliverable address",
            "does not have a yahoo",
            "doesn't have a yahoo",
            // Exchange Online about addresses that it does not know.
            "recipient address rejected: access denied",
        ],
    ),
    (
        Class::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "inbox is full",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded+quota",
            "out of storage",
            "exceeded storage allocation",
            "insufficient storage+mailbox",
        ],
    ),
    (
        Class::Disabled,
        &[
            "account is disabled",
            "account disabled",
            "account has been disabled",
            "mailbox disabled",
            "mailbox is disabled",
            "account is inactive",
            "account inactive",
            "account suspended",
            "account is suspended",
            "user suspended",
            "mailbox is inactive",
            "is no longer active",
            "account inbounds disabled",
        ],
    ),
    (
        Class::TooLarge,
        &[
            "message too large",
            "message too big",
            "message is too large",
            "size exceeds",
            "exceeds size",
            "exceeded+size limit",
            "exceeded the maximum size",
            "exceeds fixed limit",
            "message size",
        ],
    ),
    (
        Class::Tls,
        &[
            "must issue a starttls",
            "starttls first",
            "tls is required",
            "tls required",
        ],
    ),
    (
        Class::AuthRequired,
        &[
            "authentication required",
            "authentication is required",
            "authentication needed",
            "client was not authenticated",
            "client not authenticated",
            "please log in",
            "must authenticate",
        ],
    ),
    (
        Class::Unauthenticated,
        &[
            "dmarc",
            "dkim",
            "spf check",
            "spf fail",
            "failed spf",
            "fails spf",
            "spf validation",
            "sender policy framework",
            "not allowed to send mail from",
            "unauthenticated email",
            "sender authentication",
        ],
    ),
    (
        Class::Reputation,
        &[
            "spamhaus",
            "spamcop",
            "barracudacentral",
            "sorbs",
            "uceprotect",
            "blocked using",
            "listed at",
            "listed in",
            "listed on",
            "block list",
            "blocklist",
            "blocklisted",
            "blacklist",
            "black list",
            "dnsbl",
            "rbl",
            "reputation",
            "low reputation",
            "sender score",
            "ipcheck.proofpoint",
            "dnsbl-lookup",
            "weren't sent+block",
            "banned sending ip",
            "tosa@rx.t-online.de",
            "ip address is blocked",
            "your ip",
            "bl0000",
            "[bl2",
            "senderbase",
            "talosintelligence",
            "blocked - see",
        ],
    ),
    (
        Class::Content,
        &[
            "spam message",
            "message rejected as spam",
            "considered spam",
            "classified as spam",
            "identified as spam",
            "detected as spam",
            "looks like spam",
            "likely unsolicited",
            "likely suspicious",
            "spam content",
            "this message+spam",
            "virus",
            "malware",
            "phishing",
            "content rejected",
            "message content",
            "prohibited attachment",
            "rfc 5322",
            "rfc5322",
            "header from",
        ],
    ),
    (
        Class::ServerTrouble,
        &[
            "insufficient system",
            "insufficient disk",
            "out of memory",
            "local problem",
            "local error",
            "temporary server error",
            "temporary system problem",
            "temporary problem",
            "temporarily unavailable",
            "service not available",
            "service unavailable",
            "shutting down",
            "server configuration",
            "configuration error",
            "lookup fail",
        ],
    ),
    (
        Class::Policy,
        &[
            "policy",
            "administrative prohibition",
            "blocked",
            "banned",
            "access denied",
            "not allowed",
            "not accepted",
            "prohibited",
            "rejected by recipient",
            "sender rejected",
            "sender verify",
            "sender address rejected",
        ],
    ),
];

#[cfg(test)]
mod tests;
