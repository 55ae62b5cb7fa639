//! Where mail for a domain goes: which hosts, in which order, at which addresses.
//!
//! Pure: what the DNS said and what we are in, targets or the reason why there are none out. RFC
//! 5321 5.1 (order, implicit MX, our own name in the list), RFC 7505 (null MX). A
//! reason is permanent only when the DNS gave an answer; what could not be found out delays
//! (DNS-02).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::source::Sources;
use crate::{
    dns::{Answer, Mx},
    queue::record::Status,
};

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Lower is better.
    pub(super) preference: u16,
    /// Its name.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

/// A host at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name.
    pub(super) host: String,
    /// The address.
    pub(super) address: IpAddr,
    /// The port.
    pub(super) port: u16,
    /// Its host's.
    pub(super) preference: u16,
}

impl Target {
    /// Where it listens.
    pub(super) fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Why there is nowhere to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unroutable {
    /// Whether it will stay so.
    pub(super) permanent: bool,
    /// RFC 3463 code.
    pub(super) status: Status,
    /// For the sender and the log.
    pub(super) text: String,
}

impl Unroutable {
    fn permanent(status: Status, text: String) -> Self {
        Self {
            permanent: true,
            status,
            text,
        }
    }

    /// A host was named that is this server.
    pub(super) fn to_ourselves(host: &str) -> Self {
        Self::temporary(format!("{host} is this server: mail would come back"))
    }

    fn temporary(text: String) -> Self {
        Self {
            permanent: false,
            status: Status(4, 4, 3),
            text,
        }
    }
}

/// What we are, and where we do not go.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Our names in lower case: an MX record that has one of them points at us.
    pub names: Vec<String>,
    /// Where we are reached, for records that point at us by another name.
    pub addresses: Vec<IpAddr>,
    /// Where we take mail: no host that an operator names for queued mail may be there.
    pub listeners: Vec<SocketAddr>,
    /// go to loopback, private, link-local and other special addresses too.
    pub insecure_allow_private_targets: bool,
}

impl Own {
    /// Whether we take mail there.
    pub(super) fn is_at(&self, place: SocketAddr) -> bool {
        let place = SocketAddr::new(place.ip().to_canonical(), place.port());
        self.listeners.contains(&place)
    }
}

/// The hosts for `domain`, best first; those of equal preference in an order that `random` decides
/// (it is given a bound and answers a number below it).
pub(super) fn exchanges(
    domain: &str,
    answer: Answer<Vec<Mx>>,
    (own, port): (&Own, u16),
    random: &mut dyn FnMut(u64) -> u64,
) -> Result<Vec<Exchange>, Unroutable> {
    let records = match answer {
        Answer::Found(records) => records,
        // RFC 5321 5.1: the domain itself, as if it had an MX record of preference 0.
        Answer::NoRecords => vec![Mx {
            preference: 0,
            exchange: domain.to_owned(),
        }],
        Answer::NoSuchName => {
            let text = format!("the domain {domain} does not exist");
            return Err(Unroutable::permanent(Status(5, 1, 2), text));
        }
        Answer::Temporary(why) => {
            let text = format!("the MX records of {domain} could not be found out: {why}");
            return Err(Unroutable::temporary(text));
        }
    };
    // RFC 7505 3: a null MX stands alone; among others it is an error that we look past.
    if !records.is_empty() && records.iter().all(|mx| mx.exchange.is_empty()) {
        let text = format!("the domain {domain} does not accept mail");
        return Err(Unroutable::permanent(Status(5, 1, 10), text));
    }
    let mut shuffled: Vec<_> = records
        .into_iter()
        .filter(|mx| !mx.exchange.is_empty())
        .map(|mx| (mx.preference, random(u64::MAX), mx.exchange))
        .collect();
    shuffled.sort();
    let mut hosts: Vec<Exchange> = Vec::new();
    for (preference, _, host) in shuffled {
        if !hosts.iter().any(|known| known.host == host) {
            hosts.push(Exchange {
                preference,
                host,
                port,
            });
        }
    }
    // RFC 5321 5.1: who lists us as well leads back to us, and so does everything not better than
    // we are.
    if let Some(ours) = hosts.iter().find(|mx| own.names.contains(&mx.host)) {
        let ours = ours.preference;
        hosts.retain(|mx| mx.preference < ours);
    }
    if hosts.is_empty() {
        return Err(loops_back(domain));
    }
    hosts.truncate(EXCHANGES_MAX);
    Ok(hosts)
}

