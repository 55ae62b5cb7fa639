//! Base64 as SASL uses it: one line, padding required, nothing else tolerated (RFC 4648 4).

use base64::{Engine, engine::general_purpose::STANDARD};

/// Decodes one line; `None` when it is not canonical base64.
pub fn decode(line: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(line).ok()
}

/// Encodes without line breaks.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_base64_is_decoded() {
        assert_eq!(decode(b"AGFsaWNlAHB3"), Some(b"\0alice\0pw".to_vec()));
        for bad in [
            &b"AGFsaWNlAHB"[..],
            b"AG Fs",
            b"AGFs\n",
            b"AGF-",
            b"====",
            b"AB==",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        assert_eq!(encode(b"\0alice\0pw"), "AGFsaWNlAHB3");
    }
}
