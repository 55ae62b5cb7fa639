//! What servers really say, and what kind it is.

use super::*;
use Class as C;

/// A reply as it stands on the wire, its lines joined: code, perhaps a status, words.
fn reply(line: &str) -> Reply {
    let (code, text) = line.split_once([' ', '-']).unwrap();
    let code: u16 = code.parse().unwrap();
    let status = text.split(' ').next().unwrap_or_default();
    let numbers: Option<Vec<u16>> = status.split('.').map(|part| part.parse().ok()).collect();
    let enhanced = match numbers.as_deref() {
        Some([class, subject, detail]) if *class == code / 100 => {
            Some(Enhanced(u8::try_from(*class).unwrap(), *subject, *detail))
        }
        _ => None,
    };
    let text = match enhanced {
        Some(_) => text.split_once(' ').map_or("", |(_, rest)| rest),
        None => text,
    };
    Reply {
        code,
        enhanced,
        lines: vec![text.to_owned()],
    }
}

fn check(stage: Stage, rows: &[(&str, Class)]) {
    for (line, class) in rows {
        assert_eq!(kind_of(stage, &reply(line)), *class, "{line}");
    }
}

#[test]
fn q_03_greylisting_is_told_from_other_delays() {
    check(Stage::Rcpt, DELAYS);
}

#[test]
fn q_03_rate_limits_are_told_from_a_bad_name() {
    check(Stage::Mail, LIMITS);
}

#[test]
fn q_03_what_is_said_of_us_and_of_our_message() {
    check(Stage::Rcpt, OF_US);
}

#[test]
fn q_03_what_is_said_of_a_mailbox() {
    check(Stage::Rcpt, OF_MAILBOXES);
}

#[test]
fn q_03_what_is_said_of_content() {
    check(Stage::Content, OF_CONTENT);
}

#[test]
fn a_status_behind_the_words_is_qmails() {
    for (text, status) in [
        ("sorry (#5.1.1)", Some(Enhanced(5, 1, 1))),
        ("(#4.3.0)", Some(Enhanced(4, 3, 0))),
        ("(#2.0.0)", None),
        ("(#5.1)", None),
        ("(#5.1.1) and more", None),
        ("(#99999999.1.1)", None),
    ] {
        assert_eq!(qmail_status(text), status, "{text}");
    }
}

const DELAYS: &[(&str, C)] = &[
    (
        "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see \
         http://postgrey.schweikert.ch/help/b.example.html",
        C::Greylisted,
    ),
    (
        "451 4.7.1 Greylisting in action, please come back later",
        C::Greylisted,
    ),
    (
        "450 4.7.1 <a@b.example>: Recipient address rejected: greylisted for 300 s",
        C::Greylisted,
    ),
    ("451 4.7.1 Try again later", C::Greylisted),
    (
        "451 You are greylisted. Please try again in 5 minutes",
        C::Greylisted,
    ),
    (
        "421 4.7.0 [GL01] Message from (192.0.2.1) temporarily deferred",
        C::Greylisted,
    ),
    (
        "451 Internal resources are temporarily unavailable - \
         https://community.mimecast.com/docs/DOC-1369#451 [x]",
        C::Greylisted,
    ),
    (
        "451 Temporary failure, please try again later.",
        C::Greylisted,
    ),
    ("451 4.3.0 Temporary lookup failure", C::ServerTrouble),
    (
        "451 Temporary local problem - please try later",
        C::ServerTrouble,
    ),
    ("450 4.3.2 Service currently unavailable", C::ServerTrouble),
    (
        "451 4.7.0 Temporary server error. Please try again later. PRX2",
        C::ServerTrouble,
    ),
];

const LIMITS: &[(&str, C)] = &[
    (
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected \
         volume or user complaints - 4.16.55.1",
        C::RateLimited,
    ),
    (
        "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from \
         your IP address.",
        C::RateLimited,
    ),
    (
        "421 4.7.0 Our system has detected an unusual rate of mail from your IP address",
        C::RateLimited,
    ),
    (
        "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712)",
        C::RateLimited,
    ),
    (
        "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due to \
         IP reputation.",
        C::RateLimited,
    ),
    (
        "421 4.7.0 mx.example Error: too many connections from 192.0.2.1",
        C::RateLimited,
    ),
    (
        "450 4.7.1 Error: too much mail from 192.0.2.1",
        C::RateLimited,
    ),
    (
        "421 Too many concurrent SMTP connections; please try again later.",
        C::RateLimited,
    ),
    ("450 Mail send limit exceeded.", C::RateLimited),
    ("451 4.7.1 Ratelimit \"to_ip\" exceeded", C::RateLimited),
    ("451 4.4.5 System congested", C::RateLimited),
    ("421 4.3.2 The server is shutting down", C::ServerTrouble),
    (
        "421 4.4.2 mx.example Error: timeout exceeded",
        C::ServerTrouble,
    ),
    ("421 ", C::ServerTrouble),
];

