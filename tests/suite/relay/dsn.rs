//! What senders ask to be told, on its way through the relay (RFC 3461 5.2): passed on to servers
//! that know it, done by us for all others.

use buzon::mail::{
    dsn::{EnvelopeId, Notify, OriginalRecipient, Ret},
    envelope::{MailOptions, RcptOptions},
};

use super::{
    mta::{Act, Event, Mta, say},
    world::{MESSAGE, World, minutes},
};

fn asking(notify: &str) -> RcptOptions {
    RcptOptions {
        notify: Some(Notify::parse(notify).unwrap()),
        original: OriginalRecipient::parse("rfc822;Bob+2Bx@here.example"),
    }
}

fn returning(ret: Ret) -> MailOptions {
    MailOptions {
        ret: Some(ret),
        envelope_id: EnvelopeId::parse("QQ+2B1"),
        ..MailOptions::default()
    }
}

/// Offers DSN, and answers RCPT so.
fn server(dsn: bool, rcpt: &'static str) -> Mta {
    Mta::new(move |seen| match &seen.event {
        Event::Command(line) if line.starts_with("EHLO") && dsn => {
            say("250-mta\r\n250-PIPELINING\r\n250 DSN")
        }
        Event::Command(line) if line.starts_with("RCPT") => say(rcpt),
        _ => Act::Usual,
    })
}

/// Everything that was told about one recipient with these wishes.
async fn told(mta: Mta, options: MailOptions, notify: &str) -> (World, Vec<String>) {
    let mut world = World::new(mta);
    let to = [("a@there.example", asking(notify))];
    world.submit_asking(options, &to).await;
    world.start();
    world.drained(minutes(60 * 24 * 7)).await;
    assert_eq!(world.residue().await, 0);
    let reports = world.postman.reports();
    (world, reports)
}

#[tokio::test(start_paused = true)]
async fn wishes_are_passed_on_as_they_are_and_only_to_who_knows_them() {
    for (dsn, mail, rcpt) in [
        (
            true,
            " RET=HDRS ENVID=QQ+2B1",
            " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@here.example",
        ),
        (false, "", ""),
    ] {
        let mta = server(dsn, "250 ok");
        let (world, _) = told(mta, returning(Ret::Headers), "SUCCESS,DELAY").await;
        let commands = world.mta.commands();
        let line = format!("RCPT TO:<a@there.example>{rcpt}");
        assert!(commands.contains(&line), "{commands:?}");
        let begin = commands.iter().find(|line| line.starts_with("MAIL"));
        assert!(begin.unwrap().ends_with(mail), "{commands:?}");
        assert_eq!(begin.unwrap().contains("RET="), dsn);
    }
}

#[tokio::test(start_paused = true)]
async fn success_is_told_by_us_when_the_server_does_not() {
    for (dsn, notify, count) in [
        (true, "SUCCESS", 0),
        (false, "SUCCESS", 1),
        (false, "FAILURE,DELAY", 0),
        (false, "NEVER", 0),
    ] {
        let mta = server(dsn, "250 2.1.5 ok");
        let (world, reports) = told(mta, returning(Ret::Full), notify).await;
        assert_eq!(reports.len(), count, "{dsn} {notify}");
        assert_eq!(world.mta.contents(), [MESSAGE]);
        for report in reports {
            for line in [
                "Subject: Passed on: test",
                "Original-Envelope-Id: QQ+1",
                "Original-Recipient: rfc822; Bob+x@here.example",
                "Final-Recipient: rfc822; a@there.example",
                "Action: relayed",
                "Remote-MTA: dns; mx1.there.example",
                "Content-Type: text/rfc822-headers",
            ] {
                assert!(report.lines().any(|is| is == line), "{line} in\n{report}");
            }
            assert!(!report.contains("\r\nend\r\n"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failure_is_told_unless_it_is_not_wanted_and_returns_what_was_asked() {
    for (ret, notify, told_of, whole) in [
        (Ret::Full, "FAILURE", true, true),
        (Ret::Headers, "FAILURE", true, false),
        (Ret::Full, "SUCCESS,DELAY", false, false),
        (Ret::Full, "NEVER", false, false),
    ] {
        let mta = server(true, "550 5.1.1 no");
        let (_, reports) = told(mta, returning(ret), notify).await;
        assert_eq!(reports.len(), usize::from(told_of), "{notify}");
        for report in reports {
            assert!(report.contains("Action: failed\r\n"));
            let message = "Content-Type: message/rfc822\r\n";
            assert_eq!(report.contains(message), whole, "{report}");
            assert_eq!(report.contains("\r\n.dot\r\nend\r\n"), whole);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn delay_is_told_to_who_wants_it() {
    for (notify, count) in [
        ("DELAY", 1),
        ("DELAY,FAILURE", 2),
        ("FAILURE", 1),
        ("NEVER", 0),
    ] {
        let mta = server(true, "450 4.2.1 busy");
        let (_, reports) = told(mta, MailOptions::default(), notify).await;
        let delayed = reports.iter().filter(|r| r.contains("Action: delayed\r\n"));
        assert_eq!(delayed.count(), usize::from(notify.contains("DELAY")));
        assert_eq!(reports.len(), count, "{notify}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_several_is_one_report() {
    let mta = Mta::new(|seen| match seen.command() {
        "RCPT TO:<no@there.example>" => say("550 5.1.1 no"),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    let to = [
        ("yes@there.example", asking("SUCCESS")),
        ("quiet@there.example", asking("NEVER")),
        ("no@there.example", RcptOptions::default()),
    ];
    world.submit_asking(returning(Ret::Full), &to).await;
    world.start();
    world.drained(minutes(60)).await;
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    for part in [
        "Action: relayed\r\n",
        "Action: failed\r\n",
        "Subject: Undelivered: test\r\n",
    ] {
        assert_eq!(report.matches(part).count(), 1, "{part} in\n{report}");
    }
    // RFC 3461 5.2.8.
    assert!(!report.contains("quiet@"));
}

#[tokio::test(start_paused = true)]
async fn q_01_a_report_of_success_without_a_place_waits_and_nothing_is_sent_again() {
    let mut world = World::new(server(false, "250 ok"));
    world.postman.set_broken(true);
    let to = [("a@there.example", asking("SUCCESS"))];
    world.submit_asking(MailOptions::default(), &to).await;
    world.start();
    world.pass(minutes(60 * 24)).await;
    assert_eq!(world.listed().await.len(), 1);
    world.postman.set_broken(false);
    world.drained(minutes(60 * 5)).await;
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Action: relayed\r\n"));
    assert_eq!((world.mta.contents().len(), world.mta.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn mail_that_requires_tls_is_returned_without_its_text_where_no_server_is_known() {
    let options = MailOptions {
        require_tls: true,
        ..returning(Ret::Full)
    };
    let (world, reports) = told(server(true, "250 ok"), options, "FAILURE").await;
    assert!(world.mta.contents().is_empty());
    assert!(
        !world
            .mta
            .commands()
            .iter()
            .any(|line| line.starts_with("MAIL"))
    );
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Status: 5.7.10\r\n"), "{}", reports[0]);
    // RFC 8689 5.
    assert!(!reports[0].contains("\r\nend\r\n"));
}
