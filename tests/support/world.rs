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
    /// Does what `given` says.
    pub(super) async fn given(&mut self, what: &str) -> Result<(), String> {
        let words: Vec<_> = what.split_whitespace().collect();
        match words.as_slice() {
            ["account", name, rest @ ..] => {
                let id = self.server.add_account(name).await;
                let plain = format!("\0{}\0secret-{name}", address_of(name));
                let variable = format!("plain_{}", name.replace(['@', '.'], "_"));
                self.variables
                    .insert(variable, base64::encode(plain.as_bytes()));
                self.fill(id, &rest.join(" ")).await
            }
            ["shared", "account", name, rest @ ..] => {
                let id = self.server.add_shared_account(name).await;
                self.fill(id, &rest.join(" ")).await
            }
            ["acl", owner, mailbox, who, rights] => self.share((owner, mailbox), who, rights).await,
            ["domain", name] => {
                let domain = name.parse().map_err(|_| "not a domain")?;
                self.server
                    .directory
                    .add_domain(&domain)
                    .await
                    .map_err(shown)
            }
            ["alias", from, "->", targets @ ..] => {
                let targets: Vec<_> = targets
                    .iter()
                    .map(|target| address_of(target.trim_end_matches(',')))
                    .collect();
                let (directory, from) = (&self.server.directory, address_of(from));
                directory.add_alias(&from, &targets).await.map_err(shown)
            }
            ["forward", name, "->", targets @ ..] => {
                let (id, keep) = (self.account(name)?, targets.last() == Some(&"keep"));
                let targets = targets.iter().filter(|target| **target != "keep");
                let to = targets.map(|target| address_of(target.trim_end_matches(',')));
                let to = to.collect();
                let forwarding = Forwarding { to, keep };
                let directory = &self.server.directory;
                let set = directory.set_forwarding(id, Some(&forwarding));
                set.await.map_err(shown)
            }
            ["quota", name, bytes] => {
                let id = self.account(name)?;
                let bytes = number(bytes)?;
                self.server
                    .directory
                    .set_quota(id, bytes)
                    .await
                    .map_err(shown)
            }
            ["client", address] => {
                self.server.client = address.parse().map_err(|_| "not an address")?;
                Ok(())
            }
            other => match self.given_of_settings(other) {
                Some(done) => done,
                None => self.given_of_senders(other).await,
            },
        }
    }

    /// The same, of what is set.
    fn given_of_settings(&mut self, words: &[&str]) -> Option<Result<(), String>> {
        let config = &mut self.server.config;
        let mut set = || -> Result<bool, String> {
            match words {
                ["limit", "message_bytes_max", value] => {
                    config.limits.message = Size(number(value)?);
                }
                ["limit", "recipients_max", value] => {
                    config.smtp.recipients = number(value)? as usize;
                }
                ["limit", "transactions_max", value] => {
                    config.smtp.transactions = number(value)? as u32;
                }
                ["imap", "comment", value] => {
                    config.imap.comment = (*value).to_owned();
                }
                ["imap", "admin", value] => {
                    config.imap.admin = (*value).to_owned();
                }
                ["imap", "message_limit", value] => {
                    config.imap.message_limit = number(value)? as u32;
                }
                ["plaintext", "auth"] => {
                    config.auth.insecure_without_tls = true;
                }
                ["any", "sender"] => {
                    config.smtp.insecure_any_sender = true;
                }
                ["proxies", network] => {
                    let network = network.parse().map_err(shown)?;
                    config.proxy.from.push(network);
                }
                ["xclient", "from", network] => {
                    let network = network.parse().map_err(shown)?;
                    config.smtp.xclient_from.push(network);
                }
                _ => return Ok(false),
            }
            Ok(true)
        };
        match set() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// The same, of who mail is from.
    async fn given_of_senders(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["verify", "tag"] => {
                self.server.config.verify.policy = VerifyPolicy::Tag;
                Ok(())
            }
            ["verify", "enforce"] => {
                self.server.config.verify.policy = VerifyPolicy::Enforce;
                Ok(())
            }
            ["sealer", domain] => {
                let sealers = &mut self.server.config.verify.trusted_sealers;
                sealers.push((*domain).to_owned());
                Ok(())
            }
            ["signed", domain] => self.sign(domain, Algorithm::Ed25519Sha256).await,
            ["sealed", domain] => self.sign(domain, Algorithm::RsaSha256).await,
            ["away", name, days, text @ ..] => {
                let (id, now) = (self.account(name)?, self.server.clock.wall());
                let absence = OutOfOffice {
                    set: now,
                    from: now,
                    until: now.plus(duration(days)?),
                    days: 7,
                    subject: "".into(),
                    text: text.join(" ").into(),
                };
                let directory = &self.server.directory;
                let set = directory.set_out_of_office(id, Some(&absence));
                set.await.map_err(shown)
            }
            ["dns", rest @ ..] => self.name_servers(rest),
            _ => self.given_of_addresses(words).await,
        }
    }

    /// The same, of what addresses stand for.
    async fn given_of_addresses(&mut self, words: &[&str]) -> Result<(), String> {
        let directory = &self.server.directory;
        match words {
            ["domain", "alias", name, "->", other] => {
                let name = name.parse().map_err(|_| "not a domain")?;
                let other = other.parse().map_err(|_| "not a domain")?;
                let made = directory.set_stands_for(&name, Some(&other)).await;
                made.map_err(shown)
            }
            ["group", address, "->", rest @ ..] => {
                let group = group(rest);
                let made = directory.add_group(&address_of(address), &group).await;
                made.map_err(shown)
            }
            ["grant", name, grant] => {
                let grant = grant.parse().map_err(shown)?;
                let given = directory.add_grant(self.account(name)?, &grant).await;
                given.map_err(shown)
            }
            ["expn", who] => {
                self.server.config.smtp.expn = match *who {
                    "users" => Expn::Users,
                    "anyone" => Expn::Anyone,
                    _ => return Err("users or anyone".to_owned()),
                };
                Ok(())
            }
            _ => Err("nothing like this can be given".to_owned()),
        }
    }

    /// Gives a domain a key. (RSA keys take seconds to make.)
    async fn sign(&self, domain: &str, algorithm: Algorithm) -> Result<(), String> {
        let private = SigningKey::generate(algorithm, &Random::system()).ok_or("no key")?;
        let public = SigningKey::read(algorithm, &private).ok_or("no key")?;
        let now = self.server.clock.wall();
        let key = DkimKey {
            selector: "k".to_owned(),
            algorithm,
            created: now,
            signs_from: now,
            private: Secret::new(private),
        };
        let name = format!("k._domainkey.{domain}");
        self.server.dns.add_text(&name, public.record().as_bytes());
        let domain = domain.parse().map_err(|_| "not a domain")?;
        let added = self.server.directory.add_keys(&domain, &[key]).await;
        added.map_err(shown)
    }

    /// What the name servers know.
    fn name_servers(&self, what: &[&str]) -> Result<(), String> {
        let dns = &self.server.dns;
        match what {
            ["TXT", name, text @ ..] => dns.add_text(name, text.join(" ").as_bytes()),
            ["A", name, address] => {
                dns.add_address(name, address.parse().map_err(|_| "not an address")?);
            }
            ["PTR", name, address] => {
                dns.add_name(address.parse().map_err(|_| "not an address")?, name);
            }
            ["keys"] => {
                let keys = corpus("signed/keys.txt")?;
                for line in String::from_utf8_lossy(&keys).lines() {
                    let (name, text) = line.split_once(' ').ok_or("NAME RECORD")?;
                    dns.add_text(name, text.as_bytes());
                }
            }
            ["fails", name] => {
                dns.set_texts_answer(name, Answer::Temporary("given".to_owned()));
            }
            ["takes", secs] => dns.set_delay(Duration::from_secs(number(secs)?)),
            _ => return Err("nothing like this can be known".to_owned()),
        }
        Ok(())
    }

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

/// `MEMBER, .. [owned OWNER, ..] [by anyone|members|owners|WHO, ..]`.
fn group(words: &[&str]) -> Group {
    let listed = |words: &[&str]| -> Vec<_> {
        let names = words.iter().map(|name| name.trim_end_matches(','));
        names.map(address_of).collect()
    };
    let (words, senders) = match words.iter().position(|word| *word == "by") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &["members"][..]),
    };
    let (members, owners) = match words.iter().position(|word| *word == "owned") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &[][..]),
    };
    Group {
        members: listed(members),
        owners: listed(owners),
        senders: match senders {
            ["anyone"] => Senders::Anyone,
            ["members"] => Senders::Members,
            ["owners"] => Senders::Owners,
            names => Senders::Listed(listed(names)),
        },
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
