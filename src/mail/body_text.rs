//! The text of one body part, and substring search in it, for SEARCH BODY and TEXT.
//!
//! RFC 3501 6.4.4: matching disregards case; RFC 2045 6: transfer encodings. Input is bounded, so
//! a caller may hand over parts of any size. Folding is per character, so a
//! search costs linear time whatever needle and text are.

use std::borrow::Cow;

use unicode_normalization::char::decompose_compatible;

use super::charset;

/// RFC 2045 6.1, as far as it matters for reading text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit or binary: the bytes are the content.
    #[default]
    Identity,
    /// One that nobody here can undo; SEARCH looks at the bytes as they are.
    Unknown,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
}

impl TransferEncoding {
    /// From the value of Content-Transfer-Encoding; case does not matter.
    pub fn of_name(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            b"7bit" | b"8bit" | b"binary" | b"" => Self::Identity,
            _ => Self::Unknown,
        }
    }
}

/// The text of a part, from its first [`TEXT_BYTES_MAX`] raw bytes.
pub fn decode(raw: &[u8], encoding: TransferEncoding, charset: &[u8]) -> String {
    let raw = raw.get(..TEXT_BYTES_MAX).unwrap_or(raw);
    let bytes = match encoding {
        TransferEncoding::Identity | TransferEncoding::Unknown => Cow::Borrowed(raw),
        TransferEncoding::QuotedPrintable => Cow::Owned(charset::quoted_printable(raw)),
        TransferEncoding::Base64 => Cow::Owned(charset::base64(raw)),
    };
    charset::to_text(&bytes, charset)
}

/// The form in which texts are compared, as i;unicode-casemap has it (RFC 5051 2): every character
/// in title case, then decomposed.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    fold_start(text, usize::MAX)
}

/// How [`fold`] of a text begins: `enough` bytes and what is left of a character, or all of it.
pub fn fold_start(text: &str, enough: usize) -> String {
    let mut folded = String::with_capacity(text.len().min(enough));
    for c in text.chars() {
        if folded.len() >= enough {
            break;
        }
        match c.is_ascii() {
            true => folded.push(c.to_ascii_uppercase()),
            false => decompose_compatible(title_case(c), |c| folded.push(c)),
        }
    }
    folded
}

/// The simple title case of the Unicode Character Database: one character for one.
fn title_case(c: char) -> char {
    match c {
        // Digraphs have a title case of their own.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian has capitals, but no title case.
        '\u{10d0}'..='\u{10ff}' => c,
        // Greek with iota below, whose upper case is two characters.
        '\u{1f80}'..='\u{1faf}' => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        '\u{1fb3}' => '\u{1fbc}',
        '\u{1fc3}' => '\u{1fcc}',
        '\u{1ff3}' => '\u{1ffc}',
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

/// The form in which header fields are compared: as [`fold`] gives it, each run of white space one
/// space, however the field was folded (RFC 5322 2.2.3).
pub fn fold_line(text: &str) -> String {
    let mut line = fold(text);
    let mut after_blank = false;
    line.retain(|c| {
        let is_repeated = after_blank && c.is_ascii_whitespace();
        after_blank = c.is_ascii_whitespace();
        !is_repeated
    });
    line.replace(|c: char| c.is_ascii_whitespace(), " ")
}

/// Whether `haystack` contains `needle`, which is already folded.
pub fn contains_folded(haystack: &str, needle: &str) -> bool {
    needle.is_empty() || fold(haystack).contains(needle)
}

/// LIM-25: raw bytes of one part that are decoded; the rest of the part is not searched.
pub const TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_decoded_by_encoding_and_charset() {
        use TransferEncoding as T;
        assert_eq!(
            decode(b"=E9", T::of_name(b"Quoted-Printable"), b"latin1"),
            "\u{e9}"
        );
        assert_eq!(decode(b"w6k=", T::of_name(b"BASE64"), b"utf-8"), "\u{e9}");
        assert_eq!(decode(b"\xe9", T::of_name(b"8bit"), b"latin1"), "\u{e9}");
        assert_eq!(T::of_name(b"x-uuencode"), T::Unknown);
    }

    #[test]
    fn lim_25_only_so_much_of_a_part_is_decoded() {
        let raw = vec![b'a'; TEXT_BYTES_MAX + 1];
        assert_eq!(
            decode(&raw, TransferEncoding::Identity, b"").len(),
            TEXT_BYTES_MAX
        );
    }

    #[test]
    fn lim_36_folding_stops_when_there_is_enough() {
        for (text, enough, start) in [
            ("abc", 0, ""),
            ("abc", 2, "AB"),
            ("abc", 9, "ABC"),
            // One character that becomes four, and three bytes that become one.
            ("\u{fb03}x", 1, "ffi"),
            ("\u{ff41}\u{ff42}\u{ff43}", 2, "AB"),
        ] {
            assert_eq!(fold_start(text, enough), start, "{text}");
        }
    }

    #[test]
    fn case_does_not_matter_in_any_script() {
        for (haystack, needle) in [
            ("Hello World", "WORLD"),
            ("\u{c9}t\u{c9}", "\u{e9}t\u{e9}"),
            (
                "\u{39f}\u{394}\u{39f}\u{3a3}",
                "\u{3bf}\u{3b4}\u{3bf}\u{3c2}",
            ),
            ("\u{130}stanbul", "\u{130}STANBUL"),
            ("anything", ""),
        ] {
            assert!(
                contains_folded(haystack, &fold(needle)),
                "{haystack} {needle}"
            );
        }
        assert!(!contains_folded("Hello", &fold("word")));
    }

    #[test]
    fn texts_are_compared_as_rfc_5051_says() {
        for (text, folded) in [
            ("a-Z 9", "A-Z 9"),
            ("\u{e9}", "E\u{301}"),
            ("e\u{301}", "E\u{301}"),
            // Sharp s has no title case, a ligature only a decomposition.
            ("\u{df}", "\u{df}"),
            ("\u{fb01}", "fi"),
            ("\u{1c6}\u{1c4}", "Dz\u{30c}Dz\u{30c}"),
            ("\u{3c3}\u{3c2}\u{3a3}", "\u{3a3}\u{3a3}\u{3a3}"),
            ("\u{1f80}", "\u{391}\u{313}\u{345}"),
            ("\u{1fb3}", "\u{391}\u{345}"),
            ("\u{ff41}\u{ff21}", "AA"),
            ("\u{10d0}", "\u{10d0}"),
            ("\u{442}\u{419}", "\u{422}\u{418}\u{306}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
            ("\u{2460}\u{a0}", "1 "),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn white_space_in_a_line_is_one_space() {
        assert_eq!(fold_line("A\r\n\tb  C"), "A B C");
        assert_eq!(fold_line(" \u{c9}\t "), " E\u{301} ");
        assert_eq!(fold_line(""), "");
    }

    #[test]
    fn searching_is_linear_for_bad_needles() {
        let haystack = "a".repeat(1 << 20);
        let needle = format!("{}b", "a".repeat(1 << 16));
        assert!(!contains_folded(&haystack, &needle));
    }
}
