//! Plays transcripts: each file is one test of its own server, and fails with its file and line.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use super::{
    client::{Client, NoLine},
    script::{How, Line, Step, Variables, matches, parse, substitute},
    server::TestServer,
};

/// The protocol that the transcripts of a folder speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Smtp,
    Imap,
    Pop3,
}

/// One transcript being played.
pub(crate) struct Player {
    pub(crate) server: TestServer,
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) variables: Variables,
    speaks: Speaks,
    /// What was said last, for the message of a failure.
    story: VecDeque<String>,
}

impl Speaks {
    fn in_folder(folder: &str) -> Self {
        match folder {
            "smtp" => Self::Smtp,
            "imap" => Self::Imap,
            "pop3" => Self::Pop3,
            other => panic!("nobody speaks {other}"),
        }
    }
}

/// Plays every transcript in `tests/transcripts/<folder>`.
///
/// # Panics
/// When one of them fails: with all that fail.
pub(crate) fn play_all(folder: &str) {
    let speaks = Speaks::in_folder(folder);
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts in {}", dir.display());
    let failures: Vec<_> = paths
        .iter()
        .filter_map(|path| play(path, speaks).err())
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

/// Plays one transcript.
fn play(path: &Path, speaks: Speaks) -> Result<(), String> {
    let file = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let text = fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let lines = parse(&text).map_err(|why| format!("{file}:{why}"))?;
    let play = async {
        let mut player = Player::new(speaks).await;
        for line in &lines {
            player
                .step(line)
                .await
                .map_err(|why| player.failure(&file, line, &why))?;
        }
        Ok(())
    };
    run(play)
}

/// Runs a test under the paused clock. The clock moves on by itself when everything waits.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

impl Player {
    /// A fresh server and nobody connected.
    pub(crate) async fn new(speaks: Speaks) -> Self {
        Self {
            server: TestServer::start().await,
            clients: BTreeMap::new(),
            variables: Variables::new(),
            speaks,
            story: VecDeque::new(),
        }
    }

    async fn step(&mut self, line: &Line) -> Result<(), String> {
        match &line.step {
            Step::Given(what) => self.given(what).await,
            Step::Act(what) => {
                let what = substitute(what, &self.variables);
                self.act(&what).await
            }
            Step::Send { conn, text } => {
                let text = substitute(text, &self.variables);
                if let Some(name) = text.strip_prefix("login ") {
                    return self.log_in(conn, name.trim()).await;
                }
                self.tell(conn, '>', &text);
                self.client(conn).await?.line(&text).await;
                Ok(())
            }
            Step::SendRaw { conn, bytes } => {
                self.tell(
                    conn,
                    '>',
                    &String::from_utf8_lossy(bytes).escape_debug().to_string(),
                );
                self.client(conn).await?.send(bytes).await;
                Ok(())
            }
            Step::Expect { conn, how, pattern } => self.expect(conn, *how, pattern).await,
        }
    }

    /// The client of this name; connects when it is new.
    pub(super) async fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        if !self.clients.contains_key(name) {
            let port = match self.speaks {
                Speaks::Smtp => "smtp",
                Speaks::Imap => "imap",
                Speaks::Pop3 => "pop3",
            };
            self.open(name, port).await?;
        }
        self.clients
            .get_mut(name)
            .ok_or_else(|| format!("no connection {name}"))
    }

    /// Connects a client to a port.
    pub(super) async fn open(&mut self, name: &str, port: &str) -> Result<(), String> {
        let client = self.server.connect(port).await;
        match self.clients.insert(name.to_owned(), client) {
            None => Ok(()),
            Some(_) => Err(format!("connection {name:?} is open already")),
        }
    }

    async fn expect(&mut self, conn: &str, how: How, pattern: &str) -> Result<(), String> {
        if how == How::AnyOrder {
            return self.expect_any_order(conn, pattern).await;
        }
        loop {
            let said = self
                .hear(conn)
                .await
                .map_err(|why| format!("{why}, not: {pattern}"))?;
            if matches(&said, pattern, how == How::Whole, &mut self.variables) {
                return Ok(());
            }
            if how != How::SkipTo {
                return Err(format!("said: {said}"));
            }
        }
    }

    /// A group of patterns is played as one: each stands on a line of its own in the transcript.
    async fn expect_any_order(&mut self, conn: &str, patterns: &str) -> Result<(), String> {
        let mut open: Vec<&str> = patterns.split('\n').collect();
        while !open.is_empty() {
            let said = self
                .hear(conn)
                .await
                .map_err(|why| format!("{why}, not: {open:?}"))?;
            let fits = |pattern: &&str| matches(&said, pattern, false, &mut self.variables.clone());
            let found = open
                .iter()
                .position(fits)
                .ok_or_else(|| format!("said: {said}"))?;
            matches(&said, open.remove(found), false, &mut self.variables);
        }
        Ok(())
    }

    async fn hear(&mut self, conn: &str) -> Result<String, String> {
        let heard = self.client(conn).await?.next().await;
        match heard {
            Ok(said) => {
                self.tell(conn, '<', &said);
                Ok(said)
            }
            Err(NoLine::Closed) => Err("the connection was closed".to_owned()),
            Err(NoLine::Silence) => Err("nothing was said".to_owned()),
            Err(NoLine::BareLineEnd(said)) => Err(format!("a bare line end: {said:?}")),
        }
    }

    /// Logs in by the protocol's plainest means; the answers are heard and checked.
    async fn log_in(&mut self, conn: &str, name: &str) -> Result<(), String> {
        self.account(name)?;
        let steps: &[(&str, &str)] = match self.speaks {
            Speaks::Smtp => &[
                ("?", "220 "),
                (">", "EHLO client.example"),
                ("?", "250 HELP"),
                (">", "AUTH PLAIN $plain"),
                ("~", "235 2.7.0"),
            ],
            Speaks::Imap => &[
                ("~", "* OK"),
                (">", "login LOGIN $address secret-$name"),
                ("?", "login OK"),
            ],
            Speaks::Pop3 => &[
                ("~", "+OK"),
                (">", "USER $address"),
                ("~", "+OK"),
                (">", "PASS secret-$name"),
                ("~", "+OK"),
            ],
        };
        let plain = self.variables.get(&format!("plain_{name}")).cloned();
        let words = Variables::from([
            ("name".to_owned(), name.to_owned()),
            (
                "address".to_owned(),
                super::server::address_of(name).to_string(),
            ),
            ("plain".to_owned(), plain.unwrap_or_default()),
        ]);
        for (sign, text) in steps {
            let text = substitute(text, &words);
            match *sign {
                ">" => self.client(conn).await?.line(&text).await,
                "?" => self.expect(conn, How::SkipTo, &text).await?,
                _ => self.expect(conn, How::Prefix, &text).await?,
            }
        }
        Ok(())
    }

    fn tell(&mut self, conn: &str, sign: char, text: &str) {
        let text: String = text.chars().take(200).collect();
        self.story.push_back(format!("    {conn}{sign} {text}"));
        if self.story.len() > STORY_LINES_MAX {
            self.story.pop_front();
        }
    }

    fn failure(&self, file: &str, line: &Line, why: &str) -> String {
        let story: Vec<_> = self.story.iter().cloned().collect();
        format!(
            "{file}:{}: {why}\n  {:?}\n{}",
            line.number,
            line.step,
            story.join("\n")
        )
    }
}

const STORY_LINES_MAX: usize = 12;
