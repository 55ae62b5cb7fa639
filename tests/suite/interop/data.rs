//! The data directory as its operator meets it: full, missing, or somebody else's.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    install::{Installed, ports},
    server::{have, run},
};

/// A small file system of its own.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, with the reason printed, where nothing can be mounted.
    fn at(dir: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={size},mode=700");
        let path = dir.to_str().unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path]);
        if !mounted.succeeded() {
            println!("skipped: nothing can be mounted here: {}", mounted.said());
            return None;
        }
        Some(Self(dir.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The server may still be in it.
        let _ = run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// Sends messages of a megabyte until one is refused; prints the code.
const FILL: &str = "import smtplib,sys\nh,p=sys.argv[1:]\nm=smtplib.SMTP(h,int(p))\n\
    for n in range(90):\n\
    \x20   try: m.sendmail('x@example.net',['alice@example.org'],\
    'Subject: x\\r\\n\\r\\n'+('z'*998+'\\r\\n')*1000)\n\
    \x20   except smtplib.SMTPRecipientsRefused as e:\n\
    \x20       print(e.recipients['alice@example.org'][0]); break\n\
    \x20   except smtplib.SMTPResponseException as e: print(e.smtp_code); break\n";
/// Deletes all but the last five.
const DELETE: &str = "import imaplib,ssl,sys\nh,p=sys.argv[1:]\n\
    m=imaplib.IMAP4_SSL(h,int(p),ssl_context=ssl._create_unverified_context())\n\
    m.login('alice@example.org','password')\nn=int(m.select('INBOX')[1][0])\n\
    m.store(f'1:{n-5}','+FLAGS.SILENT','\\\\Deleted')\nprint(len(m.expunge()[1]))\nm.logout()\n";
/// Sends one short message; prints the code.
const SEND: &str = "import smtplib,sys\nh,p=sys.argv[1:]\nm=smtplib.SMTP(h,int(p))\nc=250\n\
    try: m.sendmail('x@example.net',['alice@example.org'],'Subject: x\\r\\n\\r\\nx\\r\\n')\n\
    except smtplib.SMTPRecipientsRefused as e: c=e.recipients['alice@example.org'][0]\n\
    except smtplib.SMTPResponseException as e: c=e.smtp_code\nprint(c)\n";

#[test]
fn dur_04_deleting_on_a_full_disk_lets_mail_in_again_without_a_restart() {
    if !have("python3") || !have("mount") {
        return;
    }
    let more = ports("127.0.5.9", 2525)
        + "[limits]\nmessage = \"8 MiB\"\n[store]\nballast = \"8 MiB\"\n"
        + "low_water = \"16 MiB\"\nsegment = \"8 MiB\"\n";
    let mut server = Installed::prepare("full", "mail.example.org", &more);
    let Some(_mounted) = Mounted::at(&server.dir.join("data"), "72m") else {
        return;
    };
    let domain = server.command(&["domain", "add", "example.org"], "");
    domain.expect_success();
    let account = server.command(&["account", "add", "alice@example.org"], "password\n");
    account.expect_success();
    server.start();
    let python = |script: &str, port: &str| {
        run("python3", &["-c", script, "127.0.5.9", port]).expect_success()
    };
    assert_eq!(python(FILL, "2525").trim(), "452");
    let deleted: u32 = python(DELETE, "2527").trim().parse().unwrap();
    assert!(deleted > 20, "{deleted}");
    let begun = Instant::now();
    while python(SEND, "2525").trim() != "250" {
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(90), "{}", server.log());
        thread::sleep(Duration::from_secs(2));
    }
    let log = server.log();
    for said in ["room is low: new mail", "was compacted", "room again"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    server.stop();
}

#[test]
fn no_command_makes_data_by_mistake() {
    let server = Installed::prepare("nodata", "mail.example.org", &ports("127.0.5.10", 2525));
    let data = server.dir.join("data");
    let commands = [
        &["domain", "list"][..],
        &["account", "list"],
        &["queue", "list"],
        &["account", "add", "alice@example.org"],
        &["store", "verify"],
        &["store", "rebuild"],
    ];
    for args in commands {
        let said = server.command(args, "password\n").expect_failure();
        let way = "yet: `buzon serve` or `buzon domain add` makes it";
        assert!(said.contains("no data in ") && said.contains(way), "{said}");
        assert!(!data.exists(), "{args:?}");
    }
    // Somebody's directory, by a slip of the pen in `server.data`.
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.txt"), "mine").unwrap();
    let makers = [&["serve"][..], &["domain", "add", "example.org"]];
    for args in commands.into_iter().chain(makers) {
        let said = server.command(args, "password\n").expect_failure();
        assert!(said.contains("is no data directory"), "{args:?}: {said}");
        assert!(said.contains("thesis.txt"), "{args:?}: {said}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "{args:?}");
    }
}
