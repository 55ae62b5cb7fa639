//! What `buzon trace` tells of mail that came, that was refused and that waits, also after a crash.

use super::{
    install::{Installed, ports},
    peers::{eventually, submit},
    server::{have, run_with},
};

/// Sends one message from another server; what comes of it is in the story.
const SEND: &str = "import smtplib,sys\nh,p,to=sys.argv[1:]\nm=smtplib.SMTP(h,int(p))\n\
    try: m.sendmail('Ann@Example.net',[to],'Message-ID: <story@example.net>\\r\\n\\r\\nx\\r\\n')\n\
    except smtplib.SMTPRecipientsRefused as e: print(e.recipients[to][0])\n";

#[test]
fn the_story_of_a_message_is_told_whatever_became_of_it() {
    if !have("python3") {
        return;
    }
    // Nothing of it is shown in the log.
    let listen = ports("127.0.0.31", 2525);
    let more = format!(
        "[relay]\nport = 9\ninsecure_private_targets = true\n\
         [relay.routes]\n\"far.example\" = \"127.0.0.31:9\"\n\
         [log]\nfilter = \"info,mail=off\"\n{listen}"
    );
    let mut server = Installed::prepare("story", "mx.example.org", &more);
    server
        .command(&["domain", "add", "example.org"], "")
        .expect_success();
    let password = "long enough\n";
    server
        .command(&["account", "add", "alice@example.org"], password)
        .expect_success();
    let trace = |server: &Installed, key: &str| server.command(&["trace", key], "");
    assert!(
        trace(&server, "ann@example.net")
            .expect_failure()
            .contains("nothing names ann@example.net")
    );
    server.start();
    for to in ["alice@example.org", "nobody@example.org"] {
        let args = ["-", "127.0.0.31", "2525", to];
        run_with("python3", &args, SEND.as_bytes()).expect_success();
    }
    let user = "alice@example.org";
    submit(("127.0.0.31", 2526), user, "bob@far.example", "waits");

    let told = || trace(&server, "bob@far.example").said();
    eventually("an attempt is told of", || told().contains("deferred"));
    let told = told();
    for part in ["accepted ", "queued ", "to=<bob@far.example>", "127.0.0.31"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = trace(&server, "<ann@example.NET>").expect_success();
    for part in [
        "message_id=<story@example.net>",
        "delivered   to=<alice@example.org>",
        "refused     verb=RCPT  code=550  reason=unknown-recipient",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let id = told.split_whitespace().next().unwrap().to_owned();
    let json = server
        .command(&["trace", &id, "--json"], "")
        .expect_success();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["id"], id);
    let events = json[0]["events"].as_array().unwrap();
    assert_eq!(events[0]["message"], "accepted");

    server.kill();
    server.start();
    let again = trace(&server, &id).expect_success();
    assert!(again.contains("delivered"), "{again}");
    assert!(!server.log().contains("delivered"));
}
