//! What stands before us, as it is: HAProxy with PROXY headers, a Postfix that hands mail over by
//! LMTP, and swaks that speaks for others by XCLIENT.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    install::{Installed, ports},
    peers::{Daemon, Postfix, eventually, messages},
    server::{have, run, run_with},
};

/// A server for these domains, with `me@` each.
pub(super) fn serving(name: &str, domains: &[&str], more: &str) -> Installed {
    let mut server = Installed::prepare(name, "mx.doors.test", more);
    for domain in domains {
        let me = format!("me@{domain}");
        server
            .command(&["domain", "add", domain], "")
            .expect_success();
        server
            .command(&["account", "add", &me], "long enough\n")
            .expect_success();
    }
    server.start();
    server
}

#[test]
fn haproxy_tells_for_whom_it_connects() {
    if !have("haproxy") {
        return;
    }
    let more = format!(
        "{}[proxy]\nfrom = [\"127.0.0.1\"]\n",
        ports("127.0.5.20", 2525)
    );
    let server = serving("haproxy", &["h.test"], &more);
    let haproxy = "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n \
        timeout server 30s\n\
        listen smtp\n bind 127.0.5.21:2525\n server mail 127.0.5.20:2525 send-proxy\n\
        listen imaps\n bind 127.0.5.21:2527\n server mail 127.0.5.20:2527 send-proxy-v2 check \
        check-send-proxy inter 1s\n";
    let config = server.dir.join("haproxy.cfg");
    fs::write(&config, haproxy).unwrap();
    let child = Command::new("/usr/sbin/haproxy")
        .args(["-db", "-f", config.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _haproxy = Daemon(child);
    let script = "import smtplib,sys\n\
        s=smtplib.SMTP('127.0.5.21',2525,source_address=('127.0.5.99',0))\n\
        s.starttls()\n\
        s.sendmail('you@x.test',['me@h.test'],'Subject: through a proxy\\r\\n\\r\\nhello\\r\\n')\n\
        s.quit()";
    eventually("delivery through HAProxy", || {
        run("python3", &["-c", script]).succeeded()
    });
    // TLS begins behind the header of version 2.
    let found = messages(("127.0.5.21", 2527), "me@h.test");
    assert!(
        found.contains("through a proxy") && found.contains("[127.0.5.99]"),
        "{found}"
    );
    assert!(server.log().contains("via=127.0.0.1"), "{}", server.log());
    // The proxy's own address says nothing without a header.
    let direct = "import smtplib\nsmtplib.SMTP('127.0.5.20',2525,timeout=15)";
    assert!(!run("python3", &["-c", direct]).succeeded());
}

#[test]
fn postfix_hands_mail_over_by_lmtp() {
    let root = rustix::process::getuid().is_root();
    if !have("postfix") || !root {
        println!("skipped: a Postfix of the test's own needs root");
        return;
    }
    let temp = std::env::temp_dir();
    let sockets = temp.join(format!("buzon-lmtp-{}", std::process::id()));
    let _ = fs::remove_dir_all(&sockets);
    fs::create_dir_all(&sockets).unwrap();
    let socket = sockets.join("lmtp");
    let s = socket.display();
    let more = format!(
        "{}lmtp = [\"{s}\", \"127.0.5.22:2524\"]\n[lmtp]\nmode = \"0666\"\n",
        ports("127.0.5.22", 2525)
    );
    // A crash leaves the socket behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut server = serving("lmtp", &["l.test", "m.test"], &more);
    let transports = format!("l.test=lmtp:unix:{s} m.test=lmtp:inet:127.0.5.22:2524");
    let postfix = temp.join(format!("buzon-pfl-{}", std::process::id()));
    let postfix = Postfix::start(postfix, 2726, &transports);
    let etc = postfix.dir.join("etc");
    for (to, subject) in [("me@l.test", "over a socket"), ("me@m.test", "over a port")] {
        let mail = format!("From: you@p.test\nTo: {to}\nSubject: {subject}\n\n.hello\n");
        let nobody = to.replace("me@", "nobody@");
        let arguments = ["-C", etc.to_str().unwrap(), "-f", "you@p.test", to, &nobody];
        run_with("/usr/sbin/sendmail", &arguments, mail.as_bytes()).expect_success();
        eventually(subject, || {
            let found = messages(("127.0.5.22", 2527), to);
            found.contains(subject) && found.contains(" with LMTP") && found.contains("\n.hello")
        });
        // Those whom nobody has keep it from nobody else, and their sender hears of them.
        eventually("the report", || {
            let box_of = fs::read_to_string(postfix.dir.join("mail/box")).unwrap_or_default();
            box_of.contains(&nobody) && box_of.contains("5.1.1")
        });
    }
    server.stop();
    assert!(
        !Path::new(&socket).exists(),
        "the socket goes with the server"
    );
    let _ = fs::remove_dir_all(sockets);
}

#[test]
fn swaks_speaks_for_others() {
    if !have("swaks") {
        return;
    }
    let listen = ports("127.0.5.23", 2525);
    let more = format!("{listen}[smtp]\nxclient_from = [\"127.0.0.1\"]\n");
    let server = serving("xclient", &["x.test"], &more);
    let introduced = [
        "--server",
        "127.0.5.23:2525",
        "--from",
        "you@y.test",
        "--to",
        "me@x.test",
        "--xclient-addr",
        "203.0.113.7",
        "--xclient-name",
        "client.y.test",
        "--xclient-port",
        "4711",
        "--xclient-helo",
        "helo.y.test",
        "--xclient-proto",
        "ESMTP",
    ];
    let said = run("swaks", &introduced).expect_success();
    assert!(said.contains("XCLIENT") && said.contains("220"), "{said}");
    let found = messages(("127.0.5.23", 2527), "me@x.test");
    let received = "Received: from helo.y.test (client.y.test [203.0.113.7])";
    assert!(found.contains(received), "{found}");
    drop(server);
}
