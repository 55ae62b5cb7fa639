//! Arguments of commands: from text to values (RFC 5321 4.1.1, 4.1.2).
//!
//! Each function takes what follows the verb, trimmed; what may stand behind a path is read by
//! `parameters`. Nothing here can panic, and no reply repeats what the peer wrote but the keyword
//! of an unknown parameter.

use super::{
    command::{Auth, Bdat, ClientName, Command, Etrn, Inquiry, Mail, Rcpt},
    help::Subject,
    parameters::parameters,
    quirk,
    reply::{Detail, Reply},
};
use crate::{
    mail::{
        address::{AddressError, Domain},
        envelope::{self, BodyKind, MailOptions, RcptOptions},
    },
    wire::{MechanismName, mechanism::initial_response},
};

/// The value of an argument, or why it is none.
pub type Parsed = Result<Command, Reply>;

/// HELO (RFC 5321 4.1.1.1).
pub fn helo(argument: &str) -> Parsed {
    client_name(argument).map(Command::Helo)
}

/// EHLO (RFC 5321 4.1.1.1).
pub fn ehlo(argument: &str) -> Parsed {
    client_name(argument).map(Command::Ehlo)
}

fn client_name(argument: &str) -> Result<ClientName, Reply> {
    if !quirk::ODD_CLIENT_NAME && Domain::parse(argument).is_err() {
        return Err(syntax("this needs your host name or address literal"));
    }
    ClientName::new(argument)
        .ok_or_else(|| syntax("this needs your host name, as in EHLO client.example"))
}

/// MAIL (RFC 5321 4.1.1.2). Parameters are taken after HELO too: some devices say HELO and SIZE.
pub fn mail(argument: &str) -> Parsed {
    let path = after_word(argument, "FROM:")
        .ok_or_else(|| syntax("the form is MAIL FROM:<address>, or MAIL FROM:<> for a report"))?;
    let (sender, rest) = envelope::parse_reverse_path(path)
        // RFC 3463 3.2: bad sender's mailbox address syntax.
        .map_err(|error| bad_path(error, Detail(1, 7)))?;
    let mut mail = Mail {
        sender,
        size: None,
        body: BodyKind::SevenBit,
        smtputf8: false,
        by: None,
        hold: None,
        options: MailOptions::default(),
    };
    for parameter in parameters(rest)? {
        parameter.of_mail(&mut mail)?;
    }
    // RFC 6531 3.4: no matter whether it stands in the path or in a parameter.
    if !path.is_ascii() && !mail.smtputf8 {
        return Err(needs_smtputf8());
    }
    Ok(Command::Mail(mail))
}

/// RCPT (RFC 5321 4.1.1.3).
pub fn rcpt(argument: &str) -> Parsed {
    let path =
        after_word(argument, "TO:").ok_or_else(|| syntax("the form is RCPT TO:<address>"))?;
    let (recipient, rest) = envelope::parse_forward_path(path)
        // RFC 3463 3.2: bad destination mailbox address syntax.
        .map_err(|error| bad_path(error, Detail(1, 3)))?;
    let mut rcpt = Rcpt {
        recipient,
        ascii: path.is_ascii(),
        options: RcptOptions::default(),
    };
    for parameter in parameters(rest)? {
        parameter.of_rcpt(&mut rcpt)?;
    }
    Ok(Command::Rcpt(rcpt))
}

/// AUTH (RFC 4954 4).
pub fn auth(argument: &str) -> Parsed {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let (Some(mechanism), initial, None) = (words.next(), words.next(), words.next()) else {
        return Err(syntax(
            "the form is AUTH mechanism, or AUTH mechanism initial-response",
        ));
    };
    let name = MechanismName::parse(mechanism)
        .ok_or_else(|| syntax("this is no name of a mechanism; EHLO lists them"))?;
    let initial =
        match initial {
            None => None,
            // RFC 4954 4.
            Some(text) => Some(initial_response(text.as_bytes()).ok_or_else(|| {
                Reply::new(501, Detail(5, 2), "an initial response is base64, or =")
            })?),
        };
    Ok(Command::Auth(Auth {
        mechanism: name,
        initial,
    }))
}

