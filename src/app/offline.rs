//! What the command line does without being the server: a request to the running one or, when none
//! runs, the same request on the store opened here; verifying and rebuilding a store.

use std::{io, path::PathBuf};

use super::{owner, services::Services, settings};
use crate::{
    admin::{Answer, Request, socket},
    base::text::Causes,
    config::Config,
    mail::date::HeaderDate,
    store::embedded::{self, Embedded, OpenError},
};

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The runtime cannot be made.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// A server runs and does not answer as it should.
    #[error("the running server cannot be asked: {0}")]
    Socket(#[source] io::Error),
    /// The data directory is another user's, or open to others.
    #[error(transparent)]
    Owner(#[from] owner::NotOurs),
    /// The services cannot be opened.
    #[error(transparent)]
    Start(#[from] super::StartError),
    /// It can be asked of a running server only.
    #[error("no server runs here")]
    NotRunning,
    /// There is nothing that could be asked.
    #[error("no data in {} yet: `buzon serve` or `buzon domain add` makes it", .0.display())]
    NoData(PathBuf),
    /// The store cannot be opened.
    #[error("{}", Causes(.0))]
    Store(#[from] OpenError),
}

/// What was found in a store.
#[derive(Debug)]
pub struct Report {
    /// For the operator.
    pub text: String,
    /// Whether anything is damaged.
    pub damaged: bool,
}

/// Runs `request` in the running server, or here when none runs.
///
/// # Errors
/// When neither is possible.
pub fn ask(config: &Config, request: Request) -> Result<Answer, OfflineError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(OfflineError::Runtime)?;
    runtime.block_on(ask_or_open(config, &request))
}

async fn ask_or_open(config: &Config, request: &Request) -> Result<Answer, OfflineError> {
    let path = socket::path_in(&config.server.data);
    let asked = socket::ask(&path, request).await;
    if let Ok(Some(answer)) = asked {
        return Ok(answer);
    }
    // Who may not enter the directory cannot reach the socket either: say so, not "denied".
    owner::check(&config.server.data)?;
    asked.map_err(OfflineError::Socket)?;
    let data = &config.server.data;
    if !Embedded::exists(data)? && !matches!(request, Request::DomainAdd { .. }) {
        return Err(OfflineError::NoData(data.clone()));
    }
    let services = Services::open(config).await?;
    let answer = services.operations().execute(request.clone()).await;
    services.close().await;
    Ok(answer)
}

/// Runs `request` in the running server.
///
/// # Errors
/// When none runs, or it cannot be asked.
pub fn ask_running(config: &Config, request: &Request) -> Result<Answer, OfflineError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(OfflineError::Runtime)?;
    let asked = runtime.block_on(socket::ask(&socket::path_in(&config.server.data), request));
    // Who may not enter the directory cannot reach the socket either.
    owner::check(&config.server.data)?;
    asked
        .map_err(OfflineError::Socket)?
        .ok_or(OfflineError::NotRunning)
}

/// As [`ask`], about several things at once, on a store that exists already and only then. None
/// when it cannot be asked.
pub(super) async fn ask_existing<const N: usize>(
    config: &Config,
    requests: [Request; N],
) -> Option<[Answer; N]> {
    let data = &config.server.data;
    if !data.is_dir() {
        return None;
    }
    let path = socket::path_in(data);
    let mut answers = Vec::with_capacity(N);
    for request in &requests {
        answers.extend(socket::ask(&path, request).await.ok().flatten());
    }
    if answers.is_empty() && owner::check(data).is_ok() && Embedded::exists(data).ok()? {
        let services = Services::open(config).await.ok()?;
        for request in requests {
            answers.push(services.operations().execute(request).await);
        }
        services.close().await;
    }
    answers.try_into().ok()
}

/// Checks every checksum of a store that no server uses.
///
/// # Errors
/// When the store cannot be opened.
pub fn verify(config: &Config) -> Result<Report, OfflineError> {
    owner::check(&config.server.data)?;
    let found = Embedded::verify(&config.server.data).map_err(or_no_data)?;
    Ok(report(&found))
}

/// Makes the index of a store again from its journal.
///
/// # Errors
/// When the store cannot be opened.
pub fn rebuild(config: &Config) -> Result<Report, OfflineError> {
    owner::check(&config.server.data)?;
    let found = Embedded::rebuild(&config.server.data, &settings::store(config));
    Ok(report(&found.map_err(or_no_data)?))
}

fn or_no_data(error: OpenError) -> OfflineError {
    match error {
        OpenError::NoStore(data) => OfflineError::NoData(data),
        error => OfflineError::Store(error),
    }
}

fn report(found: &embedded::Report) -> Report {
    let mut text = format!("{} records read", found.records);
    if found.cut_bytes > 0 {
        text += &format!(
            ", {} bytes of an unfinished, unacknowledged end cut off",
            found.cut_bytes
        );
    }
    for damage in &found.damaged {
        text += &format!(
            "\n{}, byte {}: {}",
            damage.path.display(),
            damage.offset,
            damage.what
        );
    }
    Report {
        damaged: !found.damaged.is_empty(),
        text,
    }
}

/// A time for people.
pub fn date(secs: i64) -> String {
    HeaderDate(secs).to_string()
}
