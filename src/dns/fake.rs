//! A resolver that answers from a table: for tests of everything above it.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Answer, Family, Located, Mx, Proven, Resolver, Service, Tlsa};
use crate::base::future::BoxFuture;

/// A table of answers that can change while it is in use. Names not in it do not exist.
#[derive(Clone, Debug, Default)]
pub struct Fake(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    mx: HashMap<String, Answer<Vec<Mx>>>,
    addresses: HashMap<String, Answer<Vec<IpAddr>>>,
    texts: HashMap<String, Answer<Vec<Vec<u8>>>>,
    names: HashMap<IpAddr, Answer<Vec<String>>>,
    services: HashMap<String, Answer<Vec<Service>>>,
    associations: HashMap<String, Answer<Vec<Tlsa>>>,
    secure: HashSet<String>,
    delay: Duration,
}

/// Adds a record to those of a name; an answer that was set as a whole is replaced.
fn add<K: Eq + Hash, T>(records: &mut HashMap<K, Answer<Vec<T>>>, name: K, record: T) {
    match records
        .entry(name)
        .or_insert_with(|| Answer::Found(Vec::new()))
    {
        Answer::Found(known) => known.push(record),
        other => *other = Answer::Found(vec![record]),
    }
}

impl Table {
    /// What `records` have of a name; one that only others know exists.
    fn answer<T: Clone>(&self, records: &HashMap<String, Answer<T>>, name: &str) -> Answer<T> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match records.get(&name) {
            Some(answer) => answer.clone(),
            None if self.exists(&name) => Answer::NoRecords,
            None => Answer::NoSuchName,
        }
    }

    fn exists(&self, name: &str) -> bool {
        self.mx.contains_key(name)
            || self.addresses.contains_key(name)
            || self.texts.contains_key(name)
    }
}

impl Fake {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the MX records of a domain.
    pub fn set_mx(&self, domain: &str, records: &[(u16, &str)]) {
        let record = |(preference, exchange): &(u16, &str)| Mx {
            preference: *preference,
            exchange: (*exchange).to_owned(),
        };
        let answer = Answer::Found(records.iter().map(record).collect());
        self.set_mx_answer(domain, answer);
    }

    /// Sets the whole answer to the question for MX records.
    pub fn set_mx_answer(&self, domain: &str, answer: Answer<Vec<Mx>>) {
        self.with(|table| table.mx.insert(domain.to_owned(), answer));
    }

    /// Sets the addresses of a host.
    pub fn set_addresses(&self, host: &str, addresses: &[IpAddr]) {
        self.set_addresses_answer(host, Answer::Found(addresses.to_vec()));
    }

    /// Sets the whole answer to the question for addresses.
    pub fn set_addresses_answer(&self, host: &str, answer: Answer<Vec<IpAddr>>) {
        self.with(|table| table.addresses.insert(host.to_owned(), answer));
    }

    /// Adds a TXT record.
    pub fn add_text(&self, name: &str, text: &[u8]) {
        let text = text.to_vec();
        self.with(|table| add(&mut table.texts, name.to_ascii_lowercase(), text));
    }

    /// Adds an address of a host.
    pub fn add_address(&self, host: &str, address: IpAddr) {
        self.with(|table| add(&mut table.addresses, host.to_ascii_lowercase(), address));
    }

    /// Adds an MX record of a domain.
    pub fn add_mx(&self, domain: &str, preference: u16, exchange: &str) {
        let record = Mx {
            preference,
            exchange: exchange.to_owned(),
        };
        self.with(|table| add(&mut table.mx, domain.to_ascii_lowercase(), record));
    }

    /// Adds a name of an address.
    pub fn add_name(&self, address: IpAddr, name: &str) {
        self.with(|table| add(&mut table.names, address, name.to_owned()));
    }

    /// Adds an SRV record.
    pub fn add_service(&self, name: &str, service: Service) {
        self.with(|table| add(&mut table.services, name.to_ascii_lowercase(), service));
    }

    /// Whether there are TXT records of a name.
    pub fn has_texts(&self, name: &str) -> bool {
        self.with(|table| table.texts.contains_key(&name.to_ascii_lowercase()))
    }

    /// Sets the whole answer to the question for TXT records.
    pub fn set_texts_answer(&self, name: &str, answer: Answer<Vec<Vec<u8>>>) {
        self.with(|table| table.texts.insert(name.to_ascii_lowercase(), answer));
    }

    /// Sets the names of an address.
    pub fn set_names_answer(&self, address: IpAddr, answer: Answer<Vec<String>>) {
        self.with(|table| table.names.insert(address, answer));
    }

    /// Sets the whole answer to the question for TLSA records.
    pub fn set_associations(&self, name: &str, answer: Answer<Vec<Tlsa>>) {
        self.with(|table| table.associations.insert(name.to_ascii_lowercase(), answer));
    }

    /// Everything about a name is proven by DNSSEC.
    pub fn set_secure(&self, name: &str) {
        self.with(|table| table.secure.insert(name.to_ascii_lowercase()));
    }

    /// Makes every answer take this long.
    pub fn set_delay(&self, delay: Duration) {
        self.with(|table| table.delay = delay);
    }

    fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fake {
    fn later<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, T> {
        let delay = self.with(|table| table.delay);
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            answer
        })
    }
}

impl Resolver for Fake {
    fn proven_mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Proven<Vec<Mx>>> {
        let proven = self.with(|table| Proven {
            answer: table.answer(&table.mx, domain),
            secure: table.secure.contains(domain),
        });
        self.later(proven)
    }

    fn located<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Located> {
        let located = self.with(|table| Located {
            addresses: table.answer(&table.addresses, host),
            proven_names: table.secure.get(host).cloned().into_iter().collect(),
        });
        self.later(located)
    }

    fn associations<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Proven<Vec<Tlsa>>> {
        let proven = self.with(|table| Proven {
            answer: table.answer(&table.associations, name),
            secure: table.secure.contains(name),
        });
        self.later(proven)
    }

    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>> {
        let answer = self.with(|table| table.answer(&table.mx, domain));
        self.later(answer)
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        let answer = self.with(|table| table.answer(&table.addresses, host));
        self.later(answer)
    }

    fn family<'a>(&'a self, host: &'a str, family: Family) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        let answer = self.with(|table| table.answer(&table.addresses, host));
        let answer = match answer {
            Answer::Found(all) => {
                let of_family: Vec<_> = all.into_iter().filter(|ip| family.has(ip)).collect();
                if of_family.is_empty() {
                    Answer::NoRecords
                } else {
                    Answer::Found(of_family)
                }
            }
            other => other,
        };
        self.later(answer)
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Vec<u8>>>> {
        let answer = self.with(|table| table.answer(&table.texts, name));
        self.later(answer)
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Service>>> {
        let answer = self.with(|table| table.answer(&table.services, name));
        self.later(answer)
    }

    fn names(&self, address: IpAddr) -> BoxFuture<'_, Answer<Vec<String>>> {
        let known = self.with(|table| table.names.get(&address).cloned());
        self.later(known.unwrap_or(Answer::NoSuchName))
    }
}
