//! DMARC (RFC 9989): what the domain in From wants done with mail that nobody else vouches for.
//!
//! DMARC-01: the policy is found by walking up the DNS tree, eight questions at most for a name.
//! `pct` of older records is honoured as RFC 7489 6.6.4 has it, `t=y` as RFC 9989 4.7. What could
//! not be found out is never taken for "no policy".

use std::collections::HashMap;

use super::{lies_in, questions::Questions};
use crate::{
    base::future::{BoxFuture, all},
    dns::Answer,
};

/// What a domain wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Policy {
    /// Nothing.
    None,
    /// It is suspicious.
    Quarantine,
    /// It is refused.
    Reject,
}

impl Policy {
    /// As it stands in a record.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Quarantine, Self::Reject];
        all.into_iter()
            .find(|policy| text.eq_ignore_ascii_case(policy.name()))
    }

    /// The next weaker one (RFC 7489 6.6.4, RFC 9989 4.7 `t=y`).
    fn weaker(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    policy: Policy,
    of_subdomains: Policy,
    of_nobody: Policy,
    strict_dkim: bool,
    strict_spf: bool,
    /// How many of a hundred messages the policy is for.
    percent: u64,
    testing: bool,
    public: Public,
}

/// Whether others register names below the domain (`psd=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Public {
    Yes,
    No,
    Unknown,
}

impl Record {
    /// RFC 9989 4.7; tags that are not understood are not there.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|t| t.len() <= RECORD_BYTES_MAX)?;
        let mut tags = tags(text);
        if tags.next() != Some(VERSION) {
            return None;
        }
        let tags: Vec<_> = tags.collect();
        let find = |name: &str| {
            let mut found = tags
                .iter()
                .filter(|(tag, _)| tag.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| *value)
        };
        let policy = |name| find(name).and_then(Policy::parse);
        // RFC 9989 4.10.1: without a policy, the wish for reports makes it "none".
        let own = policy("p").or_else(|| find("rua").map(|_| Policy::None))?;
        let of_subdomains = policy("sp").unwrap_or(own);
        let is = |name, wanted: &str| find(name).is_some_and(|v| v.eq_ignore_ascii_case(wanted));
        let percent = find("pct")
            .and_then(|text| text.parse().ok())
            .filter(|pct| *pct <= 100);
        Some(Self {
            policy: own,
            of_subdomains,
            of_nobody: policy("np").unwrap_or(of_subdomains),
            strict_dkim: is("adkim", "s"),
            strict_spf: is("aspf", "s"),
            percent: percent.unwrap_or(100),
            testing: is("t", "y"),
            public: match find("psd") {
                Some(v) if v.eq_ignore_ascii_case("y") => Public::Yes,
                Some(v) if v.eq_ignore_ascii_case("n") => Public::No,
                _ => Public::Unknown,
            },
        })
    }
}

/// The tags of a record in their order.
fn tags(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|tag| {
        let (name, value) = tag.split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

/// RFC 8601 2.7, RFC 9989.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DmarcResult {
    /// There is no policy.
    None,
    /// The domain vouches for the message.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be found out now.
    TempError,
    /// From names nobody whom one could ask.
    PermError,
}

impl DmarcResult {
    /// RFC 8601 2.7.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub result: DmarcResult,
    /// What the domain wants done, if there is a record.
    pub policy: Option<Policy>,
    /// What this message is in for when nothing vouches for it.
    pub disposition: Policy,
}

/// A domain that somebody vouched for, or perhaps did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identifier {
    pub domain: String,
    pub by: By,
    /// It is not known whether he did.
    pub unknown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Spf,
    Dkim,
}

