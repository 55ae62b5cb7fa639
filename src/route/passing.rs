//! What is passed on for an address here: a rewritten sender, a field that ends circles, and the
//! way back for reports about it.
//!
//! A sender elsewhere is rewritten (`srs`), because the next server asks his domain whether we may
//! send for it; one of ours need not be. The copy begins with Delivered-To and the address here: a
//! message that has it already went through that address and is not passed on again (RFC 5321
//! 6.3). Reports to rewritten senders are taken from the null path only, and go to whom it was.

use super::{
    copies::Queued,
    listing,
    plan::Mailing,
    router::{AcceptError, Acceptance, Origin, Refusal, RouteFault, Router},
    srs,
    target::Target,
};
use crate::{
    accounts::{Snapshot, bounces_of},
    base::{
        clock::Timestamp,
        ids::{AccountId, MessageId},
        text::Causes,
    },
    mail::{
        address::{Address, Domain},
        envelope::{Envelope, ForwardPath, MailOptions, ReversePath},
        header::Fields,
    },
    queue::{NewMessage, record::HEAD_BYTES_MAX},
    store::Batch,
};

/// What becomes of the senders of what is passed on.
#[derive(Clone, Debug)]
pub struct Rewriting {
    /// Whether they are rewritten.
    pub enabled: bool,
    /// To addresses of this domain; without, of that which passes the message on.
    pub domain: Option<Domain>,
}

impl Default for Rewriting {
    fn default() -> Self {
        Self {
            enabled: true,
            domain: None,
        }
    }
}

impl Router {
    /// Whether accepting a message for these needs its header.
    pub fn wants_header(&self, targets: &[Target]) -> bool {
        let wants = |target: &Target| {
            target.wants_success() || target.is_passed_on() || !target.lists().is_empty()
        };
        targets.iter().any(wants) || self.may_answer(targets)
    }

    /// Whether some of a message for these goes on to other servers.
    pub fn passes_on(&self, targets: &[Target]) -> bool {
        targets.iter().any(Target::is_passed_on)
    }

    /// The fields that seal what is passed on, with the key of the first address that does it;
    /// none when there is nothing to seal or nobody has a key.
    pub(super) async fn seal(&self, acceptance: &Acceptance) -> String {
        let passing = acceptance
            .targets
            .iter()
            .filter(|target| target.is_passed_on());
        let domains = passing.filter_map(|target| match target.via() {
            Some(ForwardPath::Address(address)) => Some(&address.domain),
            _ => None,
        });
        let Some((sealable, domain)) = acceptance.sealable.as_ref().zip(domains.into_iter().next())
        else {
            return String::new();
        };
        let seal = self.0.signing.seal(sealable.clone(), domain).await;
        seal.filter(|seal| seal.len() <= SEAL_BYTES_MAX)
            .unwrap_or_default()
    }

    /// Has accounts keep what is for Junk and what they would forward: those elsewhere would take
    /// the forgery for mail that we vouch for, and their server our address for a source of it.
    ///
    /// # Errors
    /// When whoever is to keep it has no room: he was not asked as long as all was to go on.
    pub(super) async fn keep_suspicious(
        &self,
        acceptance: &mut Acceptance,
    ) -> Result<(), AcceptError> {
        if !acceptance.junk {
            return Ok(());
        }
        let snapshot = self.0.directory.snapshot();
        let from = (acceptance.origin, &acceptance.envelope.sender);
        for taken in &mut acceptance.targets {
            // Whoever is not to be found now is looked for again where the commit fails for it.
            let Ok(kept) = self.target(&snapshot, from, (&taken.path, true)) else {
                continue;
            };
            if kept.reached != taken.reached {
                let full = self.is_full(&snapshot, &kept.reached).await;
                if full.map_err(RouteFault::from)? {
                    return Err(AcceptError::Refused(Refusal::OverQuota));
                }
            }
            *taken = kept.with(std::mem::take(&mut taken.options));
        }
        Ok(())
    }

