//! One round: servers of ours and a Postfix at addresses of their own, with real name servers
//! between them, and each kind of way from one to the other. What a sender asks to be told (RFC
//! 3461) is known at the far end of each, and what cannot go says why.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use super::{
    install::{Installed, ports},
    peers::{Daemon, Postfix, eventually, messages},
    policies::{WEB_SERVER, name_servers},
    server::{have, run, skip},
};

/// Who writes; with a smarthost, and routes beside it.
const A: &str = "127.0.5.51";
/// The smarthost, and where TLSA records lead.
const B: &str = "127.0.5.52";
const C: &str = "127.0.5.53";
/// Starts late.
const D: &str = "127.0.5.54";
const WEB: &str = "127.0.5.57";
/// Nobody is there.
const DOWN: &str = "127.0.5.59";
/// Where A's connections come from on some ways.
const SOURCE: &str = "127.0.5.60";
/// The ports of the name server and of the one that checks.
const NAMES: u16 = 25_411;
const POSTFIX: u16 = 2728;

/// Writes to each of these and asks to be told of what becomes of it; the envelope's id is where it
/// goes.
fn submit_all(server: &str, user: &str, to: &[&str]) {
    let script = "import smtplib,ssl,sys\nh,u=sys.argv[1:3]\n\
        m=smtplib.SMTP_SSL(h,2526,context=ssl._create_unverified_context())\n\
        m.login(u,'long enough')\n\
        for t in sys.argv[3:]:\n\
        \x20e=t.strip('[]').replace('@','.')\n\
        \x20b=f'From: {u}\\r\\nTo: {t}\\r\\nSubject: to {e}\\r\\n\\r\\n.hello\\r\\n'\n\
        \x20m.sendmail(u,[t],b,['ENVID=id.'+e.replace('[',''),'RET=HDRS'],\
        ['NOTIFY=SUCCESS,FAILURE','ORCPT=rfc822;'+t])\n\
        m.quit()";
    let args = [&["-c", script, server, user], to].concat();
    run("python3", &args).expect_success();
}

fn prepare(name: &str, hostname: &str, address: &str, more: &str) -> Installed {
    let more = format!(
        "[relay]\nport = 2525\ninsecure_private_targets = true\n{more}[queue]\nretry = [\"10m\"]\n\
         [dns]\nservers = [\"127.0.0.1:{}\"]\ntrust_ad = true\n{}",
        NAMES + 1,
        ports(address, 2525)
    );
    Installed::prepare(&format!("round-{name}"), hostname, &more)
}

/// Adds a domain with a user `me` and its other names.
fn host(server: &Installed, domain: &str, aliases: &[&str]) {
    let command = |args: &[&str], input| _ = server.command(args, input).expect_success();
    command(&["domain", "add", domain], "");
    let account = format!("me@{domain}");
    command(&["account", "add", &account], "long enough\n");
    for alias in aliases {
        command(&["domain", "alias", alias, domain], "");
    }
}

/// The zones: signed, with another key than is known, and not signed.
fn zones(tlsa: &str) -> Vec<(&'static str, String)> {
    let signed = format!("ok MX 10 mx\nmx A {B}\n_2525._tcp.mx TLSA {tlsa}\n");
    let world = format!(
        "a MX 10 mx.a\nmx.a A {A}\nhostb A {B}\nhostc A {C}\nhostd A {D}\ndown A {DOWN}\n\
         one MX 10 hostb\nplain A {C}\nbackup MX 10 down\nbackup MX 20 hostc\n\
         later MX 10 hostd\nlater MX 20 hostc\nalias MX 10 cn\ncn CNAME hostc\n\
         sts MX 10 mx.dane.test.\n_mta-sts.sts TXT \"v=STSv1; id=1\"\nmta-sts.sts A {WEB}\n\
         other MX 10 hostb\n_mta-sts.other TXT \"v=STSv1; id=1\"\nmta-sts.other A {WEB}\n\
         null MX 0 .\nhomeless MX 10 gone\nours MX 10 mx.a\nours MX 20 hostc\n\
         loop MX 10 loop1\nloop1 CNAME loop2\nloop2 CNAME loop1\nempty TXT x\n"
    );
    vec![
        ("dane.test", signed),
        ("bogus.test", format!("@ MX 10 mx\nmx A {B}\n")),
        ("r.test", world),
        ("far.test", "@ MX 10 hostc.r.test.\n".to_owned()),
    ]
}

