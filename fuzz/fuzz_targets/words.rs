//! Any bytes as an encoded body and as a text of some charset: decoding does not panic, what it
//! gives is bounded by what it was given, and what is encoded decodes to itself. The first byte
//! chooses charset and encoding.
#![no_main]

use buzon::mail::{
    body_text::{self, TransferEncoding},
    charset, words,
};
use libfuzzer_sys::fuzz_target;

const CHARSETS: [&[u8]; 12] = [
    b"utf-8",
    b"us-ascii",
    b"iso-8859-1",
    b"iso-8859-15",
    b"windows-1252",
    b"koi8-r",
    b"iso-2022-jp",
    b"shift_jis",
    b"gb18030",
    b"big5",
    b"utf-16",
    b"utf-7",
];
const ENCODINGS: [&[u8]; 3] = [b"base64", b"quoted-printable", b"8bit"];

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let charset = CHARSETS[choice % CHARSETS.len()];
    let encoding = TransferEncoding::of_name(ENCODINGS[choice / CHARSETS.len() % 3]);
    let text = body_text::decode(data, encoding, charset);
    // No charset here makes more than two characters of a byte.
    assert!(text.len() <= data.len() * 8 + 8);
    let folded = body_text::fold(&text);
    assert!(body_text::contains_folded(&folded, ""));
    assert!(charset::base64(data).len() <= data.len());
    // A bare line feed becomes two bytes.
    assert!(charset::quoted_printable(data).len() <= 2 * data.len());
    charset::to_text(data, data);
    words::decode(data);
    if let Ok(text) = std::str::from_utf8(data)
        && !text.contains(char::is_control)
    {
        let encoded = words::encode(text);
        assert!(encoded.is_ascii());
        assert!(!encoded.contains(char::is_control));
        // A field's value does not begin or end with white space.
        assert_eq!(words::decode(encoded.as_bytes()).trim(), text.trim());
    }
});
