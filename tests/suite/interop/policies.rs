//! What other domains demand of the way to them, with real name servers and a real web server: DANE
//! through BIND, which signs a zone and checks it, and MTA-STS over HTTPS; between two servers of
//! ours.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    install::{Installed, ports},
    peers::{Daemon, eventually, submit},
    server::{have, run, skip},
};

/// Where the servers of a test are.
struct Place {
    name: &'static str,
    a: &'static str,
    b: &'static str,
    /// BIND listens at addresses that an interface has, so its two are told apart by their ports,
    /// this one and the next.
    names: u16,
}

const SIGNED: Place = Place {
    name: "dane",
    a: "127.0.5.35",
    b: "127.0.5.36",
    names: 25_397,
};
const ON_THE_WEB: Place = Place {
    name: "sts",
    a: "127.0.5.38",
    b: "127.0.5.39",
    names: 25_401,
};
const WEB: &str = "127.0.5.37";
/// Where B answers for its own.
const OURS: &str = "127.0.5.70";

/// Signs the file of a zone with a key of its own; its anchor.
fn sign(dir: &Path, zone: &str) -> String {
    let d = dir.to_str().unwrap();
    let args = ["-q", "-K", d, "-a", "ECDSAP256SHA256", "-f", "KSK", zone];
    let key = run("dnssec-keygen", &args).expect_success();
    let file = dir.join(zone);
    let file = file.to_str().unwrap();
    let args = ["-q", "-z", "-S", "-d", d, "-K", d, "-o", zone, file];
    run("dnssec-signzone", &args).expect_success();
    let key = fs::read_to_string(dir.join(format!("{}.key", key.trim()))).unwrap();
    let (_, key) = key.rsplit_once("DNSKEY 257 3 13 ").unwrap();
    format!("257 3 13 \"{}\"", key.trim())
}

