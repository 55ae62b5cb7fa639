//! Rewritten senders (SRS): a forwarded copy has a sender of ours, so that the next server's SPF
//! finds us, and reports come back to whom it had.
//!
//! Pure. `SRS0=hash=day=domain=local@here` says who it was; for a sender that another forwarder
//! rewrote, `SRS1=hash=domain=...@here` leads to the first of them and past all others, as their
//! own mail does. The hash is made with a secret over all that it leads to and the day, so only
//! what we wrote is followed, and not for ever: nobody relays through us. Mail servers change the
//! case of local parts, so the hash does not depend on it. A local part has 64 octets (RFC 5321
//! 4.5.3.1.1); a sender who does not fit into that stays as he is.

use std::time::Duration;

use ring::hmac;

use crate::{
    accounts::RewritingSecret,
    base::clock::Timestamp,
    mail::address::{Address, Domain, LocalPart},
};

/// Why an address that looks rewritten leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    /// We did not write it.
    Forged,
    /// It is too old.
    Expired,
}

/// The sender of a forwarded copy: `sender`, who is elsewhere, as an address of `domain`. None when
/// he does not fit.
pub(super) fn rewritten(
    secret: &RewritingSecret,
    now: Timestamp,
    sender: &Address,
    domain: &Domain,
) -> Option<Address> {
    let stamp = stamp(day(now));
    let local = match Rewritten::of(sender.local.as_str()) {
        // The first forwarder knows whose it is; those between are no use to anybody.
        Some(Rewritten::First(rest)) => again(secret, &stamp, sender.domain.as_str(), rest),
        Some(Rewritten::Again { first, rest, .. }) => again(secret, &stamp, first, rest),
        None => {
            let (from, user) = (sender.domain.as_str(), sender.local.as_str());
            let hash = hash(secret, &[FIRST, &stamp, from, user]);
            format!("{FIRST}={hash}={stamp}={from}={user}")
        }
    };
    Some(Address {
        local: LocalPart::from_unquoted(&local).ok()?,
        domain: domain.clone(),
    })
}

/// Whom an address that we may have written leads to; none when it does not even look like one.
pub(super) fn original(
    secrets: &[RewritingSecret],
    now: Timestamp,
    address: &Address,
) -> Option<Result<Address, Dead>> {
    Some(match Rewritten::of(address.local.as_str())? {
        Rewritten::First(rest) => first_original(secrets, now, rest),
        Rewritten::Again { hash, first, rest } => later_original(secrets, now, (hash, first, rest)),
    })
}

/// A local part that says it is a rewritten sender.
enum Rewritten<'a> {
    /// What stands behind `SRS0`, its separator first.
    First(&'a str),
    /// What stands behind `SRS1`.
    Again {
        hash: &'a str,
        /// The domain of the first forwarder.
        first: &'a str,
        /// What stood behind his `SRS0`.
        rest: &'a str,
    },
}

impl<'a> Rewritten<'a> {
    fn of(local: &'a str) -> Option<Self> {
        let (tag, rest) = local.split_at_checked(FIRST.len())?;
        if !rest.starts_with(SEPARATORS) {
            return None;
        }
        if tag.eq_ignore_ascii_case(FIRST) {
            return Some(Self::First(rest));
        }
        if !tag.eq_ignore_ascii_case(AGAIN) {
            return None;
        }
        let (hash, rest) = rest.get(1..)?.split_once('=')?;
        let (first, rest) = rest.split_once('=')?;
        rest.starts_with(SEPARATORS)
            .then_some(Self::Again { hash, first, rest })
    }
}

fn again(secret: &RewritingSecret, stamp: &str, first: &str, rest: &str) -> String {
    // What is no domain stays what it is: reports would have nowhere to go either way.
    let hash = hash(secret, &[AGAIN, stamp, first, rest]);
    format!("{AGAIN}={stamp}{hash}={first}={rest}")
}

fn first_original(
    secrets: &[RewritingSecret],
    now: Timestamp,
    rest: &str,
) -> Result<Address, Dead> {
    let mut pieces = rest.get(1..).unwrap_or_default().splitn(4, '=');
    let [Some(hash), Some(stamp), Some(domain), Some(user)] = [(); 4].map(|()| pieces.next())
    else {
        return Err(Dead::Forged);
    };
    proved(secrets, hash, &[FIRST, stamp, domain, user])?;
    is_young(stamp, now)?;
    address(user, domain)
}

fn later_original(
    secrets: &[RewritingSecret],
    now: Timestamp,
    (mark, first, rest): (&str, &str, &str),
) -> Result<Address, Dead> {
    let (stamp, hash) = mark.split_at_checked(STAMP_CHARS).ok_or(Dead::Forged)?;
    proved(secrets, hash, &[AGAIN, stamp, first, rest])?;
    is_young(stamp, now)?;
    address(&format!("{FIRST}{rest}"), first)
}

