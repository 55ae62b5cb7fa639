//! Messages and the structure that the scanner finds, at any split of the input.

use proptest::prelude::*;

use super::*;

fn scan(message: &[u8]) -> Scanned {
    scan_within(message, Bounds::default())
}

fn scan_within(message: &[u8], bounds: Bounds) -> Scanned {
    let mut scanner = Scanner::new(bounds);
    scanner.feed(message);
    scanner.finish()
}

fn slice(message: &[u8], span: Span) -> &str {
    let (start, end) = (
        span.offset.try_into().unwrap(),
        span.end().try_into().unwrap(),
    );
    std::str::from_utf8(&message[start..end]).unwrap()
}

/// `parent:type:body:lines` per part.
fn shown(message: &str) -> Vec<String> {
    shown_within(message, Bounds::default())
}

fn shown_within(message: &str, bounds: Bounds) -> Vec<String> {
    let scanned = scan_within(message.as_bytes(), bounds);
    check(message.as_bytes(), &scanned);
    let show = |part: &Part| {
        let parent = part
            .parent
            .map_or_else(|| "-".to_owned(), |p| p.to_string());
        let kind = String::from_utf8_lossy(&part.content_type.subtype).into_owned();
        format!(
            "{parent}:{kind}:{}:{}",
            slice(message.as_bytes(), part.body),
            part.lines
        )
    };
    scanned.parts.iter().skip(1).map(show).collect()
}

/// The invariants of every scan.
fn check(message: &[u8], scanned: &Scanned) {
    assert_eq!(scanned.size, length_of(message));
    let root = &scanned.parts[0];
    assert_eq!((root.header.offset, root.body.end()), (0, scanned.size));
    let mut last_end = vec![0; scanned.parts.len()];
    for (index, part) in scanned.parts.iter().enumerate() {
        assert!(!part.content_type.kind.is_empty());
        assert_eq!(part.header.end(), part.body.offset);
        assert!(part.body.end() <= scanned.size);
        let feeds = slice_bytes(message, part.body)
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        assert_eq!(part.lines, u64::try_from(feeds).unwrap());
        let Some(parent) = part.parent else { continue };
        assert!(parent < index);
        let around = &scanned.parts[parent];
        assert_ne!(around.kind, PartKind::Leaf);
        assert!(part.header.offset >= around.body.offset.max(last_end[parent]));
        assert!(part.body.end() <= around.body.end());
        if around.kind == PartKind::Message {
            assert_eq!(
                (part.header.offset, part.body.end()),
                (around.body.offset, around.body.end())
            );
        } else if part.header.offset > last_end[parent] {
            // Between siblings stands nothing but boundary lines, preamble and endings.
            let gap = Span::between(last_end[parent].max(around.body.offset), part.header.offset);
            let is_empty = part.header.length + part.body.length == 0;
            assert!(is_empty || slice_bytes(message, gap).ends_with(b"\n"));
        }
        last_end[parent] = part.body.end();
    }
    for (index, part) in scanned.parts.iter().enumerate() {
        let children = scanned
            .parts
            .iter()
            .filter(|p| p.parent == Some(index))
            .count();
        assert_eq!(
            part.kind == PartKind::Message,
            part.kind != PartKind::Multipart && children > 0
        );
    }
}

fn slice_bytes(message: &[u8], span: Span) -> &[u8] {
    &message[span.offset.try_into().unwrap()..span.end().try_into().unwrap()]
}

#[test]
fn parts_end_before_the_line_ending_of_their_boundary() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n\
                   --b\r\n\r\none\r\n\
                   --b\r\nContent-Type: text/html\r\n\r\ntwo\r\n\r\n\
                   --b\r\n\r\n--b--\r\nepilogue\r\n--b\r\n";
    assert_eq!(
        shown(message),
        ["0:plain:one:0", "0:html:two\r\n:1", "0:plain::0"]
    );
    assert_eq!(shown(&message.replace("\r\n", "\n"))[1], "0:html:two\n:1");
}

