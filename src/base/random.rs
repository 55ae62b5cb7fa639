//! Randomness, the only door to it: the system's generator, or a seeded one for tests.

use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};

/// Source of random bytes. Cheap to clone; clones of a seeded source share one stream.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    System(SystemRandom),
    Seeded(Arc<Mutex<u64>>),
}

impl Random {
    /// The operating system's cryptographic generator.
    pub fn system() -> Self {
        Self(Source::System(SystemRandom::new()))
    }

    /// A repeatable stream, for tests only: it is not cryptographic.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(seed))))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Panics
    /// When the system cannot give random bytes: nothing safe can be done without them.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            Source::System(system) => {
                system
                    .fill(out)
                    .expect("the operating system provides random bytes");
            }
            Source::Seeded(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                for chunk in out.chunks_mut(8) {
                    let word = split_mix(&mut state).to_le_bytes();
                    chunk.copy_from_slice(&word[..chunk.len()]);
                }
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random number below `bound` (zero when `bound` is zero). The bias is below `bound` / 2^64.
    pub fn below(&self, bound: u64) -> u64 {
        let word = u128::from(u64::from_le_bytes(self.bytes()));
        u64::try_from((word * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// `length` random characters of lower-case letters and digits that cannot be mistaken for
    /// one another when read aloud (no `i`, `l`, `o`, `0`, `1`). Each carries 4.95 bits.
    pub fn readable(&self, length: usize) -> String {
        const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
        (0..length)
            .map(|_| usize::try_from(self.below(31)).unwrap_or(0))
            .map(|i| char::from(ALPHABET[i]))
            .collect()
    }
}

/// One step of SplitMix64 (public-domain generator by Sebastiano Vigna).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_stream_and_bounds_hold() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(a.bytes::<20>(), b.bytes::<20>());
        assert!((0..1000).all(|_| a.below(31) < 31));
        assert_eq!(a.below(0), 0);
        assert_eq!(a.readable(16).len(), 16);
    }
}
