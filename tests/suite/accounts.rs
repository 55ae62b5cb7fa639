//! The directory over an engine: changes are atomic and conditional, logins cost the same,
//! nothing that was read once is believed after somebody else changed it.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod passwords;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use buzon::{
    accounts::{
        Cost, Directory, DirectoryError, Group, NotAPassword, Options, Resolution, Senders,
        Unusable, VerifyFault,
        limits::{ADDRESSES_PER_ACCOUNT_MAX, EXPANSION_MAX, HASHES_WAITING_MAX, VERIFIED_FOR},
    },
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, Proof},
        limits::PASSWORD_BYTES_MAX,
        random::Random,
        secret::Secret,
    },
    mail::address::{Address, Domain},
    store::{
        Batch, Engine,
        fault::{CommitFault, Fault},
        key,
        memory::Memory,
    },
};

const LIGHT: Cost = Cost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

fn options() -> Options {
    Options {
        cost: LIGHT,
        hashes_at_once: NonZeroUsize::MIN,
        ..Options::default()
    }
}

async fn open_with(engine: Arc<dyn Engine>, options: Options) -> Directory {
    let clock = Clock::steered(Timestamp::from_secs(1_000));
    let opened = Directory::open(engine, clock, Random::seeded(1), options).await;
    opened.unwrap()
}

async fn open(engine: Arc<dyn Engine>) -> Directory {
    open_with(engine, options()).await
}

/// A directory with `example.org` and `alice`, whose password is `secret`.
async fn with_alice(engine: Arc<dyn Engine>) -> (Directory, AccountId) {
    with_alice_at(engine, LIGHT).await
}

async fn with_alice_at(engine: Arc<dyn Engine>, cost: Cost) -> (Directory, AccountId) {
    let options = Options { cost, ..options() };
    let directory = open_with(engine, options).await;
    directory.add_domain(&domain("example.org")).await.unwrap();
    let alice = add(&directory, "alice@example.org").await.unwrap();
    (directory, alice)
}

