//! Directories, addresses, and whom they reach.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    accounts::{
        groups::Senders,
        limits::{ALIAS_DEPTH_MAX, EXPANSION_MAX},
        personal::Forwarding,
        record::{Account, DomainRecord},
        snapshot::{Edit, Rules},
    },
    base::{clock::Timestamp, secret::Secret},
};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn rules(postmaster: Option<&str>) -> Rules {
    Rules {
        tag_separator: Some('+'),
        postmaster: postmaster.map(address),
        host: Some("mx.example.org".parse().unwrap()),
        literals: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        disabled_take_mail: false,
    }
}

/// Lines of `domain NAME [catch-all]`, `stands NAME OTHER`, `account N ADDRESS`, `disabled N
/// ADDRESS`, `own N ADDRESS`, `forward N ADDRESS keep|gone TARGET..`, `alias ADDRESS TARGET..`,
/// `group ADDRESS MEMBER.. [owned OWNER..] [by SENDER..]` (by `anyone`, `owners`, or those named;
/// without: members), `damaged ADDRESS`.
fn snapshot(rules: Rules, lines: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::empty(Arc::new(rules));
    for (n, line) in (0_u64..).zip(lines) {
        let words: Vec<&str> = line.split(' ').collect();
        for edit in edits(n, &words) {
            snapshot.apply(&edit);
        }
    }
    snapshot
}

fn edits(created: u64, words: &[&str]) -> Vec<Edit> {
    let list = || words[2..].iter().map(|word| address(word)).collect();
    let number = || AccountId(words[1].parse().unwrap());
    match words[0] {
        "domain" => {
            let record = DomainRecord {
                catch_all: words.get(2).map(|word| address(word)),
                created: Timestamp(created),
                ..DomainRecord::default()
            };
            vec![Edit::PutDomain(words[1].parse().unwrap(), record)]
        }
        "own" => vec![entry(words[2], Entry::Account(number()))],
        "alias" => vec![entry(words[1], Entry::Alias(list()))],
        "stands" => {
            let record = DomainRecord {
                created: Timestamp(created),
                stands_for: Some(words[2].parse().unwrap()),
                ..DomainRecord::default()
            };
            vec![Edit::PutDomain(words[1].parse().unwrap(), record)]
        }
        "group" => vec![entry(words[1], Entry::Group(Box::new(group(&words[2..]))))],
        "damaged" => vec![entry(words[1], Entry::Damaged)],
        kind => {
            let account = Account {
                id: number(),
                address: address(words[2]),
                verifier: Secret::new(String::new()),
                quota_bytes: 0,
                created: Timestamp(0),
                disabled: kind == "disabled",
                shared: false,
                credentials: 0,
                forwarding: (kind == "forward").then(|| Forwarding {
                    to: words[4..].iter().map(|word| address(word)).collect(),
                    keep: words[3] == "keep",
                }),
                out_of_office: None,
                send_as: Vec::new(),
            };
            let entry = entry(words[2], Entry::Account(number()));
            vec![entry, Edit::PutAccount(Box::new(account))]
        }
    }
}

fn group(words: &[&str]) -> Group {
    let part = |name: &str| {
        let words = words.iter().skip_while(move |word| **word != name).skip(1);
        let words = words.take_while(|word| !["owned", "by"].contains(word));
        words.copied().collect::<Vec<_>>()
    };
    let all = |words: &[&str]| words.iter().map(|word| address(word)).collect();
    let members: Vec<_> = words
        .iter()
        .take_while(|word| !["owned", "by"].contains(word))
        .copied()
        .collect();
    Group {
        members: all(&members),
        owners: all(&part("owned")),
        senders: match part("by").as_slice() {
            [] => Senders::Members,
            ["anyone"] => Senders::Anyone,
            ["owners"] => Senders::Owners,
            listed => Senders::Listed(all(listed)),
        },
    }
}

fn entry(at: &str, entry: Entry) -> Edit {
    let at = address(at);
    Edit::PutEntry(at.domain.clone(), at.folded_local(), entry)
}

