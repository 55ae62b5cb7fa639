//! Encoded words: header text beyond ASCII (RFC 2047, RFC 2231 5).
//!
//! Decoding gives UTF-8 for SEARCH and SORT and never fails: what is not an encoded word stays as
//! it is. Encoding is for the headers of our own reports. Bound: LIM-30, later encoded words of
//! one field stay undecoded.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{charset, header::unfold};

/// LIM-30: encoded words decoded in one field.
pub const ENCODED_WORDS_MAX: usize = 2_000;

/// The text of an unstructured field value (RFC 5322 2.2.1), unfolded and decoded.
pub fn decode(value: &[u8]) -> String {
    let value = unfold(value);
    let mut decoder = Decoder::default();
    let mut rest = value.as_ref();
    while !rest.is_empty() {
        let found = find_word(rest, decoder.words);
        let plain = found.as_ref().map_or(rest, |(plain, _, _)| plain);
        decoder.plain(plain, found.is_some());
        let Some((_, word, after)) = found else { break };
        decoder.word(word);
        rest = after;
    }
    decoder.flush();
    decoder.text
}

/// One encoded word, its payload already out of B or Q.
struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

/// The plain text before the next encoded word, that word, and what follows it.
fn find_word(text: &[u8], words: usize) -> Option<(&[u8], Word<'_>, &[u8])> {
    if words >= ENCODED_WORDS_MAX {
        return None;
    }
    let mut at = 0;
    loop {
        let from = text.get(at..)?;
        let start = at.saturating_add(from.windows(2).position(|pair| pair == b"=?")?);
        let (plain, candidate) = text.split_at_checked(start)?;
        if let Some((word, after)) = take_word(candidate.get(2..)?) {
            return Some((plain, word, after));
        }
        at = start.saturating_add(2);
    }
}

/// `charset?encoding?payload?=` after its `=?`; no longer than [`WORD_BYTES_MAX`].
fn take_word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let window = text.get(..WORD_BYTES_MAX).unwrap_or(text);
    let mut pieces = window.splitn(3, |b| *b == b'?');
    let (charset, encoding, rest) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let is_token = |b: &u8| b.is_ascii_graphic();
    if charset.is_empty() || encoding.len() != 1 || !charset.iter().all(is_token) {
        return None;
    }
    let end = rest.windows(2).position(|pair| pair == b"?=")?;
    let payload = rest.get(..end)?;
    let bytes = match encoding.first()? {
        b'B' | b'b' => charset::base64(payload),
        b'Q' | b'q' => {
            let spaced: Vec<u8> = payload
                .iter()
                .map(|b| if *b == b'_' { b' ' } else { *b })
                .collect();
            let mut bytes = Vec::with_capacity(spaced.len());
            charset::hex_pairs(&spaced, b'=', &mut bytes);
            bytes
        }
        _ => return None,
    };
    // RFC 2231 5: a language may follow the charset.
    let charset = charset.split(|b| *b == b'*').next().unwrap_or(charset);
    let taken = charset_to_end(window, rest, end);
    Some((
        Word { charset, bytes },
        text.get(taken..).unwrap_or_default(),
    ))
}

/// How many bytes of `window` lie before the end of the word whose payload ends at `end` of `rest`.
fn charset_to_end(window: &[u8], rest: &[u8], end: usize) -> usize {
    window
        .len()
        .saturating_sub(rest.len())
        .saturating_add(end)
        .saturating_add(2)
}

/// Gathers words of one charset, because careless senders split characters between words.
#[derive(Default)]
struct Decoder<'a> {
    text: String,
    charset: &'a [u8],
    pending: Vec<u8>,
    words: usize,
}

impl<'a> Decoder<'a> {
    /// RFC 2047 6.2: white space between two encoded words is not shown.
    fn plain(&mut self, plain: &[u8], word_follows: bool) {
        let between = self.words > 0 && word_follows;
        if between && plain.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.flush();
        self.text.push_str(&charset::guess(plain));
    }

    fn word(&mut self, word: Word<'a>) {
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush();
            self.charset = word.charset;
        }
        self.pending.extend_from_slice(&word.bytes);
        self.words = self.words.saturating_add(1);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.text
                .push_str(&charset::to_text(&self.pending, self.charset));
            self.pending.clear();
        }
    }
}

/// Text as the value of a field: as it is when it is plain ASCII, else as encoded words in UTF-8
/// (RFC 2047 2: each at most 75 characters). The result folds at its spaces.
pub fn encode(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ') && !text.contains("=?");
    if plain {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len().saturating_add(c.len_utf8()) > WORD_PAYLOAD_BYTES {
            words.push(encoded(&piece));
            piece.clear();
        }
        piece.push(c);
    }
    words.push(encoded(&piece));
    words.join(" ")
}

fn encoded(piece: &str) -> String {
    format!("=?UTF-8?B?{}?=", STANDARD.encode(piece))
}

/// Longer than RFC 2047's 75, because senders exceed it; bounded, so that decoding stays linear.
const WORD_BYTES_MAX: usize = 1_000;
/// So many bytes fill 60 digits of base64: with `=?UTF-8?B?` and `?=` that is 72 characters.
const WORD_PAYLOAD_BYTES: usize = 45;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encoded_words_become_text_and_the_rest_stays() {
        for (value, text) in [
            ("plain", "plain"),
            ("=?iso-8859-1?q?caf=E9_x?=", "caf\u{e9} x"),
            ("=?UTF-8?B?w6k=?= and =?utf-8?b?w6k=?=", "\u{e9} and \u{e9}"),
            // RFC 2047 8.
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            // RFC 2231 5.
            ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
            // A character split between words.
            ("=?utf-8?B?w?= =?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "\u{e9}"),
            ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
            ("=?utf-8?q?abc", "=?utf-8?q?abc"),
            ("=? =?utf-8?q?abc?=", "=? abc"),
            ("=?", "=?"),
            ("a\r\n b", "a b"),
        ] {
            assert_eq!(decode(value.as_bytes()), text, "{value}");
        }
        assert_eq!(decode(b"caf\xe9 caf\xc3"), "caf\u{e9} caf\u{c3}");
    }

    #[test]
    fn lim_30_encoded_words_beyond_two_thousand_stay_as_they_are() {
        let field = |count: usize| "=?utf-8?q?a?= ".repeat(count);
        assert_eq!(
            decode(field(ENCODED_WORDS_MAX).as_bytes()),
            "a".repeat(ENCODED_WORDS_MAX)
        );
        let over = decode(field(ENCODED_WORDS_MAX + 1).as_bytes());
        assert!(
            over.ends_with("a =?utf-8?q?a?="),
            "{}",
            &over[over.len() - 30..]
        );
    }

    #[test]
    fn false_starts_are_linear() {
        for piece in ["=?", "=?a", "=?a?q?", "=?a?q?b?", "?=", "=?a?b?=?"] {
            let _ = decode(piece.repeat(128 * 1024 / piece.len()).as_bytes());
        }
    }

    #[test]
    fn encoding_keeps_ascii_and_short_words() {
        assert_eq!(encode("Undelivered mail"), "Undelivered mail");
        let words = encode(&"\u{e9}\u{4f60}".repeat(50));
        assert!(words.split(' ').all(|word| word.len() <= 75));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in "[^\u{0}\r\n]{0,80}") {
            let text = text.trim();
            prop_assert_eq!(decode(encode(text).as_bytes()), text);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in "([=?a-cqb_ \u{e9}]|utf-8|\r\n ){0,60}") {
            let _ = decode(bytes.as_bytes());
        }
    }
}
