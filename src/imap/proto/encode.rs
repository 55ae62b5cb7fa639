//! Responses in wire form (RFC 3501 9), written straight into the output.
//!
//! FETCH answers are written item by item through [`Items`], without a value or an allocation in
//! between; bodies are labelled here and streamed by the server. Everything that came from
//! outside goes through a string, a literal or a type that cannot hold a line end.

use super::{
    flag::{FlagList, SystemFlags},
    list::Attribute,
    mutf7,
    parse::scan::is_atom_byte,
    response::{Code, Response, Status, Text},
    section::{Section, SectionText},
    sequence,
};
use crate::{mail::imap_text::write_string, wire::Output};

/// Writes one response with its line end.
pub fn response(response: &Response, out: &mut Output) {
    match response {
        Response::Tagged {
            tag,
            status,
            code,
            text,
        } => {
            out.bytes(tag.as_bytes()).text(" ");
            condition(out, status_name(*status), code.as_ref(), text);
        }
        Response::Untagged { status, code, text } => {
            out.text("* ");
            condition(out, status_name(*status), code.as_ref(), text);
        }
        Response::Bye { code, text } => {
            out.text("* ");
            condition(out, "BYE", code.as_ref(), text);
        }
        Response::Dismissal { tag, code, text } => {
            out.bytes(tag.as_bytes()).text(" ");
            condition(out, "BAD", code.as_ref(), text);
            out.text("* ");
            condition(out, "BYE", None, text);
        }
        Response::Continuation(text) => {
            out.text("+ ").text(text.as_str()).crlf();
        }
        Response::Challenge(base64) => {
            out.text("+ ").text(base64).crlf();
        }
        Response::Id(pairs) => id(out, pairs),
        Response::Namespace => {
            // RFC 2342 5
            out.text("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
        }
        data => mailbox_data(data, out),
    }
}

/// `mailbox-data` and what else tells about mailboxes and messages.
fn mailbox_data(response: &Response, out: &mut Output) {
    match response {
        Response::Capability(capabilities) => {
            out.text("* CAPABILITY ").text(capabilities.as_str()).crlf();
        }
        Response::Enabled(capabilities) => {
            out.text("* ENABLED");
            for capability in capabilities {
                out.text(" ").text(capability);
            }
            out.crlf();
        }
        Response::Flags(flags) => {
            out.text("* FLAGS ");
            flag_list(out, flags, None);
            out.crlf();
        }
        Response::Exists(count) => counted(out, *count, "EXISTS"),
        Response::Recent(count) => counted(out, *count, "RECENT"),
        Response::Expunge(number) => counted(out, *number, "EXPUNGE"),
        Response::List {
            attributes,
            name,
            subscribed_below,
        } => {
            name_line(out, "* LIST (", attributes, name);
            if *subscribed_below {
                // RFC 5258 3.5
                out.text(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
            }
            out.crlf();
        }
        Response::Lsub { attributes, name } => {
            name_line(out, "* LSUB (", attributes, name);
            out.crlf();
        }
        Response::Status { name, items } => {
            out.text("* STATUS ");
            mailbox(out, name);
            out.text(" (");
            let mut separator = "";
            for (item, value) in items {
                out.text(separator)
                    .text(item.name())
                    .text(" ")
                    .number(*value);
                separator = " ";
            }
            out.text(")").crlf();
        }
        _ => {}
    }
}

fn counted(out: &mut Output, number: u32, what: &str) {
    out.text("* ")
        .number(u64::from(number))
        .text(" ")
        .text(what)
        .crlf();
}

fn name_line(out: &mut Output, start: &str, attributes: &[Attribute], name: &str) {
    out.text(start);
    let mut separator = "";
    for attribute in attributes {
        out.text(separator).text(attribute.name());
        separator = " ";
    }
    out.text(") \"/\" ");
    mailbox(out, name);
}

fn id(out: &mut Output, pairs: &[(&'static str, String)]) {
    if pairs.is_empty() {
        out.text("* ID NIL\r\n");
        return;
    }
    let mut start = "* ID (";
    for (field, value) in pairs {
        out.text(start);
        string(out, field.as_bytes());
        out.text(" ");
        string(out, value.as_bytes());
        start = " ";
    }
    out.text(")").crlf();
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::No => "NO",
        Status::Bad => "BAD",
    }
}

/// `resp-cond-state` and its line end.
fn condition(out: &mut Output, name: &str, code: Option<&Code>, text: &Text) {
    out.text(name).text(" ");
    if let Some(code) = code.filter(|code| says_something(code)) {
        out.text("[");
        response_code(out, code);
        out.text("] ");
    }
    out.text(text.as_str()).crlf();
}

/// RFC 4315 3: COPYUID has no empty form.
fn says_something(code: &Code) -> bool {
    !matches!(code, Code::CopyUid { from, .. } if from.is_empty())
}

fn response_code(out: &mut Output, code: &Code) {
    match code {
        Code::AppendUid { uid_validity, uid } => {
            out.text("APPENDUID ").number(u64::from(*uid_validity));
            out.text(" ").number(u64::from(*uid));
        }
        Code::CopyUid {
            uid_validity,
            from,
            to,
        } => {
            out.text("COPYUID ")
                .number(u64::from(*uid_validity))
                .text(" ");
            sequence::write_set(out, from);
            out.text(" ");
            sequence::write_set(out, to);
        }
        Code::Capability(capabilities) => {
            out.text("CAPABILITY ").text(capabilities.as_str());
        }
        Code::PermanentFlags {
            flags,
            new_keywords,
        } => {
            out.text("PERMANENTFLAGS ");
            flag_list(out, flags, new_keywords.then_some("\\*"));
        }
        Code::UidNext(uid) => {
            out.text("UIDNEXT ").number(u64::from(*uid));
        }
        Code::UidValidity(value) => {
            out.text("UIDVALIDITY ").number(u64::from(*value));
        }
        Code::Unseen(number) => {
            out.text("UNSEEN ").number(u64::from(*number));
        }
        plain => {
            out.text(plain_code(plain));
        }
    }
}

const fn plain_code(code: &Code) -> &'static str {
    match code {
        Code::AlreadyExists => "ALREADYEXISTS",
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
        Code::Cannot => "CANNOT",
        Code::ClientBug => "CLIENTBUG",
        Code::Closed => "CLOSED",
        Code::Corruption => "CORRUPTION",
        Code::ExpungeIssued => "EXPUNGEISSUED",
        Code::HasChildren => "HASCHILDREN",
        Code::InUse => "INUSE",
        Code::Limit => "LIMIT",
        Code::NonExistent => "NONEXISTENT",
        Code::OverQuota => "OVERQUOTA",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::ReadOnly => "READ-ONLY",
        Code::ReadWrite => "READ-WRITE",
        Code::TooBig => "TOOBIG",
        Code::TryCreate => "TRYCREATE",
        Code::Unavailable => "UNAVAILABLE",
        Code::UseAttr => "USEATTR",
        Code::AppendUid { .. }
        | Code::CopyUid { .. }
        | Code::Capability(_)
        | Code::PermanentFlags { .. }
        | Code::UidNext(_)
        | Code::UidValidity(_)
        | Code::Unseen(_) => "",
    }
}

/// `flag-list`, perhaps with one more name at its end.
fn flag_list(out: &mut Output, flags: &FlagList, more: Option<&str>) {
    out.text("(");
    let keywords = flags.keywords.iter().map(String::as_str);
    flag_names(out, flags.system, keywords.chain(more));
    out.text(")");
}

/// Writes names with spaces between them.
fn flag_names<'n>(out: &mut Output, system: SystemFlags, names: impl Iterator<Item = &'n str>) {
    let mut separator = "";
    for (flag, name) in SystemFlags::ALL {
        if system.contains(flag) {
            out.text(separator).text(name);
            separator = " ";
        }
    }
    for name in names {
        out.text(separator).text(name);
        separator = " ";
    }
}

/// The items of one FETCH response, with spaces between them. What goes to its [`Items::item`]
/// begins with the item's name.
#[derive(Debug)]
pub struct Items<'o> {
    out: &'o mut Output,
    separator: &'static [u8],
}

