//! Any bytes as the header of a proxy: nothing panics, a beginning is no header yet or fails as the
//! whole does, and no more is held than a header may have.
#![no_main]

use buzon::wire::proxy::{HEADER_BYTES_MAX, is_header, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    for cut in 0..bytes.len().min(2 * HEADER_BYTES_MAX) {
        match parse(&bytes[..cut]) {
            Ok(None) => {}
            decided => assert_eq!(decided, whole, "cut at {cut}"),
        }
    }
    match whole {
        Ok(None) => assert!(bytes.len() < HEADER_BYTES_MAX),
        Ok(Some((_, length))) => assert!(length <= bytes.len() && is_header(bytes)),
        Err(_) => {}
    }
});
