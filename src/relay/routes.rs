//! Which way mail for a domain goes: as the DNS says, or to hosts that the operator named.
//!
//! Pure. The longest name that fits counts: a domain's own before `*.` of those above it, and what
//! fits no name goes to the smarthost, if there is one.

use std::collections::HashMap;

use super::{Destination, source::Sources};
use crate::{
    mail::address::Domain,
    smtp::client::{Login, conversation::Security},
};

/// Hosts that an operator named. They may have any address.
#[derive(Clone, Debug)]
pub struct Route {
    /// Names or addresses with their ports, in the order in which they are tried.
    pub hosts: Vec<(String, u16)>,
    /// What to do about TLS.
    pub security: Security,
    /// Who we are to them.
    pub login: Option<Login>,
    /// Where connections come from.
    pub sources: Sources,
}

/// A way.
#[derive(Clone, Debug)]
pub enum Way {
    /// The hosts that the DNS names, whatever holds for other domains.
    Mx,
    /// These hosts.
    Hosts(Route),
}

impl From<Route> for Way {
    fn from(route: Route) -> Self {
        Self::Hosts(route)
    }
}

/// The ways of certain domains.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: HashMap<Domain, Way>,
    /// Of the domains below these.
    below: HashMap<Domain, Way>,
}

impl Routes {
    /// The way for mail to this domain alone.
    pub fn insert(&mut self, domain: Domain, way: impl Into<Way>) {
        self.exact.insert(domain, way.into());
    }

    /// The way for mail to all domains below this one.
    pub fn insert_below(&mut self, domain: Domain, way: impl Into<Way>) {
        self.below.insert(domain, way.into());
    }

    /// Where mail for `domain` goes, when that is said here.
    pub(super) fn destination(&self, domain: &Domain) -> Option<Destination> {
        let direct = || Destination::Direct(domain.clone());
        if let Some(way) = self.exact.get(domain) {
            return Some(match way {
                Way::Mx => direct(),
                Way::Hosts(_) => Destination::Routed(domain.clone()),
            });
        }
        if self.below.is_empty() || domain.literal().is_some() {
            return None;
        }
        let mut rest = domain.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            let way = above
                .parse()
                .ok()
                .and_then(|d| self.below.get_key_value(&d));
            if let Some((above, way)) = way {
                return Some(match way {
                    Way::Mx => direct(),
                    Way::Hosts(_) => Destination::Below(above.clone()),
                });
            }
            rest = above;
        }
        None
    }

    /// All routes to hosts.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        let ways = self.exact.values().chain(self.below.values());
        ways.filter_map(Way::route)
    }

    /// The hosts for mail to this domain alone.
    pub fn exact(&self, domain: &Domain) -> Option<&Route> {
        self.exact.get(domain).and_then(Way::route)
    }

    /// The hosts for mail to the domains below this one.
    pub fn below(&self, domain: &Domain) -> Option<&Route> {
        self.below.get(domain).and_then(Way::route)
    }
}

impl Way {
    fn route(&self) -> Option<&Route> {
        match self {
            Self::Mx => None,
            Self::Hosts(route) => Some(route),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        text.parse().unwrap()
    }

    fn route(host: &str) -> Route {
        Route {
            hosts: vec![(host.to_owned(), 25)],
            security: Security::Opportunistic,
            login: None,
            sources: Sources::default(),
        }
    }

    #[test]
    fn the_longest_name_that_fits_counts() {
        let mut routes = Routes::default();
        routes.insert(domain("example.org"), route("own"));
        routes.insert(domain("dns.deep.example.org"), Way::Mx);
        routes.insert_below(domain("example.org"), route("below"));
        routes.insert_below(domain("deep.example.org"), route("deep"));
        routes.insert_below(domain("free.example.org"), Way::Mx);
        for (to, expected) in [
            ("example.org", Some("Routed example.org")),
            ("EXAMPLE.org", Some("Routed example.org")),
            ("a.example.org", Some("Below example.org")),
            ("b.a.example.org", Some("Below example.org")),
            ("deep.example.org", Some("Below example.org")),
            ("a.deep.example.org", Some("Below deep.example.org")),
            ("dns.deep.example.org", Some("Direct dns.deep.example.org")),
            ("x.dns.deep.example.org", Some("Below deep.example.org")),
            ("a.free.example.org", Some("Direct a.free.example.org")),
            ("notexample.org", None),
            ("org", None),
            ("[192.0.2.1]", None),
        ] {
            let to = domain(to);
            let found = routes.destination(&to);
            let said = found.map(|found| match found {
                Destination::Direct(domain) => format!("Direct {domain}"),
                Destination::Routed(domain) => format!("Routed {domain}"),
                Destination::Below(domain) => format!("Below {domain}"),
                other => format!("{other}"),
            });
            assert_eq!(said.as_deref(), expected, "{to}");
        }
        let hosts = |route: Option<&Route>| route.map(|route| route.hosts[0].0.clone());
        let exact = routes.exact(&domain("example.org"));
        assert_eq!(hosts(exact).as_deref(), Some("own"));
        let below = routes.below(&domain("deep.example.org"));
        assert_eq!(hosts(below).as_deref(), Some("deep"));
        assert!(routes.below(&domain("free.example.org")).is_none());
    }
}
