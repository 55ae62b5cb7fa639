//! Messages whose senders want them to wait (RFC 4865): all their copies are in the queue, also
//! those for mailboxes here, and reach the mailboxes when their time has come.
//!
//! Whose mailboxes an address reaches is decided when the message is accepted, as for every other;
//! whether there is place, and what the account does with its mail, when it is delivered. Members
//! of a group get it then as it was sent. The body is stored anew then, because its structure is
//! found in the pass that stores it.

use bytes::Bytes;

use super::{
    postman::{PostError, Posted, fault, refused},
    router::{Acceptance, Origin, Refusal, RouteFault, Router},
    target::Target,
};
use crate::{
    accounts::Targets,
    base::{
        ids::{AccountId, MessageId},
        pieces::Pieces,
    },
    mail::{
        address::Address,
        envelope::{Envelope, ForwardPath, MailOptions, RcptOptions},
    },
    queue::record::MessageRecord,
    store::{Batch, Room},
};

/// What waited, and for whom here it is.
#[derive(Clone, Debug)]
pub struct Waited {
    /// The message.
    pub id: MessageId,
    /// Its record in the queue.
    pub message: MessageRecord,
    /// The accounts, and the addresses that lead to them; at least one.
    pub to: Vec<(AccountId, Address)>,
}

/// The recipients of a message that waits: each account here and each address elsewhere once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) accounts: Vec<(AccountId, Address, RcptOptions)>,
}

impl Waiting {
    /// Those of `targets` who have their mailbox here; `addresses` are what the targets were given
    /// as.
    pub(super) fn of(targets: &[Target], addresses: &[Address]) -> Self {
        let mut waiting = Self::default();
        for (target, address) in targets.iter().zip(addresses) {
            for account in target.reached.all_accounts() {
                let known = waiting.accounts.iter().any(|(known, ..)| *known == account);
                if !known {
                    let options = target.passed_on();
                    waiting.accounts.push((account, address.clone(), options));
                }
            }
        }
        waiting
    }
}

impl Router {
    /// Whether this account has place for a copy now.
    pub(super) async fn has_place(
        &self,
        account: AccountId,
    ) -> Result<Result<(), Refusal>, RouteFault> {
        if self.room() == Room::Low {
            return Ok(Err(Refusal::NoRoom));
        }
        let snapshot = self.settled().await?;
        match snapshot.account(account) {
            None => return Ok(Err(Refusal::UnknownRecipient)),
            Some(account) if !snapshot.takes_mail(account) => {
                return Ok(Err(Refusal::UnknownRecipient));
            }
            Some(_) => {}
        }
        let full = self.is_full(&snapshot, &reached(vec![account])).await?;
        Ok(if full {
            Err(Refusal::OverQuota)
        } else {
            Ok(())
        })
    }

    /// Adds the copies of what `waited` to a batch; not to be used after an error.
    pub(super) async fn add_copies(
        &self,
        batch: &mut Batch,
        waited: Waited,
    ) -> Result<Posted, PostError> {
        let Waited { id, message, to } = waited;
        let mut intake = self.mailboxes().intake();
        let mut body = self.queue().stored(&message);
        while let Some(piece) = body.next().await.map_err(fault)? {
            intake.feed(piece).await.map_err(fault)?;
        }
        let targets = to.iter().map(|(account, address)| Target {
            path: ForwardPath::Address(address.clone()),
            reached: reached(vec![*account]),
            options: RcptOptions::default(),
            returned: false,
        });
        // Its time has come, also when an operator said so.
        let options = MailOptions {
            release: None,
            ..message.options
        };
        let acceptance = Acceptance {
            id,
            origin: message.origin.map_or(Origin::Peer, Origin::Account),
            targets: targets.collect(),
            envelope: Envelope {
                sender: message.sender,
                recipients: to.into_iter().map(|(_, address)| address).collect(),
                body: message.body,
                smtputf8: message.smtputf8,
                options,
            },
            arrived: intake.finish().await.map_err(fault)?,
            editions: Vec::new(),
            final_delivery_bytes: usize::try_from(message.skipped).unwrap_or_default(),
            junk: false,
            header: Bytes::new(),
            doubtful: false,
            sealable: None,
        };
        let composed = self.compose(batch, &acceptance).map_err(refused)?;
        let targets = acceptance.targets;
        Ok(Posted::then(move || {
            composed.copies(targets).log(id);
            drop(composed);
        }))
    }
}

fn reached(accounts: Vec<AccountId>) -> Targets {
    Targets {
        accounts,
        ..Targets::default()
    }
}
