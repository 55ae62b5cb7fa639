//! Groups, domains that stand for others, grants; and what comes before what.

use super::*;
use crate::{
    accounts::{grants::Grant, groups::Writer},
    mail::envelope::ReversePath,
};

/// Which of several things takes an address: each line is made beside all above it, and comes
/// before them.
#[test]
fn what_takes_an_address_comes_before_what_else_could() {
    let mut lines = vec!["domain kept.example", "account 9 q@kept.example"];
    for (line, expected) in [
        ("domain kept.example", "Unknown"),
        ("domain kept.example q@kept.example", "9"),
        // Without its tag.
        ("group x@kept.example q@kept.example", "x@kept.example: 9"),
        ("alias x@kept.example q@kept.example", "9"),
        ("account 2 x@kept.example", "2 2#y"),
        // By its name; there is one thing of a name.
        (
            "group x+y@kept.example q@kept.example",
            "x+y@kept.example: 9",
        ),
        ("alias x+y@kept.example q@kept.example", "9"),
        ("account 1 x+y@kept.example", "1"),
        // What a domain has itself comes before what it stands for.
        ("stands alias.example kept.example", "1"),
        ("alias x+y@alias.example q@kept.example", "9"),
    ] {
        lines.push(line);
        let kept = snapshot(rules(None), &lines);
        let domain = match kept.domain(&"alias.example".parse().unwrap()) {
            Some(_) => "alias.example",
            None => "kept.example",
        };
        let to = address(&format!("x+y@{domain}"));
        assert_eq!(shown(&kept.resolve_address(&to)), expected, "{line}");
    }
}

const CLUB: &[&str] = &[
    "domain example.org",
    "account 1 alice@example.org",
    "account 2 bob@example.org",
    "account 3 carol@example.org",
    "disabled 4 gone@example.org",
    "account 5 first@club.example",
    "alias both@example.org alice@example.org bob@example.org",
    "group inner@example.org bob@example.org in@remote.example owned gone@example.org",
    "group outer@example.org alice@example.org inner@example.org bob@example.org \
     out@remote.example owned carol@example.org by anyone",
    "group round@example.org round@example.org inner@example.org owned inner@example.org by owners",
    "group said@example.org alice@example.org by bob@example.org x@remote.example",
    "group nobody@example.org missing@example.org",
    "group desert@example.org alice@example.org owned missing@example.org",
    "alias outside@example.org outer@example.org carol@example.org",
    "group postmaster@example.org alice@example.org",
    "alias inner-request@example.org alice@example.org",
    "domain club.example",
    "group abuse@club.example bob@example.org by owners",
];

#[test]
fn groups_are_lists_and_lists_in_lists_are_part_of_them() {
    let club = snapshot(rules(None), CLUB);
    for (to, expected) in [
        (
            "inner@example.org",
            "inner@example.org: 2 in@remote.example",
        ),
        (
            "Outer+x@example.org",
            "outer@example.org: 1 2 in@remote.example out@remote.example",
        ),
        (
            "round@example.org",
            "round@example.org: 2 in@remote.example",
        ),
        // Who gets it anyway gets it once.
        (
            "outside@example.org",
            "3 outer@example.org: 1 2 in@remote.example out@remote.example",
        ),
        ("nobody@example.org", "Unknown"),
        // Those who run it; without any who can be reached, the postmaster.
        ("outer-owner@example.org", "3"),
        ("OUTER-BOUNCES@example.org", "3"),
        ("outer-bounces+7@example.org", "3"),
        ("outer-request@example.org", "3"),
        ("round-owner@example.org", "2 in@remote.example"),
        ("inner-owner@example.org", "1"),
        ("desert-bounces@example.org", "1"),
        ("said-bounces@example.org", "1"),
        // What has such a name itself has it.
        ("inner-request@example.org", "1"),
        ("both-owner@example.org", "Unknown"),
        ("-owner@example.org", "Unknown"),
        // What everybody must reach is no list.
        ("postmaster@example.org", "1"),
        ("postmaster+x@example.org", "1"),
        ("abuse@club.example", "2"),
    ] {
        assert_eq!(shown(&club.resolve_address(&address(to))), expected, "{to}");
    }
}

#[test]
fn reports_to_a_group_are_for_its_owners() {
    let club = snapshot(rules(None), CLUB);
    for (to, expected) in [
        ("outer@example.org", "3"),
        ("outer-bounces@example.org", "3"),
        ("outside@example.org", "3"),
        ("inner@example.org", "1"),
        ("round@example.org", "2 in@remote.example"),
        ("alice@example.org", "1"),
        ("abuse@club.example", "2"),
        ("x@remote.example", "NotLocal"),
    ] {
        let path = ForwardPath::Address(address(to));
        let reports = MailKind {
            report: true,
            suspicious: false,
        };
        assert_eq!(shown(&club.resolve_kind(&path, reports)), expected, "{to}");
    }
}

