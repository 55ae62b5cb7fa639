//! The base subject: what is left of a subject without "Re:", list tags and forwarding marks
//! (RFC 5256 2.1, 5).
//!
//! Everybody must use exactly this algorithm, so it follows the text step by step. Linear in the
//! length of the subject.

/// A subject without its artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseSubject {
    /// What is left.
    pub text: String,
    /// A reply or a forward, as THREAD=REFERENCES understands it.
    pub is_reply: bool,
}

impl BaseSubject {
    /// Of a decoded subject.
    pub fn of(subject: &str) -> Self {
        let line = one_spaced(subject);
        let mut rest = line.as_str();
        let mut is_reply = false;
        loop {
            rest = without_trailers(rest, &mut is_reply);
            rest = without_leaders(rest, &mut is_reply);
            // Step 6
            let inside = strip_word(rest, "[fwd:").and_then(|rest| rest.strip_suffix(']'));
            let Some(inside) = inside else { break };
            is_reply = true;
            rest = inside;
        }
        Self {
            text: rest.to_owned(),
            is_reply,
        }
    }
}

/// Step 1: tabs, continuations and runs of spaces are one space.
fn one_spaced(subject: &str) -> String {
    let mut line = String::with_capacity(subject.len());
    for c in subject.chars() {
        match c.is_ascii_whitespace() {
            true if line.ends_with(' ') => {}
            true => line.push(' '),
            false => line.push(c),
        }
    }
    line
}

/// Step 2: `subj-trailer`, as often as there is one.
fn without_trailers<'s>(mut rest: &'s str, is_reply: &mut bool) -> &'s str {
    loop {
        rest = rest.trim_end_matches(' ');
        let Some(before) = strip_word_at_end(rest, "(fwd)") else {
            return rest;
        };
        *is_reply = true;
        rest = before;
    }
}

/// Steps 3 to 5: `subj-leader`, and `subj-blob` where something follows it.
fn without_leaders<'s>(mut rest: &'s str, is_reply: &mut bool) -> &'s str {
    loop {
        rest = rest.trim_start_matches(' ');
        let (behind, last_blob) = without_blobs(rest);
        match without_refwd(behind) {
            Some(behind) => {
                *is_reply = true;
                rest = behind;
            }
            // No leader: the blobs go one by one, but the last when nothing follows it.
            None if behind.is_empty() => return last_blob,
            None => return behind,
        }
    }
}

/// What stands behind `*subj-blob`, and from the last of them on.
fn without_blobs(mut rest: &str) -> (&str, &str) {
    let mut last = rest;
    while let Some(behind) = without_blob(rest) {
        last = rest;
        rest = behind;
    }
    (rest, last)
}

/// `subj-blob`
fn without_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let behind = inside.get(end..)?.strip_prefix(']')?;
    Some(behind.trim_start_matches(' '))
}

/// `subj-refwd`
fn without_refwd(text: &str) -> Option<&str> {
    let words = ["re", "fwd", "fw"];
    let behind = words.iter().find_map(|word| strip_word(text, word))?;
    let behind = behind.trim_start_matches(' ');
    without_blob(behind).unwrap_or(behind).strip_prefix(':')
}

/// What follows an ASCII word in any case.
fn strip_word<'s>(text: &'s str, word: &str) -> Option<&'s str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

fn strip_word_at_end<'s>(text: &'s str, word: &str) -> Option<&'s str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    end.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn artifacts_are_removed_as_rfc_5256_says() {
        for (subject, base, is_reply) in [
            ("", "", false),
            ("hello", "hello", false),
            ("  hello \t world ", "hello world", false),
            ("Re: hello", "hello", true),
            ("RE:hello", "hello", true),
            ("re : hello", "hello", true),
            ("Re[2]: hello", "hello", true),
            ("Re [x y] : hello", "hello", true),
            ("Re [x y]: hello", "hello", true),
            ("fw: hello", "hello", true),
            ("FWD: hello", "hello", true),
            ("Re: Fwd: re: hello", "hello", true),
            ("Fwdx: hello", "Fwdx: hello", false),
            ("Rex: hello", "Rex: hello", false),
            ("[list] hello", "hello", false),
            ("[list] Re: hello", "hello", true),
            ("[a] [b] Re: [c] hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("[list]", "[list]", false),
            ("[a] [b]", "[b]", false),
            ("[a][b]", "[b]", false),
            ("Re: [a]", "[a]", true),
            ("Re:", "", true),
            ("Re: Re:", "", true),
            ("hello (fwd)", "hello", true),
            ("hello (FWD)(fwd) ", "hello", true),
            ("(fwd)", "", true),
            ("hello (fwd) x", "hello (fwd) x", false),
            ("[fwd: hello]", "hello", true),
            ("[Fwd: Re: hello (fwd)]", "hello", true),
            ("[fwd: [fwd: hello]]", "hello", true),
            ("[fwd: hello", "[fwd: hello", false),
            ("[fwd: a] b", "b", false),
            ("[fwd: a [b] c]", "a [b] c", true),
            ("[a hello", "[a hello", false),
            ("Re: [[a]] b", "[[a]] b", true),
            ("Aw: hallo", "Aw: hallo", false),
            ("Re: \u{e9}t\u{e9}", "\u{e9}t\u{e9}", true),
            ("\u{e9}", "\u{e9}", false),
            ("R\u{e9}: x", "R\u{e9}: x", false),
        ] {
            let expected = BaseSubject {
                text: base.to_owned(),
                is_reply,
            };
            assert_eq!(BaseSubject::of(subject), expected, "{subject}");
        }
    }

    #[test]
    fn long_subjects_are_linear() {
        for piece in [
            "[a]", "[", "]", "re:", "[fwd:", "(fwd)", "re [", " ", "[a]re",
        ] {
            let _ = BaseSubject::of(&piece.repeat(200_000 / piece.len()));
        }
    }

    /// The steps one by one, as the text has them.
    fn naive(subject: &str) -> String {
        let mut text = one_spaced(subject);
        loop {
            loop {
                let lower = text.to_ascii_lowercase();
                if lower.ends_with("(fwd)") {
                    text.truncate(text.len() - 5);
                } else if lower.ends_with(' ') {
                    text.pop();
                } else {
                    break;
                }
            }
            loop {
                let before = text.clone();
                if text.starts_with(' ') {
                    text.remove(0);
                }
                let mut rest = text.as_str();
                while let Some(behind) = without_blob(rest) {
                    rest = behind;
                }
                if let Some(behind) = without_refwd(rest) {
                    text = behind.to_owned();
                }
                if let Some(behind) = without_blob(&text)
                    && !behind.is_empty()
                {
                    text = behind.to_owned();
                }
                if text == before {
                    break;
                }
            }
            if text.to_ascii_lowercase().starts_with("[fwd:") && text.ends_with(']') {
                text = text[5..text.len() - 1].to_owned();
            } else {
                return text;
            }
        }
    }

    proptest! {
        #[test]
        fn the_steps_taken_together_give_what_they_give_one_by_one(
            subject in "([Rr]e|[Ff]wd?|:|\\[|\\]|\\[a\\]|\\[fwd:|\\(fwd\\)| |x|\u{e9}){0,14}",
        ) {
            prop_assert_eq!(BaseSubject::of(&subject).text, naive(&subject));
        }
    }
}
