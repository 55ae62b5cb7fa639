//! DATA (RFC 5321 4.1.1.4): the message itself, from our 354 to the reply that says whose it is
//! now.
//!
//! 250 is said only after `Router::accept` returned: then every copy is durable (DUR-01). A
//! connection that ends before leaves nothing behind. Return-Path is final delivery's field (RFC
//! 5321 4.4), and one stored body serves all copies; so it is written first, and the queue knows
//! what to leave out when a copy goes on.

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    header::{Additions, Rules},
    reception::{Failure, Received, Reception, Whole},
    refusal::{About, Refused, SmtpFault, log_refusal},
    session::{Done, Greeted, Session, State, Transaction},
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, MessageId},
        text::Quoted,
    },
    mail::{
        envelope::{BodyKind, Envelope, ForwardPath},
        trace::{self, Transmission},
    },
    net::{Gone, Halt, Next, Peer, Turn},
    observe::story::asked,
    route::{self, AcceptError, Acceptance, Copies},
    smtp::proto::{
        dialog::{Dialect, Dialog},
        reply::{Detail, Reply},
    },
    verify::{Client, Findings, Sealable, Verdict},
    wire::Frame,
};

/// Who sends, for trace fields and the log.
pub(super) struct Sender<'a> {
    pub greeted: Greeted,
    pub account: Option<AccountId>,
    pub peer: &'a Peer,
}

/// What is known of a message from its first byte on.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    id: MessageId,
    now: Timestamp,
    pub began: Instant,
}

impl Session {
    pub(super) async fn data(&mut self, turn: &mut Turn<'_, Dialog>) -> Done {
        if matches!(&self.state, State::Transaction(_, t) if t.targets.is_empty()) {
            // RFC 5321 3.3. The transaction goes on: RCPT may still find somebody.
            let reply = self.no_recipients();
            return Ok(self.idle_talk(reply));
        }
        if matches!(&self.state, State::Transaction(_, t) if t.envelope.body == BodyKind::Binary) {
            // RFC 3030 3: DATA has no way to end it.
            let text = "binary content comes by BDAT";
            return Ok(self.idle_talk(Reply::new(503, Detail(5, 1), text)));
        }
        let Some((greeted, transaction)) = self.end_transaction() else {
            return Ok(Next::Reply((&Refused::NoTransaction).into()));
        };
        let (begun, reception) = self.begin_message(&transaction);
        let peer = turn.peer().clone();
        turn.invite(&Reply::bare(
            354,
            "send the message; a line with a single dot ends it",
        ))
        .await?;
        let came = receive(reception, turn).await?;
        let sender = Sender {
            greeted,
            account: self.account(),
            peer: &peer,
        };
        let owed = self.replies_owed(&transaction);
        let ended = self.end_message(("DATA", begun), transaction, sender, came);
        Self::answer(ended.await, owed, turn).await
    }

    /// What begins when the first byte of a message may come.
    pub(super) fn begin_message(&self, transaction: &Transaction) -> (Begun, Reception) {
        let (options, services) = (&self.shared.options, &self.shared.services);
        let now = services.clock.wall();
        let id = transaction.id;
        let additions = self.account().is_some().then(|| Additions {
            sender: transaction.envelope.sender.clone(),
            secs: now.secs(),
            id: id.to_string(),
        });
        let rules = Rules {
            host: options.host.clone(),
            submission: additions,
        };
        let lists = route::lists_here(&transaction.targets);
        let intake = services.mailboxes.intake_for(lists.len());
        let room = (intake, services.headroom.clone());
        let verifier = services.verifier.clone();
        let mut reception = Reception::new(rules, options.message_bytes_max, room, verifier);
        if transaction.envelope.body == BodyKind::Binary {
            reception.take_binary();
        }
        if self.account().is_some() {
            reception.sign_by(services.router.clone());
        }
        if services.router.wants_header(&transaction.targets) {
            reception.keep_header();
        }
        if services.router.passes_on(&transaction.targets) {
            reception.expect_to_go_on();
        }
        let began = Instant::now();
        (Begun { id, now, began }, reception)
    }