fn people(accounts: &[AccountId], forwards: &[Address]) -> Vec<String> {
    let accounts = accounts.iter().map(ToString::to_string);
    accounts
        .chain(forwards.iter().map(ToString::to_string))
        .collect()
}

/// `1 2 a@b list@c: 3 d@e 3#tag` for targets, a word for the rest.
fn shown(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Targets(targets) => {
            let mut words = people(&targets.accounts, &targets.forwards);
            for list in &targets.lists {
                words.push(format!("{}:", list.address));
                words.extend(people(&list.accounts, &list.forwards));
            }
            for (account, tag) in &targets.tags {
                words.push(format!("{account}#{tag}"));
            }
            words.join(" ")
        }
        other => format!("{other:?}"),
    }
}

const TOWN: &[&str] = &[
    "domain example.org",
    "domain shop.example catch@example.org",
    "domain b\u{fc}cher.example",
    "account 1 alice@example.org",
    "account 2 Bob@example.org",
    "account 3 catch@example.org",
    "disabled 4 gone@example.org",
    "account 5 sales@shop.example",
    "own 1 a.lice@example.org",
    "own 1 a+b@example.org",
    "alias info@example.org alice@example.org bob@example.org",
    "alias out@example.org alice@example.org x@remote.example",
    "alias tagged@example.org alice+inbox@example.org",
    "alias nobody@example.org missing@example.org",
    "alias partly@example.org gone@example.org bob@example.org",
    "alias only-gone@example.org gone@example.org",
    "alias loop@example.org pool@example.org",
    "alias pool@example.org loop@example.org",
    "alias self@example.org self@example.org alice@example.org",
    "alias diamond@example.org info@example.org team@example.org info@example.org",
    "group team@example.org bob@example.org info@example.org y@remote.example",
    "damaged broken@example.org",
    "own 99 lost@example.org",
    "account 6 \u{fc}@b\u{fc}cher.example",
];

#[test]
fn addresses_come_to_what_stands_for_them() {
    let town = snapshot(rules(None), TOWN);
    for (to, expected) in [
        ("alice@example.org", "1"),
        ("ALICE@Example.ORG", "1"),
        ("\"alice\"@example.org", "1"),
        ("bob@example.org", "2"),
        ("a.lice@example.org", "1"),
        ("\u{dc}@xn--bcher-kva.example", "6"),
        ("missing@example.org", "Unknown"),
        ("alice@elsewhere.example", "NotLocal"),
        ("alice@sub.example.org", "NotLocal"),
        ("gone@example.org", "Disabled"),
        // Tags.
        ("alice+x@example.org", "1 1#x"),
        ("Alice+X+y@example.org", "1 1#X+y"),
        ("info+x@example.org", "1 2"),
        ("a+b@example.org", "1"),
        ("a+c@example.org", "Unknown"),
        ("missing+x@example.org", "Unknown"),
        ("+x@example.org", "Unknown"),
        // Aliases and groups.
        ("info@example.org", "1 2"),
        ("out@example.org", "1 x@remote.example"),
        ("tagged@example.org", "1 1#inbox"),
        ("team@example.org", "team@example.org: 2 1 y@remote.example"),
        (
            "diamond@example.org",
            "1 2 team@example.org: y@remote.example",
        ),
        ("nobody@example.org", "Unknown"),
        ("partly@example.org", "2"),
        ("only-gone@example.org", "Disabled"),
        ("loop@example.org", "Unusable(Loop)"),
        ("self@example.org", "1"),
        ("broken@example.org", "Unusable(Damaged)"),
        ("lost@example.org", "Unusable(Damaged)"),
        // Catch-all comes last.
        ("sales@shop.example", "5"),
        ("whoever@shop.example", "3"),
        ("sales+x@shop.example", "5 5#x"),
        // Nothing but the domain decides (open relay tricks).
        ("victim%remote.example@example.org", "Unknown"),
        ("remote.example!victim@example.org", "Unknown"),
        ("\"victim@remote.example\"@example.org", "Unknown"),
        ("\"alice@example.org\"@remote.example", "NotLocal"),
    ] {
        assert_eq!(shown(&town.resolve_address(&address(to))), expected, "{to}");
    }
}

