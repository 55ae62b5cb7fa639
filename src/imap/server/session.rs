//! One IMAP session: its states, and which verb runs in which.
//!
//! ```text
//!  Greeted --LOGIN, AUTHENTICATE--> Ready --SELECT, EXAMINE--> Selected
//!     |                              |  ^--CLOSE, UNSELECT, ...--'|
//!     |<-------UNAUTHENTICATE--------'--------------'               |
//!     '-----------LOGOUT-------------'------------LOGOUT-----------'--> LoggedOut
//! ```
//! Each state owns exactly its data (RFC 3501 3). Parking (IDLE) is beside them: it ends as it
//! began. The dialogue has admitted every command before it comes here. LIM-06, LIM-09, LIM-18,
//! LIM-19.

mod notify;
mod service;

use std::{mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Services, append, expunge,
    fault::{ImapFault, Refusal, Stop},
    listening::{Listening, Own},
    login, mailboxes,
    news::{self, Moment},
    resync,
    select::{self, Access, Selected, Uids, Which},
    spelling,
    updates::{self, News},
    verbs,
};
use crate::{
    base::{ids::AccountId, text::Causes},
    imap::proto::{
        append::Appending,
        command::{CommandBody, Tag},
        dialog::Imap,
        enabled::Enabled,
        response::{Capabilities, Code, Response, Status},
        verbs::{Numbers, Tls, Verb, capabilities},
    },
    mailbox::{Mailboxes, Watch},
    net::{Gone, Halt, Next, Peer, Service as _, Turn, authn::Login, gate::Permit},
    wire::Protocol as _,
};

/// The session of one connection.
pub struct Session {
    services: Arc<Services>,
    permit: Permit,
    tls: Tls,
    state: State,
    parked: Option<Parked>,
    /// Whether DEFLATE is active (RFC 4978).
    compressed: bool,
    began: Instant,
    /// From how long after that on nobody was logged in (RFC 8437).
    strange_since: Duration,
    /// What NOTIFY asked for; none before the first.
    listening: Option<Box<Listening>>,
}

enum State {
    /// Not logged in.
    Greeted,
    /// Logged in.
    Ready(Login),
    /// Using a mailbox.
    Selected(Login, Box<Selected>),
    /// Said goodbye.
    LoggedOut,
}

/// A session in IDLE.
struct Parked {
    /// What may wake it; nothing without a mailbox.
    watch: Option<Watch>,
}

/// What a verb that needs a login works with.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) services: &'a Services,
    pub(super) login: &'a Login,
}

impl<'a> Account<'a> {
    /// Whose.
    pub(super) fn id(self) -> AccountId {
        self.login.account()
    }

    pub(super) fn mailboxes(self) -> &'a Mailboxes {
        &self.services.mailboxes
    }

    /// Bytes that `owner`, whose mailbox it works with, may hold.
    pub(super) fn quota_bytes_of(self, owner: AccountId) -> Option<u64> {
        self.services.people.quota_bytes(owner)
    }
}

/// How a verb went: done, with a code for the completion, or politely refused.
pub(super) type Outcome = Result<Option<Code>, Refusal>;

/// What marks one command, without what it asked for.
pub(super) struct Asked {
    tag: Tag,
    verb: &'static Verb,
    /// What it does with message numbers.
    numbers: Numbers,
}

impl Session {
    /// The session of a connection that has just begun.
    pub(super) fn new(services: Arc<Services>, peer: &Peer, permit: Permit) -> Self {
        let tls = match (&peer.tls, services.options.starttls) {
            (Some(_), _) => Tls::Active,
            (None, true) => Tls::Offered,
            (None, false) => Tls::Absent,
        };
        Self {
            services,
            permit,
            tls,
            state: State::Greeted,
            parked: None,
            compressed: false,
            began: Instant::now(),
            strange_since: Duration::ZERO,
            listening: None,
        }
    }

    /// What is announced where the dialogue stands.
    fn capabilities(&self) -> Capabilities {
        let bounds = self.services.options.bounds();
        capabilities(self.stage(), bounds, self.compressed)
    }

    async fn command(
        &mut self,
        asked: &Asked,
        body: CommandBody,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        match body {
            CommandBody::Capability => {
                turn.reply(&Response::Capability(self.capabilities()))
                    .await?;
            }
            CommandBody::Id(_) => turn.reply(&login::id()).await?,
            CommandBody::Noop => {}
            CommandBody::Logout => return Ok(self.logout(asked, turn).await?),
            body => {
                return match &self.state {
                    State::Greeted => Ok(self.greeted(asked, body, turn).await?),
                    State::Ready(_) | State::Selected(..) => self.ready(asked, body, turn).await,
                    State::LoggedOut => Ok(Next::Reply(asked.answer(Err(not_now())))),
                };
            }
        }
        self.complete(asked, Ok(None), turn).await
    }

