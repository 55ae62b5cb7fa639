//! Every key of the store: one constructor per key, its layout in its doc sentence.
//!
//! A key is a space byte and big-endian fields, so byte order is field order. Account-owned keys
//! have the account as their first field, so a distributed engine can shard by it. Variable-length
//! fields come last or end in a zero byte that they cannot contain. docs/STORE.md lists what the
//! values are.

mod about;
mod directory;
mod elsewhere;

use std::fmt;

use bytes::Bytes;

use super::{
    batch::{Template, Width},
    engine::KeyRange,
};
use crate::base::{
    clock::Timestamp,
    ids::{AccountId, BlobId, EmailId, MailboxId, MessageId, ModSeq},
};

pub use about::About;
pub use directory::{
    account, account_counter, account_numbered, accounts, address, addresses, addresses_of,
    directory_version, domain, domains, removed_account, removed_accounts, rewriting_secrets,
};
pub use elsewhere::{sts_policies, sts_policy, tls_tallies, tls_tally};

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 480;

/// A key of the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// A key read back from an engine or journal.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, in their order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// All keys that begin with this one.
    pub fn prefix_range(&self) -> KeyRange {
        let mut to = self.0.to_vec();
        while let Some(last) = to.pop() {
            if last < u8::MAX {
                to.push(last + 1);
                break;
            }
        }
        KeyRange {
            from: self.clone(),
            to: Self(to.into()),
        }
    }

    /// The big-endian number in the last eight bytes of the key (a counter-numbered key's number).
    pub fn last_u64(&self) -> Option<u64> {
        self.0.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// The big-endian number in the last four bytes of the key (a chunk's number).
    pub fn last_u32(&self) -> Option<u32> {
        self.0.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The account of an account-owned key: its first field.
    pub fn account(&self) -> Option<AccountId> {
        let field = self.0.get(1..)?.first_chunk()?;
        Some(AccountId(u64::from_be_bytes(*field)))
    }

    /// The account and the mailbox of a [`grant`]; `None` for other keys.
    pub fn granted(&self) -> Option<(AccountId, MailboxId)> {
        let fields = self.0.strip_prefix(&[space::GRANT])?.get(8..)?;
        let (account, mailbox) = fields.split_first_chunk()?;
        let mailbox = u64::from_be_bytes(mailbox.try_into().ok()?);
        Some((AccountId(u64::from_be_bytes(*account)), MailboxId(mailbox)))
    }

    /// The mailbox and the viewer of a [`metadata`]; the owner and the mailbox of an [`annotator`].
    pub fn second_and_third(&self) -> Option<(u64, u64)> {
        let (second, rest) = self.0.get(9..)?.split_first_chunk()?;
        let third = rest.first_chunk()?;
        Some((u64::from_be_bytes(*second), u64::from_be_bytes(*third)))
    }

    /// The first key behind this one in byte order.
    pub fn successor(&self) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.push(0);
        Self(bytes.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        for byte in self.0.iter() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Space bytes. A space is never renumbered; docs/STORE.md has the table.
mod space {
    pub(super) const META: u8 = 0x01;
    pub(super) const ACCOUNT: u8 = 0x10;
    pub(super) const ACCOUNT_COUNTER: u8 = 0x11;
    pub(super) const DOMAIN: u8 = 0x12;
    pub(super) const ADDRESS: u8 = 0x13;
    pub(super) const DIRECTORY_VERSION: u8 = 0x14;
    pub(super) const REMOVED_ACCOUNT: u8 = 0x15;
    pub(super) const REWRITING_SECRETS: u8 = 0x16;
    pub(super) const MODSEQ: u8 = 0x20;
    pub(super) const EMAIL_COUNTER: u8 = 0x21;
    pub(super) const MAILBOX_COUNTER: u8 = 0x22;
    pub(super) const USED_BYTES: u8 = 0x23;
    pub(super) const USED_MESSAGES: u8 = 0x24;
    pub(super) const RELOCATIONS: u8 = 0x25;
    pub(super) const SWEEP: u8 = 0x26;
    pub(super) const MAILBOX: u8 = 0x30;
    pub(super) const MAILBOX_NAME: u8 = 0x31;
    pub(super) const UID: u8 = 0x32;
    pub(super) const EXPUNGED: u8 = 0x33;
    pub(super) const SNAPSHOT: u8 = 0x34;
    pub(super) const SNAPSHOT_CHUNK: u8 = 0x35;
    pub(super) const LOG: u8 = 0x36;
    pub(super) const SUBSCRIPTION: u8 = 0x37;
    pub(super) const RECENT: u8 = 0x38;
    pub(super) const NAME_OF: u8 = 0x39;
    pub(super) const ACL: u8 = 0x3a;
    pub(super) const GRANT: u8 = 0x3b;
    pub(super) const METADATA: u8 = 0x3c;
    pub(super) const METADATA_COUNT: u8 = 0x3d;
    pub(super) const ANNOTATOR: u8 = 0x3e;
    pub(super) const ANSWERED: u8 = 0x3f;
    pub(super) const EMAIL: u8 = 0x40;
    pub(super) const BODY_OWNERS: u8 = 0x41;
    pub(super) const BODY_FACTS: u8 = 0x42;
    pub(super) const QUEUE_MESSAGE: u8 = 0x50;
    pub(super) const QUEUE_RECIPIENT: u8 = 0x51;
    pub(super) const QUEUE_DUE: u8 = 0x52;
    pub(super) const STS_POLICY: u8 = 0x53;
    pub(super) const QUEUE_PAUSE: u8 = 0x54;
    pub(super) const TLS_TALLY: u8 = 0x55;
}

/// Builds a key field by field.
struct Fields(Vec<u8>);

impl Fields {
    fn of(space: u8) -> Self {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(space);
        Self(bytes)
    }

    fn account(space: u8, account: AccountId) -> Self {
        Self::of(space).u64(account.0)
    }

    fn mailbox(space: u8, account: AccountId, mailbox: MailboxId) -> Self {
        Self::account(space, account).u64(mailbox.0)
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn key(self) -> Key {
        Key(self.0.into())
    }

    fn hole(self, take: usize) -> Template {
        let mut template = Template::from(self.0);
        template.hole(take, 0, Width::U64);
        template
    }
}

/// `META name`: facts about the store itself.
pub fn meta(name: &str) -> Key {
    Fields::of(space::META).bytes(name.as_bytes()).key()
}

/// Everything that mailboxes keep of an account, as prefixes. The mailboxes come first: without
/// them, nothing can be added to the account. Emails come last: they own bodies.
pub fn mailbox_data(account: AccountId) -> impl Iterator<Item = Key> {
    const SPACES: [u8; 21] = [
        space::MAILBOX,
        space::MAILBOX_NAME,
        space::NAME_OF,
        space::SUBSCRIPTION,
        space::SNAPSHOT,
        space::SNAPSHOT_CHUNK,
        space::LOG,
        space::UID,
        space::EXPUNGED,
        space::RECENT,
        space::METADATA,
        space::METADATA_COUNT,
        space::ANSWERED,
        space::SWEEP,
        space::RELOCATIONS,
        space::USED_BYTES,
        space::USED_MESSAGES,
        space::MAILBOX_COUNTER,
        space::MODSEQ,
        space::EMAIL_COUNTER,
        space::EMAIL,
    ];
    let prefix = move |space| Fields::account(space, account).key();
    SPACES.into_iter().map(prefix)
}

/// `METADATA account mailbox viewer name`: one annotation; mailbox zero is the account itself,
/// viewer zero everybody.
pub fn metadata(account: AccountId, mailbox: MailboxId, viewer: AccountId, name: &str) -> Key {
    let fields = Fields::mailbox(space::METADATA, account, mailbox);
    fields.u64(viewer.0).bytes(name.as_bytes()).key()
}

/// All annotations of a mailbox.
pub fn metadata_of(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::METADATA, account, mailbox).key()
}

/// All annotations of an account and of its mailboxes.
pub fn all_metadata(account: AccountId) -> Key {
    Fields::account(space::METADATA, account).key()
}

/// `ANNOTATOR viewer account mailbox`: a viewer who is not the owner has private annotations there.
pub fn annotator(viewer: AccountId, account: AccountId, mailbox: MailboxId) -> Key {
    let fields = Fields::mailbox(space::ANNOTATOR, viewer, MailboxId(account.0));
    fields.u64(mailbox.0).key()
}

/// Everything of others where a viewer has private annotations.
pub fn annotated_by(viewer: AccountId) -> Key {
    Fields::account(space::ANNOTATOR, viewer).key()
}

/// `METADATA_COUNT account`: number of the account's annotations, without those of other viewers.
pub fn metadata_count(account: AccountId) -> Key {
    Fields::account(space::METADATA_COUNT, account).key()
}

/// `ANSWERED account sender`: when this sender, given by his mark, was told that nobody is there.
pub fn answered(account: AccountId, sender: &[u8; 16]) -> Key {
    Fields::account(space::ANSWERED, account)
        .bytes(sender)
        .key()
}

/// All senders whom an account answered.
pub fn all_answered(account: AccountId) -> Key {
    Fields::account(space::ANSWERED, account).key()
}

/// `MODSEQ account`: counter of the account's changes.
pub fn modseq(account: AccountId) -> Key {
    Fields::account(space::MODSEQ, account).key()
}

/// `EMAIL_COUNTER account`: last email number given out.
pub fn email_counter(account: AccountId) -> Key {
    Fields::account(space::EMAIL_COUNTER, account).key()
}

/// The counters of emails of all accounts: every account that mail can be in.
pub fn email_counters() -> Key {
    Fields::of(space::EMAIL_COUNTER).key()
}

/// `MAILBOX_COUNTER account`: last mailbox number given out.
pub fn mailbox_counter(account: AccountId) -> Key {
    Fields::account(space::MAILBOX_COUNTER, account).key()
}

/// `USED_BYTES account`: sum of the sizes of all mailbox entries.
pub fn used_bytes(account: AccountId) -> Key {
    Fields::account(space::USED_BYTES, account).key()
}

/// `USED_MESSAGES account`: sum of all mailbox entries.
pub fn used_messages(account: AccountId) -> Key {
    Fields::account(space::USED_MESSAGES, account).key()
}

/// `RELOCATIONS account`: counter that every COPY and MOVE takes from, so that a sweep can prove
/// that no email found a new place while it looked.
pub fn relocations(account: AccountId) -> Key {
    Fields::account(space::RELOCATIONS, account).key()
}

/// Template of `SWEEP account modseq`: what lost a place and may have lost its last one.
pub fn sweep_numbered(account: AccountId, take: usize) -> Template {
    Fields::account(space::SWEEP, account).hole(take)
}

/// All sweep marks of an account.
pub fn sweeps_of(account: AccountId) -> Key {
    Fields::account(space::SWEEP, account).key()
}

/// All sweep marks.
pub fn sweeps() -> Key {
    Fields::of(space::SWEEP).key()
}

/// `MAILBOX account mailbox`: the mailbox's record.
pub fn mailbox(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::MAILBOX, account, mailbox).key()
}

/// Template of [`mailbox()`] for a mailbox numbered in this batch.
pub fn mailbox_numbered(account: AccountId, take: usize) -> Template {
    Fields::account(space::MAILBOX, account).hole(take)
}

/// All mailboxes of an account.
pub fn mailboxes(account: AccountId) -> Key {
    Fields::account(space::MAILBOX, account).key()
}

/// `MAILBOX_NAME account name`: which mailbox has this name. Long names are the caller's to refuse.
pub fn mailbox_name(account: AccountId, name: &str) -> Key {
    Fields::account(space::MAILBOX_NAME, account)
        .bytes(name.as_bytes())
        .key()
}

/// `NAME_OF account mailbox`: its name.
pub fn name_of(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::NAME_OF, account, mailbox).key()
}

/// `ACL account mailbox`: who else may do what with the mailbox.
pub fn acl(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::ACL, account, mailbox).key()
}

