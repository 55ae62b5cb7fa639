//! What this server says over HTTP: the MTA-STS policy of each domain whose mail it takes,
//! RFC 8461.
//!
//! HTTP itself (RFC 9110, RFC 9112) is hyper's; what is there stands in `site`, which waits for
//! nothing, and `server` serves one request over each connection. Nothing is changed by whoever
//! asks, nobody logs in, and no content is read. It imports `net` like the servers of mail, but is
//! no line protocol: it has no driver and no session.

mod server;
mod site;

pub use server::{Options, Server};
