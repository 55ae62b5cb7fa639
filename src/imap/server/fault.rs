//! Faults of the IMAP server and what the peer is told about them; the only such place.
//!
//! A fault is ours or the world's. What the user may have caused (no such mailbox, too many
//! keywords) is a refusal: a response code of RFC 5530 and a text. Nothing here reveals paths,
//! engines or other users.

use crate::{
    imap::proto::{
        command::Tag,
        response::{Code, Response, Status, Text},
    },
    mailbox::{ChangeError, IntakeError, MailboxFault, Target},
    net::Halt,
};

/// A command failed for a reason of ours.
#[derive(Debug, thiserror::Error)]
#[error("a command failed")]
pub struct ImapFault {
    /// The command to answer; none when nothing was asked.
    tag: Option<Tag>,
    source: Cause,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// A mailbox could not be read or changed.
    #[error(transparent)]
    Mailbox(MailboxFault),
    /// A message could not be taken in.
    #[error(transparent)]
    Intake(IntakeError),
}

/// Why a verb did not come to its end: the connection is gone, or a fault whose tag is not known
/// yet.
pub(super) type Stop = Halt<Cause>;

/// A polite no to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) code: Option<Code>,
    pub(super) text: Text,
}

impl ImapFault {
    /// The fault of the command with this tag.
    pub(super) fn new(tag: Option<Tag>, source: Cause) -> Self {
        Self { tag, source }
    }
}

impl From<&ImapFault> for Response {
    fn from(fault: &ImapFault) -> Self {
        let (code, text) = match &fault.source {
            Cause::Mailbox(MailboxFault::Damaged(_)) => (
                Code::Corruption,
                "what is stored here is damaged; the operator knows",
            ),
            Cause::Mailbox(MailboxFault::Deleted) => (Code::NonExistent, "the mailbox was deleted"),
            Cause::Mailbox(MailboxFault::Read(_) | MailboxFault::Commit(_)) | Cause::Intake(_) => {
                (Code::Unavailable, "not possible now, try again later")
            }
        };
        match &fault.tag {
            Some(tag) => Self::no(tag.clone(), code, text),
            None => Self::Untagged {
                status: Status::No,
                code: Some(code),
                text: text.into(),
            },
        }
    }
}

impl From<MailboxFault> for Cause {
    fn from(fault: MailboxFault) -> Self {
        Self::Mailbox(fault)
    }
}

impl Refusal {
    /// `NO [code] text`
    pub(super) fn no(code: Code, text: impl Into<Text>) -> Self {
        Self {
            status: Status::No,
            code: Some(code),
            text: text.into(),
        }
    }

    /// `BAD text`
    pub(super) fn bad(text: impl Into<Text>) -> Self {
        Self {
            status: Status::Bad,
            code: None,
            text: text.into(),
        }
    }

    /// What is refused to the command with this tag.
    pub(super) fn to(self, tag: Tag) -> Response {
        Response::tagged(tag, self.status, self.code, self.text)
    }
}

/// Sorts what can go wrong with a change: the user's share is a refusal, the rest a fault.
pub(super) fn refusal_of(error: ChangeError) -> Result<Refusal, Stop> {
    Ok(match error {
        ChangeError::Exists => Refusal::no(Code::AlreadyExists, "the mailbox exists already"),
        ChangeError::Absent => nonexistent(),
        ChangeError::Forbidden => forbidden(),
        ChangeError::Inbox => Refusal::no(Code::Cannot, "not possible with INBOX"),
        ChangeError::HasChildren => {
            Refusal::no(Code::HasChildren, "the mailbox has mailboxes below it")
        }
        ChangeError::Name => Refusal::no(Code::Cannot, "this name is not possible"),
        ChangeError::SpecialUse => {
            Refusal::no(Code::UseAttr, "another mailbox has this special use")
        }
        ChangeError::TooMany(what) => Refusal::no(Code::Limit, format!("too many {what}")),
        ChangeError::Busy => Refusal::no(Code::InUse, "others change the same, try again"),
        ChangeError::OverQuota => over_quota(),
        ChangeError::Full => Refusal::no(Code::Unavailable, "the server has no room now"),
        ChangeError::Fault(fault) => return Err(Halt::Fault(fault.into())),
    })
}

