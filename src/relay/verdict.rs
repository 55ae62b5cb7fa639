//! From what a conversation brought to what becomes of the recipients.
//!
//! Pure. Translates fates and failures of `smtp::client` into the queue's diagnoses, and a
//! temporary failure into a time, through the schedule.

use std::io;

use super::{
    board::Heard,
    hosts::{Target, Unroutable},
    kind::kind_of,
    protect::By,
};
use crate::{
    queue::record::{Advice, Class, Diagnosis, Status},
    smtp::client::{
        Cause, Failure, Fate,
        classify::Stage,
        reply::{Enhanced, Reply},
    },
};

/// What one attempt brought for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The peer took responsibility, and for what the sender wants to be told, too.
    Delivered(Diagnosis),
    /// The peer took responsibility and will not tell of success.
    Relayed(Diagnosis),
    /// The peer took responsibility, which is told for RFC 2852.
    Traced(Diagnosis),
    /// It goes into a mailbox here.
    Here(Diagnosis),
    /// Try again later.
    Later(Diagnosis),
    /// Report to the sender.
    Never(Diagnosis),
    /// Try again in the next transaction; should there be none, later.
    TooMany(Diagnosis),
}

impl Finding {
    /// What a fate at `host` means; nothing when nothing was tried.
    pub(super) fn of(host: &str, fate: &Fate) -> Option<Self> {
        let said = |stage: &Stage, reply: &Reply| diagnosis(host, reply).of(kind_of(*stage, reply));
        let taken = |reply| {
            let mut why = diagnosis(host, reply);
            // RFC 2034 4: of the class of its code, whatever it says.
            why.status.0 = SUCCESS;
            why
        };
        let ours =
            |status, text: &str, class| Diagnosis::new(Some(host), 0, status, text).of(class);
        Some(match fate {
            Fate::Delivered(reply) => Self::Delivered(taken(reply)),
            Fate::Later(stage, reply) => Self::Later(said(stage, reply)),
            Fate::Never(stage, reply) => Self::Never(said(stage, reply)),
            Fate::TooMany(reply) => Self::TooMany(diagnosis(host, reply)),
            Fate::Broken(stage, cause) => {
                let text = format!("the conversation broke at {stage}: {cause}");
                Self::Later(ours(Status(4, 4, 2), &text, Class::Unreachable))
            }
            Fate::NeedsUtf8 => {
                let text = "the message needs SMTPUTF8, which the server does not offer";
                Self::Never(ours(Status(5, 6, 7), text, Class::Unsupported))
            }
            Fate::NeedsTls => {
                let text = "the message requires TLS, and this server is not known to be the right \
                            one";
                Self::Never(ours(Status(5, 7, 10), text, Class::Tls))
            }
            Fate::NeedsRequireTls => {
                let text = "the message requires TLS, and the server does not offer REQUIRETLS";
                Self::Never(ours(Status(5, 7, 30), text, Class::Tls))
            }
            Fate::TooLarge(most) => {
                let text = format!("the message is larger than the {most} bytes the server takes");
                Self::Never(ours(Status(5, 3, 4), &text, Class::TooLarge))
            }
            Fate::NeedsBinary => {
                let text = "the message is binary, and the server does not offer BINARYMIME";
                Self::Never(ours(Status(5, 6, 1), text, Class::Unsupported))
            }
            Fate::NeedsDeliverBy => {
                let text = "the message goes back when it is late, and the server does not offer \
                            DELIVERBY";
                Self::Never(ours(Status(5, 3, 3), text, Class::Unsupported))
            }
            Fate::TooLate => {
                let text = "the server does not deliver in the time that is left";
                Self::Never(ours(Status(5, 4, 7), text, Class::Unsupported))
            }
            Fate::NotYet => return None,
        })
    }

    /// What was refused or failed, and why.
    fn refusal(&self) -> Option<&Diagnosis> {
        match self {
            Self::Later(why) | Self::Never(why) | Self::TooMany(why) => Some(why),
            Self::Delivered(_) | Self::Relayed(_) | Self::Traced(_) | Self::Here(_) => None,
        }
    }

    /// What follows from a refusal beside the schedule.
    pub(super) fn advice(&self) -> Option<Advice> {
        self.refusal().map(Diagnosis::advice)
    }

    /// The same from a peer that does not know what senders want to be told (RFC 3461 5.2.2).
    pub(super) fn untold(self) -> Self {
        match self {
            Self::Delivered(why) => Self::Relayed(why),
            other => other,
        }
    }

