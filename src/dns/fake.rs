//! A resolver that answers from a table: for tests of everything above it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Answer, Mx, Resolver};
use crate::base::future::BoxFuture;

/// A table of answers that can change while it is in use. Names not in it do not exist.
#[derive(Clone, Debug, Default)]
pub struct Fake(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    mx: HashMap<String, Answer<Vec<Mx>>>,
    addresses: HashMap<String, Answer<Vec<IpAddr>>>,
    delay: Duration,
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
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>> {
        let answer = self.with(|table| match table.mx.get(domain) {
            Some(answer) => answer.clone(),
            None if table.addresses.contains_key(domain) => Answer::NoRecords,
            None => Answer::NoSuchName,
        });
        self.later(answer)
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        let answer = self.with(|table| match table.addresses.get(host) {
            Some(answer) => answer.clone(),
            None if table.mx.contains_key(host) => Answer::NoRecords,
            None => Answer::NoSuchName,
        });
        self.later(answer)
    }
}