/// Asks what is to be asked about the author's domain, and about those that may vouch for it; its
/// policy comes with it.
pub(super) async fn discover(
    questions: Questions<'_>,
    author: &str,
    candidates: &[String],
) -> Discovered {
    let walk = Walk::from(questions, author).await;
    let organization = walk.organization(author);
    let own = walk.record_of(author).cloned();
    let is_own = own.is_some();
    let above = || {
        organization
            .as_ref()
            .ok()
            .and_then(|name| walk.record_of(name))
    };
    // What could not be found out may be the record of somebody nearer: another's is not taken for
    // it.
    let record = own.or_else(|| match walk.unknown {
        true => None,
        false => above().or_else(|| walk.public_record()).cloned(),
    });
    let wanted = match &record {
        None => None,
        Some(record) if is_own => Some(record.policy),
        Some(record) if record.of_nobody == record.of_subdomains => Some(record.of_subdomains),
        Some(record) => Some(match questions.texts(author).await {
            Answer::NoSuchName => record.of_nobody,
            _ => record.of_subdomains,
        }),
    };
    Discovered {
        author: author.to_owned(),
        organizations: organizations(questions, author, &organization, candidates).await,
        organization,
        unknown: record.is_none() && walk.unknown,
        found: record.zip(wanted),
    }
}

/// The organizations of candidates for which that may decide.
async fn organizations(
    questions: Questions<'_>,
    author: &str,
    organization: &Result<String, ()>,
    candidates: &[String],
) -> HashMap<String, Result<String, ()>> {
    let Ok(organization) = organization else {
        return HashMap::new();
    };
    // What lies between the author and its organization was seen on the way up.
    let decides = |name: &&String| lies_in(name, organization) && !lies_in(author, name);
    let asked = candidates.iter().filter(decides).take(WALKS_MAX);
    let walks = asked.map(|name| -> BoxFuture<'_, (String, Result<String, ()>)> {
        Box::pin(async move {
            let walk = Walk::from(questions, name).await;
            (name.clone(), walk.organization(name))
        })
    });
    all(walks.collect()).await.into_iter().collect()
}

/// What is known about an author's domain.
pub(super) struct Discovered {
    author: String,
    /// Its organizational domain; an error when that cannot be found out now.
    organization: Result<String, ()>,
    /// Those of names below that one.
    organizations: HashMap<String, Result<String, ()>>,
    found: Option<(Record, Policy)>,
    /// There may be a record nobody could tell us of.
    unknown: bool,
}

impl Discovered {
    /// What comes of it, `draw` being a number below 100.
    pub(super) fn judge(&self, identifiers: &[Identifier], draw: u64) -> Outcome {
        let Some((record, wanted)) = &self.found else {
            let result = match self.unknown {
                true => DmarcResult::TempError,
                false => DmarcResult::None,
            };
            // Nobody knows what it would be in for, but whoever is the domain itself need not.
            let itself = identifiers
                .iter()
                .any(|i| !i.unknown && i.domain == self.author);
            return Outcome {
                result,
                policy: None,
                disposition: match (result, itself) {
                    (DmarcResult::TempError, false) => Policy::Reject,
                    _ => Policy::None,
                },
            };
        };
        let sampled = if draw < record.percent {
            *wanted
        } else {
            wanted.weaker()
        };
        let disposition = if record.testing {
            sampled.weaker()
        } else {
            sampled
        };
        let mut result = DmarcResult::Fail;
        for identifier in identifiers {
            match self.aligned(record, identifier) {
                Ok(true) if !identifier.unknown => {
                    result = DmarcResult::Pass;
                    break;
                }
                Ok(false) => {}
                Ok(true) | Err(()) => result = DmarcResult::TempError,
            }
        }
        Outcome {
            result,
            policy: Some(*wanted),
            disposition: match result {
                DmarcResult::Pass => Policy::None,
                _ => disposition,
            },
        }
    }

    /// RFC 9989 4.4: whether the domain is the author's, or of the same organization.
    fn aligned(&self, record: &Record, identifier: &Identifier) -> Result<bool, ()> {
        let (author, domain) = (&self.author, &identifier.domain);
        let strict = match identifier.by {
            By::Spf => record.strict_spf,
            By::Dkim => record.strict_dkim,
        };
        if domain == author {
            return Ok(true);
        }
        if strict {
            return Ok(false);
        }
        let Ok(organization) = &self.organization else {
            return Err(());
        };
        if !lies_in(domain, organization) {
            return Ok(false);
        }
        if lies_in(author, domain) {
            return Ok(true);
        }
        match self.organizations.get(domain) {
            Some(Ok(found)) => Ok(found == organization),
            Some(Err(())) => Err(()),
            None => Ok(false),
        }
    }
}

