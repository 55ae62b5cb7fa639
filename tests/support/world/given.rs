//! What a transcript says there is before the talk: `given ...`, as the list in [`super`] has
//! it.

use super::*;

impl Player {
    /// Does what `given` says.
    pub(crate) async fn given(&mut self, what: &str) -> Result<(), String> {
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
