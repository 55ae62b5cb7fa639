//! Chains of the RFC and of another implementation, and broken ones. What a chain is worth is
//! tested with whole messages.

use super::{
    super::tests::{found, keys, signed, verifier},
    *,
};

/// What a message's chain comes to, as the field shows it.
async fn result(message: &[u8]) -> String {
    let found = found(&verifier(&keys(), |_| {}), message, "x@y.example").await;
    let field = String::from_utf8(found.field.to_vec()).unwrap();
    let mut results = field.split(";\r\n\t");
    let result = results.find(|result| result.starts_with("arc="));
    result.unwrap_or("").trim_end().to_owned()
}

#[tokio::test]
async fn rfc_8617_5_2_chains() {
    assert_eq!(result(&signed("relaxed-relaxed")).await, "");
    assert_eq!(
        result(&signed("arc-one")).await,
        "arc=pass header.d=list.example"
    );
    assert_eq!(
        result(&signed("arc-two")).await,
        "arc=pass header.d=second.example"
    );
    let two = String::from_utf8(signed("arc-two")).unwrap();
    for (from, to) in [
        ("ARC-Seal: i=2", "ARC-Seal: i=3"),
        ("ARC-Seal: i=2; cv=pass", "ARC-Seal: i=2; cv=none"),
        ("ARC-Seal: i=2; cv=pass", "ARC-Seal: i=2; cv=fail"),
        ("ARC-Seal: i=1; cv=none", "ARC-Seal: i=1; cv=pass"),
        ("ARC-Seal: i=2;", "ARC-Seal: i=2; h=from;"),
        (
            "ARC-Authentication-Results: i=1",
            "ARC-Authentication-Results: i=2",
        ),
        ("ARC-Authentication-Results: i=1", "X: i=1"),
        ("dkim=pass header.d", "dkim=pass header.d"),
        ("Subject:", "Subject: [x]"),
        ("Hello", "Hullo"),
    ] {
        assert!(two.contains(from), "{from}");
        let changed = two.replacen(from, to, 1);
        let holds = from == to;
        let expected = if holds { "arc=pass" } else { "arc=fail" };
        let result = result(changed.as_bytes()).await;
        assert!(result.starts_with(expected), "{from}: {result}");
    }
    // Its keys are of 512 bits, and nobody publishes them any more.
    let rfc = result(&signed("rfc8617")).await;
    assert_eq!(rfc, "arc=fail header.d=clochette.example.org");
}

#[test]
fn rfc_8617_appendix_b_is_a_chain_of_three() {
    let message = signed("rfc8617");
    let (chain, newest) = Chain::read(&Header::new(message.into()));
    assert_eq!(chain.sealer(), Some("clochette.example.org"));
    assert!(matches!(&chain, Chain::Sets(sets) if sets.len() == 3));
    assert_eq!(newest.unwrap().selector, "clochette");
}

#[test]
fn arc_01_fifty_sets_are_looked_at() {
    let set = |number: u32| {
        let cv = if number == 1 { "none" } else { "pass" };
        format!(
            "ARC-Seal: i={number}; cv={cv}; a=rsa-sha256; d=a.example; s=s; b=AAAA\r\n\
             ARC-Message-Signature: i={number}; a=rsa-sha256; d=a.example; s=s; h=from; \
             bh=AAAA; b=AAAA\r\n\
             ARC-Authentication-Results: i={number}; a.example; none\r\n"
        )
    };
    for (count, fine) in [(49, true), (50, true), (51, false)] {
        let header: String = (1..=count).rev().map(set).collect();
        let (chain, _) = Chain::read(&Header::new(header.into()));
        assert_eq!(matches!(chain, Chain::Sets(_)), fine, "{count}");
    }
}

#[test]
fn results_count_only_where_they_are_results() {
    for (results, saw) in [
        ("i=1; x.example; dmarc=pass header.from=a.example", true),
        (
            "i=1; x.example; DMARC=pass (p=none) header.From=A.example; spf=fail",
            true,
        ),
        ("i=1; x.example; dmarc=fail header.from=a.example", false),
        ("i=1; x.example; dmarc=pass header.from=b.example", false),
        (
            "i=1; x.example; spf=fail (; dmarc=pass header.from=a.example)",
            false,
        ),
        (
            "i=1; x.example; spf=fail reason=\"; dmarc=pass header.from=a.example\"",
            false,
        ),
        ("i=1; x.example; none", false),
    ] {
        assert_eq!(saw_dmarc_pass(results, "a.example"), saw, "{results}");
    }
}
