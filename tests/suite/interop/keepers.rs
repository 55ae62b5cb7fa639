//! Clients that keep a copy and bring it up to date, or ask for what only extensions give.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    clients::imap_script,
    server::{Demo, have, run},
};

const MAIL: &str =
    "From: you@example.org\r\nTo: alice@demo.test\r\nSubject: hello\r\n\r\nFirst!\r\n";

/// What the far side does between two runs: an answer, a deletion, a message, a folder with one.
const FAR: &str = "u=m.uid('search',None,'ALL')[1][0].split()\n\
    m.uid('store',u[2],'+FLAGS.SILENT','\\\\Answered')\n\
    m.uid('store',u[3],'+FLAGS.SILENT','\\\\Deleted')\nm.uid('expunge',u[3])\n\
    m.append('INBOX','\\\\Flagged',None,b'Subject: far\\r\\n\\r\\nfar\\r\\n')\n\
    m.create('Far/S&APw-d')\n\
    m.append('Far/S&APw-d',None,None,b'Subject: deep\\r\\n\\r\\nx\\r\\n')\n";
/// What both sides then hold, as the server tells it.
const HELD: &str = "def n(*k): return len(m.search(None,*k)[1][0].split())\n\
    print(n('ALL'),n('FLAGGED','SEEN'),n('ANSWERED'),n('SUBJECT','near'),n('SUBJECT','far'))\n\
    print(m.select('Near')[1][0].decode(), n('DRAFT'))\n";

#[test]
fn mbsync_carries_the_changes_of_both_sides() {
    if !have("mbsync") {
        return;
    }
    let demo = Demo::start("mbsync");
    (0..5).for_each(|_| demo.deliver("alice@demo.test", MAIL));
    let near = demo.dir.join("near");
    fs::create_dir_all(&near).unwrap();
    let config = demo.file(
        "mbsyncrc",
        &format!(
            "IMAPStore far\nHost localhost\nPort {}\nUser alice@demo.test\nPass {}\n\
             SSLType IMAPS\nCertificateFile {}\nAuthMechs PLAIN\nPipelineDepth 3\n\n\
             MaildirStore near\nPath {dir}/\nInbox {dir}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\n\
             Expunge Both\nCopyArrivalDate yes\nSyncState {dir}/.state-\n",
            demo.port("imaps"),
            demo.password("alice"),
            demo.ca(),
            dir = near.display(),
        ),
    );
    let sync = || run("mbsync", &["-c", config.to_str().unwrap(), "-a"]).expect_success();
    two_sides(&demo, &near, "Far/S&APw-d", &|| drop(sync()));
}

#[test]
fn offlineimap_carries_the_changes_of_both_sides() {
    if !have("offlineimap") {
        return;
    }
    let demo = Demo::start("offlineimap");
    (0..5).for_each(|_| demo.deliver("alice@demo.test", MAIL));
    let near = demo.dir.join("near");
    let config = demo.file(
        "offlineimaprc",
        &format!(
            "[general]\naccounts = a\nmetadata = {dir}/meta\nui = quiet\n[Account a]\n\
             localrepository = near\nremoterepository = far\n[Repository near]\ntype = Maildir\n\
             localfolders = {near}\n[Repository far]\ntype = IMAP\nremotehost = localhost\n\
             remoteport = {}\nssl = yes\nsslcacertfile = {}\nremoteuser = alice@demo.test\n\
             remotepass = {}\nmaxconnections = 2\n",
            demo.port("imaps"),
            demo.ca(),
            demo.password("alice"),
            dir = demo.dir.display(),
            near = near.display(),
        ),
    );
    let sync = || run("offlineimap", &["-c", config.to_str().unwrap()]).expect_success();
    two_sides(&demo, &near, "Far.S&APw-d", &|| drop(sync()));
}

