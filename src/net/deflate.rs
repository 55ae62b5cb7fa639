//! DEFLATE between a protocol and its transport (RFC 4978, RFC 1951), as TLS is.
//!
//! What comes is inflated in small slices: the limits of protocols count inflated bytes, and no
//! more than one window of them exists before it is asked for, however well it was deflated
//! (LIM-39). What goes is deflated answer by answer: a flush ends a block at a byte, and the state
//! of the compressor ends with it, so a connection that waits holds none (LIM-36). Of the peer's
//! stream the last 32 KiB must be remembered, as the peer may refer to them; who has said less
//! holds less.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use miniz_oxide::{
    MZError, MZFlush,
    deflate::{
        core::{CompressorOxide, create_comp_flags_from_zip_params},
        stream::deflate,
    },
    inflate::{
        TINFLStatus,
        core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT},
    },
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::Transport;

/// A transport that deflates what goes over another, and inflates what comes.
pub(super) struct Deflate {
    inner: Box<dyn Transport>,
    inflater: Inflater,
    deflater: Deflater,
}

/// The peer's stream.
struct Inflater {
    state: Box<DecompressorOxide>,
    /// What was inflated last, as far as the peer may refer to it. A ring, once it is as large as
    /// it can become.
    window: Vec<u8>,
    /// What of the window was not asked for yet; the next byte goes behind it.
    ready: Range<usize>,
    /// Read and not inflated.
    raw: Vec<u8>,
    /// How much of that is inflated.
    taken: usize,
    /// More may come without more being read.
    goes_on: bool,
    /// The stream has ended.
    ended: bool,
}

/// Our stream.
#[derive(Default)]
struct Deflater {
    /// Said since the last flush and not deflated, while it is little.
    little: Vec<u8>,
    /// Only while much is being said.
    state: Option<Box<CompressorOxide>>,
    /// Deflated and not written.
    out: Vec<u8>,
    /// How much of that is written.
    written: usize,
}

impl Deflate {
    /// Over `inner`, from which `raw` has been read already.
    pub(super) fn new(inner: Box<dyn Transport>, raw: Vec<u8>) -> Self {
        Self {
            inner,
            inflater: Inflater {
                state: Box::default(),
                window: Vec::new(),
                ready: 0..0,
                raw,
                taken: 0,
                goes_on: false,
                ended: false,
            },
            deflater: Deflater::default(),
        }
    }

