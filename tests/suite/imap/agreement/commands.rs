//! Commands that are likely to be right, and ways to damage them.

use buzon::base::random::Random;

/// One command line with its literals and its end.
pub(super) fn command(random: &Random) -> Vec<u8> {
    let mut line = Line {
        random,
        text: b"a1 ".to_vec(),
    };
    line.command();
    line.add("\r\n");
    line.text
}

/// Changes a byte or two, but no line end and no literal's size.
pub(super) fn damage(random: &Random, line: &mut Vec<u8>) {
    for _ in 0..=random.below(2) {
        let space = line.len() - 2;
        let at = usize::try_from(random.below(u64::try_from(space).unwrap())).unwrap();
        let is_fixed = matches!(line[at], b'\r' | b'\n' | b'{' | b'}' | b'+');
        if is_fixed || line[at].is_ascii_digit() && line.contains(&b'{') {
            continue;
        }
        let bytes = b" ()[]<>\"\\*%,:.0123aZ!~&$@/+-";
        let byte = bytes[usize::try_from(random.below(28)).unwrap()];
        match random.below(3) {
            0 => line[at] = byte,
            1 if !line.contains(&b'{') => _ = line.remove(at),
            2 if !line.contains(&b'{') => line.insert(at, byte),
            _ => {}
        }
    }
}

struct Line<'a> {
    random: &'a Random,
    text: Vec<u8>,
}

