//! Signatures of the RFCs and of another implementation, and what is wrong with others.

use super::super::{
    Verdict,
    tests::{found, keys, signed, verifier},
};

/// The results of a message's signatures, as the field shows them.
async fn results(message: &[u8]) -> Vec<String> {
    let found = found(&verifier(&keys(), |_| {}), message, "x@y.example").await;
    assert_eq!(found.verdict, Verdict::Accept);
    let field = String::from_utf8(found.field.to_vec()).unwrap();
    let results = field
        .split(";\r\n\t")
        .filter(|result| result.starts_with("dkim="));
    results
        .map(|result| result.split(" header").next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn signatures_of_the_rfcs_and_of_others_hold() {
    for (name, results_expected) in [
        ("rfc6376", &["dkim=pass"][..]),
        ("rfc8463", &["dkim=pass", "dkim=pass"]),
        ("relaxed-relaxed", &["dkim=pass"]),
        ("simple-simple", &["dkim=pass"]),
        ("relaxed-simple", &["dkim=pass"]),
        ("length", &["dkim=pass"]),
    ] {
        assert_eq!(results(&signed(name)).await, results_expected, "{name}");
    }
}

#[tokio::test]
async fn what_was_changed_does_not_hold() {
    let body = "dkim=fail reason=\"the body was changed\"";
    let header = "dkim=fail reason=\"the signature does not hold\"";
    for (name, from, to, expected) in [
        ("relaxed-relaxed", "Hi.", "Ho.", body),
        ("relaxed-relaxed", "Subject:  odd", "Subject: even", header),
        (
            "relaxed-relaxed",
            "From: Ann",
            "From: Eve <e@v.example>\r\nFrom: Ann",
            header,
        ),
        (
            "relaxed-relaxed",
            "Subject:  odd   spaces \r\n",
            "SUBJECT : odd spaces\r\n",
            "dkim=pass",
        ),
        ("simple-simple", "Subject:  odd", "Subject: odd", header),
        ("simple-simple", "There \t", "There", body),
        ("relaxed-simple", "There \t", "There", body),
        ("relaxed-relaxed", "There \t ", "There ", "dkim=pass"),
        // RFC 6376 8.2: what is behind the signed part is anybody's.
        (
            "length",
            "trailing \r\n",
            "trailing \r\nmore\r\n",
            "dkim=policy reason=\"a part of the body is not signed\"",
        ),
        ("length", " trailing \r\n", "", body),
    ] {
        let message = String::from_utf8(signed(name)).unwrap();
        assert!(message.contains(from), "{from}");
        let changed = message.replacen(from, to, 1);
        let shown = if from == "From: Ann" {
            // Two of them: what DMARC says of that is not asked here.
            let judge = verifier(&keys(), |options| options.enforced = false);
            let found = found(&judge, changed.as_bytes(), "x@y.example").await;
            vec![String::from_utf8(found.field.to_vec()).unwrap()]
        } else {
            results(changed.as_bytes()).await
        };
        assert!(shown[0].contains(expected), "{from}: {shown:?}");
    }
}

#[tokio::test]
async fn rfc_6376_6_1_1_signatures_that_say_nothing() {
    let good = "v=1; a=rsa-sha256; d=author.example; s=s1; h=from; \
                bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA; c=relaxed/relaxed";
    let fail = "dkim=fail";
    for (from, to, expected) in [
        ("", "", "dkim=fail reason=\"the signature does not hold\""),
        ("v=1; ", "", "dkim=neutral"),
        ("v=1", "v=2", "dkim=neutral"),
        (
            "rsa-sha256",
            "rsa-sha1",
            "dkim=policy reason=\"SHA-1 proves nothing\"",
        ),
        ("rsa-sha256", "rsa-md5", "dkim=neutral"),
        (
            "rsa-sha256",
            "ed25519-sha256",
            "dkim=permerror reason=\"the key is of another kind\"",
        ),
        (
            "h=from",
            "h=to",
            "dkim=permerror reason=\"it does not sign From\"",
        ),
        ("h=from", "h=", "dkim=neutral"),
        ("d=author.example", "d=a\u{22}b", "dkim=neutral"),
        ("s=s1", "s=s2", "dkim=permerror reason=\"there is no key\""),
        (
            "; b=",
            "; x=1; b=",
            "dkim=fail reason=\"the signature expired\"",
        ),
        ("; b=", "; x=1700000000; b=", fail),
        ("; b=", "; t=9; x=8; b=", "dkim=permerror"),
        ("; b=", "; t=soon; b=", "dkim=neutral"),
        ("; b=", "; q=http; b=", "dkim=neutral"),
        ("; b=", "; i=@sub.author.example; b=", fail),
        (
            "; b=",
            "; i=@example; b=",
            "dkim=permerror reason=\"its agent is of another domain\"",
        ),
        (
            "; b=",
            "; l=9; b=",
            "dkim=fail reason=\"the body was changed\"",
        ),
        ("; b=AAAA", "; b=", "dkim=neutral"),
        ("; b=", "; a=x; b=", "dkim=neutral"),
        ("relaxed/relaxed", "nofws", "dkim=neutral"),
    ] {
        let signature = good.replacen(from, to, 1);
        let message = format!("DKIM-Signature: {signature}\r\nFrom: a@author.example\r\n\r\n");
        let found = results(message.as_bytes()).await;
        assert!(found[0].starts_with(expected), "{from} {to}: {found:?}");
    }
}

#[tokio::test]
async fn dkim_01_ten_signatures_are_checked_those_of_the_author_first() {
    let message = String::from_utf8(signed("relaxed-relaxed")).unwrap();
    let other =
        "DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n";
    let message = format!("{}{message}", other.repeat(20));
    let results = results(message.as_bytes()).await;
    assert_eq!(results.len(), 10);
    assert_eq!(results[0], "dkim=pass");
}