/// The configuration of who writes.
fn ways(password: &str) -> String {
    format!(
        "[relay.smarthost]\nhost = \"mx.dane.test\"\nport = 2526\ntls = \"implicit\"\n\
         user = \"me@ok.dane.test\"\npassword_file = \"{password}\"\n\
         [relay.routes]\n\"*.r.test\" = \"mx\"\n\"*.dane.test\" = \"mx\"\n\"bogus.test\" = \"mx\"\n\
         \"lame.test\" = \"mx\"\n\
         \"several.test\" = [\"{DOWN}:2525\", \"{B}:2525\"]\n\
         \"p.test\" = \"127.0.0.1:{POSTFIX}\"\n\"*.pattern.test\" = {{ host = \"{C}\", \
         port = 2525, tls = \"opportunistic\", source = [\"{SOURCE}\"] }}\n"
    )
}

#[test]
fn each_way_from_server_to_server_keeps_what_was_asked_and_says_why_it_fails() {
    let root = rustix::process::getuid().is_root();
    if !["named", "dnssec-signzone", "postfix", "python3"]
        .iter()
        .all(|program| have(program))
    {
        return;
    }
    if !root || TcpListener::bind((WEB, 443)).is_err() {
        return skip("a Postfix of the test's own and port 443 are for root alone");
    }
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "long enough\n").unwrap();
    let mut a = prepare("a", "mx.a.r.test", A, &ways(password.to_str().unwrap()));
    host(&a, "a.r.test", &[]);
    let smarthost = "[smtp]\ninsecure_any_sender = true\n";
    let mut b = prepare("b", "mx.dane.test", B, smarthost);
    host(
        &b,
        "ok.dane.test",
        &["one.r.test", "sts.r.test", "several.test"],
    );
    let mut c = prepare("c", "hostc.r.test", C, "backup_mx = [\"later.r.test\"]\n");
    let names = ["plain.r.test", "backup.r.test", "alias.r.test"];
    let more = ["far.test", "x.pattern.test"];
    host(&c, "c.r.test", &[&names[..], &more].concat());
    let mut d = prepare("d", "hostd.r.test", D, "");
    host(&d, "later.r.test", &[]);

    let printed = b.command(&["dns", "records", "ok.dane.test"], "");
    let printed = printed.expect_success();
    let line = printed.lines().find(|line| line.contains("\tTLSA\t"));
    let (_, tlsa) = line.unwrap().split_once("\tTLSA\t").unwrap();
    let name_servers = name_servers(dir.path(), NAMES, &zones(tlsa));
    let (web, cert) = web(dir.path());
    let transports = format!("a.r.test=smtp:[{A}]:2525");
    let postfix = Postfix::start(dir.path().join("postfix"), POSTFIX, &transports);
    let known = [fs::read(&cert), fs::read(b.dir.join("cert.pem"))].map(Result::unwrap);
    let roots = dir.path().join("roots.pem");
    fs::write(&roots, known.concat()).unwrap();
    a.environment = vec![("SSL_CERT_FILE", roots.display().to_string())];
    for server in [&mut a, &mut b, &mut c] {
        server.start();
    }
    good_ways(&a);
    literals(&b, &c);
    failures(&a);
    backup(&a, &c, &mut d);
    for server in [&mut a, &mut b, &mut c, &mut d] {
        server.stop();
    }
    drop((name_servers, web, postfix));
}

