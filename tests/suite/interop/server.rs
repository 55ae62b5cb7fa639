//! A running demo, ended with the test that started it; and running client programs.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A demo server in a directory of its own.
pub(super) struct Demo {
    pub(super) dir: PathBuf,
    pub(super) base_port: u16,
    pub(super) facts: serde_json::Value,
    settings: Vec<String>,
    child: Child,
}

impl Demo {
    /// Starts one and waits until every port answers.
    pub(super) fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// With keys set on the command line.
    pub(super) fn start_with(name: &str, settings: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("buzon-{name}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let base_port = free_base_port();
        let child = spawn(&dir, base_port, &settings);
        let mut demo = Self {
            dir,
            base_port,
            facts: serde_json::Value::Null,
            settings,
            child,
        };
        demo.wait_until_it_answers();
        demo
    }

    fn wait_until_it_answers(&mut self) {
        let path = self.dir.join("demo.json");
        let begun = Instant::now();
        loop {
            if let Ok(text) = fs::read(&path) {
                self.facts = serde_json::from_slice(&text).unwrap();
                return;
            }
            let ended = self.child.try_wait().unwrap();
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(
                ended.is_none() && !late,
                "the demo did not start: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9, then a start on the same directory.
    pub(super) fn crash_and_restart(&mut self) {
        self.kill();
        let _ = fs::remove_file(self.dir.join("demo.json"));
        self.child = spawn(&self.dir, self.base_port, &self.settings);
        self.wait_until_it_answers();
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn port(&self, name: &str) -> u16 {
        let port = self.facts["ports"][name].as_u64().unwrap();
        u16::try_from(port).unwrap()
    }

    pub(super) fn password(&self, name: &str) -> String {
        let accounts = self.facts["accounts"].as_array().unwrap();
        let address = format!("{name}@demo.test");
        let account = accounts
            .iter()
            .find(|account| account["address"] == address.as_str());
        account.unwrap()["password"].as_str().unwrap().to_owned()
    }

    pub(super) fn ca(&self) -> String {
        self.facts["ca_file"].as_str().unwrap().to_owned()
    }

    /// What the server logged.
    pub(super) fn log(&self) -> String {
        thread::sleep(LOGGED);
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// A file in the demo's directory, for a client's configuration.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        let mut mode = fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
        fs::set_permissions(&path, mode).unwrap();
        path
    }

    /// Hands a message to port 25's counterpart with Python, which every machine has.
    pub(super) fn deliver(&self, to: &str, text: &str) {
        let script = "import smtplib,sys\ns=smtplib.SMTP('localhost',int(sys.argv[1]))\n\
            s.sendmail('you@example.org',[sys.argv[2]],sys.stdin.read())\ns.quit()";
        let port = self.port("smtp").to_string();
        run_with("python3", &["-c", script, &port, to], text.as_bytes()).expect_success();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        } else {
            eprintln!("kept for looking at: {}", self.dir.display());
        }
    }
}

fn spawn(dir: &Path, base_port: u16, settings: &[String]) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_buzon"));
    command
        .args(["serve", "--demo", "--base-port"])
        .arg(base_port.to_string());
    command.arg("--data").arg(dir);
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A base whose ports are all free now.
fn free_base_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..200 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() % 37;
        let base = u16::try_from(20_000 + (step % 40) * 1000).unwrap();
        let offsets = [25, 587, 465, 110, 995, 143, 993];
        if offsets
            .iter()
            .all(|o| TcpListener::bind((Ipv4Addr::LOCALHOST, base + o)).is_ok())
        {
            return base;
        }
    }
    panic!("no free ports");
}

/// Whether a program is here; says so when it is not.
pub(super) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(extra)
        .any(|dir| dir.join(program).is_file());
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test is skipped for want of a program. Where all are said to be there, as by
/// `.ci/run` when it installed them, it fails.
pub(crate) fn skip(reason: &str) {
    let strict = std::env::var_os("BUZON_TEST_SKIPS").is_some_and(|value| value == "none");
    assert!(!strict, "must not be skipped: {reason}");
    println!("skipped: {reason}");
}

/// Runs a program to its end.
pub(super) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Ran {
    run_with(program, args, b"")
}

/// Runs a program with something to read.
pub(super) fn run_with<S: AsRef<OsStr>>(program: &str, args: &[S], input: &[u8]) -> Ran {
    let mut child = Command::new(program)
        .args(args)
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    Ran {
        program: program.to_owned(),
        output,
    }
}

/// A program that ran.
pub(super) struct Ran {
    program: String,
    output: Output,
}

impl Ran {
    /// Whether it succeeded.
    pub(super) fn succeeded(&self) -> bool {
        self.output.status.success()
    }

    /// What it said on both streams, however it ended.
    pub(super) fn said(&self) -> String {
        let both = [&self.output.stdout[..], &self.output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    /// Its output, after checking that it succeeded.
    pub(super) fn expect_success(self) -> String {
        let (out, err) = (&self.output.stdout, &self.output.stderr);
        let out = String::from_utf8_lossy(out).into_owned();
        assert!(
            self.output.status.success(),
            "{} failed: {}\n{out}\n{}",
            self.program,
            self.output.status,
            String::from_utf8_lossy(err)
        );
        out
    }

    /// What it said on standard error, after checking that it failed.
    pub(super) fn expect_failure(self) -> String {
        assert!(
            !self.output.status.success(),
            "{} should have failed",
            self.program
        );
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// What it said on standard output, after checking that it failed.
    pub(super) fn stdout_of_failure(self) -> String {
        assert!(
            !self.output.status.success(),
            "{} should have failed",
            self.program
        );
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
}

/// By when a line of the log is written: it goes with its neighbours.
pub(super) const LOGGED: Duration = Duration::from_millis(50);