    async fn logout(
        &mut self,
        asked: &Asked,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Gone> {
        self.state = State::LoggedOut;
        turn.reply(&Response::bye(None, "goodbye")).await?;
        Ok(Next::Close(asked.answer(Ok(None))))
    }

    /// What may be asked before login.
    async fn greeted(
        &mut self,
        asked: &Asked,
        body: CommandBody,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Gone> {
        let authn = &self.services.authn;
        let outcome = match body {
            CommandBody::StartTls => {
                return Ok(Next::Upgrade(Response::ok(
                    asked.tag.clone(),
                    "begin TLS now",
                )));
            }
            CommandBody::Login { user, password } => authn.password(turn, &user, &password).await?,
            CommandBody::Authenticate { mechanism, initial } => {
                let initial = initial.as_ref();
                let initial = initial.map(|response| response.expose().as_ref());
                authn.sasl(turn, &mechanism, initial).await?
            }
            _ => return Ok(Next::Reply(asked.answer(Err(not_now())))),
        };
        Ok(match outcome {
            Ok(login) => {
                self.permit.logged_in();
                self.state = State::Ready(login);
                let code = Code::Capability(self.capabilities());
                Next::Reply(asked.answer(Ok(Some(code))))
            }
            Err(denial) => denial.next(asked.answer(Err(login::words_for(denial.why)))),
        })
    }

    /// What may be asked after login, with or without a mailbox.
    async fn ready(
        &mut self,
        asked: &Asked,
        body: CommandBody,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        match body {
            body @ (CommandBody::Select { .. } | CommandBody::Examine { .. }) => {
                self.select(asked, body, turn).await
            }
            CommandBody::Delete { ref mailbox } => {
                let own = Own::of(&body);
                self.delete(asked, (mailbox, own), turn).await
            }
            CommandBody::Close => self.close(asked).await,
            CommandBody::Unselect => Ok(self.unselect(asked)),
            CommandBody::Idle => self.park(asked, turn).await,
            CommandBody::Compress => Ok(self.compress(asked)),
            CommandBody::Unauthenticate => Ok(self.unauthenticate(asked, turn)),
            CommandBody::Notify(wishes) => self.notify(asked, wishes, turn).await,
            CommandBody::Done => {
                self.parked = None;
                self.complete(asked, Ok(None), turn).await
            }
            CommandBody::NotDone => {
                self.parked = None;
                Ok(Next::Refuse(asked.answer(Err(Refusal::bad(
                    "nothing but DONE ends IDLE well",
                )))))
            }
            CommandBody::Append { mailbox, coming } => {
                self.append(asked, mailbox, coming, None, turn).await
            }
            CommandBody::Replace {
                uid,
                set,
                mailbox,
                coming,
            } => {
                let replaced = Some(Which::new(uid, set));
                self.append(asked, mailbox, coming, replaced, turn).await
            }
            body => {
                let own = Own::of(&body);
                let outcome = match &mut self.state {
                    State::Ready(login) => {
                        let account = Account {
                            services: &self.services,
                            login,
                        };
                        verbs::of_names(account, None, asked, body, turn).await?
                    }
                    State::Selected(login, selected) => {
                        let account = Account {
                            services: &self.services,
                            login,
                        };
                        verbs::of_messages(account, selected, asked, body, turn).await?
                    }
                    State::Greeted | State::LoggedOut => Err(not_now()),
                };
                if outcome.is_ok() {
                    self.note_own(own).await;
                }
                self.complete(asked, outcome, turn).await
            }
        }
    }

    /// APPEND and REPLACE.
    async fn append(
        &mut self,
        asked: &Asked,
        mailbox: String,
        coming: Appending,
        replaced: Option<Which>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let (login, mut selected) = match &mut self.state {
            State::Ready(login) => (login, None),
            State::Selected(login, selected) => (login, Some(&mut **selected)),
            State::Greeted | State::LoggedOut => {
                return Ok(Next::Reply(asked.answer(Err(not_now()))));
            }
        };
        let account = Account {
            services: &self.services,
            login,
        };
        if let Some(selected) = &mut selected {
            selected.reconsider(account).await?;
        }
        let said = mailbox.clone();
        let request = append::Request {
            mailbox,
            coming,
            selected: selected.as_deref(),
            replaced,
        };
        match append::append(account, request, turn).await? {
            append::Taken::Whole(outcome) => {
                if outcome.is_ok() {
                    spelling::tell(account, (&said, &said), turn).await?;
                }
                self.complete(asked, outcome, turn).await
            }
            append::Taken::Behind(refusal) => {
                turn.reply(&asked.answer(Err(refusal))).await?;
                let text = "what follows the message cannot be told from commands";
                Ok(Next::Close(Response::bye(None, text)))
            }
        }
    }

    /// SELECT and EXAMINE.
    async fn select(
        &mut self,
        asked: &Asked,
        body: CommandBody,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let (mailbox, parameters, access) = match body {
            CommandBody::Select {
                mailbox,
                parameters,
            } => (mailbox, parameters, Access::Full),
            CommandBody::Examine {
                mailbox,
                parameters,
            } => (mailbox, parameters, Access::Read),
            _ => return Ok(Next::Reply(asked.answer(Err(not_now())))),
        };
        // RFC 3501 6.3.1: the selected mailbox is left first, even when the new one cannot be had.
        if self.leave() {
            turn.reply(&select::closed()).await?;
        }
        let State::Ready(login) = &self.state else {
            return Ok(Next::Reply(asked.answer(Err(not_now()))));
        };
        let account = Account {
            services: &self.services,
            login,
        };
        let enabled = turn.dialogue().enabled();
        let mut opened = match select::open(account, &mailbox, access, enabled).await? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Next::Reply(asked.answer(Err(refusal)))),
        };
        if parameters.condstore {
            turn.dialogue().enable(Enabled::CONDSTORE);
        }
        opened.introduce(turn).await?;
        if let Some(known) = &parameters.qresync {
            resync::catch_up(&opened.selected, known, turn).await?;
        }
        let code = opened.selected.access().code();
        if let Some(listening) = &mut self.listening {
            opened.selected.heed(Some(&listening.selected()));
            listening.attend(&opened.selected);
        }
        if let State::Ready(login) = mem::replace(&mut self.state, State::LoggedOut) {
            self.state = State::Selected(login, Box::new(opened.selected));
        }
        Ok(Next::Reply(asked.answer(Ok(Some(code)))))
    }

