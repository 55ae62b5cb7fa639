//! APPEND and REPLACE: messages into one mailbox, exactly as they were sent, all or none.
//!
//! RFC 3501 6.3.11, RFC 7888, RFC 4315 3, RFC 3502, RFC 3516 4.4, RFC 4469, RFC 6855 4, RFC 8508,
//! RFC 9738. What can be refused is refused before the next literal: a synchronizing client then
//! sends none; what a non-synchronizing one has sent is received and dropped. Bodies go to the
//! store piece by piece. OK is said after the commit (DUR-01). Text that may not stand behind a
//! literal ends the connection: what follows it cannot be told from commands.

use super::{
    append_message::Gathering,
    fault::{Cause, Refusal, Stop, forbidden, stop, target_refusal_of},
    limits::APPEND_LINES_BYTES_MAX,
    lookup,
    message_limit::MessageLimit,
    place::{self, Place},
    select::{Selected, Which},
    session::{Account, Outcome},
};
use crate::{
    base::ids::Uid,
    imap::proto::{
        append::{AppendLiteral, AppendPart, Appending},
        command::AnnouncedLiteral,
        dialog::Imap,
        enabled::Enabled,
        limits::{AFTER_LOGIN, discarded_bytes_max},
        response::{Code, Response},
    },
    mailbox::{Index, Mailbox, Rights},
    net::{Gone, Halt, Turn},
};

/// What APPEND and REPLACE ask for.
pub(super) struct Request<'s> {
    pub(super) mailbox: String,
    /// What was said before the first literal.
    pub(super) coming: Appending,
    pub(super) selected: Option<&'s Selected>,
    /// Of REPLACE: the message that goes.
    pub(super) replaced: Option<Which>,
}

/// What became of the bytes of an APPEND.
pub(super) enum Taken {
    /// All were received, or none was invited.
    Whole(Outcome),
    /// Something else stands behind a literal; nothing was kept, and what comes next cannot be
    /// told from commands.
    Behind(Refusal),
}

/// How the command stands.
enum Standing<'a> {
    Good(Box<Gathering<'a>>, Target),
    /// Nothing will be kept; what is on its way is dropped.
    Refused(Refusal),
    /// As refused, by a fault of ours.
    Failed(Stop),
}

/// Where the messages go, and what goes for them.
struct Target {
    place: Place,
    replaced: Option<(Mailbox, Uid)>,
}

/// What a command has sent.
#[derive(Default)]
struct Spent {
    messages: usize,
    /// Of what is not kept.
    discarded_bytes: u64,
    /// Of what stands behind literals.
    line_bytes: usize,
}

/// APPEND, REPLACE and UID REPLACE.
pub(super) async fn append(
    account: Account<'_>,
    request: Request<'_>,
    turn: &mut Turn<'_, Imap>,
) -> Result<Taken, Stop> {
    let mut standing = begin(account, &request, turn.dialogue().enabled()).await;
    let mut coming = request.coming;
    let mut spent = Spent::default();
    let limit = MessageLimit::of(account);
    loop {
        for part in std::mem::take(&mut coming.parts) {
            spent.messages += usize::from(matches!(part, AppendPart::Message { .. }));
            if let Err(refusal) = limit.allows(spent.messages) {
                // RFC 9738 3.1: none are appended.
                standing = Standing::Refused(refusal);
            }
            if let Standing::Good(gathering, _) = &mut standing {
                let outcome = gathering.part(part).await;
                standing.heed(outcome);
            }
        }
        let Some(literal) = coming.literal else {
            break;
        };
        if let Standing::Good(gathering, _) = &mut standing {
            let outcome = Ok(gathering.admit(literal));
            standing.heed(outcome);
        }
        match &mut standing {
            Standing::Good(gathering, _) => {
                let outcome = take(gathering, literal, turn).await?;
                standing.heed(outcome);
            }
            _ if literal.announced.synchronizing => break,
            _ => {
                if let Some(behind) = discard(account, literal, &mut spent, turn).await? {
                    return Ok(behind);
                }
            }
        }
        coming = match behind(coming, &mut spent, turn).await? {
            Ok(coming) => coming,
            Err(refusal) => return Ok(Taken::Behind(refusal)),
        };
    }
    match standing {
        Standing::Good(gathering, target) => Ok(Taken::Whole(
            commit(account, *gathering, target, turn).await?,
        )),
        Standing::Refused(refusal) => Ok(Taken::Whole(Err(refusal))),
        Standing::Failed(stop) => Err(stop),
    }
}

impl Standing<'_> {
    /// What went wrong is the command's answer from now on.
    fn heed(&mut self, outcome: Result<Result<(), Refusal>, Stop>) {
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => *self = Self::Refused(refusal),
            Err(stop) => *self = Self::Failed(stop),
        }
    }
}

/// Checks all that can be checked before the first literal comes.
async fn begin<'a>(account: Account<'a>, request: &Request<'_>, enabled: Enabled) -> Standing<'a> {
    let target = match target(account, request).await {
        Ok(Ok(target)) => target,
        Ok(Err(refusal)) => return Standing::Refused(refusal),
        Err(stop) => return Standing::Failed(stop),
    };
    let base = request.selected.map(|selected| selected.mailbox.clone());
    // RFC 4314 4: what a URL names is fetched.
    let base = base.filter(|mailbox| mailbox.rights().contains(Rights::READ));
    match Gathering::new(account, &target.place, base, enabled).await {
        Ok(mut gathering) => {
            if let Some((mailbox, uid)) = &target.replaced
                && mailbox.account() == target.place.owner
            {
                let entry =
                    |index: &Index| lookup::find(index, uid.number()).map_or(0, |entry| entry.size);
                // RFC 8508 3.4: only what it comes to counts.
                gathering.allow(mailbox.read(entry));
            }
            Standing::Good(Box::new(gathering), target)
        }
        Err(stop) => Standing::Failed(stop),
    }
}

