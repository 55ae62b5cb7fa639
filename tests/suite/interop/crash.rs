//! kill -9 at work: what was acknowledged is there afterwards, whole and once, and no command is
//! done by halves. `BUZON_TEST_KILLS` sets how often the server is killed; a few times by default.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    thread,
    time::Duration,
};

use super::{
    clients::imap_script,
    server::{Demo, have, run},
};

const SENDERS: usize = 8;

/// Sends numbered messages over one connection until it breaks; returns the numbers answered 250.
fn send_until_it_breaks(port: u16, sender: usize, round: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return acknowledged;
    };
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut say = |line: &str| -> Option<String> {
        writer.write_all(line.as_bytes()).ok()?;
        loop {
            let mut reply = String::new();
            if reader.read_line(&mut reply).ok()? == 0 {
                return None;
            }
            if reply.as_bytes().get(3) == Some(&b' ') {
                return Some(reply);
            }
        }
    };
    if say("").is_none() || say("EHLO crash.example\r\n").is_none() {
        return acknowledged;
    }
    for number in 0.. {
        let name = format!("{round}-{sender}-{number}");
        // Every third body is larger than what is held in memory.
        let filler = "x".repeat(70) + "\r\n";
        let body = filler.repeat(if number % 3 == 0 { 5000 } else { 20 });
        let data = format!("Subject: {name}\r\n\r\n{body}END {name}\r\n.\r\n");
        for line in [
            "MAIL FROM:<you@example.org>\r\n",
            "RCPT TO:<alice@demo.test>\r\n",
            "DATA\r\n",
        ] {
            if say(line).is_none() {
                return acknowledged;
            }
        }
        match say(&data) {
            Some(reply) if reply.starts_with("250") => acknowledged.push(name),
            _ => return acknowledged,
        }
    }
    acknowledged
}

fn kills(usual: usize) -> usize {
    let asked = std::env::var("BUZON_TEST_KILLS").ok();
    asked.map_or(usual, |number| number.parse().unwrap())
}

#[test]
fn dur_08_what_was_acknowledged_survives_kill_9_whole_and_once() {
    let mut demo = Demo::start_with("crash", &["smtp.transactions=100000"]);
    let mut acknowledged = Vec::new();
    for round in 0..kills(3) {
        let port = demo.port("smtp");
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| thread::spawn(move || send_until_it_breaks(port, sender, round)))
            .collect();
        thread::sleep(Duration::from_millis(700 + 400 * (round % 3) as u64));
        demo.crash_and_restart();
        for sender in senders {
            acknowledged.extend(sender.join().unwrap());
        }
    }
    assert!(
        acknowledged.len() > 20,
        "the server took only {}",
        acknowledged.len()
    );
    let script = "import re\nr=m.fetch('1:*','(BODY.PEEK[])')[1]\nfor part in r:\n\
             \x20if isinstance(part,tuple):\n  t=part[1].decode()\n\
             \x20 n=re.search(r'^Subject: (\\S+)',t,re.M).group(1)\n\
             \x20 print(n,'whole' if t.endswith('END '+n+'\\r\\n') else 'torn')";
    let found = imap_script(&demo, "alice", script);
    let mut found: Vec<&str> = found.lines().collect();
    assert!(
        found.iter().all(|line| line.ends_with(" whole")),
        "a torn message"
    );
    let total = found.len();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), total, "a message is there twice");
    for name in &acknowledged {
        let line = format!("{name} whole");
        assert!(
            found.contains(&line.as_str()),
            "{name} was answered 250 and is lost"
        );
    }
}

#[test]
fn dur_08_no_change_of_a_mailbox_is_lost_or_half_done_by_kill_9() {
    if !have("python3") {
        return;
    }
    let mut demo = Demo::start_with("changes", &["auth.insecure_without_tls=true"]);
    let script = demo.file("killed.py", include_str!("killed.py"));
    let state = demo.dir.join("state.json");
    let [script, state] = [script, state].map(|path| path.to_str().unwrap().to_owned());
    let (port, password) = (demo.port("imap").to_string(), demo.password("alice"));
    let mut done = 0;
    for round in 0..kills(5) {
        let seed = round.to_string();
        let mut args = [&script, "work", &port, &password, &state, &seed].map(str::to_owned);
        let work = thread::spawn({
            let args = args.clone();
            move || run("python3", &args).expect_success()
        });
        while !Path::new(&state).exists() {
            assert!(!work.is_finished(), "it came to nothing");
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(100 + 170 * (round % 7) as u64));
        demo.crash_and_restart();
        work.join().unwrap();
        args[1] = "verify".to_owned();
        let verified = run("python3", &args[..5]).expect_success();
        done += verified.trim().parse::<u32>().unwrap();
        std::fs::remove_file(&state).unwrap();
    }
    assert!(done > 20, "only {done} commands were acknowledged");
}