/// Where to connect, in order, given what is known of the addresses of each exchange (best first)
/// and where connections come from. Among hosts of one preference, what `doubt` says less of is
/// tried earlier.
pub(super) fn targets(
    domain: &str,
    resolved: &[(Exchange, Answer<Vec<IpAddr>>)],
    own: &Own,
    sources: Sources,
    doubt: &dyn Fn(SocketAddr) -> u8,
) -> Result<Vec<Target>, Unroutable> {
    let points_at_us = |answer: &Answer<Vec<IpAddr>>| match answer {
        Answer::Found(found) => {
            let mut found = found.iter().map(IpAddr::to_canonical);
            found.any(|ip| own.addresses.contains(&ip))
        }
        _ => false,
    };
    let ours = resolved.iter().find(|(_, answer)| points_at_us(answer));
    let ours = ours.map(|(exchange, _)| exchange.preference);
    let mut targets = Vec::new();
    let (mut special, mut unknown, mut unreached) = (false, None, None);
    for (exchange, answer) in resolved {
        if ours.is_some_and(|ours| exchange.preference >= ours) {
            break;
        }
        match answer {
            Answer::Found(found) => {
                let allowed =
                    |ip: &&IpAddr| own.insecure_allow_private_targets || !is_special(**ip);
                let usable: Vec<_> = found.iter().filter(allowed).copied().collect();
                special |= usable.len() < found.len();
                let (usable, beyond): (Vec<_>, Vec<_>) =
                    usable.into_iter().partition(|ip| sources.reach(*ip));
                unreached = unreached.or_else(|| beyond.first().map(|_| &exchange.host));
                targets.extend(families_in_turn(&usable).map(|address| Target {
                    host: exchange.host.clone(),
                    address,
                    port: exchange.port,
                    preference: exchange.preference,
                }));
            }
            Answer::Temporary(why) => unknown = Some((&exchange.host, why)),
            Answer::NoRecords | Answer::NoSuchName => {}
        }
    }
    targets.sort_by_key(|target| (target.preference, doubt(target.socket())));
    targets.truncate(ADDRESSES_MAX);
    if !targets.is_empty() {
        return Ok(targets);
    }
    if let Some((host, why)) = unknown {
        let text = format!("the addresses of {host} could not be found out: {why}");
        return Err(Unroutable::temporary(text));
    }
    if let Some(host) = unreached {
        // A setting of ours is no reason to return mail.
        let text = format!("{host} has no address of the family of our source address");
        return Err(Unroutable::temporary(text));
    }
    if ours.is_some() {
        return Err(loops_back(domain));
    }
    let text = if special {
        format!("the mail hosts of {domain} have only private or special addresses")
    } else {
        format!("the mail hosts of {domain} have no addresses")
    };
    Err(Unroutable::permanent(Status(5, 4, 4), text))
}

/// RFC 5321 5.1, none left.
fn loops_back(domain: &str) -> Unroutable {
    let text = format!("mail for {domain} would loop back to this server");
    Unroutable::permanent(Status(5, 4, 6), text)
}

/// IPv6 and IPv4 addresses by turns, so that a broken family costs one try and not all of them.
fn families_in_turn(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.iter().partition(|ip| ip.is_ipv6());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        if turn {
            six.next().or_else(|| four.next())
        } else {
            four.next().or_else(|| six.next())
        }
    })
}

/// addresses that no mail host of the Internet has.
pub(super) fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_special_v4(ip),
        IpAddr::V6(ip) => is_special_v6(ip),
    }
}

/// RFC 6890 and its registry.
fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
}

