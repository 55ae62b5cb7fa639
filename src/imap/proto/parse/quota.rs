//! Arguments of the commands about quotas (RFC 9208 7).

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::command::CommandBody;

/// `"GETQUOTA" SP quota-root-name`
pub fn get_quota(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let root = scanner.astring()?.into_owned();
    scanner.end()?;
    Ok(CommandBody::GetQuota { root })
}

/// `"GETQUOTAROOT" SP mailbox`
pub fn get_quota_root(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.end()?;
    Ok(CommandBody::GetQuotaRoot { mailbox })
}

/// `"SETQUOTA" SP quota-root-name SP "(" [atom SP number64 *(SP atom SP number64)] ")"`
pub fn set_quota(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    const RULE: &str = "SETQUOTA takes names and numbers, as in (STORAGE 512)";
    scanner.space()?;
    scanner.astring()?;
    scanner.space()?;
    scanner.expect(b'(', RULE)?;
    let mut first = true;
    while !scanner.eat(b')') {
        if !first {
            scanner.space()?;
        }
        first = false;
        scanner.atom()?;
        scanner.space()?;
        if scanner.run(|byte| byte.is_ascii_digit()).is_empty() {
            return Err(Mistake::bad(RULE));
        }
    }
    scanner.end()?;
    Ok(CommandBody::SetQuota)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::parse::tests::{assert_all_refused, parsed};

    #[test]
    fn quota_commands_are_read_as_the_grammar_says() {
        for (text, body) in [
            ("GETQUOTA \"\"", CommandBody::GetQuota { root: Vec::new() }),
            (
                "getquota x",
                CommandBody::GetQuota {
                    root: b"x".to_vec(),
                },
            ),
            (
                "GETQUOTAROOT inbox",
                CommandBody::GetQuotaRoot {
                    mailbox: "inbox".to_owned(),
                },
            ),
            (
                "SETQUOTA \"\" (STORAGE 512 MESSAGE 7)",
                CommandBody::SetQuota,
            ),
            ("SETQUOTA \"\" ()", CommandBody::SetQuota),
        ] {
            assert_eq!(parsed(text), Some(body), "{text}");
        }
        assert_all_refused(&[
            "GETQUOTA",
            "GETQUOTA ",
            "GETQUOTA a b",
            "GETQUOTAROOT",
            "GETQUOTAROOT a b",
            "SETQUOTA \"\"",
            "SETQUOTA \"\" STORAGE 512",
            "SETQUOTA \"\" (STORAGE)",
            "SETQUOTA \"\" (STORAGE x)",
            "SETQUOTA \"\" (STORAGE 1",
            "SETQUOTA \"\" (STORAGE 1) x",
        ]);
    }
}
