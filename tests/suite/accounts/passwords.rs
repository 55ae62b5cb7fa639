//! Logins: what they cost, what is remembered of them, and which sessions end.

use super::*;

#[tokio::test]
async fn auth_05_unknown_wrong_and_disabled_all_run_one_hash_and_say_the_same() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let disabled = add(&directory, "gone@example.org").await.unwrap();
    directory.set_disabled(disabled, true).await.unwrap();
    assert_eq!(
        login(&directory, "alice@example.org", "secret").await,
        Some(alice)
    );
    for (name, password) in [
        ("alice@example.org", "wrong"),
        ("unknown@example.org", "secret"),
        ("unknown@elsewhere.example", "secret"),
        ("gone@example.org", "secret"),
        ("gone@example.org", "wrong"),
        ("alice@example.org\0", "secret"),
        ("", "secret"),
    ] {
        assert_eq!(login(&directory, name, password).await, None, "{name:?}");
    }
}

#[tokio::test]
async fn auth_05_a_hash_is_run_for_every_name_or_none_can_be_told_apart() {
    // The only place for a hash is taken and the queue is full: whoever is hashed is told so.
    let (directory, _) = with_alice_at(Arc::new(Memory::new()), Cost::default()).await;
    let disabled = add(&directory, "gone@example.org").await.unwrap();
    directory.set_disabled(disabled, true).await.unwrap();
    let crowd = crowd(&directory).await;
    for name in [
        "alice@example.org",
        "unknown@example.org",
        "gone@example.org",
    ] {
        let verified = directory.verify(name, &secret("wrong")).await;
        assert!(matches!(verified, Err(VerifyFault::Busy)), "{name}");
    }
    drop(crowd);
}

/// Logins that fill the queue and are not polled any further.
async fn crowd(
    directory: &Directory,
) -> Vec<std::pin::Pin<Box<dyn Future<Output = Result<Option<Proof>, VerifyFault>>>>> {
    let mut crowd = Vec::new();
    // Hashes of those who went away before are done when a later one is.
    let _ = directory.verify("nobody@example.org", &secret("x")).await;
    // At the real cost the first hash outlasts this loop, and nothing that waits gives its place
    // back before it is polled again.
    for n in 0..=HASHES_WAITING_MAX {
        let directory = directory.clone();
        let mut login: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
            let name = format!("crowd{n}@example.org");
            directory.verify(&name, &secret("x")).await
        });
        std::future::poll_fn(|cx| {
            assert!(login.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        crowd.push(login);
    }
    crowd
}

#[tokio::test]
async fn lim_40_passwords_outside_of_1_to_1024_bytes_fail_like_any_other() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let longest = "x".repeat(PASSWORD_BYTES_MAX);
    directory
        .set_password(alice, &secret(&longest))
        .await
        .unwrap();
    assert_eq!(
        login(&directory, "alice@example.org", &longest).await,
        Some(alice)
    );
    for length in [0, PASSWORD_BYTES_MAX - 1, PASSWORD_BYTES_MAX + 1, 1_000_000] {
        let typed = "x".repeat(length);
        assert_eq!(
            login(&directory, "alice@example.org", &typed).await,
            None,
            "{length}"
        );
    }
    for (typed, refusal) in [
        (String::new(), NotAPassword::Empty),
        ("x".repeat(PASSWORD_BYTES_MAX + 1), NotAPassword::TooLong),
        ("a\nb".to_owned(), NotAPassword::Control),
    ] {
        let set = directory.set_password(alice, &Secret::new(typed)).await;
        assert!(matches!(set, Err(DirectoryError::Password(why)) if why == refusal));
    }
}

#[tokio::test]
async fn rfc_8265_a_password_may_be_typed_composed_or_not() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    directory
        .set_password(alice, &secret("caf\u{65}\u{301}"))
        .await
        .unwrap();
    let typed = login(&directory, "alice@example.org", "caf\u{e9}").await;
    assert_eq!(typed, Some(alice));
    assert_eq!(
        login(&directory, "alice@example.org", "CAF\u{c9}").await,
        None
    );
}

