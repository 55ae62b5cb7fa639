//! Who may connect: limits for the whole process and for each neighbourhood of addresses.
//!
//! LIM-01 bounds all connections; LIM-02 bounds those that have not logged in per address (IPv4
//! /32, IPv6 /64) and purpose, with three times as many for the wider network (/26, /48) and nine
//! times for the widest (/21, /32); LIM-03 bounds the sessions of one account; LIM-04 bounds
//! connects per minute. Permits give back what they took when they are dropped.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::protocol::Farewell;
use crate::base::ids::AccountId;

/// The limits; all are settings.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// LIM-01: connections of all protocols together.
    pub connections_max: usize,
    /// LIM-02: connections of one address, /64 for IPv6, that bring mail and have not logged in.
    pub connections_per_address: usize,
    /// LIM-02: those that come for mailboxes and have not logged in.
    pub mailbox_connections_per_address: usize,
    /// LIM-03: sessions of one account from one address.
    pub sessions_per_account_and_address: usize,
    /// LIM-03: sessions of one account.
    pub sessions_per_account: usize,
    /// LIM-04: connects of one address within a minute.
    pub connects_per_minute: usize,
}

/// What clients come for. Strangers of one purpose do not take the places of another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To bring mail: SMTP.
    Mail,
    /// To read it: IMAP and POP3.
    Mailboxes,
    /// To hand mail over for an MTA that the operator named: LMTP. One such peer brings everybody's
    /// mail, so only LIM-01 bounds it.
    Delivery,
    /// To fetch what is said over HTTP. As many as bring mail.
    Web,
}

impl Options {
    fn strangers_max(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Mail | Purpose::Web => self.connections_per_address,
            Purpose::Mailboxes => self.mailbox_connections_per_address,
            Purpose::Delivery => self.connections_max,
        }
    }
}

/// The gate; shared by all listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    strangers: HashMap<(Purpose, Network), usize>,
    accounts: HashMap<AccountId, usize>,
    visitors: HashMap<(AccountId, Network), usize>,
    recent: HashMap<Network, (Instant, usize)>,
    recent_swept: Option<Instant>,
}

/// An address with its insignificant bits cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network {
    bits: u128,
    length: u8,
    v4: bool,
}

/// Room for one connection (LIM-01), from whatever address.
#[derive(Debug)]
pub struct Place(Gate);

/// One admitted connection.
#[derive(Debug)]
pub struct Permit {
    place: Place,
    address: IpAddr,
    purpose: Purpose,
    /// Counted as not logged in.
    stranger: bool,
}

/// One session of an account; held as long as it is logged in.
#[derive(Debug)]
pub struct SessionPermit {
    gate: Gate,
    account: AccountId,
    network: Network,
}

