//! The servers of the ports over the services, and what they share: the gate, logins, maildrops.
//!
//! The one place where a protocol gets its services: the running server puts listeners before what
//! is made here, tests put pipes.

use std::sync::Arc;

use super::{
    StartError, own_policy,
    services::{Accounts, Passwords, Services},
    settings,
};
use crate::{
    config::{Config, Place},
    dns::Resolver,
    imap::server::ImapServer,
    net::{authn::Authn, gate::Gate, throttle::Throttle},
    pop3::{self, server::Maildrops},
    smtp::{
        self,
        server::{Headroom, Role, Server as SmtpServer, Services as SmtpServices},
    },
    verify::Verifier,
    web,
};

/// Makes the server of each port.
pub struct Servers {
    /// Who may connect.
    pub gate: Gate,
    /// Who may log in.
    pub authn: Authn,
    services: Services,
    resolver: Arc<dyn Resolver>,
    maildrops: Maildrops,
    headroom: Headroom,
}

impl Servers {
    /// Over these services, with the bounds of the configuration.
    pub fn new(services: Services, resolver: Arc<dyn Resolver>, config: &Config) -> Self {
        let gate = Gate::new(settings::gate(config));
        let passwords = Arc::new(Passwords(services.directory.clone()));
        let throttle = Throttle::new(settings::throttle(config));
        Self {
            authn: Authn::new(passwords, throttle, gate.clone()),
            gate,
            resolver,
            services,
            maildrops: Maildrops::default(),
            headroom: Headroom::default(),
        }
    }

    /// For `smtp`, `submission`, `submissions` and `lmtp` at `place`.
    ///
    /// # Errors
    /// When the configured name of the host is none.
    pub fn smtp(
        &self,
        config: &Config,
        name: &'static str,
        place: &Place,
    ) -> Result<SmtpServer, StartError> {
        let options = smtp::server::Options {
            // Nobody listens in between the two ends of a socket.
            starttls: matches!(place, Place::Tcp(_)),
            ..settings::smtp(config, name)?
        };
        let looks = match options.role {
            Role::Relay => true,
            Role::Submission => false,
            Role::Delivery => config.lmtp.verify,
        };
        let verified = settings::verify(config)?.filter(|_| looks);
        let (resolver, random) = (&self.resolver, &self.services.random);
        let services = SmtpServices {
            verifier: verified
                .map(|options| Verifier::new(options, Arc::clone(resolver), random.clone())),
            router: self.services.router.clone(),
            mailboxes: self.services.mailboxes.clone(),
            directory: self.services.directory.clone(),
            authn: self.authn.clone(),
            clock: self.services.clock.clone(),
            random: self.services.random.clone(),
            headroom: self.headroom.clone(),
        };
        Ok(SmtpServer::new(options, services))
    }

    /// For `http` and `https`.
    ///
    /// # Errors
    /// When the configured policy is none.
    pub fn web(&self, config: &Config, name: &'static str) -> Result<web::Server, StartError> {
        let policy = own_policy::text(config)?;
        let options = web::Options { name, policy };
        Ok(web::Server::new(options, self.services.directory.clone()))
    }

    /// For `imap` and `imaps`.
    pub fn imap(&self, config: &Config, name: &'static str) -> ImapServer {
        ImapServer::new(
            self.services.mailboxes.clone(),
            self.authn.clone(),
            Arc::new(Accounts(self.services.directory.clone())),
            self.services.fulltext.clone(),
            self.services.clock.clone(),
            settings::imap(config, name),
        )
    }

    /// For `pop3` and `pop3s`.
    pub fn pop3(&self, config: &Config, name: &'static str) -> pop3::server::Server {
        pop3::server::Server::new(
            name,
            settings::pop3(config),
            self.authn.clone(),
            self.services.mailboxes.clone(),
            self.maildrops.clone(),
        )
    }
}
