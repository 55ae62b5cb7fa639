//! Questions to the DNS that all end at one time: whatever a message makes us ask, its sender does
//! not wait longer than that, and a question that was not answered by then is a temporary error.

use std::{net::IpAddr, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::dns::{Answer, Family, Mx, Resolver};

/// A resolver and the moment at which its answers are late.
#[derive(Clone, Copy)]
pub(super) struct Questions<'a> {
    resolver: &'a dyn Resolver,
    until: Instant,
}

impl<'a> Questions<'a> {
    pub(super) fn new(resolver: &'a dyn Resolver, until: Instant) -> Self {
        Self { resolver, until }
    }

    /// The same, with no more than this time.
    pub(super) fn within(self, time: Duration) -> Self {
        let until = self.until.min(Instant::now() + time);
        Self { until, ..self }
    }

    pub(super) async fn texts(&self, name: &str) -> Answer<Vec<Vec<u8>>> {
        self.in_time(self.resolver.texts(name)).await
    }

    pub(super) async fn mx(&self, domain: &str) -> Answer<Vec<Mx>> {
        self.in_time(self.resolver.mx(domain)).await
    }

    pub(super) async fn family(&self, host: &str, family: Family) -> Answer<Vec<IpAddr>> {
        self.in_time(self.resolver.family(host, family)).await
    }

    pub(super) async fn names(&self, address: IpAddr) -> Answer<Vec<String>> {
        self.in_time(self.resolver.names(address)).await
    }

    async fn in_time<T>(&self, question: impl Future<Output = Answer<T>>) -> Answer<T> {
        match timeout_at(self.until, question).await {
            Ok(answer) => answer,
            Err(_) => Answer::Temporary("there is no time left for questions".to_owned()),
        }
    }
}
