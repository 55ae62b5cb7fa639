//! Fetching a policy: `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, RFC 8461 3.3.

use super::super::https::{FetchError, Https};
use crate::base::future::BoxFuture;

/// Fetches the text of a domain's policy. Tests have one that knows it.
pub trait Fetch: Send + Sync + 'static {
    /// The text, whatever it is.
    fn fetch<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>>;
}

impl Fetch for Https {
    fn fetch<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        Box::pin(async move {
            let host = format!("mta-sts.{domain}");
            self.text(&host, "/.well-known/mta-sts.txt").await
        })
    }
}
