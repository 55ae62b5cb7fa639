//! Responses as they are written, and read back.

use proptest::prelude::*;

use super::*;
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        command::Tag,
        list::SpecialUse,
        parse::Scanner,
        response::Url,
        section::{FieldName, Section, SectionText},
        status::StatusItem,
    },
    wire::literal::Piece,
};

fn said(what: &Response) -> String {
    let mut out = Output::new();
    response(what, Enabled::NONE, &mut out);
    String::from_utf8(out.as_bytes().to_vec()).unwrap()
}

fn written(write: impl FnOnce(&mut Output)) -> String {
    let mut out = Output::new();
    write(&mut out);
    String::from_utf8(out.as_bytes().to_vec()).unwrap()
}

fn tag() -> Tag {
    Tag::parse(b"a1").unwrap()
}

#[test]
fn completions_carry_code_and_text() {
    for (response, line) in [
        (Response::ok(tag(), "done"), "a1 OK done\r\n"),
        (
            Response::no(tag(), Code::TryCreate, "no such mailbox"),
            "a1 NO [TRYCREATE] no such mailbox\r\n",
        ),
        (Response::ok(tag(), "x\r\ny"), "a1 OK x??y\r\n"),
        (
            Response::note(
                Code::CopyUid {
                    uid_validity: 7,
                    from: vec![1, 2, 3, 9],
                    to: vec![11, 12, 13, 14],
                },
                "copied",
            ),
            "* OK [COPYUID 7 1:3,9 11:14] copied\r\n",
        ),
        (
            Response::note(
                Code::CopyUid {
                    uid_validity: 7,
                    from: vec![],
                    to: vec![],
                },
                "nothing to copy",
            ),
            "* OK nothing to copy\r\n",
        ),
        (
            Response::note(
                Code::AppendUid {
                    uid_validity: 7,
                    uids: vec![9, 10, 11],
                },
                "appended",
            ),
            "* OK [APPENDUID 7 9:11] appended\r\n",
        ),
        (
            Response::no(
                tag(),
                Code::BadUrl(Url::shown(b"/a]\r\n\xff\\ b")),
                "no such thing",
            ),
            "a1 NO [BADURL /a%5D%0D%0A%FF%5C%20b] no such thing\r\n",
        ),
        (
            Response::note(
                Code::PermanentFlags {
                    flags: FlagList {
                        system: SystemFlags::SEEN,
                        keywords: vec!["$work".to_owned()],
                    },
                    new_keywords: true,
                },
                "kept",
            ),
            "* OK [PERMANENTFLAGS (\\Seen $work \\*)] kept\r\n",
        ),
        (
            Response::Dismissal {
                tag: tag(),
                code: Some(Code::TooBig),
                text: "too much".into(),
            },
            "a1 BAD [TOOBIG] too much\r\n* BYE too much\r\n",
        ),
        (Response::Challenge(String::new()), "+ \r\n"),
    ] {
        assert_eq!(said(&response), line);
    }
}

#[test]
fn long_work_is_told_with_or_without_its_state() {
    for (state, line) in [
        (
            Some((175, 1_000)),
            "* OK [INPROGRESS (\"a1\" 175 1000)] still working\r\n",
        ),
        (None, "* OK [INPROGRESS (\"a1\" NIL NIL)] still working\r\n"),
    ] {
        let code = Code::InProgress { tag: tag(), state };
        assert_eq!(said(&Response::note(code, "still working")), line);
    }
}

#[test]
fn rfc_9738_a_limit_is_told_with_the_lowest_uid_if_it_is_known() {
    for (lowest, line) in [
        (Some(23_221), "* NO [MESSAGELIMIT 1000 23221] x\r\n"),
        (None, "* NO [MESSAGELIMIT 1000] x\r\n"),
    ] {
        let response = Response::Untagged {
            status: Status::No,
            code: Some(Code::MessageLimit {
                limit: 1000,
                lowest,
            }),
            text: "x".into(),
        };
        assert_eq!(said(&response), line);
    }
}

#[test]
fn mailbox_data_is_written_as_the_grammar_says() {
    for (response, line) in [
        (Response::Flags(FlagList::default()), "* FLAGS ()\r\n"),
        (Response::Exists(4_294_967_295), "* 4294967295 EXISTS\r\n"),
        (
            Response::Vanished {
                earlier: false,
                uids: vec![(7, 7)],
            },
            "* VANISHED 7\r\n",
        ),
        (
            Response::Vanished {
                earlier: true,
                uids: vec![(1, 3), (9, 10)],
            },
            "* VANISHED (EARLIER) 1:3,9:10\r\n",
        ),
        (
            Response::note(Code::HighestModSeq(ModSeq(u64::MAX >> 1)), "x"),
            "* OK [HIGHESTMODSEQ 9223372036854775807] x\r\n",
        ),
        (
            Response::note(Code::Modified(vec![7, 8, 9, 12]), "x"),
            "* OK [MODIFIED 7:9,12] x\r\n",
        ),
        (Response::Recent(0), "* 0 RECENT\r\n"),
        (Response::Enabled(vec![]), "* ENABLED\r\n"),
        (Response::Id(vec![]), "* ID NIL\r\n"),
        (
            Response::Id(vec![("name", "bu\"zon".to_owned())]),
            "* ID (\"name\" \"bu\\\"zon\")\r\n",
        ),
        (
            Response::List {
                attributes: vec![Attribute::HasNoChildren, Attribute::Use(SpecialUse::Drafts)],
                name: "Entw\u{fc}rfe".to_owned(),
                subscribed_below: true,
            },
            "* LIST (\\HasNoChildren \\Drafts) \"/\" Entw&APw-rfe \
             (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
        ),
        (
            Response::List {
                attributes: vec![Attribute::NoSelect],
                name: String::new(),
                subscribed_below: false,
            },
            "* LIST (\\Noselect) \"/\" \"\"\r\n",
        ),
        (
            Response::Lsub {
                attributes: vec![],
                name: "nil".to_owned(),
            },
            "* LSUB () \"/\" \"nil\"\r\n",
        ),
        (
            Response::Status {
                name: "a b".to_owned(),
                items: vec![
                    (StatusItem::Messages, 3.into()),
                    (StatusItem::Size, u64::MAX.into()),
                ],
            },
            "* STATUS \"a b\" (MESSAGES 3 SIZE 18446744073709551615)\r\n",
        ),
    ] {
        assert_eq!(said(&response), line);
    }
}

