//! Which function runs which verb, of those that are about names and about messages.
//!
//! A verb gets what it works on, not the session: it cannot change the state. Verbs that do are in
//! `session`.

use super::{
    acl, copy, expunge,
    fault::{Refusal, Stop},
    fetch, list, login, mailboxes,
    message_limit::MessageLimit,
    metadata, multisearch, quota, resync, search,
    select::{Selected, Which},
    session::{Account, Asked, Outcome, not_now},
    spelling, store,
};
use crate::{
    imap::proto::{command::CommandBody, dialog::Imap, response::Response},
    net::Turn,
};

/// What may be asked after login without a mailbox.
pub(super) async fn of_names(
    account: Account<'_>,
    selected: Option<&Selected>,
    asked: &Asked,
    body: CommandBody,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    match body {
        CommandBody::Create {
            mailbox,
            special_use,
        } => {
            let outcome = mailboxes::create(account, &mailbox, special_use).await?;
            if outcome.is_ok() {
                spelling::tell(account, (&mailbox, &mailbox), turn).await?;
            }
            Ok(outcome)
        }
        CommandBody::Rename { from, to } => {
            let outcome = mailboxes::rename(account, &from, &to).await?;
            if outcome.is_ok() {
                spelling::tell(account, (&from, &to), turn).await?;
            }
            Ok(outcome)
        }
        CommandBody::Subscribe { mailbox } => mailboxes::subscribe(account, &mailbox).await,
        CommandBody::Unsubscribe { mailbox } => mailboxes::unsubscribe(account, &mailbox).await,
        CommandBody::List(query) => list::list(account, selected, &query, turn).await,
        CommandBody::Lsub { reference, pattern } => {
            list::lsub(account, &reference, &pattern, turn).await
        }
        CommandBody::Status { mailbox, items } => {
            mailboxes::status(account, selected, &mailbox, &items, turn).await
        }
        CommandBody::SetAcl {
            mailbox,
            identifier,
            change,
        } => acl::set(account, &mailbox, &identifier, &change).await,
        CommandBody::DeleteAcl {
            mailbox,
            identifier,
        } => acl::delete(account, &mailbox, &identifier).await,
        CommandBody::GetAcl { mailbox } => acl::get(account, &mailbox, turn).await,
        CommandBody::ListRights {
            mailbox,
            identifier,
        } => acl::list(account, &mailbox, &identifier, turn).await,
        CommandBody::MyRights { mailbox } => acl::mine(account, &mailbox, turn).await,
        CommandBody::Enable(names) => {
            let before = turn.dialogue().enabled();
            let enabled = login::enable(turn.dialogue(), &names);
            turn.reply(&enabled).await?;
            resync::note_condstore(before, selected, turn).await?;
            Ok(Ok(None))
        }
        CommandBody::MultiSearch { sources, query } => {
            let wish = (&sources[..], &query);
            multisearch::search(account, None, asked, wish, turn).await
        }
        CommandBody::GetMetadata { mailbox, query } => {
            metadata::tell(account, mailbox, &query, turn).await
        }
        CommandBody::SetMetadata { mailbox, entries } => {
            metadata::set(account, &mailbox, entries).await
        }
        CommandBody::GetQuota { root } => quota::of_root(account, &root, turn).await,
        CommandBody::GetQuotaRoot { mailbox } => quota::of_mailbox(account, mailbox, turn).await,
        CommandBody::SetQuota => Ok(quota::set()),
        CommandBody::Namespace => {
            turn.reply(&Response::Namespace).await?;
            Ok(Ok(None))
        }
        _ => Ok(Err(not_now())),
    }
}

/// What may be asked with a mailbox.
pub(super) async fn of_messages(
    account: Account<'_>,
    selected: &mut Selected,
    asked: &Asked,
    body: CommandBody,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    selected.reconsider(account).await?;
    if let Err(refusal) = selected.refresh().await? {
        return Ok(Err(refusal));
    }
    let limit = MessageLimit::of(account);
    match body {
        // RFC 3501 6.4.1: there is nothing to check; what is acknowledged is durable.
        CommandBody::Check => Ok(Ok(None)),
        CommandBody::Expunge => expunge::expunge(selected).await,
        CommandBody::UidExpunge(set) => {
            let which = Which::new(true, set).within(limit);
            expunge::uid_expunge(selected, &which, turn).await
        }
        CommandBody::Fetch {
            uid,
            set,
            items,
            modifiers,
        } => {
            let which = Which::new(uid, set).within(limit);
            let wish = fetch::Wish { items, modifiers };
            fetch::fetch(account, selected, &which, &wish, turn).await
        }
        CommandBody::Store {
            uid,
            set,
            mode,
            unchanged_since,
            silent,
            flags,
        } => {
            let which = Which::new(uid, set).within(limit);
            let change = store::Change {
                mode,
                unchanged_since,
                silent,
                flags,
            };
            store::store(selected, &which, &change, turn).await
        }
        CommandBody::Copy { uid, set, mailbox } => {
            let which = Which::new(uid, set).within(limit);
            copy::copy(account, selected, &which, &mailbox).await
        }
        CommandBody::Move { uid, set, mailbox } => {
            let which = Which::new(uid, set).within(limit);
            copy::move_away(account, selected, &which, &mailbox, turn).await
        }
        body => of_searches(account, selected, asked, body, turn).await,
    }
}

/// What looks for messages.
async fn of_searches(
    account: Account<'_>,
    selected: &mut Selected,
    asked: &Asked,
    body: CommandBody,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    match body {
        CommandBody::Search(query) => {
            let wish = search::Wish {
                query: &query,
                criteria: &[],
            };
            search::search(account, selected, asked, wish, turn).await
        }
        CommandBody::Sort { criteria, query } => {
            let wish = search::Wish {
                query: &query,
                criteria: &criteria,
            };
            search::search(account, selected, asked, wish, turn).await
        }
        CommandBody::Thread { algorithm, query } => {
            search::thread(account, selected, asked, (algorithm, &query), turn).await
        }
        CommandBody::MultiSearch { sources, query } => {
            let wish = (&sources[..], &query);
            multisearch::search(account, Some(selected), asked, wish, turn).await
        }
        CommandBody::CancelUpdate(tags) => Ok(match selected.contexts.cancel(&tags) {
            true => Ok(None),
            false => Err(Refusal::bad("no search with this tag is kept current")),
        }),
        body => of_names(account, Some(selected), asked, body, turn).await,
    }
}
