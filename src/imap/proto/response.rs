//! What the server says (RFC 3501 7, RFC 5530), as values that cannot break a line.
//!
//! FETCH answers are not values: `encode` has writers for them that append to the output directly.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use crate::base::ids::ModSeq;

use super::{
    command::Tag,
    flag::FlagList,
    list::Attribute,
    object_id::ObjectId,
    status::{StatusItem, StatusValue},
};

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The completion of a command.
    Tagged {
        /// Of which.
        tag: Tag,
        /// How it went.
        status: Status,
        /// For programs.
        code: Option<Code>,
        /// For humans.
        text: Text,
    },
    /// `* OK`, `* NO`, `* BAD`: the greeting, or news about nothing in particular.
    Untagged {
        /// Which.
        status: Status,
        /// For programs.
        code: Option<Code>,
        /// For humans.
        text: Text,
    },
    /// `* BYE`: the connection ends.
    Bye {
        /// For programs.
        code: Option<Code>,
        /// For humans.
        text: Text,
    },
    /// A tagged BAD, and a BYE for the same reason.
    Dismissal {
        /// The command that cannot be answered and skipped.
        tag: Tag,
        /// For programs.
        code: Option<Code>,
        /// For humans.
        text: Text,
    },
    /// `+ text`: go on (literals, IDLE).
    Continuation(Text),
    /// `+ base64`: a SASL challenge.
    Challenge(String),
    /// `* CAPABILITY`
    Capability(Capabilities),
    /// `* FLAGS`
    Flags(FlagList),
    /// `* n EXISTS`
    Exists(u32),
    /// `* n RECENT`
    Recent(u32),
    /// `* n EXPUNGE`
    Expunge(u32),
    /// `* VANISHED` (RFC 7162 3.2.10)
    Vanished {
        /// Not messages that the client still counts.
        earlier: bool,
        /// Ascending ranges, not empty.
        uids: Vec<(u32, u32)>,
    },
    /// `* LIST`; the delimiter is always `/`.
    List {
        /// Attributes.
        attributes: Vec<Attribute>,
        /// Name, decoded; empty for the answer that tells the delimiter.
        name: String,
        /// Selected only because something below it is subscribed (`CHILDINFO`, RFC 5258 3.5).
        subscribed_below: bool,
    },
    /// A mailbox has another name (RFC 5465 5.4).
    Renamed {
        /// Attributes.
        attributes: Vec<Attribute>,
        /// Its name now.
        name: String,
        /// Its name before.
        old_name: String,
    },
    /// `* LSUB`
    Lsub {
        /// Attributes.
        attributes: Vec<Attribute>,
        /// Name, decoded.
        name: String,
    },
    /// `* STATUS`
    Status {
        /// Name, decoded.
        name: String,
        /// What was asked for.
        items: Vec<(StatusItem, StatusValue)>,
    },
    /// `* METADATA`, without values (RFC 5464 4.4.2).
    MetadataChanged {
        /// Name, decoded; empty for the server.
        mailbox: String,
        /// Names of entries; at least one.
        entries: Vec<String>,
    },
    /// `* METADATA`
    Metadata {
        /// Name, decoded; empty for the server.
        mailbox: String,
        /// Names and values; at least one.
        entries: Vec<(String, Option<Bytes>)>,
    },
    /// `* QUOTA`: of the root that is named by the empty string, in units of 1024 octets.
    Quota {
        /// STORAGE in use.
        used: u64,
        /// STORAGE allowed.
        limit: u64,
    },
    /// `* QUOTAROOT`
    QuotaRoot {
        /// Name, decoded.
        mailbox: String,
        /// Whether it has the root that is named by the empty string; there are no others.
        has_root: bool,
    },
    /// `* ENABLED`
    Enabled(Vec<String>),
    /// `* ID`
    Id(Vec<(&'static str, String)>),
    /// `* NAMESPACE`: the personal one, that of other users and that of shared mailboxes (RFC 2342
    /// 5).
    Namespace,
    /// `* ACL` (RFC 4314 3.6)
    Acl {
        /// Name, decoded.
        name: String,
        /// Identifiers and their rights.
        entries: Vec<(String, String)>,
    },
    /// `* LISTRIGHTS` (RFC 4314 3.7)
    ListRights {
        /// Name, decoded.
        name: String,
        /// As it was sent.
        identifier: String,
        /// Rights it always has.
        required: String,
        /// Rights it may be granted, each with those that go along.
        optional: Vec<String>,
    },
    /// `* MYRIGHTS` (RFC 4314 3.8)
    MyRights {
        /// Name, decoded.
        name: String,
        /// Letters.
        rights: String,
    },
}

impl Response {
    /// `tag OK text`
    pub fn ok(tag: Tag, text: impl Into<Text>) -> Self {
        Self::tagged(tag, Status::Ok, None, text)
    }

    /// `tag NO [code] text`
    pub fn no(tag: Tag, code: Code, text: impl Into<Text>) -> Self {
        Self::tagged(tag, Status::No, Some(code), text)
    }

    /// A completion.
    pub fn tagged(tag: Tag, status: Status, code: Option<Code>, text: impl Into<Text>) -> Self {
        Self::Tagged {
            tag,
            status,
            code,
            text: text.into(),
        }
    }

    /// `* OK [code] text`
    pub fn note(code: Code, text: impl Into<Text>) -> Self {
        Self::Untagged {
            status: Status::Ok,
            code: Some(code),
            text: text.into(),
        }
    }

    /// `* BYE [code] text`
    pub fn bye(code: Option<Code>, text: impl Into<Text>) -> Self {
        Self::Bye {
            code,
            text: text.into(),
        }
    }
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
}

/// A response code (RFC 3501 7.1, RFC 4315 3, RFC 5530, RFC 7888 4, RFC 9051 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The mailbox is already there.
    AlreadyExists,
    /// What APPEND made.
    AppendUid {
        /// UIDVALIDITY of the mailbox.
        uid_validity: u32,
        /// The new messages.
        uids: Vec<u32>,
    },
    /// Wrong name or password.
    AuthenticationFailed,
    /// This event is not supported; says which are (RFC 5465 8).
    BadEvent,
    /// A URL that names nothing here (RFC 4469 4.1).
    BadUrl(Url),
    /// This charset cannot be searched in; says which can.
    BadCharset,
    /// Never possible.
    Cannot,
    /// What the server can do.
    Capability(Capabilities),
    /// The client seems to be wrong.
    ClientBug,
    /// The selected mailbox has just been left (RFC 7162 3.2.11).
    Closed,
    /// What is sent is deflated already (RFC 4978 3).
    CompressionActive,
    /// What COPY or MOVE made, both in the same order and of the same length.
    CopyUid {
        /// UIDVALIDITY of the target.
        uid_validity: u32,
        /// Source UIDs.
        from: Vec<u32>,
        /// Target UIDs.
        to: Vec<u32>,
    },
    /// What is stored is damaged.
    Corruption,
    /// Some messages are gone.
    ExpungeIssued,
    /// The mailbox has children (RFC 9051 7.1).
    HasChildren,
    /// Where the mailbox's changes stand, as far as the client knows them (RFC 7162 3.1.2.1).
    HighestModSeq(ModSeq),
    /// Someone else uses it, or changed it meanwhile.
    InUse,
    /// A command is under way (RFC 9585).
    InProgress {
        /// Which.
        tag: Tag,
        /// What is done of what there is to do, if that is known.
        state: Option<(u32, u32)>,
    },
    /// A limit of this server.
    Limit,
    /// More messages than one command may be about (RFC 9738 3.1).
    MessageLimit {
        /// How many it may be about.
        limit: u32,
        /// The lowest UID of those that it is about.
        lowest: Option<u32>,
    },
    /// Messages that a conditional STORE left alone, numbers or UIDs (RFC 7162 3.1.3).
    Modified(Vec<u32>),
    /// No right to do that.
    NoPerm,
    /// Which mailbox it is (RFC 8474 4.1, 4.2).
    MailboxId(ObjectId),
    /// The largest annotation that was left out (RFC 5464 4.2.1).
    MetadataLongEntries(u64),
    /// The longest annotation that is taken (RFC 5464 4.3).
    MetadataMaxSize(u64),
    /// There are too many annotations (RFC 5464 4.3).
    MetadataTooMany,
    /// No such mailbox.
    NonExistent,
    /// A search is not kept current (RFC 5267 4.3.1).
    NoUpdate(Tag),
    /// More than can be told; nothing is told from now on (RFC 5465 5.8).
    NotificationOverflow,
    /// The account is full.
    OverQuota,
    /// Flags that are kept.
    PermanentFlags {
        /// Which.
        flags: FlagList,
        /// New keywords may be made (`\*`).
        new_keywords: bool,
    },
    /// Begin TLS first.
    PrivacyRequired,
    /// The mailbox may only be read.
    ReadOnly,
    /// The mailbox may be changed.
    ReadWrite,
    /// A literal is too large.
    TooBig,
    /// The target is not there; CREATE would help.
    TryCreate,
    /// The next UID.
    UidNext(u32),
    /// Message numbers were given up by the client (RFC 9586).
    UidRequired,
    /// The validity of the UIDs.
    UidValidity(u32),
    /// Something that is needed is down; try later.
    Unavailable,
    /// A content transfer encoding that is not known, or cannot be kept (RFC 3516 4.3).
    UnknownCte,
    /// The number of the first message without `\Seen`.
    Unseen(u32),
    /// A special use that cannot be given (RFC 6154 3).
    UseAttr,
}

/// A URL as it may stand in a response code (RFC 4469 5): what may not is percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The URL with these bytes.
    pub fn shown(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b']' | b'\\' | b' ' => text.push_str(&format!("%{byte:02X}")),
                plain if plain.is_ascii_graphic() => text.push(char::from(*plain)),
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text for humans: printable ASCII, never empty, on one line.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Cow<'static, str>);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn clean(text: Cow<'static, str>) -> Self {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.is_empty() {
            return Self(Cow::Borrowed("-"));
        }
        if text.bytes().all(printable) {
            return Self(text);
        }
        let shown = |c: char| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        };
        Self(text.chars().map(shown).collect::<String>().into())
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::clean(Cow::Borrowed(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::clean(Cow::Owned(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The capabilities of one stage, separated by spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(pub(super) String);

impl Capabilities {
    /// As they stand in a response.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_a_line() {
        for (text, shown) in [
            ("done", "done"),
            ("", "-"),
            ("a\r\n* BYE", "a??* BYE"),
            ("caf\u{e9}\0", "caf??"),
        ] {
            assert_eq!(Text::from(text).as_str(), shown);
            assert_eq!(Text::from(text.to_owned()).as_str(), shown);
        }
    }
}