/// A web server with a policy that names B and one that names others.
fn web(dir: &std::path::Path) -> (Daemon, std::path::PathBuf) {
    let hosts = ["sts", "other"].map(|name| format!("mta-sts.{name}.r.test"));
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let (cert, key) = (dir.join("web.pem"), dir.join("web.key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let log = dir.join("web.log");
    let child = Command::new("python3")
        .args(["-c", WEB_SERVER, WEB])
        .args([&cert, &key])
        .args(["sts=enforce:mx.dane.test", "other=enforce:elsewhere.test"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(&log).unwrap())
        .spawn();
    let web = Daemon(child.unwrap());
    eventually("the start of a web server", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("up"))
    });
    (web, cert)
}

/// A line of the log about who gets this.
fn line(server: &Installed, to: &str, word: &str) -> Option<String> {
    let log = server.log();
    let (to, word) = (format!("to=<{to}>"), format!(" {word} "));
    let mut lines = log.lines();
    let found = lines.find(|line| line.contains(&to) && line.contains(&word));
    found.map(str::to_owned)
}

/// Whom to write to, who reports it, and what A's log says of the way.
fn good_ways(a: &Installed) {
    let ways = [
        ("me@one.r.test", "mx.dane.test", "host=hostb.r.test"),
        ("me@plain.r.test", "hostc.r.test", "host=plain.r.test"),
        ("me@backup.r.test", "hostc.r.test", "host=hostc.r.test"),
        ("me@alias.r.test", "hostc.r.test", "host=cn.r.test"),
        ("me@ok.dane.test", "mx.dane.test", "host=mx.dane.test"),
        ("me@sts.r.test", "mx.dane.test", "host=mx.dane.test"),
        ("me@several.test", "mx.dane.test", "host=[127.0.5.52]"),
        ("me@x.pattern.test", "hostc.r.test", "host=[127.0.5.53]"),
        // Through the smarthost.
        ("me@far.test", "hostc.r.test", "host=mx.dane.test"),
        ("you@p.test", "mx.p.test", "host=[127.0.0.1]"),
    ];
    let all = ways.map(|(to, ..)| to);
    submit_all(A, "me@a.r.test", &all);
    for (to, _, way) in ways {
        let is_sent = || line(a, to, "sent").is_some_and(|line| line.contains(way));
        eventually(&format!("{to} by {way}"), is_sent);
    }
    let log = a.log();
    for policy in ["policy=DANE", "policy=MTA-STS", "policy=operator"] {
        assert!(log.contains(policy), "{policy}: {log}");
    }
    let told = |(to, reporter, _): &(&str, &str, &str)| {
        let id = format!("Original-Envelope-Id:id.{}\r\n", to.replace('@', "."));
        let inbox = messages((A, 2527), "me@a.r.test").replace(' ', "");
        inbox.contains(&id)
            && inbox.contains(&format!("Original-Recipient:rfc822;{to}\r\n"))
            && inbox.contains(&format!("Reporting-MTA:dns;{reporter}\r\n"))
    };
    for way in &ways {
        eventually(&format!("the report of {}", way.0), || told(way));
    }
    let inbox = messages((A, 2527), "me@a.r.test");
    assert_eq!(inbox.matches("Action: delivered").count(), ways.len());
    // A route has a source of its own; elsewhere the system chose.
    let there = messages((C, 2527), "me@c.r.test");
    assert_eq!(there.matches(&format!("[{SOURCE}]")).count(), 1, "{there}");
}

/// RFC 5321 4.1.3: an address is a place, too; only the postmaster is there.
fn literals(b: &Installed, c: &Installed) {
    let postmaster = format!("postmaster@[{C}]");
    let nobody = format!("me@[{C}]");
    submit_all(B, "me@ok.dane.test", &[&postmaster, &nobody]);
    eventually("postmaster at an address", || {
        line(b, &postmaster, "sent").is_some() && line(b, &nobody, "bounced").is_some()
    });
    assert!(c.log().contains("postmaster@"));
}

/// DNS-02, Q-04, TLS-07: what is known never to go comes back; what is not known waits.
fn failures(a: &Installed) {
    let fates = [
        ("me@null.r.test", "bounced", "5.1.10"),
        ("me@nowhere.r.test", "bounced", "5.1.2"),
        ("me@empty.r.test", "bounced", "5."),
        ("me@homeless.r.test", "bounced", "5."),
        // A is the best host, and does not know the domain: what stands behind is not asked.
        ("me@ours.r.test", "bounced", "5.4.6"),
        ("me@loop.r.test", "deferred", "4."),
        ("me@bogus.test", "deferred", "4."),
        // Its name server does not know it.
        ("me@lame.test", "deferred", "4."),
        ("me@other.r.test", "deferred", "4.7.5"),
    ];
    submit_all(A, "me@a.r.test", &fates.map(|(to, ..)| to));
    for (to, word, why) in fates {
        eventually(&format!("{to} {word} {why}"), || {
            line(a, to, word).is_some_and(|line| line.contains(why))
        });
    }
}

/// The backup takes the mail, and hands it over when the better host is there.
fn backup(a: &Installed, c: &Installed, d: &mut Installed) {
    let to = "me@later.r.test";
    submit_all(A, "me@a.r.test", &[to]);
    eventually("the backup's turn", || line(a, to, "sent").is_some());
    eventually("its own attempt", || line(c, to, "deferred").is_some());
    d.start();
    eventually("what waited goes", || {
        c.command(&["queue", "retry", "--domain", "later.r.test"], "");
        line(c, to, "sent").is_some()
    });
    let id = "Original-Envelope-Id: id.me.later.r.test";
    eventually("the report of the last server", || {
        let inbox = messages((A, 2527), "me@a.r.test");
        inbox.contains(id) && inbox.contains("Reporting-MTA: dns; hostd.r.test")
    });
}
