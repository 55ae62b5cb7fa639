//! APPEND: one message into one mailbox, exactly as it was sent.
//!
//! RFC 3501 6.3.11, RFC 7888, RFC 4315 3. What can be refused is refused before the message: a
//! synchronizing client then sends none; what a non-synchronizing one has sent is received and
//! dropped. The body goes to the store piece by piece. OK is said after the commit (DUR-01).

use super::{
    fault::{Cause, Refusal, Stop, over_quota, stop, target_refusal_of},
    flags,
    place::{self, Place},
    session::{Account, Outcome},
};
use crate::{
    base::clock::Timestamp,
    imap::proto::{
        command::AnnouncedLiteral,
        dialog::Imap,
        flag::FlagList,
        limits::discarded_bytes_max,
        response::{Code, Response},
    },
    mailbox::{AppendOptions, FlagSet, Intake, IntakeError},
    net::{Body, Gone, Halt, Turn},
};

/// What APPEND asks for.
pub(super) struct Message {
    pub(super) mailbox: String,
    pub(super) flags: FlagList,
    pub(super) date: Option<Timestamp>,
    pub(super) body: AnnouncedLiteral,
}

/// What became of the bytes of an APPEND.
pub(super) enum Taken {
    /// All were received, or none was invited.
    Whole(Outcome),
    /// Text follows the message; nothing was kept, and what comes next cannot be told from
    /// commands.
    Behind(Refusal),
}

/// APPEND.
pub(super) async fn append(
    account: Account<'_>,
    message: Message,
    turn: &mut Turn<'_, Imap>,
) -> Result<Taken, Stop> {
    let literal = message.body;
    let admitted = admit(account, &message).await;
    if !matches!(admitted, Ok(Ok(_))) && !literal.synchronizing {
        // It is on its way already; the dialogue must stay in step, also when it is we who failed.
        let max = discarded_bytes_max(account.services.options.message_bytes_max);
        if let Some(behind) = discard(literal, max, turn).await? {
            return Ok(behind);
        }
    }
    let (target, flags) = match admitted? {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Taken::Whole(Err(refusal))),
    };
    if literal.synchronizing {
        turn.invite(&Response::Continuation("send the message".into()))
            .await?;
    }
    let mut intake = account.mailboxes().intake();
    let mut body = turn.body(literal.frame());
    let received = receive(&mut body, &mut intake).await?;
    if let Some(behind) = ended(turn).await? {
        return Ok(behind);
    }
    let refused = match received {
        Received::Good => None,
        Received::Nul => Some(Refusal::bad("a message has no NUL in it")),
        Received::Failed(error) => Some(refusal_of_intake(error)?),
    };
    if let Some(refusal) = refused {
        return Ok(Taken::Whole(Err(refusal)));
    }
    let outcome = keep(account, &target, intake, flags, message.date).await?;
    Ok(Taken::Whole(outcome))
}

/// Checks all that can be checked before the message comes.
async fn admit(
    account: Account<'_>,
    message: &Message,
) -> Result<Result<(Place, FlagSet), Refusal>, Stop> {
    let size = message.body.size_bytes;
    if size > account.services.options.message_bytes_max {
        let max = account.services.options.message_bytes_max;
        let text = format!("a message has at most {max} bytes here");
        return Ok(Err(Refusal::no(Code::TooBig, text)));
    }
    if size == 0 {
        // RFC 3502 4.1 calls this an aborted APPEND; an empty message helps nobody.
        return Ok(Err(Refusal::no(
            Code::Cannot,
            "an empty message is not kept",
        )));
    }
    let flags = match flags::stored(&message.flags) {
        Ok(flags) => flags,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let target = match place::target(account, &message.mailbox).await? {
        Ok(target) => target,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(quota) = account.quota_bytes_of(target.owner) {
        let used = account
            .mailboxes()
            .usage(target.owner)
            .await
            .map_err(stop)?;
        if used.bytes.saturating_add(size) > quota {
            return Ok(Err(over_quota()));
        }
    }
    // RFC 4314 4: what the sender may not set is left out.
    let flags = target.rights.flags().of(&flags);
    Ok(Ok((target, flags)))
}

/// Receives and drops a message that is on its way already.
async fn discard(
    literal: AnnouncedLiteral,
    max: u64,
    turn: &mut Turn<'_, Imap>,
) -> Result<Option<Taken>, Gone> {
    if literal.size_bytes > max {
        // RFC 7888 4: what is too much to be thrown away ends the connection.
        return Ok(Some(Taken::Behind(Refusal::no(
            Code::TooBig,
            "far too large",
        ))));
    }
    turn.body(literal.frame()).discard().await?;
    ended(turn).await
}

/// Reads the line to its end; the message is to be the last argument.
async fn ended(turn: &mut Turn<'_, Imap>) -> Result<Option<Taken>, Gone> {
    let text = "one message in one APPEND, and nothing behind it";
    let ended = turn.line_behind(0).await?.is_some();
    Ok((!ended).then(|| Taken::Behind(Refusal::bad(text))))
}

/// How receiving went.
enum Received {
    Good,
    Nul,
    Failed(IntakeError),
}

/// Receives the message whole, whatever becomes of it: the dialogue must stay in step.
async fn receive(body: &mut Body<'_>, intake: &mut Intake) -> Result<Received, Gone> {
    let mut received = Received::Good;
    while let Some(piece) = body.next().await? {
        if !matches!(received, Received::Good) {
            continue;
        }
        // RFC 3501 9: CHAR8 is any octet but NUL.
        if piece.contains(&0) {
            received = Received::Nul;
        } else if let Err(error) = intake.feed(piece).await {
            received = Received::Failed(error);
        }
    }
    Ok(received)
}

async fn keep(
    account: Account<'_>,
    target: &Place,
    intake: Intake,
    flags: FlagSet,
    date: Option<Timestamp>,
) -> Result<Outcome, Stop> {
    let arrived = match intake.finish().await {
        Ok(arrived) => arrived,
        Err(error) => return Ok(Err(refusal_of_intake(error)?)),
    };
    let options = AppendOptions {
        flags,
        internal_date: date.unwrap_or_else(|| account.services.clock.wall()),
        // Others may have filled the account while the message came.
        quota_bytes: account.quota_bytes_of(target.owner),
    };
    let mailboxes = account.mailboxes();
    Ok(
        match mailboxes
            .append(target.owner, target.entry.id, arrived, options)
            .await
        {
            Ok(appended) => Ok(Some(Code::AppendUid {
                uid_validity: appended.uid_validity,
                uid: appended.uid.number(),
            })),
            Err(error) => Err(target_refusal_of(error)?),
        },
    )
}

fn refusal_of_intake(error: IntakeError) -> Result<Refusal, Stop> {
    match error {
        IntakeError::Full => Ok(Refusal::no(Code::Unavailable, "the server has no room now")),
        IntakeError::TooLarge => Ok(Refusal::no(Code::TooBig, "the message is too large")),
        fault @ IntakeError::Fault(_) => Err(Halt::Fault(Cause::Intake(fault))),
    }
}
