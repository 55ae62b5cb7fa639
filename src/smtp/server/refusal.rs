//! Refusals and faults of the server, and the only place where they become replies and log lines.

use super::super::proto::{
    command::ClientName,
    reply::{Detail, Reply},
};
use super::header::Unfit;
use crate::{
    base::{ids::MessageId, text::Quoted},
    mail::envelope::{ForwardPath, ReversePath},
    mailbox::IntakeError,
    net::Peer,
    route::{Refusal, RouteFault},
};

/// What we do not take, for a reason of the peer's or of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// LIM-13.
    TooLarge,
    /// DUR-04.
    NoRoom,
    /// AUTH-07: MAIL FROM.
    NotYourSender,
    /// AUTH-07: From.
    NotYourFrom,
    /// RFC 6531 3.4.
    NeedsSmtputf8,
    /// RFC 8689 2: REQUIRETLS without TLS.
    NeedsTls,
    /// RFC 4865: it does not wait here for those who did not log in.
    HoldNotServed,
    /// RFC 4865: the time to wait for is over.
    HoldOver,
    /// RFC 4865: it does not wait that long.
    HoldTooLong,
    /// LIM-14.
    TooManyRecipients,
    NoTransaction,
    NoRecipients,
    /// RFC 5321 2.3.8: what others could take for an end of data.
    BareLineEnd,
    Nul,
    /// LIM-12.
    LineTooLong,
    /// LIM-29.
    HeaderTooLarge,
    Header(Unfit),
    /// RFC 9989 5.3: the author's domain wants it so.
    Policy,
    /// DMARC-01: there is no single author with a domain to ask.
    UnclearFrom,
    /// DNS-02: it cannot be found out now whether the author's domain wants it.
    NotVerifiedNow,
    Route(Refusal),
}

impl Refused {
    /// Its name in the mail log; part of the log's contract.
    fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "message-too-large",
            Self::NoRoom | Self::Route(Refusal::NoRoom) => "no-room",
            Self::Route(Refusal::TooFast(_)) => "too-fast",
            Self::NotYourSender => "sender-not-owned",
            Self::NotYourFrom => "from-not-owned",
            Self::NeedsSmtputf8 => "needs-smtputf8",
            Self::NeedsTls => "needs-tls",
            Self::HoldNotServed => "hold-not-served",
            Self::HoldOver => "hold-over",
            Self::HoldTooLong => "hold-too-long",
            Self::TooManyRecipients => "too-many-recipients",
            Self::NoTransaction => "no-transaction",
            Self::NoRecipients => "no-recipients",
            Self::BareLineEnd => "bare-line-end",
            Self::Nul => "zero-byte",
            Self::LineTooLong => "line-too-long",
            Self::HeaderTooLarge => "header-too-large",
            Self::Header(Unfit::FieldTooLong) => "field-too-long",
            Self::Header(Unfit::TooManyFields) => "too-many-fields",
            Self::Header(Unfit::Loop) => "loop",
            Self::Header(Unfit::TwoFroms) => "two-froms",
            Self::Header(Unfit::NoFrom) => "no-from",
            Self::Policy => "dmarc-policy",
            Self::UnclearFrom => "unclear-from",
            Self::NotVerifiedNow => "not-verified-now",
            Self::Route(Refusal::UnknownRecipient) => "unknown-recipient",
            Self::Route(Refusal::RelayDenied) => "relay-denied",
            Self::Route(Refusal::OverQuota) => "over-quota",
            Self::Route(Refusal::Misconfigured) => "misconfigured-recipient",
            Self::Route(Refusal::TooManyCopies) => "too-many-copies",
            Self::Route(Refusal::NotAWriter) => "not-a-writer",
            Self::Route(Refusal::TooManyLists) => "too-many-groups",
            Self::Route(Refusal::Circle) => "loop",
            Self::Route(Refusal::NotRewrittenHere) => "not-rewritten-here",
            Self::Route(Refusal::RewrittenLongAgo) => "rewritten-long-ago",
            Self::Route(Refusal::ReportsOnly) => "reports-only",
            Self::Route(Refusal::Changed) => "recipient-changed",
        }
    }
}

