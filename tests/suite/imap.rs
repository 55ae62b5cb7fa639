//! IMAP as a whole: its transcripts, and what cannot be said in one.

mod babble;
mod client;
mod faults;
mod model;
mod races;
mod search;
mod sections;

use buzon::net::{Peer, conn::Conn, drive::drive, listen::Opening};

use crate::support::player::{play_all, run};

#[test]
fn transcripts() {
    play_all("imap");
}

#[test]
fn lim_36_what_a_waiting_session_holds_is_small() {
    run(async {
        let (server, _) = client::server_with_alice().await;
        let (_ours, theirs) = tokio::io::duplex(64);
        let address = ([192, 0, 2, 10], 40_000).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: None,
        };
        let permit = server
            .gate
            .admit(peer.remote.ip(), tokio::time::Instant::now())
            .unwrap();
        let (protocol, service) = server.imap("imap").open(&peer, permit);
        let conn = Conn::new(Box::new(theirs), peer);
        let task = drive(conn, protocol, service, None, server.shutdown);
        // Of 8 KiB for an idle client; its buffers are empty while it waits.
        assert!(size_of_val(&task) <= 4096, "{}", size_of_val(&task));
    });
}