/// As [`refusal_of`] for commands with a target mailbox: RFC 3501 6.3.11, 6.4.7 ask for TRYCREATE.
/// A guest is not told that he could make what he may not know of.
pub(super) fn target_refusal_of(error: ChangeError, target: &Target) -> Result<Refusal, Stop> {
    match error {
        ChangeError::Absent if target.guest.is_none() => Ok(no_target()),
        other => refusal_of(other),
    }
}

/// There is no such mailbox.
pub(super) fn nonexistent() -> Refusal {
    Refusal::no(Code::NonExistent, "no such mailbox")
}

/// RFC 5530 NOPERM.
pub(super) fn forbidden() -> Refusal {
    Refusal::no(Code::NoPerm, "no right to do that with this mailbox")
}

/// The selected mailbox is no more.
pub(super) fn deleted() -> Refusal {
    Refusal::no(Code::NonExistent, "the mailbox was deleted")
}

/// RFC 5530 OVERQUOTA.
pub(super) fn over_quota() -> Refusal {
    Refusal::no(Code::OverQuota, "the account has no room for this")
}

/// The target mailbox does not exist.
pub(super) fn no_target() -> Refusal {
    Refusal::no(Code::TryCreate, "no such mailbox; CREATE would make it")
}

/// A fault as the end of a verb.
pub(super) fn stop(fault: MailboxFault) -> Stop {
    Halt::Fault(fault.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::ids::{AccountId, MailboxId},
        store::{CommitError, ReadError},
    };

    #[test]
    fn the_users_share_is_a_refusal_and_the_rest_a_fault() {
        for (error, code) in [
            (ChangeError::Exists, Code::AlreadyExists),
            (ChangeError::Absent, Code::NonExistent),
            (ChangeError::Inbox, Code::Cannot),
            (ChangeError::HasChildren, Code::HasChildren),
            (ChangeError::TooMany("keywords"), Code::Limit),
            (ChangeError::Busy, Code::InUse),
            (ChangeError::Full, Code::Unavailable),
        ] {
            let refusal = refusal_of(error).ok().unwrap();
            assert_eq!((refusal.status, refusal.code), (Status::No, Some(code)));
        }
        let fault = ChangeError::Fault(MailboxFault::Commit(CommitError::Poisoned));
        assert!(refusal_of(fault).is_err());
        let own = Target::own(AccountId(1), MailboxId(1), None);
        let refusal = target_refusal_of(ChangeError::Absent, &own).ok().unwrap();
        assert_eq!(refusal.code, Some(Code::TryCreate));
        let theirs = Target {
            guest: Some(AccountId(2)),
            ..own
        };
        let refusal = target_refusal_of(ChangeError::Absent, &theirs);
        assert_eq!(refusal.ok().unwrap().code, Some(Code::NonExistent));
    }

    #[test]
    fn faults_are_answered_without_their_causes() {
        let damage = || ReadError::Damaged("segment 7 of /var/lib".to_owned());
        for tag in [Tag::parse(b"a1"), None] {
            let cause = Cause::Mailbox(MailboxFault::Read(damage()));
            let fault = ImapFault::new(tag.clone(), cause);
            match Response::from(&fault) {
                Response::Tagged {
                    tag: said,
                    status,
                    code,
                    text,
                } => {
                    assert_eq!((Some(said), status), (tag, Status::No));
                    assert_eq!(code, Some(Code::Unavailable));
                    assert!(!text.as_str().contains("segment"));
                }
                Response::Untagged { status, .. } => {
                    assert_eq!((status, tag), (Status::No, None));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
