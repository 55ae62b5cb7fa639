//! Other servers: two of ours with a real name server between them, and a Postfix, in both
//! directions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    install::{Installed, ports},
    server::{have, run, run_with},
};

/// A program of the test's own, ended with it.
pub(super) struct Daemon(pub(super) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `done`, for at most twenty seconds.
pub(super) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what} did not happen"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// Submits a message with Python: implicit TLS, any certificate.
pub(super) fn submit(server: (&str, u16), user: &str, to: &str, subject: &str) {
    let script = "import smtplib,ssl,sys\nh,p,u,t,s=sys.argv[1:]\n\
             c=ssl._create_unverified_context()\n\
        m=smtplib.SMTP_SSL(h,int(p),context=c)\nm.login(u,'long enough')\n\
        m.sendmail(u,[t],f'From: {u}\\r\\nTo: {t}\\r\\nSubject: {s}\\r\\n\\r\\nhello\\r\\n')\n\
             m.quit()";
    let port = server.1.to_string();
    run(
        "python3",
        &["-c", script, server.0, &port, user, to, subject],
    )
    .expect_success();
}

/// The same with eight-bit text, and asking to be told of success (RFC 3461).
fn submit_asking(server: (&str, u16), user: &str, to: &str, subject: &str) {
    let script = "import smtplib,ssl,sys\nh,p,u,t,s=sys.argv[1:]\n\
             c=ssl._create_unverified_context()\n\
        m=smtplib.SMTP_SSL(h,int(p),context=c)\nm.login(u,'long enough')\n\
        b=f'From: {u}\\r\\nTo: {t}\\r\\nSubject: {s}\\r\\nMIME-Version: 1.0\\r\\n'\n\
        b+='Content-Type: text/plain; charset=utf-8\\r\\nContent-Transfer-Encoding: 8bit\\r\\n'\n\
        b+='\\r\\n.caf\\u00e9\\r\\n.\\r\\nend\\r\\n'\n\
        m.sendmail(u,[t],b.encode(),['BODY=8BITMIME','ENVID=ours+2B1','RET=HDRS'],\
        ['NOTIFY=SUCCESS,FAILURE','ORCPT=rfc822;'+t])\n\
             m.quit()";
    let port = server.1.to_string();
    run(
        "python3",
        &["-c", script, server.0, &port, user, to, subject],
    )
    .expect_success();
}

/// A message with a binary body, in one chunk (RFC 3030 3).
fn submit_binary(server: (&str, u16), user: &str, to: &str) {
    let script = "import smtplib,ssl,sys\nh,p,u,t=sys.argv[1:]\n\
             c=ssl._create_unverified_context()\n\
        m=smtplib.SMTP_SSL(h,int(p),context=c)\nm.login(u,'long enough')\n\
        b=f'From: {u}\\r\\nTo: {t}\\r\\nSubject: octets\\r\\nMIME-Version: 1.0\\r\\n'\n\
        b+='Content-Type: application/octet-stream\\r\\nContent-Transfer-Encoding: binary\\r\\n'\n\
        b=(b+'\\r\\n').encode()+bytes([0,10,255])\n\
        m.docmd('MAIL',f'FROM:<{u}> BODY=BINARYMIME')\nm.docmd('RCPT',f'TO:<{t}>')\n\
        m.send(b'BDAT %d LAST\\r\\n'%len(b)+b)\nassert m.getreply()[0]==250\n\
             m.quit()";
    let port = server.1.to_string();
    run("python3", &["-c", script, server.0, &port, user, to]).expect_success();
}

/// The messages in somebody's INBOX, whole.
pub(super) fn messages(server: (&str, u16), user: &str) -> String {
    let script = "import imaplib,ssl,sys\nh,p,u=sys.argv[1:]\nc=ssl._create_unverified_context()\n\
        m=imaplib.IMAP4_SSL(h,int(p),ssl_context=c)\nm.login(u,'long enough')\nm.select('INBOX')\n\
        r=m.fetch('1:*','(BODY.PEEK[])')[1]\n\
        [print(x[1].decode('utf-8','replace')) for x in r if isinstance(x,tuple)]\nm.logout()";
    let port = server.1.to_string();
    run("python3", &["-c", script, server.0, &port, user]).expect_success()
}

