//! Between two servers of ours on this machine: a route with a dead host before a living one, and
//! connections that come from an address of the operator's choice.

use super::{
    install::{Installed, ports},
    peers::{eventually, messages, submit},
    server::have,
};

fn prepared(name: &str, domain: &str, more: &str) -> Installed {
    let server = Installed::prepare(name, &format!("mx.{domain}"), more);
    let me = format!("me@{domain}");
    for (args, input) in [
        (&["domain", "add", domain][..], ""),
        (&["account", "add", &me], "long enough\n"),
    ] {
        server.command(args, input).expect_success();
    }
    server
}

#[test]
fn a_dead_host_is_passed_over_and_the_source_is_the_operators() {
    if !have("python3") {
        return;
    }
    let more = format!("[verify]\npolicy = \"off\"\n{}", ports("127.0.5.32", 2525));
    let mut there = prepared("addresses-there", "there.test", &more);
    there.start();
    // Nobody listens at the first place.
    let more = format!(
        "[relay]\nsource = [\"127.0.5.34\"]\n[relay.routes]\n\
         \"*.test\" = [\"127.0.5.33:2525\", \"127.0.5.32:2525\"]\n{}",
        ports("127.0.5.31", 2525)
    );
    let mut here = prepared("addresses-here", "here.example", &more);
    let said = here.command(&["check", "--offline"], "").said();
    assert!(said.contains("source 127.0.5.34"), "{said}");
    let set = "relay.source=[\"192.0.2.1\"]";
    let said = here
        .command(&["check", "--offline", "--set", set], "")
        .said();
    assert!(said.contains("WRONG     source 192.0.2.1"), "{said}");
    here.start();
    let user = "me@here.example";
    submit(("127.0.5.31", 2526), user, "me@there.test", "past the dead");
    let inbox = || messages(("127.0.5.32", 2527), "me@there.test");
    eventually("delivery", || inbox().contains("past the dead"));
    let text = inbox();
    assert!(text.contains("[127.0.5.34]"), "{text}");
}
