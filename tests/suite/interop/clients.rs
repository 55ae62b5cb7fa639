//! One test per client: what its user does with it.

use std::fs;

use super::server::{Demo, have, run, run_with, skip};

const MAIL: &str =
    "From: you@example.org\r\nTo: alice@demo.test\r\nSubject: hello\r\n\r\nFirst!\r\n";

#[test]
fn curl_sends_and_reads_with_and_without_tls() {
    if !have("curl") {
        return;
    }
    let demo = Demo::start_with("curl", &["auth.insecure_without_tls=true"]);
    let ca = demo.ca();
    let url = |scheme: &str, port: &str, path: &str| {
        format!("{scheme}://localhost:{}{path}", demo.port(port))
    };
    let smtp = url("smtp", "smtp", "");
    let send = [
        "-sS",
        &smtp,
        "--mail-from",
        "you@example.org",
        "--mail-rcpt",
        "alice@demo.test",
        "-T",
        "-",
    ];
    run_with("curl", &send, MAIL.as_bytes()).expect_success();
    let alice = format!("alice@demo.test:{}", demo.password("alice"));
    for (scheme, port, path) in [
        ("imap", "imap", "/INBOX;MAILINDEX=1"),
        ("imaps", "imaps", "/INBOX;UID=1"),
        ("pop3", "pop3", "/1"),
        ("pop3s", "pop3s", "/1"),
    ] {
        let url = url(scheme, port, path);
        let read = run("curl", &["-sS", "--cacert", &ca, &url, "-u", &alice]).expect_success();
        assert!(
            read.contains("First!") && read.contains("Received: from"),
            "{scheme}: {read}"
        );
    }
    let text = MAIL.replace("you@example.org", "alice@demo.test");
    for (scheme, port, tls) in [
        ("smtp", "submission", "--ssl-reqd"),
        ("smtps", "submissions", "--ssl"),
        ("smtp", "submission", "-s"),
    ] {
        let url = url(scheme, port, "");
        let send = [
            "-sS",
            tls,
            "--cacert",
            &ca,
            &url,
            "-u",
            &alice,
            "--mail-from",
            "alice@demo.test",
            "--mail-rcpt",
            "bob@demo.test",
            "-T",
            "-",
        ];
        run_with("curl", &send, text.as_bytes()).expect_success();
    }
    let bob = format!("bob@demo.test:{}", demo.password("bob"));
    let list = url("imaps", "imaps", "/INBOX");
    let status = [
        "-sS",
        "--cacert",
        &ca,
        &list,
        "-u",
        &bob,
        "-X",
        "STATUS INBOX (MESSAGES)",
    ];
    assert!(run("curl", &status).expect_success().contains("MESSAGES 3"));
    // Upload to a folder, list folders, wrong password.
    let sent = url("imaps", "imaps", "/Sent");
    let file = demo.file("upload.eml", MAIL).display().to_string();
    run(
        "curl",
        &["-sS", "--cacert", &ca, &sent, "-u", &bob, "-T", &file],
    )
    .expect_success();
    let root = url("imaps", "imaps", "/");
    assert!(
        run("curl", &["-sS", "--cacert", &ca, &root, "-u", &bob])
            .expect_success()
            .contains("\\Sent")
    );
    run(
        "curl",
        &["-sS", "--cacert", &ca, &list, "-u", "bob@demo.test:wrong"],
    )
    .expect_failure();
}

#[test]
fn what_is_announced_is_walked_over_a_socket() {
    let demo = Demo::start("extensions");
    let facts = demo.dir.join("demo.json").to_string_lossy().into_owned();
    let script = include_str!("extensions.py");
    run("python3", &["-c", script, &facts]).expect_success();
}