    /// Writes what is deflated until no more than `most` bytes of it are left.
    fn poll_drain(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<()>> {
        let Deflater { out, written, .. } = &mut self.deflater;
        while out.len() - *written > most {
            let rest = out.get(*written..).unwrap_or_default();
            match ready!(Pin::new(&mut self.inner).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        if out.len() == *written {
            (*out, *written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl Inflater {
    /// Inflates some of what was read.
    fn inflate(&mut self) -> io::Result<()> {
        if self.ready.end == self.window.len() {
            if self.window.len() < WINDOW_BYTES {
                // Nothing has gone round yet, so nothing is moved. Who says little needs little.
                let larger = (self.window.len() * 2).max(WINDOW_BYTES_MIN);
                self.window.resize(larger, 0);
            } else {
                self.ready = 0..0;
            }
        }
        let raw = self.raw.get(self.taken..).unwrap_or_default();
        let (at, flags) = (self.ready.end, TINFL_FLAG_HAS_MORE_INPUT);
        let (status, read, made) = decompress(&mut self.state, raw, &mut self.window, at, flags);
        self.goes_on = match status {
            TINFLStatus::HasMoreOutput => true,
            TINFLStatus::NeedsMoreInput => false,
            TINFLStatus::Done => {
                self.ended = true;
                false
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.ready = at..at + made;
        self.taken += read;
        if self.taken >= self.raw.len() {
            (self.raw, self.taken) = (Vec::new(), 0);
        }
        Ok(())
    }
}

impl Deflater {
    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.state.is_none() && self.little.len() + bytes.len() <= LITTLE_BYTES {
            self.little.extend_from_slice(bytes);
            return Ok(());
        }
        let little = std::mem::take(&mut self.little);
        self.deflate(&little, MZFlush::None)?;
        self.deflate(bytes, MZFlush::None)
    }

    /// Ends what was said at a byte, and forgets it.
    fn flush(&mut self) -> io::Result<()> {
        if self.state.is_some() {
            self.deflate(&[], MZFlush::Sync)?;
            // What comes next refers to nothing before it, as after a full flush.
            self.state = None;
            return Ok(());
        }
        let little = std::mem::take(&mut self.little);
        if let Ok(length @ 1..) = u16::try_from(little.len()) {
            // RFC 1951 3.2.4: a block that is stored as it is, and not the last one.
            self.out.push(0);
            self.out.extend_from_slice(&length.to_le_bytes());
            self.out.extend_from_slice(&(!length).to_le_bytes());
            self.out.extend_from_slice(&little);
        }
        Ok(())
    }

    fn deflate(&mut self, mut bytes: &[u8], flush: MZFlush) -> io::Result<()> {
        let state = self.state.get_or_insert_with(|| {
            // Without the header of zlib (RFC 4978 4).
            let flags = create_comp_flags_from_zip_params(LEVEL, -WINDOW_BITS, 0);
            Box::new(CompressorOxide::new(flags))
        });
        let mut space = [0; OUT_STEP_BYTES];
        loop {
            let step = deflate(state, bytes, &mut space, flush);
            self.out
                .extend_from_slice(space.get(..step.bytes_written).unwrap_or_default());
            bytes = bytes.get(step.bytes_consumed..).unwrap_or_default();
            match step.status {
                Ok(_) if step.bytes_written == space.len() || !bytes.is_empty() => {}
                // There was nothing left to do.
                Ok(_) | Err(MZError::Buf) => return Ok(()),
                Err(error) => return Err(io::Error::other(format!("{error:?}"))),
            }
        }
    }
}

impl AsyncRead for Deflate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            inner, inflater, ..
        } = &mut *self;
        while inflater.ready.is_empty() && !inflater.ended {
            if !inflater.raw.is_empty() || inflater.goes_on {
                inflater.inflate()?;
                continue;
            }
            let mut space = [0; RAW_BYTES];
            let mut raw = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *inner).poll_read(context, &mut raw))?;
            if raw.filled().is_empty() {
                break;
            }
            inflater.raw = raw.filled().to_vec();
        }
        let inflated = inflater.window.get(inflater.ready.clone());
        let inflated = inflated.unwrap_or_default();
        let asked = inflated.len().min(buffer.remaining());
        buffer.put_slice(inflated.get(..asked).unwrap_or_default());
        inflater.ready.start += asked;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deflate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context, OUT_BYTES_MAX))?;
        let bytes = bytes.get(..SAID_BYTES_MAX).unwrap_or(bytes);
        self.deflater.say(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.deflater.flush()?;
        ready!(self.poll_drain(context, 0))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// RFC 1951 2: how far back the peer, and we, may refer.
const WINDOW_BITS: i32 = 15;
/// LIM-39: inflated bytes that are in memory at most.
const WINDOW_BYTES: usize = 1 << WINDOW_BITS;
/// What is kept of a peer that says little.
const WINDOW_BYTES_MIN: usize = 1024;
/// Fast, and most of what can be had (RFC 4978 4).
const LEVEL: i32 = 4;
/// Answers up to this size are not worth a compressor of 300 KiB.
const LITTLE_BYTES: usize = 256;
/// Bytes read at once.
const RAW_BYTES: usize = 4 * 1024;
/// Bytes deflated at once.
const SAID_BYTES_MAX: usize = 16 * 1024;
/// Deflated bytes that wait for the peer.
const OUT_BYTES_MAX: usize = 32 * 1024;
/// Bytes that one step of deflating makes.
const OUT_STEP_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut deflater = Deflater::default();
        deflater.say(bytes).unwrap();
        deflater.flush().unwrap();
        deflater.out
    }

    fn noise(count: u32) -> Vec<u8> {
        let mixed = (0..count).map(|n| n.wrapping_mul(2_654_435_761) >> 13);
        mixed.map(|n| n.to_be_bytes()[3]).collect()
    }

    #[tokio::test]
    async fn both_sides_understand_each_other_whatever_the_pieces() {
        for pipe in [1, 7, 64 * 1024] {
            let (ours, theirs) = duplex(pipe);
            let mut server = Deflate::new(Box::new(ours), Vec::new());
            let mut client = Deflate::new(Box::new(theirs), Vec::new());
            let texts = [
                b"* OK\r\n".to_vec(),
                noise(70_000),
                "yes ".repeat(50_000).into(),
                noise(300),
                b"a1 OK\r\n".to_vec(),
            ];
            let saying = async {
                for text in &texts {
                    server.write_all(text).await.unwrap();
                    server.flush().await.unwrap();
                    let Deflater { state, out, .. } = &server.deflater;
                    assert!(state.is_none() && out.capacity() == 0);
                }
                server.shutdown().await.unwrap();
            };
            let hearing = async {
                for text in &texts {
                    let mut heard = vec![0; text.len()];
                    client.read_exact(&mut heard).await.unwrap();
                    assert!(heard == *text, "{} bytes through {pipe}", text.len());
                }
                assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
            };
            tokio::join!(saying, hearing);
        }
    }

    /// What a server hears of raw bytes that come in pieces, and the largest window it had.
    fn inflated(raw: &[u8], cuts: &[usize]) -> io::Result<(Vec<u8>, usize)> {
        let (ours, _theirs) = duplex(1);
        let Deflate { mut inflater, .. } = Deflate::new(Box::new(ours), Vec::new());
        let (mut heard, mut window, mut rest) = (Vec::new(), 0, raw);
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() && !inflater.ended {
            let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            (inflater.raw, rest) = (piece.to_vec(), behind);
            while !inflater.ended && (!inflater.raw.is_empty() || inflater.goes_on) {
                inflater.inflate()?;
                heard.extend_from_slice(&inflater.window[inflater.ready.clone()]);
                inflater.ready.start = inflater.ready.end;
                window = window.max(inflater.window.capacity());
            }
        }
        Ok((heard, window))
    }

    /// Pieces that repeat themselves, over shorter and longer distances.
    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let noisy = vec(any::<u8>(), 0..2000);
        let steady = (vec(any::<u8>(), 1..40), 1_usize..4000);
        let steady = steady.prop_map(|(one, times)| one.repeat(times));
        vec(prop_oneof![noisy, steady], 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_anybody_deflates_is_inflated_wherever_it_is_cut(
            texts in texts(),
            level in 0_i32..=10,
            flushes in vec(0_usize..4, 8),
            cuts in vec(1_usize..5000, 1..5),
        ) {
            use MZFlush::{Full, None, Partial, Sync};
            let flags = create_comp_flags_from_zip_params(level, -WINDOW_BITS, 0);
            let mut state = CompressorOxide::new(flags);
            let (mut raw, mut space) = (Vec::new(), vec![0; 1 << 16]);
            let mut say = |mut text: &[u8], flush| loop {
                let step = deflate(&mut state, text, &mut space, flush);
                raw.extend_from_slice(&space[..step.bytes_written]);
                text = &text[step.bytes_consumed..];
                if text.is_empty() && step.bytes_written < space.len() {
                    break;
                }
            };
            for (text, flush) in texts.iter().zip(flushes) {
                say(text, [None, Partial, Sync, Full][flush]);
            }
            say(&[], MZFlush::Finish);
            let (heard, window) = inflated(&raw, &cuts).unwrap();
            prop_assert!(heard == texts.concat());
            prop_assert!(window <= WINDOW_BYTES);
        }

        #[test]
        fn whatever_is_said_in_pieces_is_heard_after_each_flush(
            texts in texts(),
            cuts in vec(1_usize..5000, 1..5),
        ) {
            let mut deflater = Deflater::default();
            for text in &texts {
                for piece in text.chunks(cuts[0]) {
                    deflater.say(piece).unwrap();
                }
                deflater.flush().unwrap();
                prop_assert!(deflater.state.is_none() && deflater.little.is_empty());
            }
            let (heard, _) = inflated(&deflater.out, &cuts).unwrap();
            prop_assert!(heard == texts.concat());
        }

        #[test]
        fn lim_39_no_bytes_make_inflating_panic(
            raw in vec(any::<u8>(), 0..4000),
            cuts in vec(1_usize..100, 1..5),
        ) {
            if let Ok((_, window)) = inflated(&raw, &cuts) {
                prop_assert!(window <= WINDOW_BYTES);
            }
        }
    }

    #[tokio::test]
    async fn lim_39_what_is_inflated_is_one_window_at_most() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let mut server = Deflate::new(Box::new(ours), Vec::new());
        let bomb = deflated(&vec![b'x'; 4 << 20]);
        assert!(bomb.len() < 64 * 1024);
        theirs.write_all(&bomb).await.unwrap();
        let (mut heard, mut space) = (0, vec![0; 1 << 20]);
        while heard < 4 << 20 {
            let count = server.read(&mut space).await.unwrap();
            assert!((1..=WINDOW_BYTES).contains(&count));
            assert!(server.inflater.raw.len() <= RAW_BYTES);
            assert!(server.inflater.window.len() <= WINDOW_BYTES);
            heard += count;
        }
    }

    #[tokio::test]
    async fn lim_36_who_says_little_is_remembered_in_little() {
        let (ours, _theirs) = duplex(64);
        let said = b"a1 SELECT INBOX\r\na2 IDLE\r\n";
        let mut server = Deflate::new(Box::new(ours), deflated(said));
        server.read_exact(&mut [0; 26]).await.unwrap();
        server.write_all(b"+ idling\r\n").await.unwrap();
        server.flush().await.unwrap();
        let Deflate {
            inflater, deflater, ..
        } = &server;
        let held = inflater.window.capacity() + inflater.raw.capacity() + deflater.out.capacity();
        assert!(held <= WINDOW_BYTES_MIN && deflater.state.is_none());
        assert!(size_of::<DecompressorOxide>() <= 12 * 1024);
    }

    #[tokio::test]
    async fn what_is_not_deflated_ends_the_stream() {
        let (ours, _theirs) = duplex(64);
        let mut server = Deflate::new(Box::new(ours), b"o1 NOOP\r\n".to_vec());
        assert!(server.read(&mut [0; 9]).await.is_err());
    }

    #[tokio::test]
    async fn what_was_read_before_is_inflated_first() {
        let (ours, _theirs) = duplex(64);
        let mut server = Deflate::new(Box::new(ours), deflated(b"a1 NOOP\r\n"));
        let mut heard = [0; 9];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"a1 NOOP\r\n");
    }

