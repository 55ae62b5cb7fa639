//! Any bytes as a header block and as the values in it: fields join to the block, decoding and
//! dates do not panic, and what is written from them stays one field.
#![no_main]

use buzon::mail::{
    date,
    header::{self, FieldText, Fields, Select},
    words,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut end = 0;
    for field in Fields::new(data) {
        assert_eq!(field.span.start, end);
        end = field.span.end;
        words::decode(field.value);
        date::parse_header_date(field.value);
    }
    assert!((end..=end + 2).contains(&header::header_length(data)));
    let all = header::select_fields::<&str>(data, &[], Select::Except);
    // A blank line may gain its CR.
    assert!(all.len() <= data.len() + 1);
    date::parse_internal_date(data);
    date::parse_imap_date(data);
    let written = header::field("Subject", &FieldText::sanitised(data));
    assert!(Fields::new(&written).count() <= 1);
});