    /// Ends a message that came to its end, or was given up before: one reply, or in LMTP one for
    /// each recipient (RFC 2033 4.2).
    pub(super) async fn end_message(
        &mut self,
        (verb, begun): (&'static str, Begun),
        mut transaction: Transaction,
        sender: Sender<'_>,
        came: Result<Whole, Failure>,
    ) -> Result<Vec<Reply>, SmtpFault> {
        let Begun { id, now, began } = begun;
        let mut replies = vec![None; self.replies_owed(&transaction)];
        let judged = match came {
            Ok(whole) => self.judge(whole, (id, now), &transaction, &sender).await,
            Err(failure) => Err(failure),
        };
        let accepted = match judged {
            Ok(judged) => {
                if self.dialect() == Dialect::Lmtp {
                    replies = self.ask_again(&mut transaction, &sender).await?;
                }
                if transaction.targets.is_empty() {
                    return Ok(replies.into_iter().flatten().collect());
                }
                self.accept(id, transaction, judged).await
            }
            Err(failure) => Err((transaction.envelope, failure)),
        };
        let reply = match accepted {
            Ok(accepted) => {
                self.counts.begin_anew();
                log_accepted(id, &accepted, &sender, began);
                Reply::new(250, Detail(0, 0), format!("accepted, id {id}"))
            }
            Err((_, Failure::Fault(fault))) => return Err(fault),
            Err((envelope, Failure::Refused(refused))) => {
                let about = About {
                    id,
                    verb,
                    sender: &envelope.sender,
                    recipient: None,
                };
                log_refusal(&refused, about, Some(&sender.greeted.name), sender.peer);
                self.refusal(&refused, id)
            }
        };
        let own = |own: Option<Reply>| own.unwrap_or_else(|| reply.clone());
        Ok(replies.into_iter().map(own).collect())
    }

    /// Where each recipient can be answered for itself, each is looked at once more: one whose
    /// mailbox has become full, or is gone, keeps the message from nobody else. The refusals, in
    /// the order of the recipients; those who are refused are taken out of the transaction.
    async fn ask_again(
        &self,
        transaction: &mut Transaction,
        sender: &Sender<'_>,
    ) -> Result<Vec<Option<Reply>>, SmtpFault> {
        let envelope = &mut transaction.envelope;
        let addresses = std::mem::take(&mut envelope.recipients);
        let targets = std::mem::take(&mut transaction.targets);
        let mut replies = Vec::with_capacity(targets.len());
        for (address, target) in addresses.into_iter().zip(targets) {
            let router = &self.shared.services.router;
            match router
                .recipient_again(&self.origin(), &envelope.sender, target)
                .await?
            {
                Ok(target) => {
                    envelope.recipients.push(address);
                    transaction.targets.push(target);
                    replies.push(None);
                }
                Err(refusal) => {
                    let refused = Refused::Route(refusal);
                    let to = ForwardPath::Address(address);
                    let about = About {
                        id: transaction.id,
                        verb: "DATA",
                        sender: &envelope.sender,
                        recipient: Some(&to),
                    };
                    log_refusal(&refused, about, Some(&sender.greeted.name), sender.peer);
                    replies.push(Some(Reply::from(&refused).named(transaction.id)));
                }
            }
        }
        Ok(replies)
    }

    /// Says what a message has come to; a failure of ours as often as a reply is `owed`.
    pub(super) async fn answer(
        ended: Result<Vec<Reply>, SmtpFault>,
        owed: usize,
        turn: &mut Turn<'_, Dialog>,
    ) -> Done {
        let mut replies = match ended {
            Ok(replies) => replies,
            Err(fault) => {
                // The last one is said where the fault is logged.
                for _ in 1..owed {
                    turn.reply(&(&fault).into()).await?;
                }
                return Err(Halt::Fault(fault));
            }
        };
        let last = replies.pop();
        for reply in &replies {
            turn.reply(reply).await?;
        }
        Ok(last.map_or(Next::Continue, Next::Reply))
    }

    /// What is said to a message that nobody gets.
    pub(super) fn no_recipients(&self) -> Reply {
        match self.dialect() {
            Dialect::Smtp => (&Refused::NoRecipients).into(),
            // RFC 2033 4.2.
            Dialect::Lmtp => Reply::new(503, Detail(5, 1), "no valid recipients"),
        }
    }

    /// Asks who the message is from, and puts before it what we know of it. Content filters will
    /// stand behind that: they want to know it, too.
    async fn judge(
        &self,
        mut whole: Whole,
        (id, now): (MessageId, Timestamp),
        transaction: &Transaction,
        sender: &Sender<'_>,
    ) -> Result<Judged, Failure> {
        let verifier = self.shared.services.verifier.as_ref();
        let mut findings = match verifier.zip(whole.examination.take()) {
            None => None,
            Some((verifier, examination)) => {
                let client = Client {
                    ip: sender.peer.address(),
                    helo: sender.greeted.name.as_str(),
                    sender: &transaction.envelope.sender,
                };
                let judged = verifier.judge(examination, client, now);
                Some(asked::of(id, judged).await)
            }
        };
        let verdict = findings.as_ref().map(|findings| findings.verdict);
        let refused = match verdict {
            None | Some(Verdict::Accept | Verdict::Quarantine) => None,
            Some(Verdict::Refuse) => Some(Refused::Policy),
            Some(Verdict::Unclear) => Some(Refused::UnclearFrom),
            Some(Verdict::Defer) => Some(Refused::NotVerifiedNow),
        };
        if let Some(findings) = findings.as_ref().filter(|f| f.verdict != Verdict::Accept) {
            let verified = findings.summary.as_str();
            let verdict = findings.verdict.name();
            tracing::info!(target: "mail", id = %id, verified, verdict, "judged");
        }
        if let Some(refused) = refused {
            return Err(refused.into());
        }
        // What is refused below was signed for nothing; nobody else sees it.
        let signatures = match whole.draft.take() {
            Some(draft) => self.shared.services.router.sign(draft).await,
            None => Vec::new(),
        };
        let id = id.to_string();
        let found = (findings.as_ref(), signatures.as_slice());
        let trace = self.trace(&id, now, (transaction, sender), found);
        let heads = route::list_heads(&transaction.targets, &whole.header);
        let final_delivery = trace::return_path(&transaction.envelope.sender);
        let received = whole.finish((final_delivery, trace), heads).await?;
        Ok(Judged {
            received,
            junk: verdict == Some(Verdict::Quarantine),
            doubtful: findings.as_ref().is_some_and(|findings| findings.doubtful),
            sealable: findings
                .as_mut()
                .and_then(|findings| findings.sealable.take()),
            verified: findings.map(|findings| findings.summary),
        })
    }

    /// The fields that we put before the message.
    fn trace(
        &self,
        id: &str,
        now: Timestamp,
        (transaction, sender): (&Transaction, &Sender<'_>),
        (findings, signatures): (Option<&Findings>, &[u8]),
    ) -> Bytes {
        let envelope = &transaction.envelope;
        let tls = sender.peer.tls.as_ref();
        let tls = tls.map(|cipher| format!("{} {}", cipher.version, cipher.suite));
        let received = trace::Received {
            helo: sender.greeted.name.as_str().as_bytes(),
            reverse_name: findings
                .and_then(|findings| findings.reverse_name.as_deref())
                .or_else(|| self.introduced.name()),
            client: sender.peer.address(),
            by: &self.shared.options.host,
            with: Transmission {
                lmtp: self.dialect() == Dialect::Lmtp,
                extended: sender.greeted.extended,
                encrypted: tls.is_some(),
                authenticated: sender.account.is_some(),
                smtputf8: envelope.smtputf8,
            },
            tls: tls.as_deref(),
            id,
            priority: envelope.options.priority,
            // RFC 5321 4.4: one address or none, so that nobody learns of other recipients.
            recipient: match envelope.recipients.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            secs: now.secs(),
        };
        let mut fields = Vec::new();
        // RFC 8601 4.1: above the Received field of the host that found it out.
        if let Some(findings) = findings {
            fields.extend_from_slice(&findings.field);
        }
        fields.extend(received.to_field());
        fields.extend_from_slice(signatures);
        fields.into()
    }

    /// Hands the message over; what comes back is durable.
    async fn accept(
        &self,
        id: MessageId,
        transaction: Transaction,
        judged: Judged,
    ) -> Result<Accepted, (Envelope, Failure)> {
        let Transaction {
            mut envelope,
            targets,
            ..
        } = transaction;
        let Judged {
            received,
            junk,
            doubtful,
            sealable,
            verified,
        } = judged;
        if !self.may_send_as(received.authors.iter().map(Option::as_ref)) {
            return Err((envelope, Refused::NotYourFrom.into()));
        }
        if received.eight_bit && envelope.body == BodyKind::SevenBit {
            // RFC 6152 3: what was not declared is seen; the next server is told the truth.
            envelope.body = BodyKind::EightBit;
        }
        let size_bytes = received.arrived.size;
        let acceptance = Acceptance {
            id,
            origin: self.origin(),
            final_delivery_bytes: trace::return_path(&envelope.sender).len(),
            envelope: envelope.clone(),
            targets,
            arrived: received.arrived,
            editions: received.editions,
            junk,
            header: received.header,
            doubtful,
            sealable,
        };
        match self.shared.services.router.accept(acceptance).await {
            Ok(copies) => Ok(Accepted {
                envelope,
                size_bytes,
                message_id: received.message_id,
                verified,
                copies,
            }),
            Err(AcceptError::Refused(refusal)) => Err((envelope, Refused::Route(refusal).into())),
            Err(AcceptError::Fault(fault)) => {
                Err((envelope, Failure::Fault(SmtpFault::Route(fault))))
            }
        }
    }
}

/// Takes in the body to its very end, even when it was given up before.
async fn receive(
    mut reception: Reception,
    turn: &mut Turn<'_, Dialog>,
) -> Result<Result<Whole, Failure>, Gone> {
    let mut body = turn.body(Frame::dot());
    while let Some(piece) = body.next().await? {
        if let Err(failure) = reception.take(piece, body.violations()).await {
            drop(reception);
            body.discard().await?;
            return Ok(Err(failure));
        }
    }
    Ok(reception.end(body.violations()).await)
}

/// A message that is ours now.
struct Accepted {
    envelope: Envelope,
    size_bytes: u64,
    message_id: Option<String>,
    verified: Option<String>,
    copies: Copies,
}

/// A message that nothing speaks against, or not enough.
struct Judged {
    received: Received,
    /// It is for the junk mailboxes.
    junk: bool,
    /// Nobody is answered for it.
    doubtful: bool,
    /// For whom it is passed on.
    sealable: Option<Sealable>,
    /// What was found out about its author, for the log.
    verified: Option<String>,
}

/// The first lines of a message's story: it is ours, and whose it is.
fn log_accepted(id: MessageId, accepted: &Accepted, sender: &Sender<'_>, began: Instant) {
    let message_id = accepted.message_id.as_deref().filter(|id| !id.is_empty());
    tracing::info!(
        target: "mail",
        id = %id,
        from = %Quoted::str(&accepted.envelope.sender.to_string()),
        message_id = message_id.map(Quoted::str).map(tracing::field::display),
        recipients = accepted.envelope.recipients.len(),
        delivered = accepted.copies.delivered(),
        queued = accepted.copies.queued(),
        size_bytes = accepted.size_bytes,
        peer.ip = %sender.peer.remote.ip(),
        helo = sender.greeted.name.as_str(),
        verified = accepted.verified.as_deref(),
        tls = sender.peer.tls.as_ref().map(|cipher| cipher.version.as_str()),
        account = sender.account.map(|account| account.0),
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "accepted"
    );
    accepted.copies.log(id);
}
