//! What wrong configurations and strangers say and hear.

use super::*;

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
    fs::write(&format, text.replacen("store 4", "store 9999", 1)).unwrap();
    let said = server.command(&["serve"], "").expect_failure();
    assert!(
        said.contains("of version 9999") && said.contains("data"),
        "{said}"
    );
    let said = server.command(&["check", "--offline"], "").said();
    assert!(
        said.contains("WRONG     data directory") && said.contains("of version 9999"),
        "{said}"
    );
    let absent = run(
        env!("CARGO_BIN_EXE_buzon"),
        &["serve", "--config", "/nonexistent.toml"],
    );
    let said = absent.expect_failure();
    assert!(
        said.contains("/nonexistent.toml") && said.contains("serve --demo"),
        "{said}"
    );
    // Wrong for every command, not only at the start.
    for (more, part) in [
        ("hostname=bad host", "server.hostname"),
        ("log.filter=loud=x=y", "log.filter"),
        (
            "relay.routes={\"a.test\"=\"nothing:xx\"}",
            "relay.routes.a.test",
        ),
        ("queue.retry=[]", "queue.retry"),
    ] {
        let set = more.replace("hostname", "server.hostname");
        for command in [
            &["check", "--offline"][..],
            &["serve"],
            &["domain", "list"],
            &["config"],
        ] {
            let said = server.command(&[command, &["--set", &set]].concat(), "");
            let said = said.expect_failure();
            assert!(
                said.contains("--set") && said.contains(part),
                "{command:?}: {said}"
            );
        }
    }
    // What is printed can be used, also when nobody listens to complaints.
    let printed = server.command(&["config"], "").expect_success();
    fs::write(server.dir.join("buzon.toml"), &printed).unwrap();
    assert_eq!(server.command(&["config"], "").expect_success(), printed);
    let json = server.command(&["config", "--json"], "").expect_success();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["queue"]["retry"][0], "5m");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_buzon"))
        .args(["check", "--config", "/nonexistent.toml"])
        .stderr(writer)
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
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
    for mode in [0o750, 0o700] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        let listed = server.command(&["domain", "list"], "");
        match mode {
            0o700 => drop(listed.expect_success()),
            _ => {
                for refused in [listed, server.command(&["serve"], "")] {
                    let said = refused.expect_failure();
                    assert!(said.contains("(mode 0750): `chmod 0700 /"), "{said}");
                }
            }
        }
    }
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
