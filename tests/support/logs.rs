//! What a test's own thread logs. The server of a test runs on that thread alone.
//!
//! One subscriber for the process: one per test would race with the others for the cached interest
//! of each log line.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::Once,
};

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Everything that `act` logs: the mail log, and the dialogue as the trace shows it.
pub(crate) fn logged(act: impl FnOnce()) -> String {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_env_filter("mail=debug,wire=trace")
            .with_writer(|| Sink)
            .init();
    });
    LINES.set(Some(Vec::new()));
    act();
    String::from_utf8(LINES.take().unwrap_or_default()).unwrap()
}

/// Keeps what the thread wants kept.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