/// What failed on our side.
#[derive(Debug, thiserror::Error)]
pub enum SmtpFault {
    /// Nobody could say where a message goes, or it could not be stored.
    #[error("a message could not be routed")]
    Route(#[from] RouteFault),
    /// The body could not be stored.
    #[error("a message could not be taken in")]
    Intake(#[source] IntakeError),
}

impl From<&SmtpFault> for Reply {
    fn from(fault: &SmtpFault) -> Self {
        match fault {
            SmtpFault::Route(_) | SmtpFault::Intake(_) => Self::new(
                451,
                Detail(3, 0),
                "something is wrong here, try again later",
            ),
        }
    }
}

impl From<&Refused> for Reply {
    fn from(refused: &Refused) -> Self {
        let (code, detail, text) = match refused {
            Refused::TooLarge => (
                552,
                Detail(3, 4),
                "the message is too large; EHLO tells the limit",
            ),
            Refused::NoRoom => (452, Detail(3, 1), "no room for mail now, try again later"),
            Refused::NotYourSender => (553, Detail(7, 1), "this sender address is not yours"),
            Refused::NotYourFrom => (
                553,
                Detail(7, 1),
                "From or Sender has an address that is not yours",
            ),
            Refused::NeedsSmtputf8 => return crate::smtp::proto::parse::needs_smtputf8(),
            Refused::NeedsTls => (
                530,
                Detail(7, 10),
                "REQUIRETLS needs TLS; STARTTLS begins it",
            ),
            Refused::HoldNotServed => (
                555,
                Detail(5, 4),
                "messages wait for their time only for those who log in",
            ),
            Refused::HoldOver => (501, Detail(5, 4), "the time to wait for is over"),
            Refused::HoldTooLong => (
                501,
                Detail(5, 4),
                "the message does not wait that long; EHLO and BY tell the limits",
            ),
            Refused::TooManyRecipients => (
                452,
                Detail(5, 3),
                "too many recipients; send the message again to the rest",
            ),
            Refused::NoTransaction => (503, Detail(5, 1), "MAIL FROM comes first"),
            Refused::NoRecipients => (554, Detail(5, 1), "no valid recipients"),
            Refused::BareLineEnd => (
                550,
                Detail(6, 11),
                "the message has a bare CR or LF; lines end in CR LF",
            ),
            Refused::Nul => (550, Detail(6, 0), "the message has a zero byte"),
            Refused::LineTooLong => (554, Detail(6, 0), "the message has a line that is too long"),
            Refused::HeaderTooLarge => (554, Detail(6, 0), "the header is too large"),
            Refused::Header(unfit) => unfit_header(*unfit),
            Refused::Policy => (
                550,
                Detail(7, 1),
                "the domain in From wants this refused: neither SPF nor DKIM vouch for it (DMARC)",
            ),
            Refused::UnclearFrom => (
                550,
                Detail(7, 1),
                "From must be there once, with an address that has a domain",
            ),
            Refused::NotVerifiedNow => (
                451,
                Detail(7, 1),
                "the DNS does not say now who this is from, try again later",
            ),
            Refused::Route(Refusal::TooFast(full)) => {
                return Self::new(450, Detail(7, 1), full.to_string());
            }
            Refused::Route(refusal) => refused_by_route(*refusal),
        };
        Self::new(code, detail, text)
    }
}

fn unfit_header(unfit: Unfit) -> (u16, Detail, &'static str) {
    match unfit {
        Unfit::FieldTooLong => (554, Detail(6, 0), "a header field is too long"),
        Unfit::TooManyFields => (554, Detail(6, 0), "the header has too many fields"),
        Unfit::Loop => (554, Detail(4, 6), "too many hops, this is a mail loop"),
        Unfit::TwoFroms => (554, Detail(6, 0), "the header has more than one From field"),
        Unfit::NoFrom => (554, Detail(6, 0), "the header has no From field"),
    }
}

fn refused_by_route(refusal: Refusal) -> (u16, Detail, &'static str) {
    match refusal {
        Refusal::UnknownRecipient => (550, Detail(1, 1), "no such address here"),
        Refusal::RelayDenied => (
            550,
            Detail(7, 1),
            "relaying denied; our users send through ports 465 and 587",
        ),
        Refusal::OverQuota => (452, Detail(2, 2), "the mailbox is full"),
        Refusal::NoRoom => (452, Detail(3, 1), "no room for mail now, try again later"),
        // Never asked: it says more than a fixed text (above).
        Refusal::TooFast(_) => (450, Detail(7, 1), "too many recipients, try again later"),
        Refusal::Misconfigured => (
            451,
            Detail(3, 5),
            "this address is not set up right, try again later",
        ),
        Refusal::TooManyCopies => (
            452,
            Detail(5, 3),
            "too many copies; send the message again to fewer recipients",
        ),
        // RFC 3463 3.8.
        Refusal::NotAWriter => (
            550,
            Detail(7, 2),
            "this group takes no mail from this sender; NAME-owner reaches those who run it",
        ),
        Refusal::TooManyLists => (
            452,
            Detail(5, 3),
            "too many groups; send the message again to the rest",
        ),
        Refusal::Circle => (
            554,
            Detail(4, 6),
            "this came back to an address that passed it on before, this is a mail loop",
        ),
        Refusal::NotRewrittenHere => (
            550,
            Detail(1, 1),
            "this looks like a rewritten sender (SRS), but this server did not write it",
        ),
        Refusal::RewrittenLongAgo => (550, Detail(1, 1), "this rewritten sender (SRS) has expired"),
        Refusal::ReportsOnly => (
            550,
            Detail(7, 1),
            "this is a rewritten sender (SRS): it takes reports only, which come from <>",
        ),
        Refusal::Changed => (
            451,
            Detail(3, 0),
            "a recipient changed meanwhile, try again",
        ),
    }
}

/// What a refusal is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    /// The transaction.
    pub id: MessageId,
    pub verb: &'static str,
    pub sender: &'a ReversePath,
    pub recipient: Option<&'a ForwardPath>,
}

/// One line in the mail log for something that was not taken.
pub(super) fn log_refusal(
    refused: &Refused,
    about: About<'_>,
    client: Option<&ClientName>,
    peer: &Peer,
) {
    let reply = Reply::from(refused);
    let to = about.recipient.map(ToString::to_string);
    tracing::info!(
        target: "mail",
        id = %about.id,
        verb = about.verb,
        code = reply.code(),
        reason = refused.reason(),
        from = %Quoted::str(&about.sender.to_string()),
        to = to.as_deref().map(Quoted::str).map(tracing::field::display),
        peer.ip = %peer.remote.ip(),
        helo = client.map(ClientName::as_str),
        "refused"
    );
}
