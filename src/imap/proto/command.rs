//! What a client asks for: one type per command of RFC 3501 6 and of the extensions we announce.
//!
//! Values here are decoded and checked by the grammar, not by policy: a mailbox name is text, not
//! yet a name that may exist. Passwords are [`Secret`], so `Debug` may go to the trace.

use std::fmt;

use bytes::Bytes;

use super::{
    acl::{Identifier, RightsChange},
    append::Appending,
    fetch::{FetchItem, FetchModifiers},
    flag::FlagList,
    limits::TAG_BYTES_MAX,
    list::{ListQuery, SpecialUse},
    metadata::MetadataQuery,
    notify::Wishes,
    resync::SelectParameters,
    search::Query,
    sequence::MessageSet,
    sort::{SortCriterion, ThreadAlgorithm},
    sources::Source,
    status::StatusItem,
    verbs::Verb,
};
use crate::{
    base::{ids::ModSeq, secret::Secret},
    wire::{Frame, MechanismName, literal::Announced},
};

/// A command, admitted in the stage it came in.
#[derive(Debug)]
pub struct Command {
    /// What its completion is marked with. Of DONE: the tag of the IDLE it ends.
    pub tag: Tag,
    /// Its row: name for metrics, what it does to message numbers.
    pub verb: &'static Verb,
    /// What is asked for.
    pub body: CommandBody,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandBody {
    /// RFC 3501 6.1.1
    Capability,
    /// RFC 3501 6.1.2
    Noop,
    /// RFC 3501 6.1.3
    Logout,
    /// RFC 3501 6.2.1
    StartTls,
    /// RFC 3501 6.2.2, RFC 4959
    Authenticate {
        /// Which.
        mechanism: MechanismName,
        /// The initial response, decoded; `Some` and empty when it was `=`.
        initial: Option<Secret<Bytes>>,
    },
    /// RFC 3501 6.2.3
    Login {
        /// User name.
        user: String,
        /// Password.
        password: Secret<String>,
    },
    /// RFC 3501 6.3.1
    Select {
        /// Decoded from modified UTF-7, as every mailbox here.
        mailbox: String,
        /// RFC 7162
        parameters: SelectParameters,
    },
    /// RFC 3501 6.3.2
    Examine {
        /// Which.
        mailbox: String,
        /// RFC 7162
        parameters: SelectParameters,
    },
    /// RFC 3501 6.3.3, RFC 6154 3
    Create {
        /// Which. One delimiter at the end says only that it will have children; it is cut off.
        mailbox: String,
        /// What it shall be for.
        special_use: Option<SpecialUse>,
    },
    /// RFC 3501 6.3.4
    Delete {
        /// Which.
        mailbox: String,
    },
    /// RFC 3501 6.3.5
    Rename {
        /// Which.
        from: String,
        /// Its new name.
        to: String,
    },
    /// RFC 3501 6.3.6
    Subscribe {
        /// Which.
        mailbox: String,
    },
    /// RFC 3501 6.3.7
    Unsubscribe {
        /// Which.
        mailbox: String,
    },
    /// RFC 3501 6.3.8, RFC 5258
    List(Box<ListQuery>),
    /// RFC 3501 6.3.9
    Lsub {
        /// What the pattern is relative to.
        reference: String,
        /// A pattern with `%` and `*`.
        pattern: String,
    },
    /// RFC 3501 6.3.10
    Status {
        /// Which.
        mailbox: String,
        /// What about it, each once.
        items: Vec<StatusItem>,
    },
    /// RFC 3501 6.3.11, RFC 3502. No literal of it has been read.
    Append {
        /// Where to.
        mailbox: String,
        /// What comes.
        coming: Appending,
    },
    /// RFC 8508. No literal of it has been read.
    Replace {
        /// The number is a UID.
        uid: bool,
        /// The one message that goes.
        set: MessageSet,
        /// Where the new one comes to.
        mailbox: String,
        /// What comes.
        coming: Appending,
    },
    /// RFC 3501 6.4.1
    Check,
    /// RFC 3501 6.4.2
    Close,
    /// RFC 3691
    Unselect,
    /// RFC 3501 6.4.3
    Expunge,
    /// RFC 4315 2.1
    UidExpunge(MessageSet),
    /// RFC 3501 6.4.4
    Search(Query),
    /// RFC 5256 3
    Sort {
        /// In which order.
        criteria: Vec<SortCriterion>,
        /// Which messages.
        query: Query,
    },
    /// RFC 5256 3
    Thread {
        /// How.
        algorithm: ThreadAlgorithm,
        /// Which messages.
        query: Query,
    },
    /// RFC 7377: ESEARCH
    MultiSearch {
        /// Where.
        sources: Vec<Source>,
        /// What; answers are UIDs.
        query: Query,
    },
    /// RFC 5267 4.3.5: the searches to be kept current no more.
    CancelUpdate(Vec<Tag>),
    /// RFC 3501 6.4.5
    Fetch {
        /// The set is of UIDs, and the answers say them.
        uid: bool,
        /// Of which messages.
        set: MessageSet,
        /// What about them.
        items: Vec<FetchItem>,
        /// Of which of them only.
        modifiers: FetchModifiers,
    },
    /// RFC 3501 6.4.6
    Store {
        /// The set is of UIDs, and the answers say them.
        uid: bool,
        /// Of which messages.
        set: MessageSet,
        /// What to do with the flags.
        mode: StoreMode,
        /// Only of those that have not changed since (RFC 7162 3.1.3).
        unchanged_since: Option<ModSeq>,
        /// Do not answer with the new flags.
        silent: bool,
        /// Which flags.
        flags: FlagList,
    },
    /// RFC 3501 6.4.7
    Copy {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        set: MessageSet,
        /// Where to.
        mailbox: String,
    },
    /// RFC 6851
    Move {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        set: MessageSet,
        /// Where to.
        mailbox: String,
    },
    /// RFC 4314 3.1
    SetAcl {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: Identifier,
        /// What becomes of them.
        change: RightsChange,
    },
    /// RFC 4314 3.2
    DeleteAcl {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: Identifier,
    },
    /// RFC 4314 3.3
    GetAcl {
        /// Of which mailbox.
        mailbox: String,
    },
    /// RFC 4314 3.4
    ListRights {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: Identifier,
    },
    /// RFC 4314 3.5
    MyRights {
        /// Of which mailbox.
        mailbox: String,
    },
    /// RFC 4978
    Compress,
    /// RFC 8437
    Unauthenticate,
    /// RFC 2177
    Idle,
    /// The end of IDLE.
    Done,
    /// IDLE ends by something else than DONE.
    NotDone,
    /// RFC 5161: capabilities to enable, in capitals.
    Enable(Vec<String>),
    /// RFC 2971: what the client says about itself.
    Id(Vec<(String, Option<String>)>),
    /// RFC 5465 3.1: SET, or NONE.
    Notify(Option<Box<Wishes>>),
    /// RFC 2342
    Namespace,
    /// RFC 5464 4.2; no name means the server.
    GetMetadata {
        /// Of which.
        mailbox: String,
        /// Which entries.
        query: MetadataQuery,
    },
    /// RFC 5464 4.3; no name means the server.
    SetMetadata {
        /// Of which.
        mailbox: String,
        /// Names and values; those without a value are removed.
        entries: Vec<(String, Option<Bytes>)>,
    },
    /// RFC 9208 4.1.1
    GetQuota {
        /// Which root, as it was spelled.
        root: Vec<u8>,
    },
    /// RFC 9208 4.1.2
    GetQuotaRoot {
        /// Which.
        mailbox: String,
    },
    /// RFC 9208 4.1.3; nothing of it can be done.
    SetQuota,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// A literal of APPEND that was announced and nobody has read.
///
/// When it is synchronizing, the client waits: answer a
/// [`super::response::Response::Continuation`] and pull the [`AnnouncedLiteral::frame`], or
/// answer NO, and nothing will come. When it is not, it is on its way: pull it or discard it,
/// even to answer NO, or close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedLiteral {
    /// Its size.
    pub size_bytes: u64,
    /// The client waits to be invited.
    pub synchronizing: bool,
    /// It was announced as `~{n}`: there may be NUL in it (RFC 3516 4.4).
    pub binary: bool,
}

impl From<Announced> for AnnouncedLiteral {
    fn from(announced: Announced) -> Self {
        Self {
            size_bytes: announced.size_bytes,
            synchronizing: announced.synchronizing,
            binary: announced.binary,
        }
    }
}

impl AnnouncedLiteral {
    /// How to receive it. The command goes on behind it: until its line has ended (with
    /// `Turn::line_behind`) nothing may be kept.
    pub fn frame(self) -> Frame {
        Frame::Octets(self.size_bytes)
    }
}

/// What marks a command and its completion: one or more ASTRING-CHARs except `+` (RFC 3501 9).
#[derive(Clone, PartialEq, Eq)]
pub struct Tag(Bytes);

impl Tag {
    /// The tag of this spelling; `None` when it is none or longer than LIM-18 allows.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::is_valid(text).then(|| Self(Bytes::copy_from_slice(text)))
    }

