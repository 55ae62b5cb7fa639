//! Bytes in a transfer encoding and a charset, turned into text for searching.
//!
//! RFC 2045 6 (encodings), charsets through mail-parser's tables. Everything is tolerant: what
//! cannot be decoded is kept as well as possible, because its only reader is SEARCH. Output is at
//! most four times the input.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use mail_parser::decoders::charsets::map::charset_decoder;

/// The text of `bytes` in the named charset. Without a name, or with one nobody knows, as UTF-8
/// if it is that, else as Latin text.
pub fn to_text(bytes: &[u8], charset: &[u8]) -> String {
    if charset.is_empty() || matches_utf8(charset) {
        return guess(bytes);
    }
    match charset_decoder(charset) {
        Some(decode) => decode(bytes),
        None => guess(bytes),
    }
}

/// UTF-8 when it is UTF-8; otherwise each byte as a Latin letter (windows-1252).
pub fn guess(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decode) => decode(bytes),
            None => String::from_utf8_lossy(bytes).into_owned(),
        },
    }
}

/// RFC 2045 6.8. Bytes outside the alphabet are ignored; padding may stand anywhere, since some
/// senders join encoded pieces.
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for piece in bytes.split(|b| *b == b'=') {
        let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let mut digits: Vec<u8> = piece.iter().copied().filter(in_alphabet).collect();
        // One digit alone carries six bits, less than a byte.
        digits.truncate(digits.len() - usize::from(digits.len() % 4 == 1));
        let _ = BASE64.decode_vec(&digits, &mut out);
    }
    out
}

/// RFC 2045 6.7. An equals sign that starts no pair of digits stays as it is.
pub fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let content = line.trim_ascii_end();
        match content.strip_suffix(b"=") {
            Some(soft) => hex_pairs(soft, b'=', &mut out),
            None => {
                hex_pairs(content, b'=', &mut out);
                if line.ends_with(b"\n") {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    out
}

/// Copies `bytes`, each `escape` and two hexadecimal digits as the byte they stand for.
pub(super) fn hex_pairs(bytes: &[u8], escape: u8, out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let pair = after.split_first_chunk::<2>().filter(|_| *first == escape);
        let decoded = pair.and_then(|([high, low], tail)| {
            Some((hex_digit(*high)? << 4 | hex_digit(*low)?, tail))
        });
        let (byte, tail) = decoded.unwrap_or((*first, after));
        out.push(byte);
        rest = tail;
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn matches_utf8(charset: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"utf-8", b"utf8", b"us-ascii", b"ascii"];
    names.iter().any(|name| charset.eq_ignore_ascii_case(name))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodings_are_decoded_tolerantly() {
        assert_eq!(base64(b"aGVs\r\nbG8="), b"hello");
        assert_eq!(base64(b"aGVsbG8=aGVsbG8="), b"hellohello");
        assert_eq!(base64(b"aGVs!bG8"), b"hello");
        assert_eq!(base64(b"a"), b"");
        assert_eq!(
            quoted_printable(b"a=3Db=\r\nc  \r\nd=4=\n=zz="),
            b"a=bc\r\nd=4=zz"
        );
        assert_eq!(quoted_printable(b"=C3=A9"), "\u{e9}".as_bytes());
    }

    #[test]
    fn charsets_are_decoded_or_guessed() {
        assert_eq!(to_text(b"\xe9", b"iso-8859-1"), "\u{e9}");
        assert_eq!(to_text(b"\xe9", b""), "\u{e9}");
        assert_eq!(to_text(b"\xe9", b"x-unheard-of"), "\u{e9}");
        assert_eq!(to_text(b"\xc3\xa9", b"us-ascii"), "\u{e9}");
        assert_eq!(to_text(b"\x83n", b"Shift_JIS"), "\u{30cf}");
    }

    proptest! {
        #[test]
        fn encoders_are_undone(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
            prop_assert_eq!(&base64(encoded.as_bytes()), &bytes);
            let hex: String = bytes.iter().map(|b| format!("={b:02X}")).collect();
            prop_assert_eq!(quoted_printable(hex.as_bytes()), bytes);
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for charset in ["", "utf-7", "utf-16", "iso-2022-jp", "gb18030", "big5", "koi8-r"] {
                prop_assert!(to_text(&bytes, charset.as_bytes()).len() <= 4 * bytes.len() + 4);
            }
            let _ = (base64(&bytes), quoted_printable(&bytes));
        }
    }
}