fn address(local: &str, domain: &str) -> Result<Address, Dead> {
    Ok(Address {
        local: LocalPart::from_unquoted(local).map_err(|_| Dead::Forged)?,
        domain: Domain::parse(domain).map_err(|_| Dead::Forged)?,
    })
}

/// Whether one of our secrets made this hash. Takes as long for a wrong one as for a right one.
fn proved(secrets: &[RewritingSecret], given: &str, parts: &[&str]) -> Result<(), Dead> {
    let given = given.to_ascii_lowercase();
    let is_of = |secret: &RewritingSecret| {
        let made = hash(secret, parts);
        let pairs = made.bytes().zip(given.bytes());
        let differences = pairs.fold(0, |differences, (a, b)| differences | (a ^ b));
        differences == 0 && made.len() == given.len()
    };
    let hits = secrets.iter().filter(|secret| is_of(secret)).count();
    (hits > 0).then_some(()).ok_or(Dead::Forged)
}

fn hash(secret: &RewritingSecret, parts: &[&str]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.key.expose());
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part.to_lowercase().as_bytes());
        context.update(&[0]);
    }
    let tag = context.sign();
    let number = tag
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |sum: u64, byte| sum.wrapping_shl(8) | u64::from(*byte));
    letters(number, HASH_CHARS)
}

/// The last five-bit digits of a number, the highest first.
fn letters(number: u64, count: usize) -> String {
    let digit = |at: usize| {
        let digit = number.checked_shr(u32::try_from(at * 5).unwrap_or(u32::MAX));
        let digit = usize::try_from(digit.unwrap_or(0) & 31).unwrap_or_default();
        char::from(ALPHABET.get(digit).copied().unwrap_or(b'a'))
    };
    (0..count).rev().map(digit).collect()
}

fn day(now: Timestamp) -> u64 {
    now.since(Timestamp(0)).as_secs() / DAY.as_secs() % DAYS
}

/// A day of about three years, in two letters.
fn stamp(day: u64) -> String {
    letters(day, STAMP_CHARS)
}

/// Whether a stamp is of one of the last days, or of tomorrow: clocks differ.
fn is_young(stamp: &str, now: Timestamp) -> Result<(), Dead> {
    let mut digits = stamp.bytes().map(|letter| {
        let letter = letter.to_ascii_lowercase();
        ALPHABET.iter().position(|known| *known == letter)
    });
    let value = digits.try_fold(0_u64, |sum, digit| {
        let digit = u64::try_from(digit?).ok()?;
        sum.checked_mul(32)?.checked_add(digit)
    });
    let value = value.filter(|value| *value < DAYS).ok_or(Dead::Forged)?;
    let age = (day(now) + DAYS + 1 - value) % DAYS;
    match age <= VALID_DAYS + 1 {
        true => Ok(()),
        false => Err(Dead::Expired),
    }
}

