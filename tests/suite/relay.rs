//! The relay against a scripted world: in-memory connections, a table for the DNS, a steered clock.

mod dsn;
mod handshakes;
mod hosts;
mod incidents;
mod load;
pub(crate) mod mta;
mod ours;
mod pace;
mod policy;
mod reports;
mod routes;
mod simulation;
mod stops;
mod sts;
mod times;
mod tlsrpt;
pub(crate) mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buzon::{
    base::ids::AccountId,
    dns::Answer,
    mail::address::Domain,
    queue::admin::{Action, Selection, Standing},
    store::{
        fault::{CommitFault, Fault},
        memory::Memory,
    },
};

use crate::support::{logs::logged, player::run};
use mta::{Act, Event, Mta, say};
use world::{MESSAGE, World, minutes};

/// Refuses so many recipients for now.
fn busy(mut refusals: usize) -> Mta {
    Mta::new(move |seen| {
        if seen.command().starts_with("RCPT") && refusals > 0 {
            refusals -= 1;
            return say("450 4.2.1 busy");
        }
        Act::Usual
    })
}

/// Runs a world until its queue is empty, within an hour.
async fn delivered(mta: Mta, recipients: &[&str]) -> World {
    let mut world = World::new(mta);
    world.submit(recipients).await;
    world.start();
    world.drained(minutes(60)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn recipients_of_a_domain_share_a_transaction() {
    let to = ["a@there.example", "b@there.example"];
    let world = delivered(Mta::good(), &to).await;
    assert_eq!(
        world.mta.commands(),
        [
            "EHLO mail.here.example",
            "MAIL FROM:<user@here.example> SIZE=58 BODY=8BITMIME",
            "RCPT TO:<a@there.example>",
            "RCPT TO:<b@there.example>",
            "DATA",
        ]
    );
    assert_eq!(world.mta.contents(), [MESSAGE]);
    assert_eq!(world.residue().await, 0);
    assert!(world.postman.reports().is_empty());
}

#[tokio::test(start_paused = true)]
async fn q_03_a_temporary_refusal_is_tried_again_after_five_minutes() {
    let mut world = World::new(busy(1));
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(4)).await;
    let waiting = world.only().await;
    assert_eq!(waiting.state, Standing::Waiting);
    assert_eq!(waiting.attempts, 1);
    assert_eq!(waiting.reply.as_deref(), Some("450 4.2.1 busy"));
    assert_eq!(
        waiting.host.as_deref(),
        Some("mx1.there.example [198.51.100.1]")
    );
    world.drained(minutes(2)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_domain_is_tried_when_somebody_asks_for_it() {
    for (node, below, is_meant) in [
        ("there.example", false, true),
        ("deep.there.example", true, false),
        ("example.org", true, false),
        ("re.example", true, false),
    ] {
        let mut world = World::new(busy(1));
        world.submit(&["a@there.example"]).await;
        world.start();
        world.pass(minutes(1)).await;
        assert_eq!(world.only().await.attempts, 1);
        let node: Domain = node.parse().unwrap();
        let count = world.queue.hasten(&node, below).await.unwrap();
        assert_eq!(count, usize::from(is_meant), "{node}");
        world.pass(Duration::from_secs(5)).await;
        assert_eq!(world.listed().await.is_empty(), is_meant, "{node}");
    }
}

#[tokio::test(start_paused = true)]
async fn q_09_what_is_in_hand_stays_there_when_somebody_asks_for_it() {
    let mut world = World::new(Mta::new(|_| Act::Silence));
    world.submit(&["a@sub.there.example"]).await;
    world
        .dns
        .set_mx("sub.there.example", &[(10, "mx1.there.example")]);
    world.start();
    world.pass(Duration::from_secs(5)).await;
    let before = world.only().await;
    let node: Domain = "there.example".parse().unwrap();
    assert_eq!(world.queue.hasten(&node, true).await.unwrap(), 1);
    world.pass(Duration::from_secs(5)).await;
    let after = world.only().await;
    assert_eq!(
        (after.state, after.attempts),
        (before.state, before.attempts)
    );
    assert_eq!(world.mta.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn q_02_a_short_wait_is_not_prolonged_by_a_sleeping_worker() {
    let waits = [1, 10, 20].map(Duration::from_secs);
    let mut world = World::with_waits(busy(3), &waits);
    world.start();
    // The worker has nothing to do and sleeps for its longest time.
    world.pass(Duration::from_secs(10)).await;
    world.submit(&["a@there.example"]).await;
    world.drained(Duration::from_secs(33)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn q_01_a_permanent_refusal_is_reported_to_the_sender() {
    let mta = Mta::new(|seen| match seen.command() {
        "RCPT TO:<a@there.example>" => say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let world = delivered(mta, &["a@there.example"]).await;
    assert!(world.mta.contents().is_empty());
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 1);
    for part in [
        "To: <user@here.example>\r\n",
        "Final-Recipient: rfc822; a@there.example\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
        "Subject: test\r\n",
    ] {
        assert!(reports[0].contains(part), "{part}\n{}", reports[0]);
    }
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn mail_without_a_sender_is_never_reported() {
    let mta = Mta::new(|seen| match seen.command().starts_with("RCPT") {
        true => say("550 no"),
        false => Act::Usual,
    });
    let mut world = World::new(mta);
    world.put("", &["a@there.example"], None, MESSAGE).await;
    world.start();
    world.drained(minutes(1)).await;
    assert!(world.postman.reports().is_empty());
    assert_eq!(
        world.mta.commands()[1],
        "MAIL FROM:<> SIZE=58 BODY=8BITMIME"
    );
}

#[tokio::test(start_paused = true)]
async fn q_01_recipients_of_one_transaction_have_fates_of_their_own() {
    let mta = Mta::new(|seen| match seen.command() {
        "RCPT TO:<no@there.example>" => say("550 5.1.1 no"),
        "RCPT TO:<later@there.example>" => say("450 4.2.1 later"),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    let to = [
        "yes@there.example",
        "no@there.example",
        "later@there.example",
    ];
    world.submit(&to).await;
    world.start();
    world.pass(minutes(1)).await;
    let left = world.only().await;
    assert_eq!(left.address.as_deref(), Some("later@there.example"));
    assert_eq!(world.mta.contents().len(), 1);
    assert_eq!(world.postman.reports().len(), 1);
    assert!(!world.postman.reports()[0].contains("later@there.example"));
    world.mta.change(|_| Act::Usual);
    world.drained(minutes(6)).await;
    assert_eq!(world.mta.contents().len(), 2);
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn q_03_a_host_that_greets_with_5xx_is_passed_over() {
    let mta = Mta::new(|seen| match seen.event {
        Event::Connect if seen.to.ip().to_string() == "198.51.100.1" => say("554 not here"),
        _ => Act::Usual,
    });
    let world = delivered(mta, &["a@there.example"]).await;
    assert_eq!(world.mta.connects(), 2);
    assert_eq!(world.mta.contents().len(), 1);
    assert!(world.postman.reports().is_empty());
}

#[tokio::test(start_paused = true)]
async fn hosts_that_do_not_answer_are_passed_over_and_the_mail_waits() {
    let mut world = World::new(Mta::new(|seen| match seen.event {
        Event::Connect => Act::Refuse,
        _ => Act::Usual,
    }));
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert_eq!(world.mta.connects(), 2);
    let waiting = world.only().await;
    assert_eq!(
        waiting.host.as_deref(),
        Some("mx2.there.example [198.51.100.2]")
    );
    assert!(waiting.reply.unwrap().starts_with("4.4.1 "));
}

#[tokio::test(start_paused = true)]
async fn q_04_domains_without_mail_are_reported_without_a_call() {
    for (name, set, status) in [
        ("null", Answer::Found(vec![]), "5.1.10"),
        ("loop", Answer::NoRecords, "5.4.6"),
        ("gone", Answer::NoSuchName, "5.1.2"),
    ] {
        let mut world = World::new(Mta::good());
        world.options.own.names = vec!["mx1.there.example".to_owned()];
        match name {
            "null" => world.dns.set_mx("there.example", &[(0, "")]),
            "gone" => world.dns.set_mx_answer("there.example", set),
            _ => {}
        }
        world.submit(&["a@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(world.mta.connects(), 0);
        let report = world.postman.reports().remove(0);
        assert!(
            report.contains(&format!("Status: {status}\r\n")),
            "{report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn q_04_hosts_that_are_we_by_address_are_cut_off_with_all_behind_them() {
    for (ours, called) in [("198.51.100.2", true), ("198.51.100.1", false)] {
        let mut world = World::new(Mta::good());
        world.options.own.addresses = vec![ours.parse().unwrap()];
        world.submit(&["a@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(world.mta.connects(), usize::from(called));
        let reports = world.postman.reports();
        assert_eq!(reports.len(), usize::from(!called));
        assert!(reports.iter().all(|report| report.contains("5.4.6")));
    }
}

#[tokio::test(start_paused = true)]
async fn dns_02_what_cannot_be_found_out_delays() {
    let mut world = World::new(Mta::good());
    let unknown = Answer::Temporary("SERVFAIL".to_owned());
    world.dns.set_mx_answer("there.example", unknown);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert!(world.only().await.reply.unwrap().contains("SERVFAIL"));
    world
        .dns
        .set_mx("there.example", &[(1, "mx1.there.example")]);
    world.drained(minutes(6)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dns_01_the_hosts_of_a_domain_are_looked_up_at_once() {
    let mut world = World::new(Mta::good());
    let hosts: Vec<_> = (0..10).map(|n| format!("mx{n}.there.example")).collect();
    let records: Vec<_> = hosts.iter().map(|host| (10, host.as_str())).collect();
    world.dns.set_mx("there.example", &records);
    world.dns.set_delay(Duration::from_secs(10));
    world.submit(&["a@there.example"]).await;
    world.start();
    world.drained(Duration::from_secs(21)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn q_05_private_hosts_are_not_called_unless_that_is_allowed() {
    for allowed in [false, true] {
        let mut world = World::new(Mta::good());
        world.options.own.insecure_allow_private_targets = allowed;
        world
            .dns
            .set_addresses("mx1.there.example", &["127.0.0.1".parse().unwrap()]);
        world
            .dns
            .set_addresses("mx2.there.example", &["fd00::1".parse().unwrap()]);
        world.submit(&["a@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(world.mta.contents().len(), usize::from(allowed));
        assert_eq!(world.postman.reports().len(), usize::from(!allowed));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_reply_to_starttls_end_the_conversation() {
    let mta = Mta::new(|seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("250-mta\r\n250 STARTTLS"),
        Some("STARTTLS") => say("220 go\r\n250 injected"),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    let reply = world.only().await.reply.unwrap();
    assert!(reply.contains("bytes behind the reply"), "{reply}");
    assert!(!world.mta.commands().iter().any(|c| c.starts_with("MAIL")));
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_tls_is_broken_is_called_again_without_it() {
    let mta = Mta::new(|seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("250-mta\r\n250 STARTTLS"),
        // The end of the connection is no handshake.
        Some("STARTTLS") => Act::SayAndClose("220 go\r\n".to_owned()),
        _ => Act::Usual,
    });
    let world = delivered(mta, &["a@there.example"]).await;
    assert_eq!(world.mta.connects(), 2);
    let hosts: Vec<_> = world.mta.seen().iter().map(|seen| seen.to).collect();
    assert!(hosts.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(start_paused = true)]
async fn q_02_a_delay_is_told_once_and_after_five_days_the_failure() {
    let mut world = World::new(Mta::new(|seen| match seen.event {
        Event::Connect => Act::Refuse,
        _ => Act::Usual,
    }));
    let begun = world.clock.wall();
    world.submit(&["a@there.example"]).await;
    world.start();
    world.drained(minutes(6 * 24 * 60)).await;
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 2);
    assert!(reports[0].contains("Action: delayed\r\n"));
    assert!(reports[0].contains("Will-Retry-Until: "));
    assert!(reports[1].contains("Action: failed\r\n"));
    let hours = |at: usize| world.postman.times()[at].1.since(begun).as_secs() / 3600;
    assert_eq!(hours(0), 4);
    assert!((120..124).contains(&hours(1)), "{}", hours(1));
}

#[tokio::test(start_paused = true)]
async fn q_02_strangers_are_not_told_of_delays() {
    let mut world = World::new(Mta::new(|_| Act::Refuse));
    world
        .put("x@far.example", &["a@there.example"], None, MESSAGE)
        .await;
    world.start();
    world.drained(minutes(6 * 24 * 60)).await;
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Action: failed\r\n"));
}

#[tokio::test(start_paused = true)]
async fn recipients_beyond_what_a_server_takes_at_once_follow_at_once() {
    let mut taken = 0;
    let mta = Mta::new(move |seen| match seen.command().split(' ').next() {
        Some("MAIL") => {
            taken = 0;
            Act::Usual
        }
        Some("RCPT") => {
            taken += 1;
            match taken {
                1 | 2 => Act::Usual,
                _ => say("452 4.5.3 too many"),
            }
        }
        _ => Act::Usual,
    });
    let to = ["a@there.example", "b@there.example", "c@there.example"];
    let mut world = World::new(mta);
    world.submit(&to).await;
    world.start();
    world.drained(Duration::from_secs(1)).await;
    assert_eq!(world.mta.contents().len(), 2);
    assert_eq!(world.mta.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_and_a_stale_one_replaced() {
    let mut world = World::new(Mta::good());
    world.start();
    for _ in 0..2 {
        world.submit(&["a@there.example"]).await;
        world.drained(minutes(1)).await;
    }
    assert_eq!(world.mta.connects(), 1);
    assert!(world.mta.commands().iter().all(|c| c != "RSET"));
    // The server closed it in the meantime, with or without a word.
    for act in [
        Act::Close,
        Act::SayAndClose("421 4.4.2 idle\r\n".to_owned()),
    ] {
        let before = world.mta.connects();
        let mut once = Some(act);
        world.mta.change(move |seen| {
            let mail = seen.command().starts_with("MAIL");
            once.take_if(|_| mail).unwrap_or(Act::Usual)
        });
        world.submit(&["a@there.example"]).await;
        world.drained(Duration::from_secs(1)).await;
        assert_eq!(world.mta.connects(), before + 1);
    }
    world.pass(minutes(1)).await;
    assert_eq!(
        world.mta.commands().last().map(String::as_str),
        Some("QUIT")
    );
}

#[tokio::test(start_paused = true)]
async fn many_messages_go_over_few_connections() {
    let mut world = World::new(Mta::good());
    for _ in 0..250 {
        world.submit(&["a@there.example"]).await;
    }
    world.start();
    world.drained(minutes(1)).await;
    assert_eq!(world.mta.contents().len(), 250);
    assert!(world.mta.connects() <= 20, "{}", world.mta.connects());
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_costs_few_calls() {
    let mut world = World::new(Mta::new(|_| Act::Refuse));
    for _ in 0..50 {
        world.submit(&["a@there.example"]).await;
    }
    world.submit(&["a@up.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert_eq!(world.listed().await.len(), 50, "up.example does not exist");
    for message in world.listed().await {
        assert_eq!(message.recipients[0].attempts, 1);
    }
    // Two hosts for each attempt of the first window, and once more for what it left.
    assert!(
        world.mta.connects() <= 2 * (5 + 1),
        "{}",
        world.mta.connects()
    );
}

#[tokio::test(start_paused = true)]
async fn an_operators_bounce_is_reported_without_a_call() {
    let mut world = World::new(Mta::good());
    let id = world.submit(&["a@there.example"]).await;
    let selection = Selection::Message(id);
    world.queue.apply(Action::Bounce, &selection).await.unwrap();
    assert_eq!(world.only().await.state, Standing::Bouncing);
    world.start();
    world.drained(minutes(1)).await;
    assert_eq!(world.mta.connects(), 0);
    assert!(world.postman.reports()[0].contains("Status: 5.0.0\r\n"));
}

#[tokio::test(start_paused = true)]
async fn q_08_one_message_is_not_behind_thousands_of_another_account() {
    let mut world = World::new(Mta::good());
    // More than the worker has on its board for one destination.
    for _ in 0..2100 {
        world.submit(&["a@there.example"]).await;
    }
    let other = Some(AccountId(2));
    world
        .put("other@here.example", &["b@there.example"], other, MESSAGE)
        .await;
    world.start();
    world.drained(minutes(60)).await;
    let commands = world.mta.commands();
    let senders = commands.iter().filter(|c| c.starts_with("MAIL"));
    let turn = senders
        .enumerate()
        .find(|(_, command)| command.contains("<other@"));
    assert!(turn.unwrap().0 < 10, "{turn:?}");
    assert_eq!(world.mta.contents().len(), 2101);
}

#[tokio::test(start_paused = true)]
async fn q_06_a_closing_server_is_given_less() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let mta = Mta::new(move |seen| match seen.event {
        Event::Connect if count.load(Ordering::Relaxed) >= 2 => {
            Act::SayAndClose("421 4.7.0 too many connections\r\n".to_owned())
        }
        Event::Connect => {
            count.fetch_add(1, Ordering::Relaxed);
            Act::Usual
        }
        Event::Gone => {
            count.fetch_sub(1, Ordering::Relaxed);
            Act::Close
        }
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    for _ in 0..40 {
        world.submit(&["a@there.example"]).await;
    }
    world.start();
    // The attempts that were turned away leave their mail to those that were not.
    world.drained(minutes(1)).await;
    assert_eq!(world.mta.contents().len(), 40);
}

#[test]
fn log_01_the_relay_tells_what_came_of_each_recipient_and_of_the_report() {
    let mut id = None;
    let text = logged(|| {
        run(async {
            let mta = Mta::new(|seen| match seen.command() {
                "RCPT TO:<no@there.example>" => say("550 5.1.1 no such user"),
                _ => Act::Usual,
            });
            let mut world = World::new(mta);
            world.dns.set_mx("nowhere.example", &[(0, ".")]);
            let to = ["yes@there.example", "no@there.example", "x@nowhere.example"];
            id = Some(world.submit(&to).await.to_string());
            world.start();
            world.drained(minutes(60)).await;
        });
    });
    let (id, host) = (id.unwrap(), "host=mx1.there.example [198.51.100.1]");
    let about = |what: &str| {
        let mut lines = text.lines().filter(|line| line.contains(" mail: "));
        let line = lines.find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("{what} is not in {text}"))
    };
    about(&format!(
        "sent id={id} to=<yes@there.example> {host} reply=250 "
    ));
    let reply = "reply=550 5.1.1 no such user class=unknown-user took_ms=";
    about(&format!(
        "bounced id={id} to=<no@there.example> {host} {reply}"
    ));
    // Who said nothing has no name and no code.
    about(&format!("bounced id={id} to=<x@nowhere.example> reason=5."));
    let report = about(&format!("about={id} from=<> to=<user@here.example>"));
    assert!(report.contains("accepted id=") && !report.contains(&format!(" id={id}")));
    assert!(
        !text.contains("reply=0") && !text.contains("host= "),
        "{text}"
    );
}