    /// Goes back to the state without a mailbox; whether there was one.
    fn leave(&mut self) -> bool {
        match mem::replace(&mut self.state, State::LoggedOut) {
            State::Selected(login, selected) => {
                if let Some(listening) = &mut self.listening {
                    listening.leave(&selected);
                }
                self.state = State::Ready(login);
                true
            }
            other => {
                self.state = other;
                false
            }
        }
    }

    /// CLOSE (RFC 3501 6.4.2): nothing is told of what it removes.
    async fn close(&mut self, asked: &Asked) -> Result<Next<Response>, Stop> {
        let outcome = match &mut self.state {
            State::Selected(login, selected) => {
                let account = Account {
                    services: &self.services,
                    login,
                };
                selected.reconsider(account).await?;
                expunge::close(selected).await?
            }
            _ => Err(not_now()),
        };
        if outcome.is_ok() {
            self.leave();
        }
        Ok(Next::Reply(asked.answer(outcome)))
    }

    /// UNSELECT (RFC 3691).
    fn unselect(&mut self, asked: &Asked) -> Next<Response> {
        self.leave();
        Next::Reply(asked.answer(Ok(None)))
    }

    /// DELETE (RFC 3501 6.3.4): of the selected mailbox, it leaves it too.
    async fn delete(
        &mut self,
        asked: &Asked,
        (mailbox, own): (&str, Option<Own>),
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let (login, selected) = match &self.state {
            State::Ready(login) => (login, None),
            State::Selected(login, selected) => (login, Some(selected.id())),
            State::Greeted | State::LoggedOut => {
                return Ok(Next::Reply(asked.answer(Err(not_now()))));
            }
        };
        let account = Account {
            services: &self.services,
            login,
        };
        let deleted = match mailboxes::delete(account, mailbox).await? {
            Ok(deleted) => deleted,
            Err(refusal) => return self.complete(asked, Err(refusal), turn).await,
        };
        spelling::tell(account, (mailbox, mailbox), turn).await?;
        self.note_own(own).await;
        if selected == Some(deleted) {
            self.leave();
            turn.reply(&select::closed()).await?;
        }
        self.complete(asked, Ok(None), turn).await
    }

