//! Two ends to ask the same of: this server in memory, and whatever else speaks IMAP.

use super::super::client::{Answer, ImapClient, server_with_alice};
use crate::support::server::TestServer;

/// Somebody who answers commands.
pub(in crate::imap) trait Server {
    /// Sends a command without its tag and gives all that it is answered.
    fn ask(&mut self, command: &[u8]) -> Answer;

    /// Appends a message, whatever its header fields hold.
    fn append(&mut self, command: &[u8]) -> Answer {
        self.ask(command)
    }

    /// Whether a capability is announced.
    fn announces(&mut self, capability: &str) -> bool {
        let answer = self.ask(b"CAPABILITY").ok();
        let words = String::from_utf8_lossy(&answer.untagged[0]).to_uppercase();
        words.split(' ').any(|word| word == capability)
    }
}

/// This server, on an in-memory pipe under a paused clock.
pub(in crate::imap) struct Ours {
    client: ImapClient,
    /// Header fields in other than ASCII are taken only from who has said so (RFC 6855 4).
    appender: ImapClient,
    _server: TestServer,
    runtime: tokio::runtime::Runtime,
}

impl Ours {
    pub(in crate::imap) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (client, appender, server) = runtime.block_on(async {
            let (server, _) = server_with_alice().await;
            let client = ImapClient::log_in(&server, "alice").await;
            let mut appender = ImapClient::log_in(&server, "alice").await;
            appender.ask("ENABLE UTF8=ACCEPT").await.ok();
            (client, appender, server)
        });
        Self {
            client,
            appender,
            _server: server,
            runtime,
        }
    }
}

impl Server for Ours {
    fn ask(&mut self, command: &[u8]) -> Answer {
        self.runtime.block_on(self.client.ask_bytes(command))
    }

    fn append(&mut self, command: &[u8]) -> Answer {
        self.runtime.block_on(self.appender.ask_bytes(command))
    }
}
