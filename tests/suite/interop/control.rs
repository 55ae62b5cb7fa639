//! The operator's control of the queue, by the commands that are typed.

use std::process::Command;

use super::{
    install::{Installed, ports},
    peers::{eventually, submit},
    server::have,
};

#[test]
fn the_queue_is_managed_with_and_without_a_running_server() {
    if !have("python3") {
        return;
    }
    // Nobody is at the route's address.
    let route = "[relay.routes]\n\"down.test\" = \"127.0.5.11:2525\"\n";
    let more = format!("{}{route}", ports("127.0.5.10", 2525));
    let mut server = Installed::prepare("queue", "mx.up.test", &more);
    let domain = ["domain", "add", "up.test"];
    server.command(&domain, "").expect_success();
    let account = ["account", "add", "me@up.test"];
    server.command(&account, "long enough\n").expect_success();
    for id in ["01m7zbns2jvqsnwcc5261ghbv8", "x", "all"] {
        let said = server.command(&["queue", "drop", id], "").expect_failure();
        assert!(said.contains("message"), "{said}");
    }
    server.start();
    let all = server.command(&["queue", "retry", "all"], "");
    assert!(all.expect_success().contains("empty"));
    submit(("127.0.5.10", 2526), "me@up.test", "x@down.test", "stuck");
    eventually("the first attempt", || {
        let listed = server.command(&["queue", "list"], "").expect_success();
        listed.contains("waiting, 1 attempt, next in") && listed.contains("connection refused")
    });
    let queue = server.command(&["queue", "list"], "").expect_success();
    let id = queue.split_whitespace().next().unwrap().to_owned();
    let steps: &[(&[&str], &str)] = &[
        (
            &["list", "--domain", "up.test"],
            "nothing in the queue is like this",
        ),
        (
            &["list", "--sender", "<>"],
            "nothing in the queue is like this",
        ),
        (&["list", "--sender", "me@up.test"], "x@down.test"),
        (&["show", &id], "last attempt"),
        (&["show", &id], "deferred    [127.0.5.11]: 4.4.1"),
        (&["list", "--error", "refused"], "x@down.test"),
        (
            &["hold", "--state", "held"],
            "nothing in the queue is like this",
        ),
        (&["pause", "down.test"], "down.test: no attempt begins"),
        (&["list"], "s: down.test (`buzon queue resume down.test`)"),
        (&["stats"], "down.test    1"),
        (&["resume", "all"], "all: attempts begin again"),
        (&["resume", "all"], "all: was not paused"),
        (&["hold", &id], "1 recipient: held until released"),
        (&["list"], "held, 1 attempt\n"),
        (
            &["reroute", "--domain", "down.test", "--to", "mx"],
            "1 recipient: on this way from now on",
        ),
        (&["list"], "rerouted to mx"),
        (
            &["reroute", &id, "--to", "default"],
            "1 recipient: on this way from now on",
        ),
        (&["retry", &id], "`release`"),
        (&["release", &id, "--json"], "\"changed\": 1"),
    ];
    for (args, part) in steps {
        let said = server.command(&[&["queue"], *args].concat(), "");
        let said = said.expect_success();
        assert!(said.contains(part), "{args:?}: {said}");
    }
    server.stop();
    let steps: &[(&[&str], &str)] = &[
        (&["list"], "x@down.test"),
        (&["show", &id, "--json"], "\"address\": \"x@down.test\""),
        (&["retry", &id], "1 recipient: to be tried again now"),
        (&["drop", &id, "--recipient", "x@down.test"], "removed"),
        (&["list"], "empty"),
    ];
    for (args, part) in steps {
        let said = server.command(&[&["queue"], *args].concat(), "");
        let said = said.expect_success();
        assert!(said.contains(part), "{args:?}: {said}");
    }
    // A reader who has seen enough is no failure.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_buzon"))
        .args(["config", "--config", &server.config])
        .stdout(writer)
        .status();
    assert!(status.unwrap().success());
}
