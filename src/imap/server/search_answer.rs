//! Telling what was found: SEARCH, and ESEARCH with the results that were asked for.
//!
//! RFC 3501 7.2.5, RFC 4731 3.1, RFC 9394 3.1. Written in chunks: there may be as many numbers as
//! messages.

use super::{search_key::Candidate, select::Uids, updates::CHUNK_MESSAGES};
use crate::{
    base::ids::ModSeq,
    imap::proto::{command::Tag, dialog::Imap, esearch, search::Returns, sequence::SetWriter},
    net::{Gone, Turn},
};

/// What an extended search found, in the order of the result.
pub(super) struct Results<'a> {
    pub(super) tag: &'a Tag,
    /// Where, when it need not be the selected mailbox.
    pub(super) whose: Option<Whose<'a>>,
    /// What the answer says of messages.
    pub(super) uids: Uids,
    pub(super) returns: Returns,
    pub(super) found: &'a [Candidate],
    /// The highest mod-sequence of what is told, when that was asked for (RFC 4731 3.2).
    pub(super) modseq: Option<ModSeq>,
}

/// The mailbox of a result (RFC 7377 2.1).
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) name: &'a str,
    pub(super) uid_validity: u32,
}

impl Results<'_> {
    /// One ESEARCH response.
    pub(super) async fn tell(&self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let (returns, found) = (self.returns, self.found);
        let enabled = turn.dialogue().enabled();
        let out = turn.output();
        match self.whose {
            Some(Whose { name, uid_validity }) => {
                esearch::begin_in(out, self.tag, name, uid_validity, enabled);
            }
            None => esearch::begin(out, self.tag, self.uids == Uids::Said),
        }
        // RFC 4731 3.1: of nothing there is no lowest, no highest, and no set.
        for (name, wanted, one) in [
            ("MIN", returns.min, found.first()),
            ("MAX", returns.max, found.last()),
        ] {
            if let Some(one) = one.filter(|_| wanted) {
                esearch::item(out, name, u64::from(one.number(self.uids)));
            }
        }
        if returns.count {
            esearch::item(out, "COUNT", u64::try_from(found.len()).unwrap_or(u64::MAX));
        }
        if let Some(range) = returns.partial {
            esearch::partial(out, range);
            let some = found.get(range.among(found.len())).unwrap_or_default();
            if some.is_empty() {
                out.bytes(b"NIL");
            }
            self.set(some, turn).await?;
            turn.output().bytes(b")");
        }
        if returns.all && !found.is_empty() {
            turn.output().bytes(b" ALL ");
            self.set(found, turn).await?;
        }
        if returns.relevancy {
            self.relevancy(turn).await?;
        }
        if let Some(ModSeq(modseq)) = self.modseq {
            esearch::item(turn.output(), "MODSEQ", modseq);
        }
        turn.output().crlf();
        turn.make_room().await
    }

    /// RFC 6203 4: of each message that is told, in their order.
    async fn relevancy(&self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let found = match self.returns.partial {
            Some(range) => self.found.get(range.among(self.found.len())),
            None => Some(self.found),
        };
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let mut before: &[u8] = b" RELEVANCY (";
        for chunk in found.chunks(CHUNK_MESSAGES) {
            for candidate in chunk {
                let out = turn.output().bytes(std::mem::replace(&mut before, b" "));
                out.number(u64::from(candidate.relevancy));
            }
            turn.make_room().await?;
        }
        turn.output().bytes(b")");
        Ok(())
    }

    async fn set(&self, some: &[Candidate], turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let mut set = SetWriter::default();
        for chunk in some.chunks(CHUNK_MESSAGES) {
            let out = turn.output();
            for candidate in chunk {
                set.push(out, candidate.number(self.uids));
            }
            turn.make_room().await?;
        }
        set.end(turn.output());
        Ok(())
    }
}

/// `name` and the numbers, in the order of the result, and their highest mod-sequence when that
/// was asked for (RFC 7162 3.1.6).
pub(super) async fn numbers(
    name: &str,
    found: &[Candidate],
    (uids, modseq): (Uids, Option<ModSeq>),
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    turn.output().text(name);
    for chunk in found.chunks(CHUNK_MESSAGES) {
        let out = turn.output();
        for candidate in chunk {
            out.bytes(b" ").number(u64::from(candidate.number(uids)));
        }
        turn.make_room().await?;
    }
    if let Some(ModSeq(modseq)) = modseq {
        let out = turn.output().bytes(b" (MODSEQ ");
        out.number(modseq).bytes(b")");
    }
    turn.output().crlf();
    Ok(())
}
