//! One mail transaction: MAIL, RCPT for each recipient, DATA or BDAT, content, and what became of
//! every recipient.
//!
//! RFC 5321 3.3, 4.1.1; RFC 2920 (groups of commands), 1870 (SIZE), 3030 (CHUNKING), 3461 (DSN),
//! 6152 (8BITMIME), 6531 (SMTPUTF8), 2852 (DELIVERBY), 6710 (MT-PRIORITY), 9422 (LIMITS).
//! Eight-bit content goes in chunks to servers that take them. A
//! server without 8BITMIME gets eight-bit content as it is: converting would break signatures, and
//! such servers pass it on. A reply to the end of content that does not arrive means "later": the
//! message may then arrive twice, never not at all.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    classify::{Stage, Verdict, classify},
    content::Encoder,
    conversation::{Cause, Conversation, Failure},
    reply::Reply,
};
use crate::{
    base::pieces::Pieces,
    mail::{
        address::Address,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
        urgency::{By, ByMode},
    },
};

/// What is sent.
#[derive(Clone, Copy)]
pub struct Mail<'a> {
    /// Where failures are reported.
    pub sender: &'a ReversePath,
    /// Who shall get it, and what was said of him.
    pub recipients: &'a [(&'a Address, &'a RcptOptions)],
    /// Length in bytes; content of another length is not finished.
    pub size: u64,
    /// RFC 6531: header or addresses are internationalized.
    pub smtputf8: bool,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
    /// RFC 2852: what is left of the time in which it is wanted.
    pub by: Option<By>,
    /// What else its sender said of it.
    pub options: &'a MailOptions,
}

impl Mail<'_> {
    /// RFC 6531 3.4: whether a server without SMTPUTF8 must not be given this.
    fn needs_utf8(&self) -> bool {
        let ascii = self.sender.address().is_none_or(Address::is_ascii)
            && self.recipients.iter().all(|(to, _)| to.is_ascii());
        self.smtputf8 || !ascii
    }
}

/// What became of a transaction.
#[derive(Debug)]
pub struct Sent {
    /// What became of each recipient, in their order.
    pub fates: Vec<Fate>,
    /// Whether another transaction can follow.
    pub usable: bool,
    /// Whether the content was begun: only before that is it certain that nobody got it.
    pub content_begun: bool,
    /// RFC 5321 3.8: the server said 421, it wants less of us.
    pub closing: bool,
    /// RFC 3461 5.2.1: whether the server was told what the sender wants to hear, and says it.
    pub reports: bool,
    /// RFC 2852: whether the server was told in what time the message is wanted.
    pub hurries: bool,
}

impl Sent {
    /// The message could not be read on our side, and nothing was sent.
    pub fn unread(recipients: usize, error: &std::io::Error) -> Self {
        let text = format!("the message could not be read: {error}");
        Self {
            fates: vec![Fate::Broken(Stage::Mail, text); recipients],
            usable: true,
            content_begun: false,
            closing: false,
            reports: false,
            hurries: false,
        }
    }
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server took responsibility.
    Delivered(Reply),
    /// The server said at this stage: not now.
    Later(Stage, Reply),
    /// The server said at this stage: never.
    Never(Stage, Reply),
    /// The server said: not in this transaction.
    TooMany(Reply),
    /// The conversation broke off at this stage.
    Broken(Stage, String),
    /// RFC 6531 3.2: the mail is internationalized and the server is not.
    NeedsUtf8,
    /// RFC 8689 4.2.1: the mail needs a server that is known, and TLS.
    NeedsTls,
    /// RFC 8689 4.2.1: the mail needs a server that asks the same of the next one.
    NeedsRequireTls,
    /// RFC 1870: the server takes no more than this many bytes.
    TooLarge(u64),
    /// RFC 3030 3: the mail is binary and the server takes none.
    NeedsBinary,
    /// RFC 2852 4: the mail goes back when it is late, and the server does not know how.
    NeedsDeliverBy,
    /// RFC 2852 4: there is less time than the server needs.
    TooLate,
    /// RFC 9422: beyond what the server takes in one transaction; nothing was said of him.
    NotYet,
}

