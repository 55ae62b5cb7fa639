//! In which mailboxes the copies of a message are, where that is not INBOX.
//!
//! What is for Junk goes there; else, where the operator wants it, mail for `user+tag` goes to the
//! mailbox `tag` of an account that has it. A stranger chooses the tag: no mailbox is made for it,
//! none that is for something (Sent, Trash) takes it, and none below another does.

use super::{
    plan::Filing,
    router::{Acceptance, Router},
};
use crate::{
    accounts::Targets,
    base::ids::AccountId,
    mailbox::{Entry, INBOX, MailboxFault, SpecialUse},
};

impl Router {
    /// The mailboxes of those whose copies are not for INBOX.
    pub(super) async fn filing(&self, acceptance: &Acceptance) -> Result<Filing, MailboxFault> {
        let mut filing = Filing::new();
        for target in &acceptance.targets {
            let reached = &target.reached;
            for account in reached.all_accounts() {
                let tag = tag_of(account, reached).filter(|_| self.0.tag_mailboxes);
                if filing.contains_key(&account) || !acceptance.junk && tag.is_none() {
                    continue;
                }
                let mailboxes = self.mailboxes().list(account).await?;
                let found = match (acceptance.junk, tag) {
                    (true, _) => mailboxes.into_iter().find(is_junk),
                    (false, tag) => tagged(mailboxes, tag.unwrap_or_default()),
                };
                if let Some(entry) = found {
                    filing.insert(account, (entry.id, entry.name));
                }
            }
        }
        Ok(filing)
    }
}

/// The tag under which an account was reached.
pub(super) fn tag_of(account: AccountId, reached: &Targets) -> Option<&str> {
    let mut tags = reached.tags.iter();
    let (_, tag) = tags.find(|(tagged, _)| *tagged == account)?;
    Some(tag)
}

fn is_junk(entry: &Entry) -> bool {
    entry.special_use == Some(SpecialUse::Junk)
}

/// The mailbox that a tag names: to the letter, else the only one in other letters.
fn tagged(mailboxes: Vec<Entry>, tag: &str) -> Option<Entry> {
    let folded = tag.to_lowercase();
    let takes = |entry: &Entry| {
        let name = entry.name.as_str();
        let plain = entry.id != INBOX && entry.special_use.is_none() && !name.contains('/');
        plain && name.to_lowercase() == folded
    };
    let mut found: Vec<Entry> = mailboxes.into_iter().filter(takes).collect();
    match found.iter().position(|entry| entry.name.as_str() == tag) {
        Some(exact) => Some(found.swap_remove(exact)),
        None => found.pop().filter(|_| found.is_empty()),
    }
}
