//! TLS of the sending side: RFC 3207, 7672 section 2.1 (why opportunistic means unverified), 8314.
//!
//! Two configurations over one crypto provider: one that verifies the host's certificate, for hosts
//! that an operator or a policy of the domain named, and one that takes any certificate, for hosts
//! that only an unsigned MX record named: there a failed verification would leave plain text as the
//! alternative. For hosts with TLSA records the caller brings a third. Handshake signatures are
//! checked in all.

use std::{io, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, pki_types::ServerName,
    },
};

use crate::{net::Transport, tls::client};

/// A connection with TLS, and what a login may be bound to (RFC 9266 2).
pub(super) type Secured = (Box<dyn Transport>, Option<[u8; 32]>);

/// Makes TLS connections to mail servers. Cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    verified: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
}

/// Whether the host must prove its name.
#[derive(Clone, Copy)]
pub(super) enum Trust<'a> {
    /// By a certificate for its name, from one of our roots.
    Verified,
    /// By what this configuration believes.
    By(&'a Arc<ClientConfig>),
    /// Any certificate will do: this only defeats listeners.
    Unverified,
}

impl TlsClient {
    /// Verified connections trust `roots`.
    pub fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        Ok(Self {
            verified: client::verifying(roots)?,
            unverified: client::opportunistic()?,
        })
    }

    /// Shakes hands with `host` over `stream`.
    pub(super) async fn connect(
        &self,
        host: &str,
        trust: Trust<'_>,
        stream: Box<dyn Transport>,
    ) -> io::Result<Secured> {
        let config = match trust {
            Trust::Verified => &self.verified,
            Trust::By(config) => config,
            Trust::Unverified => &self.unverified,
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await?;
        let binding = binding(stream.get_ref().1);
        Ok((Box::new(stream), binding))
    }
}

/// RFC 9266 2. Only of TLS 1.3: with an older version it takes an extended master secret (4.2), and
/// whether there is one cannot be asked.
fn binding(connection: &ClientConnection) -> Option<[u8; 32]> {
    let version = connection.protocol_version();
    if version != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let label = b"EXPORTER-Channel-Binding";
    let exported = connection.export_keying_material([0; 32], label, Some(&[]));
    exported.ok()
}
