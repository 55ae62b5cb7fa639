//! Writing stories: files of some megabytes, the oldest of which are removed.
//!
//! A file's name is the time of its first line in milliseconds, so that names sort by time. A file
//! is never written to again after a restart: a torn line can only be the last of its file. What
//! cannot be written is dropped and said once: a full disk holds up no mail.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Kept;
use crate::base::clock::Timestamp;

/// The files being written.
pub(in crate::observe) struct Files {
    kept: Kept,
    open: Option<Open>,
    /// The last attempt to write failed, and that was said.
    failing: bool,
}

struct Open {
    file: File,
    bytes: u64,
    began: Timestamp,
}

impl Files {
    pub(in crate::observe) fn new(kept: Kept) -> Self {
        Self {
            kept,
            open: None,
            failing: false,
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let now = self.kept.clock.wall();
        let full = |open: &mut Open| {
            open.bytes >= self.kept.file_bytes() || now.since(open.began) >= FILE_AGE
        };
        if self.open.as_mut().is_none_or(full) {
            self.open = None;
            self.open = Some(self.begin(now)?);
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.bytes = open.bytes.saturating_add(line.len() as u64);
        open.file.write_all(line)
    }

    /// Opens the next file, and makes room for it.
    fn begin(&self, now: Timestamp) -> io::Result<Open> {
        let dir = &self.kept.dir;
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.prune(now)?;
        let options = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .clone();
        let mut began = now;
        let file = loop {
            match options.open(dir.join(name_of(began))) {
                // Another file of this millisecond, or one of a clock that was set back.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => began.0 += 1,
                opened => break opened?,
            }
        };
        Ok(Open {
            file,
            bytes: 0,
            began: now,
        })
    }

    /// Removes files that are too old, and the oldest while all of them are too much.
    fn prune(&self, now: Timestamp) -> io::Result<()> {
        let mut files = files_in(&self.kept.dir)?;
        files.reverse();
        let mut left = self.kept.bytes.saturating_sub(self.kept.file_bytes());
        // A file's last line is no younger than the first one of the next, nor than a file grows
        // old.
        let mut ended = now;
        for (began, path) in files {
            let bytes = fs::metadata(&path)?.len();
            let last = ended.min(began.plus(FILE_AGE));
            let fits = bytes <= left && now.since(last) <= self.kept.age;
            left = if fits { left - bytes } else { 0 };
            if !fits {
                fs::remove_file(&path)?;
            }
            ended = began;
        }
        Ok(())
    }
}

impl Write for Files {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.append(line) {
            Ok(()) => self.failing = false,
            Err(error) => {
                // What stands behind half a line could not be read.
                self.open = None;
                if !std::mem::replace(&mut self.failing, true) {
                    let dir = self.kept.dir.display();
                    tracing::warn!(%dir, %error, "the stories of messages cannot be written");
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    /// Bytes of a file after which the next one begins.
    fn file_bytes(&self) -> u64 {
        (self.bytes / FILES_MIN).min(FILE_BYTES_MAX)
    }
}

/// The files of stories with the times of their first lines, the oldest first.
pub(super) fn files_in(dir: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.and_then(|name| name.strip_suffix(SUFFIX));
        files.extend(
            digits.and_then(|digits| Some((Timestamp(digits.parse().ok()?), path.clone()))),
        );
    }
    files.sort_unstable();
    Ok(files)
}

fn name_of(began: Timestamp) -> String {
    format!("{:016}{SUFFIX}", began.0)
}

const SUFFIX: &str = ".jsonl";
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Age is told by whole files, so there are some.
const FILES_MIN: u64 = 16;
const FILE_AGE: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;

    fn kept(dir: &Path, bytes: u64, clock: &Clock) -> Kept {
        Kept {
            dir: dir.join("trace"),
            age: Duration::from_secs(14 * 86_400),
            bytes,
            clock: clock.clone(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_or_too_much_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::steered(Timestamp(1_000_000));
        let kept = kept(dir.path(), 16 * 100, &clock);
        let mut files = Files::new(kept.clone());
        for _ in 0..40 {
            files.write_all(&[b'x'; 100]).unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let there = files_in(&kept.dir).unwrap();
        let bytes = there
            .iter()
            .map(|(_, path)| fs::metadata(path).unwrap().len());
        assert_eq!((there.len(), bytes.sum::<u64>()), (16, 1600));
        assert_eq!(there.last().unwrap().0, Timestamp(1_000_000 + 39_000));

        tokio::time::advance(kept.age).await;
        files.write_all(b"x").unwrap();
        // The last file may have lines that are young enough.
        assert_eq!(files_in(&kept.dir).unwrap().len(), 2);
        tokio::time::advance(FILE_AGE).await;
        files.write_all(b"x").unwrap();
        assert_eq!(files_in(&kept.dir).unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_begins_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(dir.path(), 1 << 20, &Clock::steered(Timestamp(5)));
        for _ in 0..3 {
            Files::new(kept.clone()).write_all(b"x").unwrap();
        }
        let there = files_in(&kept.dir).unwrap();
        let times: Vec<u64> = there.iter().map(|(began, _)| began.0).collect();
        assert_eq!(times, [5, 6, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn dur_04_what_cannot_be_written_is_dropped_and_written_again_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = kept(dir.path(), 1 << 20, &Clock::steered(Timestamp(5)));
        kept.dir = dir.path().join("none").join("trace");
        let mut files = Files::new(kept.clone());
        files.write_all(b"lost").unwrap();
        fs::create_dir(dir.path().join("none")).unwrap();
        files.write_all(b"kept").unwrap();
        let there = files_in(&kept.dir).unwrap();
        assert_eq!(fs::read(&there[0].1).unwrap(), b"kept");
    }
}
