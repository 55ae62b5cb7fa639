//! Modified UTF-7, how mailbox names travel (RFC 3501 5.1.3).
//!
//! There is one spelling for each name: what does not encode again to the same bytes is refused,
//! so two spellings can never mean one mailbox, nor one spelling two.

use crate::wire::Output;

/// The name behind these bytes; `None` when they are not its one spelling.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.contains('&') {
        return text.bytes().all(is_direct).then(|| text.to_owned());
    }
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((direct, shifted)) = rest.split_once('&') {
        let (base64, behind) = shifted.split_once('-')?;
        name.push_str(direct);
        if base64.is_empty() {
            name.push('&');
        } else {
            decode_shifted(base64, &mut name)?;
        }
        rest = behind;
    }
    name.push_str(rest);
    let mut again = Output::new();
    encode(&name, &mut again);
    (again.as_bytes() == bytes).then_some(name)
}

/// Appends the one spelling of `name`: printable ASCII only.
pub fn encode(name: &str, out: &mut Output) {
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        if first == '&' {
            out.bytes(b"&-");
            rest = rest.strip_prefix('&').unwrap_or_default();
            continue;
        }
        let direct = u8::try_from(first).is_ok_and(is_direct);
        let same_kind = |c: char| match u8::try_from(c) {
            Ok(b'&') => false,
            Ok(byte) => is_direct(byte) == direct,
            Err(_) => !direct,
        };
        let end = rest.find(|c: char| !same_kind(c)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        if direct {
            out.text(run);
        } else {
            encode_shifted(run, out);
        }
        rest = behind;
    }
}

/// Bytes that stand for themselves, `&` included.
fn is_direct(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte)
}

fn decode_shifted(base64: &str, name: &mut String) -> Option<()> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut units = Vec::with_capacity(base64.len() * 3 / 8);
    for byte in base64.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from(bits >> held & 0xffff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    for c in char::decode_utf16(units) {
        name.push(c.ok()?);
    }
    Some(())
}

fn encode_shifted(run: &str, out: &mut Output) {
    out.bytes(b"&");
    let (mut bits, mut held) = (0_u32, 0_u32);
    for unit in run.encode_utf16() {
        bits = bits << 16 | u32::from(unit);
        held += 16;
        while held >= 6 {
            held -= 6;
            out.bytes(&[base64_digit(bits >> held)]);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        out.bytes(&[base64_digit(bits << (6 - held))]);
    }
    out.bytes(b"-");
}

fn base64_digit(bits: u32) -> u8 {
    usize::try_from(bits & 63)
        .ok()
        .and_then(|digit| ALPHABET.get(digit))
        .copied()
        .unwrap_or(b'A')
}

/// Base64 with a comma in place of the slash, which may be a delimiter.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(name: &str) -> Vec<u8> {
        let mut out = Output::new();
        encode(name, &mut out);
        out.as_bytes().to_vec()
    }

    #[test]
    fn names_have_one_spelling() {
        for (name, bytes) in [
            ("INBOX", &b"INBOX"[..]),
            ("", b""),
            ("A & B", b"A &- B"),
            ("&&", b"&-&-"),
            ("Entw\u{fc}rfe", b"Entw&APw-rfe"),
            (
                "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}",
                b"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
            ),
            ("\u{1f4e7}", b"&2D3c5w-"),
            ("\u{fc}&\u{fc}", b"&APw-&-&APw-"),
            ("a\tb", b"a&AAk-b"),
        ] {
            assert_eq!(encoded(name), bytes, "{name}");
            assert_eq!(decode(bytes).as_deref(), Some(name), "{name}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            &b"&"[..],
            b"a&b",
            b"&Jjo!",
            b"&U,BTFw-&ZeVnLIqe-",
            b"&AGE-",
            b"&APx-",
            b"&AP-",
            b"&A-",
            b"&APw",
            b"&APw=-",
            b"&2D0-",
            b"&3Oc-",
            b"&AP/-",
            b"&ACY-",
            b"\xc3\xbc",
            b"a\tb",
            b"a\0",
            b"\xff",
        ] {
            assert_eq!(decode(bad), None, "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(name in "[a-z&/ \u{fc}\u{65e5}\u{1f4e7}\u{1}]{0,20}") {
            let bytes = encoded(&name);
            prop_assert!(bytes.iter().all(|byte| is_direct(*byte)));
            prop_assert_eq!(decode(&bytes), Some(name));
        }

        #[test]
        fn whatever_decodes_is_the_one_spelling(bytes in "[A-Za-d&,+0-4-]{0,16}") {
            if let Some(name) = decode(bytes.as_bytes()) {
                prop_assert_eq!(encoded(&name), bytes.as_bytes());
            }
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = decode(&bytes);
        }
    }
}