/// Both sides start alike, change, and are alike again; then nothing is left to do.
fn two_sides(demo: &Demo, near: &Path, deep: &str, sync: &dyn Fn()) {
    sync();
    let inbox = near.join("INBOX");
    let mut all = messages(&inbox);
    assert_eq!(all.len(), 5);
    assert!(
        near.join("Sent").is_dir(),
        "folders are made on the near side"
    );
    // UIDs are given in this order, so the far side changes others.
    all.sort_by_key(|path| uid(path));
    fs::remove_file(&all[0]).unwrap();
    let name = all[1].file_name().unwrap().to_string_lossy().into_owned();
    let name = name.split(":2,").next().unwrap().to_owned();
    fs::rename(&all[1], inbox.join("cur").join(format!("{name}:2,FS"))).unwrap();
    let write = |path: &str, subject: &str| {
        let text = format!("Message-ID: <{subject}@near>\nSubject: {subject}\n\nx\n");
        fs::write(near.join(path), text).unwrap();
    };
    write("INBOX/new/1.near.host", "near1");
    write("INBOX/cur/2.near.host:2,S", "near2");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(near.join("Near").join(sub)).unwrap();
    }
    write("Near/cur/3.near.host:2,D", "draft");
    imap_script(demo, "alice", FAR);
    sync();
    let held = "6 1 1 2 1\n1 1\n";
    assert_eq!(imap_script(demo, "alice", HELD), held);
    let mut letters: Vec<_> = messages(&inbox).iter().map(|path| flags(path)).collect();
    letters.sort();
    assert_eq!(letters, ["", "", "F", "FS", "R", "S"]);
    assert_eq!(messages(&near.join(deep)).len(), 1);
    // Gone on the near side, and gone on the far side.
    let draft = messages(&near.join("Near")).remove(0);
    fs::remove_file(draft).unwrap();
    imap_script(
        demo,
        "alice",
        "m.store('1:*','+FLAGS','\\\\Deleted')\nm.expunge()",
    );
    sync();
    sync();
    assert_eq!(messages(&inbox).len(), 0);
    assert_eq!(imap_script(demo, "alice", HELD), "0 0 0 0 0\n0 0\n");
}

