//! What a transcript may ask of the world: `given ...` before the talk, `@ ...` during it.
//!
//! ```text
//! given account alice [with INBOX: 3 x plain.eml, Sent: 1 x plain.eml]
//!                              alice@example.org with the password secret-alice;
//!                              binds $plain_alice (SASL PLAIN in base64)
//! given domain example.net
//! given alias info@example.org -> alice, bob@remote.example
//! given forward alice -> bob@remote.example [keep]
//! given domain alias example.com -> example.org
//! given group team@example.org -> alice, x@remote.example [owned bob] [by anyone]
//! given grant alice @example.net    what she may send with
//! given expn users|anyone      who is told whom an address stands for
//! given shared account team [with ...]    nobody's own
//! given acl alice INBOX bob lrs    what bob may do with it; nothing: ""
//! given quota alice 1000
//! given limit message_bytes_max|recipients_max|transactions_max N
//! given imap comment|admin X    what the operator says of the server
//! given imap message_limit N
//! given plaintext auth         passwords are taken without TLS
//! given any sender             accounts may send under any address
//! given proxies 192.0.2.0/24   whose connections begin with a PROXY header
//! given xclient from 192.0.2.10  who may say for whom it speaks
//! given client 192.0.2.99      where the next connections come from
//! given verify tag|enforce     who mail is from is asked
//! given sealer list.example    whose ARC seals are believed
//! given dns TXT _dmarc.b.example v=DMARC1; p=reject
//! given dns A|PTR NAME ADDRESS
//! given dns keys               those of corpus/signed
//! given dns fails NAME         its TXT records cannot be had now
//! given signed example.org     its mail is signed, and the keys are published
//! given sealed example.org     what it passes on is sealed: it has an RSA key
//! given away alice 30d TEXT    who writes to alice is answered for so long
//! given dns takes 40           seconds for every answer
//!
//! @ connect A submission       a port by its name in the configuration
//! @ tls A                      begin TLS, after the server's go-ahead
//! @ hangup A
//! @ closed A                   the server has closed, and said nothing more
//! @ quiet A                    nothing more was said
//! @ password alice             is another one now; `disabled alice` and `removed alice` likewise
//! @ acl alice INBOX bob lr
//! @ shutdown
//! @ advance 31m                s, m, h or d
//! @ relay 2h                   the queue's worker runs, in a world where nobody answers
//! @ index                      all mail comes into the index of texts
//! @ sweep                      two minutes of the mailboxes' upkeep
//! @ room low|enough            what the store says of its disk
//! @ commit fails full|conflict|crash    the store's next one
//! @ read fails                 the store's next one
//! @ deliver alice INBOX plain.eml
//! @ count alice INBOX 2
//! @ read alice INBOX 1         the message's lines are what connection `mail` says next
//! @ leaving                    the same with what MAIL will say for the sender
//! @ sent 1                     the queued message's lines are what connection `sent` says next
//! @ queue                      `sender recipient` lines are what connection `queue` says next
//! ```

mod given;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use buzon::{
    accounts::{DkimKey, Forwarding, Group, OutOfOffice, Senders},
    base::{ids::AccountId, pieces::Pieces as _, random::Random, secret::Secret},
    config::{
        raw::{Expn, VerifyPolicy},
        units::Size,
    },
    dns::Answer,
    mail::algorithm::Algorithm,
    mailbox::{AclChange, AclMode, AppendOptions, FlagSet, Identifier, Mailbox, Name, Rights},
    queue::{admin::Filter, record::MessageRecord},
    store::{Engine as _, Room, fault::CommitFault, key},
    verify::SigningKey,
    wire::base64,
};
use bytes::Bytes;

use super::{
    client::{Client, settle},
    player::Player,
    server::{Nowhere, address_of},
};