/// The access control lists of all mailboxes of an account.
pub fn acls(account: AccountId) -> Key {
    Fields::account(space::ACL, account).key()
}

/// `GRANT grantee account mailbox`: the mailbox's list says something of this grantee: an account,
/// or zero for all of them.
pub fn grant(grantee: u64, account: AccountId, mailbox: MailboxId) -> Key {
    Fields::of(space::GRANT)
        .u64(grantee)
        .u64(account.0)
        .u64(mailbox.0)
        .key()
}

/// Everything whose list says something of this grantee.
pub fn grants(grantee: u64) -> Key {
    Fields::of(space::GRANT).u64(grantee).key()
}

/// Everything of the owner of `grant` whose list says something of its grantee.
pub fn grants_of_owner(grant: &Key) -> Option<Key> {
    grant.granted()?;
    let owner = grant.0.get(..1 + 8 + 8)?;
    Some(Key::from_bytes(Bytes::copy_from_slice(owner)))
}

/// `SUBSCRIPTION account name`: this name is subscribed, whether or not a mailbox has it.
pub fn subscription(account: AccountId, name: &str) -> Key {
    Fields::account(space::SUBSCRIPTION, account)
        .bytes(name.as_bytes())
        .key()
}

/// All subscriptions of an account.
pub fn subscriptions(account: AccountId) -> Key {
    Fields::account(space::SUBSCRIPTION, account).key()
}