impl Gate {
    /// A gate with these limits.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            options,
            counts: Mutex::default(),
        }))
    }

    /// Admits a connection from `address` for `purpose` at `now`, or says why not.
    ///
    /// # Errors
    /// `Crowded` or `CrowdedAddress`.
    pub fn admit(
        &self,
        address: IpAddr,
        purpose: Purpose,
        now: Instant,
    ) -> Result<Permit, Farewell> {
        self.place()?.admit(address, purpose, now)
    }

    /// Room for a connection whose client is not known yet, if there is any.
    ///
    /// # Errors
    /// `Crowded`.
    pub fn place(&self) -> Result<Place, Farewell> {
        self.with(|counts| {
            if counts.all >= self.0.options.connections_max {
                return Err(Farewell::Crowded);
            }
            counts.all += 1;
            Ok(())
        })?;
        Ok(Place(self.clone()))
    }

    /// Admits one more session of `account` from `address`; `None` when it has too many (LIM-03).
    pub fn login(&self, account: AccountId, address: IpAddr) -> Option<SessionPermit> {
        let options = &self.0.options;
        let [network, ..] = Network::around(address);
        let admitted = self.with(|counts| {
            let here = counts
                .visitors
                .get(&(account, network))
                .copied()
                .unwrap_or(0);
            let all = counts.accounts.get(&account).copied().unwrap_or(0);
            if here >= options.sessions_per_account_and_address
                || all >= options.sessions_per_account
            {
                return false;
            }
            *counts.visitors.entry((account, network)).or_insert(0) += 1;
            *counts.accounts.entry(account).or_insert(0) += 1;
            true
        });
        admitted.then(|| SessionPermit {
            gate: self.clone(),
            account,
            network,
        })
    }

    /// Connections admitted now.
    pub fn connections(&self) -> usize {
        self.with(|counts| counts.all)
    }

    /// Counts one who comes from `address` and is nobody yet.
    fn come(&self, address: IpAddr, purpose: Purpose, now: Instant) -> Result<(), Farewell> {
        let options = &self.0.options;
        let strangers_max = options.strangers_max(purpose);
        let networks = Network::around(address);
        self.with(|counts| {
            let [network, ..] = networks;
            let connects = counts.connects_within_a_minute(network, now);
            if purpose != Purpose::Delivery && connects > options.connects_per_minute {
                return Err(Farewell::CrowdedAddress);
            }
            let limits = [1, 3, 9].map(|times| strangers_max.saturating_mul(times));
            let full = networks.iter().zip(limits).any(|(network, limit)| {
                let count = counts.strangers.get(&(purpose, *network));
                count.is_some_and(|count| *count >= limit)
            });
            if full {
                return Err(Farewell::CrowdedAddress);
            }
            for network in networks {
                *counts.strangers.entry((purpose, network)).or_insert(0) += 1;
            }
            Ok(())
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Counts) -> R) -> R {
        act(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// Admits the client that the connection turned out to be of.
    ///
    /// # Errors
    /// `CrowdedAddress`.
    pub fn admit(
        self,
        address: IpAddr,
        purpose: Purpose,
        now: Instant,
    ) -> Result<Permit, Farewell> {
        self.0.come(address, purpose, now)?;
        Ok(Permit {
            place: self,
            address,
            purpose,
            stranger: true,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.with(|counts| counts.all -= 1);
    }
}

impl Permit {
    /// The peer is no longer logged in: it counts again, also where its address has no room left.
    pub fn logged_out(&mut self) {
        if !std::mem::replace(&mut self.stranger, true) {
            let networks = Network::around(self.address);
            self.place.0.with(|counts| {
                for network in networks {
                    *counts.strangers.entry((self.purpose, network)).or_insert(0) += 1;
                }
            });
        }
    }

    /// The client turned out to be another one than the address that connected (XCLIENT).
    ///
    /// # Errors
    /// `CrowdedAddress`: it counts as before.
    pub fn rename(&mut self, address: IpAddr, now: Instant) -> Result<(), Farewell> {
        if address == self.address {
            return Ok(());
        }
        self.place.0.come(address, self.purpose, now)?;
        self.logged_in();
        (self.address, self.stranger) = (address, true);
        Ok(())
    }

    /// The peer has logged in: it no longer counts against its address.
    pub fn logged_in(&mut self) {
        if std::mem::take(&mut self.stranger) {
            let networks = Network::around(self.address);
            self.place.0.with(|counts| {
                for network in networks {
                    lower(&mut counts.strangers, &(self.purpose, network));
                }
            });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.logged_in();
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.gate.with(|counts| {
            lower(&mut counts.accounts, &self.account);
            lower(&mut counts.visitors, &(self.account, self.network));
        });
    }
}

impl Counts {
    /// Counts this connect and says how many there were in the current minute.
    fn connects_within_a_minute(&mut self, network: Network, now: Instant) -> usize {
        // At most once a second: a flood from everywhere must not make each connect look at all.
        let swept = self.recent_swept.is_some_and(|at| now - at < SWEEP_EVERY);
        if self.recent.len() >= RECENT_MAX && !swept {
            self.recent.retain(|_, (since, _)| now - *since < MINUTE);
            self.recent_swept = Some(now);
        }
        let (since, count) = self.recent.entry(network).or_insert((now, 0));
        if now - *since >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count
    }
}

impl Network {
    /// The address itself (IPv4 /32, IPv6 /64), its wider and its widest network.
    fn around(address: IpAddr) -> [Self; 3] {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = u128::from(u32::from(v4)) << 96;
                [32, 26, 21].map(|length| Self::masked(bits, length, true))
            }
            IpAddr::V6(v6) => {
                [64, 48, 32].map(|length| Self::masked(u128::from(v6), length, false))
            }
        }
    }

    fn masked(bits: u128, length: u8, v4: bool) -> Self {
        Self {
            bits: bits & (u128::MAX << (128 - u32::from(length))),
            length,
            v4,
        }
    }
}

fn lower<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Between two looks for addresses to forget.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Addresses remembered for LIM-04 before old ones are looked for and forgotten.
const RECENT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(all: usize, per_address: usize) -> Gate {
        Gate::new(Options {
            connections_max: all,
            connections_per_address: per_address,
            mailbox_connections_per_address: 1,
            sessions_per_account_and_address: 2,
            sessions_per_account: 3,
            connects_per_minute: 100,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn lim_01_connections_of_all_addresses_are_bounded_and_come_back() {
        let gate = gate(2, 10);
        let now = Instant::now();
        let first = gate.admit(ip("192.0.2.1"), Purpose::Mail, now).unwrap();
        let _second = gate.admit(ip("198.51.100.1"), Purpose::Mail, now).unwrap();
        assert_eq!(
            gate.admit(ip("203.0.113.1"), Purpose::Mail, now)
                .unwrap_err(),
            Farewell::Crowded
        );
        drop(first);
        assert!(gate.admit(ip("203.0.113.1"), Purpose::Mail, now).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn lim_02_one_address_is_bounded_until_it_logs_in_and_v6_counts_by_64() {
        let gate = gate(100, 2);
        let now = Instant::now();
        let mut first = gate.admit(ip("2001:db8::1"), Purpose::Mail, now).unwrap();
        let _second = gate
            .admit(ip("2001:db8::ffff:2"), Purpose::Mail, now)
            .unwrap();
        assert_eq!(
            gate.admit(ip("2001:db8::3"), Purpose::Mail, now)
                .unwrap_err(),
            Farewell::CrowdedAddress
        );
        assert!(
            gate.admit(ip("2001:db8:0:1::3"), Purpose::Mail, now)
                .is_ok()
        );
        first.logged_in();
        first.logged_out();
        assert!(gate.admit(ip("2001:db8::3"), Purpose::Mail, now).is_err());
        first.logged_in();
        assert!(gate.admit(ip("2001:db8::3"), Purpose::Mail, now).is_ok());
        let mapped = Network::around(ip("::ffff:192.0.2.1"));
        assert_eq!(mapped, Network::around(ip("192.0.2.1")));
    }

    #[tokio::test(start_paused = true)]
    async fn lim_01_a_place_is_room_for_whoever_comes_and_is_given_back() {
        let gate = gate(2, 1);
        let now = Instant::now();
        let [first, second] = [gate.place().unwrap(), gate.place().unwrap()];
        assert_eq!(gate.place().unwrap_err(), Farewell::Crowded);
        let permit = first.admit(ip("192.0.2.1"), Purpose::Mail, now).unwrap();
        let crowded = second.admit(ip("192.0.2.1"), Purpose::Mail, now);
        assert_eq!(crowded.unwrap_err(), Farewell::CrowdedAddress);
        assert_eq!(gate.connections(), 1);
        drop(permit);
        assert_eq!(gate.connections(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn lim_02_a_client_with_another_name_counts_there() {
        let gate = gate(100, 1);
        let now = Instant::now();
        let admit = |address| gate.admit(ip(address), Purpose::Mail, now);
        let mut proxied = admit("198.51.100.1").unwrap();
        let direct = admit("192.0.2.1").unwrap();
        assert!(proxied.rename(ip("192.0.2.1"), now).is_err());
        assert!(admit("198.51.100.1").is_err(), "it counts as before");
        drop(direct);
        proxied.rename(ip("192.0.2.1"), now).unwrap();
        assert!(admit("192.0.2.1").is_err());
        drop(admit("198.51.100.1").unwrap());
        drop(proxied);
        drop(admit("192.0.2.1").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn lim_04_who_hands_mail_over_is_bounded_by_all_connections_alone() {
        let gate = gate(150, 1);
        let hand_over = || gate.admit(ip("127.0.0.1"), Purpose::Delivery, Instant::now());
        let permits: Vec<_> = (0..150).map(|_| hand_over().unwrap()).collect();
        assert_eq!(hand_over().unwrap_err(), Farewell::Crowded);
        drop(permits);
    }

    #[tokio::test(start_paused = true)]
    async fn lim_02_strangers_are_counted_by_what_they_come_for() {
        let gate = gate(100, 2);
        let admit = |purpose| gate.admit(ip("192.0.2.1"), purpose, Instant::now());
        let _reader = admit(Purpose::Mailboxes).unwrap();
        assert!(admit(Purpose::Mailboxes).is_err());
        let _senders = [admit(Purpose::Mail).unwrap(), admit(Purpose::Mail).unwrap()];
        assert!(admit(Purpose::Mail).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn lim_02_a_wider_network_has_three_times_as_many() {
        let gate = gate(100, 1);
        let now = Instant::now();
        let admitted: Vec<_> = (1..=3)
            .map(|n| {
                gate.admit(ip(&format!("192.0.2.{n}")), Purpose::Mail, now)
                    .unwrap()
            })
            .collect();
        assert_eq!(
            gate.admit(ip("192.0.2.4"), Purpose::Mail, now).unwrap_err(),
            Farewell::CrowdedAddress
        );
        drop(admitted);
        assert!(gate.admit(ip("192.0.2.4"), Purpose::Mail, now).is_ok());
    }

    #[test]
    fn lim_03_sessions_of_an_account_are_bounded_per_address_and_in_all() {
        let gate = gate(100, 100);
        let account = AccountId(1);
        let here: Vec<_> = (0..2)
            .map(|_| gate.login(account, ip("192.0.2.1")).unwrap())
            .collect();
        assert!(gate.login(account, ip("192.0.2.1")).is_none());
        let _there = gate.login(account, ip("198.51.100.1")).unwrap();
        assert!(gate.login(account, ip("203.0.113.1")).is_none());
        drop(here);
        assert!(gate.login(account, ip("192.0.2.1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn lim_04_connects_per_minute_are_bounded_and_forgotten() {
        let gate = gate(1000, 1000);
        let mut refused = 0;
        for _ in 0..101 {
            refused += usize::from(
                gate.admit(ip("192.0.2.1"), Purpose::Mail, Instant::now())
                    .is_err(),
            );
        }
        assert_eq!(refused, 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            gate.admit(ip("192.0.2.1"), Purpose::Mail, Instant::now())
                .is_ok()
        );
    }
}