#[test]
fn what_an_account_forwards_is_followed_and_circles_end_in_a_mailbox() {
    let town = snapshot(
        rules(None),
        &[
            "domain example.org",
            "account 1 alice@example.org",
            "forward 2 away@example.org gone x@remote.example",
            "forward 3 both@example.org keep x@remote.example alice@example.org",
            "forward 4 chain@example.org gone both@example.org",
            "forward 5 one@example.org gone two@example.org",
            "forward 6 two@example.org gone one@example.org",
            "forward 7 self@example.org gone self@example.org",
            "forward 8 lost@example.org gone nobody@example.org",
            "alias list@example.org away@example.org alice@example.org",
        ],
    );
    for (to, expected) in [
        ("away@example.org", "x@remote.example"),
        ("away+tag@example.org", "x@remote.example"),
        ("both@example.org", "3 1 x@remote.example"),
        ("chain@example.org", "3 1 x@remote.example"),
        ("one@example.org", "5"),
        ("two@example.org", "6"),
        ("self@example.org", "7"),
        ("lost@example.org", "8"),
        ("list@example.org", "1 x@remote.example"),
    ] {
        assert_eq!(shown(&town.resolve_address(&address(to))), expected, "{to}");
    }
    // AUTH-07: an address stays its account's, and whom it forwards to does not get it.
    assert!(town.owns(AccountId(2), &address("away@example.org")));
    assert!(town.owns(AccountId(3), &address("both@example.org")));
    assert!(!town.owns(AccountId(1), &address("both@example.org")));
}

#[test]
fn rfc_5321_4_5_1_the_postmaster_always_has_mail() {
    let own = [TOWN, &["alias postmaster@example.org bob@example.org"]].concat();
    let looped = [TOWN, &["alias pm@example.org loop@example.org"]].concat();
    for (setting, lines, to, expected) in [
        // The first account in use, of the domain if it has one.
        (None, TOWN, "postmaster@example.org", "1"),
        (None, TOWN, "PostMaster@shop.example", "5"),
        (None, TOWN, "postmaster+x@shop.example", "5"),
        (None, TOWN, "postmaster@xn--bcher-kva.example", "6"),
        (None, &TOWN[..4], "postmaster@shop.example", "1"),
        // The setting is asked before that, an entry before the setting.
        (
            Some("bob@example.org"),
            TOWN,
            "postmaster@shop.example",
            "2",
        ),
        (
            Some("x@remote.example"),
            TOWN,
            "postmaster@shop.example",
            "x@remote.example",
        ),
        (
            Some("alice@example.org"),
            &own,
            "postmaster@example.org",
            "2",
        ),
        (
            Some("postmaster@example.org"),
            &own,
            "postmaster@shop.example",
            "2",
        ),
        // A setting that leads nowhere does not lose the mail.
        (
            Some("postmaster@example.org"),
            TOWN,
            "postmaster@shop.example",
            "5",
        ),
        (
            Some("postmaster@shop.example"),
            TOWN,
            "postmaster@shop.example",
            "5",
        ),
        (
            Some("missing@example.org"),
            TOWN,
            "postmaster@example.org",
            "1",
        ),
        (
            Some("pm@example.org"),
            &looped,
            "postmaster@example.org",
            "1",
        ),
        (
            Some("gone@example.org"),
            TOWN,
            "postmaster@example.org",
            "1",
        ),
        (None, TOWN, "postmaster@remote.example", "NotLocal"),
    ] {
        let town = snapshot(rules(setting), lines);
        let resolution = town.resolve_address(&address(to));
        assert_eq!(shown(&resolution), expected, "{setting:?} {to}");
    }
}

#[test]
fn rfc_2142_2_abuse_is_the_postmasters_where_nobody_has_it() {
    let own = [TOWN, &["alias abuse@shop.example bob@example.org"]].concat();
    for (lines, to, expected) in [
        (TOWN, "Abuse@shop.example", "5"),
        (TOWN, "abuse+x@shop.example", "5"),
        (&own, "abuse@shop.example", "2"),
        (TOWN, "abuse@remote.example", "NotLocal"),
        (TOWN, "mailer-daemon@example.org", "Unknown"),
    ] {
        let town = snapshot(rules(None), lines);
        let resolution = town.resolve_address(&address(to));
        assert_eq!(shown(&resolution), expected, "{to}");
    }
}