/// `UID account mailbox`: counter of UIDs.
pub fn uid(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::UID, account, mailbox).key()
}

/// `EXPUNGED account mailbox`: modseq of the last expunge; conditions on it keep sums exact.
pub fn expunged(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::EXPUNGED, account, mailbox).key()
}

/// `RECENT account mailbox`: the first UID that no session has had as recent.
pub fn recent(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::RECENT, account, mailbox).key()
}

/// `SNAPSHOT account mailbox`: head of the packed state.
pub fn snapshot(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::SNAPSHOT, account, mailbox).key()
}

/// `SNAPSHOT_CHUNK account mailbox chunk`: one chunk of the packed state.
pub fn snapshot_chunk(account: AccountId, mailbox: MailboxId, chunk: u32) -> Key {
    Fields::mailbox(space::SNAPSHOT_CHUNK, account, mailbox)
        .u32(chunk)
        .key()
}

/// All chunks of a mailbox.
pub fn snapshot_chunks(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::SNAPSHOT_CHUNK, account, mailbox).key()
}

/// `LOG account mailbox modseq`: one change record.
pub fn log(account: AccountId, mailbox: MailboxId, modseq: ModSeq) -> Key {
    Fields::mailbox(space::LOG, account, mailbox)
        .u64(modseq.0)
        .key()
}

