//! The composition root: configuration -> services -> listeners -> relay. Knows everything, decides
//! nothing.

pub mod check;
pub mod demo;
mod named;
pub mod offline;
mod outbound;
mod own_policy;
pub mod owner;
mod pacing;
pub mod ports;
pub mod published;
mod reach;
pub mod records;
pub mod run;
pub mod servers;
pub mod services;
mod settings;
pub mod socket_file;
pub mod stories;

use std::{io, path::Path, time::Duration};

pub use run::serve;
pub use settings::{connections_max, door};

use crate::{
    accounts,
    base::text::Causes,
    config::{self, Config, ConfigError, Misfit, raw::LogFormat},
    observe,
    store::embedded,
    tls::certificate::CertificateError,
};

/// Why the server cannot start: for the operator, with what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory is another user's, or open to others.
    #[error(transparent)]
    Owner(#[from] owner::NotOurs),
    /// The store.
    #[error("{}", Causes(.0))]
    Store(#[from] embedded::OpenError),
    /// The accounts.
    #[error("{}", Causes(.0))]
    Accounts(#[from] accounts::OpenError),
    /// The certificate.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    /// A port.
    #[error("{0}")]
    Port(#[from] ports::PortError),
    /// TLS itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The local socket.
    #[error("{path}: {cause}", path = .0.display(), cause = .1)]
    Socket(std::path::PathBuf, io::Error),
    /// Name servers.
    #[error("the name servers cannot be used: {0}")]
    Dns(String),
    /// A value of the configuration.
    #[error(transparent)]
    Value(#[from] Misfit),
    /// An account of the demo.
    #[error("{0}: {1}")]
    Account(String, String),
    /// The system.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
}

/// Reads the configuration and finds out whether every service can work with its values.
///
/// # Errors
/// With file, line and what would be right.
pub fn config_of(path: &Path, set: &[String]) -> Result<Config, ConfigError> {
    config::load(path, set, &settings::fit)
}

/// Sends the log where the configuration says, filtered by `RUST_LOG` when that is set, and keeps
/// the stories of messages, until what is returned is let go.
///
/// # Errors
/// When the filter is not one.
pub fn log_as_configured(config: &Config) -> Result<observe::Streams, observe::NotAFilter> {
    let format = match config.log.format {
        LogFormat::Text => observe::Format::Text,
        LogFormat::Json => observe::Format::Json,
    };
    let filter = config::environment("RUST_LOG").unwrap_or_else(|| config.log.filter.clone());
    observe::init(&filter, format, stories::kept(config))
}

/// Makes the runtime and runs the server in it to its end. A demo says hello on standard output
/// once its ports answer.
///
/// # Errors
/// When the server cannot start or its store failed.
pub fn run_to_the_end(config: Config, demo: Option<&demo::Demo>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("the runtime cannot be made", error))?;
    let ended = runtime.block_on(serve(config, demo));
    // Whatever did not end in time is cut off here.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
