//! The little of DER (X.690) that keys need. Pure; nothing is indexed by what it says of itself.

/// The content of the element at the front of `der`, and what is behind it.
pub(super) fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ ..=0x7f => (usize::from(*short), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let number = length.iter().fold(0_usize, |number, byte| {
                number.saturating_mul(256).saturating_add((*byte).into())
            });
            (number, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// An element.
pub(super) fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = without_zeros(&content.len().to_be_bytes()).to_vec();
    let mut out = vec![tag];
    match content.len() {
        0..=0x7f => out.push(u8::try_from(content.len()).unwrap_or(0)),
        // A length has eight bytes at most.
        _ => {
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            out.extend_from_slice(&length);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A sequence of elements.
pub(super) fn sequence(elements: &[u8]) -> Vec<u8> {
    wrapped(SEQUENCE, elements)
}

/// A number that is not negative, given with its highest byte first.
pub(super) fn number(bytes: &[u8]) -> Vec<u8> {
    let bytes = without_zeros(bytes);
    match bytes.first() {
        Some(..=0x7f) => wrapped(INTEGER, bytes),
        _ => wrapped(INTEGER, &[&[0], bytes].concat()),
    }
}

/// The bytes without the zeros at their front.
pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const NULL: u8 = 0x05;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const INTEGER: u8 = 0x02;
/// 1.2.840.113549.1.1.1
pub(super) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let written = [wrapped(BIT_STRING, &content), vec![1, 2]].concat();
            let read = element(&written, BIT_STRING);
            assert_eq!(read, Some((&content[..], &[1, 2][..])), "{length}");
            assert_eq!(element(&written, INTEGER), None);
        }
        assert_eq!(number(&[0, 0, 0x80]), [INTEGER, 2, 0, 0x80]);
        assert_eq!(number(&[0, 1]), [INTEGER, 1, 1]);
        assert_eq!(number(&[0]), [INTEGER, 1, 0]);
        assert_eq!(
            element(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], SEQUENCE),
            None
        );
        assert_eq!(element(&[SEQUENCE, 0x85, 0, 0, 0, 0, 1, 0], SEQUENCE), None);
    }
}