    /// The same when the sender is to hear of each server that passes his message on (RFC 2852 4).
    pub(super) fn traced(self) -> Self {
        match self {
            Self::Delivered(why) | Self::Relayed(why) => Self::Traced(why),
            other => other,
        }
    }

    /// What is left to be told of an outcome that had no place before.
    pub(super) fn reported(why: Diagnosis) -> Self {
        match why.status {
            // Only what is told is kept.
            Status(SUCCESS, ..) => Self::Traced(why),
            _ => Self::Never(why),
        }
    }

    /// What it means that no host could be spoken to.
    pub(super) fn unroutable(why: &Unroutable) -> Self {
        let class = match why.status {
            Status(_, 1, _) | Status(5, ..) => Class::UnknownDomain,
            _ => Class::Dns,
        };
        let diagnosis = Diagnosis::new(None, 0, why.status, &why.text).of(class);
        if why.permanent {
            Self::Never(diagnosis)
        } else {
            Self::Later(diagnosis)
        }
    }
}

/// What the findings of one transaction say of how the destination likes our pace. What is
/// said of one mailbox says nothing of it, nor does greylisting.
pub(super) fn heard(findings: &[(u32, Finding)]) -> Option<Heard> {
    let all = || findings.iter().map(|(_, finding)| finding);
    let mut refusals = all().filter_map(Finding::refusal);
    if refusals.any(|why| why.advice() == Advice::Rest) {
        return Some(Heard::Less);
    }
    if all().any(|finding| finding.refusal().is_none()) {
        return Some(Heard::Taken);
    }
    let may_be_us = |finding: &Finding| match finding {
        Finding::Later(why) => why.advice() != Advice::Soon && !why.class.is_of_mailbox(),
        _ => false,
    };
    all().any(may_be_us).then_some(Heard::Deferred)
}

/// The words that asked for less.
pub(super) fn wish_for_less(findings: &[(u32, Finding)]) -> Option<&Diagnosis> {
    let mut refusals = findings.iter().filter_map(|(_, found)| found.refusal());
    refusals.find(|why| why.advice() == Advice::Rest)
}

/// What is said of a recipient whose message is not wanted any more (RFC 2852 4).
pub(super) fn too_late(last: Option<&Diagnosis>) -> Diagnosis {
    let text = "the time is over in which its sender wanted the message delivered";
    ours(Status(5, 4, 7), text, last)
}

/// Our own words, with what the last attempt brought.
pub(super) fn ours(status: Status, text: &str, last: Option<&Diagnosis>) -> Diagnosis {
    let text = match last {
        Some(last) => format!("{text}; the last attempt: {}", last.text()),
        None => text.to_owned(),
    };
    // It goes on being what it was.
    let class = last.map_or(Class::Other, |last| last.class);
    Diagnosis::new(None, 0, status, &text).of(class)
}

/// Why a conversation could not be opened that had to be as `by` demands.
pub(super) fn unopened(host: &str, failure: &Failure, by: By) -> Diagnosis {
    if by.is_policy() && failure.stage == Stage::StartTls {
        let text = format!("{by} demands what the server has not: {}", failure.cause);
        let code = failure.reply().map_or(0, |reply| reply.code);
        return Diagnosis::new(Some(host), code, Status(4, 7, 5), &text).of(Class::Tls);
    }
    if let Some(reply) = failure.reply() {
        return diagnosis(host, reply).of(kind_of(failure.stage, reply));
    }
    let (status, class) = match (&failure.cause, failure.stage) {
        (Cause::AuthNotOffered | Cause::AuthNeedsTls, _) | (_, Stage::Auth) => {
            (Status(4, 7, 0), Class::AuthRequired)
        }
        (_, Stage::StartTls) => (Status(4, 7, 5), Class::Tls),
        _ => (Status(4, 4, 2), Class::Unreachable),
    };
    let text = format!(
        "the conversation broke at {}: {}",
        failure.stage, failure.cause
    );
    Diagnosis::new(Some(host), 0, status, &text).of(class)
}

/// What happened to a connection, for people: without the system's number for it, where Rust has a
/// word.
pub(super) fn shown_error(error: &io::Error) -> String {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::TimedOut) => kind.to_string(),
        _ => error.to_string(),
    }
}

/// Why a connection was not made.
pub(super) fn unconnected(host: &str, why: &str) -> Diagnosis {
    let text = format!("the connection was not made: {why}");
    Diagnosis::new(Some(host), 0, Status(4, 4, 1), &text).of(Class::Unreachable)
}