async fn add(directory: &Directory, at: &str) -> Result<AccountId, DirectoryError> {
    let password = secret("secret");
    directory
        .add_account(&address(at), &password, &|_, _| {})
        .await
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn login(directory: &Directory, name: &str, password: &str) -> Option<AccountId> {
    let proof = directory.verify(name, &secret(password)).await.unwrap();
    proof.map(|proof| proof.account)
}

fn group_of(members: &[Address]) -> Group {
    Group {
        members: members.to_vec(),
        owners: vec![address("alice@example.org")],
        senders: Senders::Anyone,
    }
}

fn reached(directory: &Directory, to: &str) -> Resolution {
    directory.snapshot().resolve_address(&address(to))
}

#[tokio::test]
async fn what_was_changed_is_there_after_a_restart() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (directory, alice) = with_alice(engine.clone()).await;
    let bob = add(&directory, "Bob@example.org").await.unwrap();
    directory
        .add_address(alice, &address("a.lice@example.org"))
        .await
        .unwrap();
    let both = [address("alice@example.org"), address("bob@example.org")];
    directory
        .add_alias(&address("info@example.org"), &both[..1])
        .await
        .unwrap();
    directory
        .add_group(&address("team@example.org"), &group_of(&both))
        .await
        .unwrap();
    directory
        .set_targets(&address("info@example.org"), &both[1..])
        .await
        .unwrap();
    directory.set_quota(bob, 77).await.unwrap();
    directory.set_disabled(alice, true).await.unwrap();
    let catch = address("bob@example.org");
    directory
        .set_catch_all(&domain("example.org"), Some(&catch))
        .await
        .unwrap();

    let again = open(engine).await;
    for directory in [&directory, &again] {
        let snapshot = directory.snapshot();
        assert_eq!(snapshot.accounts().count(), 2);
        assert!(snapshot.account(alice).unwrap().disabled);
        assert_eq!(snapshot.account(bob).unwrap().quota_bytes, 77);
        assert_eq!(
            snapshot.account(bob).unwrap().address,
            address("Bob@example.org")
        );
        assert_eq!(snapshot.domains().next().unwrap().entries().count(), 5);
        for (to, accounts) in [("info@example.org", 1), ("any@example.org", 1)] {
            match reached(directory, to) {
                Resolution::Targets(targets) => assert_eq!(targets.accounts.len(), accounts),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            reached(directory, "a.lice@example.org"),
            Resolution::Disabled
        );
    }
    assert_eq!(login(&again, "bob@example.org", "secret").await, Some(bob));
}

#[tokio::test]
async fn changes_say_what_stands_in_their_way() {
    use DirectoryError as E;
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let nobody = AccountId(99);
    let (here, there) = (domain("example.org"), domain("other.example"));
    let target = [address("alice@example.org")];
    let alias = address("info@example.org");
    directory.add_alias(&alias, &target).await.unwrap();

    assert!(matches!(
        directory.add_domain(&here).await,
        Err(E::DomainExists)
    ));
    assert!(matches!(
        directory.add_domain(&domain("[192.0.2.1]")).await,
        Err(E::NotAName)
    ));
    assert!(matches!(
        directory.remove_domain(&there).await,
        Err(E::UnknownDomain)
    ));
    assert!(matches!(
        directory.remove_domain(&here).await,
        Err(E::DomainInUse(2))
    ));
    assert!(matches!(
        directory.set_catch_all(&there, None).await,
        Err(E::UnknownDomain)
    ));
    assert!(matches!(
        add(&directory, "ALICE@example.org").await,
        Err(E::AddressExists)
    ));
    assert!(matches!(
        add(&directory, "info@example.org").await,
        Err(E::AddressExists)
    ));
    assert!(matches!(
        add(&directory, "x@other.example").await,
        Err(E::UnknownDomain)
    ));
    assert!(matches!(
        directory.set_quota(nobody, 1).await,
        Err(E::UnknownAccount)
    ));
    assert!(matches!(
        directory.remove_account(nobody).await,
        Err(E::UnknownAccount)
    ));
    let taken = directory.add_address(alice, &alias).await;
    assert!(matches!(taken, Err(E::AddressExists)));
    let first = directory
        .remove_address(&address("Alice@example.org"))
        .await;
    assert!(matches!(first, Err(E::FirstAddress)));
    assert!(matches!(
        directory.remove_address(&alias).await,
        Err(E::UnknownAddress)
    ));
    assert!(matches!(
        directory.remove_group(&alias).await,
        Err(E::UnknownAddress)
    ));
    assert!(matches!(
        directory.set_targets(&target[0], &target).await,
        Err(E::UnknownAddress)
    ));
    assert!(matches!(
        directory.set_targets(&alias, &[]).await,
        Err(E::NoTargets)
    ));
    let remote = address("x@remote.example");
    assert!(matches!(
        directory.add_alias(&remote, &target).await,
        Err(E::UnknownDomain)
    ));
}

#[tokio::test]
async fn a_domain_goes_when_nothing_uses_it_any_more() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let alias = address("info@example.org");
    let target = [address("alice@example.org")];
    directory.add_alias(&alias, &target).await.unwrap();
    directory.remove_alias(&alias).await.unwrap();
    directory.remove_account(alice).await.unwrap();
    let here = domain("example.org");
    directory.remove_domain(&here).await.unwrap();
    assert_eq!(
        reached(&directory, "alice@example.org"),
        Resolution::NotLocal
    );
}

#[tokio::test]
async fn an_alias_that_would_reach_nobody_is_refused_when_it_is_made() {
    use DirectoryError as E;
    let (directory, _) = with_alice(Arc::new(Memory::new())).await;
    let (one, two) = (address("one@example.org"), address("two@example.org"));
    let own = directory.add_alias(&one, std::slice::from_ref(&one)).await;
    assert!(matches!(own, Err(E::Unusable(Unusable::Loop))));
    // The second one closes the circle.
    directory
        .add_alias(&one, std::slice::from_ref(&two))
        .await
        .unwrap();
    let circle = directory
        .add_alias(&two, &[address("one+tag@example.org")])
        .await;
    assert!(matches!(circle, Err(E::Unusable(Unusable::Loop))));
    let with_a_way_out = [one.clone(), address("alice@example.org")];
    directory.add_alias(&two, &with_a_way_out).await.unwrap();
    let any = address("any@example.org");
    let own = directory
        .set_catch_all(&domain("example.org"), Some(&any))
        .await;
    assert!(matches!(own, Err(E::Unusable(Unusable::Loop))));

    let many = vec![address("m@remote.example"); EXPANSION_MAX + 1];
    let group = address("many@example.org");
    assert!(matches!(
        directory.add_group(&group, &group_of(&many)).await,
        Err(E::TooManyTargets)
    ));
    directory
        .add_group(&group, &group_of(&many[1..]))
        .await
        .unwrap();
    let long = address(&format!("{}@remote.example", "m".repeat(60)));
    let long = vec![long; EXPANSION_MAX];
    assert!(matches!(
        directory
            .change_group(&group, |group| group.members.clone_from(&long))
            .await,
        Err(E::TooManyTargets)
    ));
    let none = directory.change_group(&group, |group| group.members.clear());
    assert!(matches!(none.await, Err(E::NoTargets)));
    let longest = address(&format!("{}@example.org", "g".repeat(57)));
    let named = directory.add_group(&longest, &group_of(&many[1..])).await;
    assert!(matches!(named, Err(E::NameTooLong)));
}

