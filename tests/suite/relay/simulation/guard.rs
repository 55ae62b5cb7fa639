//! What domains of the world demand of who is given their mail, who they are to a client, and who
//! only says so.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use buzon::{
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        random::Random,
    },
    dns::{Answer, Fake},
    relay::{FetchError, sts::Fetch},
    smtp::client::TlsClient,
};
use tokio_rustls::{TlsAcceptor, rustls::RootCertStore};

use super::{ledger::Ledger, mood::one_of, node::beginning};
use crate::relay::policy::{Identity, found, identity};

/// What a domain demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing.
    None,
    /// TLSA records of its hosts are fulfilled (RFC 7672).
    Dane,
    /// Its MTA-STS policy is, once it was fetched (RFC 8461).
    Sts,
    /// It is only tried.
    StsTesting,
    /// Our operator demands a valid certificate.
    Operator,
}

/// Who answers a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    /// The host.
    Right,
    /// Somebody with a certificate of his own.
    Stranger,
    /// Somebody who takes STARTTLS away.
    Stripped,
}

/// Certificates, made once because it takes time.
pub(super) struct Identities {
    pub(super) right: Identity,
    pub(super) stranger: Identity,
}

pub(super) fn identities() -> &'static Identities {
    static MADE: OnceLock<Identities> = OnceLock::new();
    MADE.get_or_init(|| Identities {
        right: identity("*.guarded.example"),
        stranger: identity("*.guarded.example"),
    })
}

impl Face {
    pub(super) fn acceptor(self) -> TlsAcceptor {
        let identities = identities();
        let identity = match self {
            Self::Right => &identities.right,
            Self::Stranger | Self::Stripped => &identities.stranger,
        };
        TlsAcceptor::from(Arc::clone(&identity.config))
    }
}

/// Who believes the right ones.
pub(super) fn client() -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(identities().right.certificate.clone()).unwrap();
    TlsClient::new(roots).unwrap()
}

/// The hosts of a domain that demands something have these names: one certificate is for all.
pub(super) fn host(domain: &str, n: usize) -> String {
    format!("{}-mx{n}.guarded.example", domain.replace('.', "-"))
}

/// The web servers that have policies.
#[derive(Clone)]
pub(super) struct Web {
    policies: Arc<Mutex<HashMap<String, Served>>>,
    clock: Clock,
    ledger: Ledger,
}

/// How a policy is served.
#[derive(Clone)]
struct Served {
    mode: &'static str,
    max_age: u64,
    /// Nobody gets it before this time,
    from: Timestamp,
    /// or after this one.
    until: Timestamp,
}

impl Web {
    pub(super) fn new(clock: Clock, ledger: Ledger) -> Self {
        Self {
            policies: Arc::default(),
            clock,
            ledger,
        }
    }

    /// A policy that is had sooner or later; where nothing of ours fails, it may vanish again.
    fn serve(&self, domain: &str, mode: &'static str, chance: &Random, vanishes: bool) {
        let hours = |hours: u64| beginning().plus(Duration::from_secs(hours * 3600));
        let vanishes = vanishes && chance.below(2) == 0;
        let served = Served {
            mode,
            max_age: one_of(chance, &[20 * 3600, 7 * 86_400]),
            from: hours(one_of(chance, &[0, 0, 0, 10])),
            until: hours(if vanishes { 20 } else { 100_000 }),
        };
        let mut policies = self.policies.lock().unwrap();
        policies.insert(domain.to_owned(), served);
    }
}

impl Fetch for Web {
    fn fetch<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        let served = self.policies.lock().unwrap().get(domain).cloned();
        let now = self.clock.wall();
        let served = served.filter(|served| served.from <= now && now < served.until);
        Box::pin(async move {
            let Served { mode, max_age, .. } = served.ok_or(FetchError::TimedOut)?;
            let until = now.plus(Duration::from_secs(max_age));
            if mode == "enforce" {
                self.ledger.fetched(domain, now, until);
            }
            let policy = format!(
                "version: STSv1\nmode: {mode}\nmx: *.guarded.example\nmax_age: {max_age}\n"
            );
            Ok(policy.into_bytes())
        })
    }
}

impl Guard {
    pub(super) fn draw(chance: &Random) -> Self {
        one_of(
            chance,
            &[
                Self::None,
                Self::None,
                Self::Dane,
                Self::Sts,
                Self::StsTesting,
                Self::Operator,
            ],
        )
    }

    /// Serves and announces what a domain demands.
    pub(super) fn establish(
        self,
        domain: &str,
        (dns, web): (&Fake, &Web),
        chance: &Random,
        vanishes: bool,
    ) {
        match self {
            Self::None | Self::Operator => {}
            Self::Dane => dns.set_secure(domain),
            Self::Sts => web.serve(domain, "enforce", chance, vanishes),
            Self::StsTesting => web.serve(domain, "testing", chance, vanishes),
        }
        if matches!(self, Self::Sts | Self::StsTesting) {
            dns.add_text(&format!("_mta-sts.{domain}"), b"v=STSv1; id=1");
        }
        if self != Self::None {
            let rua = b"v=TLSRPTv1; rua=mailto:tlsrpt@far.example,https://r.example/v1";
            dns.add_text(&format!("_smtp._tls.{domain}"), rua);
        }
    }

    /// What name servers say of a host; what they cannot say is no reason to trust it.
    pub(super) fn prove(self, host: &str, dns: &Fake, is_down: bool) {
        if self != Self::Dane {
            return;
        }
        let about = format!("_25._tcp.{host}");
        dns.set_secure(host);
        dns.set_secure(&about);
        dns.set_associations(
            &about,
            match is_down {
                true => Answer::Temporary("servfail".to_owned()),
                false => found(&identities().right.record),
            },
        );
    }
}
