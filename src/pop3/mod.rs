//! POP3 (RFC 1939 with RFC 2449, 2595, 5034): the grammar, and our server's verbs.

pub mod proto;
pub mod server;
