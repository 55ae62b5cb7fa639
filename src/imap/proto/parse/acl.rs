//! Arguments of the commands about access control lists (RFC 4314 7).
//!
//! Which rights and which identifiers there are is not grammar: letters and names are text here.

use super::{Mistake, Parsed, Scanner, scan::utf8};
use crate::imap::proto::{
    acl::{Identifier, RightsChange},
    command::CommandBody,
};

/// `"GETACL" SP mailbox`
pub fn get_acl(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(scanner)?;
    scanner.end()?;
    Ok(CommandBody::GetAcl { mailbox })
}

/// `"MYRIGHTS" SP mailbox`
pub fn my_rights(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(scanner)?;
    scanner.end()?;
    Ok(CommandBody::MyRights { mailbox })
}

/// `"LISTRIGHTS" SP mailbox SP identifier`
pub fn list_rights(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(scanner)?;
    let identifier = identifier(scanner)?;
    scanner.end()?;
    Ok(CommandBody::ListRights {
        mailbox,
        identifier,
    })
}

/// `"DELETEACL" SP mailbox SP identifier`
pub fn delete_acl(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(scanner)?;
    let identifier = identifier(scanner)?;
    scanner.end()?;
    Ok(CommandBody::DeleteAcl {
        mailbox,
        identifier,
    })
}

/// `"SETACL" SP mailbox SP identifier SP mod-rights`
pub fn set_acl(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(scanner)?;
    let identifier = identifier(scanner)?;
    scanner.space()?;
    let change = utf8(&scanner.astring()?)?.to_owned();
    scanner.end()?;
    let change = RightsChange::parse(&change).ok_or_else(|| {
        Mistake::bad("rights are lower-case letters, with a + or - before them or without")
    })?;
    Ok(CommandBody::SetAcl {
        mailbox,
        identifier,
        change,
    })
}

fn mailbox(scanner: &mut Scanner<'_>) -> Parsed<String> {
    scanner.space()?;
    scanner.mailbox()
}

/// RFC 4314 3: what is no identifier is a BAD.
fn identifier(scanner: &mut Scanner<'_>) -> Parsed<Identifier> {
    scanner.space()?;
    let text = utf8(&scanner.astring()?)?.to_owned();
    Identifier::parse(text).ok_or_else(|| Mistake::bad("an identifier is a name, perhaps behind -"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        acl::Sign,
        parse::tests::{assert_all_refused, parsed},
    };

    fn of(text: &str) -> Identifier {
        Identifier::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn commands_take_their_arguments() {
        let mailbox = || "Entw\u{fc}rfe".to_owned();
        let set = |letters: &str, sign| {
            Some(CommandBody::SetAcl {
                mailbox: mailbox(),
                identifier: of("bob"),
                change: RightsChange {
                    sign,
                    letters: letters.to_owned(),
                },
            })
        };
        for (text, body) in [
            (
                "GETACL Entw&APw-rfe",
                Some(CommandBody::GetAcl { mailbox: mailbox() }),
            ),
            (
                "myrights Entw&APw-rfe",
                Some(CommandBody::MyRights { mailbox: mailbox() }),
            ),
            (
                "LISTRIGHTS Entw&APw-rfe \"-bob@example.org\"",
                Some(CommandBody::ListRights {
                    mailbox: mailbox(),
                    identifier: of("-bob@example.org"),
                }),
            ),
            (
                "DELETEACL Entw&APw-rfe anyone",
                Some(CommandBody::DeleteAcl {
                    mailbox: mailbox(),
                    identifier: of("anyone"),
                }),
            ),
            ("SETACL Entw&APw-rfe bob lrs", set("lrs", Sign::None)),
            ("SETACL Entw&APw-rfe bob +lrs", set("lrs", Sign::Plus)),
            ("SETACL Entw&APw-rfe bob \"-x\"", set("x", Sign::Minus)),
            ("SETACL Entw&APw-rfe \"bob\" \"\"", set("", Sign::None)),
        ] {
            assert_eq!(parsed(text), body, "{text}");
        }
        assert_all_refused(&[
            "GETACL",
            "GETACL a b",
            "MYRIGHTS",
            "MYRIGHTS a b",
            "LISTRIGHTS a",
            "LISTRIGHTS a b c",
            "LISTRIGHTS a \"\"",
            "LISTRIGHTS a -",
            "LISTRIGHTS a \"a\u{1}b\"",
            "DELETEACL a",
            "DELETEACL a b c",
            "SETACL a b",
            "SETACL a b c d",
            "SETACL a b lrQ",
            "SETACL a b ++l",
            "SETACL a b \"l r\"",
            "SETACL a \"\" l",
        ]);
    }
}
