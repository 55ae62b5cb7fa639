//! What CONDSTORE and QRESYNC add to the grammar (RFC 7162 7): modifiers and parameters.
//!
//! Mod-sequences have 63 bits; known UIDs are a set as others (LIM-21, LIM-38), but without `*`;
//! of known message numbers there may be a thousand.

use super::{Mistake, Parsed, Scanner};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        enabled::Enabled,
        limits::MATCHES_MAX,
        resync::{Qresync, SelectParameters},
        sequence::SequenceSet,
    },
};

/// `mod-sequence-value`
pub fn modseq(scanner: &mut Scanner<'_>) -> Parsed<ModSeq> {
    match modseq_or_zero(scanner)? {
        ModSeq(0) => Err(Mistake::bad(NOT_A_MODSEQ)),
        modseq => Ok(modseq),
    }
}

/// `mod-sequence-valzer`
pub fn modseq_or_zero(scanner: &mut Scanner<'_>) -> Parsed<ModSeq> {
    // LIM-38
    let number = scanner.number64();
    number.map(ModSeq).map_err(|_| Mistake::bad(NOT_A_MODSEQ))
}

/// RFC 4466 2.1: `[SP "(" select-param *(SP select-param) ")"]`
pub fn select_parameters(scanner: &mut Scanner<'_>) -> Parsed<SelectParameters> {
    let mut parameters = SelectParameters::default();
    if !scanner.eat(b' ') {
        return Ok(parameters);
    }
    scanner.expect(b'(', PARAMETERS)?;
    loop {
        match scanner.word().to_ascii_uppercase().as_slice() {
            b"CONDSTORE" if !parameters.condstore => parameters.condstore = true,
            b"QRESYNC" if parameters.qresync.is_none() => {
                // RFC 7162 3.2.5
                if !scanner.enabled().contains(Enabled::QRESYNC) {
                    return Err(Mistake::bad("say ENABLE QRESYNC first"));
                }
                scanner.space()?;
                parameters.qresync = Some(Box::new(qresync(scanner)?));
            }
            _ => return Err(Mistake::bad(PARAMETERS)),
        }
        if scanner.eat(b')') {
            return Ok(parameters);
        }
        scanner.space()?;
    }
}

/// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`
fn qresync(scanner: &mut Scanner<'_>) -> Parsed<Qresync> {
    scanner.expect(b'(', "the parameters of QRESYNC stand in parentheses")?;
    let uid_validity = scanner.nz_number()?;
    scanner.space()?;
    let mut qresync = Qresync {
        uid_validity,
        modseq: modseq(scanner)?,
        known: None,
        matches: Vec::new(),
    };
    let mut more = scanner.eat(b' ');
    if more && scanner.peek() != Some(b'(') {
        qresync.known = Some(known_uids(scanner)?);
        more = scanner.eat(b' ');
    }
    if more {
        if scanner.enabled().contains(Enabled::UIDONLY) {
            return Err(Mistake::uid_required());
        }
        qresync.matches = matches(scanner)?;
    }
    scanner.expect(b')', "the parameters of QRESYNC stand in parentheses")?;
    Ok(qresync)
}

/// `known-uids`
fn known_uids(scanner: &mut Scanner<'_>) -> Parsed<SequenceSet> {
    let set = scanner.set()?;
    if set.has_star() {
        return Err(Mistake::bad("there is no * among known UIDs"));
    }
    Ok(set)
}

/// `"(" known-sequence-set SP known-uid-set ")"`
fn matches(scanner: &mut Scanner<'_>) -> Parsed<Vec<(u32, u32)>> {
    scanner.expect(b'(', "known message numbers and UIDs stand in parentheses")?;
    let numbers = ascending(scanner)?;
    scanner.space()?;
    let uids = ascending(scanner)?;
    scanner.expect(b')', "known message numbers and UIDs stand in parentheses")?;
    if numbers.len() != uids.len() {
        return Err(Mistake::bad(
            "there is one known UID for each known message number",
        ));
    }
    Ok(numbers.into_iter().zip(uids).collect())
}

