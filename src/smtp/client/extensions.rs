//! What a server offers: the keywords of its EHLO reply (RFC 5321 4.1.1.1).
//!
//! Pure. Keywords we make no use of are ignored, and so is what stands behind the 64th line.

use super::reply::Reply;

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
    /// RFC 3207.
    pub(super) starttls: bool,
    /// RFC 4954 with RFC 4616.
    pub(super) auth_plain: bool,
    /// The LOGIN exchange that some providers offer alone.
    pub(super) auth_login: bool,
}

impl Extensions {
    /// Reads an EHLO reply; its first line is the greeting.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines.iter().skip(1).take(KEYWORDS_MAX) {
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
                "REQUIRETLS" => offered.require_tls = true,
                "DSN" => offered.dsn = true,
                "STARTTLS" => offered.starttls = true,
                "AUTH" => {
                    for mechanism in words {
                        offered.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offered.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offered
    }
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

    #[test]
    fn keywords_are_read_whatever_their_case() {
        let offered = of(&["STARTTLS", "Pipelining", "size 1000", "AUTH=plain", "X-FOO"]);
        let expected = Extensions {
            pipelining: true,
            size: Some(Some(1000)),
            auth_plain: true,
            ..Extensions::default()
        };
        assert_eq!(offered, expected);
        assert_eq!(of(&["x", "SIZE 0"]).size, Some(None));
        assert_eq!(of(&["x", "SIZE"]).size, Some(None));
        assert_eq!(of(&["x", "SIZE -1"]).size, Some(None));
        assert!(of(&["x", "AUTH CRAM-MD5 LOGIN"]).auth_login);
        assert_eq!(of(&[]), Extensions::default());
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