impl Line<'_> {
    fn add(&mut self, text: &str) {
        self.text.extend(text.bytes());
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn one_of<'b>(&self, of: &[&'b str]) -> &'b str {
        let count = u64::try_from(of.len()).unwrap();
        of[usize::try_from(self.below(count)).unwrap()]
    }

    /// In any case of letters.
    fn word(&mut self, of: &[&str]) {
        let word = self.one_of(of);
        match self.below(4) {
            0 => self.add(&word.to_lowercase()),
            _ => self.add(word),
        }
    }

    fn some(&mut self, between: &str, most: u64, mut item: impl FnMut(&mut Self)) {
        for nth in 0..=self.below(most) {
            if nth > 0 {
                self.add(between);
            }
            item(self);
        }
    }

    fn command(&mut self) {
        match self.below(24) {
            0 => self.word(&[
                "CAPABILITY",
                "NOOP",
                "LOGOUT",
                "CHECK",
                "CLOSE",
                "EXPUNGE",
                "UNSELECT",
                "IDLE",
                "STARTTLS",
                "NAMESPACE",
            ]),
            1 => {
                self.word(&["LOGIN "]);
                self.string(&["alice", "a b", "al\\ice", "", "alice@example.org"]);
                self.add(" ");
                self.string(&["secret", "se cret", "\"", "{1}", "%"]);
            }
            2 => self.word(&[
                "AUTHENTICATE PLAIN",
                "AUTHENTICATE LOGIN",
                "AUTHENTICATE PLAIN =",
            ]),
            3 | 4 => {
                self.word(&[
                    "SELECT ",
                    "EXAMINE ",
                    "CREATE ",
                    "DELETE ",
                    "SUBSCRIBE ",
                    "UNSUBSCRIBE ",
                ]);
                self.mailbox();
            }
            5 => {
                self.word(&["RENAME "]);
                self.mailbox();
                self.add(" ");
                self.mailbox();
            }
            6 | 7 => {
                self.word(&["LIST ", "LSUB "]);
                self.mailbox();
                self.add(" ");
                self.pattern();
            }
            8 => {
                self.word(&["STATUS "]);
                self.mailbox();
                self.add(" (");
                self.some(" ", 4, |line| {
                    line.word(&["MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"]);
                });
                self.add(")");
            }
            9 => self.append(),
            10 => {
                self.word(&["UID EXPUNGE "]);
                self.set();
            }
            11..=15 => self.search(),
            16..=19 => self.fetch(),
            20 | 21 => self.store(),
            22 => {
                self.word(&["COPY ", "UID COPY ", "MOVE ", "UID MOVE "]);
                self.set();
                self.add(" ");
                self.mailbox();
            }
            _ => self.word(&[
                "ID NIL",
                "ID (\"name\" \"x\")",
                "ID (\"name\" NIL \"os\" \"y\")",
                "ENABLE CONDSTORE",
                "ENABLE UTF8=ACCEPT X",
            ]),
        }
    }

    fn mailbox(&mut self) {
        self.string(&[
            "INBOX",
            "inbox",
            "Sent",
            "a/b",
            "a/b/",
            "with space",
            "&AOQ-x",
            "a&-b",
            "back\\slash",
            "quo\"te",
            "]",
            "a]b",
            "NIL",
            "1",
            "a.b",
            "~x",
            "%",
            "x*",
        ]);
    }

    fn pattern(&mut self) {
        let pattern = self.one_of(&["*", "%", "a/%", "INBOX", "", "a b*", "a]*", "&AOQ-*", "\\"]);
        let is_token = !pattern.is_empty() && !pattern.contains([' ', '\\', '"']);
        match is_token && self.below(2) == 0 {
            true => self.add(pattern),
            false => self.quoted(pattern),
        }
    }

    /// An astring in one of its spellings.
    fn string(&mut self, of: &[&str]) {
        let text = self.one_of(of);
        let specials = [' ', '(', ')', '{', '%', '*', '"', '\\'];
        let is_atom = !text.is_empty() && !text.contains(specials);
        match self.below(6) {
            0 => self.literal(text),
            1..=4 if is_atom => self.add(text),
            _ => self.quoted(text),
        }
    }

    fn quoted(&mut self, text: &str) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        self.add(&format!("\"{escaped}\""));
    }

    fn literal(&mut self, text: &str) {
        let count = text.len();
        self.add(&format!("{{{count}+}}\r\n{text}"));
    }

    fn set(&mut self) {
        self.some(",", 3, |line| {
            let end = |line: &mut Self| match line.below(6) {
                0 => line.add("*"),
                1 => line.add(line.one_of(&["4294967295", "59", "60", "0", "01"])),
                _ => {
                    let number = 1 + line.below(20);
                    line.add(&number.to_string());
                }
            };
            end(line);
            if line.below(3) == 0 {
                line.add(":");
                end(line);
            }
        });
    }

    fn flags(&mut self) {
        self.some(" ", 3, |line| {
            line.word(&[
                "\\Seen",
                "\\Answered",
                "\\Flagged",
                "\\Deleted",
                "\\Draft",
                "$Label1",
                "custom",
                "NonJunk",
                "a.b",
                "\\Recent",
                "\\Odd",
            ]);
        });
    }

    fn append(&mut self) {
        self.word(&["APPEND "]);
        self.mailbox();
        if self.below(2) == 0 {
            self.add(" (");
            if self.below(4) > 0 {
                self.flags();
            }
            self.add(")");
        }
        if self.below(2) == 0 {
            let date = self.one_of(&[
                " \"01-Jun-2025 10:00:00 +0200\"",
                " \" 1-Jun-2025 10:00:00 +0000\"",
                " \"29-Feb-2024 23:59:59 -0800\"",
                " \"1-Jun-2025 10:00:00 +0000\"",
                " \"31-Feb-2025 10:00:00 +0000\"",
                " \"01-Jun-2025 25:00:00 +0000\"",
            ]);
            self.add(date);
        }
        self.add(" ");
        self.literal("Subject: x\r\n\r\nbody\r\n");
    }

    fn fetch(&mut self) {
        self.word(&["FETCH ", "UID FETCH "]);
        self.set();
        self.add(" ");
        match self.below(5) {
            0 => self.word(&["ALL", "FAST", "FULL"]),
            1 => self.item(),
            _ => {
                self.add("(");
                self.some(" ", 4, Self::item);
                self.add(")");
            }
        }
    }

    fn item(&mut self) {
        if self.below(2) == 0 {
            self.word(&[
                "ENVELOPE",
                "FLAGS",
                "INTERNALDATE",
                "RFC822",
                "RFC822.HEADER",
                "RFC822.SIZE",
                "RFC822.TEXT",
                "BODY",
                "BODYSTRUCTURE",
                "UID",
            ]);
            return;
        }
        self.word(&["BODY[", "BODY.PEEK["]);
        let path = self.one_of(&["", "1", "1.2", "3.1.4", "0", "1."]);
        self.add(path);
        let text = self.below(7);
        if text > 1 {
            self.add(if path.is_empty() { "" } else { "." });
            match text {
                2 => self.word(&["HEADER"]),
                3 => self.word(&["TEXT"]),
                4 => self.word(&["MIME"]),
                _ => {
                    self.word(&["HEADER.FIELDS (", "HEADER.FIELDS.NOT ("]);
                    self.some(" ", 2, |line| {
                        line.string(&["Subject", "FROM", "x-odd", "X!y", "x:y"]);
                    });
                    self.add(")");
                }
            }
        }
        self.add("]");
        if self.below(4) == 0 {
            let partial = self.one_of(&["<0.10>", "<5.1>", "<4294967295.4294967295>", "<1.0>"]);
            self.add(partial);
        }
    }

    fn store(&mut self) {
        self.word(&["STORE ", "UID STORE "]);
        self.set();
        self.add(" ");
        self.word(&["FLAGS", "+FLAGS", "-FLAGS"]);
        self.word(&["", ".SILENT"]);
        self.add(" ");
        match self.below(3) {
            0 => self.flags(),
            1 => self.add("()"),
            _ => {
                self.add("(");
                self.flags();
                self.add(")");
            }
        }
    }

    fn search(&mut self) {
        self.word(&["SEARCH ", "UID SEARCH "]);
        if self.below(4) == 0 {
            self.word(&["CHARSET UTF-8 ", "CHARSET \"US-ASCII\" ", "CHARSET x-odd "]);
        }
        self.some(" ", 2, |line| line.key(3));
    }

    fn beyond_a_uid(&mut self) {
        self.word(&["UIDAFTER ", "UIDBEFORE "]);
        let uid = self.one_of(&["1", "7", "4294967295", "0", "4294967296", "1:2", "*"]);
        self.add(uid);
    }

    fn key(&mut self, depth: u32) {
        match self.below(if depth > 0 { 12 } else { 8 }) {
            0 | 1 => self.word(&[
                "ALL",
                "ANSWERED",
                "DELETED",
                "DRAFT",
                "FLAGGED",
                "NEW",
                "OLD",
                "RECENT",
                "SEEN",
                "UNANSWERED",
                "UNDELETED",
                "UNDRAFT",
                "UNFLAGGED",
                "UNSEEN",
            ]),
            2 => {
                self.word(&["BCC ", "BODY ", "CC ", "FROM ", "SUBJECT ", "TEXT ", "TO "]);
                self.string(&["text", "two words", "", "a@b", "quo\"te", "[x]"]);
            }
            3 => {
                self.word(&["KEYWORD ", "UNKEYWORD "]);
                let keyword = self.one_of(&["$Label1", "custom", "a.b"]);
                self.add(keyword);
            }
            4 => {
                self.word(&[
                    "BEFORE ",
                    "ON ",
                    "SINCE ",
                    "SENTBEFORE ",
                    "SENTON ",
                    "SENTSINCE ",
                ]);
                self.word(&[
                    "1-Jun-2025",
                    "01-Jun-2025",
                    "\"1-Jun-2025\"",
                    "29-Feb-2024",
                    "31-Feb-2025",
                    "1-Jun-25",
                    "1-Jan-0001",
                ]);
            }
            5 => {
                self.word(&["LARGER ", "SMALLER "]);
                let size = self.one_of(&["0", "1", "100", "4294967295", "4294967296", "007"]);
                self.add(size);
            }
            6 if self.below(6) == 0 => self.beyond_a_uid(),
            6 => {
                self.word(&["", "UID "]);
                self.set();
            }
            7 => {
                self.word(&["HEADER "]);
                self.string(&["Subject", "X-Odd", "Message-ID"]);
                self.add(" ");
                self.string(&["text", "", "two words"]);
            }
            8 => {
                self.word(&["NOT "]);
                self.key(depth - 1);
            }
            9 | 10 => {
                self.word(&["OR "]);
                self.key(depth - 1);
                self.add(" ");
                self.key(depth - 1);
            }
            _ => {
                self.add("(");
                self.some(" ", 2, |line| line.key(depth - 1));
                self.add(")");
            }
        }
    }
}