/// The numbers of a set that ascends as it is written.
fn ascending(scanner: &mut Scanner<'_>) -> Parsed<Vec<u32>> {
    let mut numbers: Vec<u32> = Vec::new();
    loop {
        let first = scanner.nz_number()?;
        let last = if scanner.eat(b':') {
            scanner.nz_number()?
        } else {
            first
        };
        if numbers.last().is_some_and(|before| *before >= first) || last < first {
            return Err(Mistake::bad("known message numbers and UIDs ascend"));
        }
        let room = MATCHES_MAX.saturating_sub(numbers.len());
        let count = u64::from(last - first) + 1;
        if u64::try_from(room).is_ok_and(|room| count > room) {
            // LIM-38
            return Err(Mistake::bad("there may be 1000 known message numbers"));
        }
        numbers.extend(first..=last);
        if !scanner.eat(b',') {
            return Ok(numbers);
        }
    }
}

/// RFC 7162 3.1.3: `[SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"]`, in front of the item.
pub fn store_modifier(scanner: &mut Scanner<'_>) -> Parsed<Option<ModSeq>> {
    if !scanner.eat(b'(') {
        return Ok(None);
    }
    if !scanner.word().eq_ignore_ascii_case(b"UNCHANGEDSINCE") {
        return Err(Mistake::bad("STORE takes one modifier: UNCHANGEDSINCE"));
    }
    scanner.space()?;
    let since = modseq_or_zero(scanner)?;
    scanner.expect(b')', "a modifier of STORE stands in parentheses")?;
    scanner.space()?;
    Ok(Some(since))
}