#[test]
fn a_missing_end_ends_everything() {
    let head = "Content-Type: multipart/mixed; boundary=b\n\n";
    assert_eq!(shown(head), Vec::<String>::new());
    assert_eq!(shown(&format!("{head}--b")), ["0:plain::0"]);
    assert_eq!(shown(&format!("{head}--b\nX: y")), ["0:plain::0"]);
    assert_eq!(shown(&format!("{head}--b\nX: y\n")), ["0:plain::0"]);
    assert_eq!(
        shown(&format!("{head}--b\nX: y\n\nbody")),
        ["0:plain:body:0"]
    );
    assert_eq!(
        shown(&format!("{head}--b\n\nbody\n--b--")),
        ["0:plain:body:0"]
    );
    assert_eq!(shown(""), Vec::<String>::new());
    let scanned = scan(b"Subject: x");
    assert_eq!(
        (scanned.header_length(), scanned.parts[0].body.length),
        (10, 0)
    );
}

#[test]
fn a_boundary_ends_a_header_too() {
    let head = "Content-Type: multipart/mixed; boundary=b\n\n";
    let message = format!("{head}--b\nContent-Type: text/html\n--b\n--b\n\n\n--b--\n");
    assert_eq!(shown(&message), ["0:html::0", "0:plain::0", "0:plain::0"]);
    let message = format!("{head}--b\nContent-Type: message/rfc822\n--b\n\nx\n--b--\n");
    assert_eq!(
        shown(&message),
        ["0:rfc822::0", "1:plain::0", "0:plain:x:0"]
    );
    let message = format!("{head}--b\nContent-Type: message/rfc822\n\nSubject: y\n--b--\n");
    assert_eq!(shown(&message), ["0:rfc822:Subject: y:0", "1:plain::0"]);
}

#[test]
fn messages_within_messages_have_their_own_headers() {
    let message = "Content-Type: message/rfc822\n\n\
                   Subject: in\nContent-Type: multipart/digest; boundary=\"b\"\n\n\
                   --b\n\nSubject: deep\n\nx\n\
                   --b\nContent-Type: text/plain\n\ny\n--b--\n";
    let scanned = scan(message.as_bytes());
    check(message.as_bytes(), &scanned);
    let kinds: Vec<_> = scanned.parts.iter().map(|p| (p.parent, p.kind)).collect();
    let (leaf, multi, mess) = (PartKind::Leaf, PartKind::Multipart, PartKind::Message);
    assert_eq!(
        kinds,
        [
            (None, mess),
            (Some(0), multi),
            (Some(1), mess),
            (Some(2), leaf),
            (Some(1), leaf)
        ]
    );
    let subject = |i: usize| scanned.parts[i].envelope.clone().unwrap().subject.unwrap();
    assert_eq!((&*subject(1), &*subject(3)), (&b"in"[..], &b"deep"[..]));
    assert!(scanned.parts[2].envelope.is_none());
}

#[test]
fn boundary_prefixes_do_not_confuse_levels() {
    for (outer, inner) in [("a", "ab"), ("ab", "a"), ("a", "a--"), ("a", "a")] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary={outer}\n\n\
             --{outer}\nContent-Type: multipart/mixed; boundary={inner}\n\n\
             --{inner}\n\n1\n--{inner}--\n--{outer}\n\n2\n--{outer}--\n"
        );
        assert_eq!(
            shown(&message)[1..],
            ["1:plain:1:0", "0:plain:2:0"],
            "{outer} {inner}"
        );
    }
}

#[test]
fn unusable_and_hidden_structures_are_leaves() {
    for (header, kind) in [
        ("Content-Type: multipart/mixed", "plain"),
        ("Content-Type: multipart/mixed; boundary=\"\"", "plain"),
        ("Content-Type: text", "plain"),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64",
            "octet-stream",
        ),
        ("Content-Type: message/partial", "partial"),
    ] {
        let scanned = scan(format!("{header}\n\nSubject: x\n\ny").as_bytes());
        assert_eq!(scanned.parts.len(), 1, "{header}");
        assert_eq!(&*scanned.parts[0].content_type.subtype, kind.as_bytes());
    }
}

#[test]
fn lim_28_boundaries_have_two_hundred_bytes() {
    for (length, parts) in [(199, 2), (200, 2), (201, 1)] {
        let b = "b".repeat(length);
        let message = format!("Content-Type: multipart/mixed; boundary={b}\n\n--{b}\n\nx\n");
        assert_eq!(scan(message.as_bytes()).parts.len(), parts);
    }
}

