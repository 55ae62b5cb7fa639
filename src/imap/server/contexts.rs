//! Searches whose result is kept current while their mailbox is selected (RFC 5267 4.3).
//!
//! A context holds what was found, as UIDs, and up to where the mailbox's changes were weighed. It
//! is told after what changed is told, but for messages that are gone: those are taken out before
//! their EXPUNGE, while their numbers are still theirs. What a search, or NOTIFY, wants to know of
//! new messages is told along with it (RFC 5465 5.2, 7).

use std::{collections::BTreeMap, mem};

use super::{
    effort::{Budget, Exhausted},
    fault::Stop,
    fetch,
    progress::Progress,
    scope::Scope,
    search::{self, Decided, Inquiry, Looks},
    search_key::Candidate,
    select::{Selected, Uids, Which},
    session::Account,
    updates::CHUNK_MESSAGES,
};
use crate::{
    base::ids::ModSeq,
    imap::{
        proto::{
            command::Tag,
            dialog::Imap,
            enabled::Enabled,
            esearch,
            fetch::{FetchItem, FetchModifiers},
            response::{Code, Response, Status},
            search::SearchKey,
            sequence::{MessageSet, SequenceSet, SetWriter},
        },
        view::View,
    },
    net::{Gone, Turn},
};

/// The contexts of a session.
#[derive(Debug, Default)]
pub(super) struct Contexts(Vec<Context>);

/// One search that is kept current.
#[derive(Debug)]
pub(super) struct Context {
    /// Of the command that began it.
    tag: Tag,
    uids: Uids,
    /// What is looked for; message numbers are resolved.
    key: SearchKey,
    /// What `$` in it stands for.
    saved: SequenceSet,
    /// What the client believes is found: UIDs, ascending.
    found: Vec<u32>,
    /// Up to where changes were weighed.
    modseq: ModSeq,
    /// What is told of messages that come (RFC 5465 7).
    items: Vec<FetchItem>,
}

/// Messages that have just come into the view.
#[derive(Debug, Default)]
pub(super) struct Arrivals<'i> {
    /// Ascending; not those that the session made itself.
    pub(super) uids: Vec<u32>,
    /// What NOTIFY asked to be told of them.
    pub(super) items: &'i [FetchItem],
}

/// What changed in the result of one context.
struct Change {
    tag: Tag,
    added: Vec<u32>,
    removed: Vec<u32>,
}

impl Context {
    /// A search with this result, found in a view as it was at `modseq`.
    pub(super) fn new(
        tag: &Tag,
        uids: Uids,
        (key, saved): (SearchKey, SequenceSet),
        found: &[Candidate],
        modseq: ModSeq,
    ) -> Self {
        Self {
            tag: tag.clone(),
            uids,
            key,
            saved,
            found: found.iter().map(|candidate| candidate.uid).collect(),
            modseq,
            items: Vec::new(),
        }
    }

    /// It, with what is told of messages that come.
    pub(super) fn telling(mut self, items: &[FetchItem]) -> Self {
        self.items = items.to_vec();
        self
    }

    /// Bytes of memory that it takes.
    fn bytes(&self) -> usize {
        let items = self.items.len() * size_of::<FetchItem>();
        self.key.bytes() + self.saved.bytes() + self.found.len() * size_of::<u32>() + items
    }

    /// What changes when `seen` were looked at and `found` of them are found: added and removed.
    fn take(&mut self, seen: &[u32], found: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let is_in = |set: &[u32], uid: &u32| set.binary_search(uid).is_ok();
        let added = found.iter().filter(|uid| !is_in(&self.found, uid));
        let added: Vec<u32> = added.copied().collect();
        let removed = seen
            .iter()
            .filter(|uid| is_in(&self.found, uid) && !is_in(found, uid));
        let removed: Vec<u32> = removed.copied().collect();
        self.found.retain(|uid| !is_in(&removed, uid));
        self.found.extend(&added);
        self.found.sort_unstable();
        (added, removed)
    }

    /// One ADDTO or REMOVEFROM (RFC 5267 4.3.3, 4.3.4), by mailbox order: position zero.
    async fn tell(
        &self,
        what: &str,
        uids: &[u32],
        view: &View,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Gone> {
        if uids.is_empty() {
            return Ok(());
        }
        let uid_only = turn.dialogue().enabled().contains(Enabled::UIDONLY);
        let uids_said = Uids::of(self.uids == Uids::Said || uid_only);
        let out = turn.output();
        esearch::begin(out, &self.tag, uids_said == Uids::Said);
        out.bytes(b" ").text(what).bytes(b" (0 ");
        let mut set = SetWriter::default();
        for chunk in uids.chunks(CHUNK_MESSAGES) {
            let out = turn.output();
            for uid in chunk {
                let number = match uids_said {
                    Uids::Said => Some(*uid),
                    Uids::Silent => view
                        .position(*uid)
                        .and_then(|position| u32::try_from(position + 1).ok()),
                };
                if let Some(number) = number {
                    set.push(out, number);
                }
            }
            turn.make_room().await?;
        }
        set.end(turn.output());
        turn.output().bytes(b")").crlf();
        turn.make_room().await
    }
}

impl Contexts {
    /// Whether the command with this tag is a context (RFC 5267 4.3).
    pub(super) fn has(&self, tag: &Tag) -> bool {
        self.0.iter().any(|context| context.tag == *tag)
    }

