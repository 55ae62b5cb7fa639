//! The language of transcripts: one line, one step.
//!
//! ```text
//! # a comment
//! given account alice with INBOX: 3 x plain.eml
//! A> EHLO client.example     send this line; CRLF is added, $name is replaced by its value
//! A>> a\r\n.\r\n             send these bytes: \r \n \0 \t \\ \xHH, and \{2048 x} for repetition
//! A< 250 HELP                the next line is this; $name binds to what stands there, once
//! A~ 250 2.0.0               the next line begins with this
//! A? a1 OK                   skip lines up to one that begins with this
//! A& * FLAGS                 a group of such lines: the next lines begin so, in any order
//! @ advance 31m              act on the world (see `world`)
//! ```
//! The name before the sign is the connection's; it may be empty. A connection opens when it is
//! first mentioned, on the port that the protocol's transcripts use; `@ connect A submission` says
//! another one. A variable is `$` and lower-case letters, digits or `_`, so IMAP's `$Junk` is none.

use std::collections::BTreeMap;

/// One line of a transcript.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) step: Step,
}

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Step {
    Given(String),
    Act(String),
    Send {
        conn: String,
        text: String,
    },
    SendRaw {
        conn: String,
        bytes: Vec<u8>,
    },
    Expect {
        conn: String,
        how: How,
        pattern: String,
    },
}

/// How a pattern is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Whole,
    Prefix,
    SkipTo,
    AnyOrder,
}

/// Reads a transcript.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let step = step(line).map_err(|why| format!("{number}: {why}: {line}"))?;
        if join_group(&mut lines, &step) {
            continue;
        }
        lines.push(Line { number, step });
    }
    Ok(lines)
}

/// Lines of one group that follow each other are one step, a pattern a line.
fn join_group(lines: &mut [Line], step: &Step) -> bool {
    let (
        Some(last),
        Step::Expect {
            conn,
            how: How::AnyOrder,
            pattern,
        },
    ) = (lines.last_mut(), step)
    else {
        return false;
    };
    match &mut last.step {
        Step::Expect {
            conn: same,
            how: How::AnyOrder,
            pattern: group,
        } if same == conn => {
            group.push('\n');
            group.push_str(pattern);
            true
        }
        _ => false,
    }
}

fn step(line: &str) -> Result<Step, String> {
    if let Some(what) = line.strip_prefix("given ") {
        return Ok(Step::Given(what.trim().to_owned()));
    }
    if let Some(what) = line.strip_prefix("@ ") {
        return Ok(Step::Act(what.trim().to_owned()));
    }
    let name = line.find(|c: char| !c.is_ascii_alphanumeric());
    let (conn, rest) = line.split_at(name.ok_or("no sign")?);
    let conn = conn.to_owned();
    let content = |sign: &str| {
        let rest = rest.strip_prefix(sign)?;
        Some(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
    };
    if let Some(raw) = content(">>") {
        let bytes = unescape(&raw)?;
        return Ok(Step::SendRaw { conn, bytes });
    }
    if let Some(text) = content(">") {
        return Ok(Step::Send { conn, text });
    }
    for (sign, how) in [
        ("<", How::Whole),
        ("~", How::Prefix),
        ("?", How::SkipTo),
        ("&", How::AnyOrder),
    ] {
        if let Some(pattern) = content(sign) {
            return Ok(Step::Expect { conn, how, pattern });
        }
    }
    Err("this is no step".to_owned())
}

/// `\r \n \0 \t \\ \xHH`, and `\{12 ab}` for `ab` twelve times.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (bytes, used) = match escape.chars().next().ok_or("a lone backslash")? {
            'r' => (b"\r".to_vec(), 1),
            'n' => (b"\n".to_vec(), 1),
            't' => (b"\t".to_vec(), 1),
            '0' => (vec![0], 1),
            '\\' => (b"\\".to_vec(), 1),
            'x' => {
                let digits = escape.get(1..3).ok_or("\\x needs two digits")?;
                let byte = u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?;
                (vec![byte], 3)
            }
            '{' => {
                let end = escape.find('}').ok_or("\\{ without }")?;
                let (count, what) = escape[1..end].split_once(' ').ok_or("\\{count text}")?;
                let count: usize = count.parse().map_err(|_| "\\{count text}")?;
                (unescape(what)?.repeat(count), end + 1)
            }
            other => return Err(format!("unknown escape \\{other}")),
        };
        out.extend(bytes);
        rest = &escape[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// What names stand for.
pub(crate) type Variables = BTreeMap<String, String>;

/// `text` with its bound variables replaced.
pub(crate) fn substitute(text: &str, variables: &Variables) -> String {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Variable(name) => match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$", name]),
            },
        }
    }
    out
}

