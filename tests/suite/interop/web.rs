//! Our policies over HTTPS, fetched by curl as by a sender's server; and what `buzon check` and
//! `buzon dns records` say of them.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{
    install::Installed,
    server::{have, run},
};

const HERE: &str = "127.0.5.71";

#[test]
fn curl_fetches_the_policy_of_a_domain_and_nothing_else() {
    if !have("curl") || !have("openssl") {
        return;
    }
    let listen = format!(
        "[listen]\nsmtp = [\"{HERE}:2525\"]\nsubmission = []\nsubmissions = []\npop3 = []\n\
         pop3s = []\nimap = []\nimaps = []\nhttps = [\"{HERE}:2543\"]\nhttp = [\"{HERE}:2580\"]\n"
    );
    let more = format!("{listen}[mta_sts]\nmode = \"enforce\"\nmax_age = \"30d\"\n");
    let mut server = Installed::prepare("web", "mx.example.org", &more);
    server.certify(&["mx.example.org", "mta-sts.example.org"]);
    server
        .command(&["domain", "add", "example.org"], "")
        .expect_success();
    server.start();
    let ca = server.dir.join("cert.pem").display().to_string();
    let curl = |more: &[&str], host: &str, path: &str| {
        let resolve = format!("{host}:2543:{HERE}");
        let url = format!("https://{host}:2543{path}");
        let args = ["-sS", "--cacert", &ca, "--resolve", &resolve, &url];
        run("curl", &[&args, more].concat())
    };
    let path = "/.well-known/mta-sts.txt";
    let policy = curl(&[], "mta-sts.example.org", path).expect_success();
    assert_eq!(
        policy,
        "version: STSv1\r\nmode: enforce\r\nmax_age: 2592000\r\nmx: mx.example.org\r\n"
    );
    let code: &[&str] = &[
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{content_type} %{http_version}",
    ];
    for (more, host, path, said) in [
        (&[][..], "mta-sts.example.org", path, "200 text/plain 1.1"),
        (&["-I"], "mta-sts.example.org", path, "200 text/plain 1.1"),
        (
            &["--no-alpn", "--http1.0"],
            "mta-sts.example.org",
            path,
            "200 text/plain 1",
        ),
        (
            &["-d", "x"],
            "mta-sts.example.org",
            path,
            "405 text/plain 1.1",
        ),
        (&[], "mta-sts.example.org", "/", "404 text/plain 1.1"),
        (&[], "mx.example.org", path, "421 text/plain 1.1"),
    ] {
        let answer = curl(&[code, more].concat(), host, path).expect_success();
        assert!(answer.ends_with(said), "{host}{path} {more:?}: {answer}");
    }
    // TLS-03: who can only speak HTTP/2 is told so in the handshake.
    let refused = run(
        "openssl",
        &[
            "s_client",
            "-connect",
            &format!("{HERE}:2543"),
            "-alpn",
            "h2",
        ],
    );
    assert!(refused.said().contains("alert"), "{}", refused.said());
    // For a web server in front.
    let mut plain = TcpStream::connect((HERE, 2580)).unwrap();
    write!(
        plain,
        "GET {path} HTTP/1.1\r\nHost: mta-sts.example.org\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&policy), "{answer}");
    let records = server
        .command(&["dns", "records", "example.org"], "")
        .expect_success();
    assert!(records.contains("_mta-sts.example.org.\tIN\tTXT\t\"v=STSv1; id="));
    assert!(!records.contains("mode: enforce"), "{records}");
    server.stop();
    let log = server.log();
    assert!(
        log.contains("policy=example.org") && log.contains("status=421"),
        "{log}"
    );
}