    /// Keeps one more; false when there are too many, or they are too large (RFC 5267 4.3.1).
    pub(super) fn keep(&mut self, context: Context) -> bool {
        let kept = self.0.iter().map(Context::bytes).sum::<usize>();
        let fits = self.0.len() < CONTEXTS_MAX && kept + context.bytes() <= CONTEXT_BYTES_MAX;
        if fits {
            self.0.push(context);
        }
        fits
    }

    /// CANCELUPDATE; whether all of these were contexts.
    pub(super) fn cancel(&mut self, tags: &[Tag]) -> bool {
        let all = tags.iter().all(|tag| self.has(tag));
        self.0.retain(|context| !tags.contains(&context.tag));
        all
    }
}

/// Takes messages that are gone out of every context, before their EXPUNGE is told.
pub(super) async fn tell_gone(
    selected: &mut Selected,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    let Selected { view, contexts, .. } = selected;
    for context in &mut contexts.0 {
        let (_, removed) = context.take(view.gone(), &[]);
        context.tell("REMOVEFROM", &removed, view, turn).await?;
    }
    Ok(())
}

/// Weighs what changed since it was last weighed, and tells what it does to each context, and what
/// is wanted of new messages.
pub(super) async fn tell(
    account: Account<'_>,
    selected: &mut Selected,
    arrivals: &Arrivals<'_>,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Stop> {
    let (changes, outcome) = weigh_all(account, selected, turn).await?;
    // RFC 5465 5.2: what NOTIFY asked for is told behind ADDTO, along with what searches want of
    // the same message; without that, they are told before it (RFC 5465 7).
    let first = arrivals.items.is_empty();
    if first {
        fetch(account, selected, arrivals, &changes, turn).await?;
    }
    for change in &changes {
        let Selected { view, contexts, .. } = &*selected;
        let mut contexts = contexts.0.iter();
        if let Some(context) = contexts.find(|context| context.tag == change.tag) {
            context
                .tell("REMOVEFROM", &change.removed, view, turn)
                .await?;
            context.tell("ADDTO", &change.added, view, turn).await?;
        }
    }
    if !first {
        fetch(account, selected, arrivals, &changes, turn).await?;
    }
    outcome
}

/// What is wanted of messages that came: one FETCH response for each.
async fn fetch(
    account: Account<'_>,
    selected: &mut Selected,
    arrivals: &Arrivals<'_>,
    changes: &[Change],
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Stop> {
    if arrivals.uids.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<Vec<usize>, Vec<(u32, u32)>> = BTreeMap::new();
    for uid in &arrivals.uids {
        let came_into = |change: &Change| change.added.binary_search(uid).is_ok();
        let contexts = selected.contexts.0.iter().enumerate();
        let telling = contexts.filter(|(_, context)| {
            let mut changes = changes.iter().filter(|change| change.tag == context.tag);
            !context.items.is_empty() && changes.any(came_into)
        });
        let telling = telling.map(|(at, _)| at).collect();
        wanted.entry(telling).or_default().push((*uid, *uid));
    }
    for (telling, uids) in wanted {
        let contexts = telling.iter().filter_map(|at| selected.contexts.0.get(*at));
        let mut items = arrivals.items.to_vec();
        for item in contexts.flat_map(|context| &context.items) {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        if items.is_empty() {
            continue;
        }
        let set = MessageSet::Listed(SequenceSet::of_ranges(uids));
        let which = Which::new(true, set);
        let wish = fetch::Wish {
            items,
            modifiers: FetchModifiers::default(),
        };
        // What cannot be told of a message is not; that it came was.
        _ = fetch::fetch(account, selected, &which, &wish, turn).await?;
    }
    Ok(())
}

/// Weighs what changed for every context; those that cannot be kept current are let go. What was
/// weighed before a fault is told.
async fn weigh_all(
    account: Account<'_>,
    selected: &mut Selected,
    turn: &mut Turn<'_, Imap>,
) -> Result<(Vec<Change>, Result<(), Stop>), Stop> {
    let mut contexts = mem::take(&mut selected.contexts);
    let (mut budget, mut bytes, mut outcome) = (Budget::new(), 0, Ok(()));
    let (mut kept, mut changes) = (Vec::with_capacity(contexts.0.len()), Vec::new());
    for mut context in contexts.0.drain(..) {
        if outcome.is_ok() {
            let weighed = weigh(account, selected, &mut context, &mut budget, turn).await;
            bytes += context.bytes();
            match weighed {
                Ok(Ok(change)) if bytes <= CONTEXT_BYTES_MAX => changes.extend(change),
                Ok(Ok(_) | Err(Exhausted)) => {
                    bytes -= context.bytes();
                    refuse(&context.tag, turn).await?;
                    continue;
                }
                Err(stop) => outcome = Err(stop),
            }
        }
        kept.push(context);
    }
    selected.contexts = Contexts(kept);
    Ok((changes, outcome))
}

async fn weigh(
    account: Account<'_>,
    selected: &Selected,
    context: &mut Context,
    budget: &mut Budget,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Option<Change>, Exhausted>, Stop> {
    // What the index holds beyond the view is weighed when the view shows it.
    let now = selected.view.modseq();
    if now <= context.modseq {
        return Ok(Ok(None));
    }
    let inquiry = Inquiry {
        account,
        scope: Scope {
            saved: &context.saved,
            ..selected.scope()
        },
        progress: &Progress::default(),
        permit: None,
        looks: Looks::ALL,
    };
    let decided = search::decided(inquiry, &context.key, context.modseq, budget);
    let Ok(Decided { seen, found, .. }) = turn.unless_gone(decided).await?? else {
        return Ok(Err(Exhausted));
    };
    context.modseq = now;
    let found: Vec<u32> = found.iter().map(|candidate| candidate.uid).collect();
    let (added, removed) = context.take(&seen, &found);
    Ok(Ok(Some(Change {
        tag: context.tag.clone(),
        added,
        removed,
    })))
}

/// RFC 5267 4.3.1: no updates, or no more of them.
pub(super) async fn refuse(tag: &Tag, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
    let refusal = Response::Untagged {
        status: Status::No,
        code: Some(Code::NoUpdate(tag.clone())),
        text: "this search is not kept current".into(),
    };
    turn.reply(&refusal).await
}

/// LIM-36: searches that one session keeps current.
pub(super) const CONTEXTS_MAX: usize = 8;
/// LIM-36: bytes of what they look for and have found.
const CONTEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> (SearchKey, SequenceSet) {
        (SearchKey::All, SequenceSet::of_ranges(Vec::new()))
    }

    #[test]
    fn a_context_follows_what_is_seen_and_found() {
        let tag = Tag::parse(b"a").unwrap();
        let mut context = Context::new(&tag, Uids::Said, everything(), &[], ModSeq(1));
        for (seen, found, added, removed, holds) in [
            (
                &[1, 2, 3][..],
                &[1, 3][..],
                &[1, 3][..],
                &[][..],
                &[1, 3][..],
            ),
            (&[1, 2], &[1, 2], &[2], &[], &[1, 2, 3]),
            (&[2, 3], &[], &[], &[2, 3], &[1]),
            (&[7], &[7], &[7], &[], &[1, 7]),
            (&[], &[], &[], &[], &[1, 7]),
        ] {
            let change = context.take(seen, found);
            assert_eq!(change, (added.to_vec(), removed.to_vec()));
            assert_eq!(context.found, holds);
        }
    }

    #[test]
    fn lim_36_what_a_session_keeps_current_is_bounded_in_bytes() {
        let tag = Tag::parse(b"a").unwrap();
        let context = |found: usize, text: usize| {
            let key = SearchKey::Not(Box::new(SearchKey::Text("x".repeat(text))));
            let candidate = Candidate {
                position: 0,
                uid: 1,
                recent: false,
                relevancy: 100,
            };
            let (_, saved) = everything();
            Context::new(
                &tag,
                Uids::Said,
                (key, saved),
                &vec![candidate; found],
                ModSeq(1),
            )
        };
        let mut contexts = Contexts::default();
        assert!(!contexts.keep(context(CONTEXT_BYTES_MAX / 4, 0)));
        assert!(contexts.keep(context(CONTEXT_BYTES_MAX / 8, 0)));
        assert!(!contexts.keep(context(0, CONTEXT_BYTES_MAX / 2)));
        assert!(contexts.keep(context(CONTEXT_BYTES_MAX / 16, 1000)));
        assert_eq!(contexts.0.len(), 2);
    }

    #[test]
    fn lim_36_a_session_keeps_eight_searches_current() {
        let mut contexts = Contexts::default();
        let tag = |number: usize| Tag::parse(format!("t{number}").as_bytes()).unwrap();
        for number in 0..=CONTEXTS_MAX {
            let context = Context::new(&tag(number), Uids::Said, everything(), &[], ModSeq(1));
            assert_eq!(contexts.keep(context), number < CONTEXTS_MAX);
        }
        assert!(contexts.has(&tag(0)) && !contexts.has(&tag(CONTEXTS_MAX)));
        assert!(!contexts.cancel(&[tag(0), tag(CONTEXTS_MAX)]));
        assert!(!contexts.has(&tag(0)) && contexts.cancel(&[tag(1)]));
    }
}
