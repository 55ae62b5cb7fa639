//! Any bytes behind DATA: the body is the same wherever the input is cut, ends only at CRLF "."
//! CRLF, and what a writer sends a reader reads. The first byte says where the input is cut.
#![no_main]

use buzon::wire::dot::{DotReader, DotWriter, Violations};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

/// The body, how many bytes of input it took if it ended, and what it violates.
fn read(pieces: impl Iterator<Item: AsRef<[u8]>>) -> (BytesMut, Option<usize>, Violations) {
    let (mut reader, mut body, mut taken) = (DotReader::new(), BytesMut::new(), 0);
    for piece in pieces {
        let mut rest = piece.as_ref();
        while !rest.is_empty() && !reader.ended() {
            let room = body.len() + 100;
            let count = reader.read(rest, room, &mut body);
            assert!(count > 0 || reader.ended());
            taken += count;
            rest = &rest[count..];
        }
    }
    let ended = reader.ended().then_some(taken);
    (body, ended, reader.violations())
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(std::iter::once(bytes));
    let pieces = read(bytes.chunks(usize::from(*cut) + 1));
    assert_eq!(whole, pieces);
    if let Some(end) = whole.1 {
        let framed = &bytes[..end];
        assert!(framed == b".\r\n" || framed.ends_with(b"\r\n.\r\n"));
    }
    let (mut writer, mut wire) = (DotWriter::new(), BytesMut::new());
    bytes
        .chunks(usize::from(*cut) + 1)
        .for_each(|piece| writer.write(piece, &mut wire));
    writer.finish(&mut wire);
    let (body, end, violations) = read(std::iter::once(&wire));
    if !violations.bare_lf && !violations.bare_cr {
        assert_eq!(end, Some(wire.len()));
        // The last line is ended, and half of an end completed.
        let text = bytes.strip_suffix(b"\r\n").or(bytes.strip_suffix(b"\r"));
        let text = text.unwrap_or(bytes);
        let body = body.strip_suffix(b"\r\n").unwrap_or(&body);
        assert_eq!(body, text);
    }
});
