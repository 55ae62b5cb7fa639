//! Random histories compared with a model: a list of messages per mailbox. Snapshots, restarts and
//! sweeps happen in between and must not show.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::mailbox::record::tests::{flag_changes, flag_sets};

#[derive(Clone, Debug)]
enum Step {
    Append(usize, FlagSet, u16),
    Store(usize, Picked, FlagChange),
    Expunge(usize, Picked),
    Copy(usize, Picked, usize),
    Move(usize, Picked, usize),
    RenameInbox,
    DeleteAndCreate,
    Snapshots,
    Restart,
    Sweep,
}

/// Which messages of a mailbox: every so many from some place on.
#[derive(Clone, Copy, Debug)]
struct Picked {
    from: u32,
    step: u32,
}

impl Picked {
    fn of(self, numbers: impl Iterator<Item = u32>) -> Vec<Uid> {
        uids(numbers.filter(|n| *n >= self.from && (n - self.from).is_multiple_of(self.step)))
    }
}

/// The mailboxes by name; the last one is deleted and made again.
const NAMES: [&str; 3] = ["INBOX", "Archive", "fleeting"];

#[derive(Clone, Debug, PartialEq)]
struct Plain {
    uid: u32,
    flags: FlagSet,
    text: String,
}

#[derive(Clone, Debug, Default)]
struct Model {
    messages: BTreeMap<usize, Vec<Plain>>,
    next: BTreeMap<usize, u32>,
    renamed: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let picked = || (1_u32..12, 1_u32..4).prop_map(|(from, step)| Picked { from, step });
    let step = prop_oneof![
        8 => (0_usize..3, flag_sets(), any::<u16>()).prop_map(|(m, f, n)| Step::Append(m, f, n)),
        4 => (0_usize..3, picked(), flag_changes()).prop_map(|(m, p, c)| Step::Store(m, p, c)),
        3 => (0_usize..3, picked()).prop_map(|(m, p)| Step::Expunge(m, p)),
        3 => (0_usize..3, picked(), 0_usize..3).prop_map(|(m, p, t)| Step::Copy(m, p, t)),
        3 => (0_usize..3, picked(), 0_usize..3).prop_map(|(m, p, t)| Step::Move(m, p, t)),
        1 => Just(Step::RenameInbox),
        1 => Just(Step::DeleteAndCreate),
        1 => Just(Step::Snapshots),
        1 => Just(Step::Restart),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..40)
}

fn changed(flags: &FlagSet, change: &FlagChange) -> FlagSet {
    let operand = &change.flags;
    let kept = |wanted: bool| {
        let keywords = flags.keywords().iter();
        keywords
            .filter(|k| wanted || !operand.keywords().contains(k))
            .cloned()
            .collect::<Vec<_>>()
    };
    match change.mode {
        FlagMode::Replace => operand.clone(),
        FlagMode::ReplaceAmong(classes) => {
            let others = if classes.keywords {
                Vec::new()
            } else {
                kept(true)
            };
            FlagSet::new(
                flags.system.without(classes.system).union(operand.system),
                [others, operand.keywords().to_vec()].concat(),
            )
        }
        FlagMode::Add => FlagSet::new(
            flags.system.union(operand.system),
            [kept(true), operand.keywords().to_vec()].concat(),
        ),
        FlagMode::Remove => FlagSet::new(flags.system.without(operand.system), kept(false)),
    }
}

impl Model {
    fn mailbox(&mut self, mailbox: usize) -> &mut Vec<Plain> {
        self.messages.entry(mailbox).or_default()
    }

    fn add(&mut self, mailbox: usize, flags: FlagSet, text: String) {
        let next = self.next.entry(mailbox).or_insert(1);
        let uid = *next;
        *next += 1;
        self.mailbox(mailbox).push(Plain { uid, flags, text });
    }

    fn named(&mut self, mailbox: usize, picked: &[Uid]) -> Vec<Plain> {
        let all = self.mailbox(mailbox).iter();
        all.filter(|m| picked.contains(&uid(m.uid)))
            .cloned()
            .collect()
    }

    fn remove(&mut self, mailbox: usize, picked: &[Uid]) {
        self.mailbox(mailbox)
            .retain(|m| !picked.contains(&uid(m.uid)));
    }
}

/// A world and the model of it.
struct Pair {
    world: World,
    model: Model,
}

impl Pair {
    async fn new() -> Self {
        let world = World::new().await;
        world
            .mailboxes
            .create(ALICE, &name(NAMES[2]), None)
            .await
            .unwrap();
        Self {
            world,
            model: Model::default(),
        }
    }

    async fn id(&self, mailbox: usize) -> MailboxId {
        let found = self
            .world
            .mailboxes
            .find(ALICE, &name(NAMES[mailbox]))
            .await;
        found.unwrap().unwrap().id
    }