/// RFC 4314 7: whatever an identifier is, it is one astring on one line.
#[test]
fn rights_are_told_as_the_grammar_says() {
    let name = || "Other Users/a\"b@x.org".to_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for (response, line) in [
        (
            Response::Acl {
                name: name(),
                entries: vec![
                    ("anyone".to_owned(), "lr".to_owned()),
                    ("-nil".to_owned(), "a".to_owned()),
                    ("\"a b\"@x.org".to_owned(), String::new()),
                    ("J\u{f6}rg@x.org".to_owned(), "l".to_owned()),
                ],
            },
            "* ACL \"Other Users/a\\\"b@x.org\" anyone lr -nil a \"\\\"a b\\\"@x.org\" \"\" \
             {11}\r\nJ\u{f6}rg@x.org l\r\n",
        ),
        (
            Response::Acl {
                name: "x".to_owned(),
                entries: vec![],
            },
            "* ACL x\r\n",
        ),
        (
            Response::ListRights {
                name: "x".to_owned(),
                identifier: "bob".to_owned(),
                required: String::new(),
                optional: words(&["l", "r", "te"]),
            },
            "* LISTRIGHTS x bob \"\" l r te\r\n",
        ),
        (
            Response::MyRights {
                name: name(),
                rights: String::new(),
            },
            "* MYRIGHTS \"Other Users/a\\\"b@x.org\" \"\"\r\n",
        ),
        (
            Response::Namespace,
            "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared/\" \"/\"))\r\n",
        ),
    ] {
        assert_eq!(said(&response), line);
    }
}

#[test]
fn fetch_answers_are_written_item_by_item() {
    let section = Section {
        path: vec![1, 2],
        text: Some(SectionText::HeaderFields {
            names: vec![
                FieldName::parse(b"From").unwrap(),
                FieldName::parse(b"X(\"").unwrap(),
            ],
            not: true,
        }),
    };
    let line = written(|out| {
        let mut items = Items::begin(out, MessageName::Number(1));
        items.item().bytes(b"UID ").number(7);
        section_label(items.item(), &section, Some(0));
        literal_header(items.item(), 2);
        items.end();
    });
    assert_eq!(
        line,
        "* 1 FETCH (UID 7 BODY[1.2.HEADER.FIELDS.NOT (From \"X(\\\"\")]<0>  {2}\r\n)\r\n"
    );
    assert_eq!(
        written(|out| section_label(out, &Section::default(), None)),
        "BODY[] "
    );
}

proptest! {
    #[test]
    fn strings_are_read_back(
        bytes in proptest::collection::vec(1_u8.., 0..30), word in any::<bool>(),
    ) {
        let mut out = Output::new();
        if word {
            astring(&mut out, &bytes);
        } else {
            string(&mut out, &bytes);
        }
        let wire = out.as_bytes();
        let literal = wire.starts_with(b"{").then(|| &wire[wire.len() - bytes.len()..]);
        let text = if literal.is_some() { &b""[..] } else { wire };
        let pieces = [Piece { text, literal }, Piece { text: b"", literal: None }];
        let pieces = if literal.is_some() { &pieces[..] } else { &pieces[..1] };
        let mut scanner = Scanner::new(pieces, None);
        prop_assert_eq!(scanner.astring().unwrap().into_owned(), bytes);
        prop_assert!(scanner.is_at_end());
    }

    #[test]
    fn mailbox_names_are_read_back(name in "[a-zA-Z&/ \"\\\\\u{fc}\u{65e5}\u{1f4e7}]{0,12}") {
        let mut out = Output::new();
        mailbox(&mut out, Enabled::NONE, &name);
        let pieces = [Piece { text: out.as_bytes(), literal: None }];
        prop_assert_eq!(Scanner::new(&pieces, None).mailbox().unwrap(), name.clone());
        let mut out = Output::new();
        mailbox(&mut out, Enabled::IMAP4REV2, &name);
        let pieces = [Piece { text: out.as_bytes(), literal: None }];
        let mut scanner = Scanner::new(&pieces, None).of_client(Enabled::IMAP4REV2);
        prop_assert_eq!(scanner.mailbox().unwrap(), name);
    }
}