/// Subjects in somebody's INBOX.
fn subjects(server: (&str, u16), user: &str) -> String {
    let script = "import imaplib,ssl,sys\nh,p,u=sys.argv[1:]\nc=ssl._create_unverified_context()\n\
        m=imaplib.IMAP4_SSL(h,int(p),ssl_context=c)\nm.login(u,'long enough')\nm.select('INBOX')\n\
        r=m.fetch('1:*','(BODY.PEEK[HEADER.FIELDS (SUBJECT FROM RETURN-PATH)])')[1]\n\
        [print(x[1].decode().strip()) for x in r if isinstance(x,tuple)]\nm.logout()";
    let port = server.1.to_string();
    run("python3", &["-c", script, server.0, &port, user]).expect_success()
}

/// A server that signs and that verifies what it gets, with a name server; not started.
pub(super) fn signing((name, domain): (&str, &str), address: &str, dns: &str) -> Installed {
    let listen = ports(address, 2525);
    let more = format!(
        "{listen}[relay]\nport = 2525\ninsecure_private_targets = true\n[dns]\n\
         servers = [\"{dns}\"]\n[verify]\npolicy = \"enforce\"\n"
    );
    let server = Installed::prepare(name, &format!("mx.{domain}"), &more);
    let me = format!("me@{domain}");
    for (args, input) in [
        (&["domain", "add", domain][..], ""),
        (&["account", "add", &me], "long enough\n"),
        (&["dkim", "generate", domain], ""),
    ] {
        server.command(args, input).expect_success();
    }
    server
}

fn server(name: &str, domain: &str, address: &str, more: &str) -> Installed {
    let more = format!("{}{more}", ports(address, 2525));
    let mut server = Installed::prepare(name, &format!("mx.{domain}"), &more);
    server
        .command(&["domain", "add", domain], "")
        .expect_success();
    server
        .command(
            &["account", "add", &format!("me@{domain}")],
            "long enough\n",
        )
        .expect_success();
    server.start();
    server
}

#[test]
fn two_servers_find_each_other_by_mx_and_exchange_mail() {
    if !have("nsd") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("buzon-nsd-{}", std::process::id()));
    let zones = [
        ("a.test", "@ MX 10 mx\nmx A 127.0.5.4\n"),
        (
            "b.test",
            "@ MX 20 down\n@ MX 10 mx\nmx A 127.0.5.5\ndown A 127.0.5.9\n",
        ),
        ("null.test", "@ MX 0 .\n"),
        ("down.test", "@ MX 10 mx\nmx A 127.0.5.9\n"),
    ];
    let _nsd = name_server(&dir, "127.0.5.3", &zones);
    let relay = "[relay]\nport = 2525\ninsecure_private_targets = true\n[dns]\n\
             servers = [\"127.0.5.3:5399\"]\n";
    let a = server("mx-a", "a.test", "127.0.5.4", relay);
    let b = server("mx-b", "b.test", "127.0.5.5", relay);
    let (a_imap, b_imap) = (("127.0.5.4", 2527), ("127.0.5.5", 2527));
    submit(("127.0.5.4", 2526), "me@a.test", "me@b.test", "from a to b");
    submit(("127.0.5.5", 2526), "me@b.test", "me@a.test", "from b to a");
    eventually("delivery to b", || {
        subjects(b_imap, "me@b.test").contains("from a to b")
    });
    eventually("delivery to a", || {
        subjects(a_imap, "me@a.test").contains("from b to a")
    });
    // Nobody there: refused by b at RCPT, reported by a to its sender.
    submit(
        ("127.0.5.4", 2526),
        "me@a.test",
        "nobody@b.test",
        "into the void",
    );
    eventually("the report", || {
        subjects(a_imap, "me@a.test").contains("MAILER-DAEMON")
            || subjects(a_imap, "me@a.test")
                .to_lowercase()
                .contains("undeliver")
    });
    assert!(subjects(a_imap, "me@a.test").contains("Return-Path: <>"));
    // A domain that does not exist, and one that takes no mail.
    submit(("127.0.5.4", 2526), "me@a.test", "x@null.test", "null mx");
    eventually("the second report", || {
        subjects(a_imap, "me@a.test").matches("Subject:").count() >= 3
    });
    // One whose server is down waits, and an operator sees why.
    submit(("127.0.5.4", 2526), "me@a.test", "x@down.test", "later");
    eventually("the deferral", || {
        let queue = a.command(&["queue", "list", "--json"], "").expect_success();
        queue.contains("x@down.test") && queue.contains("\"attempts\": 1")
    });
    let queue = a.command(&["queue", "list"], "").expect_success();
    let id = queue.split_whitespace().next().unwrap().to_owned();
    a.command(&["queue", "show", &id], "").expect_success();
    a.command(&["queue", "drop", &id], "").expect_success();
    assert!(
        a.command(&["queue", "list"], "")
            .expect_success()
            .contains("empty")
    );
    let _ = fs::remove_dir_all(dir);
    drop(b);
}