/// VRFY (RFC 5321 4.1.1.6): an address, in brackets or without, or words that are none.
pub fn vrfy(argument: &str) -> Parsed {
    if argument.is_empty() {
        return Err(syntax("the form is VRFY address"));
    }
    Ok(Command::Vrfy(inquiry(argument)))
}

/// EXPN (RFC 5321 4.1.1.7): the same.
pub fn expn(argument: &str) -> Parsed {
    if argument.is_empty() {
        return Err(syntax("the form is EXPN address"));
    }
    Ok(Command::Expn(inquiry(argument)))
}

/// RFC 6531 3.7.4.2: the parameter stands behind the address.
fn inquiry(argument: &str) -> Inquiry {
    let (address, smtputf8) = match argument.rsplit_once(' ') {
        Some((address, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (address, true),
        _ => (argument, false),
    };
    let path = envelope::parse_forward_path(address.trim_end_matches(' '));
    let whole = path.ok().filter(|(_, rest)| rest.is_empty());
    Inquiry {
        path: whole.map(|(path, _)| path),
        smtputf8,
    }
}

/// ETRN (RFC 1985 5): a domain; with `@`, those below it, too. Queues have no names here.
pub fn etrn(argument: &str) -> Parsed {
    let (below, node) = match argument.strip_prefix('@') {
        Some(node) => (true, node),
        None => (false, argument),
    };
    match Domain::parse(node) {
        // RFC 1985 8: not all of a top-level domain.
        Ok(node) if node.as_str().contains('.') => Ok(Command::Etrn(Etrn { node, below })),
        _ => Err(syntax("the form is ETRN domain, or ETRN @domain")),
    }
}

/// HELP (RFC 5321 4.1.1.8), perhaps about a verb or a topic.
pub fn help(argument: &str) -> Parsed {
    Subject::parse(argument).map(Command::Help).ok_or_else(|| {
        // RFC 5321 4.2.2: 504 for an argument that is not known.
        Reply::new(
            504,
            Detail(5, 4),
            "no such command; HELP alone lists them all",
        )
    })
}

/// NOOP (RFC 5321 4.1.1.9): an argument is ignored.
pub fn noop(_argument: &str) -> Parsed {
    Ok(Command::Noop)
}

/// DATA (RFC 5321 4.1.1.4).
pub fn data(argument: &str) -> Parsed {
    alone(argument, Command::Data)
}

/// BDAT (RFC 3030 2). What is wrong here ends the connection: nobody can say where the next
/// command begins.
pub fn bdat(argument: &str) -> Parsed {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let octets = words.next().filter(|count| {
        (1..=20).contains(&count.len()) && count.bytes().all(|b| b.is_ascii_digit())
    });
    let last = words.next();
    let known = last.is_none_or(|word| word.eq_ignore_ascii_case("LAST"));
    match octets.and_then(|octets| octets.parse().ok()) {
        Some(octets) if known && words.next().is_none() => Ok(Command::Bdat(Bdat {
            octets,
            last: last.is_some(),
        })),
        _ => Err(syntax("the form is BDAT octets, or BDAT octets LAST")),
    }
}

/// RSET (RFC 5321 4.1.1.5).
pub fn rset(argument: &str) -> Parsed {
    alone(argument, Command::Rset)
}

/// QUIT (RFC 5321 4.1.1.10).
pub fn quit(argument: &str) -> Parsed {
    alone(argument, Command::Quit)
}

/// STARTTLS (RFC 3207 4).
pub fn starttls(argument: &str) -> Parsed {
    alone(argument, Command::StartTls)
}

/// RFC 5321 4.1.1: a command without arguments that has one is refused.
fn alone(argument: &str, command: Command) -> Parsed {
    if argument.is_empty() {
        Ok(command)
    } else {
        Err(syntax("this command takes no argument"))
    }
}

/// What follows `word` at the front of `text`, in any case of letters.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (front, rest) = text.split_at_checked(word.len())?;
    front.eq_ignore_ascii_case(word).then_some(rest)
}

/// An argument that is not of the command's form.
pub(super) fn syntax(text: &'static str) -> Reply {
    Reply::new(501, Detail(5, 4), text)
}

/// RFC 6531 3.5.
pub fn needs_smtputf8() -> Reply {
    Reply::new(
        553,
        Detail(6, 7),
        "an address beyond ASCII needs SMTPUTF8 on MAIL",
    )
}

fn bad_path(error: AddressError, detail: Detail) -> Reply {
    Reply::new(501, detail, error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::{
        dsn::{Notify, Ret},
        urgency::{By, Hold, Priority},
    };

    fn code(parsed: &Parsed) -> (u16, String) {
        let Err(reply) = parsed else {
            panic!("{parsed:?}")
        };
        let mut out = crate::wire::Output::new();
        reply.encode(&mut out);
        let text = String::from_utf8(out.as_bytes().to_vec()).unwrap();
        let status = text.split(' ').nth(1).unwrap().to_owned();
        (reply.code(), status)
    }

    fn mail_of(argument: &str) -> Mail {
        match mail(argument) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{argument:?}: {other:?}"),
        }
    }

    #[test]
    fn mail_gives_the_sender_and_its_parameters() {
        for (argument, sender, size, eight, utf8) in [
            ("FROM:<a@b.example>", "<a@b.example>", None, false, false),
            ("from:<>", "<>", None, false, false),
            (
                "FROM: <a@b.example> SIZE=0",
                "<a@b.example>",
                Some(0),
                false,
                false,
            ),
            (
                "FROM:a@b.example body=8bitmime",
                "<a@b.example>",
                None,
                true,
                false,
            ),
            (
                "FROM:<a@b.example> BODY=7BIT size=00012",
                "<a@b.example>",
                Some(12),
                false,
                false,
            ),
            (
                "FROM:<a@b.example> SIZE=99999999999999999999",
                "<a@b.example>",
                Some(u64::MAX),
                false,
                false,
            ),
            (
                "FROM:<\u{e9}@b.example>  SMTPUTF8",
                "<\u{e9}@b.example>",
                None,
                false,
                true,
            ),
            (
                "FROM:<a@b.example> AUTH=<>",
                "<a@b.example>",
                None,
                false,
                false,
            ),
            (
                "FROM:<a@b.example> AUTH=e+3Dmc2@example.com",
                "<a@b.example>",
                None,
                false,
                false,
            ),
        ] {
            let mail = mail_of(argument);
            assert_eq!(mail.sender.to_string(), sender, "{argument:?}");
            assert_eq!((mail.size, mail.smtputf8), (size, utf8), "{argument:?}");
            assert_eq!(mail.body == BodyKind::EightBit, eight, "{argument:?}");
        }
    }

    /// What a parser says of an argument: code and status.
    type Row = (fn(&str) -> Parsed, &'static str, u16, &'static str);

    fn check(rows: &[Row]) {
        for (parse, argument, reply, status) in rows {
            let found = code(&parse(argument));
            assert_eq!(found, (*reply, (*status).to_owned()), "{argument:?}");
        }
    }

    #[test]
    fn wrong_arguments_of_mail_are_refused_with_the_code_of_their_rule() {
        check(&[
            (mail, "", 501, "5.5.4"),
            (mail, "<a@b.example>", 501, "5.5.4"),
            (mail, "TO:<a@b.example>", 501, "5.5.4"),
            (mail, "FROM:", 501, "5.1.7"),
            (mail, "FROM:<a>", 501, "5.1.7"),
            (mail, "FROM:<a@b.example", 501, "5.1.7"),
            (mail, "FROM:<@x.example:a@b.example>", 501, "5.1.7"),
            (mail, "FROM:<a@b.example> SIZE", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> SIZE=", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> SIZE=-1", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> SIZE=1 SIZE=1", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> SIZE=1 size=2", 501, "5.5.4"),
            (
                mail,
                "FROM:<a@b.example> SIZE=100000000000000000000",
                501,
                "5.5.4",
            ),
            (mail, "FROM:<a@b.example> BODY=BINARY", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> BODY", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> SMTPUTF8=1", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> AUTH=a+0db", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> AUTH=a+0", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> AUTH", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> =1", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> X=1=2", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> REQUIRETLS=1", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> RET=BODY", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> RET=HDRS RET=FULL", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> RET", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> ENVID=a+0D+0Ab", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> ENVID=", 501, "5.5.4"),
            (mail, "FROM:<a@b.example> NOTIFY=NEVER", 555, "5.5.4"),
            (mail, "FROM:<a@b.example> X-NEW", 555, "5.5.4"),
            (mail, "FROM:<\u{e9}@b.example>", 553, "5.6.7"),
            (mail, "FROM:<a@b\u{fc}cher.example> SIZE=3", 553, "5.6.7"),
        ]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_the_code_of_their_rule() {
        check(&[
            (rcpt, "", 501, "5.5.4"),
            (rcpt, "FROM:<a@b.example>", 501, "5.5.4"),
            (rcpt, "TO:<>", 501, "5.1.3"),
            (rcpt, "TO:<@x.example:a@b.example>", 501, "5.1.3"),
            (rcpt, "TO:<a@b@c.example>", 501, "5.1.3"),
            (rcpt, "TO:<a@b.example> NOTIFY=NEVER,DELAY", 501, "5.5.4"),
            (rcpt, "TO:<a@b.example> NOTIFY", 501, "5.5.4"),
            (
                rcpt,
                "TO:<a@b.example> NOTIFY=DELAY NOTIFY=DELAY",
                501,
                "5.5.4",
            ),
            (rcpt, "TO:<a@b.example> ORCPT=a@b", 501, "5.5.4"),
            (rcpt, "TO:<a@b.example> ORCPT=rfc822;\u{e9}@b", 501, "5.5.4"),
            (rcpt, "TO:<a@b.example> SIZE=1", 555, "5.5.4"),
            (helo, "", 501, "5.5.4"),
            (data, "x", 501, "5.5.4"),
            (bdat, "", 501, "5.5.4"),
            (bdat, "LAST", 501, "5.5.4"),
            (bdat, "-1", 501, "5.5.4"),
            (bdat, "1 FIRST", 501, "5.5.4"),
            (bdat, "1 LAST x", 501, "5.5.4"),
            (bdat, "99999999999999999999", 501, "5.5.4"),
            (bdat, "000000000000000000001", 501, "5.5.4"),
            (rset, "x", 501, "5.5.4"),
            (quit, "x", 501, "5.5.4"),
            (starttls, "x", 501, "5.5.4"),
            (vrfy, "", 501, "5.5.4"),
            (expn, "", 501, "5.5.4"),
            (etrn, "", 501, "5.5.4"),
            (etrn, "com", 501, "5.5.4"),
            (etrn, "@com", 501, "5.5.4"),
            (etrn, "#queue", 501, "5.5.4"),
            (etrn, "a b", 501, "5.5.4"),
            (auth, "", 501, "5.5.4"),
            (auth, "PLAIN a b", 501, "5.5.4"),
            (auth, "AGFsaWNlAHB3AA==", 501, "5.5.4"),
            (auth, "AGFsaWNlQGV4YW1wbGUub3JnAHB3", 501, "5.5.4"),
            (help, "BREAKFAST", 504, "5.5.4"),
        ]);
    }

    #[test]
    fn replies_to_wrong_arguments_say_what_is_wrong() {
        type Parse = fn(&str) -> Parsed;
        for (parse, argument, words) in [
            (
                mail as Parse,
                "FROM:<a@b.example> SIZE=1 X-Tra=HDRS",
                "X-TRA",
            ),
            (rcpt, "TO:<a@b.example> NOTIFY=SOMETIMES", "NEVER"),
            (rcpt, "TO:<>", "null path"),
            (
                rcpt,
                "TO:<@a.example,@b.example:c@d.example>",
                "source routes",
            ),
        ] {
            let reply = parse(argument).unwrap_err();
            let said: Vec<_> = reply.lines().collect();
            assert!(said.join("").contains(words), "{argument:?}: {said:?}");
        }
        let long = mail(&format!("FROM:<a@b.example> {}", "x".repeat(2000)));
        let reply = long.unwrap_err();
        assert!(reply.lines().all(|line| line.ends_with("lists what is")));
    }

    #[test]
    fn a_path_beyond_ascii_is_marked() {
        for (argument, expected) in [
            ("TO:<a@b.example>", true),
            ("TO:<Postmaster>", true),
            ("TO:<\u{e9}@b.example>", false),
            ("TO:<a@b\u{fc}cher.example>", false),
            ("TO:<a@b.example> ORCPT=utf-8;a@b.example", true),
            ("TO:<a@b.example> ORCPT=utf-8;\u{e9}@b.example", false),
        ] {
            let Ok(Command::Rcpt(rcpt)) = rcpt(argument) else {
                panic!("{argument}")
            };
            assert_eq!(rcpt.ascii, expected, "{argument:?}");
        }
    }

    #[test]
    fn what_is_asked_about_reports_is_kept_as_it_was_said() {
        let mail = mail_of("FROM:<a@b.example> ret=full ENVID=QQ+2B1");
        assert_eq!(mail.options.ret, Some(Ret::Full));
        let id = mail.options.envelope_id.unwrap();
        assert_eq!(id.as_xtext(), "QQ+2B1");
        let Ok(Command::Rcpt(rcpt)) =
            rcpt("TO:<a@b.example> Notify=success,delay ORCPT=rfc822;A+2Bb@b.example")
        else {
            panic!()
        };
        assert_eq!(rcpt.options.notify, Notify::parse("SUCCESS,DELAY"));
        let original = rcpt.options.original.unwrap();
        assert_eq!(original.as_str(), "rfc822;A+2Bb@b.example");
    }

    #[test]
    fn a_chunk_has_a_length_and_may_be_the_last() {
        for (argument, octets, last) in [
            ("0 LAST", 0, true),
            ("86", 86, false),
            ("86  last", 86, true),
            ("18446744073709551615", u64::MAX, false),
        ] {
            let Ok(Command::Bdat(chunk)) = bdat(argument) else {
                panic!("{argument}")
            };
            assert_eq!(chunk, Bdat { octets, last });
        }
    }

    #[test]
    fn an_initial_response_is_never_shown() {
        let parsed = auth("plain AGFsaWNlAHB3");
        assert!(!format!("{parsed:?}").contains("AGFs"));
        let Ok(Command::Auth(auth)) = parsed else {
            panic!()
        };
        assert_eq!(auth.mechanism.as_str(), "plain");
        assert_eq!(auth.initial.unwrap().expose().as_ref(), b"\0alice\0pw");
    }

    #[test]
    fn times_and_priorities_are_read() {
        let mail = mail_of("FROM:<a@b.example> By=60;nt holdfor=5 MT-Priority=-9");
        assert_eq!(mail.by, By::parse("60;NT"));
        assert_eq!(mail.hold, Some(Hold::For(5)));
        assert_eq!(mail.options.priority, Priority::new(-9));
        let mail = mail_of("FROM:<a@b.example> HOLDUNTIL=1970-01-01T00:00:09Z body=binarymime");
        assert_eq!(mail.hold, Some(Hold::Until(9)));
        assert_eq!(mail.body, BodyKind::Binary);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(argument in "(FROM:|TO:|)[ -~\u{e9}]{0,60}") {
            for parse in [mail, rcpt, auth, helo, ehlo, help, vrfy, expn, etrn, data, bdat, noop] {
                let _ = parse(&argument);
            }
        }

        #[test]
        fn parameters_never_panic(
            text in "( ?(RET|ENVID|NOTIFY|ORCPT|SIZE|BY|HOLDFOR|HOLDUNTIL|MT-PRIORITY)?\
                [A-Za-z0-9=+<>;,{}\\\\\u{e9}-]{0,9}){0,5}",
        ) {
            let _ = mail(&format!("FROM:<a@b.example> {text}"));
            let _ = rcpt(&format!("TO:<a@b.example> {text}"));
        }
    }
}
