//! What a server offers: the keywords of its EHLO reply (RFC 5321 4.1.1.1).
//!
//! Pure. Keywords we make no use of are ignored, and so is what stands behind the 64th line.

use super::reply::Reply;
use crate::sasl::client::Offered;

/// The offers that we make use of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// RFC 2920: commands may be sent in groups.
    pub(super) pipelining: bool,
    /// RFC 1870: sizes may be declared; largest message in bytes, when it named one.
    pub(super) size: Option<Option<u64>>,
    /// RFC 6152.
    pub(super) eight_bit: bool,
    /// RFC 3030: content may come in counted chunks.
    pub(super) chunking: bool,
    /// RFC 6531.
    pub(super) smtputf8: bool,
    /// RFC 3461: the server tells senders what they want to be told.
    pub(super) dsn: bool,
    /// RFC 8689.
    pub(super) require_tls: bool,
    /// RFC 3030 3.
    pub(super) binary: bool,
    /// RFC 2852: how many seconds a message that goes back must have at least.
    pub(super) deliver_by: Option<u32>,
    /// RFC 6710.
    pub(super) priority: bool,
    /// RFC 9422.
    pub(super) limits: Limits,
    /// RFC 3207.
    pub(super) starttls: bool,
    /// RFC 4954.
    pub(super) auth: Offered,
}

/// What a server says it takes at most (RFC 9422 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Transactions of a connection.
    pub(super) mails: Option<u32>,
    /// Recipients of a transaction.
    pub(super) recipients: Option<u32>,
    /// Different domains among them.
    pub(super) domains: Option<u32>,
}

impl Limits {
    /// Reads one `NAME=VALUE`; what is not known, or makes no sense, says nothing.
    fn read(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else {
            return;
        };
        let limit = match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => &mut self.mails,
            "RCPTMAX" => &mut self.recipients,
            "RCPTDOMAINMAX" => &mut self.domains,
            _ => return,
        };
        // RFC 9422 3: one to six digits, of which the first is not zero.
        let digits = (1..=6).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
        *limit = value.parse().ok().filter(|most| digits && *most > 0);
    }
}

impl Extensions {
    /// Reads an EHLO reply; its first line is the greeting.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines.iter().skip(1).take(KEYWORDS_MAX) {
            if let Some(limits) = after_keyword(line, "LIMITS") {
                limits.split(' ').for_each(|word| offered.limits.read(word));
                continue;
            }
            // Ancient servers write `AUTH=PLAIN`.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => offered.pipelining = true,
                "SIZE" => {
                    let most = words.next().and_then(|word| word.parse().ok());
                    // RFC 1870 4: zero means no fixed maximum.
                    offered.size = Some(most.filter(|most| *most > 0));
                }
                "8BITMIME" => offered.eight_bit = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "CHUNKING" => offered.chunking = true,
                "BINARYMIME" => offered.binary = true,
                "DELIVERBY" => {
                    // RFC 2852 3: a list; what it does not say is no limit.
                    let least = words.next().and_then(|word| word.split(',').next());
                    let least = least.and_then(|word| word.parse().ok());
                    offered.deliver_by = Some(least.unwrap_or(0));
                }
                "MT-PRIORITY" => offered.priority = true,
                "REQUIRETLS" => offered.require_tls = true,
                "DSN" => offered.dsn = true,
                "STARTTLS" => offered.starttls = true,
                "AUTH" => words.for_each(|mechanism| offered.auth.add(mechanism)),
                _ => {}
            }
        }
        // RFC 3030 3: it means nothing without the other.
        offered.binary &= offered.chunking;
        offered
    }
}

/// What follows the keyword that a line begins with.
fn after_keyword<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (first, rest) = line.split_once(' ')?;
    first.eq_ignore_ascii_case(keyword).then_some(rest)
}

/// keywords of an EHLO reply that are looked at.
pub(super) const KEYWORDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Extensions {
        Extensions::of(&Reply {
            code: 250,
            enhanced: None,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        })
    }

    fn auth(name: &str) -> Offered {
        let mut offered = Offered::default();
        offered.add(name);
        offered
    }

    #[test]
    fn keywords_are_read_whatever_their_case() {
        let offered = of(&["STARTTLS", "Pipelining", "size 1000", "AUTH=plain", "X-FOO"]);
        let expected = Extensions {
            pipelining: true,
            size: Some(Some(1000)),
            auth: auth("PLAIN"),
            ..Extensions::default()
        };
        assert_eq!(offered, expected);
        assert_eq!(of(&["x", "SIZE 0"]).size, Some(None));
        assert_eq!(of(&["x", "SIZE"]).size, Some(None));
        assert_eq!(of(&["x", "SIZE -1"]).size, Some(None));
        assert_eq!(of(&["x", "AUTH CRAM-MD5 LOGIN"]).auth, auth("LOGIN"));
        assert_eq!(of(&[]), Extensions::default());
    }

    #[test]
    fn limits_and_times_are_read_and_nonsense_says_nothing() {
        let limits = |line| of(&["x", line]).limits;
        let known = Limits {
            mails: Some(5),
            recipients: Some(100),
            domains: Some(1),
        };
        let line = "LIMITS MAILMAX=5 rcptmax=100 NEW=3 RCPTDOMAINMAX=1";
        assert_eq!(limits(line), known);
        for line in [
            "LIMITS",
            "LIMITS RCPTMAX",
            "LIMITS RCPTMAX=0",
            "LIMITS RCPTMAX=1000000",
            "LIMITS RCPTMAX=-1",
            "LIMITS=RCPTMAX=5",
        ] {
            assert_eq!(limits(line), Limits::default(), "{line}");
        }
        let by = |line| of(&["x", line]).deliver_by;
        assert_eq!(by("DELIVERBY"), Some(0));
        assert_eq!(by("deliverby 120,NEW=3"), Some(120));
        assert_eq!(by("DELIVERBY x"), Some(0));
        assert_eq!(by("NOTHING"), None);
        assert!(of(&["x", "MT-PRIORITY MIXER"]).priority);
        assert!(!of(&["x", "BINARYMIME"]).binary);
        assert!(of(&["x", "BINARYMIME", "CHUNKING"]).binary);
    }

    #[test]
    fn q_06_keywords_beyond_64_are_ignored() {
        let mut lines = vec!["host"; 1];
        lines.resize(KEYWORDS_MAX, "X");
        lines.push("STARTTLS");
        assert!(of(&lines).starttls);
        lines.insert(1, "X");
        assert!(!of(&lines).starttls);
    }
}