impl<'o> Items<'o> {
    /// `* n FETCH (`
    pub fn begin(out: &'o mut Output, number: u32) -> Self {
        out.bytes(b"* ")
            .number(u64::from(number))
            .bytes(b" FETCH (");
        Self {
            out,
            separator: b"",
        }
    }

    /// Where the next item goes.
    pub fn item(&mut self) -> &mut Output {
        self.out.bytes(std::mem::replace(&mut self.separator, b" "))
    }

    /// `)` and the line end.
    pub fn end(self) {
        self.out.bytes(b")\r\n");
    }
}

/// `BODY[...]<origin>` and a space: what stands before the octets of a section (RFC 3501 7.4.2).
pub fn section_label(out: &mut Output, section: &Section, origin: Option<u32>) {
    out.bytes(b"BODY[");
    let mut separator: &[u8] = b"";
    for number in &section.path {
        out.bytes(separator).number(u64::from(*number));
        separator = b".";
    }
    if let Some(text) = &section.text {
        out.bytes(separator);
        section_text(out, text);
    }
    out.bytes(b"]");
    if let Some(origin) = origin {
        out.bytes(b"<").number(u64::from(origin)).bytes(b">");
    }
    out.bytes(b" ");
}

fn section_text(out: &mut Output, text: &SectionText) {
    match text {
        SectionText::Header => out.bytes(b"HEADER"),
        SectionText::Text => out.bytes(b"TEXT"),
        SectionText::Mime => out.bytes(b"MIME"),
        SectionText::HeaderFields { names, not } => {
            out.bytes(if *not {
                b"HEADER.FIELDS.NOT (".as_slice()
            } else {
                b"HEADER.FIELDS ("
            });
            let mut separator: &[u8] = b"";
            for name in names {
                out.bytes(separator);
                astring(out, name.as_str().as_bytes());
                separator = b" ";
            }
            out.bytes(b")")
        }
    };
}

