//! Every verb of the operator for the queue once, through the socket: what goes over it and what
//! comes back.

use std::sync::Arc;

use buzon::{
    admin::{Answer, Operations, QueueAction, QueueRequest, Request, Selected, socket},
    app::services::Services,
    base::random::Random,
    config::Config,
    fulltext::Fulltext,
    queue::news::{Rest, Sums},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::relay::{mta::Mta, world::World};

/// An operator and the socket he asks through.
struct Desk {
    world: World,
    path: std::path::PathBuf,
    _dir: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
    _serving: tokio::task::JoinSet<()>,
}

impl Desk {
    async fn open() -> Self {
        let world = World::new(Mta::good());
        let mut config = Config::default();
        config.server.hostname = "mail.here.example".to_owned();
        let chance = (world.clock.clone(), Random::seeded(3));
        let services = Services::over(Arc::clone(&world.engine), chance.clone(), &config);
        let services = services.await.unwrap();
        let operations = Operations::new(
            services.directory,
            services.mailboxes,
            world.queue.clone(),
            Fulltext::default(),
            chance,
        );
        let dir = tempfile::tempdir().unwrap();
        let path = socket::path_in(dir.path());
        let listener = socket::bind(&path).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(socket::serve(listener, operations, async {
            let _ = stopped.await;
        }));
        Self {
            world,
            path,
            _dir: dir,
            _stop: stop,
            _serving: serving,
        }
    }

    async fn ask(&self, request: QueueRequest) -> Result<Value, String> {
        let answer = socket::ask(&self.path, &Request::Queue { request }).await;
        match answer.unwrap().unwrap() {
            Answer::Done(value) => Ok(value),
            Answer::Refused(why) => Err(why),
        }
    }

    async fn change(&self, action: QueueAction, id: &str) -> Result<Value, String> {
        let selected = Selected {
            id: Some(id.to_owned()),
            ..Selected::default()
        };
        self.ask(QueueRequest::Change { action, selected }).await
    }

    async fn listed(&self) -> Value {
        let list = QueueRequest::List {
            filters: Default::default(),
            from: None,
            limit: 10,
        };
        self.ask(list).await.unwrap()
    }
}

fn changed(count: u64) -> Result<Value, String> {
    Ok(json!({ "changed": count, "busy": 0, "unaffected": 0 }))
}

#[tokio::test]
async fn what_is_done_to_waiting_mail_goes_through_the_socket() {
    let desk = Desk::open().await;
    let id = desk
        .world
        .submit(&["a@there.example", "b@there.example"])
        .await;
    let id = id.to_string();
    let listed = desk.listed().await;
    assert_eq!(listed["messages"][0]["id"], id);
    assert_eq!(
        listed["messages"][0]["recipients"][1]["address"],
        "b@there.example"
    );
    assert_eq!(listed["next"], Value::Null);
    for (action, state) in [
        (QueueAction::Hold, "held"),
        (QueueAction::Release, "waiting"),
        (QueueAction::Retry, "waiting"),
        (
            QueueAction::Reroute {
                to: "mx.other.example:26".to_owned(),
            },
            "waiting",
        ),
        (QueueAction::Bounce, "bouncing"),
    ] {
        assert_eq!(
            desk.change(action.clone(), &id).await,
            changed(2),
            "{action:?}"
        );
        let shown = desk
            .ask(QueueRequest::Show { id: id.clone() })
            .await
            .unwrap();
        assert_eq!(shown["recipients"][0]["state"], state, "{action:?}");
        if let QueueAction::Reroute { to } = action {
            assert_eq!(shown["recipients"][0]["via"], to);
        }
    }
    assert_eq!(desk.change(QueueAction::Drop, &id).await, changed(2));
    assert_eq!(desk.listed().await["messages"], json!([]));
    assert!(desk.change(QueueAction::Drop, &id).await.is_err());
    assert!(desk.change(QueueAction::Retry, "nothing").await.is_err());
    assert!(desk.ask(QueueRequest::Show { id }).await.is_err());
    // Nothing selected is not everything.
    let selected = Selected::default();
    let action = QueueAction::Drop;
    assert!(
        desk.ask(QueueRequest::Change { action, selected })
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_known_of_destinations_goes_through_the_socket() {
    let desk = Desk::open().await;
    let id = desk.world.submit(&["a@there.example"]).await.to_string();
    let domain = || Some("there.example".to_owned());
    for (request, new) in [
        (QueueRequest::Pause { domain: domain() }, true),
        (QueueRequest::Pause { domain: domain() }, false),
        (QueueRequest::Pause { domain: None }, true),
        (QueueRequest::Resume { domain: domain() }, true),
        (QueueRequest::Resume { domain: domain() }, false),
    ] {
        assert_eq!(
            desk.ask(request.clone()).await.unwrap()["changed"],
            new,
            "{request:?}"
        );
    }
    let now = desk.world.clock.wall().secs();
    let rest = Rest {
        until_secs: now + 600,
        why: Some("mx1: 421 less".to_owned()),
    };
    for (name, rest) in [
        ("there.example", Some(rest.clone())),
        ("*.example", Some(rest)),
        ("x.example", None),
    ] {
        let sums = Sums {
            attempts: 1,
            rest,
            ..Sums::default()
        };
        desk.world.queue.news().add(name, sums);
    }
    let stats = desk.ask(QueueRequest::Stats { limit: 10 }).await.unwrap();
    assert_eq!(stats["total"]["waiting"], 1);
    assert_eq!(stats["total"]["attempts"], 3);
    assert_eq!(stats["paused"][0]["what"], "all");
    assert_eq!(stats["destinations"][0]["destination"], "there.example");
    let both = json!([
        { "what": "*.example", "until_secs": now + 600, "why": "mx1: 421 less" },
        { "what": "there.example", "until_secs": now + 600, "why": "mx1: 421 less" },
    ]);
    assert_eq!(stats["resting"], both);
    assert_eq!(desk.listed().await["resting"], both);
    // Of one message, those that it may wait for.
    let shown = desk.ask(QueueRequest::Show { id }).await.unwrap();
    assert_eq!(shown["resting"], both);
    let other = desk.world.submit(&["a@other.test"]).await.to_string();
    let shown = desk.ask(QueueRequest::Show { id: other }).await.unwrap();
    assert_eq!(shown["resting"], json!([]));
    let watch = QueueRequest::Watch {
        from: Some(0),
        filters: Default::default(),
    };
    assert_eq!(
        desk.ask(watch).await.unwrap(),
        json!({ "events": [], "next": 0, "missed": 0 })
    );
}