#[test]
fn rfc_5321_4_5_1_the_postmaster_of_the_host_needs_no_domain() {
    let own = [TOWN, &["alias postmaster@example.org bob@example.org"]].concat();
    let of_a_later_domain = [TOWN, &["alias postmaster@shop.example bob@example.org"]].concat();
    for (setting, lines, expected) in [
        (None, TOWN, "1"),
        (None, &own, "2"),
        (None, &of_a_later_domain, "1"),
        (Some("sales@shop.example"), &own, "5"),
        (None, &["domain example.org"], "Unknown"),
        (None, &[], "Unknown"),
    ] {
        let town = snapshot(rules(setting), lines);
        assert_eq!(shown(&town.resolve(&ForwardPath::Postmaster)), expected);
        for to in [
            "PostMaster@[192.0.2.1]",
            "postmaster@[IPv6:2001:DB8::1]",
            "postmaster@MX.example.org",
            "MAILER-DAEMON@mx.example.org",
        ] {
            assert_eq!(shown(&town.resolve_address(&address(to))), expected);
        }
    }
    let hosted = snapshot(rules(None), &[TOWN, &["domain mx.example.org"]].concat());
    let daemon = address("mailer-daemon@mx.example.org");
    assert_eq!(shown(&hosted.resolve_address(&daemon)), "1");
    let town = snapshot(rules(None), TOWN);
    for (to, expected) in [
        ("alice@mx.example.org", "Unknown"),
        ("abuse@mx.example.org", "Unknown"),
        ("mailer-daemon@[192.0.2.1]", "Unknown"),
        ("alice@[192.0.2.1]", "Unknown"),
        ("postmaster@[192.0.2.2]", "NotLocal"),
        ("alice@[192.0.2.2]", "NotLocal"),
    ] {
        assert_eq!(shown(&town.resolve_address(&address(to))), expected, "{to}");
    }
}

#[test]
fn tags_can_be_switched_off_and_named_otherwise() {
    for (separator, to, expected) in [
        (None, "alice+x@example.org", "Unknown"),
        (Some('-'), "alice-x@example.org", "1 1#x"),
        (Some('-'), "alice+x@example.org", "Unknown"),
        (Some('-'), "only-gone@example.org", "Disabled"),
    ] {
        let mut rules = rules(None);
        rules.tag_separator = separator;
        let town = snapshot(rules, TOWN);
        assert_eq!(shown(&town.resolve_address(&address(to))), expected, "{to}");
    }
}

