//! What a sender can do about a failure, in words for people who know nothing of mail servers.
//!
//! Pure: the kind of a failure and its RFC 3463 status in, a sentence or two out. The words of the
//! other server follow it in the report, so nothing here repeats them.

use std::time::Duration;

use crate::queue::record::{Class, Diagnosis, Status};

/// What to say of a recipient whom attempts failed to reach for this long.
pub(super) fn after_failure(why: &Diagnosis, tried: Duration) -> String {
    if why.status.0 == 4 {
        return given_up(why, tried);
    }
    let words = by_class(why.class).or_else(|| by_status(why.status));
    words
        .unwrap_or("It was refused for good. The reason:")
        .to_owned()
}

/// What to say of a delay, where its kind says something.
pub(super) fn of_delay(class: Class) -> Option<&'static str> {
    Some(match class {
        Class::Greylisted => {
            "The recipient's server has every sender that it does not know come back later. That \
             usually passes by itself."
        }
        Class::RateLimited => {
            "The recipient's server takes only so much mail in a time, and has more to do at the \
             moment."
        }
        Class::MailboxFull => "The recipient's mailbox is full.",
        Class::MailboxBusy => "The recipient gets more mail than is taken at once.",
        Class::Unreachable => "The recipient's server cannot be reached at the moment.",
        Class::Dns => "The DNS does not say at the moment where the recipient's mail goes.",
        Class::Tls => "The way to the recipient's server cannot be encrypted as it must be.",
        Class::ServerTrouble => "The recipient's server says that it has troubles of its own.",
        Class::Reputation | Class::NoReverseDns | Class::Ipv6Refused => {
            "The recipient's server does not trust the address of this mail server. If that lasts, \
             whoever runs this server should know."
        }
        _ => return None,
    })
}

/// What a kind of refusal says that is final.
fn by_class(class: Class) -> Option<&'static str> {
    Some(match class {
        Class::UnknownUser => {
            "There is no such address at its server. Look for a mistake in it, or ask the \
             recipient for another one."
        }
        Class::Disabled => "The recipient's mailbox is out of use.",
        Class::MailboxFull => {
            "The recipient's mailbox is full. Send the message again later, or tell the recipient \
             in another way."
        }
        Class::MailboxBusy => {
            "The recipient gets more mail than is taken at once. Send the message again later."
        }
        Class::TooLarge => {
            "The message is larger than the recipient's server takes. Send a smaller one, for \
             example without its attachments."
        }
        Class::Reputation | Class::NoReverseDns | Class::Ipv6Refused => {
            "The recipient's server does not trust this mail server: its address or its domain has \
             a bad name there, or its DNS entries are wrong. It is not about you or the \
             recipient, and sending again will not help. Show this report to whoever runs your \
             mail server."
        }
        Class::Unauthenticated => {
            "The recipient's server could not make sure that the message is from the address it \
             names (SPF, DKIM, DMARC). Show this report to whoever runs your mail server."
        }
        Class::Content => {
            "The recipient's server does not want this message: it takes it for spam, for harmful, \
             or for badly made. Other words, or no links and attachments, may do."
        }
        Class::RateLimited => {
            "The recipient's server takes no more mail from this one for now. Send the message \
             again later."
        }
        _ => return None,
    })
}

/// What a status says that is final.
fn by_status(status: Status) -> Option<&'static str> {
    Some(match status {
        Status(_, 1, 1 | 3 | 6) => return by_class(Class::UnknownUser),
        Status(_, 1, 2) | Status(_, 4, 4) => {
            "Its domain, the part behind the @, does not exist or has no mail server. Look for a \
             mistake in it."
        }
        Status(_, 1, 10) => {
            "Its domain, the part behind the @, takes no mail at all. Look for a mistake in it."
        }
        Status(_, 2, 1) => return by_class(Class::Disabled),
        Status(_, 2, 2) => return by_class(Class::MailboxFull),
        Status(_, 2 | 3, 3) | Status(_, 3, 4) => return by_class(Class::TooLarge),
        Status(_, 4, 6) => {
            "Mail for this address goes in circles: the DNS (MX) records of its domain lead back \
             to this server, which does not have it. Whoever runs the domain can mend that."
        }
        Status(_, 6, 7) => {
            "The address or the header has letters that the recipient's server does not \
             understand (SMTPUTF8). Ask the recipient for an address without them."
        }
        Status(_, 7, _) => {
            "The recipient's server has a rule against this message. If its words do not say what \
             to do, show this report to whoever runs your mail server."
        }
        _ => return None,
    })
}

/// Temporary failures that went on until the end of patience.
fn given_up(why: &Diagnosis, tried: Duration) -> String {
    let words = of_delay(why.class).map_or_else(String::new, |words| format!(" {words}"));
    format!(
        "The recipient's server could not be reached, or put the message off, for {}.{words} Send \
         it again later, or tell the recipient in another way.",
        spelt(tried)
    )
}

/// A span in its largest whole unit.
fn spelt(span: Duration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        0..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    match count {
        0 => "a moment".to_owned(),
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_words_and_the_rest_a_lead_in() {
        let tried = Duration::from_secs(5 * 86_400 + 60);
        for (status, part) in [
            (Status(5, 1, 1), "no such address"),
            (Status(5, 1, 2), "does not exist"),
            (Status(5, 4, 4), "no mail server"),
            (Status(5, 1, 10), "takes no mail"),
            (Status(5, 2, 2), "full"),
            (Status(5, 3, 4), "larger"),
            (Status(5, 4, 6), "circles"),
            (Status(5, 7, 26), "rule"),
            (Status(5, 0, 0), "The reason:"),
            (Status(4, 4, 1), "for 5 days"),
            (Status(4, 2, 2), "for 5 days"),
        ] {
            let said = after_failure(&Diagnosis::new(None, 0, status, ""), tried);
            assert!(said.contains(part), "{status}: {said}");
        }
    }

    #[test]
    fn the_kind_of_a_failure_is_told_in_words() {
        let tried = Duration::from_secs(7_200);
        for (class, code, part) in [
            (Class::UnknownUser, 5, "no such address"),
            (Class::Reputation, 5, "does not trust this mail server"),
            (Class::NoReverseDns, 5, "DNS entries"),
            (Class::Content, 5, "takes it for spam"),
            (Class::Unauthenticated, 5, "DMARC"),
            (Class::Policy, 5, "a rule against"),
            (
                Class::MailboxFull,
                4,
                "for 2 hours. The recipient's mailbox is full. Send it",
            ),
            (Class::Other, 4, "for 2 hours. Send it"),
        ] {
            let why = Diagnosis::new(None, 0, Status(code, 7, 1), "").of(class);
            let said = after_failure(&why, tried);
            assert!(said.contains(part), "{class:?}: {said}");
        }
        assert!(of_delay(Class::Greylisted).is_some_and(|said| said.contains("by itself")));
        assert_eq!(of_delay(Class::Other), None);
    }

    #[test]
    fn spans_are_spelt_in_their_largest_unit() {
        for (secs, text) in [
            (5, "a moment"),
            (60, "1 minute"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(spelt(Duration::from_secs(secs)), text);
        }
    }
}
