//! What an operator says of domains: of one, of all below one (`*.`), of all.
//!
//! Pure. The longest name that fits counts, a domain's own before that of those above it.

use std::collections::HashMap;

use super::address::Domain;

/// Something for every domain.
#[derive(Clone, Debug)]
pub struct ByDomain<T> {
    /// For those of which nothing else is said.
    all: T,
    exact: HashMap<String, T>,
    /// For the domains below these.
    below: HashMap<String, T>,
}

impl<T> ByDomain<T> {
    /// The same for all.
    pub fn new(all: T) -> Self {
        Self {
            all,
            exact: HashMap::new(),
            below: HashMap::new(),
        }
    }

    /// For those of which nothing else is said.
    pub fn set_all(&mut self, value: T) {
        self.all = value;
    }

    /// For this domain alone.
    pub fn insert(&mut self, domain: &Domain, value: T) {
        self.exact.insert(domain.as_str().to_owned(), value);
    }

    /// For all domains below this one.
    pub fn insert_below(&mut self, domain: &Domain, value: T) {
        self.below.insert(domain.as_str().to_owned(), value);
    }

    /// What holds for all.
    pub fn all(&self) -> &T {
        &self.all
    }

    /// What holds for `domain`.
    pub fn of(&self, domain: &Domain) -> &T {
        let exact = self.exact.get(domain.as_str());
        exact.unwrap_or_else(|| self.above(domain))
    }

    /// What holds for `domain` if nothing is said of it alone.
    pub fn above(&self, domain: &Domain) -> &T {
        let mut rest = domain.as_str();
        while domain.literal().is_none()
            && let Some((_, above)) = rest.split_once('.')
        {
            if let Some(value) = self.below.get(above) {
                return value;
            }
            rest = above;
        }
        &self.all
    }

    /// What holds for the domains below `domain`, if nothing is said of one of them.
    pub fn below(&self, domain: &Domain) -> &T {
        let below = self.below.get(domain.as_str());
        below.unwrap_or_else(|| self.above(domain))
    }

    /// All that is said.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let named = self.exact.values().chain(self.below.values());
        std::iter::once(&self.all).chain(named)
    }
}

impl<T> From<T> for ByDomain<T> {
    fn from(all: T) -> Self {
        Self::new(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_fits_counts() {
        let domain = |text: &str| Domain::parse(text).unwrap();
        let mut by = ByDomain::new("all");
        by.insert(&domain("b.example"), "b");
        by.insert_below(&domain("b.example"), "below b");
        by.insert_below(&domain("c.b.example"), "below c");
        by.insert_below(&domain("example"), "below example");
        for (name, said) in [
            ("b.example", "b"),
            ("B.EXAMPLE", "b"),
            ("x.b.example", "below b"),
            ("c.b.example", "below b"),
            ("x.c.b.example", "below c"),
            ("xb.example", "below example"),
            ("example", "all"),
            ("other.test", "all"),
            ("[192.0.2.1]", "all"),
        ] {
            assert_eq!(*by.of(&domain(name)), said, "{name}");
        }
        assert_eq!(*by.above(&domain("b.example")), "below example");
        assert_eq!(*by.below(&domain("b.example")), "below b");
        assert_eq!(*by.below(&domain("x.example")), "below example");
        assert_eq!(by.values().count(), 5);
    }
}