#[test]
fn aliases_are_followed_to_their_depth_and_no_further() {
    for (length, expected) in [
        (ALIAS_DEPTH_MAX - 1, "1"),
        (ALIAS_DEPTH_MAX, "1"),
        (ALIAS_DEPTH_MAX + 1, "Unusable(TooDeep)"),
    ] {
        let mut lines = vec![
            "domain a.example".to_owned(),
            "account 1 a0@a.example".to_owned(),
        ];
        for n in 1..=length {
            lines.push(format!("alias a{n}@a.example a{}@a.example", n - 1));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let chain = snapshot(rules(None), &lines);
        let to = address(&format!("a{length}@a.example"));
        assert_eq!(shown(&chain.resolve_address(&to)), expected, "{length}");
    }
}

#[test]
fn an_address_comes_to_its_total_and_no_more() {
    for (count, fits) in [
        (EXPANSION_MAX - 1, true),
        (EXPANSION_MAX, true),
        (EXPANSION_MAX + 1, false),
    ] {
        // The second of two groups has one member; the first has the rest, the two are
        // targets too.
        let members: Vec<String> = (0..count - 3)
            .map(|n| format!("m{n}@remote.example"))
            .collect();
        let many = format!("group many@a.example {}", members.join(" "));
        let lines = [
            "domain a.example",
            &many,
            "group one@a.example x@remote.example",
            "group all@a.example many@a.example one@a.example",
        ];
        let lists = snapshot(rules(None), &lines);
        let expected = match lists.resolve_address(&address("all@a.example")) {
            Resolution::Targets(targets) => targets.count() == count - 2,
            Resolution::Unusable(Unusable::TooMany) => !fits,
            _ => false,
        };
        assert!(expected, "{count}");
    }
}

#[test]
fn auth_07_an_account_owns_what_reaches_it_but_not_its_groups() {
    let town = snapshot(rules(None), TOWN);
    for (account, with, owns) in [
        (1, "alice@example.org", true),
        (1, "Alice+tag@example.org", true),
        (1, "a.lice@example.org", true),
        (1, "info@example.org", true),
        (2, "info@example.org", true),
        (3, "info@example.org", false),
        (1, "bob@example.org", false),
        (2, "team@example.org", false),
        (1, "diamond@example.org", true),
        (3, "anything@shop.example", true),
        (3, "sales@shop.example", false),
        (1, "alice@remote.example", false),
        (1, "x@remote.example", false),
        (1, "loop@example.org", false),
        (1, "postmaster@example.org", true),
        (2, "postmaster@example.org", false),
    ] {
        assert_eq!(
            town.owns(AccountId(account), &address(with)),
            owns,
            "{account} {with}"
        );
    }
}

#[test]
fn login_names_are_own_addresses_or_the_part_before_the_only_domain() {
    let town = snapshot(rules(None), TOWN);
    let village = snapshot(
        rules(None),
        &["domain a.example", "account 1 alice@a.example"],
    );
    for (place, name, account) in [
        (&town, "alice@example.org", Some(1)),
        (&town, "ALICE@EXAMPLE.ORG", Some(1)),
        (&town, "a.lice@example.org", Some(1)),
        (&town, "alice", None),
        (&town, "alice+x@example.org", None),
        (&town, "info@example.org", None),
        (&town, "whoever@shop.example", None),
        (&town, "postmaster@example.org", None),
        (&town, "alice@example.org\0", None),
        (&town, "alice@example.org\r\n", None),
        (&town, "", None),
        (&town, "@", None),
        (&village, "alice", Some(1)),
        (&village, "Alice", Some(1)),
        (&village, "bob", None),
        (&village, "ali\0ce", None),
        (&village, "", None),
    ] {
        let found = place.login(name).map(|account| account.id.0);
        assert_eq!(found, account, "{name:?}");
    }
}

proptest! {
    /// Any tangle of aliases ends, and reaches exactly what following every arrow reaches.
    #[test]
    fn any_tangle_reaches_what_its_arrows_reach(
        arrows in proptest::collection::vec((0_usize..12, 0_usize..16), 0..40),
    ) {
        let mut lines = vec!["domain a.example".to_owned()];
        for account in 12..16 {
            lines.push(format!("account {account} n{account}@a.example"));
        }
        for node in 0..12 {
            let targets: Vec<String> = arrows
                .iter()
                .filter(|(from, _)| *from == node)
                .map(|(_, to)| format!(" n{to}@a.example"))
                .collect();
            if !targets.is_empty() {
                lines.push(format!("alias n{node}@a.example{}", targets.concat()));
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tangle = snapshot(rules(None), &lines);
        let mut reached = BTreeSet::from([0_usize]);
        loop {
            let more = arrows.iter().filter(|(from, _)| reached.contains(from));
            let more: Vec<usize> = more.map(|(_, to)| *to).collect();
            let before = reached.len();
            reached.extend(more);
            if reached.len() == before {
                break;
            }
        }
        let expected: BTreeSet<u64> =
            reached.into_iter().filter(|n| *n >= 12).map(|n| n as u64).collect();
        match tangle.resolve_address(&address("n0@a.example")) {
            Resolution::Targets(targets) => {
                let found: BTreeSet<u64> = targets.accounts.iter().map(|id| id.0).collect();
                prop_assert_eq!(found.len(), targets.accounts.len());
                prop_assert_eq!(found, expected);
            }
            Resolution::Unusable(Unusable::TooDeep) => {}
            Resolution::Unusable(Unusable::Loop) | Resolution::Unknown => {
                prop_assert!(expected.is_empty());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

mod groups;
