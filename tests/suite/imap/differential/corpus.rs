//! The messages: the files of `tests/corpus`, the tables in `tests/corpus/made`, huge ones, and
//! trees of parts grown from a seed.

use std::{fs, path::Path};

use buzon::base::random::Random;

/// A message and how it is appended.
pub(in crate::imap) struct Message {
    pub(in crate::imap) name: String,
    pub(super) flags: &'static str,
    pub(super) date: String,
    pub(super) text: Vec<u8>,
}

/// A table of `tests/corpus/made`.
pub(super) fn made(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(format!("tests/corpus/made/{name}.txt"))).unwrap()
}

/// Every message, always the same.
pub(in crate::imap) fn all() -> Vec<Message> {
    let mut corpus = Corpus::default();
    corpus.files();
    corpus.whole(&made("messages"));
    corpus.tables();
    corpus.families(&made("families"));
    corpus.huge();
    corpus.grown();
    corpus.messages
}

#[derive(Default)]
struct Corpus {
    messages: Vec<Message>,
}

impl Corpus {
    fn add(&mut self, name: &str, text: Vec<u8>) {
        let number = self.messages.len();
        let flags = [
            "",
            "\\Seen",
            "\\Answered \\Seen",
            "\\Flagged",
            "\\Draft $Label1",
            "\\Deleted",
            "custom $Forwarded",
        ][number % 7];
        // Each half a day, over a year, in changing zones.
        let (day, month) = (1 + number % 28, number % 12);
        let zone = ["+0000", "-0800", "+0530"][number % 3];
        let month = MONTHS[month];
        self.messages.push(Message {
            name: name.to_owned(),
            flags,
            date: format!("{day:02}-{month}-2025 {:02}:15:00 {zone}", number % 24),
            text,
        });
    }

    /// The messages that are files: without NUL, which no APPEND may carry (RFC 3501 9 CHAR8), and
    /// without the empty one.
    fn files(&mut self) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let entries = fs::read_dir(dir).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.extension().is_some_and(|ending| ending == "eml") {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                let mut text = fs::read(&path).unwrap();
                text.retain(|byte| *byte != 0);
                if !text.is_empty() {
                    self.add(&name, text);
                }
            }
        }
    }

    fn whole(&mut self, table: &str) {
        let table = table.strip_suffix('\n').unwrap();
        let messages = table.split("\n=== ").skip(1);
        for message in messages {
            let (name, text) = message.split_once('\n').unwrap();
            let lines: String = text.split('\n').map(|line| format!("{line}\r\n")).collect();
            let text = unescape(&lines.replace("\\c\r\n", ""));
            self.add(name, text);
        }
    }

    fn tables(&mut self) {
        for (kind, table, before, behind) in [
            (
                "address",
                &made("addresses"),
                "Date: {date}\r\nFrom: {}\r\nReply-To: x@example.org\r\nTo: {}\r\nSubject: a\r\n",
                "\r\nx\r\n",
            ),
            (
                "subject",
                &made("subjects"),
                "Date: {date}\r\nFrom: s@example.org\r\nSubject: {}\r\n",
                "\r\nx\r\n",
            ),
            (
                "date",
                &made("dates"),
                "Date: {}\r\nFrom: d@example.org\r\n",
                "\r\nx\r\n",
            ),
            (
                "type",
                &made("types"),
                "Date: {date}\r\nMIME-Version: 1.0\r\nContent-Type: {}\r\n",
                "\r\nSubject: inner\r\n\r\ntext\r\n",
            ),
            (
                "encoding",
                &made("encodings"),
                "Date: {date}\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: {}\r\n",
                "\r\nbmVlZGxl\r\n",
            ),
            (
                "disposition",
                &made("dispositions"),
                "Date: {date}\r\nContent-Type: text/plain\r\nContent-Disposition: {}\r\n",
                "\r\nx\r\n",
            ),
        ] {
            for (number, line) in (1..).zip(table.lines()) {
                let before = before.replace("{date}", "Mon, 02 Jun 2025 10:00:00 +0000");
                let text = format!("{}{behind}", before.replace("{}", line));
                self.add(&format!("{kind}-{number}"), unescape(&text));
            }
        }
    }

    fn families(&mut self, table: &str) {
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, id, in_reply_to, references, subject, day] = fields[..] else {
                panic!("{line}")
            };
            let mut text = format!("From: {name}@example.org\r\nSubject: {subject}\r\n");
            for (field, value) in [
                ("Message-ID", id),
                ("In-Reply-To", in_reply_to),
                ("References", references),
            ] {
                if !value.is_empty() {
                    text += &format!("{field}: {value}\r\n");
                }
            }
            text += &format!("Date: {day} Mar 2025 10:00:00 +0000\r\n\r\nfamily\r\n");
            self.add(&format!("family-{name}"), unescape(&text));
        }
    }

    fn huge(&mut self) {
        let parts: String = (0..300)
            .map(|n| format!("--b\r\nContent-ID: <{n}@x>\r\n\r\npart {n}\r\n"))
            .collect();
        let text = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
        self.add("huge-parts", text.into_bytes());
        let to = "user@example.org,\r\n ".repeat(400);
        let text = format!("To: {to}last@example.org\r\nSubject: many\r\n\r\nx\r\n");
        self.add("huge-recipients", text.into_bytes());
        let subject = "word ".repeat(1_000);
        let text = format!("Subject: {subject}\r\n\r\nx\r\n");
        self.add("huge-subject", text.into_bytes());
        let fields: String = (0..1_900).map(|n| format!("X-{n}: value\r\n")).collect();
        let text = format!("{fields}Subject: behind\r\n\r\nx\r\n");
        self.add("huge-header", text.into_bytes());
        let line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/\r\n";
        let header = "Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        let text = format!("{header}{}", line.repeat(3 * 1024 * 1024 / line.len()));
        self.add("huge-body", text.into_bytes());
        let text = format!("Subject: one line\r\n\r\n{}\r\n", "x".repeat(1024 * 1024));
        self.add("huge-line", text.into_bytes());
        let mut text = String::new();
        for depth in 0..12 {
            text += &format!(
                "Content-Type: multipart/mixed; boundary=b{depth}x\r\n\r\n--b{depth}x\r\n"
            );
        }
        self.add("huge-depth", format!("{text}\r\ndeep\r\n").into_bytes());
        let text = "Content-Type: message/rfc822\r\n\r\n".repeat(12);
        self.add("huge-messages", format!("{text}\r\ndeep\r\n").into_bytes());
        let ids = "<a-rather-long-message-id@example.org>\r\n ".repeat(20);
        let text = format!("References: {ids}\r\nIn-Reply-To: {ids}\r\n\r\nx\r\n");
        self.add("huge-references", text.into_bytes());
    }

    fn grown(&mut self) {
        for seed in 0..80 {
            let mut tree = Tree {
                random: Random::seeded(seed),
                text: String::new(),
                boundaries: 0,
            };
            tree.header();
            tree.part(0);
            self.add(&format!("grown-{seed}"), tree.text.into_bytes());
        }
    }
}