/// `{n}` and a line end; that many octets must follow.
pub fn literal_header(out: &mut Output, octets: u64) {
    out.bytes(b"{").number(octets).bytes(b"}\r\n");
}

/// `string`: quoted where that is safe, else a literal.
fn string(out: &mut Output, bytes: &[u8]) {
    let mut text = Vec::with_capacity(bytes.len() + 2);
    write_string(&mut text, bytes);
    out.bytes(&text);
}

/// `astring`: as it is where the grammar allows it, else a string.
fn astring(out: &mut Output, bytes: &[u8]) {
    let plain = |byte: &u8| is_atom_byte(*byte) || *byte == b']';
    // `NIL` would be nothing where a client's parser takes an nstring.
    if bytes.is_empty() || !bytes.iter().all(plain) || bytes.eq_ignore_ascii_case(b"NIL") {
        string(out, bytes);
    } else {
        out.bytes(bytes);
    }
}

/// `mailbox`, in modified UTF-7.
fn mailbox(out: &mut Output, name: &str) {
    let mut encoded = Output::new();
    mutf7::encode(name, &mut encoded);
    astring(out, encoded.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        imap::proto::{
            command::Tag, list::SpecialUse, parse::Scanner, section::FieldName, status::StatusItem,
        },
        wire::literal::Piece,
    };

    fn said(what: &Response) -> String {
        let mut out = Output::new();
        response(what, &mut out);
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
                        uid: 9,
                    },
                    "appended",
                ),
                "* OK [APPENDUID 7 9] appended\r\n",
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
    fn mailbox_data_is_written_as_the_grammar_says() {
        for (response, line) in [
            (Response::Flags(FlagList::default()), "* FLAGS ()\r\n"),
            (Response::Exists(4_294_967_295), "* 4294967295 EXISTS\r\n"),
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
                    items: vec![(StatusItem::Messages, 3), (StatusItem::Size, u64::MAX)],
                },
                "* STATUS \"a b\" (MESSAGES 3 SIZE 18446744073709551615)\r\n",
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
            let mut items = Items::begin(out, 1);
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
            mailbox(&mut out, &name);
            let pieces = [Piece { text: out.as_bytes(), literal: None }];
            prop_assert_eq!(Scanner::new(&pieces, None).mailbox().unwrap(), name);
        }
    }
}
