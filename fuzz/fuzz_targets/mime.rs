//! Any message: its structure is the same however it is cut, its spans lie within it, its facts
//! fit and survive their stored form. The first byte says where the message is cut.
#![no_main]

use buzon::mail::{
    facts::{FACTS_BYTES_MAX, Facts},
    mime::{Bounds, Scanner},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, message)) = data.split_first() else {
        return;
    };
    let mut whole = Scanner::new(Bounds::default());
    whole.feed(message);
    let whole = whole.finish();
    let mut pieces = Scanner::new(Bounds::default());
    message
        .chunks(usize::from(*cut) + 1)
        .for_each(|piece| pieces.feed(piece));
    assert_eq!(pieces.finish(), whole);

    for (index, part) in whole.parts.iter().enumerate() {
        assert!(part.parent.is_none_or(|parent| parent < index));
        assert_eq!(part.header.end(), part.body.offset);
        assert!(part.body.end() <= whole.size);
    }
    let facts = Facts::from(&whole);
    let stored = facts.encode();
    assert!(stored.len() <= FACTS_BYTES_MAX);
    assert_eq!(Facts::decode(&stored), Ok(facts));
    if let Ok(facts) = Facts::decode(message) {
        assert_eq!(facts.encode(), message);
    }
});
