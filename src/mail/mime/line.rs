//! Line feeds and boundary lines, found fast.
//!
//! RFC 2046 5.1.1: a boundary line is two hyphens and a boundary, followed by anything; two more
//! hyphens close the multipart. When several open boundaries are beginnings of a line, an exact
//! match wins over a longer one, a longer one over a shorter one, an inner one over an outer one.

/// The place of the first line feed.
pub(super) fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A byte of `folded` is zero exactly where the word has a line feed; the subtraction sets
        // the high bit of the lowest such byte, and of none below it.
        let folded = u64::from_le_bytes(*word) ^ (ONES * 0x0a);
        let zeros = folded.wrapping_sub(ONES) & !folded & HIGHS;
        if zeros != 0 {
            let byte = usize::try_from(zeros.trailing_zeros() / 8).unwrap_or(0);
            return Some(index.saturating_mul(8).saturating_add(byte));
        }
    }
    let before = words.len().saturating_mul(8);
    tail.iter()
        .position(|b| *b == b'\n')
        .map(|at| before.saturating_add(at))
}

/// How a line matches a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The index of the boundary, as it was given.
    pub(super) index: usize,
    /// The line closes the multipart.
    pub(super) closes: bool,
}

/// Which of the open boundaries, given from the innermost to the outermost, `line` is one of.
pub(super) fn match_boundary<'a>(
    line: &[u8],
    open: impl Iterator<Item = (usize, &'a [u8])>,
) -> Option<Match> {
    let candidate = line.strip_prefix(b"--")?;
    let mut best: Option<(usize, Match)> = None;
    for (index, boundary) in open {
        let Some(rest) = candidate.strip_prefix(boundary) else {
            continue;
        };
        if best.is_some_and(|(length, _)| length >= boundary.len()) {
            continue;
        }
        let padding = rest.strip_prefix(b"--");
        best = Some((
            boundary.len(),
            Match {
                index,
                closes: padding.is_some(),
            },
        ));
        if padding.unwrap_or(rest).trim_ascii().is_empty() {
            break;
        }
    }
    best.map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(line: &str, open: &[&str]) -> Option<(usize, bool)> {
        let open = open
            .iter()
            .enumerate()
            .map(|(index, b)| (index, b.as_bytes()));
        match_boundary(line.as_bytes(), open).map(|m| (m.index, m.closes))
    }

    #[test]
    fn boundary_lines_are_told_apart_from_their_beginnings() {
        assert_eq!(find("--a\r\n", &["a"]), Some((0, false)));
        assert_eq!(find("--a--\r\n", &["a"]), Some((0, true)));
        assert_eq!(find("--a-- \t\r\n", &["a"]), Some((0, true)));
        assert_eq!(find("--a--", &["a"]), Some((0, true)));
        assert_eq!(find("-a\r\n", &["a"]), None);
        assert_eq!(find(" --a\r\n", &["a"]), None);
        assert_eq!(find("--b\r\n", &["a"]), None);
        assert_eq!(find("--ax\r\n", &["a"]), Some((0, false)));
        // Inner first; the longer one unless the shorter one is exact.
        assert_eq!(find("--ab\r\n", &["ab", "a"]), Some((0, false)));
        assert_eq!(find("--ab\r\n", &["a", "ab"]), Some((1, false)));
        assert_eq!(find("--a\r\n", &["ab", "a"]), Some((1, false)));
        assert_eq!(find("--a--\r\n", &["a--", "a"]), Some((0, false)));
        assert_eq!(find("--a--\r\n", &["a", "a--"]), Some((0, true)));
        assert_eq!(find("--a\r\n", &["a", "a"]), Some((0, false)));
    }

    proptest! {
        #[test]
        fn the_first_line_feed_is_found(bytes in prop::collection::vec(8_u8..13, 0..40)) {
            prop_assert_eq!(find_line_feed(&bytes), bytes.iter().position(|b| *b == b'\n'));
        }

        #[test]
        fn the_first_line_feed_is_found_among_all_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..400)
        ) {
            prop_assert_eq!(find_line_feed(&bytes), bytes.iter().position(|b| *b == b'\n'));
        }
    }
}
