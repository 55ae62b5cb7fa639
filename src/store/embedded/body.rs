//! Reading bodies: from the page cache at once, from the disk on a thread that may wait.

use std::{
    io::{self, ErrorKind},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Shared,
    disk::{File, read_exact_at},
    record::Place,
};
use crate::{base::ids::BlobId, store::engine::ReadError};

/// Bytes `range` of the body `id`.
pub(super) async fn read(
    shared: &Shared,
    id: BlobId,
    range: Range<u64>,
) -> Result<Bytes, ReadError> {
    let mut missing = false;
    for _ in 0..ATTEMPTS {
        let place = shared
            .noticed(shared.view.place(id))?
            .ok_or(ReadError::NoSuchBody)?;
        if range.start > range.end || range.end > place.length {
            return Err(ReadError::NoSuchBody);
        }
        if !place.is_whole() {
            return Err(ReadError::Damaged(format!("body {id} is not whole")));
        }
        match read_place(shared, &place, range.clone()).await {
            Ok(bytes) => {
                let whole = range.start == 0 && range.end == place.length;
                if whole && crc32fast::hash(&bytes) != place.crc {
                    return Err(ReadError::Damaged(format!(
                        "body {id} has a wrong checksum"
                    )));
                }
                return Ok(bytes);
            }
            // Compaction replaced the file after the place was looked up: look again.
            Err(error) if error.kind() == ErrorKind::NotFound => missing = true,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(ReadError::Damaged(format!("body {id} is cut off")));
            }
            Err(error) => return Err(ReadError::Io(error)),
        }
    }
    debug_assert!(missing, "only a missing file is tried again");
    Err(ReadError::Damaged(format!(
        "the journal file of body {id} is missing"
    )))
}

/// A stretch of a file that fills a part of the buffer.
struct Span {
    file: Arc<dyn File>,
    offset: u64,
    length: usize,
}

async fn read_place(shared: &Shared, place: &Place, range: Range<u64>) -> io::Result<Bytes> {
    let spans = spans(shared, place, &range)?;
    let length = spans.iter().map(|span| span.length).sum();
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(length)
        .map_err(|_| ErrorKind::OutOfMemory)?;
    buffer.resize(length, 0);
    if read_cached(&spans, &mut buffer) {
        return Ok(buffer.into());
    }
    let waited = tokio::task::spawn_blocking(move || {
        let mut rest = buffer.as_mut_slice();
        for span in spans {
            let (part, behind) = rest.split_at_mut(span.length);
            read_exact_at(&*span.file, part, span.offset)?;
            rest = behind;
        }
        Ok(buffer.into())
    });
    waited.await.map_err(io::Error::other)?
}

fn read_cached(spans: &[Span], buffer: &mut [u8]) -> bool {
    let mut rest = buffer;
    for span in spans {
        let (part, behind) = rest.split_at_mut(span.length);
        if span.file.read_cached_at(part, span.offset) < span.length {
            return false;
        }
        rest = behind;
    }
    true
}

fn spans(shared: &Shared, place: &Place, range: &Range<u64>) -> io::Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for extent in &place.extents {
        let end = start + extent.length;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let file = shared.segments.file(extent.file)?;
            let length = usize::try_from(to - from).map_err(|_| ErrorKind::OutOfMemory)?;
            spans.push(Span {
                file,
                offset: extent.offset + (from - start),
                length,
            });
        }
        start = end;
    }
    Ok(spans)
}

/// How often a place is looked up before its file counts as missing.
const ATTEMPTS: usize = 5;