#[test]
fn swaks_sends_by_relay_and_by_submission_and_is_told_why_not() {
    if !have("swaks") {
        return;
    }
    let demo = Demo::start("swaks");
    let server = format!("localhost:{}", demo.port("smtp"));
    let base = ["--server", server.as_str(), "--from", "you@example.org"];
    run("swaks", &[&base[..], &["--to", "alice@demo.test"]].concat()).expect_success();
    let tls = run("perl", &["-MNet::SSLeay", "-e1"]).succeeded();
    if tls {
        run(
            "swaks",
            &[&base[..], &["--to", "alice@demo.test", "-tls"]].concat(),
        )
        .expect_success();
    }
    for (to, code) in [
        ("nobody@demo.test", "550 5.1.1"),
        ("you@example.net", "550 5.7.1"),
    ] {
        let said = run("swaks", &[&base[..], &["--to", to]].concat());
        let said = said.stdout_of_failure();
        assert!(said.contains(code), "{said}");
    }
    if !tls {
        skip("swaks has no TLS here (libnet-ssleay-perl)");
        return;
    }
    let server = format!("localhost:{}", demo.port("submission"));
    let password = demo.password("alice");
    let user = [
        "--server",
        &server,
        "--auth-user",
        "alice@demo.test",
        "--auth-password",
        &password,
    ];
    let mail = ["--from", "alice@demo.test", "--to", "bob@demo.test"];
    for mechanism in ["PLAIN", "LOGIN"] {
        run(
            "swaks",
            &[&user[..], &mail[..], &["--tls", "--auth", mechanism]].concat(),
        )
        .expect_success();
    }
    run(
        "swaks",
        &[&user[..], &mail[..], &["--auth", "PLAIN"]].concat(),
    )
    .expect_failure();
    let forged = [
        "--from",
        "bob@demo.test",
        "--to",
        "bob@demo.test",
        "--tls",
        "--auth",
        "PLAIN",
    ];
    let said = run("swaks", &[&user[..], &forged[..]].concat()).stdout_of_failure();
    assert!(said.contains("553 5.7.1"), "{said}");
}

#[test]
fn msmtp_submits() {
    if !have("msmtp") {
        return;
    }
    let demo = Demo::start("msmtp");
    let config = demo.file(
        "msmtprc",
        &format!(
            "account a\nhost localhost\nport {}\nfrom alice@demo.test\nauth on\n\
             user alice@demo.test\n\
             password {}\ntls on\ntls_starttls on\ntls_trust_file {}\n\
             account b : a\nport {}\ntls_starttls off\n",
            demo.port("submission"),
            demo.password("alice"),
            demo.ca(),
            demo.port("submissions"),
        ),
    );
    let config = config.to_str().unwrap();
    for account in ["a", "b"] {
        let args = ["-C", config, "-a", account, "bob@demo.test"];
        run_with(
            "msmtp",
            &args,
            b"From: alice@demo.test\nTo: bob@demo.test\nSubject: unix\n\n.dot\n",
        )
        .expect_success();
    }
    let read = read_all(&demo, "bob");
    assert_eq!(read.matches("\r\n.dot\r\n").count(), 2, "{read}");
    // Submission completes what is missing (RFC 6409 8).
    assert_eq!(read.matches("Message-ID:").count(), 2, "{read}");
}

#[test]
fn fetchmail_and_mpop_keep_and_delete() {
    let demo = Demo::start("fetch");
    (0..3).for_each(|_| demo.deliver("alice@demo.test", MAIL));
    if have("mpop") {
        let inbox = demo.dir.join("mpop");
        for sub in ["", "/cur", "/new", "/tmp"] {
            fs::create_dir_all(format!("{}{sub}", inbox.display())).unwrap();
        }
        let config = demo.file(
            "mpoprc",
            &format!(
                "account a\nhost localhost\nport {}\nuser alice@demo.test\npassword {}\ntls on\n\
                 tls_starttls on\ntls_trust_file {}\nkeep on\ndelivery maildir {}\n\
             uidls_file {}/uidls\n",
                demo.port("pop3"),
                demo.password("alice"),
                demo.ca(),
                inbox.display(),
                demo.dir.display(),
            ),
        );
        for _ in 0..2 {
            run("mpop", &["-C", config.to_str().unwrap(), "a"]).expect_success();
        }
        assert_eq!(
            fs::read_dir(inbox.join("new")).unwrap().count(),
            3,
            "kept, fetched once"
        );
    }
    if have("fetchmail") {
        let mda = demo.dir.join("fetched");
        let config = demo.file(
            "fetchmailrc",
            &format!(
                "poll localhost protocol pop3 port {} user \"alice@demo.test\" password \"{}\" ssl \
                 sslcertfile \"{}\" mda \"cat >> {}\"\n",
                demo.port("pop3s"),
                demo.password("alice"),
                demo.ca(),
                mda.display(),
            ),
        );
        let ids = demo.dir.join("fetchids");
        let pids = demo.dir.join("fetchmail.pid");
        let args = [
            "--nosyslog",
            "-f",
            config.to_str().unwrap(),
            "-i",
            ids.to_str().unwrap(),
            "--pidfile",
            pids.to_str().unwrap(),
        ];
        run("fetchmail", &args).expect_success();
        assert_eq!(
            fs::read_to_string(&mda).unwrap().matches("First!").count(),
            3
        );
        let left = imap_script(&demo, "alice", "print(m.search(None,'ALL')[1][0].decode())");
        assert_eq!(left, "\n", "fetchmail deletes what it fetched");
    }
}