async fn target(
    account: Account<'_>,
    request: &Request<'_>,
) -> Result<Result<Target, Refusal>, Stop> {
    let replaced = match (&request.replaced, request.selected) {
        (Some(which), Some(selected)) => match replaced(selected, which).await? {
            Ok(uid) => Some((selected.mailbox.clone(), uid)),
            Err(refusal) => return Ok(Err(refusal)),
        },
        _ => None,
    };
    let target = place::target(account, &request.mailbox).await?;
    Ok(target.map(|place| Target { place, replaced }))
}

/// The message that REPLACE takes away.
async fn replaced(selected: &Selected, which: &Which) -> Result<Result<Uid, Refusal>, Stop> {
    let shown = match selected.shown(which) {
        Ok(shown) => shown,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if !selected.mailbox.rights().contains(Mailbox::REPLACE_RIGHTS) {
        return Ok(Err(forbidden()));
    }
    if let Err(refusal) = selected.refresh().await? {
        return Ok(Err(refusal));
    }
    let uid = shown.first().and_then(|shown| Uid::new(shown.uid));
    let there = uid.filter(|uid| {
        let find = |index: &Index| lookup::find(index, uid.number()).is_some();
        selected.mailbox.read(find)
    });
    let text = "the message to be replaced is not there";
    Ok(there.ok_or_else(|| Refusal::no(Code::NonExistent, text)))
}

/// Receives a literal that is wanted, whole, whatever becomes of it.
async fn take(
    gathering: &mut Gathering<'_>,
    literal: AppendLiteral,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Result<(), Refusal>, Stop>, Gone> {
    if literal.announced.synchronizing {
        let text = if literal.is_url {
            "send the URL"
        } else {
            "send the message"
        };
        turn.invite(&Response::Continuation(text.into())).await?;
    }
    let mut body = turn.body(literal.announced.frame());
    let mut outcome = Ok(Ok(()));
    let mut url = Vec::new();
    while let Some(piece) = body.next().await? {
        if literal.is_url {
            // Its size was admitted.
            url.extend_from_slice(&piece);
        } else if matches!(outcome, Ok(Ok(()))) {
            outcome = gathering.octets(piece).await;
        }
    }
    if literal.is_url {
        outcome = gathering.url(url).await;
    }
    Ok(outcome)
}

/// Receives and drops a literal that is on its way already.
async fn discard(
    account: Account<'_>,
    literal: AppendLiteral,
    spent: &mut Spent,
    turn: &mut Turn<'_, Imap>,
) -> Result<Option<Taken>, Gone> {
    let AnnouncedLiteral { size_bytes, .. } = literal.announced;
    spent.discarded_bytes = spent.discarded_bytes.saturating_add(size_bytes);
    let max = discarded_bytes_max(account.services.options.message_bytes_max);
    if spent.discarded_bytes > max {
        // RFC 7888 4: what is too much to be thrown away ends the connection.
        let refusal = Refusal::no(Code::TooBig, "far too large");
        return Ok(Some(Taken::Behind(refusal)));
    }
    turn.body(literal.announced.frame()).discard().await?;
    Ok(None)
}

/// Reads the line behind a literal.
async fn behind(
    before: Appending,
    spent: &mut Spent,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Appending, Refusal>, Gone> {
    // LIM-19: lines of one command, and all of them together.
    let line = turn.line_behind(AFTER_LOGIN.line_bytes_max).await?;
    let Some(line) = line else {
        return Ok(Err(Refusal::bad("the line is too long")));
    };
    spent.line_bytes += line.len();
    if spent.line_bytes > APPEND_LINES_BYTES_MAX {
        return Ok(Err(Refusal::no(Code::TooBig, "the command is too long")));
    }
    Ok(before.behind(&line).map_err(|mistake| Refusal {
        status: mistake.status,
        code: mistake.code,
        text: mistake.text.into(),
    }))
}

/// Makes the messages that were gathered messages of their mailbox.
async fn commit(
    account: Account<'_>,
    gathering: Gathering<'_>,
    target: Target,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let mut messages = match gathering.finish() {
        Ok(messages) => messages,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let count = messages.len();
    // Others may have filled the account while the messages came.
    let to = target.place.target(account);
    let appended = match (target.replaced.clone(), messages.pop()) {
        (Some((mut mailbox, uid)), Some(message)) => {
            // And taken the right to the one that goes.
            mailbox.reconsider(account.id()).await.map_err(stop)?;
            mailbox.replace(uid, &to, message).await
        }
        (_, last) => {
            messages.extend(last);
            account.mailboxes().append_all(&to, messages).await
        }
    };
    let appended = match appended {
        Ok(appended) => appended,
        Err(error) => return Ok(Err(target_refusal_of(error, &to)?)),
    };
    let code = Code::AppendUid {
        uid_validity: appended.uid_validity,
        uids: (appended.uid.number()..).take(count).collect(),
    };
    if target.replaced.is_some() {
        // RFC 8508 4.3: the client learns the new UID before the EXPUNGE response.
        turn.reply(&Response::note(code, "the new message")).await?;
        return Ok(Ok(None));
    }
    Ok(Ok(Some(code)))
}

/// A fault of taking in a message.
pub(super) fn intake_stop(error: crate::mailbox::IntakeError) -> Stop {
    Halt::Fault(Cause::Intake(error))
}