/// The messages of a Maildir.
fn messages(dir: &Path) -> Vec<PathBuf> {
    ["new", "cur"]
        .iter()
        .flat_map(|sub| fs::read_dir(dir.join(sub)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// The UID that both programs write into the name.
fn uid(path: &Path) -> u32 {
    let name = path.to_string_lossy();
    let rest = name.split(",U=").nth(1).unwrap();
    let digits = rest.split([',', ':']).next().unwrap();
    digits.parse().unwrap()
}

fn flags(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.split(":2,").nth(1).unwrap_or_default().to_owned()
}

#[test]
fn neomutt_learns_what_changed_while_it_was_away() {
    if !have("neomutt") || !have("script") {
        return;
    }
    let demo = Demo::start_with("neomutt", &["log.filter=info,wire=trace"]);
    (1..=5).for_each(|n| {
        demo.deliver(
            "alice@demo.test",
            &MAIL.replace("hello", &format!("mail {n}")),
        )
    });
    let config = demo.file(
        "neomuttrc",
        &format!(
            "set imap_user=\"alice@demo.test\"\nset imap_pass=\"{}\"\nset certificate_file=\"{}\"\n\
             set folder=\"imaps://localhost:{port}/\"\nset spoolfile=\"+INBOX\"\n\
             set header_cache=\"{}/headers\"\nset imap_qresync=yes\nset imap_condstore=yes\n\
             set imap_idle=no\nset delete=yes\nset quit=yes\nset move=no\nset mark_old=no\n\
             set ssl_verify_host=yes\nset wait_key=no\nset sort=mailbox-order\n",
            demo.password("alice"),
            demo.ca(),
            demo.dir.display(),
            port = demo.port("imaps"),
        ),
    );
    fs::create_dir_all(demo.dir.join("headers")).unwrap();
    let open = |keys: &str| {
        let before = demo.log().len();
        let terminal = format!(
            "TERM=xterm script -qec \"neomutt -n -F {} -e \\\"push '{keys}<quit>'\\\"\" /dev/null",
            config.display()
        );
        run("timeout", &["60", "sh", "-c", &terminal]).expect_success();
        demo.log()[before..].to_owned()
    };
    let first = open("");
    assert!(!first.contains("vanished: true"), "{first}");
    // While it is away: one flagged, one gone, one new.
    imap_script(
        &demo,
        "alice",
        "m.store('4','+FLAGS','\\\\Flagged')\nm.store('2','+FLAGS','\\\\Deleted')\nm.expunge()\n\
         m.append('INBOX',None,None,b'Subject: between\\r\\n\\r\\nx\\r\\n')",
    );
    // It deletes what it believes to be flagged and what it believes to be third.
    let second =
        open("<delete-pattern>~F<enter><first-entry><next-entry><delete-message><sync-mailbox>");
    assert!(second.contains("vanished: true"), "{second}");
    assert!(!second.contains("refused:"), "{second}");
    let subjects = "import re\nfor n in m.search(None,'ALL')[1][0].split():\n\
        \x20d=m.fetch(n,'(BODY.PEEK[HEADER.FIELDS (SUBJECT)])')[1][0][1].decode()\n\
        \x20print(d.strip().removeprefix('Subject: '))";
    let left = imap_script(&demo, "alice", subjects);
    assert_eq!(left, "mail 1\nmail 5\nbetween\n");
    // A third time nothing has to be fetched anew but what it did itself.
    let third = open("<last-entry><flag-message><sync-mailbox>");
    assert!(third.contains("vanished: true") && !third.contains("refused:"));
    let flagged = imap_script(
        &demo,
        "alice",
        "print(m.search(None,'FLAGGED')[1][0].decode())",
    );
    assert_eq!(flagged, "3\n");
}

#[test]
fn curl_searches_sorts_and_appends() {
    if !have("curl") {
        return;
    }
    let demo = Demo::start("curl-imap");
    for subject in ["pears", "apples", "Re: pears"] {
        demo.deliver("alice@demo.test", &MAIL.replace("hello", subject));
    }
    let base = format!("imaps://localhost:{}", demo.port("imaps"));
    let alice = format!("alice@demo.test:{}", demo.password("alice"));
    let ca = demo.ca();
    let curl = |path: &str, more: &[&str]| {
        let url = format!("{base}{path}");
        let args = ["-sS", "--cacert", &ca, "-u", &alice, &url];
        let said = run("curl", &[&args[..], more].concat()).expect_success();
        said.trim().to_owned()
    };
    for (path, said) in [
        ("/INBOX?SUBJECT%20pears", "* SEARCH 1 3"),
        ("/INBOX?TEXT%20first!", "* SEARCH 1 2 3"),
        (
            "/INBOX;UID=2;SECTION=HEADER.FIELDS%20(SUBJECT)",
            "Subject: apples",
        ),
        ("/INBOX;MAILINDEX=3;SECTION=TEXT", "First!"),
        ("/INBOX;UID=1;PARTIAL=0.7", "Return-"),
    ] {
        assert_eq!(curl(path, &[]), said, "{path}");
    }
    let file = demo.file("up.eml", "Subject: up\r\n\r\nup\r\n");
    curl("/INBOX", &["-T", file.to_str().unwrap()]);
    for (command, said) in [
        ("UID SORT (SUBJECT) UTF-8 ALL", "* SORT 2 1 3 4"),
        ("THREAD REFERENCES UTF-8 ALL", "(1 3)"),
        ("SEARCH RETURN (MIN MAX COUNT) ALL", "MIN 1 MAX 4 COUNT 4"),
        ("FETCH 4 (FLAGS PREVIEW)", "FLAGS (\\Seen) PREVIEW \"up\""),
        ("GETQUOTAROOT INBOX", "* QUOTA \"\" (STORAGE "),
        (
            "STORE 2 +FLAGS \\Deleted",
            "* 2 FETCH (FLAGS (\\Deleted \\Seen))",
        ),
        ("EXPUNGE", "* 2 EXPUNGE"),
    ] {
        let heard = curl("/INBOX", &["-X", command]);
        assert!(heard.contains(said), "{command}: {heard}");
    }
}

#[test]
fn fetchmail_takes_everything_over_imap() {
    if !have("fetchmail") {
        return;
    }
    let demo = Demo::start("fetchmail-imap");
    (0..3).for_each(|_| demo.deliver("alice@demo.test", MAIL));
    let taken = demo.dir.join("taken");
    let config = demo.file(
        "fetchmailrc",
        &format!(
            "poll localhost protocol imap port {} user \"alice@demo.test\" password \"{}\" ssl \
             sslcertfile \"{}\" mda \"cat >> {}\"\n",
            demo.port("imaps"),
            demo.password("alice"),
            demo.ca(),
            taken.display(),
        ),
    );
    let pids = demo.dir.join("fetchmail.pid");
    let args = ["--nosyslog", "-f", config.to_str().unwrap(), "--pidfile"];
    let more = [pids.to_str().unwrap(), "--fetchall", "--nokeep"];
    run("fetchmail", &[&args[..], &more].concat()).expect_success();
    let text = fs::read_to_string(&taken).unwrap();
    assert_eq!(text.matches("First!").count(), 3);
    let left = imap_script(&demo, "alice", "print(m.search(None,'ALL')[1][0].decode())");
    assert_eq!(left, "\n");
}

#[test]
fn imapclient_walks_the_extensions() {
    // Debian packages it in some releases only, so it may be missing where all else is installed.
    if !run("python3", &["-c", "import imapclient"]).succeeded() {
        println!("skipped: python3 has no imapclient here");
        return;
    }
    let demo = Demo::start("imapclient");
    let facts = demo.dir.join("demo.json").display().to_string();
    let said = run("python3", &["-c", include_str!("walk.py"), &facts]).expect_success();
    assert!(said.ends_with("done\n"), "{said}");
}
