//! What a domain says in its MTA-STS record and policy: RFC 8461 3.1, 3.2, 4.1.
//!
//! Pure. A record that is not understood is none, and so is a policy: nothing of half a policy is
//! followed. Unknown fields are for later versions and are looked past.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A policy that was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What it demands.
    pub mode: Mode,
    /// The hosts it names, in lower case; `*.` stands for one label.
    pub mx: Vec<String>,
    /// For how many seconds.
    pub max_age: u32,
}

/// What a policy demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mail goes only to hosts that it names and that prove themselves.
    Enforce,
    /// Who fails is only to be told of.
    Testing,
    /// Nothing, any more.
    None,
}

impl Policy {
    /// RFC 8461 3.2.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut mx = Vec::new();
        for line in text.split('\n') {
            let line = line.trim_end_matches([' ', '\t', '\r']);
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.trim_end() {
                // Of what may stand once, the first counts.
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(pattern(value)?),
                _ => {}
            }
        }
        let policy = Self {
            mode: match mode? {
                "enforce" => Mode::Enforce,
                "testing" => Mode::Testing,
                "none" => Mode::None,
                _ => return None,
            },
            mx,
            max_age: seconds(max_age?)?,
        };
        let named = !policy.mx.is_empty() || policy.mode == Mode::None;
        let whole = version == Some("STSv1") && named && policy.mx.len() <= PATTERNS_MAX;
        whole.then_some(policy)
    }

    /// Whether it names `host` (RFC 8461 4.1).
    pub fn names(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.mx
            .iter()
            .any(|pattern| match pattern.strip_prefix("*.") {
                // One label, no more and no less.
                Some(parent) => host
                    .split_once('.')
                    .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
                None => host == *pattern,
            })
    }

    /// What it says, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {mode}")];
        lines.push(format!("max_age: {}", self.max_age));
        lines.extend(self.mx.iter().map(|mx| format!("mx: {mx}")));
        lines
    }

    /// How long it holds.
    pub fn holds(&self) -> Duration {
        Duration::from_secs(self.max_age.into())
    }
}

/// The id of the policy that TXT records of `_mta-sts` announce, if just one of them does (RFC 8461
/// 3.1).
pub fn announced(texts: &[Vec<u8>]) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        let rest = text
            .strip_prefix("v=STSv1")?
            .trim_start_matches([' ', '\t']);
        rest.strip_prefix(';')
    });
    let (fields, None) = (records.next()?, records.next()) else {
        return None;
    };
    let mut fields = fields
        .split(';')
        .filter_map(|field| field.trim().split_once('='));
    let (_, id) = fields.find(|(name, _)| *name == "id")?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

/// A host name, or `*.` and one.
fn pattern(text: &str) -> Option<String> {
    let host = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    (host.len() <= 253 && host.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// At most a year, as the RFC has it.
fn seconds(text: &str) -> Option<u32> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let secs: u64 = text.parse().ok().filter(|_| digits)?;
    u32::try_from(secs.min(MAX_AGE_MAX)).ok()
}

/// RFC 8461 3.2.
const MAX_AGE_MAX: u64 = 31_557_600;
/// Hosts that one policy names.
const PATTERNS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_understood_whole_or_not_at_all() {
        let good = "version: STSv1\r\nmode: enforce\r\nmx: MX.d.example\r\nmx: *.e.example \r\n\
                    max_age: 86400\r\nlater: x\r\n";
        let policy = Policy::parse(good.as_bytes()).unwrap();
        assert_eq!(
            policy,
            Policy {
                mode: Mode::Enforce,
                mx: vec!["mx.d.example".to_owned(), "*.e.example".to_owned()],
                max_age: 86_400,
            }
        );
        assert_eq!(
            Policy::parse(good.replace("\r\n", "\n").as_bytes()),
            Some(policy)
        );
        for (from, to, mode) in [
            ("enforce", "testing", Some(Mode::Testing)),
            ("enforce", "none", Some(Mode::None)),
            ("mx: MX.d.example\r\nmx: *.e.example \r\n", "", None),
            ("enforce", "Enforce", None),
            ("enforce", "", None),
            ("STSv1", "STSv2", None),
            ("version: STSv1\r\n", "", None),
            ("mode: enforce\r\n", "", None),
            ("max_age: 86400\r\n", "", None),
            ("86400", "-1", None),
            ("86400", "+1", None),
            ("86400", "99999999999", None),
            ("86400", "9999999999", Some(Mode::Enforce)),
            ("*.e.example", "*.*.example", None),
            ("*.e.example", "*", None),
            ("*.e.example", "a b.example", None),
            ("*.e.example", ".e.example", None),
            ("later: x", "later", None),
            // The first one counts.
            ("later: x", "mode: none", Some(Mode::Enforce)),
        ] {
            let text = good.replace(from, to);
            let policy = Policy::parse(text.as_bytes());
            assert_eq!(policy.map(|policy| policy.mode), mode, "{text}");
        }
        let many = "mx: a.example\n".repeat(PATTERNS_MAX + 1);
        assert_eq!(
            Policy::parse(good.replace("later: x", &many).as_bytes()),
            None
        );
        assert_eq!(Policy::parse(b"\xff\xfe"), None);
        let long = Policy::parse(good.replace("86400", "9999999999").as_bytes()).unwrap();
        assert_eq!(u64::from(long.max_age), MAX_AGE_MAX);
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_of_a_policy_is_the_policy(
            mode in 0usize..3,
            mx in proptest::collection::vec("(\\*\\.)?[a-z0-9-]{1,20}(\\.[a-z]{1,10}){0,3}", 1..20),
            max_age in 0u32..31_557_601,
        ) {
            let mode = [Mode::Enforce, Mode::Testing, Mode::None][mode];
            let policy = Policy { mode, mx, max_age };
            let text = policy.lines().join("\r\n");
            proptest::prop_assert_eq!(Policy::parse(text.as_bytes()), Some(policy));
        }
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = Policy {
            mode: Mode::Enforce,
            mx: vec!["mx.d.example".to_owned(), "*.e.example".to_owned()],
            max_age: 1,
        };
        for (host, named) in [
            ("mx.d.example", true),
            ("MX.d.example", true),
            ("a.e.example", true),
            ("e.example", false),
            (".e.example", false),
            ("a.b.e.example", false),
            ("a.d.example", false),
            ("mx.d.example.evil", false),
            // One label only, as a host may be.
            ("mx", false),
            ("", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
    }

    #[test]
    fn one_record_announces_a_policy() {
        let of = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            announced(&texts)
        };
        for (texts, id) in [
            (
                &["v=STSv1; id=20160831085700Z;"][..],
                Some("20160831085700Z"),
            ),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; x=y; id=1"], Some("1")),
            (&["v=spf1 -all", "v=STSv1; id=1"], Some("1")),
            (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
            (&["v=STSv1"], None),
            (&["v=STSv1; id="], None),
            (&["v=STSv1; id=a-b"], None),
            (&["v=STSv1; id=123456789012345678901234567890123"], None),
            (&["v=STSv12; id=1"], None),
            (&[], None),
        ] {
            assert_eq!(of(texts).as_deref(), id, "{texts:?}");
        }
    }
}