#[test]
fn groups_hear_whom_they_are_told_to_hear() {
    let club = snapshot(rules(None), CLUB);
    for (group, account, sender, hears) in [
        ("outer@example.org", None, "x@remote.example", true),
        // Members, also those of a group in it; our own users only when they logged in.
        ("inner@example.org", Some(2), "bob@example.org", true),
        ("inner@example.org", None, "bob@example.org", false),
        ("inner@example.org", None, "in@remote.example", true),
        ("inner@example.org", None, "IN@remote.example", true),
        ("inner@example.org", None, "out@remote.example", false),
        ("inner@example.org", Some(1), "in@example.org", false),
        ("inner@example.org", Some(3), "carol@example.org", false),
        // Owners and nobody else, but by the groups they are.
        ("round@example.org", Some(2), "bob@example.org", true),
        ("round@example.org", Some(1), "alice@example.org", false),
        // Those who are named, and owners.
        ("said@example.org", Some(2), "bob@example.org", true),
        ("said@example.org", Some(1), "alice@example.org", false),
        ("said@example.org", None, "x@remote.example", true),
        ("alice@example.org", Some(1), "alice@example.org", false),
    ] {
        let sender = ReversePath::Address(address(sender));
        let writer = Writer {
            account: account.map(AccountId),
            sender: &sender,
        };
        let found = club.may_write(writer, &address(group));
        assert_eq!(found, hears, "{group} {account:?} {sender}");
    }
    for (account, list, is_in) in [
        (2, "inner@example.org", true),
        (1, "inner@example.org", false),
        (3, "outer@example.org", true),
        (1, "both@example.org", true),
        (3, "both@example.org", false),
        (1, "alice@example.org", false),
    ] {
        assert_eq!(
            club.is_in(AccountId(account), &address(list)),
            is_in,
            "{list}"
        );
    }
}

#[test]
fn a_domain_stands_for_another_with_all_its_addresses() {
    let lines = [
        CLUB,
        &[
            "stands club.test example.org",
            "alias carol@club.test alice@example.org",
            "domain full.example bob@example.org",
            "stands full.test full.example",
        ],
    ]
    .concat();
    let club = snapshot(rules(None), &lines);
    for (to, expected) in [
        ("alice@club.test", "1"),
        ("Alice+x@club.test", "1 1#x"),
        ("both@club.test", "1 2"),
        ("inner@club.test", "inner@example.org: 2 in@remote.example"),
        ("outer-owner@club.test", "3"),
        ("postmaster@club.test", "1"),
        ("abuse@club.test", "1"),
        ("missing@club.test", "Unknown"),
        // Its own addresses come first.
        ("carol@club.test", "1"),
        ("carol+x@club.test", "1"),
        // The catch-all is that of the other.
        ("whoever@full.test", "2"),
    ] {
        assert_eq!(shown(&club.resolve_address(&address(to))), expected, "{to}");
    }
    for (name, account) in [
        ("alice@club.test", Some(1)),
        ("carol@club.test", None),
        ("missing@club.test", None),
    ] {
        let found = club.login(name).map(|account| account.id.0);
        assert_eq!(found, account, "{name}");
    }
    assert!(club.owns(AccountId(1), &address("alice@club.test")));
}

#[test]
fn auth_07_owners_send_as_their_group_and_grants_are_what_they_say() {
    let mut club = snapshot(rules(None), CLUB);
    let mut bob = club.account(AccountId(2)).unwrap().clone();
    let grants = ["carol@example.org", "@granted.example"];
    bob.send_as = grants
        .iter()
        .map(|text| text.parse::<Grant>().unwrap())
        .collect();
    club.apply(&bob.put());
    for (account, with, may) in [
        (3, "outer@example.org", true),
        (3, "outer-owner@example.org", true),
        (1, "outer@example.org", false),
        (2, "inner@example.org", false),
        (2, "carol@example.org", true),
        (2, "Carol+x@example.org", true),
        (2, "alice@example.org", false),
        (2, "anything@granted.example", true),
        (2, "anything@sub.granted.example", false),
        (1, "anything@granted.example", false),
    ] {
        let found = club.may_send(AccountId(account), &address(with));
        assert_eq!(found, may, "{account} {with}");
    }
    let bobs = [
        "bob@example.org",
        "carol@example.org",
        "@granted.example",
        "both@example.org",
    ];
    assert_eq!(club.senders_of(AccountId(2), 8), bobs);
    assert_eq!(club.senders_of(AccountId(2), 2), bobs[..2]);
    assert_eq!(
        club.senders_of(AccountId(3), 8),
        [
            "carol@example.org",
            "outer@example.org",
            "outside@example.org"
        ]
    );
}

#[test]
fn accounts_out_of_use_take_mail_where_that_is_wanted() {
    for (take_mail, expected) in [(false, "Disabled"), (true, "4")] {
        let rules = Rules {
            disabled_take_mail: take_mail,
            ..rules(None)
        };
        let town = snapshot(rules, TOWN);
        assert_eq!(
            shown(&town.resolve_address(&address("gone@example.org"))),
            expected
        );
    }
}
