//! The domains of the world: their records, which change, and the servers behind them.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use buzon::{
    base::random::Random,
    dns::{Answer, Fake, Mx},
    mail::address::Domain,
    smtp::client::conversation::Security,
};

use super::{
    guard::{self, Guard},
    mood::{Mood, any_trouble, one_of},
    node::{Ground, NAME, OWN, beginning},
};

/// A domain.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) domain: String,
    pub(super) servers: Vec<IpAddr>,
    /// Whether mail for it may come back without any server's word: nobody takes it, or nothing as
    /// large.
    pub(super) may_fail: bool,
    pub(super) guard: Guard,
    records: Records,
}

/// What the name servers have for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// Hosts, best first.
    Sound,
    /// An address and no MX.
    Plain,
    /// A host, ourselves, and a worse host that must never be asked.
    BeforeUs,
    /// Nobody can say for some days.
    Later,
    /// Nobody can ever say.
    Broken,
    NullMx,
    Nowhere,
    /// It does not exist, and does after some days.
    LaterFound,
    Us,
    UsByAddress,
    Homeless,
    Private,
}

pub(super) struct Places {
    all: Vec<Place>,
    dns: Fake,
}

impl Places {
    /// Where `calm`, policies vanish as well.
    pub(super) fn draw(chance: &Random, ground: &Ground, calm: bool) -> Self {
        let far: IpAddr = [203, 0, 113, 1].into();
        ground.dns.set_addresses("far.example", &[far]);
        ground.remotes.set(far, sound());
        ground.dns.set_addresses("detour.example", &[DETOUR]);
        let trouble = one_of(chance, &[0, 30]);
        ground.remotes.set(DETOUR, Mood { trouble, ..sound() });
        let all = (0..5 + chance.below(4)).map(|n| {
            let place = Place::draw(n, chance, ground);
            let table = (&ground.dns, &ground.web);
            place.guard.establish(&place.domain, table, chance, calm);
            place.publish(&ground.dns);
            place
        });
        Self {
            all: all.collect(),
            dns: ground.dns.clone(),
        }
    }

    /// What our operator demands.
    pub(super) fn demands(&self) -> HashMap<Domain, Security> {
        let all = self.all.iter();
        let demanding = all.filter(|place| place.guard == Guard::Operator);
        let demand = |place: &Place| (Domain::parse(&place.domain).unwrap(), Security::Required);
        demanding.map(demand).collect()
    }

    pub(super) fn any(&self, chance: &Random) -> &Place {
        &self.all[usize::try_from(chance.below(self.all.len() as u64)).unwrap()]
    }

    /// The name servers have another mood.
    pub(super) fn change(&self, chance: &Random, days: u64) {
        self.dns
            .set_delay(Duration::from_secs(one_of(chance, &[0, 0, 0, 2, 30])));
        for place in &self.all {
            let is_down = days < 3 && chance.below(4) == 0;
            match place.records {
                Records::Sound if is_down => {
                    let why = "servfail".to_owned();
                    let (dns, host) = (&self.dns, place.host(0));
                    match chance.below(3) {
                        0 => dns.set_mx_answer(&place.domain, Answer::Temporary(why)),
                        1 => place.guard.prove(&host, dns, true),
                        _ => dns.set_addresses_answer(&host, Answer::Temporary(why)),
                    }
                }
                Records::Sound => place.publish(&self.dns),
                Records::Later | Records::LaterFound if days >= 2 => {
                    let found = Place {
                        records: Records::Sound,
                        ..place.clone()
                    };
                    found.publish(&self.dns);
                }
                _ => {}
            }
        }
    }
}

impl Place {
    fn draw(n: u64, chance: &Random, ground: &Ground) -> Self {
        let records = match chance.below(3) {
            0 => one_of(chance, RECORDS),
            _ => Records::Sound,
        };
        let guard = match records {
            Records::Sound => Guard::draw(chance),
            _ => Guard::None,
        };
        let mut may_fail = !matches!(
            records,
            Records::Sound | Records::Plain | Records::BeforeUs | Records::Later | Records::Broken
        );
        let mut servers = Vec::new();
        for host in 0..=chance.below(3) {
            let last = u8::try_from(n * 8 + host).unwrap();
            let address: IpAddr = [198, 51, 100, last].into();
            let mut mood = any_mood(chance, &mut may_fail);
            if guard != Guard::None && !mood.offers.contains(&"STARTTLS") {
                mood.offers.push("STARTTLS");
            }
            ground.remotes.set(address, mood);
            servers.push(address);
        }
        Self {
            domain: format!("d{n}.example"),
            servers,
            may_fail,
            guard,
            records,
        }
    }

