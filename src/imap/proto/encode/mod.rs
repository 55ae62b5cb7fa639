//! Responses in wire form (RFC 3501 9), written straight into the output.
//!
//! FETCH answers are written item by item through [`Items`], without a value or an allocation in
//! between; bodies are labelled here and streamed by the server. Everything that came from
//! outside goes through a string, a literal or a type that cannot hold a line end.

mod code;
mod items;

use self::code::{response_code, says_something};
use super::{
    enabled::Enabled,
    flag::{FlagList, SystemFlags},
    list::{Attribute, OTHER_USERS, SHARED},
    mutf7,
    parse::scan::is_atom_byte,
    response::{Code, Response, Status, Text},
    status::StatusValue,
};
use crate::{mail::imap_text::write_string, wire::Output};

pub use self::items::{
    Items, MessageName, binary_label, literal_header, literal8_header, section_label,
};

/// Writes one response with its line end, as a client hears it that has `enabled` this.
pub fn response(response: &Response, enabled: Enabled, out: &mut Output) {
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
            out.text("* NAMESPACE ((\"\" \"/\"))");
            for prefix in [OTHER_USERS, SHARED] {
                out.text(" ((\"").text(prefix).text("/\" \"/\"))");
            }
            out.crlf();
        }
        data => mailbox_data(data, enabled, out),
    }
}

/// `mailbox-data` and what else tells about mailboxes and messages.
fn mailbox_data(response: &Response, enabled: Enabled, out: &mut Output) {
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
        Response::Vanished { earlier, uids } => vanished(out, *earlier, uids),
        Response::List {
            attributes,
            name,
            subscribed_below,
        } => {
            name_line(out, "* LIST (", attributes);
            mailbox(out, enabled, name);
            if *subscribed_below {
                // RFC 5258 3.5
                out.text(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
            }
            out.crlf();
        }
        Response::Renamed {
            attributes,
            name,
            old_name,
        } => {
            name_line(out, "* LIST (", attributes);
            mailbox(out, enabled, name);
            out.text(" (\"OLDNAME\" (");
            mailbox(out, enabled, old_name);
            out.text("))").crlf();
        }
        Response::Lsub { attributes, name } => {
            name_line(out, "* LSUB (", attributes);
            mailbox(out, enabled, name);
            out.crlf();
        }
        Response::Status { name, items } => {
            out.text("* STATUS ");
            mailbox(out, enabled, name);
            out.text(" (");
            let mut separator = "";
            for (item, value) in items {
                out.text(separator).text(item.name()).text(" ");
                match value {
                    StatusValue::Number(number) => out.number(*number),
                    StatusValue::Id(id) => out.text("(").text(id.as_str()).text(")"),
                };
                separator = " ";
            }
            out.text(")").crlf();
        }
        data => acl_data(data, enabled, out),
    }
}

/// What tells of rights (RFC 4314 7: `acl-data`, `listrights-data`, `myrights-data`).
fn acl_data(response: &Response, enabled: Enabled, out: &mut Output) {
    match response {
        Response::Acl { name, entries } => {
            out.text("* ACL ");
            mailbox(out, enabled, name);
            for (identifier, rights) in entries {
                out.text(" ");
                astring(out, identifier.as_bytes());
                out.text(" ");
                astring(out, rights.as_bytes());
            }
            out.crlf();
        }
        Response::ListRights {
            name,
            identifier,
            required,
            optional,
        } => {
            out.text("* LISTRIGHTS ");
            mailbox(out, enabled, name);
            for word in [identifier, required].into_iter().chain(optional) {
                out.text(" ");
                astring(out, word.as_bytes());
            }
            out.crlf();
        }
        Response::MyRights { name, rights } => {
            out.text("* MYRIGHTS ");
            mailbox(out, enabled, name);
            out.text(" ");
            astring(out, rights.as_bytes());
            out.crlf();
        }
        data => account_data(data, enabled, out),
    }
}

/// What tells about quotas and annotations.
fn account_data(response: &Response, enabled: Enabled, out: &mut Output) {
    match response {
        Response::MetadataChanged { mailbox, entries } => {
            // RFC 5464 4.4.2
            out.text("* METADATA ");
            self::mailbox(out, enabled, mailbox);
            for entry in entries {
                out.text(" ");
                astring(out, entry.as_bytes());
            }
            out.crlf();
        }
        Response::Metadata { mailbox, entries } => {
            // RFC 5464 4.4.1
            out.text("* METADATA ");
            self::mailbox(out, enabled, mailbox);
            let mut separator = " (";
            for (entry, value) in entries {
                out.text(separator);
                astring(out, entry.as_bytes());
                out.text(" ");
                self::value(out, value.as_deref());
                separator = " ";
            }
            out.text(")").crlf();
        }
        Response::Quota { used, limit } => {
            // RFC 9208 4.2.1
            out.text("* QUOTA \"\" (STORAGE ").number(*used);
            out.text(" ").number(*limit).text(")").crlf();
        }
        Response::QuotaRoot { mailbox, has_root } => {
            // RFC 9208 4.2.2
            out.text("* QUOTAROOT ");
            self::mailbox(out, enabled, mailbox);
            out.text(if *has_root { " \"\"" } else { "" }).crlf();
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

/// RFC 7162 3.2.10
fn vanished(out: &mut Output, earlier: bool, uids: &[(u32, u32)]) {
    out.text("* VANISHED ");
    if earlier {
        out.text("(EARLIER) ");
    }
    let mut separator = "";
    for (first, last) in uids {
        out.text(separator).number(u64::from(*first));
        if last > first {
            out.text(":").number(u64::from(*last));
        }
        separator = ",";
    }
    out.crlf();
}

fn name_line(out: &mut Output, start: &str, attributes: &[Attribute]) {
    out.text(start);
    let mut separator = "";
    for attribute in attributes {
        out.text(separator).text(attribute.name());
        separator = " ";
    }
    out.text(") \"/\" ");
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

/// RFC 5464 5: `nstring / literal8`
fn value(out: &mut Output, value: Option<&[u8]>) {
    match value {
        None => {
            out.text("NIL");
        }
        Some(value) if value.contains(&0) => {
            out.text("~");
            literal_header(out, value.len() as u64);
            out.bytes(value);
        }
        Some(value) => string(out, value),
    }
}

/// `mailbox`: in UTF-8 where the client has asked for it, else in modified UTF-7.
pub(super) fn mailbox(out: &mut Output, enabled: Enabled, name: &str) {
    if enabled.names_are_utf8() && !name.is_ascii() {
        return quoted_utf8(out, name);
    }
    if enabled.names_are_utf8() {
        return astring(out, name.as_bytes());
    }
    let mut encoded = Output::new();
    mutf7::encode(name, &mut encoded);
    astring(out, encoded.as_bytes());
}

/// `quoted` with UTF-8 in it (RFC 6855 3, RFC 9051 9). Names and what else comes here have no line
/// ends.
fn quoted_utf8(out: &mut Output, text: &str) {
    out.bytes(b"\"");
    for c in text.chars().filter(|c| !matches!(c, '\0' | '\r' | '\n')) {
        if matches!(c, '"' | '\\') {
            out.bytes(b"\\");
        }
        out.text(c.encode_utf8(&mut [0; 4]));
    }
    out.bytes(b"\"");
}

#[cfg(test)]
mod tests;
