//! Reading a password: twice on a terminal without echo, or one line of standard input.

use std::io::{self, BufRead, IsTerminal};

use super::Failure;

/// A new password.
pub(super) fn new_password() -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err("standard input gave no password: one line is needed".into());
        }
        return Ok(line.to_owned());
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