    /// Whom an address leads to that says it is a rewritten sender of ours.
    pub(super) fn returned(
        &self,
        snapshot: &Snapshot,
        to: &ForwardPath,
    ) -> Option<Result<ForwardPath, Refusal>> {
        let ForwardPath::Address(address) = to else {
            return None;
        };
        let secrets = snapshot.rewriting_secrets();
        let domain = Some(&address.domain);
        let is_ours =
            snapshot.is_ours(&address.domain) || self.0.rewriting.domain.as_ref() == domain;
        if !is_ours || secrets.is_empty() {
            return None;
        }
        let original = srs::original(secrets, self.now(), address)?;
        Some(match original {
            Ok(original) => Ok(ForwardPath::Address(original)),
            Err(srs::Dead::Forged) => Err(Refusal::NotRewrittenHere),
            Err(srs::Dead::Expired) => Err(Refusal::RewrittenLongAgo),
        })
    }

    /// Makes the first secret when it is about to be needed. Without one, senders stay as they are.
    pub(super) async fn prepare_rewriting(&self, acceptance: &Acceptance) {
        let snapshot = self.0.directory.snapshot();
        if !snapshot.rewriting_secrets().is_empty()
            || !self.rewrites(&snapshot, &acceptance.envelope)
            || !self.passes_on(&acceptance.targets)
        {
            return;
        }
        if let Err(error) = self.0.directory.make_rewriting_secret().await {
            let error = Causes(&error);
            tracing::error!(%error, "there is no secret for rewritten senders");
        }
    }

    /// Adds what leaves to a batch, each mailing as a message of its own. The first has the id of
    /// the message.
    pub(super) fn enqueue(
        &self,
        batch: &mut Batch,
        acceptance: &Acceptance,
        (mailings, seal): (Vec<Mailing>, &str),
        now: Timestamp,
    ) -> Vec<Queued> {
        let snapshot = self.0.directory.snapshot();
        let Acceptance {
            envelope, arrived, ..
        } = acceptance;
        let skipped = u32::try_from(acceptance.final_delivery_bytes).unwrap_or_default();
        let mut id = Some(acceptance.id);
        let mailings = mailings.into_iter().map(|mut mailing| {
            if let Some(list) = mailing.list.take() {
                let id = id.take().unwrap_or_else(|| self.queue().fresh_id());
                let named = (id, list, now);
                return self.send_on(batch, acceptance, named, mailing);
            }
            let Mailing {
                via,
                remotes,
                waiting,
                ..
            } = mailing;
            let rewritten = via
                .as_ref()
                .and_then(|via| self.rewritten(&snapshot, envelope, via));
            let message = NewMessage {
                id: id.take().unwrap_or_else(|| self.queue().fresh_id()),
                sender: envelope.sender.clone(),
                rewritten,
                head: match &via {
                    Some(via) => delivered_to(envelope, via) + seal,
                    None => String::new(),
                },
                recipients: remotes,
                accounts: waiting,
                blob: arrived.blob,
                skipped,
                size: arrived.size.saturating_sub(u64::from(skipped)),
                smtputf8: envelope.smtputf8,
                body: envelope.body,
                options: envelope.options.clone(),
                received: now,
                origin: submitter(acceptance),
            };
            self.queue().enqueue(batch, &message);
            Queued {
                id: message.id,
                via,
                list: None,
                rewritten: message.rewritten,
            }
        });
        mailings.collect()
    }

    /// Adds what a group sends on to members elsewhere, and to those here who wait: a message of
    /// its own, whose sender is the group (RFC 5321 3.9.2), and about which nobody else hears (RFC
    /// 3461 5.2.7.1).
    fn send_on(
        &self,
        batch: &mut Batch,
        acceptance: &Acceptance,
        (id, list, now): (MessageId, Address, Timestamp),
        mailing: Mailing,
    ) -> Queued {
        let Acceptance {
            envelope, arrived, ..
        } = acceptance;
        let skipped = u32::try_from(acceptance.final_delivery_bytes).unwrap_or_default();
        let bounces = bounces_of(&list);
        let message = NewMessage {
            id,
            // RFC 6532 3.2: its own address is in its fields, and in its sender.
            smtputf8: envelope.smtputf8 || !list.is_ascii(),
            sender: bounces
                .clone()
                .map_or(ReversePath::Null, ReversePath::Address),
            rewritten: None,
            head: listing::fields(&list, &acceptance.header),
            recipients: mailing.remotes,
            accounts: mailing.waiting,
            blob: arrived.blob,
            skipped,
            size: arrived.size.saturating_sub(u64::from(skipped)),
            body: envelope.body,
            // What was asked about the message was asked for it as it came; what it needs on its
            // way it still needs.
            options: MailOptions {
                ret: None,
                envelope_id: None,
                deliver_by: None,
                ..envelope.options.clone()
            },
            received: now,
            origin: submitter(acceptance),
        };
        self.queue().enqueue(batch, &message);
        Queued {
            id,
            via: None,
            list: Some(list),
            rewritten: bounces,
        }
    }

