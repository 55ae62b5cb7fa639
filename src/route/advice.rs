//! What a sender can do about a failure, in words for people who know nothing of mail servers.
//!
//! Pure: an RFC 3463 status in, a sentence or two out. The words of the other server follow it in
//! the report, so nothing here repeats or guesses them.

use std::time::Duration;

use crate::queue::record::Status;

/// What to say of a recipient whom attempts failed to reach for this long.
pub(super) fn after_failure(status: Status, tried: Duration) -> String {
    let fixed = match status {
        Status(4, ..) => return given_up(tried),
        Status(_, 1, 1 | 3 | 6) => {
            "There is no such address at its server. Look for a mistake in it, or ask the \
             recipient for another one."
        }
        Status(_, 1, 2) | Status(_, 4, 4) => {
            "Its domain, the part behind the @, does not exist or has no mail server. Look for a \
             mistake in it."
        }
        Status(_, 1, 10) => {
            "Its domain, the part behind the @, takes no mail at all. Look for a mistake in it."
        }
        Status(_, 2, 1) => "The recipient's mailbox is out of use.",
        Status(_, 2, 2) => {
            "The recipient's mailbox is full. Send the message again later, or tell the recipient \
             in another way."
        }
        Status(_, 2 | 3, 3) | Status(_, 3, 4) => {
            "The message is larger than the recipient's server takes. Send a smaller one, for \
             example without its attachments."
        }
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
        _ => "It was refused for good. The reason:",
    };
    fixed.to_owned()
}

/// Temporary failures that went on until the end of patience.
fn given_up(tried: Duration) -> String {
    format!(
        "The recipient's server could not be reached, or put the message off, for {}. Send it \
         again later, or tell the recipient in another way.",
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
            let said = after_failure(status, tried);
            assert!(said.contains(part), "{status}: {said}");
        }
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