const OF_US: &[(&str, C)] = &[
    (
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
         zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
        C::Reputation,
    ),
    (
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact \
         your Internet service provider since part of their network is on our block list \
         (S3140).",
        C::Reputation,
    ),
    (
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
        C::Reputation,
    ),
    (
        "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip \
         is in Spamhaus's list",
        C::Reputation,
    ),
    (
        "550 5.7.0 Blocked - see \
         https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1",
        C::Reputation,
    ),
    (
        "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
        C::Reputation,
    ),
    (
        "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact \
         tosa@rx.t-online.de to clarify.)",
        C::Reputation,
    ),
    (
        "550 5.7.1 Gmail has detected that this message is likely suspicious due to the \
         very low reputation of the sending domain.",
        C::Reputation,
    ),
    (
        "550 5.7.26 This mail is unauthenticated, which poses a security risk",
        C::Unauthenticated,
    ),
    (
        "550 5.7.509 Access denied, sending domain example.org does not pass DMARC",
        C::Unauthenticated,
    ),
    (
        "550 5.7.515 Access denied, sending domain example.org doesn't meet the required \
         authentication level.",
        C::Unauthenticated,
    ),
    (
        "550 5.7.1 [CS01] Message rejected due to local policy.",
        C::Policy,
    ),
    (
        "554 5.7.9 Message not accepted for policy reasons.",
        C::Policy,
    ),
    (
        "550 Administrative prohibition - envelope blocked",
        C::Policy,
    ),
    ("550 5.7.1 no", C::Policy),
    (
        "550 5.7.25 The IP address sending this message does not have a PTR record",
        C::NoReverseDns,
    ),
    (
        "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
        C::NoReverseDns,
    ),
    (
        "450 4.7.1 Client host rejected: cannot find your reverse hostname",
        C::NoReverseDns,
    ),
    (
        "554-web.de (mxweb106) Nemesis ESMTP Service not available No SMTP service Bad DNS \
         PTR resource record.",
        C::NoReverseDns,
    ),
    (
        "550 5.7.1 [2001:db8::1] Our system has detected that this message does not meet \
         IPv6 sending guidelines regarding PTR records and authentication.",
        C::Ipv6Refused,
    ),
    (
        "450 4.7.26 Service unavailable, message sent over IPv6 [2001:db8::1] must pass \
         either SPF or DKIM validation",
        C::Ipv6Refused,
    ),
    (
        "450 4.7.25 Service unavailable, sending IPv6 address [2001:db8::1] must have \
         reverse DNS record",
        C::Ipv6Refused,
    ),
    ("554 5.7.1 Relay access denied", C::RelayingDenied),
    (
        "550 5.7.64 TenantAttribution; Relay Access Denied",
        C::RelayingDenied,
    ),
    (
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        C::RelayingDenied,
    ),
    (
        "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail",
        C::AuthRequired,
    ),
    ("530 5.7.1 Authentication required", C::AuthRequired),
    ("530 Must issue a STARTTLS command first", C::Tls),
    ("550 5.7.10 Encryption needed", C::Tls),
];

const OF_MAILBOXES: &[(&str, C)] = &[
    (
        "550 5.1.1 The email account that you tried to reach does not exist. \
         https://support.google.com/mail/?p=NoSuchUser",
        C::UnknownUser,
    ),
    (
        "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in virtual \
         mailbox table",
        C::UnknownUser,
    ),
    (
        "450 4.1.1 <a@b.example>: Recipient address rejected: unverified address",
        C::UnknownUser,
    ),
    (
        "550 5.4.1 Recipient address rejected: Access denied. [x]",
        C::UnknownUser,
    ),
    (
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address \
         lookup",
        C::UnknownUser,
    ),
    ("556 5.1.10 Recipient address has null MX", C::UnknownDomain),
    (
        "550 sorry, no mailbox here by that name (#5.1.1)",
        C::UnknownUser,
    ),
    ("550 Unrouteable address", C::UnknownUser),
    (
        "554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) \
         [0]",
        C::UnknownUser,
    ),
    (
        "550 Requested action not taken: mailbox unavailable",
        C::Other,
    ),
    (
        "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550",
        C::UnknownUser,
    ),
    (
        "452 4.2.2 The recipient's inbox is out of storage space.",
        C::MailboxFull,
    ),
    (
        "552 5.2.2 This message is larger than the current system limit or the recipient's \
         mailbox is full.",
        C::MailboxFull,
    ),
    (
        "552 Requested mail action aborted: exceeded storage allocation",
        C::MailboxFull,
    ),
    ("552 ", C::MailboxFull),
    ("554 5.2.2 mailbox full; STOREDRV.Deliver", C::MailboxFull),
    (
        "550 5.2.1 The email account that you tried to reach is disabled.",
        C::Disabled,
    ),
    (
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
        C::MailboxBusy,
    ),
    (
        "550 5.2.1 The user you are trying to contact is receiving mail at a rate that \
         prevents additional messages from being delivered.",
        C::MailboxBusy,
    ),
    (
        "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded",
        C::MailboxBusy,
    ),
];

const OF_CONTENT: &[(&str, C)] = &[
    ("554 5.7.1 Spam message rejected", C::Content),
    (
        "550 5.7.1 Our system has detected that this message is likely unsolicited mail.",
        C::Content,
    ),
    ("550 5.6.0 the message has no From", C::Content),
    ("554 5.7.1 virus Eicar found", C::Content),
    (
        "552 5.7.0 This message was blocked because its content presents a potential \
         security issue. malware",
        C::Content,
    ),
    (
        "552 5.3.4 Message size exceeds fixed maximum message size",
        C::TooLarge,
    ),
    (
        "552 5.2.3 Your message exceeded Google's message size limits.",
        C::TooLarge,
    ),
    ("552 too much", C::TooLarge),
    ("452 4.3.1 Insufficient system storage", C::ServerTrouble),
    ("554 transaction failed", C::Other),
    ("250 2.0.0 ok", C::Other),
];