impl Player {
    /// Does what `@` says.
    #[expect(
        clippy::too_many_lines,
        reason = "one flat table of the steps of the language"
    )]
    pub(super) async fn act(&mut self, what: &str) -> Result<(), String> {
        let words: Vec<_> = what.split_whitespace().collect();
        match words.as_slice() {
            ["connect", port] => self.open("", port).await,
            ["connect", name, port] => self.open(name, port).await,
            ["tls", rest @ ..] => self.named(rest).await?.begin_tls().await,
            ["hangup", rest @ ..] => {
                self.named(rest).await?.hang_up().await;
                Ok(())
            }
            ["closed", rest @ ..] => {
                let closed = self.named(rest).await?.is_closed().await;
                closed
                    .then_some(())
                    .ok_or_else(|| "the connection is open, or more was said".to_owned())
            }
            ["quiet", rest @ ..] => {
                let quiet = self.named(rest).await?.is_quiet().await;
                quiet
                    .then_some(())
                    .ok_or_else(|| "something was said".to_owned())
            }
            ["acl", owner, mailbox, who, rights] => {
                self.share((owner, mailbox), who, rights).await?;
                settle().await;
                Ok(())
            }
            [what @ ("password" | "disabled" | "removed"), name] => {
                let (directory, id) = (&self.server.directory, self.account(name)?);
                match *what {
                    "password" => {
                        let password = Secret::new("another secret".to_owned());
                        directory.set_password(id, &password).await
                    }
                    "disabled" => directory.set_disabled(id, true).await,
                    _ => directory.remove_account(id).await,
                }
                .map_err(shown)?;
                settle().await;
                Ok(())
            }
            ["shutdown"] => {
                self.server.trigger.pull();
                settle().await;
                Ok(())
            }
            ["advance", span] => {
                settle().await;
                tokio::time::advance(duration(span)?).await;
                settle().await;
                Ok(())
            }
            ["sweep"] => {
                let stop = tokio::time::sleep(Duration::from_secs(120));
                self.server.mailboxes.maintain(stop).await;
                Ok(())
            }
            ["index"] => {
                self.server.index().await;
                Ok(())
            }
            ["room", room] => {
                let room = (*room == "low").then_some(Room::Low);
                self.server.engine.set_room(room);
                Ok(())
            }
            ["commit", "fails", how] => {
                let fault = match *how {
                    "full" => CommitFault::Full,
                    "conflict" => CommitFault::Conflict,
                    "crash" => CommitFault::CrashBefore,
                    _ => return Err("full, conflict or crash".to_owned()),
                };
                self.server.engine.fail_commit(1, fault);
                Ok(())
            }
            ["read", "fails"] => {
                self.server.engine.fail_read(1);
                Ok(())
            }
            ["deliver", name, mailbox, file] => {
                let id = self.account(name)?;
                self.append(id, mailbox, file).await
            }
            ["count", name, mailbox, count] => {
                let found = self.mailbox(name, mailbox).await?.read(|index| index.len());
                let wanted = number(count)? as usize;
                (found == wanted)
                    .then_some(())
                    .ok_or_else(|| format!("there are {found}"))
            }
            ["read", name, mailbox, position] => {
                let text = self
                    .message(name, mailbox, number(position)? as usize)
                    .await?;
                self.clients.insert("mail".to_owned(), Client::told(text));
                Ok(())
            }
            ["relay", span] => {
                let relay = self.server.relay(Arc::new(Nowhere));
                let over = tokio::time::sleep(duration(span)?);
                relay.run(over).await;
                Ok(())
            }
            ["leaving"] => {
                let mut text = String::new();
                for (record, recipients) in self.queued().await? {
                    for address in recipients {
                        text += &format!("{} {address}\r\n", record.reverse_path());
                    }
                }
                let told = Client::told(text.into_bytes());
                self.clients.insert("leaving".to_owned(), told);
                Ok(())
            }
            ["sent", position] => {
                let mut queued = self.queued().await?.into_iter();
                let at = (number(position)? as usize).saturating_sub(1);
                let (record, _) = queued.nth(at).ok_or("there are fewer")?;
                let (mut body, mut text) = (self.server.queue.body(&record), Vec::new());
                while let Some(piece) = body.next().await.map_err(shown)? {
                    text.extend_from_slice(&piece);
                }
                self.clients.insert("sent".to_owned(), Client::told(text));
                Ok(())
            }
            ["queue"] => {
                let text = self.queue().await?;
                self.clients.insert("queue".to_owned(), Client::told(text));
                Ok(())
            }
            _ => Err("the world cannot do this".to_owned()),
        }
    }

    async fn named(&mut self, name: &[&str]) -> Result<&mut Client, String> {
        let name = name.first().copied().unwrap_or_default();
        self.client(name).await
    }

    pub(super) fn account(&self, name: &str) -> Result<AccountId, String> {
        let id = self.server.accounts.get(name).copied();
        id.ok_or_else(|| format!("there is no account {name}"))
    }

    /// Gives `who` (an account or `anyone`) exactly these rights.
    async fn share(
        &self,
        (owner, mailbox): (&str, &str),
        who: &str,
        rights: &str,
    ) -> Result<(), String> {
        let opened = self.mailbox(owner, mailbox).await?;
        let change = AclChange {
            who: match who {
                "anyone" => Identifier::Anyone,
                name => Identifier::Account(self.account(name)?),
            },
            negative: false,
            mode: AclMode::Replace,
            rights: Rights::parse(rights.trim_matches('"')).map_err(shown)?,
        };
        let mailboxes = &self.server.mailboxes;
        let changed = mailboxes.change_acl(opened.account(), opened.id(), &change);
        changed.await.map_err(shown)
    }

    /// `with INBOX: 3 x plain.eml, Sent: 1 x plain.eml`; mailboxes that are not there are made.
    async fn fill(&self, id: AccountId, with: &str) -> Result<(), String> {
        let Some(list) = with.strip_prefix("with ") else {
            return if with.is_empty() {
                Ok(())
            } else {
                Err("with what?".to_owned())
            };
        };
        for part in list.split(',') {
            let (mailbox, what) = part.trim().split_once(':').ok_or("MAILBOX: N x FILE")?;
            let (count, file) = what.trim().split_once(" x ").ok_or("MAILBOX: N x FILE")?;
            let (mailboxes, name) = (&self.server.mailboxes, Name::parse(mailbox).map_err(shown)?);
            if mailboxes.find(id, &name).await.map_err(shown)?.is_none() {
                mailboxes.create(id, &name, None).await.map_err(shown)?;
            }
            for _ in 0..number(count)? {
                self.append(id, mailbox, file.trim()).await?;
            }
        }
        Ok(())
    }

    async fn append(&self, id: AccountId, mailbox: &str, file: &str) -> Result<(), String> {
        let mailboxes = &self.server.mailboxes;
        let name = Name::parse(mailbox).map_err(shown)?;
        let entry = mailboxes
            .find(id, &name)
            .await
            .map_err(shown)?
            .ok_or("no such mailbox")?;
        let mut intake = mailboxes.intake();
        intake.feed(corpus(file)?).await.map_err(shown)?;
        let arrived = intake.finish().await.map_err(shown)?;
        let options = AppendOptions {
            flags: FlagSet::default(),
            internal_date: self.server.clock.wall(),
            quota_bytes: None,
        };
        let appended = mailboxes.append(id, entry.id, arrived, options).await;
        appended.map(|_| ()).map_err(shown)
    }

    async fn mailbox(&self, name: &str, mailbox: &str) -> Result<Mailbox, String> {
        let id = self.account(name)?;
        let mailboxes = &self.server.mailboxes;
        let wanted = Name::parse(mailbox).map_err(shown)?;
        let entry = mailboxes
            .find(id, &wanted)
            .await
            .map_err(shown)?
            .ok_or("no such mailbox")?;
        mailboxes.open(id, entry.id).await.map_err(shown)
    }

    /// The bytes of a message, by its position from 1.
    pub(crate) async fn message(
        &self,
        name: &str,
        mailbox: &str,
        position: usize,
    ) -> Result<Vec<u8>, String> {
        let opened = self.mailbox(name, mailbox).await?;
        let found = opened.read(|index| {
            let entry = index.entry(position.checked_sub(1)?)?;
            Some((entry.email, entry.size))
        });
        let (email, size) = found.ok_or("there is no such message")?;
        let emails = self
            .server
            .mailboxes
            .emails(opened.account(), &[email])
            .await;
        let email = emails
            .map_err(shown)?
            .into_iter()
            .flatten()
            .next()
            .ok_or("no such email")?;
        let mut pieces = self.server.mailboxes.body(email.blob, 0..size);
        let mut text = Vec::new();
        while let Some(piece) = pieces.next().await.map_err(shown)? {
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    /// The messages of the queue, and to whom they go.
    async fn queued(&self) -> Result<Vec<(MessageRecord, Vec<String>)>, String> {
        let listed = self.server.queue.list(&Filter::default(), None, 1000).await;
        let mut found = Vec::new();
        for message in listed.map_err(shown)?.messages {
            let id = message.id.parse().map_err(|_| "not an id")?;
            let stored = self.server.engine.get(&key::queue_message(id)).await;
            let stored = stored.map_err(shown)?.ok_or("it is gone")?;
            let record = MessageRecord::decode(&stored).map_err(shown)?;
            let recipients = message.recipients.into_iter();
            let recipients = recipients.filter_map(|recipient| recipient.address);
            found.push((record, recipients.collect()));
        }
        Ok(found)
    }

    async fn queue(&self) -> Result<Vec<u8>, String> {
        let listed = self.server.queue.list(&Filter::default(), None, 1000).await;
        let mut text = String::new();
        for message in listed.map_err(shown)?.messages {
            for recipient in message.recipients {
                let sender = message.sender.clone().unwrap_or_default();
                let address = recipient.address.unwrap_or_default();
                text += &format!("{sender} {address}\r\n");
            }
        }
        Ok(text.into_bytes())
    }
}

/// A file of the corpus, with CRLF line ends.
pub(crate) fn corpus(file: &str) -> Result<Bytes, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.replace("\r\n", "\n").replace('\n', "\r\n").into())
}

fn duration(span: &str) -> Result<Duration, String> {
    let (count, unit) = span.split_at(span.len().saturating_sub(1));
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a span is 10s, 5m, 2h or 1d".to_owned()),
    };
    Ok(Duration::from_secs(number(count)? * secs))
}

fn number(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text} is no number"))
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}
