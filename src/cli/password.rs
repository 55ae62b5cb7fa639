//! Reading a password: twice on a terminal without echo, or standard input, which has one line.

use std::io::{self, IsTerminal, Read};

use super::Failure;

/// A new password.
pub(super) fn new_password() -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut text = String::new();
        stdin
            .lock()
            .take(INPUT_BYTES_MAX)
            .read_to_string(&mut text)?;
        return Ok(the_line(&text)?.to_owned());
    }
    let first = rpassword::prompt_password("Password: ")?;
    let second = rpassword::prompt_password("Once more: ")?;
    if first != second {
        return Err("the two passwords differ; nothing was changed".into());
    }
    if first.is_empty() {
        return Err("the password is empty; nothing was changed".into());
    }
    Ok(first)
}

/// The one line of a text.
fn the_line(text: &str) -> Result<&str, Failure> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("standard input gave no password: one line is needed".into());
    }
    if line.contains(['\r', '\n']) {
        return Err("standard input has more than one line, and a password has one".into());
    }
    Ok(line)
}

/// More than any password.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(the_line(text).unwrap(), "a b");
        }
        for (text, part) in [
            ("", "no password"),
            ("\n", "no password"),
            ("one\ntwo", "more than one line"),
            ("one\ntwo\n", "more than one line"),
            ("one\n\n", "more than one line"),
        ] {
            let error = the_line(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
