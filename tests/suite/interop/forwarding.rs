//! Mail that is passed on, between two servers of ours with a real name server: the sender is
//! rewritten, and the seal holds for the next server and for dkimpy, over a chain that dkimpy
//! began, too.

use std::{collections::BTreeMap, fs};

use super::{
    install::Installed,
    peers::{eventually, name_server, signing, submit},
    server::{have, run, run_with, skip},
};

const A: &str = "127.0.5.24";
const B: &str = "127.0.5.25";
const DNS: &str = "127.0.5.23:5399";

/// The only message of `me@a4.test` with this subject.
fn message(subject: &str) -> Option<String> {
    let script = "import imaplib,ssl,sys\nc=ssl._create_unverified_context()\n\
        m=imaplib.IMAP4_SSL(sys.argv[1],2527,ssl_context=c)\nm.login('me@a4.test','long enough')\n\
        m.select('INBOX')\nn=m.search(None,'SUBJECT',sys.argv[2])[1][0]\n\
        r=m.fetch(n,'(BODY.PEEK[])')[1] if n else []\n\
        [sys.stdout.buffer.write(x[1]) for x in r if isinstance(x,tuple)]";
    let text = run("python3", &["-c", script, A, subject]).expect_success();
    (!text.is_empty()).then_some(text)
}

/// The Python that has dkimpy, if there is one.
fn python() -> Option<&'static str> {
    let has_it = |python: &&str| run(python, &["-c", "import dkim"]).succeeded();
    ["python3", "/usr/bin/python3"].into_iter().find(has_it)
}

/// Sends `arc-one` of the corpus to `fwd@b4.test`: dkimpy sealed it.
fn send_sealed() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/corpus/signed/arc-one.eml"
    );
    let script = "import smtplib,sys\nm=open(sys.argv[1],'rb').read()\n\
        m=m.replace(b'\\r\\n',b'\\n').replace(b'\\n',b'\\r\\n')\n\
        smtplib.SMTP(sys.argv[2],2525).sendmail('list@list.example',['fwd@b4.test'],m)";
    run("python3", &["-c", script, path, B]).expect_success();
}

/// The keys of the corpus by their names.
fn corpus_keys() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/signed/keys.txt");
    let text = fs::read_to_string(path).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, key)| (name.to_owned(), key.to_owned()))
        .collect()
}

/// What dkimpy says of a message's chain, with the keys of these records.
fn dkimpy(python: &str, message: &str, zone: &str) -> String {
    let script = "import dkim,json,sys\nm=sys.stdin.buffer.read()\n\
        k={n+'.':r.encode() for n,r in json.loads(sys.argv[1]).items()}\n\
        f=lambda n,timeout=5:k.get(n.decode() if isinstance(n,bytes) else n)\n\
        cv,s,r=dkim.arc_verify(m,dnsfunc=f)\nprint(cv.decode(),len(s))";
    let crlf = message.replace("\r\n", "\n").replace('\n', "\r\n");
    let said = run_with(python, &["-c", script, zone], crlf.as_bytes());
    said.expect_success().trim().to_owned()
}

#[test]
fn what_is_passed_on_is_believed() {
    if !have("nsd") {
        return;
    }
    let (mut a, mut b) = (
        signing(("fwd-a", "a4.test"), A, DNS),
        signing(("fwd-b", "b4.test"), B, DNS),
    );
    let forward = [
        "account",
        "forward",
        "me@b4.test",
        "--to",
        "me@a4.test",
        "--keep",
    ];
    b.command(&forward, "").expect_success();
    let alias = ["alias", "add", "fwd@b4.test", "me@a4.test"];
    b.command(&alias, "").expect_success();
    let dir = std::env::temp_dir().join(format!("buzon-nsd-fwd-{}", std::process::id()));
    let listed = corpus_keys();
    let of_list = listed
        .iter()
        .filter(|(name, _)| name.ends_with(".list.example"));
    let c_zone: String = of_list
        .map(|(name, record)| {
            let (one, two) = record.split_at(record.len().min(200));
            format!("{name}. TXT \"{one}\" \"{two}\"\n")
        })
        .collect();
    let printed = |server: &Installed, domain: &str, address: &str| {
        let records = server.command(&["dns", "records", domain], "");
        format!("mx A {address}\n{}", records.expect_success())
    };
    let a_zone = printed(&a, "a4.test", A);
    let b_zone = printed(&b, "b4.test", B);
    let zones = [
        ("a4.test", a_zone.as_str()),
        ("b4.test", &b_zone),
        ("example", &c_zone),
        ("test", ""),
    ];
    let nsd = name_server(&dir, "127.0.5.23", &zones);
    a.start();
    b.start();
    // From a to b, which passes it on to a and keeps it.
    submit((A, 2526), "me@a4.test", "me@b4.test", "round");
    eventually("delivery of round", || message("round").is_some());
    let round = message("round").unwrap();
    assert!(round.contains("=a4.test=me@b4.test"), "{round}");
    // On loopback every client has the same address, so SPF itself cannot pass here.
    assert!(round.contains("smtp.mailfrom=b4.test"), "{round}");
    assert!(round.contains("arc=pass header.d=b4.test"), "{round}");
    let Some(python) = python() else {
        skip("Python has no dkimpy");
        return;
    };
    send_sealed();
    eventually("delivery of the third", || message("folds").is_some());
    let third = message("folds").unwrap();
    assert!(
        third.contains("ARC-Seal: i=2; a=rsa-sha256; cv=pass;"),
        "{third}"
    );
    assert!(third.contains("arc=pass header.d=b4.test"), "{third}");
    let listed = b.command(&["dkim", "list", "--json"], "").expect_success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let text = |key: &serde_json::Value, field: &str| key[field].as_str().unwrap().to_owned();
    let keys = listed.as_array().unwrap().iter();
    let mut zone = corpus_keys();
    zone.extend(keys.map(|key| (text(key, "name"), text(key, "record"))));
    let zone = serde_json::to_string(&zone).unwrap();
    assert_eq!(dkimpy(python, &round, &zone), "pass 1");
    assert_eq!(dkimpy(python, &third, &zone), "pass 2");
    a.stop();
    b.stop();
    drop(nsd);
    let _ = fs::remove_dir_all(dir);
}