/// An nsd that answers for these domains at port 5399.
pub(super) fn name_server(dir: &Path, address: &str, zones: &[(&str, &str)]) -> Daemon {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    let soa = "$TTL 60\n@ SOA ns.test. me.test. 1 60 60 60 60\n@ NS ns.test.\n";
    let d = dir.display();
    let mut config = format!(
        "server:\n ip-address: {address}@5399\n username: \"\"\n chroot: \"\"\n\
             \x20zonesdir: \"{d}\"\n pidfile: \"{d}/pid\"\n \
         database: \"\"\n xfrdfile: \"{d}/xfrd\"\n zonelistfile: \"{d}/zones\"\n xfrdir: \"{d}\"\n\
         remote-control:\n control-enable: no\n"
    );
    for (zone, records) in zones {
        fs::write(dir.join(zone), format!("{soa}{records}")).unwrap();
        config += &format!("zone:\n name: {zone}\n zonefile: {zone}\n");
    }
    let path = dir.join("nsd.conf");
    fs::write(&path, config).unwrap();
    let log = fs::File::create(dir.join("log")).unwrap();
    let child = Command::new("/usr/sbin/nsd")
        .args(["-d", "-c", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    Daemon(child)
}

/// A Postfix with a configuration of its own, storing `p.test` and sending elsewhere what its
/// transports say.
pub(super) struct Postfix {
    pub(super) dir: PathBuf,
}

impl Postfix {
    pub(super) fn start(dir: PathBuf, port: u16, transports: &str) -> Self {
        let _ = fs::remove_dir_all(&dir);
        for sub in ["etc", "queue", "data", "mail"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        let d = dir.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {d}/queue\ndata_directory = {d}/data\n\
             mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.p.test\n\
             mydestination =\n\
             inet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\n\
             maillog_file = /var/log/buzon-test-postfix.log\n\
             maillog_file_prefixes = /var\n\
             virtual_mailbox_domains = p.test\nvirtual_mailbox_base = {d}/mail\n\
             virtual_mailbox_maps = static:box\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\n\
             virtual_minimum_uid = 100\n\
             transport_maps = inline:{{ {transports} }}\n\
             alias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             authorized_submit_users = static:anyone\nsmtp_host_lookup = native\n"
        );
        fs::write(dir.join("etc/main.cf"), main).unwrap();
        let services = fs::read_to_string("/etc/postfix/master.cf")
            .or_else(|_| fs::read_to_string("/usr/share/postfix/master.cf.dist"))
            .unwrap();
        let services: String = services
            .lines()
            .filter(|line| !line.starts_with("smtp      inet") && !line.starts_with('#'))
            .map(|line| {
                let mut words: Vec<&str> = line.split_whitespace().collect();
                if line.starts_with(|c: char| c.is_alphabetic()) && words.len() > 7 {
                    // No chroot: the test's directory has nothing to live in.
                    words[4] = "n";
                    format!("{}\n", words.join(" "))
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        fs::write(
            dir.join("etc/master.cf"),
            format!("{port} inet n - n - - smtpd\n{services}"),
        )
        .unwrap();
        run("chown", &["-R", "postfix", &format!("{d}/data")]).expect_success();
        run("chown", &["nobody", &format!("{d}/mail")]).expect_success();
        run("chmod", &["755", &dir.to_string_lossy()]).expect_success();
        let postfix = Self { dir };
        postfix.command("start").expect_success();
        postfix
    }

    fn command(&self, what: &str) -> super::server::Ran {
        let etc = self.dir.join("etc");
        run("/usr/sbin/postfix", &["-c", etc.to_str().unwrap(), what])
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("stop");
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

#[test]
fn postfix_takes_our_mail_and_sends_us_its_own() {
    let root = rustix::process::getuid().is_root();
    if !have("postfix") || !root {
        println!("skipped: a Postfix of the test's own needs root");
        return;
    }
    let dir = std::env::temp_dir().join(format!("buzon-pf-{}", std::process::id()));
    let postfix = Postfix::start(dir, 2725, "q.test=smtp:[127.0.5.6]:2525");
    let relay = "[relay]\ninsecure_private_targets = true\n[relay.routes]\n\
             \"p.test\" = \"127.0.0.1:2725\"\n";
    let ours = server("mx-q", "q.test", "127.0.5.6", relay);
    submit(("127.0.5.6", 2526), "me@q.test", "you@p.test", "to postfix");
    let mailbox = postfix.dir.join("mail/box");
    eventually("delivery to postfix", || {
        fs::read_to_string(&mailbox).is_ok_and(|text| text.contains("Subject: to postfix"))
    });
    let etc = postfix.dir.join("etc");
    let mail = b"From: you@p.test\nTo: me@q.test\nSubject: from postfix\n\n.hello\n";
    run_with(
        "/usr/sbin/sendmail",
        &["-C", etc.to_str().unwrap(), "-f", "you@p.test", "me@q.test"],
        mail,
    )
    .expect_success();
    eventually("delivery from postfix", || {
        subjects(("127.0.5.6", 2527), "me@q.test").contains("from postfix")
    });
    wishes_go_both_ways(&postfix);
    // Postfix takes no binary mail, and gets it.
    submit_binary(("127.0.5.6", 2526), "me@q.test", "you@p.test");
    eventually("delivery of octets", || {
        let text = fs::read_to_string(&mailbox).unwrap_or_default();
        text.contains("Content-Transfer-Encoding: base64\n") && text.contains("\n\nAAr/\n")
    });
    drop(ours);
}

/// RFC 3461: what a sender asks here is answered there, and the other way round; eight-bit text
/// goes in chunks (RFC 3030), which Postfix offers.
fn wishes_go_both_ways(postfix: &Postfix) {
    let (submission, imap) = (("127.0.5.6", 2526), ("127.0.5.6", 2527));
    submit_asking(submission, "me@q.test", "you@p.test", "asking postfix");
    let mailbox = postfix.dir.join("mail/box");
    eventually("delivery of eight-bit text", || {
        let text = fs::read_to_string(&mailbox).unwrap_or_default();
        text.contains("asking postfix") && text.contains("\n.caf\u{e9}\n.\nend\n")
    });
    eventually("the report of postfix", || {
        let text = messages(imap, "me@q.test");
        text.contains("Action: delivered")
            && text.contains("Original-Envelope-Id: ours+1")
            && text.contains("Original-Recipient: rfc822;you@p.test")
            && text.contains("Reporting-MTA: dns; mx.p.test")
    });
    let etc = postfix.dir.join("etc");
    let etc = etc.to_str().unwrap();
    let arguments = [
        "-C",
        etc,
        "-f",
        "you@p.test",
        "-N",
        "success",
        "-V",
        "theirs",
        "-R",
        "hdrs",
    ];
    let mail = b"From: you@p.test\nTo: me@q.test\nSubject: asking us\n\nhello\n";
    let arguments: Vec<_> = arguments.into_iter().chain(["me@q.test"]).collect();
    run_with("/usr/sbin/sendmail", &arguments, mail).expect_success();
    eventually("our report", || {
        let text = fs::read_to_string(&mailbox).unwrap_or_default();
        text.contains("Action: delivered")
            && text.contains("Original-Envelope-Id: theirs")
            && text.contains("Reporting-MTA: dns; mx.q.test")
            && text.contains("Subject: Delivered: asking us")
    });
}
