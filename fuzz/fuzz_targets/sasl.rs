//! Any responses in any mechanism: the exchange ends, and credentials hold no NUL and no empty
//! name. A response ends at a byte 255; the first byte chooses the mechanism.
#![no_main]

use buzon::sasl::{Exchange, Mechanism, SaslStep};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, responses)) = data.split_first() else {
        return;
    };
    let mechanism = if choice & 1 == 0 {
        Mechanism::Plain
    } else {
        Mechanism::Login
    };
    let mut exchange = Exchange::start(mechanism);
    let mut over = false;
    for response in responses.split(|byte| *byte == 255) {
        match exchange.step(Some(response)) {
            SaslStep::Challenge(_) => assert!(!over),
            SaslStep::Malformed => over = true,
            SaslStep::Done(credentials) => {
                assert!(!over && !credentials.name.is_empty());
                assert!(!credentials.name.contains('\0'));
                assert!((1..=1024).contains(&credentials.password.expose().len()));
                over = true;
            }
        }
    }
});
