//! The server side: one configuration per protocol.

use std::sync::Arc;

use tokio_rustls::rustls::{self, ServerConfig};

use super::certificate::{Certificate, provider};

/// A configuration that answers with `certificate` and speaks `alpn` (for example `imap`). A client
/// that offers only other protocols is refused with alert 120; one that offers none is served
/// (TLS-03, RFC 7301 3.2).
///
/// # Errors
/// When the crypto provider lacks TLS 1.2 and 1.3, which does not happen with the one we build
/// with.
pub fn config(
    certificate: Arc<Certificate>,
    alpn: &str,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    // TLS-06: each protocol has tickets of its own; the ticketer rotates its keys by itself.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