#[tokio::test]
async fn an_account_has_its_number_of_addresses_and_no_more() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    for n in 1..ADDRESSES_PER_ACCOUNT_MAX {
        let own = address(&format!("a{n}@example.org"));
        directory.add_address(alice, &own).await.unwrap();
    }
    let over = directory
        .add_address(alice, &address("over@example.org"))
        .await;
    assert!(matches!(over, Err(DirectoryError::TooManyAddresses)));
    // All of them go in one commit.
    directory.remove_account(alice).await.unwrap();
    assert_eq!(reached(&directory, "a1@example.org"), Resolution::Unknown);
}

#[tokio::test]
async fn a_new_account_comes_with_what_it_is_provided_with_or_not_at_all() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let (directory, _) = with_alice(engine.clone()).await;
    let provision = |batch: &mut Batch, id: AccountId| {
        batch.put(key::subscription(id, "INBOX"), b"yes".to_vec());
    };
    let at = address("bob@example.org");
    engine.fail_commit(1, CommitFault::Full);
    let refused = directory
        .add_account(&at, &secret("secret"), &provision)
        .await;
    assert!(matches!(refused, Err(DirectoryError::Full)));
    assert_eq!(reached(&directory, "bob@example.org"), Resolution::Unknown);
    // A conflict is decided again.
    engine.fail_commit(1, CommitFault::Conflict);
    let bob = directory
        .add_account(&at, &secret("secret"), &provision)
        .await
        .unwrap();
    assert_eq!(bob, AccountId(2));
    let provided = engine.get(&key::subscription(bob, "INBOX")).await.unwrap();
    assert_eq!(provided.as_deref(), Some(&b"yes"[..]));
}

#[tokio::test]
async fn numbers_of_accounts_are_never_given_out_again() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (directory, alice) = with_alice(engine.clone()).await;
    directory.remove_account(alice).await.unwrap();
    assert!(
        engine
            .get(&key::removed_account(alice))
            .await
            .unwrap()
            .is_some()
    );
    assert!(add(&directory, "alice@example.org").await.unwrap() > alice);
    let again = open(engine).await;
    assert!(add(&again, "bob@example.org").await.unwrap() > AccountId(2));
}

#[tokio::test]
async fn two_processes_on_one_store_never_mix_their_changes() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (one, alice) = with_alice(engine.clone()).await;
    let other = open(engine).await;
    let bob = add(&one, "bob@example.org").await.unwrap();
    // The other one decides on what it has not seen yet, meets the condition, and decides again.
    let taken = add(&other, "bob@example.org").await;
    assert!(matches!(taken, Err(DirectoryError::AddressExists)));
    let carol = add(&other, "carol@example.org").await.unwrap();
    assert!(carol > bob && bob > alice);
    assert_eq!(other.snapshot().accounts().count(), 3);
    one.reload().await.unwrap();
    assert_eq!(one.snapshot().accounts().count(), 3);
}

#[tokio::test]
async fn many_changes_at_once_all_happen() {
    let (directory, alice) = with_alice(Arc::new(Memory::new())).await;
    let mut changes = tokio::task::JoinSet::new();
    for n in 0..50 {
        let directory = directory.clone();
        let own = address(&format!("a{n}@example.org"));
        changes.spawn(async move { directory.add_address(alice, &own).await });
    }
    while let Some(change) = changes.join_next().await {
        change.unwrap().unwrap();
    }
    assert_eq!(
        directory
            .snapshot()
            .domains()
            .next()
            .unwrap()
            .entries()
            .count(),
        51
    );
}

#[tokio::test]
async fn a_change_given_up_half_way_is_not_overlooked() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let fault = Arc::new(Fault::new(engine));
    let (directory, alice) = with_alice(fault.clone()).await;
    assert!(
        login(&directory, "alice@example.org", "secret")
            .await
            .is_some()
    );
    // The commit happens, and the answer is lost.
    fault.fail_commit(1, CommitFault::CrashAfter);
    assert!(directory.set_disabled(alice, true).await.is_err());
    assert_eq!(login(&directory, "alice@example.org", "secret").await, None);
    assert!(directory.snapshot().account(alice).unwrap().disabled);
}

