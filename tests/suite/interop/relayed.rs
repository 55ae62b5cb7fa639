//! kill -9 amid relaying: every message that was taken for somebody elsewhere gets there. Twice
//! only what was under way when the server was killed. Mail comes in meanwhile, or all of it is
//! queued before the first kill. `BUZON_TEST_KILLS` and `BUZON_TEST_MESSAGES` say how often, and
//! how many.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    install::{Installed, ports},
    server::{have, run},
};

/// A server that takes everything and remembers the subjects.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<String>>>);

impl Sink {
    fn open(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let sink = Self::default();
        let serving = sink.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sink = serving.clone();
                thread::spawn(move || sink.serve(stream));
            }
        });
        sink
    }

    /// One connection, until it breaks.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        stream.write_all(b"220 sink\r\n").ok()?;
        loop {
            let line = lines.next()?.ok()?;
            let reply = match line.get(..4)? {
                "EHLO" => "250-sink\r\n250 PIPELINING\r\n",
                "DATA" => {
                    stream.write_all(b"354 go\r\n").ok()?;
                    let mut subject = None;
                    loop {
                        let line = lines.next()?.ok()?;
                        if line == "." {
                            break;
                        }
                        let found = line.strip_prefix("Subject: ");
                        subject = subject.or_else(|| found.map(str::to_owned));
                    }
                    self.0.lock().unwrap().push(subject?);
                    // So that some are under way whenever the server is killed.
                    thread::sleep(Duration::from_millis(5));
                    "250 taken\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => "250 ok\r\n",
            };
            stream.write_all(reply.as_bytes()).ok()?;
        }
    }

    /// How often each message came.
    fn taken(&self) -> HashMap<String, usize> {
        let mut taken = HashMap::new();
        for subject in self.0.lock().unwrap().iter() {
            *taken.entry(subject.clone()).or_default() += 1;
        }
        taken
    }
}

/// Our server, which sends all mail for sink.test there.
fn relaying(name: &str, ours: &str, sink: &str) -> Installed {
    let more = format!(
        "{}[smtp]\nrecipients_per_hour = 1000000\ntransactions = 1000000\n\
         [relay.routes]\n\"sink.test\" = \"{sink}\"\n",
        ports(ours, 2525)
    );
    let mut server = Installed::prepare(name, "mx.k.test", &more);
    let add = |args: &[&str], input| _ = server.command(args, input).expect_success();
    add(&["domain", "add", "k.test"], "");
    add(&["account", "add", "me@k.test"], "long enough\n");
    server.start();
    server
}

/// Submits so many over one connection, until it breaks; answers with those that were taken.
fn submit(to: &str, round: usize, sender: usize, count: usize) -> Vec<String> {
    let script = "import smtplib,ssl,sys\nh,r,s,n=sys.argv[1:]\n\
        m=smtplib.SMTP_SSL(h,2526,context=ssl._create_unverified_context())\n\
        m.login('me@k.test','long enough')\n\
        for i in range(int(n)):\n\
        \x20x=f'{r}-{s}-{i}'\n\
        \x20t=f'Subject: {x}\\r\\n\\r\\nhello\\r\\n'\n\
        \x20try: m.sendmail('me@k.test',[f'{x}@sink.test'],t)\n\
        \x20except Exception: break\n\
        \x20print(x,flush=True)\n";
    let words = [round, sender, count].map(|number| number.to_string());
    let args = ["-c", script, to, &words[0], &words[1], &words[2]];
    let ran = run("python3", &args);
    let said = ran.said();
    let names = said.lines().filter(|line| line.starts_with(&words[0]));
    names.map(str::to_owned).collect()
}

fn asked(name: &str, usual: usize) -> usize {
    let asked = std::env::var(name).ok();
    asked.map_or(usual, |number| number.parse().unwrap())
}

#[test]
fn dur_08_kill_9_amid_relaying_loses_nothing_and_repeats_only_what_was_under_way() {
    if !have("python3") {
        return;
    }
    let (kills, messages) = (
        asked("BUZON_TEST_KILLS", 3),
        asked("BUZON_TEST_MESSAGES", 500),
    );
    let sink = Sink::open("127.0.5.41:2525");
    let mut server = relaying("relayed", "127.0.5.40", "127.0.5.41:2525");
    let mut acknowledged = Vec::new();
    let each = messages.div_ceil(kills * SENDERS);
    for round in 0..kills {
        let before = sink.taken().len();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| thread::spawn(move || submit("127.0.5.40", round, sender, each)))
            .collect();
        // Amid the work: some went, some are under way, some wait.
        let begun = Instant::now();
        while sink.taken().len() < before + SENDERS * each / 2 && begun.elapsed().as_secs() < 30 {
            thread::sleep(Duration::from_millis(3));
        }
        server.kill();
        for sender in senders {
            acknowledged.extend(sender.join().unwrap());
        }
        server.start();
    }
    assert!(acknowledged.len() >= messages / 4, "{}", acknowledged.len());
    judge(&sink, &acknowledged, kills);
    server.stop();
}

#[test]
fn dur_08_kill_9_amid_relaying_what_was_queued_before_loses_nothing() {
    if !have("python3") {
        return;
    }
    let (kills, messages) = (
        asked("BUZON_TEST_KILLS", 3),
        asked("BUZON_TEST_MESSAGES", 300),
    );
    let sink = Sink::open("127.0.5.45:2525");
    let mut server = relaying("queued", "127.0.5.44", "127.0.5.45:2525");
    server
        .command(&["queue", "pause", "all"], "")
        .expect_success();
    let each = messages.div_ceil(SENDERS);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| thread::spawn(move || submit("127.0.5.44", 0, sender, each)))
        .collect();
    let taken = senders
        .into_iter()
        .flat_map(|sender| sender.join().unwrap());
    let acknowledged: Vec<_> = taken.collect();
    assert_eq!(acknowledged.len(), SENDERS * each);
    assert!(sink.taken().is_empty(), "sent in a pause");
    server
        .command(&["queue", "resume", "all"], "")
        .expect_success();
    for round in 1..=kills {
        let begun = Instant::now();
        while sink.taken().len() < acknowledged.len() * round / (kills + 1) {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing goes");
            thread::sleep(Duration::from_millis(3));
        }
        server.kill();
        server.start();
    }
    judge(&sink, &acknowledged, kills);
    server.stop();
}

/// All that was acknowledged comes, and not much of it twice.
fn judge(sink: &Sink, acknowledged: &[String], kills: usize) {
    let begun = Instant::now();
    let gone = |taken: HashMap<String, usize>| acknowledged.iter().all(|x| taken.contains_key(x));
    while !gone(sink.taken()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "some are lost");
        thread::sleep(Duration::from_millis(50));
    }
    let taken = sink.taken();
    let copies: usize = taken.values().sum();
    let again = copies - taken.len();
    println!(
        "{} taken, {again} of them twice, {kills} kills",
        taken.len()
    );
    assert!(again <= kills * UNDER_WAY_MAX, "{again} came twice");
}

const SENDERS: usize = 4;
/// attempts at the same time for one destination.
const UNDER_WAY_MAX: usize = 20;