    /// Where a tag is needed before one was given.
    pub(super) fn of_nothing() -> Self {
        Self(Bytes::from_static(b"-"))
    }

    /// As it was sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn is_valid(text: &[u8]) -> bool {
        let length_fits = (1..=TAG_BYTES_MAX).contains(&text.len());
        length_fits && text.iter().all(|byte| is_tag_byte(*byte))
    }
}

fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b'+')
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_18_a_tag_of_64_bytes_passes_and_one_more_does_not() {
        for (length, ok) in [(0, false), (1, true), (63, true), (64, true), (65, false)] {
            assert_eq!(Tag::parse(&vec![b'a'; length]).is_some(), ok, "{length}");
        }
    }

    #[test]
    fn tags_have_no_plus_and_nothing_that_is_special() {
        for good in [
            "a1",
            "A.b-c_1]",
            "*a".trim_start_matches('*'),
            "!#$&',/:;<=>?@[^`|}~",
        ] {
            assert!(Tag::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "+", "a+", "*", "a b", "a\"", "a\\", "a{", "(a", "a)", "a%", "a\r", "a\u{e9}",
        ] {
            assert!(Tag::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let body = CommandBody::Login {
            user: "alice".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        };
        assert!(!format!("{body:?}").contains("hunter2"));
    }
}