#[test]
fn mutt_reads_saves_and_deletes() {
    if !have("mutt") {
        return;
    }
    let demo = Demo::start("mutt");
    (1..=3).for_each(|n| {
        demo.deliver(
            "alice@demo.test",
            &MAIL.replace("hello", &format!("mail {n}")),
        )
    });
    let config = demo.file(
        "muttrc",
        &format!(
            "set imap_user=\"alice@demo.test\"\nset imap_pass=\"{}\"\n\
             set ssl_ca_certificates_file=\"\"\n\
             set certificate_file=\"{}\"\nset folder=\"imaps://localhost:{port}/\"\n\
             set spoolfile=\"imaps://localhost:{port}/INBOX\"\nset delete=yes\n\
             set confirmappend=no\n\
             set quit=yes\nset move=no\nset header_cache=\"\"\nset ssl_verify_host=yes\n\
             set wait_key=no\n",
            demo.password("alice"),
            demo.ca(),
            port = demo.port("imaps"),
        ),
    );
    // Saves the first message to Archive (which deletes it here), flags the second, leaves.
    let keys =
        "push '<first-entry><save-message>=Archive<enter><flag-message><sync-mailbox><quit>'";
    let terminal = format!(
        "TERM=xterm script -qec \"mutt -F {} -e \\\"{keys}\\\"\" /dev/null",
        config.display()
    );
    if !have("script") {
        return;
    }
    run("timeout", &["60", "sh", "-c", &terminal]).expect_success();
    let read = imap_script(
        &demo,
        "alice",
        "print(m.search(None,'ALL')[1][0].decode())\n\
             print(m.search(None,'FLAGGED')[1][0].decode())\n\
         m.select('Archive')\nprint(m.fetch('1','(BODY[HEADER.FIELDS \
             (SUBJECT)])')[1][0][1].decode().strip())",
    );
    assert_eq!(read, "1 2\n1\nSubject: mail 1\n");
}

#[test]
fn the_libraries_of_python_do_their_round() {
    let demo = Demo::start("python");
    let script = include_str!("round.py");
    let args = [
        "-c".to_owned(),
        script.to_owned(),
        demo.dir.join("demo.json").display().to_string(),
    ];
    let said = run("python3", &args).expect_success();
    assert!(said.ends_with("done\n"), "{said}");
}

/// Every message of an account's INBOX.
fn read_all(demo: &Demo, name: &str) -> String {
    imap_script(
        demo,
        name,
        "import sys\nfor n in m.search(None,'ALL')[1][0].split():\n\
             \x20sys.stdout.buffer.write(m.fetch(n,'(BODY.PEEK[])')[1][0][1])",
    )
}

/// Runs Python with `m` logged in and INBOX selected.
pub(super) fn imap_script(demo: &Demo, name: &str, script: &str) -> String {
    let prelude = "import imaplib,ssl,sys\nc=ssl.create_default_context(cafile=sys.argv[1])\n\
        m=imaplib.IMAP4_SSL('localhost',int(sys.argv[2]),ssl_context=c)\n\
        m.login(sys.argv[3]+'@demo.test',sys.argv[4])\nm.select('INBOX')\n";
    let args = [
        "-c".to_owned(),
        format!("{prelude}{script}\nm.logout()"),
        demo.ca(),
        demo.port("imaps").to_string(),
        name.to_owned(),
        demo.password(name),
    ];
    run("python3", &args).expect_success()
}