    /// Whether this sender is rewritten: he is somebody, and elsewhere.
    fn rewrites(&self, snapshot: &Snapshot, envelope: &Envelope) -> bool {
        let sender = envelope.sender.address();
        self.0.rewriting.enabled && sender.is_some_and(|sender| !snapshot.is_ours(&sender.domain))
    }

    fn rewritten(
        &self,
        snapshot: &Snapshot,
        envelope: &Envelope,
        via: &ForwardPath,
    ) -> Option<Address> {
        if !self.rewrites(snapshot, envelope) {
            return None;
        }
        let of_via = match via {
            ForwardPath::Address(address) => Some(&address.domain),
            ForwardPath::Postmaster => None,
        };
        let own = self.0.rewriting.domain.as_ref();
        let domain = own.or_else(|| of_via.filter(|domain| snapshot.is_ours(domain)));
        let sender = envelope.sender.address()?;
        let secret = snapshot.rewriting_secrets().last()?;
        srs::rewritten(secret, self.now(), sender, domain?)
    }
}

/// The account that submitted it.
fn submitter(acceptance: &Acceptance) -> Option<AccountId> {
    match acceptance.origin {
        Origin::Account(account) => Some(account),
        Origin::Peer | Origin::Ourselves => None,
    }
}

/// The field that is put before a message that is passed on for `via`.
fn delivered_to(envelope: &Envelope, via: &ForwardPath) -> String {
    match via {
        // RFC 6532 3.2: an address beyond ASCII stands only in a message that may have it.
        ForwardPath::Address(address) if envelope.smtputf8 || address.is_ascii() => {
            format!("{DELIVERED_TO}: {address}\r\n")
        }
        _ => String::new(),
    }
}

/// Leaves out what was passed on for the same address before: it goes in a circle.
///
/// # Errors
/// When nothing is left of a recipient. What an account also keeps is kept.
pub(super) fn cut_circles(acceptance: &mut Acceptance) -> Result<(), Refusal> {
    let fields = Fields::new(&acceptance.header).filter(|field| field.is(DELIVERED_TO));
    let seen = fields.filter_map(|field| {
        let value = field.unfolded().into_owned();
        let value = String::from_utf8(value).ok()?;
        let value = value.trim_matches(|c: char| c.is_ascii_whitespace() || "<>".contains(c));
        Address::parse(value).ok()
    });
    let seen: Vec<Address> = seen.collect();
    let lists = acceptance.targets.iter().flat_map(Target::lists);
    if lists
        .into_iter()
        .any(|list| listing::went_through(&list.address, &acceptance.header, &seen))
    {
        return Err(Refusal::Circle);
    }
    let is_same = |address: &Address, other: &Address| {
        address.domain == other.domain && address.folded_local() == other.folded_local()
    };
    for target in &mut acceptance.targets {
        let Some(ForwardPath::Address(via)) = target.via() else {
            continue;
        };
        if target.ends_here() || !seen.iter().any(|address| is_same(address, via)) {
            continue;
        }
        if target.reached.accounts.is_empty() {
            return Err(Refusal::Circle);
        }
        target.reached.forwards.clear();
    }
    Ok(())
}

/// Bytes of a seal; beside it there is little in a head.
const SEAL_BYTES_MAX: usize = HEAD_BYTES_MAX - 1024;
/// Where a message was on its way (RFC 9228).
pub(super) const DELIVERED_TO: &str = "Delivered-To";