/// The records of a name and of those above it, nearest first.
struct Walk {
    records: Vec<(String, Record)>,
    /// A name of it could not be asked about.
    unknown: bool,
}

impl Walk {
    /// RFC 9989 4.10. All are asked at once: they are few, and mostly remembered.
    async fn from(questions: Questions<'_>, domain: &str) -> Self {
        let names = ascent(domain);
        let asked = names
            .iter()
            .map(|name| -> BoxFuture<'_, Answer<Record>> { Box::pin(record_at(questions, name)) });
        let answers = all(asked.collect()).await;
        let mut walk = Self {
            records: Vec::new(),
            unknown: false,
        };
        for (name, answer) in names.iter().zip(answers) {
            match answer {
                Answer::Found(record) => {
                    let last = record.public != Public::Unknown && name != domain
                        || record.public == Public::No;
                    walk.records.push((name.clone(), record));
                    if last {
                        break;
                    }
                }
                Answer::NoRecords | Answer::NoSuchName => {}
                Answer::Temporary(_) => walk.unknown = true,
            }
        }
        walk
    }

    /// RFC 9989 4.10.2.
    fn organization(&self, domain: &str) -> Result<String, ()> {
        if self.unknown {
            return Err(());
        }
        for (name, record) in &self.records {
            match record.public {
                Public::No => return Ok(name.clone()),
                Public::Yes if name != domain => return Ok(one_below(name, domain)),
                Public::Yes | Public::Unknown => {}
            }
        }
        let highest = self.records.last();
        Ok(highest.map_or_else(|| domain.to_owned(), |(name, _)| name.clone()))
    }

    fn record_of(&self, name: &str) -> Option<&Record> {
        let mut records = self.records.iter();
        records.find(|(of, _)| of == name).map(|(_, record)| record)
    }

    /// The record of a public suffix.
    fn public_record(&self) -> Option<&Record> {
        let mut records = self.records.iter();
        let public = records.find(|(_, record)| record.public == Public::Yes);
        public.map(|(_, record)| record)
    }
}

/// The record of a name (RFC 9989 4.10): exactly one, or none.
async fn record_at(questions: Questions<'_>, name: &str) -> Answer<Record> {
    match questions.texts(&format!("_dmarc.{name}")).await {
        Answer::Found(texts) => {
            let is_record = |text: &&Vec<u8>| {
                let text = std::str::from_utf8(text);
                text.is_ok_and(|text| tags(text).next() == Some(VERSION))
            };
            let mut records = texts.iter().filter(is_record);
            match (records.next(), records.next()) {
                (Some(only), None) => Record::parse(only).map_or(Answer::NoRecords, Answer::Found),
                _ => Answer::NoRecords,
            }
        }
        Answer::NoRecords => Answer::NoRecords,
        Answer::NoSuchName => Answer::NoSuchName,
        Answer::Temporary(why) => Answer::Temporary(why),
    }
}

/// A domain and the names above it that are asked about, eight in all.
fn ascent(domain: &str) -> Vec<String> {
    let labels: Vec<&str> = domain.split('.').collect();
    let mut names = vec![domain.to_owned()];
    // RFC 9989 4.10: from long names, the walk goes on with seven labels.
    let highest = labels.len().saturating_sub(1).min(WALK_LABELS_MAX);
    for kept in (1..=highest).rev() {
        let skipped = labels.len().saturating_sub(kept);
        names.push(labels.get(skipped..).unwrap_or_default().join("."));
    }
    names
}

/// The name below `above` that `domain` is, or lies in.
fn one_below(above: &str, domain: &str) -> String {
    let before = domain
        .strip_suffix(above)
        .map(|before| before.trim_end_matches('.'));
    match before.and_then(|before| before.rsplit('.').next()) {
        Some(label) if !label.is_empty() => format!("{label}.{above}"),
        _ => domain.to_owned(),
    }
}

/// What a record begins with.
const VERSION: (&str, &str) = ("v", "DMARC1");
/// DMARC-01: labels with which the walk goes on above the name itself.
const WALK_LABELS_MAX: usize = 7;
/// Names of others whose organization is asked for.
const WALKS_MAX: usize = 4;
/// Longest record.
const RECORD_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