/// The envelope part of a transaction as it unfolds.
#[derive(Default)]
struct Envelope {
    mail: Option<Reply>,
    recipients: Vec<Reply>,
    data: Option<Reply>,
}

impl Conversation {
    /// Sends one message to some recipients. Dropping the future before it is done ends the
    /// conversation; if the final dot was sent by then, the message may have been delivered.
    pub async fn send(&mut self, mail: &Mail<'_>, content: &mut dyn Pieces) -> Sent {
        let count = mail.recipients.len();
        if let Some(fate) = self.unable(mail) {
            return Sent {
                fates: vec![fate; count],
                usable: true,
                content_begun: false,
                closing: false,
                reports: false,
                hurries: false,
            };
        }
        let mail = &self.within_limits(mail);
        let mut envelope = Envelope::default();
        let result = self.transact(mail, content, &mut envelope).await;
        let content_begun = matches!(&result, Ok(Some(_)))
            || matches!(&result, Err(failure) if failure.stage == Stage::Content);
        let closing = envelope.replies().any(|reply| reply.code == 421)
            || matches!(&result, Ok(Some(reply)) if reply.code == 421);
        let usable = result.is_ok() && !self.spent && !closing && !envelope.is_confused();
        let mut fates: Vec<_> = (0..mail.recipients.len())
            .map(|at| envelope.fate(at, &result))
            .collect();
        fates.resize(count, Fate::NotYet);
        Sent {
            fates,
            usable,
            content_begun,
            closing,
            reports: self.offered.dsn,
            hurries: self.offered.deliver_by.is_some(),
        }
    }

    /// What is known beforehand.
    fn unable(&self, mail: &Mail<'_>) -> Option<Fate> {
        if mail.needs_utf8() && !self.offered.smtputf8 {
            return Some(Fate::NeedsUtf8);
        }
        // RFC 8689 5: reports are sent as well as they can be.
        if mail.options.require_tls && !mail.sender.is_null() {
            match (self.verified, self.offered.require_tls) {
                (false, _) => return Some(Fate::NeedsTls),
                (true, false) => return Some(Fate::NeedsRequireTls),
                (true, true) => {}
            }
        }
        if mail.body == BodyKind::Binary && !self.offered.binary {
            return Some(Fate::NeedsBinary);
        }
        if let Some(by) = mail.by.filter(|by| by.mode == ByMode::Return) {
            match self.offered.deliver_by {
                None => return Some(Fate::NeedsDeliverBy),
                Some(least) if by.secs < i64::from(least).max(1) => return Some(Fate::TooLate),
                Some(_) => {}
            }
        }
        match self.offered.size {
            Some(Some(most)) if mail.size > most => Some(Fate::TooLarge(most)),
            _ => None,
        }
    }

