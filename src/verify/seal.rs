//! ARC sets that we add to what is passed on (RFC 8617 5.1): what we found out, a signature over
//! the message as it goes on, and a seal over the chain.
//!
//! A set is made of a message that was judged, and only then: the chain that came decides what its
//! seal says. A chain that could not be checked now is left as it is, as is one that is given up
//! already, or full (ARC-01). RSA alone: RFC 8617 has the algorithms of RFC 6376.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    arc::{ArcResult, Chain, SETS_MAX},
    canon::{BodyHash, Canon, Wanted},
    header::Header,
    sign::{Signer, finished, signed_names, template},
};

/// A message that can be sealed.
#[derive(Clone)]
pub struct Sealable(Arc<Message>);

struct Message {
    header: Arc<Header>,
    /// The number of the new set.
    instance: u64,
    /// What is said of the chain before it.
    verdict: &'static str,
    /// The fields of that chain, as far as the seal covers them, in its order.
    covered: Vec<usize>,
    /// The value of Authentication-Results.
    results: String,
    body: Vec<u8>,
}

/// What has to be hashed of a body that may be sealed.
pub(super) const WANTED: Wanted = Wanted {
    canon: Canon::Relaxed,
    length: None,
};

impl fmt::Debug for Sealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealable({})", self.0.instance)
    }
}

impl Sealable {
    /// Of a message with this chain, these results and this body; none when its chain is not to be
    /// added to, or the body was not hashed for it.
    pub(super) fn of(
        (header, bodies): (&Arc<Header>, &[BodyHash]),
        (chain, result): (&Chain, ArcResult),
        field: &str,
    ) -> Option<Self> {
        let body = bodies.iter().find(|body| body.wanted == WANTED)?;
        let (instance, covered) = match (chain, result) {
            (_, ArcResult::None) => (1, Vec::new()),
            (chain, ArcResult::Pass) => (chain.newest(header).0, chain.places()),
            // RFC 8617 5.1.2: as if this set was the only one.
            (chain, ArcResult::Fail) => match chain.newest(header) {
                // RFC 8617 5.1 step 2.
                (_, true) => return None,
                (next, false) => (next, Vec::new()),
            },
            // Neither is known to be true.
            (_, ArcResult::TempError) => return None,
        };
        // RFC 8617 4.2.1.
        if instance > SETS_MAX as u64 {
            return None;
        }
        Some(Self(Arc::new(Message {
            header: Arc::clone(header),
            instance,
            verdict: result.name(),
            covered,
            results: field.split_once(": ")?.1.to_owned(),
            body: body.digest.clone(),
        })))
    }

    /// The three fields of the set, with their line endings. For a blocking thread.
    pub fn seal(&self, signer: &Signer, secs: i64) -> Option<String> {
        let Message {
            header,
            instance,
            verdict,
            covered,
            results,
            body,
        } = &*self.0;
        let results = format!("ARC-Authentication-Results: i={instance}; {results}");
        // RFC 8617 4.1.2: no Authentication-Results, no field of ARC, but signatures that came.
        let names = signed_names(header, &["dkim-signature"]);
        let mut text = Vec::new();
        header.chosen(&names, Canon::Relaxed, &mut text);
        let first = format!("ARC-Message-Signature: i={instance};");
        let body = BASE64_STANDARD.encode(body);
        let message = template(&first, signer, secs, (&names, &body));
        let message = finished(message, text, signer)?;
        let mut text = Vec::new();
        // RFC 8617 5.1.1.
        for place in covered {
            Canon::Relaxed.field(header.field(*place), &mut text);
        }
        Canon::Relaxed.field(results.as_bytes(), &mut text);
        Canon::Relaxed.field(message.as_bytes(), &mut text);
        let (domain, selector) = (&signer.domain, &signer.selector);
        let algorithm = signer.algorithm().name();
        let seal = format!(
            "ARC-Seal: i={instance}; a={algorithm}; cv={verdict};\r\n\td={domain}; s={selector}; \
             t={secs};\r\n\tb="
        );
        let seal = finished(seal, text, signer)?;
        Some(format!("{seal}{message}{results}"))
    }
}

#[cfg(test)]
mod tests;
