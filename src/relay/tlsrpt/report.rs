//! A report: its JSON (RFC 8460 4), compressed, and the message around it (RFC 8460 5.3).
//!
//! Pure: facts in, bytes out. The same facts make the same bytes, so a report that is sent again is
//! known by its id.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use miniz_oxide::deflate::compress_to_vec;
use serde_json::{Value, json};

use super::tally::{Counted, Detail, Tally};
use crate::{
    base::clock::Timestamp,
    mail::{address::Address, date::HeaderDate, urgency::DateTime},
};

/// What a report is about.
pub(super) struct Facts<'a> {
    /// Who reports.
    pub(super) organization: &'a str,
    /// Who can be asked about it.
    pub(super) contact: &'a Address,
    /// The domain it is for.
    pub(super) domain: &'a str,
    /// The day, counted from 1970.
    pub(super) day: u32,
    /// What happened on it.
    pub(super) tally: &'a Tally,
}

impl Facts<'_> {
    /// RFC 8460 4.4: one per day, domain and reporter.
    pub(super) fn id(&self) -> String {
        format!("{}.{}@{}", self.day, self.domain, self.organization)
    }

    /// The first second of the day, and the last one.
    fn span(&self) -> (i64, i64) {
        let first = i64::from(self.day) * SECONDS_PER_DAY;
        (first, first + SECONDS_PER_DAY - 1)
    }

    /// The report in gzip (RFC 1952).
    pub(super) fn compressed(&self) -> Vec<u8> {
        gzip(self.json().to_string().as_bytes())
    }

    fn json(&self) -> Value {
        let (first, last) = self.span();
        let policies = self.tally.policies.iter().map(policy);
        json!({
            "organization-name": self.organization,
            "date-range": {
                "start-datetime": DateTime(first).to_string(),
                "end-datetime": DateTime(last).to_string(),
            },
            "contact-info": self.contact.to_string(),
            "report-id": self.id(),
            "policies": policies.collect::<Vec<_>>(),
        })
    }

    /// The report as a message to `to`.
    pub(super) fn message(&self, to: &Address, now: Timestamp) -> Vec<u8> {
        let Self {
            organization,
            contact,
            domain,
            ..
        } = self;
        let (id, (first, last)) = (self.id(), self.span());
        let date = HeaderDate(now.secs());
        let boundary = format!("tlsrpt/{}/{organization}", self.day);
        // RFC 8460 5.1, 5.3; RFC 8689 3, for servers behind the next one.
        let mut out = format!(
            "From: <{contact}>\r\nTo: <{to}>\r\nDate: {date}\r\nMessage-ID: <{id}>\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {organization}\r\n \
             Report-ID: <{id}>\r\nTLS-Report-Domain: {domain}\r\n\
             TLS-Report-Submitter: {organization}\r\nTLS-Required: No\r\n\
             Auto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n \
             boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is the mail server {organization}. The attachment says how TLS did\r\n\
             when mail went to {domain} on one day (RFC 8460).\r\n\r\n--{boundary}\r\n\
             Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n \
             filename=\"{organization}!{domain}!{first}!{last}.json.gz\"\r\n\r\n"
        );
        let encoded = STANDARD.encode(self.compressed());
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
            out.push_str(line);
            out.push_str("\r\n");
            rest = after;
        }
        out.push_str(&format!("--{boundary}--\r\n"));
        out.into_bytes()
    }
}

fn policy(counted: &Counted) -> Value {
    let mut policy = json!({ "policy-type": counted.policy.kind });
    if let Some(fields) = policy.as_object_mut() {
        let texts = [("policy-string", &counted.policy.strings)];
        for (name, texts) in texts.into_iter().filter(|(_, texts)| !texts.is_empty()) {
            fields.insert(name.to_owned(), json!(texts));
        }
        fields.insert("policy-domain".to_owned(), json!(counted.policy.domain));
        if !counted.policy.hosts.is_empty() {
            fields.insert("mx-host".to_owned(), json!(counted.policy.hosts));
        }
    }
    let mut value = json!({
        "policy": policy,
        "summary": {
            "total-successful-session-count": counted.successes,
            "total-failure-session-count": counted.failures,
        },
    });
    if let (Some(fields), false) = (value.as_object_mut(), counted.details.is_empty()) {
        let details: Vec<_> = counted.details.iter().map(detail).collect();
        fields.insert("failure-details".to_owned(), json!(details));
    }
    value
}

fn detail((detail, count): &(Detail, u64)) -> Value {
    let mut value = json!({
        "result-type": detail.result,
        "receiving-mx-hostname": detail.host,
    });
    if let Some(fields) = value.as_object_mut() {
        if let Some(ip) = &detail.from {
            fields.insert("sending-mta-ip".to_owned(), json!(ip));
        }
        if let Some(ip) = &detail.ip {
            fields.insert("receiving-ip".to_owned(), json!(ip));
        }
        fields.insert("failed-session-count".to_owned(), json!(count));
        fields.insert("failure-reason-code".to_owned(), json!(detail.reason));
    }
    value
}