fn named(dir: &Path, name: &str, port: u16, config: &str) -> Daemon {
    let d = dir.display();
    let text = format!(
        "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }};\n\
         listen-on-v6 {{ none; }}; pid-file none; session-keyfile none;\n{config}\ncontrols {{}};\n"
    );
    let path = dir.join(format!("{name}.conf"));
    fs::write(&path, text).unwrap();
    let log = fs::File::create(dir.join(format!("{name}.log"))).unwrap();
    let child = Command::new("/usr/sbin/named")
        .args(["-g", "-c", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let daemon = Daemon(child.unwrap());
    eventually("the start of a name server", || {
        let log = fs::read_to_string(dir.join(format!("{name}.log")));
        log.is_ok_and(|log| log.contains("running"))
    });
    daemon
}

/// A name server with these zones, of which the last two are not signed, and one that checks.
/// `bogus.test` has another key than the checker knows.
pub(super) fn name_servers(dir: &Path, first: u16, zones: &[(&str, String)]) -> [Daemon; 2] {
    let mut anchors = String::new();
    let mut served = "recursion no; dnssec-validation no; };\n".to_owned();
    for (zone, records) in zones {
        let soa = format!("$TTL 60\n@ SOA ns.{zone}. me.{zone}. 1 60 60 60 60\n@ NS ns.{zone}.\n");
        let records = format!("{soa}ns A 127.0.0.1\n{records}");
        fs::write(dir.join(zone), &records).unwrap();
        let mut file = (*zone).to_owned();
        if matches!(*zone, "dane.test" | "bogus.test") {
            let anchor = sign(dir, zone);
            file += ".signed";
            // Somebody on the way changes a record.
            let signed = fs::read_to_string(dir.join(&file)).unwrap();
            fs::write(dir.join(&file), signed.replace("ABABABAB", "CDCDCDCD")).unwrap();
            let anchor = match *zone {
                "bogus.test" => {
                    fs::write(dir.join("other.test"), &records).unwrap();
                    sign(dir, "other.test")
                }
                _ => anchor,
            };
            anchors += &format!("{zone}. static-key {anchor};\n");
        }
        served += &format!("zone \"{zone}\" {{ type primary; file \"{file}\"; }};\n");
    }
    let checked = format!(
        "recursion yes; dnssec-validation yes; forward only;\n\
         forwarders {{ 127.0.0.1 port {first}; }}; }};\ntrust-anchors {{ {anchors} }};\n"
    );
    let signer = named(dir, "signer", first, &served);
    [signer, named(dir, "checker", first + 1, &checked)]
}

/// Ours: one that follows policies, and one that has what they speak of.
fn servers(place: &Place, of_b: &str) -> (Installed, Installed) {
    let Place { name, a, b, names } = place;
    let checker = names + 1;
    let more = format!(
        "[relay]\nport = 2525\ninsecure_private_targets = true\n[queue]\nretry = [\"10m\"]\n\
         [dns]\nservers = [\"127.0.0.1:{checker}\"]\ntrust_ad = true\n{}",
        ports(a, 2525)
    );
    let a = Installed::prepare(&format!("{name}-a"), "mx.a6.test", &more);
    let b = Installed::prepare(
        &format!("{name}-b"),
        "mx.dane.test",
        &format!("{}{of_b}", ports(b, 2525)),
    );
    for (server, domain) in [(&a, "a6.test"), (&b, "ok.dane.test")] {
        server
            .command(&["domain", "add", domain], "")
            .expect_success();
        let account = format!("me@{domain}");
        server
            .command(&["account", "add", &account], "long enough\n")
            .expect_success();
    }
    (a, b)
}

fn also_for(b: &Installed, domains: &[&str]) {
    for domain in domains {
        b.command(&["domain", "alias", domain, "ok.dane.test"], "")
            .expect_success();
    }
}

/// The lines of A's log about what goes to this domain.
fn fate(a: &Installed, domain: &str) -> String {
    let log = a.log();
    let lines = log.lines().filter(|line| line.contains(domain));
    lines.collect::<Vec<_>>().join("\n")
}

/// Sends a message to each domain, and waits until its lines have these parts.
fn expect(a: &Installed, address: &str, fates: &[(&str, &[&str])]) {
    for (domain, _) in fates {
        submit(
            (address, 2526),
            "me@a6.test",
            &format!("me@{domain}"),
            domain,
        );
    }
    for (domain, parts) in fates {
        eventually(&format!("{parts:?} of {domain}"), || {
            let fate = fate(a, domain);
            parts.iter().all(|part| fate.contains(part))
        });
    }
}

#[test]
fn tls_07_what_a_signed_zone_says_of_a_server_is_what_it_must_show() {
    if !have("named") || !have("dnssec-signzone") {
        return;
    }
    let (mut a, mut b) = servers(&SIGNED, "");
    also_for(&b, &["wrong.dane.test", "changed.dane.test", "plain.test"]);
    // What is printed of its certificate is what is published.
    let printed = b.command(&["dns", "records", "ok.dane.test"], "");
    let printed = printed.expect_success();
    let line = printed.lines().find(|line| line.contains("\tTLSA\t"));
    let (_, right) = line.unwrap().split_once("\tTLSA\t").unwrap();
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let host =
        |name: &str, tlsa: &str| format!("{name} A {}\n_2525._tcp.{name} TLSA {tlsa}\n", SIGNED.b);
    let signed = format!(
        "ok MX 10 mx\nwrong MX 10 mx2\nchanged MX 10 mx3\n{}{}{}",
        host("mx", right),
        host("mx2", &wrong),
        host("mx3", &format!("3 1 1 {}", "AB".repeat(32))),
    );
    let other = |tlsa: &str| format!("@ MX 10 mx\n{}", host("mx", tlsa));
    let zones = [
        ("dane.test", signed),
        ("bogus.test", other(right)),
        ("plain.test", other(&wrong)),
    ];
    let dir = tempfile::tempdir().unwrap();
    let names = name_servers(dir.path(), SIGNED.names, &zones);
    a.start();
    b.start();
    let deferred = "deferred";
    expect(
        &a,
        SIGNED.a,
        &[
            ("ok.dane.test", &["verified=true", "policy=DANE", "sent"]),
            ("wrong.dane.test", &[deferred, "4.7.5", "DANE demands"]),
            ("changed.dane.test", &[deferred, "4.7.5", "TLSA records"]),
            ("bogus.test", &[deferred]),
            // Nobody proves what its zone says.
            ("plain.test", &["policy=opportunistic", "tls=true", "sent"]),
        ],
    );
    for domain in ["wrong.dane.test", "changed.dane.test", "bogus.test"] {
        assert!(!fate(&a, domain).contains("sent"), "{domain}");
    }
    let checked = a.command(&["check"], "").said();
    assert!(checked.contains("DNSSEC"), "{checked}");
    a.stop();
    b.stop();
    drop(names);
}

/// Says the policy of whoever is asked for.
pub(super) const WEB_SERVER: &str = "import http.server,ssl,sys\n\
    P=dict(p.split('=') for p in sys.argv[4:])\n\
    class H(http.server.BaseHTTPRequestHandler):\n\
    \x20def do_GET(s):\n\
    \x20 d=s.headers['host'].split('.')[1]\n\
    \x20 m,_,x=P[d].partition(':')\n\
    \x20 t='version: STSv1\\nmode: '+m+'\\nmax_age: 86400\\n'+('mx: '+x+'\\n' if x else '')\n\
    \x20 s.send_response(200)\n\
    \x20 s.send_header('Content-Type','text/plain')\n\
    \x20 s.send_header('Content-Length',str(len(t)))\n\
    \x20 s.end_headers()\n\
    \x20 s.wfile.write(t.encode())\n\
    c=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\nc.load_cert_chain(sys.argv[2],sys.argv[3])\n\
    h=http.server.ThreadingHTTPServer((sys.argv[1],443),H)\n\
    h.socket=c.wrap_socket(h.socket,server_side=True)\nprint('up',flush=True)\nh.serve_forever()\n";

#[test]
fn tls_07_what_a_policy_says_on_the_web_is_followed() {
    if !have("named") || !have("dnssec-signzone") {
        return;
    }
    if TcpListener::bind((WEB, 443)).is_err() {
        return skip("port 443 is for root alone");
    }
    let policies = [
        ("enforce", "enforce:mx.dane.test"),
        ("wrong", "enforce:mx.elsewhere.test"),
        ("testing", "testing:mx.elsewhere.test"),
        ("none", "none:"),
    ];
    let domain = |name: &str| format!("{name}.sts.test");
    let own = format!("https = [\"{OURS}:443\"]\n[mta_sts]\nmode = \"enforce\"\n");
    let (mut a, mut b) = servers(&ON_THE_WEB, &own);
    let domains = policies.map(|(name, _)| domain(name));
    also_for(&b, &domains.each_ref().map(String::as_str));
    also_for(&b, &["ours.sts.test"]);
    b.certify(&["mx.dane.test", "mta-sts.ours.sts.test"]);
    // What is printed is what is published.
    let printed = b.command(&["dns", "records", "ours.sts.test"], "");
    let printed = printed.expect_success();
    let announced = printed.lines().find(|line| line.starts_with("_mta-sts."));
    let announced = announced.unwrap();
    let mut records = format!("ours MX 10 mx.dane.test.\nmta-sts.ours A {OURS}\n{announced}\n",);
    for (name, _) in policies {
        records += &format!(
            "{name} MX 10 mx.dane.test.\n_mta-sts.{name} TXT \"v=STSv1; id=1\"\n\
             mta-sts.{name} A {WEB}\n"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    // The host has no TLSA record, so the policy is what counts.
    let zones = [
        ("dane.test", format!("mx A {}\n", ON_THE_WEB.b)),
        ("sts.test", records),
    ];
    let names = name_servers(dir.path(), ON_THE_WEB.names, &zones);
    let hosts = domains.each_ref().map(|domain| format!("mta-sts.{domain}"));
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let (cert, key) = (dir.path().join("web.pem"), dir.path().join("web.key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let said = policies.map(|(name, policy)| format!("{name}={policy}"));
    let child = Command::new("python3")
        .args(["-c", WEB_SERVER, WEB])
        .args([&cert, &key])
        .args(said)
        .stdin(Stdio::null())
        .stdout(fs::File::create(dir.path().join("web.log")).unwrap())
        .spawn();
    let web = Daemon(child.unwrap());
    eventually("the start of a web server", || {
        fs::read_to_string(dir.path().join("web.log")).is_ok_and(|text| text.contains("up"))
    });
    // Both are from authorities that A knows.
    let known = [fs::read(&cert), fs::read(b.dir.join("cert.pem"))].map(Result::unwrap);
    let roots = dir.path().join("roots.pem");
    fs::write(&roots, known.concat()).unwrap();
    a.environment = vec![("SSL_CERT_FILE", roots.display().to_string())];
    a.start();
    b.start();
    let taken = "sent";
    expect(
        &a,
        ON_THE_WEB.a,
        &[
            (
                "enforce.sts.test",
                &["verified=true", "policy=MTA-STS", taken],
            ),
            (
                "wrong.sts.test",
                &["deferred", "4.7.5", "does not name the host"],
            ),
            ("testing.sts.test", &["MTA-STS testing", taken]),
            ("none.sts.test", &["policy=opportunistic", taken]),
            ("ours.sts.test", &["verified=true", "policy=MTA-STS", taken]),
        ],
    );
    assert!(!fate(&a, "wrong.sts.test").contains(taken));
    assert!(a.log().contains("in testing, names others"));
    assert!(b.log().contains("policy=ours.sts.test"), "{}", b.log());
    a.stop();
    b.stop();
    drop((names, web));
}