fn is_special_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let [first, second, ..] = segments;
    let [.., high, low] = segments;
    let inner = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_special_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return is_special_v4(mapped);
    }
    // Translators carry an IPv4 address inside: 64:ff9b::/96 (RFC 6052) and 2002::/16 (RFC 3056).
    let translated = (first, second) == (0x64, 0xff9b) && inner(high, low);
    let six_to_four = first == 0x2002 && inner(second, segments[2]);
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || translated
        || six_to_four
}

/// How many hosts of one domain have their addresses looked up.
pub(super) const EXCHANGES_MAX: usize = 10;
/// addresses tried in one attempt.
pub(super) const ADDRESSES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(records: &[(u16, &str)]) -> Answer<Vec<Mx>> {
        let record = |(preference, exchange): &(u16, &str)| Mx {
            preference: *preference,
            exchange: (*exchange).to_owned(),
        };
        Answer::Found(records.iter().map(record).collect())
    }

    fn own() -> Own {
        Own {
            listeners: Vec::new(),
            names: vec!["mail.here.example".to_owned()],
            addresses: vec!["192.0.2.9".parse().unwrap()],
            insecure_allow_private_targets: false,
        }
    }

    fn hosts(answer: Answer<Vec<Mx>>) -> Result<Vec<String>, (bool, Status)> {
        exchanges("d.example", answer, (&own(), 25), &mut |_| 0)
            .map(|hosts| hosts.into_iter().map(|mx| mx.host).collect())
            .map_err(|why| (why.permanent, why.status))
    }

    #[test]
    fn q_04_exchanges_are_ordered_and_lists_that_lead_back_are_cut() {
        let ours = "mail.here.example";
        for (answer, expected) in [
            (
                mx(&[(20, "b"), (10, "a"), (30, "c")]),
                Ok(vec!["a", "b", "c"]),
            ),
            (Answer::NoRecords, Ok(vec!["d.example"])),
            (
                mx(&[(10, "a"), (20, ours), (20, "b"), (30, "c")]),
                Ok(vec!["a"]),
            ),
            (mx(&[(10, ours), (20, "b")]), Err((true, Status(5, 4, 6)))),
            (mx(&[(0, "")]), Err((true, Status(5, 1, 10)))),
            (mx(&[(0, ""), (10, "a")]), Ok(vec!["a"])),
            (mx(&[(10, "a"), (20, "a")]), Ok(vec!["a"])),
            (Answer::NoSuchName, Err((true, Status(5, 1, 2)))),
            (
                Answer::Temporary("x".to_owned()),
                Err((false, Status(4, 4, 3))),
            ),
        ] {
            let expected = expected.map(|hosts| hosts.into_iter().map(str::to_owned).collect());
            assert_eq!(hosts(answer), expected);
        }
    }

    #[test]
    fn equal_preferences_are_in_random_order() {
        let records = mx(&[(10, "a"), (10, "b"), (5, "first")]);
        let order = |numbers: [u64; 3]| {
            let mut numbers = numbers.into_iter();
            let mut random = |_| numbers.next().unwrap();
            let hosts = exchanges("d", records.clone(), (&own(), 25), &mut random).unwrap();
            hosts.into_iter().map(|mx| mx.host).collect::<String>()
        };
        assert_eq!(order([1, 2, 3]), "firstab");
        assert_eq!(order([2, 1, 3]), "firstba");
    }

    fn resolved(of: &[(u16, &str, &[&str])]) -> Vec<(Exchange, Answer<Vec<IpAddr>>)> {
        of.iter()
            .map(|(preference, host, addresses)| {
                let exchange = Exchange {
                    preference: *preference,
                    host: (*host).to_owned(),
                    port: 25,
                };
                let answer = match addresses {
                    [] => Answer::NoRecords,
                    ["?"] => Answer::Temporary("x".to_owned()),
                    some => Answer::Found(some.iter().map(|ip| ip.parse().unwrap()).collect()),
                };
                (exchange, answer)
            })
            .collect()
    }

    #[test]
    fn q_04_q_05_targets_are_the_usable_addresses() {
        let v6 = "2001:db8:0:1::1";
        for (of, expected) in [
            (
                &[(10, "a", &["198.51.100.1", "198.51.100.2", v6][..])][..],
                Ok(vec![v6, "198.51.100.1", "198.51.100.2"]),
            ),
            (
                &[(10, "a", &["?"]), (20, "b", &["198.51.100.1"])],
                Ok(vec!["198.51.100.1"]),
            ),
            // Ours by address: gone with what is not better.
            (
                &[
                    (10, "a", &["198.51.100.1"]),
                    (20, "b", &["198.51.100.2"]),
                    (20, "c", &["192.0.2.9"]),
                ],
                Ok(vec!["198.51.100.1"]),
            ),
            (&[(10, "a", &["192.0.2.9"])], Err((true, Status(5, 4, 6)))),
            (
                &[(10, "a", &["::ffff:192.0.2.9"])],
                Err((true, Status(5, 4, 6))),
            ),
            (
                &[(10, "a", &["10.0.0.1", "127.0.0.1", "::1"])],
                Err((true, Status(5, 4, 4))),
            ),
            (&[(10, "a", &[])], Err((true, Status(5, 4, 4)))),
            (
                &[(10, "a", &[]), (20, "b", &["?"])],
                Err((false, Status(4, 4, 3))),
            ),
        ] {
            let found = targets(
                "d.example",
                &resolved(of),
                &own(),
                Sources::default(),
                &|_| 0,
            )
            .map(|targets| targets.iter().map(|t| t.address.to_string()).collect())
            .map_err(|why| (why.permanent, why.status));
            let expected: Result<Vec<String>, _> =
                expected.map(|ips| ips.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{of:?}");
        }
    }

    #[test]
    fn what_is_doubted_goes_last_among_its_equals() {
        let of = [
            (10, "a", &["198.51.100.1"][..]),
            (10, "b", &["198.51.100.2", "198.51.100.3"]),
            (20, "c", &["198.51.100.4"]),
        ];
        let doubt = |to: SocketAddr| u8::from(to.ip() == Ipv4Addr::new(198, 51, 100, 1)) * 2;
        let found = targets("d", &resolved(&of), &own(), Sources::default(), &doubt).unwrap();
        let order: Vec<_> = found.iter().map(|target| target.host.as_str()).collect();
        assert_eq!(order, ["b", "b", "a", "c"]);
    }

    #[test]
    fn a_family_that_we_do_not_come_from_is_left_out() {
        let four = Sources::new(&["192.0.2.1".parse().unwrap()]).unwrap();
        let found = |addresses| {
            targets(
                "d",
                &resolved(&[(10, "a", addresses)]),
                &own(),
                four,
                &|_| 0,
            )
            .map(|targets| targets.iter().map(|t| t.address.to_string()).collect())
            .map_err(|why| why.permanent)
        };
        let both = found(&["2001:db8::1", "198.51.100.1"]);
        assert_eq!(both, Ok(vec!["198.51.100.1".to_owned()]));
        assert_eq!(found(&["2001:db8::1"]), Err(false));
    }

    #[test]
    fn q_06_no_more_than_five_addresses_of_both_families() {
        let many = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1::3"];
        let many = [&many[..], &["198.51.100.1", "198.51.100.2", "198.51.100.3"]].concat();
        let resolved = resolved(&[(10, "a", &many)]);
        let targets = targets("d", &resolved, &own(), Sources::default(), &|_| 0).unwrap();
        assert_eq!(targets.len(), ADDRESSES_MAX);
        let six = targets.iter().filter(|target| target.address.is_ipv6());
        assert_eq!(six.count(), 3);
    }

    #[test]
    fn q_05_special_addresses_are_known_in_every_disguise() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_special(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(!is_special(ip.parse().unwrap()), "{ip}");
        }
        let lab = Own {
            insecure_allow_private_targets: true,
            ..own()
        };
        let local = resolved(&[(10, "a", &["127.0.0.1"])]);
        let found = targets("d", &local, &lab, Sources::default(), &|_| 0);
        assert_eq!(found.unwrap().len(), 1);
    }
}