/// RFC 1952 2.3: one member, without a name and a time.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(compress_to_vec(content, 6));
    out.extend(crc32fast::hash(content).to_le_bytes());
    // Modulo 2^32.
    let length = u32::try_from(content.len() & 0xffff_ffff).unwrap_or(0);
    out.extend(length.to_le_bytes());
    out
}

const SECONDS_PER_DAY: i64 = 86_400;
/// RFC 2045 6.8.
const LINE_CHARS: usize = 76;

#[cfg(test)]
mod tests {
    use miniz_oxide::inflate::decompress_to_vec;
    use proptest::prelude::*;

    use super::{
        super::tally::{Kind, Outcome, Policy},
        *,
    };

    fn tally() -> Tally {
        let mut policy = Policy::new(Kind::Sts, "there.example");
        policy.strings = vec!["version: STSv1".to_owned(), "mode: testing".to_owned()];
        policy.hosts = vec!["*.there.example".to_owned()];
        let failure = Detail {
            result: Outcome::CertificateExpired,
            host: "mx1.there.example".to_owned(),
            ip: Some("198.51.100.1".to_owned()),
            from: Some("192.0.2.1".to_owned()),
            reason: "it is old".to_owned(),
        };
        let mut tally = Tally::of(policy.clone(), Some(failure));
        tally.merge(Tally::of(policy, None));
        tally.merge(Tally::of(
            Policy::new(Kind::NoPolicyFound, "there.example"),
            None,
        ));
        tally
    }

    fn with_facts<T>(tally: &Tally, run: impl FnOnce(&Facts<'_>) -> T) -> T {
        let contact = Address::parse("tls@here.example").unwrap();
        run(&Facts {
            organization: "mail.here.example",
            contact: &contact,
            domain: "there.example",
            day: 20_000,
            tally,
        })
    }

    #[test]
    fn reports_are_as_the_rfc_shows_them() {
        let json = with_facts(&tally(), |facts| facts.json());
        assert_eq!(
            json,
            json!({
                "organization-name": "mail.here.example",
                "date-range": {
                    "start-datetime": "2024-10-04T00:00:00Z",
                    "end-datetime": "2024-10-04T23:59:59Z",
                },
                "contact-info": "tls@here.example",
                "report-id": "20000.there.example@mail.here.example",
                "policies": [
                    {
                        "policy": {
                            "policy-type": "sts",
                            "policy-string": ["version: STSv1", "mode: testing"],
                            "policy-domain": "there.example",
                            "mx-host": ["*.there.example"],
                        },
                        "summary": {
                            "total-successful-session-count": 1,
                            "total-failure-session-count": 1,
                        },
                        "failure-details": [{
                            "result-type": "certificate-expired",
                            "receiving-mx-hostname": "mx1.there.example",
                            "sending-mta-ip": "192.0.2.1",
                            "receiving-ip": "198.51.100.1",
                            "failed-session-count": 1,
                            "failure-reason-code": "it is old",
                        }],
                    },
                    {
                        "policy": {
                            "policy-type": "no-policy-found",
                            "policy-domain": "there.example",
                        },
                        "summary": {
                            "total-successful-session-count": 1,
                            "total-failure-session-count": 0,
                        },
                    },
                ],
            })
        );
    }

    #[test]
    fn a_message_carries_the_report() {
        let to = Address::parse("rua@there.example").unwrap();
        let tally = tally();
        let now = Timestamp::from_secs(1_728_100_000);
        let (message, json) = with_facts(&tally, |facts| (facts.message(&to, now), facts.json()));
        let message = String::from_utf8(message).unwrap();
        assert!(message.is_ascii());
        assert!(
            message
                .split("\r\n")
                .all(|line| line.len() <= 998 && !line.contains('\n'))
        );
        for part in [
            "From: <tls@here.example>\r\n",
            "To: <rua@there.example>\r\n",
            "TLS-Report-Domain: there.example\r\n",
            "TLS-Report-Submitter: mail.here.example\r\n",
            "TLS-Required: No\r\n",
            "multipart/report; report-type=\"tlsrpt\";",
            "Content-Type: application/tlsrpt+gzip\r\n",
            "mail.here.example!there.example!1728000000!1728086399.json.gz",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let (_, encoded) = message.split_once(".json.gz\"\r\n\r\n").unwrap();
        let (encoded, _) = encoded.split_once("\r\n--").unwrap();
        let packed = STANDARD.decode(encoded.replace("\r\n", "")).unwrap();
        let content = decompress_to_vec(&packed[10..packed.len() - 8]).unwrap();
        let read: Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(read, json);
    }

    proptest! {
        #[test]
        fn gzip_gives_back_what_it_got(content in prop::collection::vec(any::<u8>(), 0..2000)) {
            let packed = gzip(&content);
            let (body, tail) = packed[10..].split_at(packed.len() - 18);
            prop_assert_eq!(&decompress_to_vec(body).unwrap(), &content);
            prop_assert_eq!(&tail[..4], &crc32fast::hash(&content).to_le_bytes()[..]);
            prop_assert_eq!(&tail[4..], &(content.len() as u32).to_le_bytes()[..]);
        }
    }
}
