//! Response codes in wire form (RFC 3501 7.1, RFC 4315 3, RFC 5530).

use super::flag_list;
use crate::{
    base::ids::ModSeq,
    imap::proto::{notify::Events, response::Code, sequence},
    wire::Output,
};

/// RFC 4315 3: COPYUID has no empty form.
pub(super) fn says_something(code: &Code) -> bool {
    !matches!(code, Code::CopyUid { from, .. } if from.is_empty())
}

pub(super) fn response_code(out: &mut Output, code: &Code) {
    match code {
        Code::AppendUid { uid_validity, uids } => {
            out.text("APPENDUID ")
                .number(u64::from(*uid_validity))
                .text(" ");
            sequence::write_set(out, uids);
        }
        Code::BadEvent => bad_event(out),
        Code::BadUrl(url) => {
            out.text("BADURL ").text(url.as_str());
        }
        Code::CopyUid {
            uid_validity,
            from,
            to,
        } => {
            out.text("COPYUID ")
                .number(u64::from(*uid_validity))
                .text(" ");
            sequence::write_set(out, from);
            out.text(" ");
            sequence::write_set(out, to);
        }
        Code::Capability(capabilities) => {
            out.text("CAPABILITY ").text(capabilities.as_str());
        }
        Code::InProgress { tag, state } => {
            // RFC 9585 5. A tag holds no quote and no backslash.
            out.text("INPROGRESS (\"").bytes(tag.as_bytes()).text("\" ");
            let Some((done, goal)) = state else {
                out.text("NIL NIL)");
                return;
            };
            let (done, goal) = (u64::from(*done), u64::from(*goal));
            out.number(done).text(" ").number(goal).text(")");
        }
        Code::NoUpdate(tag) => {
            out.text("NOUPDATE \"").bytes(tag.as_bytes()).text("\"");
        }
        Code::PermanentFlags {
            flags,
            new_keywords,
        } => {
            out.text("PERMANENTFLAGS ");
            flag_list(out, flags, new_keywords.then_some("\\*"));
        }
        Code::MailboxId(id) => {
            out.text("MAILBOXID (").text(id.as_str()).text(")");
        }
        Code::MetadataLongEntries(bytes) => {
            out.text("METADATA LONGENTRIES ").number(*bytes);
        }
        Code::MetadataMaxSize(bytes) => {
            out.text("METADATA MAXSIZE ").number(*bytes);
        }
        Code::UidNext(uid) => {
            out.text("UIDNEXT ").number(u64::from(*uid));
        }
        Code::UidValidity(value) => {
            out.text("UIDVALIDITY ").number(u64::from(*value));
        }
        Code::HighestModSeq(ModSeq(modseq)) => {
            out.text("HIGHESTMODSEQ ").number(*modseq);
        }
        Code::MessageLimit { limit, lowest } => message_limit(out, *limit, *lowest),
        Code::Modified(numbers) => {
            out.text("MODIFIED ");
            sequence::write_set(out, numbers);
        }
        Code::Unseen(number) => {
            out.text("UNSEEN ").number(u64::from(*number));
        }
        plain => {
            out.text(plain_code(plain));
        }
    }
}

/// RFC 9738 5
fn message_limit(out: &mut Output, limit: u32, lowest: Option<u32>) {
    out.text("MESSAGELIMIT ").number(u64::from(limit));
    if let Some(uid) = lowest {
        out.text(" ").number(u64::from(uid));
    }
}

/// RFC 5465 8: which events there are.
fn bad_event(out: &mut Output) {
    let mut separator = "BADEVENT (";
    for name in Events::names() {
        out.text(separator).text(name);
        separator = " ";
    }
    out.text(")");
}

const fn plain_code(code: &Code) -> &'static str {
    match code {
        Code::AlreadyExists => "ALREADYEXISTS",
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
        Code::Cannot => "CANNOT",
        Code::ClientBug => "CLIENTBUG",
        Code::Closed => "CLOSED",
        Code::CompressionActive => "COMPRESSIONACTIVE",
        Code::Corruption => "CORRUPTION",
        Code::ExpungeIssued => "EXPUNGEISSUED",
        Code::HasChildren => "HASCHILDREN",
        Code::InUse => "INUSE",
        Code::Limit => "LIMIT",
        Code::MetadataTooMany => "METADATA TOOMANY",
        Code::NonExistent => "NONEXISTENT",
        Code::NoPerm => "NOPERM",
        Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
        Code::OverQuota => "OVERQUOTA",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::ReadOnly => "READ-ONLY",
        Code::ReadWrite => "READ-WRITE",
        Code::TooBig => "TOOBIG",
        Code::TryCreate => "TRYCREATE",
        Code::UidRequired => "UIDREQUIRED",
        Code::Unavailable => "UNAVAILABLE",
        Code::UnknownCte => "UNKNOWN-CTE",
        Code::UseAttr => "USEATTR",
        Code::AppendUid { .. }
        | Code::BadEvent
        | Code::BadUrl(_)
        | Code::CopyUid { .. }
        | Code::InProgress { .. }
        | Code::NoUpdate(_)
        | Code::Capability(_)
        | Code::MailboxId(_)
        | Code::MetadataLongEntries(_)
        | Code::MetadataMaxSize(_)
        | Code::PermanentFlags { .. }
        | Code::HighestModSeq(_)
        | Code::MessageLimit { .. }
        | Code::Modified(_)
        | Code::UidNext(_)
        | Code::UidValidity(_)
        | Code::Unseen(_) => "",
    }
}