    async fn open(&self, mailbox: usize) -> Mailbox {
        self.world.open(self.id(mailbox).await).await
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append(mailbox, flags, n) => {
                let text = message(n.into());
                let id = self.id(mailbox).await;
                self.world.append(id, &text, flags.clone()).await;
                self.model.add(mailbox, flags, text);
            }
            Step::Store(mailbox, picked, change) => {
                let opened = self.open(mailbox).await;
                let some = picked.of(1..30);
                let stored = opened.store_flags(&some, &change).await.unwrap();
                let mut expected = Vec::new();
                for message in self.model.mailbox(mailbox) {
                    let after = changed(&message.flags, &change);
                    if some.contains(&uid(message.uid)) && after != message.flags {
                        message.flags = after;
                        expected.push(uid(message.uid));
                    }
                }
                assert_eq!(stored.changed, expected);
            }
            Step::Expunge(mailbox, picked) => {
                let some = picked.of(self.model.mailbox(mailbox).iter().map(|m| m.uid));
                let gone = self.open(mailbox).await.expunge(&some).await.unwrap();
                assert_eq!(gone, some);
                self.model.remove(mailbox, &some);
            }
            Step::Copy(mailbox, picked, target) => {
                self.transfer(mailbox, picked, target, false).await
            }
            Step::Move(mailbox, picked, target) => {
                self.transfer(mailbox, picked, target, true).await
            }
            Step::RenameInbox => {
                self.model.renamed += 1;
                let to = name(&format!("renamed-{}", self.model.renamed));
                self.world
                    .mailboxes
                    .rename(ALICE, &name("INBOX"), &to)
                    .await
                    .unwrap();
                let gone = std::mem::take(self.model.mailbox(0));
                let there = self
                    .world
                    .mailboxes
                    .find(ALICE, &to)
                    .await
                    .unwrap()
                    .unwrap();
                let there = self.world.open(there.id).await;
                assert_eq!(there.read(Index::len), gone.len());
            }
            Step::DeleteAndCreate => {
                let fleeting = name(NAMES[2]);
                self.world.mailboxes.delete(ALICE, &fleeting).await.unwrap();
                self.world
                    .mailboxes
                    .create(ALICE, &fleeting, None)
                    .await
                    .unwrap();
                self.model.messages.remove(&2);
                self.model.next.remove(&2);
            }
            Step::Snapshots => {
                for mailbox in 0..NAMES.len() {
                    let id = self.id(mailbox).await;
                    self.world.mailboxes.write_snapshot_of(id).await.unwrap();
                }
            }
            Step::Restart => self.world = self.world.restarted(),
            Step::Sweep => self.world.sweep().await,
        }
    }

    async fn transfer(&mut self, mailbox: usize, picked: Picked, target: usize, moved: bool) {
        let some = picked.of(self.model.mailbox(mailbox).iter().map(|m| m.uid));
        let target_id = self.id(target).await;
        let opened = self.open(mailbox).await;
        let copied = if moved {
            opened.move_to(&some, target_id).await.unwrap()
        } else {
            opened.copy_to(&some, target_id, None).await.unwrap()
        };
        assert_eq!(copied.from, some);
        let messages = self.model.named(mailbox, &some);
        if moved {
            self.model.remove(mailbox, &some);
        }
        let first = *self.model.next.entry(target).or_insert(1);
        assert_eq!(copied.to, uids((first..).take(some.len())));
        for message in messages {
            self.model.add(target, message.flags, message.text);
        }
    }

    async fn compare(&mut self) {
        for mailbox in 0..NAMES.len() {
            let opened = self.open(mailbox).await;
            let found: Vec<_> = opened.read(|index| {
                let entries = (0..index.len()).map(|position| index.entry(position).unwrap());
                entries
                    .map(|e| (e.uid.number(), e.flags(), e.email))
                    .collect()
            });
            let expected = self.model.mailbox(mailbox).clone();
            let plain: Vec<_> = found.iter().map(|(u, f, _)| (*u, f.clone())).collect();
            let wanted: Vec<_> = expected.iter().map(|m| (m.uid, m.flags.clone())).collect();
            assert_eq!(plain, wanted);
            for ((_, _, email), message) in found.iter().zip(&expected) {
                assert_eq!(self.world.text(*email).await.as_ref(), Some(&message.text));
            }
        }
        self.world.assert_usage_is_exact().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn random_histories_agree_with_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for step in steps {
                pair.take(step).await;
            }
            pair.compare().await;
            pair.world = pair.world.restarted();
            pair.world.sweep().await;
            pair.compare().await;
        });
    }
}
