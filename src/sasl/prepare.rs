//! How names and passwords are written before they are hashed: SASLprep (RFC 4013).
//!
//! Without its rule for strings that run both ways (RFC 3454 6): a server that obeys it never took
//! such a password, and to all others it is one.

use unicode_normalization::UnicodeNormalization;

/// RFC 4013 2: mapped, composed, and without what is forbidden; `None` when that cannot be.
pub(super) fn prepared(text: &str) -> Option<String> {
    let mapped = text.chars().filter(|c| !is_nothing(*c));
    let mapped = mapped.map(|c| if is_space(c) { ' ' } else { c });
    let text: String = mapped.nfkc().collect();
    let good = !text.is_empty() && !text.chars().any(is_forbidden);
    good.then_some(text)
}

/// RFC 3454 B.1.
fn is_nothing(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// RFC 3454 C.1.2, where B.1 does not have it too.
fn is_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// RFC 4013 2.3.
fn is_forbidden(c: char) -> bool {
    let control = c.is_control()
        || matches!(c, '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{2028}' | '\u{2029}'
            | '\u{2061}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{1d173}'..='\u{1d17a}');
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    let none = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    let unfit = matches!(c, '\u{fff9}'..='\u{fffd}' | '\u{2ff0}'..='\u{2ffb}'
        | '\u{340}' | '\u{341}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
    let tag = matches!(c, '\u{e0001}' | '\u{e0020}'..='\u{e007f}');
    control || private || none || unfit || tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4013_are_ours() {
        for (text, expected) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("a\u{a0}b", Some("a b")),
            ("a\u{301}", Some("\u{e1}")),
            ("\u{200b}", None),
            ("", None),
            ("\u{e000}", None),
            ("\u{1ffff}", None),
        ] {
            assert_eq!(prepared(text).as_deref(), expected, "{text:?}");
        }
    }
}