#[tokio::test]
async fn dur_10_a_damaged_record_stops_nothing_else() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (directory, alice) = with_alice(engine.clone()).await;
    let bob = add(&directory, "bob@example.org").await.unwrap();
    let mut batch = Batch::new();
    batch.put(key::account(alice), b"\x63 from the future".to_vec());
    batch.put(key::address("example.org", "odd"), b"".to_vec());
    batch.put(key::domain("other.example"), b"?".to_vec());
    batch.put(key::domain("not a domain"), b"?".to_vec());
    engine.commit(batch).await.unwrap();
    let again = open(engine).await;
    assert_eq!(login(&again, "bob@example.org", "secret").await, Some(bob));
    assert_eq!(login(&again, "alice@example.org", "secret").await, None);
    // Mail for what is damaged waits; it is not refused for good.
    let damaged = Resolution::Unusable(Unusable::Damaged);
    assert_eq!(reached(&again, "alice@example.org"), damaged);
    assert_eq!(reached(&again, "odd@example.org"), damaged);
    assert_eq!(reached(&again, "x@other.example"), Resolution::Unknown);
    // What is damaged can be removed.
    again
        .remove_alias(&address("odd@example.org"))
        .await
        .unwrap();
}

#[tokio::test]
async fn auth_08_nobody_is_there_at_first() {
    let directory = open(Arc::new(Memory::new())).await;
    assert_eq!(directory.snapshot().accounts().count(), 0);
    assert_eq!(login(&directory, "admin", "admin").await, None);
    assert_eq!(login(&directory, "postmaster@localhost", "").await, None);
}

#[tokio::test]
async fn a_domain_stands_for_one_that_stands_for_none() {
    use DirectoryError as E;
    let (directory, _) = with_alice(Arc::new(Memory::new())).await;
    let [here, other, third] = ["example.org", "other.example", "third.example"].map(domain);
    directory.set_stands_for(&other, Some(&here)).await.unwrap();
    for (name, wanted) in [
        (&third, &other),
        (&here, &here),
        (&third, &domain("x.example")),
    ] {
        let made = directory.set_stands_for(name, Some(wanted)).await;
        assert!(matches!(made, Err(E::StandsForNone(_))), "{name}");
    }
    directory.add_domain(&third).await.unwrap();
    let catch = address("alice@example.org");
    for refused in [
        directory.set_stands_for(&here, Some(&third)).await,
        directory.set_catch_all(&other, Some(&catch)).await,
    ] {
        assert!(matches!(refused, Err(E::StandsForItself(_))));
    }
    directory.set_catch_all(&third, Some(&catch)).await.unwrap();
    let caught = directory.set_stands_for(&third, Some(&here)).await;
    assert!(matches!(caught, Err(E::StandsForItself(_))));
    let to = reached(&directory, "alice@other.example");
    assert!(matches!(to, Resolution::Targets(_)));
    directory.set_stands_for(&other, None).await.unwrap();
    assert_eq!(
        reached(&directory, "alice@other.example"),
        Resolution::Unknown
    );
    let nobody = directory.set_stands_for(&domain("x.example"), None).await;
    assert!(matches!(nobody, Err(E::UnknownDomain)));
}

#[tokio::test]
async fn grants_are_given_once_and_taken_away() {
    use DirectoryError as E;
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let (directory, alice) = with_alice(engine.clone()).await;
    let grant = "@remote.example".parse().unwrap();
    directory.add_grant(alice, &grant).await.unwrap();
    let twice = directory.add_grant(alice, &grant).await;
    assert!(matches!(twice, Err(E::GrantExists)));
    let again = open(engine).await.snapshot();
    assert!(again.may_send(alice, &address("x@remote.example")));
    directory.remove_grant(alice, &grant).await.unwrap();
    let gone = directory.remove_grant(alice, &grant).await;
    assert!(matches!(gone, Err(E::UnknownGrant)));
    for n in 0..100 {
        let grant = format!("a{n}@remote.example").parse().unwrap();
        directory.add_grant(alice, &grant).await.unwrap();
    }
    let more = directory.add_grant(alice, &grant).await;
    assert!(matches!(more, Err(E::TooManyGrants)));
}
