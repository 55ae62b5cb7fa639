//! Message ids: in Message-ID, In-Reply-To and References (RFC 5322 3.6.4).
//!
//! Normalized, so that quoting makes no difference (RFC 5256 3, THREAD): `<"a"@b>` is `a@b`. The
//! rest of such fields is passed over: senders write phrases and addresses there.

/// The ids of a field's value, in order.
#[derive(Clone, Debug)]
pub struct MessageIds<'a>(&'a [u8]);

impl<'a> MessageIds<'a> {
    /// Of an unfolded value.
    pub fn new(value: &'a [u8]) -> Self {
        Self(value)
    }
}

impl Iterator for MessageIds<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let start = self.0.iter().position(|byte| *byte == b'<')?;
            let inside = self.0.get(start.saturating_add(1)..)?;
            let (id, behind) = take_id(inside);
            self.0 = behind;
            if id.is_some() {
                return id;
            }
        }
    }
}

/// The id behind a `<`, if it is one, and what follows it.
fn take_id(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let mut id = Vec::new();
    let (mut quoted, mut has_at) = (false, false);
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        match byte {
            b'\\' if quoted => {
                let Some((escaped, behind)) = behind.split_first() else {
                    return (None, behind);
                };
                id.push(*escaped);
                rest = behind;
                continue;
            }
            b'"' => quoted = !quoted,
            _ if quoted => id.push(*byte),
            b'>' => {
                let is_whole = has_at && !id.starts_with(b"@") && !id.ends_with(b"@");
                return (is_whole.then_some(id), behind);
            }
            // The one before was never closed.
            b'<' => return (None, rest),
            b' ' | b'\t' => {}
            byte => {
                has_at |= *byte == b'@';
                id.push(*byte);
            }
        }
        rest = behind;
    }
    (None, rest)
}

/// LIM-30: the ids of a References field as they are kept: [`REFERENCES_MAX`], each ended by LF. Of
/// more it is the first, which names the thread, and the last, which are nearest to the message.
pub fn kept_references(value: &[u8]) -> Vec<u8> {
    let mut ids: Vec<Vec<u8>> = MessageIds::new(value).collect();
    let more = ids.len().saturating_sub(REFERENCES_MAX);
    ids.drain(1.min(more)..more + 1.min(more));
    let mut kept = Vec::new();
    for id in &ids {
        kept.extend_from_slice(id);
        kept.push(b'\n');
    }
    kept
}

/// The ids that [`kept_references`] kept.
pub fn references(kept: &[u8]) -> impl Iterator<Item = &[u8]> {
    kept.split(|byte| *byte == b'\n')
        .filter(|id| !id.is_empty())
}

/// LIM-30: references of one message.
pub const REFERENCES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(value: &str) -> Vec<String> {
        let ids = MessageIds::new(value.as_bytes());
        ids.map(|id| String::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn ids_are_found_and_normalized() {
        for (value, expected) in [
            ("<a@b>", &["a@b"][..]),
            (
                "<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>",
                &["01KF8JCEOCBS0045PS@xxx.yyy.com"],
            ),
            ("<\"a\\\"b >\"@c>", &["a\"b >@c"]),
            ("<a@b> <c@d>", &["a@b", "c@d"]),
            ("<a@b><c@d>", &["a@b", "c@d"]),
            ("Your message of today <a@b> (x@y)", &["a@b"]),
            ("< a @ b >", &["a@b"]),
            ("<a@b@c>", &["a@b@c"]),
            ("<A@b>", &["A@b"]),
            ("<broken <a@b>", &["a@b"]),
            ("<a> <b@>, <@c> <d@e", &[]),
            ("a@b", &[]),
            ("", &[]),
            ("<", &[]),
            ("<\"a\\", &[]),
        ] {
            assert_eq!(ids(value), expected, "{value}");
        }
    }

    #[test]
    fn lim_30_two_hundred_references_are_kept_and_the_first_is_one() {
        for count in [0, 1, REFERENCES_MAX, REFERENCES_MAX + 1, REFERENCES_MAX + 9] {
            let value: Vec<String> = (0..count).map(|n| format!("<{n}@x>")).collect();
            let kept = kept_references(value.join(" ").as_bytes());
            let far = count.saturating_sub(REFERENCES_MAX);
            let expected: Vec<String> = (0..count)
                .filter(|n| *n == 0 || *n > far)
                .map(|n| format!("{n}@x"))
                .collect();
            let found: Vec<String> = references(&kept)
                .map(|id| String::from_utf8_lossy(id).into_owned())
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_value_is_read_in_linear_time() {
        for piece in ["<", "<a", "<\"", "<a@b", ">", "\\\""] {
            let _ = ids(&piece.repeat(128 * 1024 / piece.len()));
        }
    }
}
