//! Canonical forms of header fields and bodies (RFC 6376 3.4). Pure, and for bodies in pieces: a
//! message is never whole in memory.

use std::sync::LazyLock;

use memchr::{memchr2, memmem};
use ring::digest::{Context, SHA256};

/// RFC 6376 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canon {
    Simple,
    Relaxed,
}

impl Canon {
    /// A whole field, with the line ending that it may have, as it is signed, with CRLF at its end.
    pub(super) fn field(self, field: &[u8], out: &mut Vec<u8>) {
        let field = field.strip_suffix(b"\n").unwrap_or(field);
        let field = field.strip_suffix(b"\r").unwrap_or(field);
        match self {
            // RFC 6376 3.4.1.
            Self::Simple => out.extend_from_slice(field),
            Self::Relaxed => relaxed_field(field, out),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 6376 3.4.2.
fn relaxed_field(field: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at_checked(colon).unwrap_or((field, &[]));
    out.extend(name.trim_ascii_end().to_ascii_lowercase());
    out.push(b':');
    let value = value.get(1..).unwrap_or_default();
    let mut space = false;
    let start = out.len();
    for byte in value {
        match byte {
            b' ' | b'\t' => space = true,
            b'\r' | b'\n' => {}
            other => {
                if space && out.len() > start {
                    out.push(b' ');
                }
                space = false;
                out.push(*other);
            }
        }
    }
}

/// A body on its way into canonical form.
struct BodyForm {
    canon: Canon,
    /// Line ends that count only if text follows.
    line_ends: u64,
    /// White space that counts only if text follows on its line.
    space: bool,
    /// A CR that may begin a line end.
    cr: bool,
    /// There was any text.
    text: bool,
    /// What is known of the form and was not given on yet: small pieces become larger ones here.
    out: Vec<u8>,
}

impl BodyForm {
    fn new(canon: Canon) -> Self {
        Self {
            canon,
            line_ends: 0,
            space: false,
            cr: false,
            text: false,
            out: Vec::new(),
        }
    }

    /// Gives the next piece in canonical form to `sink`, as far as it is known.
    fn feed(&mut self, piece: &[u8], sink: &mut impl FnMut(&[u8])) {
        let mut rest = piece;
        while let Some(byte) = rest.first() {
            let length = match (byte, self.canon) {
                (b'\n', _) if self.cr => {
                    self.cr = false;
                    self.space = false;
                    self.line_ends = self.line_ends.saturating_add(1);
                    1
                }
                _ if self.cr => {
                    self.cr = false;
                    self.push(b"\r", sink);
                    0
                }
                (b'\r', _) => {
                    self.cr = true;
                    1
                }
                (b' ' | b'\t', Canon::Relaxed) => {
                    self.space = true;
                    1
                }
                (_, canon) => {
                    let length = run(canon, rest);
                    self.push(rest.get(..length).unwrap_or_default(), sink);
                    length
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    /// What is left when the body ends.
    fn end(&mut self, sink: &mut impl FnMut(&[u8])) {
        if self.cr {
            self.cr = false;
            self.push(b"\r", sink);
        }
        // RFC 6376 3.4.3: an empty body is one line end; 3.4.4: or nothing.
        if self.text || self.canon == Canon::Simple {
            self.put(b"\r\n", sink);
        }
        sink(&self.out);
        self.out.clear();
    }

    /// Text: what was held back counts now.
    fn push(&mut self, text: &[u8], sink: &mut impl FnMut(&[u8])) {
        let mut line_ends = std::mem::take(&mut self.line_ends);
        while line_ends > 0 {
            let count = line_ends.min(LINE_ENDS.len() as u64);
            let block = LINE_ENDS.as_flattened();
            let length = usize::try_from(count.saturating_mul(2)).unwrap_or(block.len());
            self.put(block.get(..length).unwrap_or(block), sink);
            line_ends = line_ends.saturating_sub(count);
        }
        if std::mem::take(&mut self.space) {
            self.put(b" ", sink);
        }
        self.text = true;
        self.put(text, sink);
    }

    /// However much of it is held back, no more than a block is ever in memory.
    fn put(&mut self, text: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.out.len().saturating_add(text.len()) > OUT_BYTES_MAX {
            sink(&self.out);
            self.out.clear();
        }
        if text.len() >= OUT_BYTES_MAX {
            sink(text);
        } else {
            self.out.extend_from_slice(text);
        }
    }
}

/// Line ends that were held back are given on in blocks.
static LINE_ENDS: [[u8; 2]; OUT_BYTES_MAX / 2] = [*b"\r\n"; OUT_BYTES_MAX / 2];
/// Bytes of a form that are gathered before they are hashed.
const OUT_BYTES_MAX: usize = 4096;

/// How much at the front of `rest` is text that needs no decision; at least its first byte.
fn run(canon: Canon, rest: &[u8]) -> usize {
    let after = rest.get(1..).unwrap_or_default();
    let end = match canon {
        Canon::Simple => memchr::memchr(b'\r', after),
        Canon::Relaxed => memchr2(b'\r', b'\t', after),
    };
    let length = end.map_or(rest.len(), |end| end.saturating_add(1));
    match canon {
        Canon::Simple => length,
        Canon::Relaxed => words(rest.get(..length).unwrap_or(rest)),
    }
}

static GAP: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"  "));

/// How much at the front of a line without tabs is words with one space between them: they stay as
/// they are. Most lines are nothing else, and to look for each word's end costs much more.
fn words(line: &[u8]) -> usize {
    let end = GAP.find(line).unwrap_or(line.len());
    let words = line.get(..end).unwrap_or(line);
    words.len() - usize::from(words.ends_with(b" "))
}

/// What of a body is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub canon: Canon,
    /// Only so many bytes of its canonical form (RFC 6376 3.5, `l=`).
    pub length: Option<u64>,
}

/// Hashes a body in all the ways that its signatures want.
pub(super) struct BodyHashes {
    forms: Vec<Form>,
}

struct Form {
    form: BodyForm,
    hashes: Vec<(Option<u64>, Context)>,
    /// Bytes of the canonical form so far.
    total: u64,
}

/// A hash of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BodyHash {
    pub wanted: Wanted,
    pub digest: Vec<u8>,
    /// Bytes of the canonical form.
    pub total: u64,
}

impl BodyHashes {
    pub(super) fn new(wanted: impl IntoIterator<Item = Wanted>) -> Self {
        let mut forms: Vec<Form> = Vec::new();
        for Wanted { canon, length } in wanted {
            let known = forms.iter().position(|form| form.form.canon == canon);
            let at = known.unwrap_or_else(|| {
                forms.push(Form {
                    form: BodyForm::new(canon),
                    hashes: Vec::new(),
                    total: 0,
                });
                forms.len().saturating_sub(1)
            });
            if let Some(form) = forms.get_mut(at)
                && !form.hashes.iter().any(|(known, _)| *known == length)
            {
                form.hashes.push((length, Context::new(&SHA256)));
            }
        }
        Self { forms }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for form in &mut self.forms {
            let (hashes, total) = (&mut form.hashes, &mut form.total);
            form.form
                .feed(piece, &mut |text| update(hashes, total, text));
        }
    }

    /// Ends the body.
    pub(super) fn finish(self) -> Vec<BodyHash> {
        let mut finished = Vec::new();
        for mut form in self.forms {
            let (hashes, total) = (&mut form.hashes, &mut form.total);
            form.form.end(&mut |text| update(hashes, total, text));
            for (length, context) in form.hashes {
                finished.push(BodyHash {
                    wanted: Wanted {
                        canon: form.form.canon,
                        length,
                    },
                    digest: context.finish().as_ref().to_vec(),
                    total: form.total,
                });
            }
        }
        finished
    }
}

fn update(hashes: &mut [(Option<u64>, Context)], total: &mut u64, text: &[u8]) {
    for (length, context) in hashes {
        let left = length.map_or(u64::MAX, |length| length.saturating_sub(*total));
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(text.len());
        context.update(text.get(..taken).unwrap_or_default());
    }
    *total = total.saturating_add(text.len() as u64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(canon: Canon, pieces: &[&[u8]]) -> Vec<u8> {
        let mut form = BodyForm::new(canon);
        let mut out = Vec::new();
        for piece in pieces {
            form.feed(piece, &mut |text| out.extend_from_slice(text));
        }
        form.end(&mut |text| out.extend_from_slice(text));
        out
    }

    #[test]
    fn line_ends_that_were_held_back_need_no_memory() {
        let line_ends = b"\r\n".repeat(512 * 1024);
        for canon in [Canon::Simple, Canon::Relaxed] {
            let (mut form, mut total) = (BodyForm::new(canon), 0);
            let mut largest = 0;
            let mut sink = |text: &[u8]| {
                total += text.len();
                largest = largest.max(text.len());
            };
            form.feed(&line_ends, &mut sink);
            form.feed(b"x", &mut sink);
            let held = form.out.capacity();
            form.end(&mut sink);
            assert!(held <= 2 * OUT_BYTES_MAX, "{held}");
            assert!(largest <= OUT_BYTES_MAX, "{largest}");
            assert_eq!(total, line_ends.len() + 3);
            let whole = [&line_ends[..], b"x\r\n"].concat();
            assert_eq!(body(canon, &[&line_ends, b"x"]), whole);
        }
    }

    #[test]
    fn rfc_6376_3_4_5_examples() {
        let fields = [&b"A: X\r\n"[..], b"B : Y\t\r\n\tZ  \r\n"];
        let (mut relaxed, mut simple) = (Vec::new(), Vec::new());
        for field in fields {
            Canon::Relaxed.field(field, &mut relaxed);
            Canon::Simple.field(field, &mut simple);
        }
        assert_eq!(relaxed, b"a:X\r\nb:Y Z\r\n");
        assert_eq!(simple, b"A: X\r\nB : Y\t\r\n\tZ  \r\n");
        let text = b" C \r\nD \t E\r\n\r\n\r\n";
        assert_eq!(body(Canon::Relaxed, &[text]), b" C\r\nD E\r\n");
        assert_eq!(body(Canon::Simple, &[text]), b" C \r\nD \t E\r\n");
    }

    #[test]
    fn rfc_6376_3_4_odd_ends_of_bodies() {
        for (text, simple, relaxed) in [
            (&b""[..], &b"\r\n"[..], &b""[..]),
            (b"\r\n", b"\r\n", b""),
            (b"\r\n\r\n", b"\r\n", b""),
            (b"a", b"a\r\n", b"a\r\n"),
            (b" \r\n", b" \r\n", b""),
            (b"a \t", b"a \t\r\n", b"a\r\n"),
            (b"\r\n\r\na\r\n", b"\r\n\r\na\r\n", b"\r\n\r\na\r\n"),
            (b"a\rb\r", b"a\rb\r\r\n", b"a\rb\r\r\n"),
            (b"a\nb", b"a\nb\r\n", b"a\nb\r\n"),
        ] {
            assert_eq!(body(Canon::Simple, &[text]), simple, "{text:?}");
            assert_eq!(body(Canon::Relaxed, &[text]), relaxed, "{text:?}");
        }
    }

    #[test]
    fn rfc_6376_3_5_only_the_first_bytes_are_hashed() {
        let wanted = |length| Wanted {
            canon: Canon::Relaxed,
            length,
        };
        let mut hashes = BodyHashes::new([wanted(Some(3)), wanted(None), wanted(Some(99))]);
        hashes.feed(b"ab");
        hashes.feed(b"cd\r\n");
        let found = hashes.finish();
        let of = |text: &[u8]| ring::digest::digest(&SHA256, text).as_ref().to_vec();
        let digests: Vec<_> = found.iter().map(|hash| hash.digest.clone()).collect();
        assert_eq!(digests, [of(b"abc"), of(b"abcd\r\n"), of(b"abcd\r\n")]);
        assert!(found.iter().all(|hash| hash.total == 6));
    }

    fn any_byte() -> impl Strategy<Value = u8> {
        proptest::sample::select(b"ab \t\r\n".to_vec())
    }

    proptest! {
        #[test]
        fn splitting_a_body_changes_nothing(
            text in proptest::collection::vec(any_byte(), 0..60),
            cut in 0_usize..60,
        ) {
            let (front, back) = text.split_at(cut.min(text.len()));
            for canon in [Canon::Simple, Canon::Relaxed] {
                prop_assert_eq!(body(canon, &[&text]), body(canon, &[front, back]));
            }
        }

        /// RFC 6376 3.4.4, said the long way.
        #[test]
        fn the_relaxed_form_is_that_of_each_line(
            lines in proptest::collection::vec("[ab \t]{0,12}", 0..8),
        ) {
            let relaxed = |line: &String| {
                let mut words = line.split([' ', '\t']);
                let first = words.next().unwrap_or_default().to_owned();
                let rest = words.filter(|word| !word.is_empty());
                rest.fold(first, |line, word| line + " " + word)
            };
            let mut whole: Vec<_> = lines.iter().map(relaxed).collect();
            while whole.last().is_some_and(String::is_empty) {
                whole.pop();
            }
            let whole: String = whole.iter().map(|line| format!("{line}\r\n")).collect();
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(body(Canon::Relaxed, &[text.as_bytes()]), whole.as_bytes());
        }
    }
}