/// Whether `line` is (or begins with) `pattern`; variables seen first are bound to what stands
/// there.
pub(crate) fn matches(line: &str, pattern: &str, whole: bool, variables: &mut Variables) -> bool {
    let parts: Vec<_> = parts(pattern).collect();
    let mut bound = variables.clone();
    let (line, parts) = (line.trim_end(), parts.as_slice());
    if rest_matches(line, parts, whole, &mut bound) {
        *variables = bound;
        return true;
    }
    false
}

fn rest_matches(line: &str, parts: &[Part<'_>], whole: bool, bound: &mut Variables) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return !whole || line.is_empty();
    };
    match part {
        Part::Text(text) => {
            // Editors cut white space at the end of a line; so does the comparison.
            let text = if rest.is_empty() {
                text.trim_end()
            } else {
                text
            };
            line.strip_prefix(text)
                .is_some_and(|line| rest_matches(line, rest, whole, bound))
        }
        Part::Variable(name) => match bound.get(*name).cloned() {
            Some(value) => line
                .strip_prefix(value.as_str())
                .is_some_and(|line| rest_matches(line, rest, whole, bound)),
            None => {
                let word = line.find(char::is_whitespace).unwrap_or(line.len());
                (1..=word).rev().any(|end| {
                    let Some((value, line)) = line.split_at_checked(end) else {
                        return false;
                    };
                    let mut tried = bound.clone();
                    tried.insert((*name).to_owned(), value.to_owned());
                    let fits = rest_matches(line, rest, whole, &mut tried);
                    if fits {
                        *bound = tried;
                    }
                    fits
                })
            }
        },
    }
}

#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let name_at = |text: &str| {
            let after = text.strip_prefix('$')?;
            let end = after
                .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(after.len());
            (after.starts_with(|c: char| c.is_ascii_lowercase())).then_some(end)
        };
        if let Some(length) = name_at(rest) {
            let (name, after) = rest[1..].split_at(length);
            rest = after;
            return Some(Part::Variable(name));
        }
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(at, _)| name_at(&rest[*at..]).is_some())
            .map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_bind_and_compare_variables() {
        let mut bound = Variables::new();
        assert!(matches(
            "* 3 FETCH (UID 17)",
            "* 3 FETCH (UID $uid)",
            true,
            &mut bound
        ));
        assert_eq!(bound["uid"], "17");
        assert!(!matches("UID 18", "UID $uid", true, &mut bound));
        assert!(matches("UID 17 x", "UID $uid", false, &mut bound));
        assert!(!matches("UID 17 x", "UID $uid", true, &mut bound));
        assert!(matches("a $Junk", "a $Junk", true, &mut bound));
        assert_eq!(substitute("$uid-$other-$Junk", &bound), "17-$other-$Junk");
    }

    #[test]
    fn raw_bytes_have_escapes_and_repetition() {
        assert_eq!(
            unescape(r"a\r\n\x00\\\{3 ab}.").unwrap(),
            b"a\r\n\0\\ababab."
        );
        assert!(unescape(r"\q").is_err());
    }

    #[test]
    fn lines_are_steps_or_errors() {
        assert!(parse("hello there").is_err());
        assert_eq!(
            parse("# x\n\nA> b\n< c\nA>> d\n@ quiet A\n").unwrap().len(),
            4
        );
    }
}