/// A target as it stands in logs and reports.
pub(super) fn shown(target: &Target) -> String {
    let Target { host, address, .. } = target;
    if host.parse() == Ok(*address) {
        return format!("[{address}]");
    }
    format!("{host} [{address}]")
}

/// RFC 3463 2: the class of what went well.
const SUCCESS: u8 = 2;

fn diagnosis(host: &str, reply: &Reply) -> Diagnosis {
    let status = match reply.enhanced {
        Some(Enhanced(class, subject, detail)) => Status(class, subject, detail),
        // RFC 3463 2: nothing more is known.
        None => Status(u8::try_from(reply.code / 100).unwrap_or(4), 0, 0),
    };
    Diagnosis::new(Some(host), reply.code, status, &reply.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, enhanced: Option<Enhanced>) -> Reply {
        Reply {
            code,
            enhanced,
            lines: vec!["a".to_owned(), "b".to_owned()],
        }
    }

    #[test]
    fn hosts_and_errors_are_shown_for_people() {
        let target = |host: &str| Target {
            host: host.to_owned(),
            address: [192, 0, 2, 1].into(),
            port: 25,
            preference: 0,
        };
        assert_eq!(shown(&target("mx.example")), "mx.example [192.0.2.1]");
        assert_eq!(shown(&target("192.0.2.1")), "[192.0.2.1]");
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(shown_error(&refused), "connection refused");
        assert_eq!(shown_error(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn q_03_what_is_heard_of_a_destination() {
        let why = |code, class| Diagnosis::new(Some("mx"), code, Status(4, 0, 0), "").of(class);
        let later = |code, class| Finding::Later(why(code, class));
        let taken = || Finding::Relayed(why(250, Class::Other));
        for (findings, expected) in [
            (vec![taken()], Some(Heard::Taken)),
            (vec![taken(), later(450, Class::Other)], Some(Heard::Taken)),
            (vec![taken(), later(421, Class::Other)], Some(Heard::Less)),
            (vec![later(450, Class::RateLimited)], Some(Heard::Less)),
            (vec![later(450, Class::Other)], Some(Heard::Deferred)),
            (vec![later(0, Class::Unreachable)], Some(Heard::Deferred)),
            (vec![later(450, Class::Greylisted)], None),
            (vec![later(421, Class::Greylisted)], None),
            (vec![later(452, Class::MailboxFull)], None),
            (vec![Finding::Never(why(550, Class::UnknownUser))], None),
            (
                vec![Finding::Never(why(550, Class::RateLimited))],
                Some(Heard::Less),
            ),
            (Vec::new(), None),
        ] {
            let shown = format!("{findings:?}");
            let findings: Vec<_> = (0..).zip(findings).collect();
            assert_eq!(heard(&findings), expected, "{shown}");
        }
    }

    #[test]
    fn fates_become_findings_with_a_status() {
        let host = "mx [192.0.2.1]";
        let e = Some(Enhanced(5, 1, 1));
        for (fate, expected) in [
            (
                Fate::Never(Stage::Rcpt, reply(550, e)),
                Finding::Never(
                    Diagnosis::new(Some(host), 550, Status(5, 1, 1), "a b").of(Class::UnknownUser),
                ),
            ),
            (
                Fate::Later(Stage::Rcpt, reply(451, None)),
                Finding::Later(Diagnosis::new(Some(host), 451, Status(4, 0, 0), "a b")),
            ),
        ] {
            assert_eq!(Finding::of(host, &fate), Some(expected));
        }
        let status = |fate| match Finding::of(host, &fate) {
            Some(Finding::Later(why) | Finding::Never(why)) => (why.code, why.status),
            _ => unreachable!(),
        };
        assert_eq!(status(Fate::NeedsUtf8), (0, Status(5, 6, 7)));
        assert_eq!(status(Fate::NeedsTls), (0, Status(5, 7, 10)));
        assert_eq!(status(Fate::NeedsRequireTls), (0, Status(5, 7, 30)));
        assert_eq!(status(Fate::TooLarge(5)), (0, Status(5, 3, 4)));
        assert_eq!(status(Fate::NeedsBinary), (0, Status(5, 6, 1)));
        assert_eq!(status(Fate::NeedsDeliverBy), (0, Status(5, 3, 3)));
        assert_eq!(status(Fate::TooLate), (0, Status(5, 4, 7)));
        assert_eq!(Finding::of(host, &Fate::NotYet), None);
        let broken = Fate::Broken(Stage::Content, "x".to_owned());
        assert_eq!(status(broken), (0, Status(4, 4, 2)));
    }
}
