//! TLS: server configurations per protocol, certificates and their reload, client configurations.
//!
//! TLS-01: versions 1.3 and 1.2 with AEAD suites only, which is all that rustls has. TLS-03: each
//! protocol has its ALPN id, a mismatch aborts. TLS-06: tickets of one protocol mean nothing to
//! another.

pub mod certificate;
pub mod client;
pub mod dane;
pub mod server;
