//! Log setup. Two streams through one door: the mail log (target `mail`, one line per event of a
//! message's life, a contract) and traces for developers. The mail log is also kept as the
//! stories of messages (`story`).
//!
//! Lines are handed to a thread of their own over a bounded queue: a log sink that blocks or is
//! full never blocks mail (LOG-01); what does not fit is counted and said later. That thread writes
//! what waits at once and then rests for a moment: to wake it costs whoever logs more than the
//! line does, and a write as much as many lines.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub mod story;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("not a log filter: {0}; a level or target=level pairs are needed, as in `info,wire=trace`")]
pub struct NotAFilter(String);

/// The streams of lines. Whoever holds them ends the process by letting them go: what was logged
/// until then is written first, if that takes no longer than a moment.
#[must_use = "the last lines are lost without it"]
#[derive(Debug)]
pub struct Streams(Vec<Lines>);

impl Drop for Streams {
    fn drop(&mut self) {
        for _ in 0..LAST_LINES_MS {
            let unwritten = |lines: &Lines| lines.unwritten.load(Ordering::Acquire) > 0;
            if !self.0.iter().any(unwritten) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Sends all log lines to standard error from now on, and keeps stories when it is said where.
///
/// # Errors
/// When `filter` cannot be understood. A second call has no effect.
pub fn init(
    filter: &str,
    format: Format,
    stories: Option<story::Kept>,
) -> Result<Streams, NotAFilter> {
    let filter = parsed(filter)?;
    let lines = Lines::start("log", io::stderr());
    let mut streams = vec![lines.clone()];
    // ANSI colours stay off: peer text in a terminal must not be able to hide among them.
    let shown = fmt::layer().with_ansi(false).with_writer(lines);
    let shown = match format {
        Format::Text => shown.boxed(),
        Format::Json => shown.json().flatten_event(true).boxed(),
    };
    let stories = stories.map(|kept| {
        let lines = Lines::start("stories", story::Files::new(kept));
        streams.push(lines.clone());
        let told = fmt::layer().json().flatten_event(true);
        let told = told.with_current_span(false).with_span_list(false);
        // Who could not log in asks why, as who misses a message does.
        let of_mail = Targets::new()
            .with_target("mail", tracing::Level::TRACE)
            .with_target(LOGINS, tracing::Level::WARN);
        told.with_writer(lines).with_filter(of_mail)
    });
    let door = tracing_subscriber::registry()
        .with(shown.with_filter(filter))
        .with(stories);
    let _ = door.try_init();
    Ok(Streams(streams))
}

/// Whether [`init`] would understand `filter`.
///
/// # Errors
/// When it would not.
pub fn check_filter(filter: &str) -> Result<(), NotAFilter> {
    parsed(filter).map(drop)
}

fn parsed(filter: &str) -> Result<EnvFilter, NotAFilter> {
    EnvFilter::try_new(filter).map_err(|error| NotAFilter(error.to_string()))
}

/// Hands lines to the writing thread.
#[derive(Clone, Debug)]
struct Lines {
    queue: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
    /// Handed over, and not written yet.
    unwritten: Arc<AtomicU64>,
}

/// One line being written by a log event.
struct Line {
    text: Vec<u8>,
    lines: Lines,
}

impl Lines {
    fn start(name: &str, sink: impl Write + Send + 'static) -> Self {
        let (queue, waiting) = sync_channel(QUEUED_LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let unwritten = Arc::new(AtomicU64::new(0));
        let counts = (Arc::clone(&lost), Arc::clone(&unwritten));
        // Without the thread there is no log, which must not keep mail from moving.
        let _ = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(&waiting, (&counts.0, &counts.1), sink));
        Self {
            queue,
            lost,
            unwritten,
        }
    }
}

fn write_all(
    waiting: &Receiver<Vec<u8>>,
    (lost, unwritten): (&AtomicU64, &AtomicU64),
    mut sink: impl Write,
) {
    let mut together = Vec::new();
    while let Ok(line) = waiting.recv() {
        together.extend_from_slice(&line);
        let mut count = 1;
        for line in waiting.try_iter().take(QUEUED_LINES_MAX) {
            together.extend_from_slice(&line);
            count += 1;
        }
        let _ = sink.write_all(&together);
        unwritten.fetch_sub(count, Ordering::Release);
        together.clear();
        together.shrink_to(TOGETHER_BYTES_KEPT);
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                sink,
                "{lost} log lines were lost: the log is written too slowly"
            );
        }
        thread::sleep(REST);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            text: Vec::with_capacity(256),
            lines: self.clone(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let lines = &self.lines;
        lines.unwritten.fetch_add(1, Ordering::Relaxed);
        let text = std::mem::take(&mut self.text);
        if lines.queue.try_send(text).is_err() {
            lines.unwritten.fetch_sub(1, Ordering::Relaxed);
            lines.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where logins are told of.
const LOGINS: &str = "buzon::net::authn";
/// Lines that may wait for the sink.
const QUEUED_LINES_MAX: usize = 8192;
/// Between two writes of lines: shorter than a person sees, longer than many messages take.
const REST: Duration = Duration::from_millis(5);
/// How long the last lines may take, where the sink is slow or blocked.
const LAST_LINES_MS: usize = 200;
/// What a burst of lines took is given back.
const TOGETHER_BYTES_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A sink that takes nothing until it is allowed to.
    struct Blocked(Mutex<Receiver<()>>, Arc<Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.lock().unwrap().recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_01_a_blocked_sink_never_blocks_the_writer_and_losses_are_counted() {
        let (allow, allowed) = sync_channel(1);
        let written = Arc::new(Mutex::new(Vec::new()));
        let lines = Lines::start("log", Blocked(Mutex::new(allowed), Arc::clone(&written)));
        // The sink may have been given as many as wait, before it blocked.
        for _ in 0..2 * QUEUED_LINES_MAX + 101 {
            lines.make_writer().write_all(b"line\n").unwrap();
        }
        assert!(lines.lost.load(Ordering::Relaxed) >= 99);
        drop(allow);
    }

    #[test]
    fn lines_that_wait_are_written_together_and_in_order() {
        let (queue, waiting) = sync_channel(8);
        for line in ["one\n", "two\n", "three\n"] {
            queue.send(line.as_bytes().to_vec()).unwrap();
        }
        drop(queue);
        let (allow, allowed) = sync_channel(1);
        allow.send(()).unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Blocked(Mutex::new(allowed), Arc::clone(&written));
        let (lost, unwritten) = (AtomicU64::new(0), AtomicU64::new(3));
        write_all(&waiting, (&lost, &unwritten), sink);
        assert_eq!(unwritten.into_inner(), 0);
        assert_eq!(*written.lock().unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (allow, allowed) = sync_channel(9);
        let written = Arc::new(Mutex::new(Vec::new()));
        let lines = Lines::start("log", Blocked(Mutex::new(allowed), Arc::clone(&written)));
        for line in [&b"one\n"[..], b"two\n"] {
            lines.make_writer().write_all(line).unwrap();
            allow.send(()).unwrap();
        }
        drop(Streams(vec![lines]));
        assert_eq!(*written.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_bad_filter_says_what_is_needed() {
        let error = init("buzon=loud", Format::Text, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("wire=trace"), "{error}");
    }
}
