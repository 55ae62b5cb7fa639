//! What a group adds to a message that it sends on, and how a message that was there before is
//! known.
//!
//! From and everything that was signed stay as they are: fields are only put before the others, so
//! signatures hold. Fields of another list that the message came through stay, too; of a kind that
//! is there already none is added (RFC 2369 3.7, 4). RFC 2919 (List-Id), RFC 2369 (List-Post and
//! the others), RFC 9228 (Delivered-To).

use std::fmt::Write;

use bytes::Bytes;

use super::{passing::DELIVERED_TO, target::Target};
use crate::{
    accounts::{bounces_of, owner_of},
    mail::{
        address::Address,
        envelope::ReversePath,
        header::{Field, Fields},
        trace,
    },
};

/// The groups that send a message on to members here, each once.
pub fn lists_here(targets: &[Target]) -> Vec<Address> {
    let mut here = Vec::new();
    for list in targets.iter().flat_map(Target::lists) {
        if !list.accounts.is_empty() && !here.contains(&list.address) {
            here.push(list.address.clone());
        }
    }
    here
}

/// The same, with what each puts before the message.
pub fn list_heads(targets: &[Target], header: &Bytes) -> Vec<(Address, Vec<u8>)> {
    let lists = lists_here(targets).into_iter();
    let with_head = |list| (head(&list, header), list);
    lists
        .map(with_head)
        .map(|(head, list)| (list, head))
        .collect()
}

/// What stands before a message for members here: the sender that final delivery saw, and the
/// fields of the group. Our own trace fields follow.
fn head(list: &Address, header: &Bytes) -> Vec<u8> {
    let sender = bounces_of(list).map_or(ReversePath::Null, ReversePath::Address);
    let mut head = trace::return_path(&sender);
    head.extend(fields(list, header).into_bytes());
    head
}

/// The fields of the group, for a message with this header.
pub(super) fn fields(list: &Address, header: &Bytes) -> String {
    let mut out = format!("{DELIVERED_TO}: {list}\r\n");
    let owner = owner_of(list).unwrap_or_else(|| list.clone());
    for (name, value) in [
        ("List-Id", format!("<{}>", list_id(list))),
        ("List-Post", format!("<{}>", mailto(list))),
        ("List-Owner", format!("<{}>", mailto(&owner))),
        ("List-Help", format!("<{}?subject=help>", mailto(&owner))),
        ("Precedence", "list".to_owned()),
    ] {
        if !Fields::new(header).any(|field| field.is(name)) {
            let _ = write!(out, "{name}: {value}\r\n");
        }
    }
    out
}

/// Whether the group sent this message on before; `delivered` is what its Delivered-To fields say.
pub(super) fn went_through(list: &Address, header: &Bytes, delivered: &[Address]) -> bool {
    let folded = list.folded_local();
    let is_it = |one: &Address| one.domain == list.domain && one.folded_local() == folded;
    let id = list_id(list);
    let names_it = |field: Field<'_>| {
        let value = field.unfolded();
        let value = String::from_utf8_lossy(&value);
        // RFC 2919 3: the id is in the brackets at the end, and case has no meaning.
        let inner = value.rsplit_once('<').map(|(_, inner)| inner);
        let inner = inner.and_then(|inner| inner.split('>').next());
        inner.is_some_and(|inner| inner.trim().eq_ignore_ascii_case(&id))
    };
    delivered.iter().any(is_it)
        || Fields::new(header)
            .filter(|field| field.is("List-Id"))
            .any(names_it)
}

/// RFC 2919 2: `sales.example.org` for `sales@example.org`. What a label cannot hold is written in
/// hexadecimal digits behind `=`.
fn list_id(list: &Address) -> String {
    let local = list.folded_local();
    let mut id = String::new();
    let mut before = b'.';
    for byte in local.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_+".contains(&byte);
        // A label is not empty.
        if plain || byte == b'.' && before != b'.' {
            id.push(char::from(byte));
        } else {
            let _ = write!(id, "={byte:02X}");
        }
        before = byte;
    }
    if id.ends_with('.') {
        id.pop();
        id.push_str("=2E");
    }
    format!("{id}.{}", list.domain)
}

/// RFC 6068 2.
fn mailto(address: &Address) -> String {
    let mut out = "mailto:".to_owned();
    for byte in address.local.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$'*+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    format!("{out}@{}", address.domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn rfc_2919_2_a_list_has_an_id_that_any_header_can_hold() {
        for (list, id) in [
            ("sales@example.org", "sales.example.org"),
            ("Sales.West@example.org", "sales.west.example.org"),
            ("\"a b\"@example.org", "a=20b.example.org"),
            ("\".a..b.\"@example.org", "=2Ea.=2Eb=2E.example.org"),
            ("caf\u{e9}@example.org", "caf=C3=A9.example.org"),
            ("\"<x>\"@example.org", "=3Cx=3E.example.org"),
        ] {
            assert_eq!(list_id(&address(list)), id);
        }
        assert_eq!(
            mailto(&address("\"a?b\"@example.org")),
            "mailto:a%3Fb@example.org"
        );
    }

    #[test]
    fn rfc_2369_a_group_adds_what_is_not_there() {
        let list = address("sales@example.org");
        let plain = Bytes::from_static(b"Subject: x\r\n");
        assert_eq!(
            fields(&list, &plain),
            "Delivered-To: sales@example.org\r\n\
             List-Id: <sales.example.org>\r\n\
             List-Post: <mailto:sales@example.org>\r\n\
             List-Owner: <mailto:sales-owner@example.org>\r\n\
             List-Help: <mailto:sales-owner@example.org?subject=help>\r\n\
             Precedence: list\r\n"
        );
        let other = b"list-id: Other <o.example>\r\nPrecedence: bulk\r\nList-Post: NO\r\n";
        let added = fields(&list, &Bytes::from_static(other));
        let names: Vec<_> = added
            .lines()
            .filter_map(|line| line.split(':').next())
            .collect();
        assert_eq!(names, ["Delivered-To", "List-Owner", "List-Help"]);
        let far = address("caf\u{e9}@example.org");
        let fields = fields(&far, &plain);
        let (first, rest) = fields.split_once("\r\n").unwrap();
        assert_eq!(first, "Delivered-To: caf\u{e9}@example.org");
        assert!(rest.is_ascii());
    }

    #[test]
    fn a_message_that_was_there_is_known() {
        let list = address("sales@example.org");
        for (header, delivered, known) in [
            ("List-Id: <sales.example.org>\r\n", None, true),
            (
                "LIST-ID: \"Sales <x>\" < Sales.Example.ORG >\r\n",
                None,
                true,
            ),
            ("List-Id: <sales.example.org.evil>\r\n", None, false),
            ("List-Id: sales.example.org\r\n", None, false),
            ("X-List-Id: <sales.example.org>\r\n", None, false),
            ("", Some("SALES@example.org"), true),
            ("", Some("other@example.org"), false),
        ] {
            let header = Bytes::copy_from_slice(header.as_bytes());
            let delivered: Vec<_> = delivered.map(address).into_iter().collect();
            assert_eq!(
                went_through(&list, &header, &delivered),
                known,
                "{header:?}"
            );
        }
    }
}
