//! Running the operator's requests against the services.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    personal::{forwarding_shown, out_of_office_shown},
    queueing::Ways,
    request::{Answer, Password, Request},
};
use crate::{
    accounts::{Account, Directory, DirectoryError, Entry, Resolution},
    base::{clock::Clock, ids::AccountId, random::Random, secret::Secret, text::Causes},
    fulltext::{Fulltext, Unreadable},
    mail::address::{Address, Domain},
    mailbox::{ChangeError, MailboxFault, Mailboxes},
    queue::{PauseError, Queue, QueueFault},
    store::Batch,
};

/// The services an operator works on. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    pub(super) directory: Directory,
    pub(super) mailboxes: Mailboxes,
    pub(super) queue: Queue,
    pub(super) ways: Ways,
    fulltext: Fulltext,
    pub(super) clock: Clock,
    pub(super) random: Random,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("\"{given}\" is not {wanted}")]
    NotOne { given: String, wanted: &'static str },
    #[error("there is no local domain {0}; `buzon domain list` shows all")]
    NoDomain(Domain),
    #[error("{0} is not a local domain: `buzon domain add {0}` makes it one")]
    NotHere(Domain),
    #[error(
        "\"{0}\" would be one address, not all of them: \
         `buzon domain catch-all DOMAIN TARGET` says who gets what no address takes"
    )]
    NotAPattern(String),
    #[error("the password is too short: {PASSWORD_CHARS_MIN} characters at least")]
    ShortPassword,
    #[error("there is no group {0}; `buzon group list` shows all")]
    NoGroup(String),
    #[error("there is no account {0}; `buzon account list` shows all")]
    NoAccount(String),
    #[error("the account has no mailbox {0}")]
    NoMailbox(String),
    #[error("it would end before it begins")]
    EndsFirst,
    #[error("it is over already")]
    OverAlready,
    #[error("an answer needs a text")]
    NoText,
    #[error("the owner of a mailbox always has all rights")]
    Owner,
    #[error("a key could not be made: try again")]
    NoKey,
    #[error("there is no message {0} in the queue")]
    NoMessage(String),
    #[error(
        "which mail? A message's ID, filters such as --domain example.org or --error greylist, or \
         `all`"
    )]
    NothingSelected,
    #[error("\"{0}\" is this server itself: its mail would come back")]
    ToOurselves(String),
    #[error("no smarthost is set: [relay.smarthost] names it")]
    NoSmarthost,
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Mailbox(#[from] MailboxFault),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Queue(#[from] QueueFault),
    #[error(transparent)]
    Pause(#[from] PauseError),
    #[error(transparent)]
    Fulltext(#[from] Unreadable),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

pub(super) type Outcome = Result<Value, Refusal>;

impl Operations {
    /// Over these services.
    pub fn new(
        directory: Directory,
        mailboxes: Mailboxes,
        queue: Queue,
        fulltext: Fulltext,
        (clock, random): (Clock, Random),
    ) -> Self {
        Self {
            directory,
            mailboxes,
            queue,
            ways: Ways::default(),
            fulltext,
            clock,
            random,
        }
    }

    /// The same, where queued mail can go these ways.
    #[must_use]
    pub fn with_ways(self, ways: Ways) -> Self {
        Self { ways, ..self }
    }

    /// Runs one request.
    pub async fn execute(&self, request: Request) -> Answer {
        match self.run(request).await {
            Ok(value) => Answer::Done(value),
            Err(refusal) => Answer::Refused(Causes(&refusal).to_string()),
        }
    }

    async fn run(&self, request: Request) -> Outcome {
        match request {
            Request::DomainAdd { name } => self.domain_add(&name).await,
            Request::DomainRemove { name } => self.domain_remove(&name).await,
            Request::DomainCatchAll { name, target } => {
                self.domain_catch_all(&name, target.as_deref()).await
            }
            Request::DomainList => Ok(self.domain_list()),
            Request::DkimGenerate {
                domain,
                kinds,
                delay_secs,
            } => self.dkim_generate(&domain, &kinds, delay_secs).await,
            Request::DkimList { domain } => self.dkim_list(domain.as_deref()),
            Request::DkimDrop { domain, selector } => self.dkim_drop(&domain, &selector).await,
            Request::AccountAdd { address, password } => {
                self.account_add(&address, &password).await
            }
            Request::AccountAddShared { address } => self.account_add_shared(&address).await,
            Request::AccountRemove { address } => self.account_remove(&address).await,
            Request::AccountShow { address } => self.account_show(&address).await,
            Request::AccountList => self.account_list().await,
            Request::AccountPassword { address, password } => {
                let account = self.account(&address)?;
                self.directory
                    .set_password(account, long_enough(&password)?)
                    .await?;
                Ok(json!({ "account": address, "password": "changed" }))
            }
            Request::AccountQuota { address, bytes } => self.account_quota(&address, bytes).await,
            Request::AccountDisable { address, disabled } => {
                let account = self.account(&address)?;
                self.directory.set_disabled(account, disabled).await?;
                Ok(json!({ "account": address, "disabled": disabled }))
            }
            Request::AccountForward { address, to, keep } => {
                self.account_forward(&address, &to, keep).await
            }
            Request::AccountOutOfOffice { address, answer } => {
                self.account_out_of_office(&address, answer.as_ref()).await
            }
            Request::SrsRotate => self.srs_rotate().await,
            Request::SrsList => Ok(self.srs_list()),
            Request::Addressing { request } => self.addressing(request).await,
            Request::AliasAdd { address, targets } => self.alias_add(&address, &targets).await,
            Request::AliasSet { address, targets } => self.alias_set(&address, &targets).await,
            Request::AliasRemove { address } => {
                self.directory.remove_alias(&parsed(&address)?).await?;
                Ok(json!({ "alias": address, "removed": true }))
            }
            Request::AliasList => Ok(self.alias_list()),
            Request::AclList { account, mailbox } => self.acl_list(&account, &mailbox).await,
            Request::AclSet {
                account,
                mailbox,
                identifier,
                rights,
            } => self.acl_set(&account, &mailbox, &identifier, &rights).await,
            Request::AclDelete {
                account,
                mailbox,
                identifier,
            } => self.acl_delete(&account, &mailbox, &identifier).await,
            Request::Queue { request } => self.queue(request).await,
            Request::SearchIndexStatus => Ok(serde_json::to_value(self.fulltext.status().await?)?),
            Request::SearchIndexRebuild => {
                self.fulltext.rebuild().await?;
                Ok(json!({ "search_index": "is made again" }))
            }
        }
    }

    async fn domain_add(&self, name: &str) -> Outcome {
        let domain = domain(name)?;
        self.directory.add_domain(&domain).await?;
        Ok(json!({ "domain": domain.to_string() }))
    }

    async fn domain_remove(&self, name: &str) -> Outcome {
        let domain = self.domain(name)?;
        self.directory.remove_domain(&domain).await?;
        Ok(json!({ "domain": domain.to_string(), "removed": true }))
    }

    async fn domain_catch_all(&self, name: &str, target: Option<&str>) -> Outcome {
        let domain = self.domain(name)?;
        let target = target.map(parsed).transpose()?;
        self.directory
            .set_catch_all(&domain, target.as_ref())
            .await?;
        Ok(json!({
            "domain": domain.to_string(),
            "catch_all": target.as_ref().map(ToString::to_string),
            "warnings": self.unreached(target.as_slice()),
        }))
    }

    fn domain_list(&self) -> Value {
        let snapshot = self.directory.snapshot();
        let domains = snapshot.domains().map(|domain| {
            json!({
                "domain": domain.name.to_string(),
                "addresses": domain.entries().count(),
                "catch_all": domain.catch_all().map(ToString::to_string),
                "stands_for": domain.stands_for().map(ToString::to_string),
            })
        });
        domains.collect()
    }

    async fn account_add(&self, address: &str, password: &Password) -> Outcome {
        let address = self.own(address)?;
        let provision = |batch: &mut Batch, account: AccountId| {
            self.mailboxes.provision(batch, account);
        };
        let id = self
            .directory
            .add_account(&address, long_enough(password)?, &provision)
            .await?;
        Ok(self.added(&address, id))
    }

    async fn account_add_shared(&self, address: &str) -> Outcome {
        let address = self.own(address)?;
        let provision = |batch: &mut Batch, account: AccountId| {
            self.mailboxes.provision(batch, account);
        };
        let added = self.directory.add_shared_account(&address, &provision);
        Ok(self.added(&address, added.await?))
    }

    fn added(&self, address: &Address, id: AccountId) -> Value {
        json!({
            "account": address.to_string(),
            "id": id.0,
            "warnings": Vec::from_iter(self.looks_tagged(address)),
        })
    }

    async fn account_remove(&self, address: &str) -> Outcome {
        let account = self.account(address)?;
        self.directory.remove_account(account).await?;
        Ok(json!({ "account": address, "removed": true }))
    }

    async fn account_list(&self) -> Outcome {
        let snapshot = self.directory.snapshot();
        let mut accounts: Vec<&Account> = snapshot.accounts().collect();
        accounts.sort_by(|a, b| a.address.cmp(&b.address));
        let mut list = Vec::with_capacity(accounts.len());
        for account in accounts {
            list.push(self.described(account).await?);
        }
        Ok(Value::Array(list))
    }

    pub(super) async fn account_show(&self, address: &str) -> Outcome {
        let account = self.account(address)?;
        match self.directory.snapshot().account(account) {
            Some(account) => self.described(account).await,
            None => Err(Refusal::NoAccount(address.to_owned())),
        }
    }

    async fn described(&self, account: &Account) -> Outcome {
        let usage = self.mailboxes.usage(account.id).await?;
        Ok(json!({
            "account": account.address.to_string(),
            "id": account.id.0,
            "messages": usage.messages,
            "used_bytes": usage.bytes,
            "quota_bytes": account.quota_bytes,
            "disabled": account.disabled,
            "shared": account.shared,
            "forwarding": forwarding_shown(account),
            "out_of_office": out_of_office_shown(account, self.clock.wall()),
        }))
    }

    async fn account_quota(&self, address: &str, bytes: u64) -> Outcome {
        let account = self.account(address)?;
        self.directory.set_quota(account, bytes).await?;
        Ok(json!({ "account": address, "quota_bytes": bytes }))
    }

    async fn alias_add(&self, address: &str, targets: &[String]) -> Outcome {
        let (address, targets) = (self.own(address)?, all_parsed(targets)?);
        self.directory.add_alias(&address, &targets).await?;
        let mut warnings = self.unreached(&targets);
        warnings.extend(self.looks_tagged(&address));
        Ok(alias_set(&address, &targets, &warnings))
    }

    async fn alias_set(&self, address: &str, targets: &[String]) -> Outcome {
        let (address, targets) = (self.own(address)?, all_parsed(targets)?);
        self.directory.set_targets(&address, &targets).await?;
        let warnings = self.unreached(&targets);
        Ok(alias_set(&address, &targets, &warnings))
    }

    /// Says of targets that reach nobody now that they do. They may be made later.
    pub(super) fn unreached(&self, targets: &[Address]) -> Vec<String> {
        let snapshot = self.directory.snapshot();
        let why = |target: &Address| match snapshot.resolve_address(target) {
            Resolution::Unknown => Some(format!("nothing takes mail for {target} yet")),
            Resolution::Disabled => Some(format!("the account of {target} is disabled")),
            _ => None,
        };
        targets.iter().filter_map(why).collect()
    }

    /// Says that a new address takes mail that was another's with a tag.
    pub(super) fn looks_tagged(&self, address: &Address) -> Option<String> {
        let base = self.directory.snapshot().untagged(address)?;
        Some(format!(
            "mail for {address} comes here now and not to {base}: its name has the tag separator"
        ))
    }

    fn alias_list(&self) -> Value {
        let snapshot = self.directory.snapshot();
        let mut aliases = BTreeMap::new();
        for domain in snapshot.domains() {
            for (local, entry) in domain.entries() {
                if let Entry::Alias(targets) = entry {
                    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
                    aliases.insert(format!("{local}@{}", domain.name), targets);
                }
            }
        }
        let list = aliases.into_iter();
        list.map(|(alias, targets)| json!({ "alias": alias, "targets": targets }))
            .collect()
    }

    /// A local domain.
    pub(super) fn domain(&self, name: &str) -> Result<Domain, Refusal> {
        let domain = domain(name)?;
        match self.directory.snapshot().is_local(&domain) {
            true => Ok(domain),
            false => Err(Refusal::NoDomain(domain)),
        }
    }

    /// An address that can be one of ours.
    pub(super) fn own(&self, text: &str) -> Result<Address, Refusal> {
        if text.starts_with(['@', '*']) {
            return Err(Refusal::NotAPattern(text.to_owned()));
        }
        let address = parsed(text)?;
        match self.directory.snapshot().is_local(&address.domain) {
            true => Ok(address),
            false => Err(Refusal::NotHere(address.domain)),
        }
    }

    pub(super) fn account(&self, address: &str) -> Result<AccountId, Refusal> {
        let wanted = parsed(address)?;
        let snapshot = self.directory.snapshot();
        match snapshot.entry(&wanted) {
            Some(Entry::Account(id)) => Ok(*id),
            _ => Err(Refusal::NoAccount(address.to_owned())),
        }
    }
}

pub(super) fn domain(text: &str) -> Result<Domain, Refusal> {
    let wanted = "a domain name such as example.org";
    Domain::parse(text).map_err(|_| Refusal::NotOne {
        given: text.to_owned(),
        wanted,
    })
}

/// What may be set; logins take shorter ones that were set before.
fn long_enough(password: &Password) -> Result<&Secret<String>, Refusal> {
    match password.0.expose().chars().count() < PASSWORD_CHARS_MIN {
        true => Err(Refusal::ShortPassword),
        false => Ok(&password.0),
    }
}

pub(super) fn all_parsed(texts: &[String]) -> Result<Vec<Address>, Refusal> {
    texts.iter().map(|text| parsed(text)).collect()
}

fn alias_set(address: &Address, targets: &[Address], warnings: &[String]) -> Value {
    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
    json!({ "alias": address.to_string(), "targets": targets, "warnings": warnings })
}

pub(super) fn parsed(text: &str) -> Result<Address, Refusal> {
    let wanted = "an address such as alice@example.org";
    Address::parse(text).map_err(|_| Refusal::NotOne {
        given: text.to_owned(),
        wanted,
    })
}

/// Characters of a password that is set.
const PASSWORD_CHARS_MIN: usize = 8;
