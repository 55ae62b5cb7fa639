//! Who mail is from, between two servers of ours with a real name server: what `buzon dns records`
//! prints is the zone, so what it says is what is needed. dkimpy looks at our signatures, where
//! Python has it.

use std::fs;

use super::{
    install::Installed,
    peers::{eventually, name_server, signing, submit},
    server::{have, run, run_with, skip},
};

const DNS: &str = "127.0.5.13:5399";

/// The only message of `me@b2.test`, in this mailbox.
fn message(mailbox: &str) -> Option<String> {
    let script = "import imaplib,ssl,sys\nc=ssl._create_unverified_context()\n\
        m=imaplib.IMAP4_SSL('127.0.5.15',2527,ssl_context=c)\nm.login('me@b2.test','long enough')\n\
        m.select(sys.argv[1])\nr=m.fetch('1:*','(BODY.PEEK[])')[1]\n\
        [sys.stdout.buffer.write(x[1]) for x in r if isinstance(x,tuple)]";
    let text = run("python3", &["-c", script, mailbox]).expect_success();
    (!text.is_empty()).then_some(text)
}

/// Sends what claims to be from `me@a2.test`, but is from nobody.
fn forge() {
    let script = "import smtplib\ns=smtplib.SMTP('127.0.5.15',2525)\n\
        m='From: me@a2.test\\r\\nSubject: forged\\r\\n\\r\\nx'\n\
        s.sendmail('x@a2.test',['me@b2.test'],m)";
    run("python3", &["-c", script]).expect_success();
}

#[test]
fn what_is_printed_is_what_others_need_to_believe_us() {
    if !have("nsd") {
        return;
    }
    let mut a = signing(("auth-a", "a2.test"), "127.0.5.14", DNS);
    let mut b = signing(("auth-b", "b2.test"), "127.0.5.15", DNS);
    let printed = |server: &Installed, domain: &str| {
        let args = ["dns", "records", domain];
        server.command(&args, "").expect_success()
    };
    let host = |address: &str| format!("mx A {address}\n");
    let a_zone = format!("{}{}", host("127.0.5.14"), printed(&a, "a2.test"));
    let b_zone = format!("{}{}", host("127.0.5.15"), printed(&b, "b2.test"));
    let dir = std::env::temp_dir().join(format!("buzon-nsd-auth-{}", std::process::id()));
    let zones = [
        ("a2.test", a_zone.as_str()),
        ("b2.test", &b_zone),
        ("test", ""),
    ];
    let nsd = name_server(&dir, "127.0.5.13", &zones);
    let checked = a.command(&["dns", "records", "a2.test", "--check"], "");
    let checked = checked.expect_success();
    assert!(
        !checked.contains("differs") && !checked.contains("cannot"),
        "{checked}"
    );
    a.start();
    b.start();
    submit(("127.0.5.14", 2526), "me@a2.test", "me@b2.test", "signed");
    eventually("delivery to b", || message("INBOX").is_some());
    let came = message("INBOX").unwrap();
    assert_eq!(
        came.matches("dkim=pass header.d=a2.test").count(),
        2,
        "{came}"
    );
    assert!(
        came.contains("dmarc=pass header.from=a2.test policy.dmarc=quarantine"),
        "{came}"
    );
    forge();
    eventually("delivery to Junk", || message("Junk").is_some());
    assert!(message("Junk").unwrap().contains("dmarc=fail"));
    assert_eq!(message("INBOX").unwrap(), came);
    dkimpy_agrees(&a, &came);
    a.stop();
    b.stop();
    drop(nsd);
    let _ = fs::remove_dir_all(dir);
}

/// Asks dkimpy about the same message, with the keys as they are listed.
fn dkimpy_agrees(server: &Installed, message: &str) {
    // The system's Python has the system's modules, another one its own.
    let has_it = |python: &&&str| run(python, &["-c", "import dkim, nacl"]).succeeded();
    let Some(python) = ["python3", "/usr/bin/python3"].iter().find(has_it) else {
        skip("Python has no dkimpy");
        return;
    };
    let keys = server
        .command(&["dkim", "list", "--json"], "")
        .expect_success();
    let script = "import dkim,json,sys\nm=sys.stdin.buffer.read()\n\
        k={x['name']+'.':x['record'].encode() for x in json.loads(sys.argv[1])}\n\
        f=lambda n,timeout=5:k.get(n.decode() if isinstance(n,bytes) else n)\n\
        d=dkim.DKIM(m)\nprint([d.verify(idx=i,dnsfunc=f) for i in (0,1)])";
    let crlf = message.replace("\r\n", "\n").replace('\n', "\r\n");
    let said = run_with(python, &["-c", script, &keys], crlf.as_bytes());
    assert_eq!(said.expect_success().trim(), "[True, True]");
}
