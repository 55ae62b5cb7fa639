//! Removing an account: its login and its addresses go at once, in one commit.
//!
//! What its mailboxes hold can be large, so it goes afterwards, in pieces and behind a mark that
//! the commit leaves; the floor of mailboxes erases what is marked, also after a crash in
//! between. Its number is never given out again, so nothing of it can come to another account.

use super::{change::DirectoryError, directory::Directory, snapshot::Edit};
use crate::{base::ids::AccountId, store::key};

impl Directory {
    /// Removes an account with all its own addresses. Aliases and groups that name them stay as
    /// they are, and mail they send there is refused from now on. Mail that the account has
    /// queued is still sent.
    pub async fn remove_account(&self, id: AccountId) -> Result<(), DirectoryError> {
        let removed = self.0.clock.wall();
        self.change(|snapshot, batch| {
            snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            let own = snapshot.addresses_of(id);
            let own =
                own.map(|(domain, local)| Edit::RemoveEntry(domain.clone(), local.to_owned()));
            let mut edits: Vec<Edit> = own.collect();
            edits.push(Edit::RemoveAccount(id));
            batch.put(key::removed_account(id), removed.0.to_be_bytes().to_vec());
            Ok((edits, ()))
        })
        .await
    }
}