const FIRST: &str = "SRS0";
const AGAIN: &str = "SRS1";
/// Ours is the first; others use others.
const SEPARATORS: [char; 3] = ['=', '+', '-'];
/// RFC 4648 6, in lower case.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Forty bits: a guess costs a refused recipient, of which nobody has many (LIM-16).
const HASH_CHARS: usize = 8;
const STAMP_CHARS: usize = 2;
/// Two letters go round once in so many days.
const DAYS: u64 = 1024;
/// For how long reports find back: queues give up after five days, slow ones after two weeks.
const VALID_DAYS: u64 = 21;
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::secret::Secret;

    fn secret(text: &str) -> RewritingSecret {
        RewritingSecret {
            made: Timestamp(0),
            key: Secret::new(text.as_bytes().to_vec()),
        }
    }

    fn at(day: u64) -> Timestamp {
        Timestamp::from_secs(i64::try_from(day * 86_400 + 7).unwrap())
    }

    fn here() -> Domain {
        Domain::parse("here.example").unwrap()
    }

    fn parsed(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn senders_come_back_and_their_case_does_not_matter() {
        let ours = secret("one");
        for sender in [
            "ann@author.example",
            "\"a b=c\"@author.example",
            "a=b+c-d@author.example",
            "\u{f6}\u{df}@author.example",
            "SRS@author.example",
            "srs0@author.example",
            "x@[192.0.2.1]",
        ] {
            let sender = parsed(sender);
            let new = rewritten(&ours, at(20_000), &sender, &here()).unwrap();
            assert!(new.local.as_str().starts_with("SRS0="), "{new}");
            let spelt = parsed(&new.to_string());
            let secrets = [secret("older"), ours.clone()];
            let back = original(&secrets, at(20_005), &spelt);
            assert_eq!(back, Some(Ok(sender.clone())), "{new}");
            let lower = LocalPart::from_unquoted(&new.local.as_str().to_ascii_lowercase());
            let lower = Address {
                local: lower.unwrap(),
                domain: here(),
            };
            let back = original(&secrets, at(20_005), &lower).unwrap().unwrap();
            assert_eq!(back.domain, sender.domain);
            assert_eq!(
                back.local.as_str(),
                sender.local.as_str().to_ascii_lowercase()
            );
        }
    }

    #[test]
    fn what_others_rewrote_leads_to_the_first_of_them() {
        let ours = secret("one");
        for (sender, to) in [
            (
                "SRS0=ab=cd=a.example=u@one.example",
                "SRS0=ab=cd=a.example=u@one.example",
            ),
            (
                "srs0+ab=cd=a.example=u@one.example",
                "SRS0+ab=cd=a.example=u@one.example",
            ),
            (
                "SRS1=xyz=one.example==ab=cd=a.example=u@two.example",
                "SRS0=ab=cd=a.example=u@one.example",
            ),
            (
                "SRS1+xyz=one.example=-opaque@two.example",
                "SRS0-opaque@one.example",
            ),
        ] {
            let new = rewritten(&ours, at(3), &parsed(sender), &here()).unwrap();
            assert!(new.local.as_str().starts_with("SRS1="), "{new}");
            let back = original(std::slice::from_ref(&ours), at(4), &new);
            assert_eq!(back, Some(Ok(parsed(to))), "{new}");
        }
    }

    #[test]
    fn nobody_relays_through_what_we_did_not_write() {
        let ours = secret("one");
        let chain = parsed("SRS1=xyz=one.example==ab=cd=a.example=u@two.example");
        for sender in [parsed("ann@author.example"), chain] {
            let good = rewritten(&ours, at(9), &sender, &here()).unwrap();
            let text = good.local.as_str();
            for (position, _) in text.char_indices().skip(5) {
                let (before, rest) = text.split_at(position);
                let mut rest = rest.chars();
                let other = if rest.next() == Some('q') { 'z' } else { 'q' };
                let forged = format!("{before}{other}{}", rest.as_str());
                let local = LocalPart::from_unquoted(&forged).unwrap();
                let domain = here();
                let found = original(
                    std::slice::from_ref(&ours),
                    at(9),
                    &Address { local, domain },
                );
                assert!(
                    matches!(found, None | Some(Err(Dead::Forged))),
                    "{forged}: {found:?}"
                );
            }
            let others = original(&[secret("two")], at(9), &good);
            assert_eq!(others, Some(Err(Dead::Forged)));
            assert_eq!(original(&[], at(9), &good), Some(Err(Dead::Forged)));
        }
        for (text, found) in [
            ("SRS0=a@here.example", Some(Err(Dead::Forged))),
            ("SRS0==aa=x.example=u@here.example", Some(Err(Dead::Forged))),
            ("SRS1==one.example==u@here.example", Some(Err(Dead::Forged))),
            ("SRS1=x@here.example", None),
            ("SRS2=x=y=z=u@here.example", None),
            ("SRS0x@here.example", None),
            ("srs@here.example", None),
        ] {
            assert_eq!(
                original(std::slice::from_ref(&ours), at(9), &parsed(text)),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn a_rewritten_sender_is_good_for_three_weeks() {
        let ours = secret("one");
        for made in [20_000, 1023, 1024, 20_479, 20_480] {
            let new = rewritten(&ours, at(made), &parsed("u@a.example"), &here()).unwrap();
            let found = |day| original(std::slice::from_ref(&ours), at(day), &new).unwrap();
            assert!(found(made).is_ok() && found(made + VALID_DAYS).is_ok());
            assert!(found(made - 1).is_ok());
            assert_eq!(found(made + VALID_DAYS + 1), Err(Dead::Expired));
            assert_eq!(found(made - 2), Err(Dead::Expired));
        }
    }

    #[test]
    fn who_does_not_fit_stays_as_he_is() {
        let ours = secret("one");
        let fits = |length: usize| {
            let sender = parsed(&format!("{}@a.example", "u".repeat(length)));
            rewritten(&ours, at(1), &sender, &here()).is_some()
        };
        // `SRS0=hhhhhhhh=dd=a.example=`
        assert!(fits(64 - 27) && !fits(64 - 26));
    }

    proptest! {
        #[test]
        fn no_address_panics(local in "(SRS[012][=+-])?[\\PC]{0,40}") {
            if let Ok(local) = LocalPart::from_unquoted(&local) {
                let address = Address { local, domain: here() };
                let ours = secret("one");
                let _ = original(std::slice::from_ref(&ours), at(5), &address);
                if let Some(new) = rewritten(&ours, at(5), &address, &here()) {
                    prop_assert!(original(&[ours], at(5), &new).is_some());
                }
            }
        }
    }
}
