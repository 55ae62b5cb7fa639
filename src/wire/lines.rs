//! What the lines of a counted body hold that SMTP forbids; its end is not known by them (RFC 3030
//! 2), so nothing is read out of them but that.
//!
//! The same rules as for dot-framed data (`dot`): the same message is refused whichever command
//! brings it, and nothing with an odd line end gets in to be sent on in the other form.

use super::dot::Violations;

/// Looks at the lines of a body that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct LineCheck {
    after_cr: bool,
    line_bytes: usize,
    violations: Violations,
}

impl LineCheck {
    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) {
                if *first == b'\n' {
                    self.end_line();
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                self.violations.bare_cr = true;
                self.end_line();
            }
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
            self.violations.nul |= text.contains(&0);
            self.line_bytes = self.line_bytes.saturating_add(text.len());
            match behind.first() {
                Some(b'\r') => self.after_cr = true,
                Some(_) => {
                    self.violations.bare_lf = true;
                    self.end_line();
                }
                None => {}
            }
            rest = behind.get(1..).unwrap_or_default();
        }
    }

    /// What was found so far: with a line that has not ended, and without a CR that may still get
    /// its LF.
    pub fn violations(&self) -> Violations {
        let mut found = self.violations;
        found.longest_line_bytes = found.longest_line_bytes.max(self.line_bytes);
        found
    }

    /// The same when nothing more comes.
    pub fn finish(mut self) -> Violations {
        self.violations.bare_cr |= self.after_cr;
        self.violations()
    }

    fn end_line(&mut self) {
        let longest = &mut self.violations.longest_line_bytes;
        *longest = (*longest).max(self.line_bytes);
        self.line_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{super::dot::DotReader, *};

    fn checked(text: &[u8]) -> Violations {
        let mut check = LineCheck::default();
        check.push(text);
        check.finish()
    }

    #[test]
    fn what_is_forbidden_is_found() {
        for (text, bare_cr, bare_lf, nul, longest) in [
            (&b"a\r\nbcd\r\n"[..], false, false, false, 3),
            (b"abc", false, false, false, 3),
            (b"a\nb", false, true, false, 1),
            (b"a\rb", true, false, false, 1),
            (b"a\r", true, false, false, 1),
            (b"a\r\r\n", true, false, false, 1),
            (b"a\0", false, false, true, 2),
            (b"", false, false, false, 0),
        ] {
            let expected = Violations {
                bare_cr,
                bare_lf,
                nul,
                longest_line_bytes: longest,
            };
            assert_eq!(checked(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            text in "[ab\r\n\0]{0,40}", cuts in proptest::collection::vec(1_usize..6, 1..20),
        ) {
            let (mut check, mut rest) = (LineCheck::default(), text.as_bytes());
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                check.push(now);
                rest = later;
            }
            prop_assert_eq!(check.finish(), checked(text.as_bytes()));
        }

        #[test]
        fn both_ways_of_framing_have_the_same_rules(text in "[ab\r\n\0]{0,40}") {
            let text = format!("{text}x\r\n");
            let (mut reader, mut out) = (DotReader::new(), BytesMut::new());
            reader.read(format!("{text}.\r\n").as_bytes(), usize::MAX, &mut out);
            prop_assert!(reader.ended());
            prop_assert_eq!(reader.violations(), checked(text.as_bytes()));
        }
    }
}