    #[tokio::test]
    async fn what_zlib_deflates_is_inflated_wherever_it_is_cut() {
        let said = b"a1 SELECT INBOX\r\na2 FETCH 1:* (UID FLAGS)\r\na3 FETCH 1:* (UID FLAGS)\r\n\
            a4 SELECT INBOX\r\na5 IDLE\r\na6 FETCH 1:* (UID FLAGS ENVELOPE)\r\n";
        for cut in 0..=OF_ZLIB.len() {
            let (first, second) = OF_ZLIB.split_at(cut);
            let (ours, mut theirs) = duplex(256);
            let mut server = Deflate::new(Box::new(ours), first.to_vec());
            theirs.write_all(second).await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, said, "cut at {cut}");
        }
    }

    /// What zlib makes of five texts, raw, at level 9, with a sync flush, a partial one, a full
    /// one, a sync flush and the end behind them.
    const OF_ZLIB: &[u8] = b"\
        \x4a\x34\x54\x08\x76\xf5\x71\x75\x0e\x51\xf0\xf4\x73\xf2\x8f\xe0\xe5\x02\x00\x00\x00\xff\
        \xff\x4a\x34\x52\x70\x73\x0d\x71\xf6\x50\x30\xb4\xd2\x52\xd0\x08\xf5\x74\x51\x70\xf3\x71\
        \x74\x0f\xd6\x04\xca\x18\xe3\x92\x01\x08\xa0\x44\x13\x34\x43\x00\x00\x00\x00\xff\xff\x4a\
        \x34\x55\xf0\x74\xf1\x71\xe5\xe5\x02\x00\x00\x00\xff\xff\x4b\x34\x53\x70\x73\x0d\x71\xf6\
        \x50\x30\xb4\xd2\x52\xd0\x08\xf5\x74\x51\x70\xf3\x71\x74\x0f\x56\x70\xf5\x0b\x73\xf5\xf1\
        \x0f\x70\xd5\xe4\xe5\x02\x00";
}