    /// COMPRESS (RFC 4978).
    fn compress(&mut self, asked: &Asked) -> Next<Response> {
        if mem::replace(&mut self.compressed, true) {
            let text = "DEFLATE is active already";
            let refusal = Refusal::no(Code::CompressionActive, text);
            return Next::Reply(asked.answer(Err(refusal)));
        }
        Next::Compress(asked.answer(Ok(None)))
    }

    /// UNAUTHENTICATE (RFC 8437 3): nobody is logged in then, nothing is selected and nothing
    /// enabled; only TLS stays.
    fn unauthenticate(&mut self, asked: &Asked, turn: &mut Turn<'_, Imap>) -> Next<Response> {
        if self.compressed {
            let text = "not while COMPRESS is active, and not announced then";
            return Next::Reply(asked.answer(Err(Refusal::bad(text))));
        }
        self.state = State::Greeted;
        self.listening = None;
        self.strange_since = self.began.elapsed();
        self.permit.logged_out();
        turn.dialogue().reset();
        let code = Code::Capability(self.capabilities());
        Next::Reply(asked.answer(Ok(Some(code))))
    }

    /// IDLE (RFC 2177).
    async fn park(
        &mut self,
        asked: &Asked,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        // The watch is there before the last look, so no change falls between them.
        let watch = match &self.state {
            State::Selected(_, selected) => Some(selected.watch(&self.services)),
            _ => None,
        };
        if let State::Selected(login, selected) = &mut self.state {
            let account = Account {
                services: &self.services,
                login,
            };
            selected.reconsider(account).await?;
            let moment = Moment::Completion(asked.numbers, Uids::Silent, None);
            let wanted = self.listening.as_deref().map(Listening::selected);
            let news = news::tell(account, selected, wanted.as_deref(), moment, turn).await?;
            if let News::MailboxDeleted = news {
                return Ok(Next::Close(updates::mailbox_deleted()));
            }
        }
        self.parked = Some(Parked { watch });
        Ok(Next::Park(Response::Continuation("idling".into())))
    }

    /// Ends a command: what changed is told before its completion (RFC 3501 7).
    async fn complete(
        &mut self,
        asked: &Asked,
        outcome: Outcome,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let State::Selected(login, selected) = &mut self.state else {
            return Ok(Next::Reply(asked.answer(outcome)));
        };
        let account = Account {
            services: &self.services,
            login,
        };
        let moment = Moment::Completion(asked.numbers, asked.uids(), Some(&outcome));
        let wanted = self.listening.as_deref().map(Listening::selected);
        let told = match selected.reconsider(account).await {
            Ok(()) => news::tell(account, selected, wanted.as_deref(), moment, turn).await,
            Err(stop) => Err(stop),
        };
        if let Some(listening) = &mut self.listening {
            listening.settle(selected);
        }
        match told {
            Ok(News::Told) => {
                let outcome = updates::settle_modseq(selected, outcome, turn).await?;
                Ok(Next::Reply(asked.answer(outcome)))
            }
            Ok(News::MailboxDeleted) => {
                turn.reply(&asked.answer(outcome)).await?;
                Ok(Next::Close(updates::mailbox_deleted()))
            }
            // What the command did is done (DUR-01): a client that hears NO does it again. What
            // could not be told is told later.
            Err(Halt::Fault(cause)) => {
                tracing::error!(error = %Causes(&cause), "what changed cannot be told now");
                selected.owes_modseq = true;
                let outcome = updates::settle_modseq(selected, outcome, turn).await?;
                Ok(Next::Reply(asked.answer(outcome)))
            }
            Err(gone) => Err(gone),
        }
    }
}

pub(super) fn not_now() -> Refusal {
    Refusal::bad("not possible in this state")
}

impl Asked {
    /// What marks the command.
    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    fn answer(&self, outcome: Outcome) -> Response {
        match outcome {
            Ok(code) => {
                // DONE is no command of its own (RFC 2177): what is completed is IDLE.
                let name = match self.verb.name {
                    "DONE" => "IDLE",
                    name => name,
                };
                let text = format!("{name} completed");
                Response::tagged(self.tag.clone(), Status::Ok, code, text)
            }
            Err(refusal) => refusal.to(self.tag.clone()),
        }
    }

    /// RFC 3501 6.4.8: FETCH responses caused by a UID command say the UID.
    fn uids(&self) -> Uids {
        Uids::of(self.verb.name.starts_with("UID "))
    }
}

fn with_tag(stop: Stop, tag: Option<Tag>) -> Halt<ImapFault> {
    match stop {
        Halt::Gone(gone) => Halt::Gone(gone),
        Halt::Fault(cause) => Halt::Fault(ImapFault::new(tag, cause)),
    }
}