#[test]
fn lim_28_the_hundredth_level_is_opaque() {
    let nested = |depth: usize| {
        let mut message = String::new();
        for level in 0..depth {
            message.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{level}x\n\n"
            ));
            message.push_str(&format!("--b{level}x\n"));
        }
        message.push_str("\nleaf\n--b0x\n\nafter\n--b0x--\n");
        scan(message.as_bytes())
    };
    assert_eq!(nested(98).parts.len(), 100);
    assert_eq!(nested(99).parts.len(), 101);
    for depth in [100, 101, 10_000] {
        let scanned = nested(depth);
        assert_eq!(scanned.parts.len(), 101, "{depth}");
        assert!(
            scanned.parts[99]
                .content_type
                .is("application", "octet-stream")
        );
        // The levels around it go on.
        assert_eq!(scanned.parts[100].parent, Some(0));
    }
    let cyclic = "Content-Type: message/rfc822\n\n".repeat(100_000);
    let scanned = scan(cyclic.as_bytes());
    check(cyclic.as_bytes(), &scanned);
    assert_eq!(scanned.parts.len(), 100);
}

#[test]
fn lim_28_the_last_part_that_is_allowed_holds_the_rest() {
    let bounds = Bounds {
        parts: 3,
        ..Bounds::default()
    };
    let message =
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b\n\n3\n--b--\n";
    assert_eq!(
        shown_within(message, bounds),
        ["0:plain:1:0", "0:octet-stream:\n2\n--b\n\n3\n--b--\n:6"]
    );
    let bounds = Bounds {
        parts: 4,
        ..Bounds::default()
    };
    assert_eq!(
        shown_within(message, bounds)[2],
        "0:octet-stream:\n3\n--b--\n:3"
    );
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n".repeat(100_000)
    );
    assert_eq!(scan(many.as_bytes()).parts.len(), 5_000);
    let exact = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n".repeat(4_998)
    );
    assert!(
        scan(exact.as_bytes())
            .parts
            .iter()
            .all(|p| p.content_type.is_kind("text") || p.kind == PartKind::Multipart)
    );
}

#[test]
fn lim_29_a_header_of_a_mebibyte_holds_one_field() {
    let mut scanner = Scanner::new(Bounds::default());
    for _ in 0..1_000 {
        scanner.feed(&[b'x'; 4096]);
        assert!(scanner.line.text.len() <= 128 * 1024);
    }
    scanner.feed(b"\n");
    let scanned = scanner.finish();
    assert_eq!(scanned.header_length(), 4_096_001);
}

#[test]
fn bodies_are_not_held() {
    let mut scanner = Scanner::new(Bounds::default());
    scanner.feed(b"\n");
    for _ in 0..100 {
        scanner.feed(&[b'-'; 65_536]);
        assert!(scanner.line.text.capacity() <= 1_000);
    }
    assert_eq!(scanner.finish().size, 6_553_601);
}

/// Messages made of the pieces that matter to the scanner.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: multipart/digest; boundary=ab",
        "Content-Type: multipart/mixed;\r\n boundary=\"--a\"",
        "Content-Type: message/rfc822",
        "Subject: x",
        "From: a@b, c@d",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "\n\n",
        "--a",
        "--ab",
        "--a--",
        "----a",
        "--",
        "-",
        " ",
        "text",
        "\u{e9}\0",
    ]);
    let piece = (pieces, prop::sample::select(vec!["\r\n", "\n", "\r\n", ""]));
    prop::collection::vec(piece, 0..40).prop_map(|pieces| {
        pieces
            .iter()
            .flat_map(|(a, b)| [*a, *b])
            .collect::<String>()
            .into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_split_of_a_message_gives_the_same_structure(
        message in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        small in any::<bool>(),
    ) {
        let mut bounds = Bounds::default();
        if small {
            bounds = Bounds { depth: 3, parts: 5, boundary_bytes: 3, field_bytes: 20, ..bounds};
        }
        let whole = scan_within(&message, bounds);
        check(&message, &whole);
        let places = message.len() + 1;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(places)).collect();
        cuts.sort_unstable();
        let mut scanner = Scanner::new(bounds);
        let mut at = 0;
        for cut in cuts {
            scanner.feed(&message[at..cut]);
            at = cut;
        }
        scanner.feed(&message[at..]);
        prop_assert_eq!(scanner.finish(), whole);
    }

    #[test]
    fn any_bytes_are_scanned_one_by_one(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut scanner = Scanner::new(Bounds::default());
        bytes.iter().for_each(|byte| scanner.feed(&[*byte]));
        let scanned = scanner.finish();
        check(&bytes, &scanned);
        prop_assert_eq!(scanned, scan(&bytes));
    }
}
