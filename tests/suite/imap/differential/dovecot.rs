//! A Dovecot that speaks IMAP on a pipe: its `imap` program alone, already logged in, with a
//! configuration and mail of its own. No daemon, no port.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{super::client::Answer, ask::Server};
use crate::interop::server::skip;

pub(super) struct Dovecot {
    session: Session,
    program: PathBuf,
    dir: PathBuf,
}

struct Session {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
    received: Vec<u8>,
    asked: u32,
}

impl Dovecot {
    /// One of the series that the expected differences were written for; else says why not.
    pub(super) fn start() -> Option<Self> {
        let places = ["/usr/lib/dovecot/imap", "/usr/libexec/dovecot/imap"];
        let Some(program) = places.iter().find(|place| Path::new(place).is_file()) else {
            skip("dovecot-imapd is not installed");
            return None;
        };
        let version = Command::new("/usr/sbin/dovecot").arg("--version").output();
        let version = String::from_utf8(version.unwrap().stdout).unwrap();
        if !version.starts_with("2.3.") {
            skip(&format!("the expected differences are not of {version}"));
            return None;
        }
        let dir = std::env::temp_dir().join(format!("buzon-dovecot-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("home")).unwrap();
        let root = rustix::process::getuid().is_root();
        // It reads no mail as root.
        let (uid, gid) = match root {
            true => (65_534, 65_534),
            false => (
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            ),
        };
        std::os::unix::fs::chown(dir.join("home"), Some(uid), Some(gid)).unwrap();
        let config = format!(
            "base_dir = {d}/run\nlog_path = /dev/null\nmail_location = sdbox:~/mail\nssl = no\n\
             protocols = imap\nfirst_valid_uid = 1\nmail_uid = {uid}\nmail_gid = {gid}\n\
             namespace inbox {{\n inbox = yes\n separator = /\n}}\n",
            d = dir.display()
        );
        fs::write(dir.join("dovecot.conf"), config).unwrap();
        let mut dovecot = Self {
            session: Session::begin(program, &dir),
            program: PathBuf::from(program),
            dir,
        };
        assert!(
            dovecot
                .session
                .response()
                .unwrap()
                .starts_with(b"* PREAUTH")
        );
        Some(dovecot)
    }
}

impl Session {
    fn begin(program: impl AsRef<Path>, dir: &Path) -> Self {
        let mut child = Command::new(program.as_ref())
            .arg("-c")
            .arg(dir.join("dovecot.conf"))
            .env_clear()
            .env("USER", "alice")
            .env("HOME", dir.join("home"))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        Self {
            child,
            to,
            from,
            received: Vec::new(),
            asked: 0,
        }
    }

    /// One whole response, without its line end; `None` when the session is over.
    fn response(&mut self) -> Option<Vec<u8>> {
        let mut at = 0;
        loop {
            let end = self.line_end(at)?;
            let line = &self.received[at..end];
            let literal = line.strip_suffix(b"}").and_then(|line| {
                let open = line.iter().rposition(|b| *b == b'{')?;
                let count = std::str::from_utf8(&line[open + 1..]).ok()?;
                count.parse::<usize>().ok()
            });
            match literal {
                Some(length) => at = end + 2 + length,
                None => {
                    let mut response: Vec<u8> = self.received.drain(..end + 2).collect();
                    response.truncate(end);
                    return Some(response);
                }
            }
        }
    }

    fn line_end(&mut self, from: usize) -> Option<usize> {
        let mut searched = from;
        loop {
            let there = self.received.get(searched..).unwrap_or_default();
            if let Some(end) = there.windows(2).position(|pair| pair == b"\r\n") {
                return Some(searched + end);
            }
            searched = from.max(self.received.len().saturating_sub(1));
            let mut space = vec![0; 64 * 1024];
            let count = self.from.read(&mut space).unwrap();
            if count == 0 {
                return None;
            }
            self.received.extend_from_slice(&space[..count]);
        }
    }

    /// `None` when the session ended instead.
    fn ask(&mut self, command: &[u8]) -> Option<Answer> {
        self.asked += 1;
        let tag = format!("t{} ", self.asked);
        let line = [tag.as_bytes(), command, b"\r\n"].concat();
        let to = self.to.as_mut().unwrap();
        to.write_all(&line).unwrap();
        to.flush().unwrap();
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(completion) = response.strip_prefix(tag.as_bytes()) {
                let completion = String::from_utf8_lossy(completion).into_owned();
                return Some(Answer {
                    untagged,
                    completion,
                });
            }
            let data = response.strip_prefix(b"* ");
            untagged.push(data.unwrap_or(&response).to_vec());
        }
    }
}

impl Server for Dovecot {
    /// Some messages end its session; then it is begun again, and that is what was said.
    fn ask(&mut self, command: &[u8]) -> Answer {
        if let Some(answer) = self.session.ask(command) {
            return answer;
        }
        self.session = Session::begin(&self.program, &self.dir);
        assert!(self.session.response().unwrap().starts_with(b"* PREAUTH"));
        self.session.ask(b"SELECT Corpus").unwrap().ok();
        Answer {
            untagged: Vec::new(),
            completion: "closed".to_owned(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends when its input does.
        self.to = None;
        let _ = self.child.wait();
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.session.to = None;
        let _ = self.session.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