    /// The first recipients, as many as the server takes at once (RFC 9422 3); never none.
    fn within_limits<'a>(&self, mail: &Mail<'a>) -> Mail<'a> {
        let limits = self.offered.limits;
        let most = |limit: Option<u32>| limit.map_or(usize::MAX, |most| most as usize);
        let mut domains = HashSet::new();
        let few = mail.recipients.iter().take(most(limits.recipients));
        let few = few.take_while(|(to, _)| {
            domains.insert(&to.domain);
            domains.len() <= most(limits.domains)
        });
        let count = few.count();
        Mail {
            recipients: mail.recipients.get(..count).unwrap_or(mail.recipients),
            ..*mail
        }
    }

    /// Whether binary mail can be sent as it is (RFC 3030 3).
    pub fn takes_binary(&self) -> bool {
        self.offered.binary
    }

    /// RFC 9422: how many transactions the server takes over this connection.
    pub fn mails_max(&self) -> Option<u32> {
        self.offered.limits.mails
    }

    /// The transaction; answers with the reply to the content, if it came to that.
    async fn transact(
        &mut self,
        mail: &Mail<'_>,
        content: &mut dyn Pieces,
        envelope: &mut Envelope,
    ) -> Result<Option<Reply>, Failure> {
        if !self.wire.is_clean() {
            // Its replies would be taken for answers to the wrong commands.
            return Err(Failure::at(Stage::Mail)(Cause::OutOfTurn));
        }
        if std::mem::replace(&mut self.dirty, true) {
            let within = self.timeouts.hello;
            self.ask(Stage::Mail, "RSET\r\n", within).await?;
        }
        let chunked = match mail.body {
            BodyKind::SevenBit => false,
            BodyKind::EightBit => self.offered.chunking,
            BodyKind::Binary => true,
        };
        self.exchange_envelope(mail, envelope, chunked).await?;
        let go_ahead = match &envelope.data {
            Some(data) => classify(Stage::Data, data) == Verdict::Yes,
            None => chunked && envelope.has_recipients(),
        };
        if !go_ahead {
            return Ok(None);
        }
        if !envelope.has_recipients() {
            if envelope.was_promised() {
                // It refused MAIL, or us, and took a recipient all the same: he would get a
                // message without content.
                return Err(Failure::at(Stage::Data)(Cause::OutOfTurn));
            }
            // RFC 2920 3.1: the server wants content although it took no recipient. It gets none.
            let end = self.wire.send(b".\r\n", self.timeouts.block).await;
            end.map_err(Failure::at(Stage::Data))?;
            let reply = self.wire.reply(self.timeouts.content).await;
            reply.map_err(Failure::at(Stage::Data))?;
            return Ok(None);
        }
        if !self.wire.is_clean() {
            // Said before the content was sent, it cannot be the answer to it: taken for one, the
            // mail would count as delivered although nobody has it.
            return Err(Failure::at(Stage::Data)(Cause::OutOfTurn));
        }
        let written = match chunked {
            true => self.write_chunks(mail, content).await,
            false => self.write_content(mail.size, content).await.map(|()| None),
        };
        let refused = match written {
            Ok(refused) => refused,
            Err(cause) => return self.last_words(cause).await.map(Some),
        };
        let reply = match refused {
            Some(reply) => Ok(reply),
            None => self.wire.reply(self.timeouts.content).await,
        };
        let reply = reply.map_err(Failure::at(Stage::Content))?;
        // RFC 3030 2: after a chunk that was refused, RSET must come.
        self.dirty = chunked && !reply.is_positive();
        Ok(Some(reply))
    }

    /// MAIL, RCPT and, unless chunks follow, DATA, in groups when the server takes groups.
    async fn exchange_envelope(
        &mut self,
        mail: &Mail<'_>,
        envelope: &mut Envelope,
        chunked: bool,
    ) -> Result<(), Failure> {
        let mut commands = vec![(Stage::Mail, self.mail_command(mail))];
        let recipients = mail.recipients.iter();
        commands.extend(recipients.map(|to| (Stage::Rcpt, self.rcpt_command(*to))));
        if !chunked {
            commands.push((Stage::Data, "DATA\r\n".to_owned()));
        }
        let group = if self.offered.pipelining { GROUP } else { 1 };
        for group in commands.chunks(group) {
            // Nothing is asked for that cannot lead anywhere.
            let only_data = group.iter().all(|(stage, _)| *stage == Stage::Data);
            if envelope.is_over() || (only_data && !envelope.has_recipients()) {
                return Ok(());
            }
            let lines: String = group.iter().map(|(_, command)| command.as_str()).collect();
            let sent = self.wire.send(lines.as_bytes(), self.timeouts.mail).await;
            if let Err(cause) = sent {
                let stage = group.first().map_or(Stage::Mail, |(stage, _)| *stage);
                return Err(Failure::at(stage)(cause));
            }
            for (stage, _) in group {
                let within = match stage {
                    Stage::Mail => self.timeouts.mail,
                    Stage::Data => self.timeouts.data,
                    _ => self.timeouts.rcpt,
                };
                let reply = self.wire.reply(within).await.map_err(Failure::at(*stage))?;
                let closing = reply.code == 421;
                match stage {
                    Stage::Mail => envelope.mail = Some(reply),
                    Stage::Data => envelope.data = Some(reply),
                    _ => envelope.recipients.push(reply),
                }
                if closing {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn mail_command(&self, mail: &Mail<'_>) -> String {
        let mut command = format!("MAIL FROM:{}", mail.sender);
        if self.offered.size.is_some() {
            command.push_str(&format!(" SIZE={}", mail.size));
        }
        if self.offered.eight_bit && mail.body == BodyKind::EightBit {
            command.push_str(" BODY=8BITMIME");
        }
        if mail.body == BodyKind::Binary {
            command.push_str(" BODY=BINARYMIME");
        }
        if mail.needs_utf8() {
            command.push_str(" SMTPUTF8");
        }
        if mail.options.require_tls && self.verified && self.offered.require_tls {
            command.push_str(" REQUIRETLS");
        }
        // RFC 3461 5.2.1 (a), (b): as they came, or not at all; 5.2.2 (a).
        if let (true, Some(ret)) = (self.offered.dsn, mail.options.ret) {
            command.push_str(&format!(" RET={}", ret.as_str()));
        }
        if let (true, Some(id)) = (self.offered.dsn, &mail.options.envelope_id) {
            command.push_str(&format!(" ENVID={}", id.as_xtext()));
        }
        if let (Some(_), Some(by)) = (self.offered.deliver_by, mail.by) {
            command.push_str(&format!(" BY={by}"));
        }
        if let (true, Some(priority)) = (self.offered.priority, mail.options.priority) {
            command.push_str(&format!(" MT-PRIORITY={priority}"));
        }
        command.push_str("\r\n");
        command
    }

    fn rcpt_command(&self, (to, options): (&Address, &RcptOptions)) -> String {
        let mut command = format!("RCPT TO:<{to}>");
        // RFC 3461 5.2.1 (c), (d); 5.2.2 (a).
        if let (true, Some(notify)) = (self.offered.dsn, options.notify) {
            command.push_str(&format!(" NOTIFY={notify}"));
        }
        if let (true, Some(original)) = (self.offered.dsn, &options.original) {
            command.push_str(&format!(" ORCPT={}", original.as_str()));
        }
        command.push_str("\r\n");
        command
    }

    /// Content and final dot. The dot is sent only behind exactly `size` bytes.
    async fn write_content(&mut self, size: u64, content: &mut dyn Pieces) -> Result<(), Cause> {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        let mut read = 0_u64;
        while let Some(piece) = next_piece(content).await? {
            read += piece.len() as u64;
            encoder.encode(&piece, &mut out);
            if out.len() >= BLOCK_BYTES {
                self.wire.send(&out, self.timeouts.block).await?;
                out.clear();
            }
        }
        if read != size {
            let short = io_error(format!("{read} bytes instead of {size}"));
            return Err(Cause::Content(short));
        }
        encoder.finish(&mut out);
        self.wire.send(&out, self.timeouts.block).await
    }

    /// Content in chunks, each but the last with its reply (RFC 3030 2); answers with the first
    /// that is a refusal. The last is sent only behind exactly `size` bytes.
    async fn write_chunks(
        &mut self,
        mail: &Mail<'_>,
        content: &mut dyn Pieces,
    ) -> Result<Option<Reply>, Cause> {
        let size = mail.size;
        let (mut encoder, mut out) = match mail.body {
            BodyKind::Binary => (Encoder::as_is(), Vec::new()),
            BodyKind::SevenBit | BodyKind::EightBit => (Encoder::counted(), Vec::new()),
        };
        let mut read = 0_u64;
        while let Some(piece) = next_piece(content).await? {
            read += piece.len() as u64;
            encoder.encode(&piece, &mut out);
            while let Some((chunk, rest)) = out.split_at_checked(CHUNK_BYTES) {
                self.write_chunk(chunk, "").await?;
                out = rest.to_vec();
                let reply = self.wire.reply(self.timeouts.content).await?;
                if classify(Stage::Content, &reply) != Verdict::Yes {
                    return Ok(Some(reply));
                }
                if !self.wire.is_clean() {
                    return Err(Cause::OutOfTurn);
                }
            }
        }
        if read != size {
            let short = io_error(format!("{read} bytes instead of {size}"));
            return Err(Cause::Content(short));
        }
        encoder.finish(&mut out);
        self.write_chunk(&out, " LAST").await?;
        Ok(None)
    }

    async fn write_chunk(&mut self, chunk: &[u8], last: &str) -> Result<(), Cause> {
        let command = format!("BDAT {}{last}\r\n", chunk.len());
        let mut blocks = chunk.chunks(BLOCK_BYTES);
        let first = [command.as_bytes(), blocks.next().unwrap_or_default()].concat();
        self.wire.send(&first, self.timeouts.block).await?;
        for block in blocks {
            self.wire.send(block, self.timeouts.block).await?;
        }
        Ok(())
    }

    /// A server that closes while we write has often said why.
    async fn last_words(&mut self, cause: Cause) -> Result<Reply, Failure> {
        let failed = Failure::at(Stage::Content);
        if !matches!(cause, Cause::Io(_)) {
            return Err(failed(cause));
        }
        match self.wire.reply(self.timeouts.quit).await {
            Ok(reply) if reply.code >= 400 => {
                self.spent = true;
                Ok(reply)
            }
            _ => Err(failed(cause)),
        }
    }
}

async fn next_piece(content: &mut dyn Pieces) -> Result<Option<Bytes>, Cause> {
    content.next().await.map_err(Cause::Content)
}

fn io_error(text: String) -> std::io::Error {
    std::io::Error::other(text)
}

impl Envelope {
    fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.mail.iter().chain(&self.recipients).chain(&self.data)
    }

    /// MAIL was refused, or the server is closing.
    fn is_over(&self) -> bool {
        let refused = |reply| classify(Stage::Mail, reply) != Verdict::Yes;
        self.mail.as_ref().is_some_and(refused) || self.replies().any(|reply| reply.code == 421)
    }

    fn has_recipients(&self) -> bool {
        let taken = |reply| classify(Stage::Rcpt, reply) == Verdict::Yes;
        !self.is_over() && self.recipients.iter().any(taken)
    }

    /// The server took a recipient, whatever it said of the rest.
    fn was_promised(&self) -> bool {
        self.recipients.iter().any(Reply::is_positive)
    }

    /// A 2yz to DATA: there is no telling what the server expects next.
    fn is_confused(&self) -> bool {
        self.data.as_ref().is_some_and(Reply::is_positive)
    }

    /// What became of the recipient at this place.
    fn fate(&self, at: usize, content: &Result<Option<Reply>, Failure>) -> Fate {
        let steps = [
            self.mail.as_ref().map(|reply| (Stage::Mail, reply)),
            self.recipients.get(at).map(|reply| (Stage::Rcpt, reply)),
            self.data.as_ref().map(|reply| (Stage::Data, reply)),
        ];
        let said_no = steps
            .into_iter()
            .flatten()
            .find_map(|(stage, reply)| Fate::refused(stage, reply));
        // A 421 anywhere is the answer to everything that was not answered.
        let closing = || self.replies().find(|reply| reply.code == 421);
        match (said_no, content) {
            (Some(fate), _) => fate,
            (None, Err(failure)) => Fate::Broken(failure.stage, failure.cause.to_string()),
            (None, Ok(Some(reply))) => {
                let fate = Fate::refused(Stage::Content, reply);
                fate.unwrap_or_else(|| Fate::Delivered(reply.clone()))
            }
            (None, Ok(None)) => match closing() {
                Some(reply) => Fate::Later(Stage::Data, reply.clone()),
                None => Fate::Broken(Stage::Data, "the transaction was not finished".to_owned()),
            },
        }
    }
}

impl Fate {
    fn refused(stage: Stage, reply: &Reply) -> Option<Self> {
        let verdict = classify(stage, reply);
        let reply = || reply.clone();
        match verdict {
            Verdict::Yes => None,
            Verdict::Later | Verdict::NextHost => Some(Self::Later(stage, reply())),
            Verdict::Never => Some(Self::Never(stage, reply())),
            Verdict::TooMany => Some(Self::TooMany(reply())),
        }
    }
}

/// RFC 2920 3.1: commands of one group, few enough that their replies fit into any window while we
/// write.
const GROUP: usize = 25;
/// So long is a chunk: it is in memory, and costs a round trip.
const CHUNK_BYTES: usize = 256 * 1024;
/// Content is written in blocks of about this size.
const BLOCK_BYTES: usize = 64 * 1024;
