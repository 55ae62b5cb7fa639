//! Which messages of a mailbox are gone since a moment, for a client that was away.
//!
//! The log tells it as far as it reaches back; before that the gaps between the UIDs do, because
//! a mailbox gives its UIDs without gaps: then more is told than asked for, as RFC 7162 3.2.6 wants
//! it. A range of the log may run over UIDs that were gone before it, so may the answer. All sizes
//! in linear work.

use super::{
    codec::Undecodable,
    fault::MailboxFault,
    handle::Mailbox,
    index::Index,
    load::{log_page, read_trimmed},
    record::Record,
    uids::UidRanges,
};
use crate::base::ids::ModSeq;

impl Mailbox {
    /// UIDs among these ascending, disjoint ranges whose messages are gone since `since`, as such
    /// ranges; without the ascending `shown`, which a session still counts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn gone_since(
        &self,
        since: ModSeq,
        among: &[(u32, u32)],
        shown: &[u32],
    ) -> Result<Vec<(u32, u32)>, MailboxFault> {
        if self.read(Index::last_expunge) <= since {
            return Ok(Vec::new());
        }
        let gone = match self.logged_since(since).await? {
            Some(gone) => gone,
            None => self.read(gaps),
        };
        Ok(gone.among(among).without(shown).into_ranges())
    }

    /// What the log says was expunged since; `None` where it does not reach back so far, or cannot
    /// be understood.
    async fn logged_since(&self, since: ModSeq) -> Result<Option<UidRanges>, MailboxFault> {
        let (engine, account, mailbox) = (self.engine(), self.account(), self.id());
        // What was logged before the mailbox was made is not the mailbox's.
        let since = since.max(self.created());
        if read_trimmed(engine, account, mailbox).await? > since {
            return Ok(None);
        }
        let (mut gone, mut after) = (Vec::new(), since);
        loop {
            let page = log_page(engine, account, mailbox, after).await?;
            for (modseq, record) in &page.records {
                after = *modseq;
                match record {
                    Ok(Record::Expunged(uids)) => gone.extend_from_slice(uids.ranges()),
                    Ok(Record::Appended(_) | Record::Flags(..)) => {}
                    Err(Undecodable) => return Ok(None),
                }
            }
            if !page.more {
                break;
            }
        }
        // It may have been trimmed while it was read.
        let is_whole = read_trimmed(engine, account, mailbox).await? <= since;
        Ok(is_whole.then(|| UidRanges::merged(gone)))
    }
}

/// Every UID that was given and whose message is not here.
fn gaps(index: &Index) -> UidRanges {
    let last = index.uid_next() - 1;
    let given = match last {
        0 => UidRanges::default(),
        last => UidRanges::merged(vec![(1, last)]),
    };
    given.without(index.uids())
}
