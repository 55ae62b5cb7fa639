//! New RSA keys of 2048 bits, as PKCS#1 (RFC 8017 A.1.2): ring signs with them and makes none.
//!
//! The primes come from crypto-primes (Baillie-PSW, strengthened); ring checks all numbers of a key
//! again whenever it reads one. Slow on purpose: for blocking threads.

use std::convert::Infallible;

use crypto_bigint::{
    NonZero, U1024, U2048, Uint,
    rand_core::{TryCryptoRng, TryRng},
};
use crypto_primes::{
    Flavor,
    hazmat::{SetBits, SmallFactorsSieveFactory},
    is_prime, sieve_and_find,
};

use super::der;
use crate::base::random::Random;

/// A new private key.
pub(super) fn private_key(random: &Random) -> Option<Vec<u8>> {
    let mut chance = Chance(random);
    let (mut p, mut q) = (prime(&mut chance)?, prime(&mut chance)?);
    if p == q {
        return None;
    }
    // ring wants the larger one first.
    if p < q {
        std::mem::swap(&mut p, &mut q);
    }
    let modulus: U2048 = p.concatenating_mul(&q);
    let one = U1024::ONE;
    let (p_less, q_less) = (p.wrapping_sub(&one), q.wrapping_sub(&one));
    let phi: U2048 = p_less.concatenating_mul(&q_less);
    let exponent = U2048::from_u64(EXPONENT);
    let private = exponent.invert_mod(&non_zero(phi)?).into_option()?;
    let of_prime = |less: U1024| {
        let exponent = U1024::from_u64(EXPONENT);
        exponent.invert_mod(&non_zero(less)?).into_option()
    };
    let (of_p, of_q) = (of_prime(p_less)?, of_prime(q_less)?);
    let coefficient = q.invert_mod(&non_zero(p)?).into_option()?;
    let numbers = [
        der::number(&[0]),
        der::number(modulus.to_be_bytes().as_ref()),
        der::number(&EXPONENT.to_be_bytes()),
        der::number(private.to_be_bytes().as_ref()),
        der::number(p.to_be_bytes().as_ref()),
        der::number(q.to_be_bytes().as_ref()),
        der::number(of_p.to_be_bytes().as_ref()),
        der::number(of_q.to_be_bytes().as_ref()),
        der::number(coefficient.to_be_bytes().as_ref()),
    ];
    Some(der::sequence(&numbers.concat()))
}

/// A prime of 1024 bits with both highest bits set, so that the product of two has 2048.
fn prime(chance: &mut Chance<'_>) -> Option<U1024> {
    let sieve = SmallFactorsSieveFactory::<U1024>::new(Flavor::Any, PRIME_BITS, SetBits::TwoMsb);
    let fits = |_: &mut Chance<'_>, candidate: &U1024| {
        let less = candidate.wrapping_sub(&U1024::ONE);
        let exponent = NonZero::new(U1024::from_u64(EXPONENT)).into_option();
        // The exponent is a prime: it has an inverse unless it divides.
        exponent.is_some_and(|exponent| less.rem(&exponent) != U1024::ZERO)
            && is_prime(Flavor::Any, candidate)
    };
    sieve_and_find(chance, sieve.ok()?, fits).ok().flatten()
}

fn non_zero<const LIMBS: usize>(number: Uint<LIMBS>) -> Option<NonZero<Uint<LIMBS>>> {
    NonZero::new(number).into_option()
}

/// Our source of chance, as the primes want it.
struct Chance<'a>(&'a Random);

impl TryRng for Chance<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.0.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.0.bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Chance<'_> {}

const EXPONENT: u64 = 65_537;
const PRIME_BITS: u32 = 1024;
