//! Boundary lines, found fast.
//!
//! RFC 2046 5.1.1: a boundary line is two hyphens and a boundary, followed by anything; two more
//! hyphens close the multipart. When several open boundaries are beginnings of a line, an exact
//! match wins over a longer one, a longer one over a shorter one, an inner one over an outer one.

/// How a line matches a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The level of the multipart it is the boundary of.
    pub(super) level: usize,
    /// The line closes the multipart.
    pub(super) closes: bool,
}

/// The boundaries of the open multiparts, in the order of their bytes and then of their levels, so
/// that a line is compared with few of them however many there are.
#[derive(Debug, Default)]
pub(super) struct Boundaries(Vec<(Vec<u8>, usize)>);

impl Boundaries {
    /// The multipart at `level` is open.
    pub(super) fn open(&mut self, level: usize, boundary: Vec<u8>) {
        let entry = (boundary, level);
        let at = self.0.partition_point(|other| *other <= entry);
        self.0.insert(at, entry);
    }

    /// The multiparts from `level` on are closed.
    pub(super) fn close_from(&mut self, level: usize) {
        self.0.retain(|(_, open)| *open < level);
    }

    /// Which boundary `line` is: the innermost that matches to the end, else the longest.
    pub(super) fn find(&self, line: &[u8]) -> Option<Match> {
        let candidate = line.strip_prefix(b"--")?;
        let mut exact: Option<Match> = None;
        let mut longest: Option<Match> = None;
        let mut within = candidate;
        while let Some((boundary, level)) = self.longest_start_of(within) {
            let rest = candidate.get(boundary.len()..).unwrap_or_default();
            let padding = rest.strip_prefix(b"--");
            let found = Match {
                level: *level,
                closes: padding.is_some(),
            };
            if padding.unwrap_or(rest).trim_ascii().is_empty() {
                exact = exact
                    .filter(|best| best.level > found.level)
                    .or(Some(found));
            }
            longest.get_or_insert(found);
            let shorter = boundary.len().checked_sub(1)?;
            within = candidate.get(..shorter)?;
        }
        exact.or(longest)
    }

    /// The longest boundary that `text` starts with; of equal ones the innermost.
    fn longest_start_of(&self, text: &[u8]) -> Option<&(Vec<u8>, usize)> {
        let mut text = text;
        loop {
            // What starts `text` is not greater than it. If the greatest of these differs from it
            // at some place, nothing longer than up to that place starts it.
            let after = self
                .0
                .partition_point(|(boundary, _)| boundary.as_slice() <= text);
            let entry = self.0.get(after.checked_sub(1)?)?;
            let common = entry.0.iter().zip(text).take_while(|(a, b)| a == b).count();
            if common == entry.0.len() {
                return Some(entry);
            }
            text = text.get(..common)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `open` from the innermost to the outermost; gives the index of the match.
    fn find(line: &str, open: &[&str]) -> Option<(usize, bool)> {
        let mut boundaries = Boundaries::default();
        for (index, boundary) in open.iter().enumerate() {
            boundaries.open(open.len() - index, boundary.as_bytes().to_vec());
        }
        boundaries
            .find(line.as_bytes())
            .map(|m| (open.len() - m.level, m.closes))
    }

    /// The same by trying all of them.
    fn find_naively(line: &str, open: &[String]) -> Option<(usize, bool)> {
        let candidate = line.strip_prefix("--")?;
        let rest_of = |boundary: &String| candidate.strip_prefix(boundary.as_str());
        let exact = open.iter().position(|boundary| {
            let rest = rest_of(boundary).map(|rest| rest.strip_prefix("--").unwrap_or(rest));
            rest.is_some_and(|rest| rest.trim().is_empty())
        });
        let longest = || {
            let starts = open
                .iter()
                .enumerate()
                .filter(|(_, b)| rest_of(b).is_some());
            starts
                .rev()
                .max_by_key(|(_, b)| b.len())
                .map(|(index, _)| index)
        };
        let index = exact.or_else(longest)?;
        Some((index, rest_of(&open[index])?.starts_with("--")))
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
        assert_eq!(find("--ab--\r\n", &["ab-", "ab"]), Some((1, true)));
    }

    #[test]
    fn closed_boundaries_are_forgotten() {
        let mut boundaries = Boundaries::default();
        (0..4).for_each(|level| boundaries.open(level, vec![b'a'; 4 - level]));
        boundaries.close_from(2);
        assert_eq!(
            boundaries.find(b"--aaa\n"),
            Some(Match {
                level: 1,
                closes: false
            })
        );
        assert_eq!(boundaries.find(b"--aa\n"), None);
    }

    proptest! {
        #[test]
        fn boundaries_are_found_as_by_trying_all(
            line in "--[ab-]{0,8}[ \n]{0,2}",
            open in prop::collection::vec("[ab-]{1,5}", 0..12),
        ) {
            let refs: Vec<&str> = open.iter().map(String::as_str).collect();
            prop_assert_eq!(find(&line, &refs), find_naively(&line, &open));
        }
    }
}
