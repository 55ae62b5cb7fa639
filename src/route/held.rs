//! Messages whose senders want them to wait (RFC 4865): all their copies are in the queue, also
//! those for mailboxes here, and reach the mailboxes when their time has come.
//!
//! Whose mailboxes an address reaches, and with which tag, is decided when the message is accepted,
//! as for every other; whether there is place, when it is delivered. Members of a group here wait
//! with those elsewhere, in the message that the group sends on, and get that. The body is stored
//! anew then, because its structure is found in the pass that stores it.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    filing::tag_of,
    postman::{PostError, Posted, fault, refused},
    router::{Acceptance, Origin, Refusal, RouteFault, Router},
    target::Target,
};
use crate::{
    accounts::{Snapshot, Targets},
    base::{
        ids::{AccountId, MessageId},
        pieces::Pieces,
    },
    mail::{
        address::Address,
        envelope::{Envelope, ForwardPath, MailOptions, RcptOptions},
        trace::return_path,
    },
    queue::record::{Here, MessageRecord},
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
    pub to: Vec<(Here, Address)>,
}

/// Somebody here who gets a message when its time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// From this group.
    pub(super) list: Option<Address>,
    pub(super) to: (Here, Address, RcptOptions),
}

/// Those of `targets` who have their mailbox here, each once, and not from a group who gets it
/// anyway; `addresses` are what the targets were given as.
pub(super) fn waiting(
    targets: &[Target],
    addresses: &[Address],
    snapshot: &Snapshot,
) -> Vec<Waiting> {
    let (mut waiting, mut known) = (Vec::new(), HashSet::new());
    let here = |target: &Target, account| Here {
        account,
        tag: tag_of(account, &target.reached).map(Into::into),
    };
    for (target, address) in targets.iter().zip(addresses) {
        for account in &target.reached.accounts {
            if known.insert(*account) {
                let to = (here(target, *account), address.clone(), target.passed_on());
                waiting.push(Waiting { list: None, to });
            }
        }
    }
    for (target, list) in targets
        .iter()
        .flat_map(|target| target.lists().iter().map(move |list| (target, list)))
    {
        for account in &list.accounts {
            if known.insert(*account) {
                // Whoever runs the group wants to know whose copy it was.
                let address = snapshot.account(*account).map(|found| &found.address);
                let address = address.unwrap_or(&list.address).clone();
                // RFC 3461 5.2.7.1: nothing that the sender said of the group is theirs.
                let to = (here(target, *account), address, RcptOptions::default());
                let list = Some(list.address.clone());
                waiting.push(Waiting { list, to });
            }
        }
    }
    waiting
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
        let mut body = self.queue().body(&message);
        while let Some(piece) = body.next().await.map_err(fault)? {
            intake.feed(piece).await.map_err(fault)?;
        }
        // RFC 5321 4.4: the group's, in what a group sends on.
        let head = return_path(&message.sender);
        let targets = to.iter().map(|(here, address)| Target {
            path: ForwardPath::Address(address.clone()),
            reached: Targets {
                tags: here
                    .tag
                    .iter()
                    .map(|tag| (here.account, tag.clone()))
                    .collect(),
                ..reached(vec![here.account])
            },
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
            final_delivery_bytes: head.len(),
            arrived: intake.finish_behind(head.into()).await.map_err(fault)?,
            editions: Vec::new(),
            junk: false,
            header: Bytes::new(),
            doubtful: false,
            sealable: None,
        };
        let filing = self.filing(&acceptance).await.map_err(fault)?;
        let composed = self.compose_filed(batch, &acceptance, (&filing, ""));
        let composed = composed.map_err(refused)?;
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
