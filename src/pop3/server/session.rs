//! One POP3 session: AUTHORIZATION, then TRANSACTION, then UPDATE at QUIT (RFC 1939 3).

use std::io;

use bytes::Bytes;

use super::{
    Server,
    maildrop::{Maildrop, Message},
};
use crate::{
    base::{future::BoxFuture, pieces::Pieces, secret::Secret},
    mailbox::{BodyPieces, ChangeError, MailboxFault},
    net::{
        Halt, Next, Peer, Service, Terms, Turn,
        authn::{AuthRefusal, Login},
        gate::Permit,
        login::Denial,
        turn::Outgoing,
    },
    pop3::proto::{Code, Command, Pop3, Reply, Stage, command::Auth, dialog::Security, top::Top},
    sasl::Mechanism,
};

/// Failures of ours that a POP3 client is told about as `[SYS/TEMP]`.
#[derive(Debug, thiserror::Error)]
pub enum Pop3Fault {
    /// Reading failed.
    #[error("a maildrop could not be read")]
    Mailbox(#[from] MailboxFault),
    /// The update failed; nothing was removed.
    #[error("a maildrop could not be opened or updated")]
    Change(#[from] ChangeError),
}

/// One session.
pub struct Session {
    server: Server,
    peer: Peer,
    permit: Permit,
    state: State,
}

enum State {
    Authorization { user: Option<Secret<String>> },
    Transaction(Box<Maildrop>),
}

type Ran = Result<Next<Reply>, Halt<Pop3Fault>>;

impl Session {
    pub(super) fn new(server: Server, peer: Peer, permit: Permit) -> Self {
        Self {
            server,
            peer,
            permit,
            state: State::fresh(),
        }
    }

    async fn authorization(&mut self, command: Command, turn: &mut Turn<'_, Pop3>) -> Ran {
        match command {
            Command::Stls => Ok(Next::Upgrade(Reply::ok("begin TLS"))),
            Command::User(name) => {
                if let State::Authorization { user } = &mut self.state {
                    *user = Some(name);
                }
                // The same for every name: who exists is not told (AUTH-05).
                Ok(Next::Reply(Reply::ok("now PASS")))
            }
            Command::Pass(password) => self.pass(&password, turn).await,
            Command::Auth(auth) => self.auth(auth, turn).await,
            _ => Ok(Next::Reply(Reply::err("log in first"))),
        }
    }

    async fn pass(&mut self, password: &Secret<String>, turn: &mut Turn<'_, Pop3>) -> Ran {
        let State::Authorization { user } = &mut self.state else {
            return Ok(Next::Reply(Reply::err("you are logged in already")));
        };
        let Some(name) = user.take() else {
            return Ok(Next::Reply(Reply::err("give the name first: USER")));
        };
        let authn = self.server.authn();
        let login = authn.password(turn, name.expose(), password).await?;
        self.logged_in(login).await
    }

    async fn auth(&mut self, auth: Option<Auth>, turn: &mut Turn<'_, Pop3>) -> Ran {
        let Some(Auth { mechanism, initial }) = auth else {
            // RFC 5034 4 leaves AUTH alone undefined; clients of old ask for the list so.
            let mechanisms = Mechanism::names().map(str::to_owned);
            return Ok(Next::Reply(Reply::Lines("mechanisms", mechanisms.into())));
        };
        let initial = initial.as_ref().map(|initial| initial.expose().as_ref());
        let authn = self.server.authn();
        let login = authn.sasl(turn, &mechanism, initial).await?;
        self.logged_in(login).await
    }

    /// The end of every login.
    async fn logged_in(&mut self, login: Result<Login, Denial>) -> Ran {
        let login = match login {
            Ok(login) => login,
            Err(denial) => return Ok(denial.next(refusal_reply(denial.why))),
        };
        let Some(lock) = self.server.maildrops().lock(login.account()) else {
            let text = "another session has this maildrop open";
            return Ok(Next::Reply(Reply::Err(Some(Code::InUse), text)));
        };
        let opened = Maildrop::open(self.server.mailboxes(), login, lock).await;
        let maildrop = opened.map_err(Pop3Fault::from).map_err(Halt::Fault)?;
        let (count, octets) = maildrop.total();
        self.permit.logged_in();
        self.state = State::Transaction(Box::new(maildrop));
        Ok(Next::Reply(Reply::ok(format!(
            "{count} messages, {octets} octets"
        ))))
    }
}

impl Service<Pop3> for Session {
    type Fault = Pop3Fault;

    fn stage(&self) -> Stage {
        match self.state {
            State::Transaction(_) => Stage::Transaction,
            State::Authorization { .. } => Stage::Authorization(
                match (
                    self.peer.tls.is_some(),
                    self.server.options().insecure_without_tls,
                ) {
                    (true, _) => Security::LoginAllowed,
                    (false, true) => Security::StlsOffered,
                    (false, false) => Security::StlsFirst,
                },
            ),
        }
    }

    fn terms(&self) -> Terms {
        let options = self.server.options();
        match self.state {
            State::Authorization { .. } => Terms {
                idle: options.idle_before_login,
                total: Some(options.login_time),
                strikes_slow: STRIKES_SLOW,
                strikes_max: STRIKES_MAX,
                strikes_forgiven: false,
            },
            State::Transaction(_) => Terms {
                idle: options.idle,
                total: None,
                strikes_slow: STRIKES_SLOW,
                strikes_max: STRIKES_MAX,
                strikes_forgiven: false,
            },
        }
    }

    async fn greet(&mut self, _peer: &Peer) -> Reply {
        // No timestamp in angle brackets: that would announce APOP, which needs clear passwords
        // stored.
        Reply::ok("POP3 server ready, HELP for help")
    }

    async fn run(&mut self, command: Command, turn: &mut Turn<'_, Pop3>) -> Ran {
        match (command, &mut self.state) {
            (Command::Capa, _) => Ok(Next::Reply(Reply::Lines(
                "capabilities",
                self.stage().capabilities(),
            ))),
            (Command::Help, _) => Ok(Next::Reply(Reply::Lines("commands", self.stage().help()))),
            (Command::Quit, State::Authorization { .. }) => Ok(Next::Close(Reply::ok("good bye"))),
            (Command::Quit, State::Transaction(_)) => {
                match std::mem::replace(&mut self.state, State::fresh()) {
                    State::Transaction(maildrop) => quit(*maildrop).await,
                    State::Authorization { .. } => Ok(Next::Close(Reply::ok("good bye"))),
                }
            }
            (command, State::Authorization { .. }) => self.authorization(command, turn).await,
            (command, State::Transaction(maildrop)) => transaction(maildrop, command, turn).await,
        }
    }

    fn secured(&mut self, peer: &Peer) {
        self.peer = peer.clone();
        // RFC 2595 4: names are forgotten.
        if let State::Authorization { user } = &mut self.state {
            *user = None;
        }
    }

    fn login(&self) -> Option<&Login> {
        match &self.state {
            State::Transaction(maildrop) => Some(&maildrop.login),
            State::Authorization { .. } => None,
        }
    }

    fn refusal_for(&self, _fault: &Pop3Fault) -> Reply {
        Reply::Err(
            Some(Code::SysTemp),
            "something failed here, try again later",
        )
    }
}

impl State {
    fn fresh() -> Self {
        Self::Authorization { user: None }
    }
}

async fn transaction(maildrop: &mut Maildrop, command: Command, turn: &mut Turn<'_, Pop3>) -> Ran {
    match command {
        Command::Stat => {
            let (count, octets) = maildrop.total();
            Ok(Next::Reply(Reply::ok(format!("{count} {octets}"))))
        }
        Command::List(number) => {
            list(maildrop, number, turn, |message| message.octets.to_string()).await
        }
        Command::Uidl(number) => {
            let names = |message: &Message| maildrop.unique_id(message);
            list(maildrop, number, turn, names).await
        }
        Command::Retr(number) => send(maildrop, number, None, turn).await,
        Command::Top(number, lines) => send(maildrop, number, Some(Top::new(lines)), turn).await,
        Command::Dele(number) if maildrop.delete(number) => {
            Ok(Next::Reply(Reply::ok("marked, QUIT removes it")))
        }
        Command::Dele(_) => Ok(Next::Reply(no_such_message())),
        Command::Rset => {
            maildrop.undelete();
            Ok(Next::Reply(Reply::ok("nothing is marked")))
        }
        _ => Ok(Next::Reply(Reply::ok("done"))),
    }
}

/// LIST and UIDL: one line, or all of them.
async fn list(
    maildrop: &Maildrop,
    number: Option<u32>,
    turn: &mut Turn<'_, Pop3>,
    what: impl Fn(&Message) -> String,
) -> Ran {
    if let Some(number) = number {
        let found = maildrop.message(number);
        let reply = found.map(|message| Reply::ok(format!("{number} {}", what(message))));
        return Ok(Next::Reply(reply.unwrap_or_else(no_such_message)));
    }
    turn.output().text("+OK\r\n");
    for (number, message) in maildrop.listed() {
        turn.output()
            .number(number as u64)
            .text(" ")
            .text(&what(message))
            .crlf();
        turn.make_room().await?;
    }
    turn.output().text(".\r\n");
    Ok(Next::Continue)
}

/// RETR and TOP.
async fn send(
    maildrop: &Maildrop,
    number: u32,
    top: Option<Top>,
    turn: &mut Turn<'_, Pop3>,
) -> Ran {
    let Some(message) = maildrop.message(number) else {
        return Ok(Next::Reply(no_such_message()));
    };
    let body = turn
        .unless_gone(maildrop.body(message))
        .await?
        .map_err(Pop3Fault::from)
        .map_err(Halt::Fault)?;
    let Some(mut body) = body else {
        return Ok(Next::Reply(Reply::err(
            "this message was removed by another session",
        )));
    };
    match top {
        None => {
            turn.reply(&Reply::ok(format!("{} octets", message.octets)))
                .await?;
            turn.send_body(&mut body, Outgoing::Dotted).await?;
        }
        Some(top) => {
            turn.reply(&Reply::ok("header and lines")).await?;
            turn.send_body(
                &mut Cut {
                    body,
                    top,
                    over: false,
                },
                Outgoing::Dotted,
            )
            .await?;
        }
    }
    Ok(Next::Continue)
}

/// RFC 1939 6: the deletions happen now, or the client is told that they did not.
async fn quit(maildrop: Maildrop) -> Ran {
    match maildrop.update().await {
        Ok(0) => Ok(Next::Close(Reply::ok("good bye"))),
        Ok(removed) => Ok(Next::Close(Reply::ok(format!(
            "good bye, {removed} removed"
        )))),
        Err(error) => {
            tracing::error!(%error, "a maildrop could not be updated");
            let text = "marked messages were not removed, try again later";
            Ok(Next::Close(Reply::Err(Some(Code::SysTemp), text)))
        }
    }
}

/// The part of a message that TOP sends.
struct Cut {
    body: BodyPieces,
    top: Top,
    over: bool,
}

impl Pieces for Cut {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            if self.over {
                return Ok(None);
            }
            let Some(piece) = self.body.next().await? else {
                return Ok(None);
            };
            let kept = self.top.keep(&piece);
            self.over = kept < piece.len();
            Ok(Some(piece.slice(..kept)).filter(|piece| !piece.is_empty()))
        })
    }
}

fn refusal_reply(refusal: AuthRefusal) -> Reply {
    match refusal {
        AuthRefusal::Wrong => Reply::Err(Some(Code::Auth), "name or password is wrong"),
        AuthRefusal::Busy => Reply::Err(Some(Code::SysTemp), "too busy, try again later"),
        AuthRefusal::TooManySessions => {
            Reply::Err(Some(Code::InUse), "this account has too many sessions")
        }
        AuthRefusal::Malformed => Reply::err("this is not what the mechanism asks for"),
        AuthRefusal::TooLong => Reply::err("this line is too long"),
        AuthRefusal::Cancelled => Reply::err("cancelled"),
        AuthRefusal::Unsupported => Reply::err("no such mechanism, CAPA lists them"),
    }
}

fn no_such_message() -> Reply {
    Reply::err("no such message")
}

const STRIKES_SLOW: u32 = 10;
const STRIKES_MAX: u32 = 20;
