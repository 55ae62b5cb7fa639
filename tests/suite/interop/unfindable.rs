//! What a real name server can say of a domain beside the truth, and what becomes of the mail.

use super::{
    install::{Installed, ports},
    peers::{eventually, messages, name_server, submit},
    server::have,
};

const HERE: &str = "127.0.5.43";
const ZONES: &[(&str, &str)] = &[
    ("n.test", "@ MX 10 mx\nmx A 127.0.5.43\n"),
    // Reached by IPv6 alone, by an alias, behind a host that is down.
    ("six.test", "@ MX 10 mx\nmx AAAA ::1\n"),
    ("alias.test", "@ MX 10 other\nother CNAME mx.six.test.\n"),
    (
        "dead.test",
        "@ MX 5 down\n@ MX 10 mx\ndown A 127.0.5.49\nmx AAAA ::1\n",
    ),
    // Leads back here, by name and by address.
    ("us.test", "@ MX 10 mx.n.test.\n"),
    ("also.test", "@ MX 10 mx\nmx A 127.0.5.43\n"),
    ("homeless.test", "@ MX 10 nobody\n"),
    // A zone that cannot be loaded is SERVFAIL.
    ("broken.test", "@ MX what\n"),
];

fn server(name: &str, domains: &[&str], address: &str) -> Installed {
    let more = "[relay]\nport = 2525\ninsecure_private_targets = true\n[dns]\n\
        servers = [\"127.0.5.42:5399\"]\n";
    let more = format!("{}{more}", ports(address, 2525));
    let mut server = Installed::prepare(name, &format!("mx.{}", domains[0]), &more);
    for domain in domains {
        let address = format!("me@{domain}");
        (server.command(&["domain", "add", domain], "")).expect_success();
        (server.command(&["account", "add", &address], "long enough\n")).expect_success();
    }
    server.start();
    server
}

#[test]
fn dns_02_mail_follows_what_name_servers_say_and_waits_for_what_they_cannot() {
    if !have("nsd") || std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _nsd = name_server(&dir.path().join("nsd"), "127.0.5.42", ZONES);
    let here = server("names-here", &["n.test"], HERE);
    let there = ["six.test", "alias.test", "dead.test"];
    let _there = server("names-there", &there, "[::1]");
    let send = |to: &str| submit((HERE, 2526), "me@n.test", to, to);
    for domain in there {
        send(&format!("me@{domain}"));
    }
    for domain in there {
        eventually(domain, || {
            messages(("::1", 2527), &format!("me@{domain}")).contains("hello")
        });
    }
    for (to, status) in [
        ("x@us.test", "5.4.6"),
        ("x@also.test", "5.4.6"),
        ("x@gone.n.test", "5.1.2"),
        ("x@homeless.test", "5.4.4"),
    ] {
        send(to);
        eventually(to, || {
            let reports = messages((HERE, 2527), "me@n.test");
            let about = format!("Final-Recipient: rfc822; {to}");
            reports.contains(&about) && reports.contains(&format!("Status: {status}"))
        });
    }
    // Nobody asked for these can say: SERVFAIL, and REFUSED by who is not responsible.
    for to in ["x@broken.test", "x@lame.test"] {
        send(to);
        eventually(to, || {
            let queue = here.command(&["queue", "list", "--json"], "");
            let queue = queue.expect_success();
            let mine = queue.split("\"id\"").find(|part| part.contains(to));
            mine.is_some_and(|part| part.contains("could not be found out"))
        });
    }
}
