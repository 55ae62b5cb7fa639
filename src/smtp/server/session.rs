//! One session: its state, what that state admits, and which verb is whose.
//!
//! ```text
//! Connected --HELO, EHLO--> Greeted --MAIL--> Transaction --DATA, RSET--> Greeted
//!     ^------STARTTLS---------' ^------------HELO, EHLO-----'
//! Transaction --BDAT--> Chunks --BDAT LAST, RSET--> Greeted
//!                       Chunks --refused--> Spoiled --RSET, MAIL--> as Greeted
//! ```
//! Each state owns what belongs to it, so RSET, EHLO and STARTTLS cannot leave anything behind.

use std::sync::Arc;

use super::{
    Expn, Role, Shared, SmtpFault,
    data::Begun,
    limits::{FIRST_MAIL_WITHIN, JUNK_COMMANDS_MAX, STRIKES_MAX, STRIKES_SLOW},
    reception::Reception,
    refusal::Refused,
    xclient::Introduced,
};
use crate::{
    base::ids::{AccountId, MessageId},
    mail::{address::Address, envelope::Envelope},
    net::{Halt, Next, Peer, Service, Terms, Turn, authn::Login, gate::Permit, turn::BODY_SILENCE},
    route::{Origin, Target},
    smtp::proto::{
        command::{ClientName, Command},
        dialog::{self, Dialect, Dialog, Phase, Stage, Tls},
        reply::{Detail, Reply},
    },
    wire::lines::LineCheck,
};

/// What a verb comes to.
pub(super) type Done = Result<Next<Reply>, Halt<SmtpFault>>;

/// One session.
pub struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) permit: Permit,
    pub(super) login: Option<Login>,
    pub(super) state: State,
    pub(super) counts: Counts,
    /// What was told of the client.
    pub(super) introduced: Introduced,
    /// The peer may tell it.
    introduces: bool,
    encrypted: bool,
}

/// Where the dialogue stands.
pub(super) enum State {
    Connected,
    Greeted(Greeted),
    Transaction(Greeted, Transaction),
    /// Its message has begun to come.
    Chunks(Box<Chunks>),
    /// A part of it was refused. It had so many recipients.
    Spoiled(Greeted, usize),
}

/// A message that comes in chunks (RFC 3030 2).
pub(super) struct Chunks {
    pub greeted: Greeted,
    pub transaction: Transaction,
    pub begun: Begun,
    pub reception: Reception,
    pub lines: LineCheck,
    pub received_bytes: u64,
}

/// A client that has said its name.
#[derive(Clone, Debug)]
pub(super) struct Greeted {
    pub name: ClientName,
    /// It said EHLO, not HELO.
    pub extended: bool,
}

/// A message under way.
pub(super) struct Transaction {
    /// Names it, and the message that may come of it.
    pub id: MessageId,
    pub envelope: Envelope,
    /// Where each recipient's copy goes.
    pub targets: Vec<Target>,
}

/// What is counted over the whole connection.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Accepted MAIL commands.
    pub transactions: u32,
    /// Commands without effect since the last message.
    pub junk: u32,
    /// Recipients refused for good.
    pub refused_recipients: u32,
    /// Recipients since the last message that were refused for now, or named before.
    pub idle_recipients: u32,
}

impl Counts {
    /// A message was taken: what came before it led somewhere.
    pub(super) fn begin_anew(&mut self) {
        (self.junk, self.idle_recipients) = (0, 0);
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, peer: &Peer, permit: Permit) -> Self {
        let (introducers, ip) = (&shared.options.introducers, peer.remote.ip());
        Self {
            introduces: introducers.iter().any(|network| network.contains(ip)),
            shared,
            permit,
            login: None,
            state: State::Connected,
            counts: Counts::default(),
            introduced: Introduced::default(),
            encrypted: peer.tls.is_some(),
        }
    }

