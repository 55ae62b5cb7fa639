//! How many connections there are to each host, for whichever domains.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections to all hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<Taken>>);

/// By host name and port; none of these is zero.
type Taken = HashMap<(String, u16), usize>;

/// The right to one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    of: Seats,
    host: (String, u16),
}

impl Seats {
    /// A seat, unless `most` are taken.
    pub(super) fn take(&self, host: &str, port: u16, most: usize) -> Option<Seat> {
        let host = (host.to_owned(), port);
        let mut taken = self.taken();
        let count = taken.entry(host.clone()).or_default();
        // Who asks for none gets one: nothing would ever go there.
        if *count >= most.max(1) {
            return None;
        }
        *count += 1;
        let of = self.clone();
        Some(Seat { of, host })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some(count) = taken.get_mut(&self.host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_06_a_host_has_so_many_seats_and_no_memory() {
        let seats = Seats::default();
        let one = seats.take("mx.example", 25, 2).unwrap();
        let two = seats.take("mx.example", 25, 2).unwrap();
        assert!(seats.take("mx.example", 25, 2).is_none());
        assert!(seats.take("mx.example", 26, 2).is_some());
        assert!(seats.take("other.example", 25, 0).is_some());
        drop(one);
        let three = seats.take("mx.example", 25, 2).unwrap();
        drop((two, three));
        assert!(seats.taken().is_empty());
    }
}