/// Template of [`log()`] with the modseq taken in this batch.
pub fn log_numbered(account: AccountId, mailbox: MailboxId, take: usize) -> Template {
    Fields::mailbox(space::LOG, account, mailbox).hole(take)
}

/// The whole log of a mailbox.
pub fn logs(account: AccountId, mailbox: MailboxId) -> Key {
    Fields::mailbox(space::LOG, account, mailbox).key()
}

/// `EMAIL account email`: what FETCH needs of an email without reading its body.
pub fn email(account: AccountId, email: EmailId) -> Key {
    Fields::account(space::EMAIL, account).u64(email.0).key()
}

/// Template of [`email()`] for an email numbered in this batch.
pub fn email_numbered(account: AccountId, take: usize) -> Template {
    Fields::account(space::EMAIL, account).hole(take)
}

/// All emails of an account.
pub fn emails(account: AccountId) -> Key {
    Fields::account(space::EMAIL, account).key()
}

/// `BODY_FACTS blob`: what is known of a body whose owners are too many to say it each.
pub fn body_facts(blob: BlobId) -> Key {
    Fields::of(space::BODY_FACTS).bytes(blob.as_bytes()).key()
}

/// `BODY_OWNERS blob`: sum of owners; absent for a body with exactly one owner.
pub fn body_owners(blob: BlobId) -> Key {
    Fields::of(space::BODY_OWNERS).bytes(blob.as_bytes()).key()
}

/// `QUEUE_MESSAGE message`: envelope and body of a queued message.
pub fn queue_message(message: MessageId) -> Key {
    Fields::of(space::QUEUE_MESSAGE)
        .bytes(message.as_bytes())
        .key()
}

/// All queued messages.
pub fn queue_messages() -> Key {
    Fields::of(space::QUEUE_MESSAGE).key()
}

/// `QUEUE_RECIPIENT message n`: one recipient's state.
pub fn queue_recipient(message: MessageId, n: u32) -> Key {
    Fields::of(space::QUEUE_RECIPIENT)
        .bytes(message.as_bytes())
        .u32(n)
        .key()
}

/// All recipients of a queued message.
pub fn queue_recipients(message: MessageId) -> Key {
    Fields::of(space::QUEUE_RECIPIENT)
        .bytes(message.as_bytes())
        .key()
}

/// All recipients of all queued messages, oldest first.
pub fn queue_all_recipients() -> Key {
    Fields::of(space::QUEUE_RECIPIENT).key()
}

/// `QUEUE_PAUSE domain`: since when no attempt begins for it; for none at all, without a domain.
pub fn queue_pause(domain: &str) -> Key {
    Fields::of(space::QUEUE_PAUSE)
        .bytes(domain.as_bytes())
        .key()
}

/// All pauses of the queue.
pub fn queue_pauses() -> Key {
    Fields::of(space::QUEUE_PAUSE).key()
}

/// `QUEUE_DUE time message n`: when a recipient is due.
pub fn queue_due(due: Timestamp, message: MessageId, n: u32) -> Key {
    Fields::of(space::QUEUE_DUE)
        .u64(due.0)
        .bytes(message.as_bytes())
        .u32(n)
        .key()
}

/// All due times, earliest first.
pub fn queue_dues() -> Key {
    Fields::of(space::QUEUE_DUE).key()
}

impl Key {
    fn extended(self, bytes: &[u8]) -> Self {
        Fields(self.0.to_vec()).bytes(bytes).key()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn byte_order_is_field_order(a in any::<(u64, u64, u64)>(), b in any::<(u64, u64, u64)>()) {
            let key = |f: (u64, u64, u64)| log(AccountId(f.0), MailboxId(f.1), ModSeq(f.2));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(key(a).last_u64(), Some(a.2));
        }

        #[test]
        fn a_prefix_range_holds_exactly_the_keys_of_that_prefix(
            account in any::<u64>(), other in any::<u64>(), n in any::<u64>(),
        ) {
            let range = emails(AccountId(account)).prefix_range();
            let key = email(AccountId(other), EmailId(n));
            let inside = range.from <= key && key < range.to;
            prop_assert_eq!(inside, account == other);
        }
    }

    #[test]
    fn one_domain_is_not_the_prefix_of_another() {
        let range = addresses_of("example.org").prefix_range();
        let longer = address("example.org.uk", "a");
        assert!(!(range.from <= longer && longer < range.to));
    }
}
