//! Whether what domains publish of an MTA-STS policy (RFC 8461) can be had from here, and whether
//! reports about TLS with others (RFC 8460) are signed.

use super::{
    Finding, Verdict, finding,
    keys::{Kept, Key},
    settings,
};
use crate::{
    app::own_policy,
    config::Config,
    dns::{Answer, Resolver},
    relay::sts,
    tls::certificate::Certificate,
};

/// What there is to say of a domain's policy; nothing where it publishes none.
pub(super) async fn policy(
    config: &Config,
    certificate: Option<&Certificate>,
    resolver: &dyn Resolver,
    domain: &str,
) -> Option<Finding> {
    let texts = match resolver.texts(&format!("_mta-sts.{domain}")).await {
        Answer::Found(texts) => texts,
        // Most domains have none, and mail does not need it.
        Answer::NoRecords | Answer::NoSuchName | Answer::Temporary(_) => return None,
    };
    let id = sts::announced(&texts)?;
    let host = format!("mta-sts.{domain}");
    let verdict = judged(
        config,
        &id,
        certificate.is_none_or(|ours| ours.covers(&host)),
        &host,
    );
    Some(finding(format!("MTA-STS of {domain}"), verdict))
}

fn judged(config: &Config, id: &str, covered: bool, host: &str) -> Verdict {
    let listen = &config.listen;
    let own = own_policy::text(config).map(|text| own_policy::id(&text));
    let text = if listen.https.is_empty() && listen.http.is_empty() {
        "it is published, and nothing here answers for the policy: set listen.https, or have \
         another web server say what `buzon dns records` prints"
            .to_owned()
    } else if !listen.https.is_empty() && !covered {
        format!("the certificate is not for {host}, so nobody can fetch the policy: add the name")
    } else if own.as_ref().is_ok_and(|own| own != id) {
        let own = own.unwrap_or_default();
        format!("its id is {id} and our policy's {own}: others keep the one that they know")
    } else {
        return Verdict::Fine("it is published, and answered here".to_owned());
    };
    Verdict::Doubtful(text)
}

/// RFC 8460 3: reports to other domains are signed, or those throw them away. Nothing is said where
/// none are sent, or the keys cannot be asked for.
pub(super) fn reports(config: &Config, kept: &[Kept]) -> Option<Finding> {
    let contact = settings::tls_reports(config).ok()??;
    let domain = contact.domain.as_str();
    let mut own = kept.iter().filter(|kept| kept.domain == domain);
    let verdict = match own.any(|kept| kept.keys.iter().any(Key::signs)) {
        _ if kept.is_empty() => return None,
        true => Verdict::Fine(format!("signed, from {contact}")),
        false => Verdict::Doubtful(format!(
            "no key signs for {domain}, and reports that are not signed are thrown away: \
             `buzon dkim generate {domain}`, and publish what it prints"
        )),
    };
    Some(finding("TLS reports", verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Fake;

    #[test]
    fn reports_are_signed_by_a_key_that_signs_already() {
        let mut config = Config::default();
        config.relay.tls_report_contact = "tls@example.org".to_owned();
        let of = |domain: &str, state: &str| Kept {
            domain: domain.to_owned(),
            keys: vec![Key {
                name: format!("k._domainkey.{domain}"),
                kind: "rsa".to_owned(),
                state: state.to_owned(),
                record: None,
            }],
        };
        assert!(reports(&config, &[of("example.org", "signs")]).is_none());
        config.relay.tls_reports = true;
        assert!(reports(&config, &[]).is_none());
        for (domain, state, fine) in [
            ("example.org", "signs", true),
            ("example.org", "signs from 2026-12-01", false),
            ("example.net", "signs", false),
        ] {
            let found = reports(&config, &[of(domain, state)]).unwrap();
            let is_fine = matches!(found.verdict, Verdict::Fine(_));
            assert_eq!(is_fine, fine, "{domain} {state}");
        }
    }

    #[tokio::test]
    async fn what_is_published_must_be_had() {
        let dns = Fake::new();
        let mut config = Config::default();
        config.server.hostname = "mx.example.org".to_owned();
        assert!(policy(&config, None, &dns, "example.org").await.is_none());
        let own = own_policy::id(&own_policy::text(&config).unwrap());
        let record = format!("v=STSv1; id={own}");
        dns.add_text("_mta-sts.example.org", record.as_bytes());
        let found = policy(&config, None, &dns, "example.org").await.unwrap();
        assert!(matches!(found.verdict, Verdict::Doubtful(text) if text.contains("listen.https")));
        config.listen.https = vec!["[::]:443".parse().unwrap()];
        let found = policy(&config, None, &dns, "example.org").await.unwrap();
        assert!(matches!(found.verdict, Verdict::Fine(_)));
        for (id, covered, part) in [("other", true, own.as_str()), (own.as_str(), false, "add")] {
            let verdict = judged(&config, id, covered, "mta-sts.example.org");
            assert!(
                matches!(&verdict, Verdict::Doubtful(text) if text.contains(part)),
                "{part}"
            );
        }
    }
}
