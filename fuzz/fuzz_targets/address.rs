//! Any text as an address and as a path: what is accepted prints to something that is accepted as
//! the same, and never holds a line break.
#![no_main]

use buzon::mail::{
    address::{Address, Domain},
    envelope::{ForwardPath, parse_forward_path, parse_reverse_path},
    mime::{Bounds, parse_addresses},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    parse_addresses(data, &Bounds::default());
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = Address::parse(text) {
        let printed = address.to_string();
        assert!(!printed.contains(['\r', '\n', '\0']));
        assert_eq!(Address::parse(&printed).as_ref(), Ok(&address));
        let path = format!("<{printed}>");
        assert_eq!(
            parse_forward_path(&path),
            Ok((ForwardPath::Address(address), ""))
        );
    }
    if let Ok(domain) = Domain::parse(text) {
        assert!(domain.as_str().is_ascii());
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
        assert_eq!(Domain::parse(&domain.to_unicode()), Ok(domain));
    }
    if let Ok((path, rest)) = parse_reverse_path(text) {
        assert!(text.trim_end_matches(' ').ends_with(rest));
        assert_eq!(parse_reverse_path(&path.to_string()), Ok((path, "")));
    }
});
