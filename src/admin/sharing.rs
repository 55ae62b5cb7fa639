//! The operator's requests about who else may use a mailbox (RFC 4314), which is how a shared
//! account's mailboxes come to their users.

use serde_json::{Value, json};

use super::operations::{Operations, Outcome, Refusal};
use crate::{
    base::ids::{AccountId, MailboxId},
    mailbox::{Acl, AclChange, AclMode, Identifier, Name, Rights},
};

impl Operations {
    /// The list of one mailbox.
    pub(super) async fn acl_list(&self, account: &str, mailbox: &str) -> Outcome {
        let (owner, id) = self.mailbox(account, mailbox).await?;
        let acl = self.mailboxes.acl(owner, id).await?;
        Ok(self.acl_shown(&acl))
    }

    /// Gives or takes rights: letters, with `+` or `-` before them or without.
    pub(super) async fn acl_set(
        &self,
        account: &str,
        mailbox: &str,
        identifier: &str,
        rights: &str,
    ) -> Outcome {
        let (mode, letters) = match rights.as_bytes().first() {
            Some(b'+') => (AclMode::Add, &rights[1..]),
            Some(b'-') => (AclMode::Remove, &rights[1..]),
            _ => (AclMode::Replace, rights),
        };
        let rights = Rights::parse(letters).map_err(|_| Refusal::NotOne {
            given: letters.to_owned(),
            wanted: "a set of rights: letters of lrswipkxtea",
        })?;
        self.acl_change(account, mailbox, identifier, (mode, rights))
            .await
    }

    /// Removes an identifier from the list.
    pub(super) async fn acl_delete(
        &self,
        account: &str,
        mailbox: &str,
        identifier: &str,
    ) -> Outcome {
        let nothing = (AclMode::Replace, Rights::NONE);
        self.acl_change(account, mailbox, identifier, nothing).await
    }

    async fn acl_change(
        &self,
        account: &str,
        mailbox: &str,
        identifier: &str,
        (mode, rights): (AclMode, Rights),
    ) -> Outcome {
        let (owner, id) = self.mailbox(account, mailbox).await?;
        let (name, negative) = match identifier.strip_prefix('-') {
            Some(name) => (name, true),
            None => (identifier, false),
        };
        let who = match name {
            ANYONE => Identifier::Anyone,
            name => Identifier::Account(self.account(name)?),
        };
        if who == Identifier::Account(owner) {
            return Err(Refusal::Owner);
        }
        let change = AclChange {
            who,
            negative,
            mode,
            rights,
        };
        self.mailboxes.change_acl(owner, id, &change).await?;
        let acl = self.mailboxes.acl(owner, id).await?;
        Ok(self.acl_shown(&acl))
    }

    fn acl_shown(&self, acl: &Acl) -> Value {
        let snapshot = self.directory.snapshot();
        let mut shown = Vec::new();
        for entry in acl.entries() {
            let name = match entry.who {
                Identifier::Anyone => ANYONE.to_owned(),
                Identifier::Account(id) => match snapshot.account(id) {
                    Some(account) => account.address.to_string(),
                    None => continue,
                },
            };
            for (dash, rights) in [("", entry.granted), ("-", entry.denied)] {
                if !rights.is_empty() {
                    shown.push(json!({
                        "identifier": format!("{dash}{name}"),
                        "rights": rights.to_string(),
                    }));
                }
            }
        }
        Value::Array(shown)
    }

    async fn mailbox(
        &self,
        account: &str,
        mailbox: &str,
    ) -> Result<(AccountId, MailboxId), Refusal> {
        let owner = self.account(account)?;
        let found = match Name::parse(mailbox) {
            Ok(name) => self.mailboxes.find(owner, &name).await?,
            Err(_) => None,
        };
        let entry = found.ok_or_else(|| Refusal::NoMailbox(mailbox.to_owned()))?;
        Ok((owner, entry.id))
    }
}

/// RFC 4314 2: everybody who logs in.
const ANYONE: &str = "anyone";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        admin::{Answer, Password, Request, socket::tests::operations_over},
        base::secret::Secret,
        store::memory::Memory,
    };

    fn set(identifier: &str, rights: &str) -> Request {
        Request::AclSet {
            account: "team@example.org".to_owned(),
            mailbox: "INBOX".to_owned(),
            identifier: identifier.to_owned(),
            rights: rights.to_owned(),
        }
    }

    /// A shared account `team` and a person `alice`.
    async fn two_accounts() -> Operations {
        let operations = operations_over(Arc::new(Memory::new())).await;
        let (alice, team) = ("alice@example.org", "team@example.org");
        for request in [
            Request::DomainAdd {
                name: "example.org".to_owned(),
            },
            Request::AccountAddShared {
                address: team.to_owned(),
            },
            Request::AccountAdd {
                address: alice.to_owned(),
                password: Password(Secret::new("long enough".to_owned())),
            },
        ] {
            assert!(matches!(operations.execute(request).await, Answer::Done(_)));
        }
        operations
    }

    #[tokio::test]
    async fn an_operator_gives_and_takes_rights() {
        let operations = two_accounts().await;
        let (alice, team) = ("alice@example.org", "team@example.org");
        let all = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            let shown = entries.map(|(who, rights)| json!({"identifier": who, "rights": rights}));
            shown.collect::<Value>()
        };
        for (who, rights, then) in [
            (alice, "lrs", all(&[(alice, "lrs")])),
            (alice, "+k", all(&[(alice, "lrskc")])),
            ("anyone", "lr", all(&[("anyone", "lr"), (alice, "lrskc")])),
            (
                "-alice@example.org",
                "r",
                all(&[
                    ("anyone", "lr"),
                    (alice, "lrskc"),
                    ("-alice@example.org", "r"),
                ]),
            ),
            (
                "-alice@example.org",
                "-r",
                all(&[("anyone", "lr"), (alice, "lrskc")]),
            ),
            ("anyone", "", all(&[(alice, "lrskc")])),
        ] {
            match operations.execute(set(who, rights)).await {
                Answer::Done(value) => assert_eq!(value, then),
                Answer::Refused(why) => panic!("{who} {rights}: {why}"),
            }
        }
        for (who, rights, why) in [
            (
                "nobody@example.org",
                "l",
                "there is no account nobody@example.org",
            ),
            (alice, "lq", "\"lq\" is not a set of rights"),
            (team, "l", "the owner of a mailbox always has all rights"),
        ] {
            match operations.execute(set(who, rights)).await {
                Answer::Refused(said) => assert!(said.starts_with(why), "{said}"),
                Answer::Done(value) => panic!("{value}"),
            }
        }
        let (account, mailbox) = (team.to_owned(), "INBOX".to_owned());
        let delete = Request::AclDelete {
            account: account.clone(),
            mailbox: mailbox.clone(),
            identifier: alice.to_owned(),
        };
        assert!(matches!(operations.execute(delete).await, Answer::Done(_)));
        match operations
            .execute(Request::AclList { account, mailbox })
            .await
        {
            Answer::Done(value) => assert_eq!(value, all(&[])),
            Answer::Refused(why) => panic!("{why}"),
        }
        let password = Request::AccountPassword {
            address: team.to_owned(),
            password: Password(Secret::new("long enough".to_owned())),
        };
        assert!(matches!(
            operations.execute(password).await,
            Answer::Refused(_)
        ));
    }
}
