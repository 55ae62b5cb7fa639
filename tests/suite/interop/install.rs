//! A real installation in small: a configuration file, a certificate, the commands of the README,
//! and what wrong configurations say.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::server::{Ran, run, run_with};

/// A server with a configuration file of its own.
pub(super) struct Installed {
    pub(super) dir: PathBuf,
    pub(super) config: String,
    child: Option<Child>,
}

impl Installed {
    /// Writes a certificate and a configuration with `more` behind it.
    pub(super) fn prepare(name: &str, hostname: &str, more: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("buzon-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed([hostname.to_owned()]).unwrap();
        fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut mode = fs::metadata(dir.join("key.pem")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
        fs::set_permissions(dir.join("key.pem"), mode).unwrap();
        let d = dir.display();
        let text = format!(
            "[server]\nhostname = \"{hostname}\"\ndata = \"{d}/data\"\n[tls]\n\
             certificate = \"{d}/cert.pem\"\n\
             key = \"{d}/key.pem\"\n{more}"
        );
        let config = dir.join("buzon.toml");
        fs::write(&config, text).unwrap();
        Self {
            dir,
            config: config.display().to_string(),
            child: None,
        }
    }

    /// Runs a command of the binary with this configuration.
    pub(super) fn command(&self, args: &[&str], input: &str) -> Ran {
        let args = [args, &["--config", &self.config]].concat();
        run_with(env!("CARGO_BIN_EXE_buzon"), &args, input.as_bytes())
    }

    /// Starts the server and waits until it says that it is ready.
    pub(super) fn start(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_buzon"))
            .args(["serve", "--config", &self.config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("did not start:\n{seen}")
            };
            seen += &format!("{line}\n");
            if line.contains("ready") {
                break;
            }
        }
        // Read on, so that the server never waits for its log.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    /// SIGTERM; the exit must be clean.
    pub(super) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        run("kill", &["-TERM", &child.id().to_string()]).expect_success();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Only some ports, on an address that no other test uses.
pub(super) fn ports(address: &str, smtp: u16) -> String {
    format!(
        "[listen]\nsmtp = [\"{address}:{smtp}\"]\nsubmission = []\n\
             submissions = [\"{address}:{}\"]\npop3 = []\n\
         pop3s = []\nimap = []\nimaps = [\"{address}:{}\"]\n",
        smtp + 1,
        smtp + 2
    )
}

#[test]
fn the_commands_work_with_and_without_a_running_server() {
    let mut server = Installed::prepare("install", "mail.example.org", &ports("127.0.5.1", 2525));
    let checked = server.command(&["check", "--offline"], "").expect_success();
    assert!(checked.contains("ok"), "{checked}");
    server
        .command(&["domain", "add", "example.org"], "")
        .expect_success();
    server
        .command(&["account", "add", "alice@example.org"], "first password\n")
        .expect_success();
    server.start();
    // The same commands now go to the running server.
    server
        .command(&["account", "add", "bob@example.org"], "another\n")
        .expect_success();
    server
        .command(
            &[
                "alias",
                "add",
                "all@example.org",
                "alice@example.org",
                "bob@example.org",
            ],
            "",
        )
        .expect_success();
    let listed = server
        .command(&["account", "list", "--json"], "")
        .expect_success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    for (args, input, part) in [
        (&["domain", "add", "example.org"][..], "", "exists"),
        (&["account", "add", "alice@example.org"], "x\n", "exists"),
        (&["account", "add", "carol@example.net"], "x\n", "domain"),
        (
            &["account", "add", "carol@example.org"],
            "\n",
            "no password",
        ),
        (
            &["account", "password", "nobody@example.org"],
            "x\n",
            "no account",
        ),
        (&["account", "remove", "bob@example.org"], "", "--yes"),
        (&["domain", "remove", "example.org"], "", "in use"),
        (&["queue", "show", "x"], "", "message id"),
    ] {
        let said = server.command(args, input).expect_failure();
        assert!(said.contains(part), "{args:?}: {said}");
    }
    assert!(
        server
            .command(&["queue", "list"], "")
            .expect_success()
            .contains("empty")
    );
    let second = server.command(&["serve"], "").expect_failure();
    assert!(second.contains("in use"), "a second server: {second}");
    server
        .command(&["account", "remove", "bob@example.org", "--yes"], "")
        .expect_success();
    server.stop();
    let listed = server.command(&["account", "list"], "").expect_success();
    assert!(
        listed.contains("alice@example.org") && !listed.contains("bob"),
        "{listed}"
    );
    server.command(&["store", "verify"], "").expect_success();
    server.command(&["store", "rebuild"], "").expect_success();
    let listed = server.command(&["account", "list"], "").expect_success();
    assert!(listed.contains("alice@example.org"), "{listed}");
}

#[test]
fn wrong_configurations_say_what_is_wrong_and_where() {
    let port = "[listen]\nsmtp = [\"127.0.5.2:2525\"]\nsubmission = []\nsubmissions = []\n\
             pop3 = []\npop3s = []\nimap = []\nimaps = []\n";
    for (more, parts) in [
        ("[smpt]\n", &["buzon.toml", "line 7", "smpt"][..]),
        (
            "[listen]\nsmtp = [\"nowhere\"]\n",
            &["buzon.toml", "line 8"],
        ),
        ("[smtp]\nrecipients = 3\n", &["buzon.toml:8", "100"]),
    ] {
        let server = Installed::prepare("wrong", "mail.example.org", more);
        let said = server.command(&["serve"], "").expect_failure();
        assert!(
            parts.iter().all(|part| said.contains(part)),
            "{more}: {said}"
        );
    }
    let server = Installed::prepare("nocert", "mail.example.org", port);
    fs::remove_file(server.dir.join("cert.pem")).unwrap();
    let said = server.command(&["serve"], "").expect_failure();
    assert!(said.contains("cert.pem"), "{said}");
    // A port in use.
    let taken = std::net::TcpListener::bind("127.0.5.2:2525").unwrap();
    let server = Installed::prepare("taken", "mail.example.org", port);
    let said = server.command(&["serve"], "").expect_failure();
    assert!(
        said.contains("listen.smtp") && said.contains("in use"),
        "{said}"
    );
    drop(taken);
    // A data directory of another version.
    server
        .command(&["domain", "add", "example.org"], "")
        .expect_success();
    let format = server.dir.join("data/format");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace('1', "9999")).unwrap();
    let said = server.command(&["serve"], "").expect_failure();
    assert!(said.contains("format") && said.contains("data"), "{said}");
    let absent = run(
        env!("CARGO_BIN_EXE_buzon"),
        &["serve", "--config", "/nonexistent.toml"],
    );
    assert!(absent.expect_failure().contains("/nonexistent.toml"));
}

#[test]
fn sys_05_nobody_but_its_owner_opens_the_data_directory() {
    if !rustix::process::getuid().is_root() {
        println!("skipped: giving a directory away needs root");
        return;
    }
    let server = Installed::prepare("owner", "mail.example.org", &ports("127.0.5.7", 2525));
    let data = server.dir.join("data");
    let made = server.command(&["domain", "add", "example.org"], "");
    assert!(made.said().contains("chown -R"), "{}", made.said());
    made.expect_success();
    run("chown", &["-R", "nobody", data.to_str().unwrap()]).expect_success();
    let files = || {
        let mut files: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().uid()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    for args in [
        &["domain", "list"][..],
        &["queue", "list"],
        &["store", "verify"],
        &["store", "rebuild"],
        &["serve"],
    ] {
        let said = server.command(args, "").expect_failure();
        let way = "belongs to user nobody, and this is user root: run it as `runuser -u nobody -- ";
        assert!(said.contains(way), "{args:?}: {said}");
    }
    let checked = server.command(&["check", "--offline"], "").said();
    assert!(checked.contains("runuser -u nobody"), "{checked}");
    assert_eq!(files(), before);
}
