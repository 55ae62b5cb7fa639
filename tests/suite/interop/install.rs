//! A real installation in small: a configuration file, a certificate, the commands of the README,
//! and what wrong configurations say.

mod refused;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use super::{
    peers::eventually,
    server::{LOGGED, Ran, have, run, run_with},
};

/// A server with a configuration file of its own.
pub(super) struct Installed {
    pub(super) dir: PathBuf,
    pub(super) config: String,
    /// What it finds in its environment besides.
    pub(super) environment: Vec<(&'static str, String)>,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
}

impl Installed {
    /// Writes a certificate and a configuration with `more` behind it.
    pub(super) fn prepare(name: &str, hostname: &str, more: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("buzon-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        certify(&dir, &[hostname]);
        let d = dir.display();
        // Most tests' name servers know nobody's name.
        let verify = match more.contains("[verify]") {
            true => "",
            false => "[verify]\npolicy = \"off\"\n",
        };
        let text = format!(
            "[server]\nhostname = \"{hostname}\"\ndata = \"{d}/data\"\n[tls]\n\
             certificate = \"{d}/cert.pem\"\n\
             key = \"{d}/key.pem\"\n{more}{verify}"
        );
        let config = dir.join("buzon.toml");
        fs::write(&config, text).unwrap();
        Self {
            dir,
            config: config.display().to_string(),
            environment: Vec::new(),
            child: None,
            log: Arc::default(),
        }
    }

    /// Has another certificate from its next start on, for these names.
    pub(super) fn certify(&self, names: &[&str]) {
        certify(&self.dir, names);
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
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *log.lock().unwrap() += &format!("{line}\n");
            }
        });
        self.child = Some(child);
    }

    /// What the server logged since it was ready.
    pub(super) fn log(&self) -> String {
        thread::sleep(LOGGED);
        self.log.lock().unwrap().clone()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        run("kill", &[signal, &id]).expect_success();
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
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

/// Writes a fresh certificate and its key.
fn certify(dir: &Path, names: &[&str]) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(dir.join("key.pem"), private).unwrap();
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !thread::panicking() {
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
        .command(&["account", "add", "bob@example.org"], "another password\n")
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
        (
            &["account", "add", "alice@example.org"],
            "long enough\n",
            "exists",
        ),
        (
            &["account", "add", "carol@example.net"],
            "long enough\n",
            "domain",
        ),
        (
            &["account", "add", "carol@example.org"],
            "\n",
            "no password",
        ),
        (
            &["account", "password", "nobody@example.org"],
            "long enough\n",
            "no account",
        ),
        (
            &["account", "remove", "bob@example.org"],
            "",
            "its 0 messages: add --yes",
        ),
        (
            &["account", "remove", "rob@example.org"],
            "",
            "no account rob@",
        ),
        (
            &["domain", "remove", "nope.org"],
            "",
            "no local domain nope.org",
        ),
        (&["domain", "catch-all", "example.org"], "", "--none"),
        (
            &["alias", "add", "*@example.org", "bob@example.org"],
            "",
            "catch-all",
        ),
        (
            &["alias", "add", "@example.org", "bob@example.org"],
            "",
            "catch-all",
        ),
        (
            &["alias", "add", "x@example.com", "bob@example.org"],
            "",
            "domain add example.com",
        ),
        (
            &["alias", "set", "bob@example.org", "alice@example.org"],
            "",
            "of this kind",
        ),
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
    let verified = server.command(&["store", "verify"], "").expect_success();
    assert!(verified.contains("no damage found"), "{verified}");
    server.command(&["store", "rebuild"], "").expect_success();
    let listed = server.command(&["account", "list"], "").expect_success();
    assert!(listed.contains("alice@example.org"), "{listed}");
}

#[test]
fn people_are_managed_with_and_without_a_running_server() {
    let mut server = Installed::prepare("people", "mail.example.org", &ports("127.0.5.12", 2525));
    let steps: &[(&[&str], &str, &str)] = &[
        (&["domain", "add", "example.org"], "", "example.org\n"),
        (
            &["account", "add", "al@example.org"],
            "long enough\n",
            "al@example.org\n",
        ),
        (
            &["account", "add", "al+x@example.org"],
            "long enough\n",
            "comes here now and not to al@example.org",
        ),
        (
            &["alias", "add", "info@example.org", "nobody@example.org"],
            "",
            "careful: nothing takes mail for nobody@example.org yet",
        ),
        (
            &[
                "alias",
                "set",
                "info@example.org",
                "al@example.org",
                "x@example.net",
            ],
            "",
            "info@example.org  al@example.org x@example.net\n",
        ),
        (
            &["alias", "list"],
            "",
            "ALIAS             TARGETS\ninfo@example.org  al@example.org x@",
        ),
        (
            &[
                "group",
                "add",
                "team@example.org",
                "al@example.org",
                "x@example.net",
                "--owner",
                "al@example.org",
            ],
            "",
            "team@example.org  al@example.org  members  al@example.org x@example.net\n",
        ),
        (
            &[
                "group",
                "set",
                "team@example.org",
                "--join",
                "y@example.net",
                "--leave",
                "X@example.net",
                "--senders",
                "anyone",
            ],
            "",
            "  anyone  al@example.org y@example.net\n",
        ),
        (
            &["group", "list"],
            "",
            "GROUP             OWNERS          SENDERS  MEMBERS\nteam@example.org  al@",
        ),
        (
            &["group", "show", "team@example.org", "--json"],
            "",
            "\"senders\": [",
        ),
        (
            &["group", "remove", "team@example.org"],
            "",
            "team@example.org",
        ),
        (
            &[
                "account",
                "send-as",
                "add",
                "al@example.org",
                "@example.net",
            ],
            "",
            "al@example.org  @example.net\n",
        ),
        (
            &["account", "send-as", "list", "al@example.org"],
            "",
            "al@example.org  @example.net\n",
        ),
        (
            &[
                "account",
                "send-as",
                "remove",
                "al@example.org",
                "@example.net",
            ],
            "",
            "al@example.org",
        ),
        (
            &["domain", "alias", "example.net", "example.org"],
            "",
            "example.net  example.org\n",
        ),
        (
            &["domain", "alias", "example.net", "--none"],
            "",
            "example.net  -\n",
        ),
        (&["domain", "remove", "example.net"], "", "example.net"),
        (
            &["domain", "catch-all", "example.org", "al@example.org"],
            "",
            "al@example.org\n",
        ),
        (
            &["domain", "list"],
            "",
            "DOMAIN       ADDRESSES  CATCH-ALL       STANDS FOR\nexample.org  3  ",
        ),
        (
            &["domain", "catch-all", "example.org", "--none"],
            "",
            "example.org  -\n",
        ),
        (
            &["account", "quota", "al@example.org", "5 GiB"],
            "",
            "al@example.org  5 GiB\n",
        ),
        (
            &["account", "disable", "al@example.org"],
            "",
            "al@example.org  disabled\n",
        ),
        (
            &["alias", "add", "a@example.org", "al@example.org"],
            "",
            "al@example.org is disabled",
        ),
        (
            &["account", "list"],
            "",
            "0         0 B   5 GiB   disabled  personal\n",
        ),
        (
            &["account", "list", "--json"],
            "",
            "\"quota_bytes\": 5368709120",
        ),
        (
            &["account", "enable", "al@example.org"],
            "",
            "al@example.org  in use\n",
        ),
        (
            &["account", "remove", "al+x@example.org", "--yes"],
            "",
            "al+x@example.org",
        ),
        (&["alias", "remove", "a@example.org"], "", "a@example.org"),
        (
            &["alias", "remove", "info@example.org"],
            "",
            "info@example.org",
        ),
    ];
    for (args, input, part) in steps {
        let ran = server.command(args, input);
        assert!(ran.said().contains(part), "{args:?}: {}", ran.said());
        ran.expect_success();
    }
    let said = server.command(&["domain", "remove", "example.org"], "");
    assert!(said.expect_failure().contains("1 address\n"));
    server.start();
    for (args, input, part) in steps.get(1..).unwrap() {
        let ran = server.command(args, input);
        if args.get(1) == Some(&"add") && args.get(2) == Some(&"al@example.org") {
            assert!(ran.expect_failure().contains("exists"));
            continue;
        }
        assert!(ran.said().contains(part), "{args:?}: {}", ran.said());
        ran.expect_success();
    }
    server.stop();
}

#[test]
fn tls_05_sighup_takes_a_new_certificate_and_keeps_the_old_one_if_it_is_none() {
    if !have("python3") {
        return;
    }
    let (host, port) = ("127.0.5.8", "2527");
    let mut server = Installed::prepare("hup", "mail.example.org", &ports(host, 2525));
    server.start();
    let served = || {
        let script = "import ssl,sys\nprint(ssl.get_server_certificate((sys.argv[1],sys.argv[2])))";
        let pem = run("python3", &["-c", script, host, port]).expect_success();
        pem.split_whitespace().collect::<String>()
    };
    let stored = || {
        let pem = fs::read_to_string(server.dir.join("cert.pem")).unwrap();
        pem.split_whitespace().collect::<String>()
    };
    let first = served();
    assert_eq!(first, stored());
    certify(&server.dir, &["mail.example.org"]);
    let second = stored();
    assert_eq!(served(), first, "nobody said that it changed");
    server.signal("-HUP");
    eventually("the new certificate", || served() == second);
    // A certificate without its key: an error in the log, and everything as it was.
    let key = fs::read(server.dir.join("key.pem")).unwrap();
    certify(&server.dir, &["mail.example.org"]);
    fs::write(server.dir.join("key.pem"), key).unwrap();
    server.signal("-HUP");
    eventually("the complaint", || {
        let log = server.log();
        log.contains("the certificate stays as it was") && log.contains("does not belong")
    });
    assert_eq!(served(), second);
    server.stop();
}