#[tokio::test]
async fn auth_03_a_verified_password_is_not_hashed_again_until_something_changes() {
    let (directory, alice) = with_alice_at(Arc::new(Memory::new()), Cost::default()).await;
    let name = "alice@example.org";
    assert_eq!(login(&directory, name, "secret").await, Some(alice));
    // With the queue full only what is remembered gets through.
    let full = crowd(&directory).await;
    assert_eq!(login(&directory, name, "secret").await, Some(alice));
    assert_eq!(
        login(&directory, "ALICE@EXAMPLE.ORG", "secret").await,
        Some(alice)
    );
    let wrong = directory.verify(name, &secret("Secret")).await;
    assert!(matches!(wrong, Err(VerifyFault::Busy)));
    drop(full);

    directory.set_quota(alice, 5).await.unwrap();
    let full = crowd(&directory).await;
    let dropped = directory.verify(name, &secret("secret")).await;
    assert!(matches!(dropped, Err(VerifyFault::Busy)));
    drop(full);

    assert_eq!(login(&directory, name, "secret").await, Some(alice));
    directory.set_password(alice, &secret("new")).await.unwrap();
    assert_eq!(login(&directory, name, "secret").await, None);
    assert_eq!(login(&directory, name, "new").await, Some(alice));
    directory.remove_account(alice).await.unwrap();
    assert_eq!(login(&directory, name, "new").await, None);
}

#[tokio::test]
async fn auth_03_a_verified_password_is_forgotten_after_five_minutes() {
    let (directory, alice) = with_alice_at(Arc::new(Memory::new()), Cost::default()).await;
    let name = "alice@example.org";
    assert_eq!(login(&directory, name, "secret").await, Some(alice));
    tokio::time::pause();
    tokio::time::advance(VERIFIED_FOR - Duration::from_millis(1)).await;
    let full = crowd(&directory).await;
    assert_eq!(login(&directory, name, "secret").await, Some(alice));
    tokio::time::advance(Duration::from_millis(1)).await;
    let forgotten = directory.verify(name, &secret("secret")).await;
    assert!(matches!(forgotten, Err(VerifyFault::Busy)));
    drop(full);
}

#[tokio::test]
async fn auth_01_a_weak_hash_is_made_again_at_the_next_login() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (_, alice) = with_alice(engine.clone()).await;
    let stronger = Options {
        cost: Cost { passes: 2, ..LIGHT },
        ..options()
    };
    let directory = open_with(engine, stronger).await;
    let verifier = |directory: &Directory| {
        let snapshot = directory.snapshot();
        snapshot.account(alice).unwrap().verifier.expose().clone()
    };
    assert!(verifier(&directory).contains("t=1"));
    assert_eq!(login(&directory, "alice@example.org", "wrong").await, None);
    assert!(verifier(&directory).contains("t=1"));
    assert_eq!(
        login(&directory, "alice@example.org", "secret").await,
        Some(alice)
    );
    assert!(verifier(&directory).contains("t=2"));
    assert_eq!(
        login(&directory, "alice@example.org", "secret").await,
        Some(alice)
    );
    // Being hashed again ends no session (AUTH-06).
    assert_eq!(directory.snapshot().account(alice).unwrap().credentials, 0);
}

#[tokio::test]
async fn auth_06_what_must_end_sessions_is_counted() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let count = || directory.snapshot().account(alice).unwrap().credentials;
    directory.set_quota(alice, 1).await.unwrap();
    assert_eq!(count(), 0);
    directory.set_password(alice, &secret("new")).await.unwrap();
    assert_eq!(count(), 1);
    directory.set_disabled(alice, true).await.unwrap();
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn auth_06_who_must_go_is_told_and_others_may_stay() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (directory, alice) = with_alice(engine.clone()).await;
    let bob = add(&directory, "bob@example.org").await.unwrap();
    let prove = |name: &'static str, password: &'static str| {
        let directory = directory.clone();
        async move {
            let verified = directory.verify(name, &secret(password)).await;
            verified.unwrap().unwrap()
        }
    };
    let mut changes = directory.credential_changes();
    let of_alice = prove("alice@example.org", "secret").await;
    let of_bob = prove("bob@example.org", "secret").await;
    directory.set_quota(alice, 1).await.unwrap();
    assert!(directory.holds(of_alice) && !changes.has_changed().unwrap());

    directory.set_password(alice, &secret("new")).await.unwrap();
    assert!(!directory.holds(of_alice) && directory.holds(of_bob));
    changes.changed().await.unwrap();
    let of_alice = prove("alice@example.org", "new").await;
    assert!(directory.holds(of_alice));

    // By another process on the same store.
    let other = open(engine).await;
    other.set_disabled(alice, true).await.unwrap();
    other.set_disabled(alice, false).await.unwrap();
    directory.reload().await.unwrap();
    changes.changed().await.unwrap();
    assert!(!directory.holds(of_alice) && directory.holds(of_bob));

    directory.remove_account(bob).await.unwrap();
    changes.changed().await.unwrap();
    assert!(!directory.holds(of_bob));
}
