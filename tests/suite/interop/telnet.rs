//! A person at telnet and `openssl s_client`, and bad input on the wire.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::server::{Demo, have, run_with};

/// Sends bytes as they are and reads until the server closes.
fn talk(port: u16, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(said).unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn people_at_telnet_are_understood_and_helped() {
    let demo = Demo::start("telnet");
    let heard = talk(
        demo.port("smtp"),
        b"help\nHELO me\nmail from:<you@example.org>\nRCPT TO:<alice@demo.test>\nBOGUS\n\
             RCPT TO:<x@demo.test>\nDATA\nSubject: typed\r\n\r\nby hand\r\n.\r\nQUIT\n",
    );
    for part in [
        "220 localhost",
        "214",
        "354 ",
        "250 2.0.0",
        "550 5.1.1",
        "500 5.5",
        "221 2.0.0",
    ] {
        assert!(heard.contains(part), "{part} not in {heard}");
    }
    let heard = talk(demo.port("pop3"), b"HELP\nCAPA\nUSER alice\nQUIT\n");
    assert!(
        heard.contains("STLS") && heard.contains("-ERR begin TLS first"),
        "{heard}"
    );
    let heard = talk(
        demo.port("imap"),
        b"help\na1 CAPABILITY\na2 LOGIN alice x\na3 LOGOUT\n",
    );
    for part in [
        "* BAD",
        "LOGINDISABLED",
        "a2 NO [PRIVACYREQUIRED]",
        "* BYE",
        "a3 OK",
    ] {
        assert!(heard.contains(part), "{part} not in {heard}");
    }
    if have("openssl") {
        let connect = format!("localhost:{}", demo.port("imaps"));
        let args = [
            "s_client",
            "-quiet",
            "-crlf",
            "-verify_return_error",
            "-CAfile",
            &demo.ca(),
            "-connect",
            &connect,
        ];
        let login = format!(
            "a1 LOGIN alice@demo.test {}\na2 LOGOUT\n",
            demo.password("alice")
        );
        let heard = run_with("openssl", &args, login.as_bytes()).expect_success();
        assert!(
            heard.contains("a1 OK") && heard.contains("* BYE"),
            "{heard}"
        );
    }
}

#[test]
fn bad_input_gets_clear_errors_and_the_server_lives() {
    let demo = Demo::start("bad");
    let (smtp, imap, pop3) = (demo.port("smtp"), demo.port("imap"), demo.port("pop3"));
    let long = [vec![b'x'; 3000], b"\r\nQUIT\r\n".to_vec()].concat();
    assert!(talk(smtp, &long).contains("500 5.5"));
    assert!(talk(pop3, &long).contains("-ERR"));
    assert!(
        talk(
            imap,
            &[vec![b'x'; 9000], b"\r\na LOGOUT\r\n".to_vec()].concat()
        )
        .contains("BAD")
    );
    let endless = vec![b'x'; 300_000];
    assert!(talk(smtp, &endless).contains("500"));
    assert!(talk(imap, b"a LOGIN {99999999999}\r\na LOGOUT\r\n").contains("a "));
    assert!(talk(imap, b"a LOGIN {999999999+}\r\n").contains("BYE"));
    assert!(talk(smtp, b"HELO a\0b\r\nQUIT\r\n").contains("50"));
    assert!(talk(smtp, b"RCPT TO:<alice@demo.test>\r\nQUIT\r\n").contains("503 5.5.1"));
    assert!(talk(smtp, b"STARTTLS\r\nEHLO injected\r\n").contains("220"));
    assert!(!talk(smtp, b"EHLO a\r\nSTARTTLS\r\nEHLO injected\r\n").contains("220 2.0.0"));
    let heard = talk(smtp, b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO a\r\n");
    assert!(!heard.contains("250"), "{heard}");
    let smuggled = b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n\
             Subject: x\r\n\r\nx\n.\nMAIL FROM:<b@example.org>\r\n.\r\nQUIT\r\n";
    let heard = talk(smtp, smuggled);
    assert_eq!(heard.matches("250 2.0.0").count(), 0, "{heard}");
    let heard = talk(
        smtp,
        b"EHLO a\r\nMAIL FROM:<a@example.org> SIZE=999999999999\r\nQUIT\r\n",
    );
    assert!(heard.contains("552 5.3.4"), "{heard}");
    assert!(talk(imap, b"garbage\r\n\r\na NOOP extra\r\nb LOGOUT\r\n").contains("BAD"));
    assert!(talk(smtp, b"QUIT\r\n").contains("221"), "the server lives");
    assert!(!demo.log().contains("panicked"), "{}", demo.log());
}