    /// What is spoken here.
    pub(super) fn dialect(&self) -> Dialect {
        match self.shared.options.role {
            Role::Relay | Role::Submission => Dialect::Smtp,
            Role::Delivery => Dialect::Lmtp,
        }
    }

    /// How many replies the end of a message has (RFC 2033 4.2).
    pub(super) fn replies_owed(&self, transaction: &Transaction) -> usize {
        match self.dialect() {
            Dialect::Smtp => 1,
            Dialect::Lmtp => transaction.targets.len(),
        }
    }

    /// Whose mail this is.
    pub(super) fn origin(&self) -> Origin {
        self.account().map_or(Origin::Peer, Origin::Account)
    }

    /// Who is logged in.
    pub(super) fn account(&self) -> Option<AccountId> {
        self.login.as_ref().map(Login::account)
    }

    /// AUTH-07: whether these addresses are the account's; what is no address is nobody's. Without
    /// a login there is nobody to ask.
    pub(super) fn may_send_as<'a>(
        &self,
        addresses: impl IntoIterator<Item = Option<&'a Address>>,
    ) -> bool {
        let Some(account) = self.account() else {
            return true;
        };
        let snapshot = self.shared.services.directory.snapshot();
        let owned =
            |address: Option<&Address>| address.is_some_and(|a| snapshot.may_send(account, a));
        self.shared.options.insecure_any_sender || addresses.into_iter().all(owned)
    }

    /// What is not taken is answered; who used a sender that is not his hears which are.
    pub(super) fn refusal(&self, refused: &Refused, id: MessageId) -> Reply {
        let reply = Reply::from(refused).named(id);
        let of_sender = matches!(refused, Refused::NotYourSender | Refused::NotYourFrom);
        let Some(account) = self.account().filter(|_| of_sender) else {
            return reply;
        };
        let snapshot = self.shared.services.directory.snapshot();
        let senders = snapshot.senders_of(account, SENDERS_TOLD_MAX);
        // RFC 6531 3.7.4.2: nothing beyond ASCII is told that was not asked for.
        let senders = senders.into_iter().filter(|sender| sender.is_ascii());
        senders.fold(reply, |reply, sender| {
            reply.line(format!("you may use {sender}"))
        })
    }

    /// The client's own name, for logs.
    pub(super) fn client_name(&self) -> Option<&ClientName> {
        self.greeted().map(|greeted| &greeted.name)
    }

    /// Who the client is, once it has said so.
    pub(super) fn greeted(&self) -> Option<&Greeted> {
        match &self.state {
            State::Connected => None,
            State::Greeted(greeted)
            | State::Transaction(greeted, _)
            | State::Spoiled(greeted, _) => Some(greeted),
            State::Chunks(chunks) => Some(&chunks.greeted),
        }
    }

    /// Drops the transaction, if there is one, and all that came of its message.
    pub(super) fn forget_transaction(&mut self) {
        if let Some(greeted) = self.greeted().cloned() {
            self.state = State::Greeted(greeted);
        }
    }

    /// Ends the transaction, if there is one, and gives it away.
    pub(super) fn end_transaction(&mut self) -> Option<(Greeted, Transaction)> {
        match std::mem::replace(&mut self.state, State::Connected) {
            State::Transaction(greeted, transaction) => {
                self.state = State::Greeted(greeted.clone());
                Some((greeted, transaction))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Answers a command that moves nothing, as often as LIM-16 allows.
    pub(super) fn idle_talk(&mut self, reply: Reply) -> Next<Reply> {
        self.counts.junk += 1;
        if self.counts.junk > JUNK_COMMANDS_MAX {
            return Next::Close(Reply::new(
                421,
                Detail(7, 0),
                "too many commands and no message",
            ));
        }
        Next::Reply(reply)
    }

    fn login_stage(&self) -> dialog::Login {
        let options = &self.shared.options;
        match (options.role, &self.login) {
            (Role::Relay | Role::Delivery, _) => dialog::Login::Never,
            (Role::Submission, Some(_)) => dialog::Login::Done,
            (Role::Submission, None) if self.encrypted || options.insecure_auth_without_tls => {
                dialog::Login::Awaited
            }
            (Role::Submission, None) => dialog::Login::AfterTls,
        }
    }
}

impl Service<Dialog> for Session {
    type Fault = SmtpFault;

    fn stage(&self) -> Stage {
        Stage {
            phase: match &self.state {
                State::Connected => Phase::Connected,
                State::Greeted(_) => Phase::Greeted,
                State::Transaction(..) => Phase::Transaction,
                State::Chunks(_) => Phase::Chunks,
                State::Spoiled(..) => Phase::Spoiled,
            },
            tls: match (self.encrypted, self.shared.options.starttls) {
                (true, _) => Tls::Active,
                (false, true) => Tls::Offered,
                (false, false) => Tls::Absent,
            },
            login: self.login_stage(),
            dialect: self.dialect(),
            introduces: self.introduces,
            expn: match self.shared.options.expn {
                Expn::Off => false,
                Expn::Users => self.login.is_some(),
                Expn::Anyone => true,
            },
        }
    }

    fn terms(&self) -> Terms {
        let begun = self.login.is_some() || self.counts.transactions > 0;
        let idle = self.shared.options.idle;
        Terms {
            idle: match self.state {
                // LIM-08: a message that comes in chunks is no more patient than any other.
                State::Chunks(_) => idle.min(BODY_SILENCE),
                _ => idle,
            },
            total: (!begun).then_some(FIRST_MAIL_WITHIN),
            strikes_slow: STRIKES_SLOW,
            strikes_max: STRIKES_MAX,
            strikes_forgiven: false,
        }
    }

    async fn greet(&mut self, _peer: &Peer) -> Reply {
        self.shared.presented.greeting(self.dialect())
    }

    async fn run(&mut self, command: Command, turn: &mut Turn<'_, Dialog>) -> Done {
        let next = match command {
            Command::Helo(name) => {
                let reply = self.helo(name);
                self.idle_talk(reply)
            }
            Command::Ehlo(name) => {
                let reply = self.ehlo(name);
                self.idle_talk(reply)
            }
            Command::Mail(mail) => self.mail(mail, turn.peer()),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt, turn).await,
            Command::Data => return self.data(turn).await,
            Command::Bdat(chunk) => return self.bdat(chunk, turn).await,
            Command::Rset => {
                self.forget_transaction();
                self.idle_talk(Reply::new(250, Detail(0, 0), "forgotten"))
            }
            Command::Vrfy(asked) => {
                let reply = self.vrfy(asked).await.map_err(Halt::Fault)?;
                self.idle_talk(reply)
            }
            Command::Expn(asked) => {
                let reply = self.expn(&asked);
                self.idle_talk(reply)
            }
            Command::Etrn(etrn) => {
                let reply = self.etrn(etrn).await.map_err(Halt::Fault)?;
                self.idle_talk(reply)
            }
            Command::Help(subject) => {
                let reply = self.help(subject, turn.peer());
                self.idle_talk(reply)
            }
            Command::Noop => self.idle_talk(Reply::new(250, Detail(0, 0), "nothing done")),
            Command::Quit => Next::Close(Reply::new(221, Detail(0, 0), "goodbye")),
            Command::StartTls => Next::Upgrade(Reply::new(220, Detail(0, 0), "begin TLS now")),
            Command::Auth(auth) => return self.auth(auth, turn).await,
            Command::Xclient(told) => self.xclient(*told, turn),
        };
        Ok(next)
    }

    /// RFC 3207 4.2: everything learned before is forgotten, whoever was logged in too.
    fn secured(&mut self, _peer: &Peer) {
        self.encrypted = true;
        self.login = None;
        self.state = State::Connected;
    }

    fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    fn refusal_for(&self, fault: &SmtpFault) -> Reply {
        fault.into()
    }
}

/// Senders that a client hears of who used another.
const SENDERS_TOLD_MAX: usize = 10;
