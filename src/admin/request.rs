//! What an operator can ask for, and what is answered. The JSON forms go over the local socket.

mod queue;

use serde::{Deserialize, Serialize};

pub use queue::{Filters, QueueAction, QueueRequest, Selected};

use crate::base::secret::Secret;

/// One operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Request {
    /// Take mail for a domain.
    DomainAdd {
        /// Its name.
        name: String,
    },
    /// Stop taking mail for a domain.
    DomainRemove {
        /// Its name.
        name: String,
    },
    /// Say who gets what no address of a domain takes.
    DomainCatchAll {
        /// Its name.
        name: String,
        /// Who; nobody without.
        target: Option<String>,
    },
    /// All local domains.
    DomainList,
    /// Make keys that sign a domain's mail.
    DkimGenerate {
        /// Whose.
        domain: String,
        /// `rsa`, `ed25519`; both without.
        kinds: Vec<String>,
        /// How long until they sign.
        delay_secs: u64,
    },
    /// The keys of one domain or of all.
    DkimList {
        /// Whose.
        domain: Option<String>,
    },
    /// Give a key up.
    DkimDrop {
        /// Whose.
        domain: String,
        /// Which.
        selector: String,
    },
    /// Make an account.
    AccountAdd {
        /// Its address.
        address: String,
        /// Its password.
        password: Password,
    },
    /// Make an account that is nobody's own: its mailboxes are there to be shared.
    AccountAddShared {
        /// Its address.
        address: String,
    },
    /// Remove an account with its mail.
    AccountRemove {
        /// Its address.
        address: String,
    },
    /// One account.
    AccountShow {
        /// Its address.
        address: String,
    },
    /// All accounts.
    AccountList,
    /// Set a password.
    AccountPassword {
        /// Whose.
        address: String,
        /// The new one.
        password: Password,
    },
    /// Set a quota.
    AccountQuota {
        /// Whose.
        address: String,
        /// In bytes.
        bytes: u64,
    },
    /// Take an account out of use, or back into it.
    AccountDisable {
        /// Whose.
        address: String,
        /// Out of use.
        disabled: bool,
    },
    /// Forward an account's mail.
    AccountForward {
        /// Whose.
        address: String,
        /// Where it goes; nowhere without.
        to: Vec<String>,
        /// And into its own mailbox.
        keep: bool,
    },
    /// Answer whoever writes to an account.
    AccountOutOfOffice {
        /// Whose.
        address: String,
        /// With what; nobody without.
        answer: Option<Answering>,
    },
    /// Make a new secret for rewritten senders.
    SrsRotate,
    /// The secrets for rewritten senders, without what they are.
    SrsList,
    /// Groups, domains that stand for others, grants.
    Addressing {
        /// What of them.
        request: Addressing,
    },
    /// Let an address stand for others.
    AliasAdd {
        /// The address.
        address: String,
        /// The others.
        targets: Vec<String>,
    },
    /// Let an alias stand for others than before.
    AliasSet {
        /// The address.
        address: String,
        /// All the others.
        targets: Vec<String>,
    },
    /// Remove an alias.
    AliasRemove {
        /// The address.
        address: String,
    },
    /// All aliases.
    AliasList,
    /// Who else may use a mailbox.
    AclList {
        /// Whose mailbox.
        account: String,
        /// Its name there.
        mailbox: String,
    },
    /// Give or take rights to a mailbox.
    AclSet {
        /// Whose mailbox.
        account: String,
        /// Its name there.
        mailbox: String,
        /// Who: an account's address or `anyone`, behind `-` for negative rights.
        identifier: String,
        /// Letters, behind `+` or `-` to add or take away.
        rights: String,
    },
    /// Remove an identifier from a mailbox's list.
    AclDelete {
        /// Whose mailbox.
        account: String,
        /// Its name there.
        mailbox: String,
        /// Who, as it is listed.
        identifier: String,
    },
    /// Waiting mail.
    Queue {
        /// What of it.
        request: QueueRequest,
    },
    /// How far the index of texts is.
    SearchIndexStatus,
    /// Make the index of texts again.
    SearchIndexRebuild,
}

/// One operation on what addresses stand for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Addressing {
    /// Let a domain stand for another, or for itself again.
    DomainAlias {
        /// Its name.
        name: String,
        /// The other one; itself without.
        other: Option<String>,
    },
    /// Make a distribution list.
    GroupAdd {
        /// Its address.
        address: String,
        /// What it is.
        group: Listing,
    },
    /// Change a distribution list.
    GroupSet {
        /// Its address.
        address: String,
        /// What of it is replaced; nothing where nothing is said.
        group: Listing,
        /// More members.
        joining: Vec<String>,
        /// Members no more.
        leaving: Vec<String>,
    },
    /// Remove a distribution list.
    GroupRemove {
        /// Its address.
        address: String,
    },
    /// One distribution list.
    GroupShow {
        /// Its address.
        address: String,
    },
    /// All distribution lists.
    GroupList,
    /// Let an account send with an address or a domain, or no more.
    SendAs {
        /// Whose.
        address: String,
        /// An address, or `@` and a domain.
        grant: String,
        /// Whether it may.
        granted: bool,
    },
    /// What an account may send with beside its own.
    SendAsList {
        /// Whose.
        address: String,
    },
}

/// What a distribution list is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Who gets its mail.
    pub members: Vec<String>,
    /// Who runs it.
    pub owners: Option<Vec<String>>,
    /// Who may write to it: `anyone`, `members`, `owners`, or addresses.
    pub senders: Option<Vec<String>>,
}

/// What senders are answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answering {
    /// The first day, or the time it begins; now without.
    pub from: Option<String>,
    /// The last day, or the time it ends.
    pub until: String,
    /// For so many days nobody is answered twice.
    pub days: u8,
    /// That of the message it answers, without.
    pub subject: Option<String>,
    /// What it says.
    pub text: String,
}

/// A password on its way through the local socket; never shown otherwise.
#[derive(Clone, Debug)]
pub struct Password(pub Secret<String>);

impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// What came of a request: one or the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was done; what was asked for, as data.
    Done(serde_json::Value),
    /// It was not done: what is wrong and what would be right.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_survives_the_socket_and_never_shows() {
        let request = Request::AccountAdd {
            address: "a@example.org".to_owned(),
            password: Password(Secret::new("hunter2".to_owned())),
        };
        assert!(!format!("{request:?}").contains("hunter2"));
        let text = serde_json::to_string(&request).unwrap();
        let back: Request = serde_json::from_str(&text).unwrap();
        let Request::AccountAdd { password, .. } = back else {
            panic!("another request")
        };
        assert_eq!(password.0.expose(), "hunter2");
    }
}