    fn host(&self, n: usize) -> String {
        match self.guard {
            Guard::None => format!("mx{n}.{}", self.domain),
            _ => guard::host(&self.domain, n),
        }
    }

    fn publish(&self, dns: &Fake) {
        for (n, address) in self.servers.iter().enumerate() {
            dns.set_addresses(&self.host(n), &[*address]);
            self.guard.prove(&self.host(n), dns, false);
        }
        let domain = &self.domain;
        let first = self.host(0);
        let hosts: Vec<_> = (0..self.servers.len()).map(|n| self.host(n)).collect();
        match self.records {
            Records::Sound => {
                let record = |(preference, exchange): (u16, &String)| Mx {
                    preference: preference / 2,
                    exchange: exchange.clone(),
                };
                let records = (0..).zip(&hosts).map(record).collect();
                dns.set_mx_answer(domain, Answer::Found(records));
            }
            Records::Plain => dns.set_addresses(domain, &self.servers),
            Records::BeforeUs => {
                dns.set_mx(domain, &[(10, &first), (20, NAME), (30, "never.example")]);
                dns.set_addresses("never.example", &[[203, 0, 113, 99].into()]);
            }
            Records::Later | Records::Broken => {
                dns.set_mx_answer(domain, Answer::Temporary("servfail".to_owned()));
            }
            Records::NullMx => dns.set_mx(domain, &[(0, "")]),
            Records::Nowhere | Records::LaterFound => {
                dns.set_mx_answer(domain, Answer::NoSuchName);
            }
            Records::Us => dns.set_mx(domain, &[(10, NAME), (20, &first)]),
            Records::UsByAddress => {
                dns.set_mx(domain, &[(10, "alias.example")]);
                dns.set_addresses("alias.example", &[OWN]);
            }
            Records::Homeless => dns.set_mx(domain, &[(10, "homeless.example")]),
            Records::Private => {
                dns.set_mx(domain, &[(10, "private.example")]);
                dns.set_addresses("private.example", &[[10, 0, 0, 1].into()]);
            }
        }
    }
}

fn sound() -> Mood {
    Mood {
        trouble: 0,
        always: None,
        mends: beginning().plus(Duration::from_secs(100 * 3600)),
        masks: 0,
        offers: vec!["PIPELINING", "8BITMIME", "SMTPUTF8"],
        pipe: 64 * 1024,
    }
}

fn any_mood(chance: &Random, may_fail: &mut bool) -> Mood {
    let mut offers: Vec<_> = OFFERS.to_vec();
    offers.retain(|_| chance.below(2) == 0);
    if chance.below(8) == 0 {
        offers.retain(|offer| !offer.starts_with("SIZE"));
        offers.push("SIZE 30");
        *may_fail = true;
    }
    let hours = one_of(chance, &[1, 6, 24, 100, 1000]);
    Mood {
        trouble: one_of(chance, &[0, 0, 30, 60, 100]),
        always: (chance.below(3) == 0).then(|| any_trouble(chance)),
        mends: beginning().plus(Duration::from_secs(hours * 3600)),
        masks: one_of(chance, &[0, 0, 0, 30, 100]),
        // RFC 2920 3.1: replies to a group of commands must have room.
        pipe: match offers.contains(&"PIPELINING") {
            true => one_of(chance, &[4096, 64 * 1024]),
            false => one_of(chance, &[7, 64, 64 * 1024]),
        },
        offers,
    }
}

const OFFERS: &[&str] = &[
    "PIPELINING",
    "8BITMIME",
    "CHUNKING",
    "DSN",
    "STARTTLS",
    "SIZE 10000000",
    "LIMITS RCPTMAX=2",
    "SMTPUTF8",
    "BINARYMIME",
    "DELIVERBY 600",
    "MT-PRIORITY MIXER",
    "REQUIRETLS",
];

/// Where our operator sends mail at times.
pub(super) const DETOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

const RECORDS: &[Records] = &[
    Records::Plain,
    Records::BeforeUs,
    Records::Later,
    Records::Broken,
    Records::NullMx,
    Records::Nowhere,
    Records::LaterFound,
    Records::Us,
    Records::UsByAddress,
    Records::Homeless,
    Records::Private,
];