/// A message that grows: parts in parts, with the mistakes that senders make.
struct Tree {
    random: Random,
    text: String,
    boundaries: u32,
}

impl Tree {
    fn chance(&self, of: u64) -> bool {
        self.random.below(of) == 0
    }

    fn one_of(&self, of: &[&'static str]) -> &'static str {
        let count = u64::try_from(of.len()).unwrap();
        of[usize::try_from(self.random.below(count)).unwrap()]
    }

    fn line(&mut self, text: &str) {
        self.text += text;
        self.text += "\r\n";
    }

    fn header(&mut self) {
        for _ in 0..self.random.below(5) {
            let line = self.one_of(&[
                "Subject: grown",
                "From: Grown <grown@example.org>",
                "To: a@example.org, b@example.net",
                "Date: Mon, 02 Jun 2025 10:00:00 +0000",
                "Message-ID: <grown@x>",
                "X-Odd: value",
            ]);
            self.line(line);
        }
    }

    /// The fields of a part, its empty line and its content.
    fn part(&mut self, depth: u32) {
        if self.chance(3) {
            let id = self.random.below(1000);
            self.line(&format!("Content-ID: <{id}@x>"));
        }
        if self.chance(4) {
            let line = self.one_of(&[
                "Content-Disposition: attachment; filename=\"a b.txt\"",
                "Content-Disposition: inline",
                "Content-Description: a part",
                "Content-Language: en, de",
            ]);
            self.line(line);
        }
        let growing = if depth < 4 { 6 } else { 3 };
        match self.random.below(growing) {
            0 => self.leaf(""),
            1 => self.leaf("Content-Type: text/html; charset=utf-8\r\n"),
            2 => self.leaf("Content-Type: application/pdf; name=a.pdf\r\n"),
            3 => {
                self.line("Content-Type: message/rfc822");
                self.text += "\r\n";
                self.header();
                self.part(depth + 1);
            }
            _ => self.multipart(depth),
        }
    }

    fn leaf(&mut self, fields: &str) {
        self.text += fields;
        if self.chance(4) {
            self.line("Content-Transfer-Encoding: base64");
        }
        if !self.chance(10) {
            self.text += "\r\n";
        }
        for _ in 0..self.random.below(4) {
            let line = self.one_of(&["some text", "bmVlZGxl", "", "--", "--x", "needle"]);
            self.line(line);
        }
    }

    fn multipart(&mut self, depth: u32) {
        self.boundaries += 1;
        let boundary = format!("b{}", self.boundaries);
        let kind = self.one_of(&["mixed", "alternative", "related", "digest", "x-odd"]);
        self.line(&format!(
            "Content-Type: multipart/{kind}; boundary=\"{boundary}\""
        ));
        self.text += "\r\n";
        if self.chance(3) {
            self.line("preamble");
        }
        for _ in 0..1 + self.random.below(3) {
            self.line(&format!("--{boundary}"));
            self.part(depth + 1);
        }
        if !self.chance(5) {
            self.line(&format!("--{boundary}--"));
        }
        if self.chance(3) {
            self.line("epilogue");
        }
    }
}

/// `\xNN` is a byte, `\\` a backslash; what else follows a backslash stays.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let hex = tail.strip_prefix(b"x").and_then(|tail| tail.get(..2));
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| *byte == b'\\') {
            Some(value) => {
                bytes.push(value);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    bytes
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
