//! What a session must be told: the difference between its view of a mailbox and the index.
//!
//! Pure. The session's view is a list of UIDs and the modseq at which it was true; the answer is
//! sorted and complete. Nothing is scanned that cannot have changed.

use super::index::Index;
use crate::base::ids::ModSeq;

/// What changed between what a session was told and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// UIDs that were told and are gone.
    pub expunged: Vec<u32>,
    /// UIDs that are new.
    pub appended: Vec<u32>,
    /// UIDs that were told and whose flags changed.
    pub flagged: Vec<u32>,
    /// Where the mailbox stands now.
    pub modseq: ModSeq,
}

impl Index {
    /// What changed since a session was told the ascending UIDs `told` at `since`.
    pub fn changes(&self, since: ModSeq, told: &[u32]) -> Changes {
        let mut changes = Changes {
            expunged: Vec::new(),
            appended: Vec::new(),
            flagged: Vec::new(),
            modseq: self.modseq(),
        };
        if since >= self.modseq() {
            return changes;
        }
        let uids = self.uids();
        // UIDs only rise, so what is new lies above all that was told.
        let old = told
            .last()
            .map_or(0, |last| uids.partition_point(|uid| uid <= last));
        changes.appended = uids[old..].to_vec();
        if self.last_expunge() > since {
            changes.expunged = missing(told, &uids[..old]);
        }
        if self.last_flags() > since {
            changes.flagged = (0..old)
                .filter(|&position| self.modseqs()[position] > since.0)
                .map(|position| uids[position])
                .collect();
        }
        changes
    }
}

/// What of `told` is not in `uids`; both ascend.
fn missing(told: &[u32], uids: &[u32]) -> Vec<u32> {
    let mut rest = uids.iter().peekable();
    told.iter()
        .copied()
        .filter(|uid| {
            while rest.next_if(|there| *there < uid).is_some() {}
            rest.next_if_eq(&uid).is_none()
        })
        .collect()
}
