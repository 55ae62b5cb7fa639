//! The relay and what it knows of other domains, out of services and settings.

use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{StartError, services::Services, settings};
use crate::{
    config::Config,
    dns::Resolver,
    relay::{self, Https, Relay, sts, tlsrpt},
    route::{Postman, Reports},
    smtp::client::TlsClient,
    tls,
};

/// The relay; it does nothing until it is run.
pub(super) fn relay(
    services: &Services,
    resolver: &Arc<dyn Resolver>,
    config: &Config,
) -> Result<Relay, StartError> {
    let roots = tls::client::system_roots();
    let postman: Arc<dyn Postman> = Arc::new(Reports::new(services.router.clone()));
    let web = Arc::new(Https {
        resolver: Arc::clone(resolver),
        connector: Arc::new(relay::Tcp),
        tls: verifying(&roots)?,
        insecure_allow_private_targets: config.relay.insecure_private_targets,
    });
    let parts = relay::Parts {
        queue: services.queue.clone(),
        resolver: Arc::clone(resolver),
        connector: Arc::new(relay::Tcp),
        policies: config.relay.mta_sts.then(|| {
            let engine = Arc::clone(&services.engine);
            let fetch = Arc::clone(&web);
            sts::Policies::new(engine, Arc::clone(resolver), fetch, services.clock.clone())
        }),
        ledger: settings::tls_reports(config)?.map(|contact| {
            tlsrpt::Ledger::new(tlsrpt::Parts {
                engine: Arc::clone(&services.engine),
                resolver: Arc::clone(resolver),
                postman: Arc::clone(&postman),
                post: web,
                clock: services.clock.clone(),
                random: services.random.clone(),
                organization: config.server.hostname.clone(),
                contact,
            })
        }),
        postman,
        tls: TlsClient::new(roots)?,
        clock: services.clock.clone(),
        random: services.random.clone(),
    };
    Ok(Relay::new(parts, settings::relay(config)?))
}

fn verifying(roots: &RootCertStore) -> Result<Arc<ClientConfig>, StartError> {
    Ok(tls::client::verifying(roots.clone())?)
}
