//! Policies over HTTP, on pipes: what is answered, to whom, and within which bounds.

use std::time::Duration;

use buzon::{
    mail::address::Domain,
    relay::sts::{Mode, Policy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

use crate::support::server::TestServer;

/// All that is said until the connection ends.
async fn rest(client: &mut DuplexStream) -> String {
    let mut said = Vec::new();
    // A connection that was cut ends with an error.
    let _ = client.read_to_end(&mut said).await;
    String::from_utf8(said).unwrap()
}

async fn ask(server: &TestServer, head: &str) -> String {
    let mut client = server.web();
    // Who is refused early is not read to the end.
    let _ = client.write_all(head.as_bytes()).await;
    rest(&mut client).await
}

const HEAD: &str =
    "/.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.org\r\nAccept: */*\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn the_policy_that_is_answered_is_one_that_we_follow_ourselves() {
    let server = TestServer::start().await;
    let answer = ask(&server, &format!("GET {HEAD}GET {HEAD}")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    let length = format!("content-length: {}", body.len());
    assert!(
        head.contains(&length),
        "one answer over one connection: {answer}"
    );
    let policy = Policy::parse(body.as_bytes()).unwrap();
    assert_eq!(policy.mode, Mode::Testing);
    assert!(policy.names("mx.example.org"));
    // RFC 9110 9.3.2: the same head.
    let answer = ask(&server, &format!("HEAD {HEAD}")).await;
    assert!(answer.to_ascii_lowercase().contains(&length), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_there_for_anybody() {
    let server = TestServer::start().await;
    let elsewhere = HEAD.replace("example.org", "example.net");
    for (head, status) in [
        (format!("POST {HEAD}"), "405 "),
        (format!("GET {elsewhere}"), "421 "),
        (
            "GET / HTTP/1.1\r\nHost: mta-sts.example.org\r\n\r\n".to_owned(),
            "404 ",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400 "),
        ("EHLO client.example\r\n\r\n".to_owned(), "400 "),
        ("GET /\r\n\r\n".to_owned(), "400 "),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(), "400 "),
        (
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "400 ",
        ),
    ] {
        let answer = ask(&server, &head).await;
        let answer = answer.strip_prefix("HTTP/1.1 ").unwrap_or(&answer);
        assert!(answer.starts_with(status), "{head}: {answer}");
    }
    // Domains come and go while the server runs.
    let domain = Domain::parse("example.net").unwrap();
    server.directory.add_domain(&domain).await.unwrap();
    let answer = ask(&server, &format!("GET {elsewhere}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn lim_34_a_head_has_a_hundred_fields_and_32_kib() {
    let server = TestServer::start().await;
    for (fields, status) in [
        ("A: b\r\n".repeat(99), "200"),
        ("A: b\r\n".repeat(100), "431"),
        (format!("A: {}\r\n", "b".repeat(32_000)), "200"),
        (format!("A: {}\r\n", "b".repeat(70_000)), "431"),
    ] {
        let head = HEAD.replace("Accept: */*\r\n", &fields);
        let answer = ask(&server, &format!("GET {head}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn lim_09_a_connection_that_does_not_get_on_is_cut_after_a_minute() {
    let server = TestServer::start().await;
    for begin in [
        "",
        "GET / HTTP/1.1\r\nA: b\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 9\r\n",
    ] {
        let begun = Instant::now();
        let mut client = server.web();
        client.write_all(begin.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(begun.elapsed().as_secs(), 60, "{begin}");
    }
}

#[tokio::test(start_paused = true)]
async fn lim_02_who_fetches_policies_is_bounded_by_address_and_told_so() {
    let mut server = TestServer::start().await;
    server.config.limits.connections_per_address = 2;
    server.restart().await;
    let open = [server.web(), server.web()];
    let mut third = server.web();
    let answer = rest(&mut third).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    drop(open);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_two_seconds_for_a_request() {
    let server = TestServer::start().await;
    let (mut quick, mut slow) = (server.web(), server.web());
    quick.write_all(b"GET ").await.unwrap();
    slow.write_all(b"GET ").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.trigger.pull();
    tokio::time::sleep(Duration::from_secs(1)).await;
    quick.write_all(HEAD.as_bytes()).await.unwrap();
    assert!(rest(&mut quick).await.starts_with("HTTP/1.1 200 "));
    let begun = Instant::now();
    assert_eq!(rest(&mut slow).await, "");
    server.tasks.all_ended().await;
    assert!(begun.elapsed() <= Duration::from_secs(1));
}