const NOT_A_MODSEQ: &str = "a mod-sequence is a number up to 9223372036854775807, and not 0";
const PARAMETERS: &str = "a mailbox is selected with (CONDSTORE) or (QRESYNC (...))";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        imap::proto::{
            command::{CommandBody, StoreMode},
            fetch::FetchItem,
            parse::tests::{assert_all_refused, parsed},
        },
        wire::literal::Piece,
    };

    fn resynced(text: &str) -> Option<Qresync> {
        let pieces = [Piece {
            text: text.as_bytes(),
            literal: None,
        }];
        let mut scanner = Scanner::new(&pieces, None).of_client(Enabled::QRESYNC);
        let parameters = select_parameters(&mut scanner).ok()?;
        scanner.end().ok()?;
        parameters.qresync.map(|qresync| *qresync)
    }

    #[test]
    fn qresync_has_up_to_four_parameters() {
        let set = |text: &str| Some(SequenceSet::parse(text.as_bytes()).unwrap());
        let of = |known, matches: &[(u32, u32)]| {
            Some(Qresync {
                uid_validity: 7,
                modseq: ModSeq(9),
                known,
                matches: matches.to_vec(),
            })
        };
        for (text, expected) in [
            (" (QRESYNC (7 9))", of(None, &[])),
            (" (qresync (7 9 1:5,8))", of(set("1:5,8"), &[])),
            (
                " (QRESYNC (7 9 1:5 (1,3:4 2,8:9)) CONDSTORE)",
                of(set("1:5"), &[(1, 2), (3, 8), (4, 9)]),
            ),
            (" (CONDSTORE QRESYNC (7 9 (1 2)))", of(None, &[(1, 2)])),
            (" (QRESYNC (7 9)", None),
            (" (QRESYNC 7 9)", None),
            (" (QRESYNC (0 9))", None),
            (" (QRESYNC (7 0))", None),
            (" (QRESYNC (7))", None),
            (" (QRESYNC (7 9 ))", None),
            (" (QRESYNC (7 9 *))", None),
            (" (QRESYNC (7 9 1:*))", None),
            (" (QRESYNC (7 9 1 ()))", None),
            (" (QRESYNC (7 9 1 (1)))", None),
            (" (QRESYNC (7 9 1 (1:2 3)))", None),
            (" (QRESYNC (7 9 1 (2,1 3,4)))", None),
            (" (QRESYNC (7 9 1 (2:1 3:4)))", None),
            (" (QRESYNC (7 9 1 (1 *)))", None),
            (" (QRESYNC (7 9) QRESYNC (7 9))", None),
        ] {
            assert_eq!(resynced(text), expected, "{text}");
        }
        // RFC 7162 3.2.5: not before ENABLE QRESYNC.
        assert_eq!(parsed("SELECT a (QRESYNC (7 9))"), None);
        assert!(parsed("EXAMINE a (CONDSTORE)").is_some());
        assert_all_refused(&[
            "SELECT a ()",
            "SELECT a CONDSTORE",
            "SELECT a (CONDSTORE CONDSTORE)",
            "EXAMINE a (X)",
            "SELECT a (CONDSTORE) ",
        ]);
    }

    #[test]
    fn lim_38_what_a_client_knows_is_bounded() {
        for (matches, ok) in [(1_000, true), (1_001, false)] {
            let text = format!(" (QRESYNC (7 9 (1:{matches} 1:{matches})))");
            assert_eq!(resynced(&text).is_some(), ok);
            let list: Vec<_> = (1..=matches).map(|n| (2 * n).to_string()).collect();
            let list = list.join(",");
            assert_eq!(
                resynced(&format!(" (QRESYNC (7 9 ({list} {list})))")).is_some(),
                ok
            );
        }
        assert!(resynced(" (QRESYNC (7 9 (1:4294967295 1:4294967295)))").is_none());
        for (ranges, ok) in [(10_000, true), (10_001, false)] {
            let list: Vec<_> = (1..=ranges).map(|n| (2 * n).to_string()).collect();
            let text = format!(" (QRESYNC (7 9 {}))", list.join(","));
            assert_eq!(resynced(&text).is_some(), ok);
        }
        for (modseq, ok) in [
            ("0", false),
            ("1", true),
            ("9223372036854775807", true),
            ("9223372036854775808", false),
            ("18446744073709551616", false),
            ("-1", false),
            ("", false),
        ] {
            assert_eq!(resynced(&format!(" (QRESYNC (7 {modseq}))")).is_some(), ok);
            let fetch = format!("FETCH 1 FLAGS (CHANGEDSINCE {modseq})");
            assert_eq!(parsed(&fetch).is_some(), ok, "{fetch}");
            let store = format!("STORE 1 (UNCHANGEDSINCE {modseq}) FLAGS ()");
            assert_eq!(parsed(&store).is_some(), ok || modseq == "0", "{store}");
        }
    }

    #[test]
    fn store_may_have_a_condition() {
        let Some(CommandBody::Store {
            unchanged_since,
            mode,
            ..
        }) = parsed("UID STORE 1 (unchangedsince 12) +FLAGS.SILENT (\\Seen)")
        else {
            panic!("it is a STORE")
        };
        assert_eq!((unchanged_since, mode), (Some(ModSeq(12)), StoreMode::Add));
        assert_all_refused(&[
            "STORE 1 () FLAGS x",
            "STORE 1 (UNCHANGEDSINCE) FLAGS x",
            "STORE 1 (UNCHANGEDSINCE 1)FLAGS x",
            "STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) FLAGS x",
            "STORE 1 (CHANGEDSINCE 1) FLAGS x",
            "STORE 1 FLAGS x (UNCHANGEDSINCE 1)",
        ]);
    }

    #[test]
    fn fetch_knows_modseq_and_its_modifiers() {
        let Some(CommandBody::Fetch {
            items, modifiers, ..
        }) = parsed("FETCH 1 (MODSEQ) (CHANGEDSINCE 5)")
        else {
            panic!("it is a FETCH")
        };
        assert_eq!(items, [FetchItem::ModSeq]);
        assert_eq!(modifiers.changed_since, Some(ModSeq(5)));
        assert_all_refused(&[
            "FETCH 1 FLAGS ()",
            "FETCH 1 FLAGS (CHANGEDSINCE)",
            "FETCH 1 FLAGS (CHANGEDSINCE 5) ",
            "FETCH 1 FLAGS (CHANGEDSINCE 5 CHANGEDSINCE 5)",
            // RFC 7162 3.2.6: only of UID FETCH, with CHANGEDSINCE, after ENABLE QRESYNC.
            "FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)",
            "UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)",
            "UID FETCH 1 FLAGS (VANISHED)",
        ]);
        let vanished = |arguments: &str| {
            let pieces = [Piece {
                text: arguments.as_bytes(),
                literal: None,
            }];
            let mut scanner = Scanner::new(&pieces, None).of_client(Enabled::QRESYNC);
            super::super::fetch::uid_fetch(&mut scanner).is_ok()
        };
        assert!(vanished(" 1 FLAGS (CHANGEDSINCE 5 VANISHED)"));
        assert!(vanished(" 1 FLAGS (VANISHED CHANGEDSINCE 5)"));
        assert!(!vanished(" 1 FLAGS (VANISHED)"));
    }
}
