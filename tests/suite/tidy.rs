//! The house rules as a test: who may import whom, sizes, module docs, purity, ASCII, limits and
//! verbs that tests must name. Reads the sources as text.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Who may import whom: folder, then what it may name in `crate::` paths. The longest matching
/// folder counts. Changing this table is a design decision: say why in the commit.
const IMPORTS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("mail", &["base"]),
    ("sasl", &["base"]),
    ("store", &["base", "observe"]),
    ("tls", &["base", "observe"]),
    ("dns", &["base", "mail", "observe"]),
    // What it asks goes through the DNS's room, and takes time.
    ("verify", &["base", "mail", "dns", "observe"]),
    ("observe", &["base"]),
    ("smtp/proto", &["base", "wire", "mail", "sasl"]),
    ("imap/proto", &["base", "wire", "mail", "sasl"]),
    ("imap/order", &["base", "mail"]),
    ("imap/view.rs", &["base", "wire", "mail"]),
    ("imap/view", &["base", "wire", "mail"]),
    ("pop3/proto", &["base", "wire", "mail", "sasl"]),
    ("accounts", &["base", "mail", "store", "observe"]),
    ("mailbox", &["base", "mail", "store", "observe"]),
    // It reads what mailboxes hold; of the store it uses the keys and the disk.
    ("fulltext", &["base", "mail", "store", "mailbox", "observe"]),
    ("queue", &["base", "mail", "store", "observe"]),
    (
        "route",
        &[
            "base", "mail", "accounts", "mailbox", "queue", "store", "observe", "verify",
        ],
    ),
    ("net", &["base", "wire", "sasl", "tls", "observe"]),
    (
        "smtp/client",
        &[
            "base",
            "wire",
            "mail",
            "smtp/proto",
            "sasl",
            "net",
            "tls",
            "observe",
        ],
    ),
    (
        "relay",
        &[
            "base",
            "mail",
            "queue",
            "route",
            "store",
            "smtp/proto",
            "smtp/client",
            // What is rewritten on its way is signed as it is sent.
            "verify",
            "dns",
            "tls",
            "observe",
        ],
    ),
    (
        "smtp/server",
        &[
            "base", "wire", "mail", "sasl", "net", "accounts", "mailbox", "route", "store",
            "observe", "verify",
        ],
    ),
    ("imap/server", IMAP_SERVER),
    ("pop3/server", SERVER),
    // It serves HTTP beside them: no line protocol, so of the mechanism only what is before those.
    ("web", &["base", "mail", "net", "accounts", "observe"]),
    (
        "admin",
        &[
            "base", "mail", "accounts", "mailbox", "fulltext", "queue", "store", "observe",
            "verify",
        ],
    ),
    ("config", &["base"]),
    ("app", EVERYTHING),
    ("cli", &["app", "config", "admin", "base"]),
    ("main.rs", &["cli"]),
    ("lib.rs", EVERYTHING),
];

/// A server sees its own grammar (its own folder), the mechanism and the services.
const SERVER: &[&str] = &[
    "base", "wire", "mail", "sasl", "net", "accounts", "mailbox", "route", "store", "observe",
];

/// The same, and who may know which messages hold a text.
const IMAP_SERVER: &[&str] = &[
    "base", "wire", "mail", "sasl", "net", "accounts", "mailbox", "route", "store", "observe",
    "fulltext",
];

const EVERYTHING: &[&str] = &[""];

/// Folders that decide and never wait: no tokio, no log, no clock.
const PURE: &[&str] = &[
    "wire",
    "mail",
    "sasl",
    "smtp/proto",
    "imap/order",
    "imap/proto",
    "imap/view",
    "pop3/proto",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 80;
const LINE_CHARS_MAX: usize = 100;

/// A source file: path below `src`, and text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are not tests.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

fn sources_in(dir: &str) -> Vec<Source> {
    let base = root().join(dir);
    let mut paths = Vec::new();
    files_below(&base, ".rs", &mut paths);
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path
            .strip_prefix(&base)
            .unwrap()
            .to_string_lossy()
            .into_owned(),
    };
    paths.into_iter().map(read).collect()
}

fn fail_on(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Whether `path` lies in `folder` (or is that file).
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The `crate::` paths a piece of source names, slash-separated; groups are opened one level.
fn crate_paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    paths.push(std::mem::take(&mut item));
                }
                if depth == 0 {
                    break;
                }
                if !(depth == 1 && c == ',') {
                    item.push(c);
                }
            }
        } else {
            paths.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
                    .collect(),
            );
        }
    }
    let tidy = |path: String| {
        let path = path.trim().replace("::", "/");
        path.chars()
            .take_while(|c| c.is_alphanumeric() || "_/".contains(*c))
            .collect::<String>()
    };
    paths
        .into_iter()
        .map(tidy)
        .filter(|path| !path.is_empty())
        .collect()
}

#[test]
fn imports_follow_the_table() {
    let mut complaints = Vec::new();
    for source in sources_in("src") {
        let rule = IMPORTS
            .iter()
            .filter(|(folder, _)| within(&source.path, folder))
            .max_by_key(|(folder, _)| folder.len());
        let own = source.path.split('/').next().unwrap_or_default();
        let Some((folder, allowed)) = rule else {
            if source.path.matches('/').count() != 1 || !source.path.ends_with("/mod.rs") {
                complaints.push(format!("src/{}: no row in the import table", source.path));
            }
            continue;
        };
        let product: String = source
            .product()
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        for path in crate_paths(&product) {
            let same_room = within(&path, folder.trim_end_matches(".rs"));
            // A server's own grammar and view: `imap/server` may name `imap/...`.
            let own_protocol = folder.ends_with("/server") && within(&path, own)
                || folder.ends_with("view.rs") && within(&path, "imap/proto");
            let fine = same_room
                || own_protocol
                || allowed
                    .iter()
                    .any(|room| room.is_empty() || within(&path, room));
            if !fine {
                complaints.push(format!(
                    "src/{}: {folder} may not import {path}",
                    source.path
                ));
            }
        }
    }
    fail_on(complaints);
}

#[test]
fn deciding_code_does_not_wait() {
    let mut complaints = Vec::new();
    for source in sources_in("src") {
        if !PURE
            .iter()
            .any(|folder| within(source.path.trim_end_matches(".rs"), folder))
        {
            continue;
        }
        for (number, line) in source.product() {
            for forbidden in [
                "tokio::",
                "tracing::",
                "async fn",
                "std::fs",
                "std::net::Tcp",
                "Clock",
            ] {
                if line.contains(forbidden) && !line.trim_start().starts_with("//") {
                    complaints.push(format!(
                        "src/{}:{number}: {forbidden} in a pure folder",
                        source.path
                    ));
                }
            }
        }
    }
    fail_on(complaints);
}

#[test]
fn files_are_documented_small_ascii_and_without_loose_ends() {
    let mut complaints = Vec::new();
    let trees = [
        ("src", true),
        ("tests", false),
        ("fuzz/fuzz_targets", false),
        ("benches", false),
    ];
    for (tree, product) in trees {
        for source in sources_in(tree) {
            let place = format!("{tree}/{}", source.path);
            if !source.text.starts_with("//!") {
                complaints.push(format!("{place}: begins without a `//!` saying what it is"));
            }
            let lines = source.product().count();
            if product && lines > FILE_LINES_MAX {
                complaints.push(format!("{place}: {lines} lines; cut it by concept"));
            }
            for (at, line) in source.text.lines().enumerate() {
                let at = at + 1;
                if !line.is_ascii() {
                    complaints.push(format!("{place}:{at}: not ASCII; write \\u{{..}}"));
                }
                if line.chars().count() > LINE_CHARS_MAX && !line.contains("http") {
                    complaints.push(format!("{place}:{at}: longer than {LINE_CHARS_MAX}"));
                }
                // Built in two halves, so that this file does not complain of itself.
                for word in [
                    concat!("TO", "DO"),
                    concat!("FIX", "ME"),
                    concat!("todo", "!("),
                    concat!("unimple", "mented!("),
                ] {
                    if product && line.contains(word) {
                        complaints.push(format!("{place}:{at}: {word}"));
                    }
                }
                if product && line.contains(concat!("#[", "allow(")) {
                    complaints.push(format!("{place}:{at}: use expect with a reason, not allow"));
                }
            }
        }
    }
    fail_on(complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    for source in sources_in("src") {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in source.product() {
            let indent = line.len() - line.trim_start().len();
            let begins = ["fn ", "async fn ", "const fn "].iter().any(|word| {
                let rest = line.trim_start();
                let rest = rest.strip_prefix("pub ").unwrap_or(rest);
                let rest = rest.strip_prefix("pub(super) ").unwrap_or(rest);
                let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
                rest.starts_with(word)
            });
            if begins && open.is_none() {
                open = Some((number, indent, line.trim().to_owned()));
            }
            let Some((began, depth, name)) = &open else {
                continue;
            };
            let ended = indent == *depth
                && (line.trim() == "}" || line.trim_end().ends_with(';') && !line.contains('{'));
            if ended || (number == *began && line.trim_end().ends_with('}')) {
                let lines = number - began + 1;
                if lines > FUNCTION_LINES_MAX {
                    complaints.push(format!(
                        "src/{}:{began}: {lines} lines: {name}",
                        source.path
                    ));
                }
                open = None;
            }
        }
    }
    fail_on(complaints);
}

/// The names of all tests: functions, and files of transcripts.
fn test_names() -> String {
    let mut names = String::new();
    for source in ["src", "tests"].into_iter().flat_map(sources_in) {
        let after = source.text.split("fn ").skip(1);
        names.extend(after.filter_map(|rest| Some(format!("{}\n", rest.split_once('(')?.0))));
    }
    let mut transcripts = Vec::new();
    files_below(&root().join("tests/transcripts"), ".txt", &mut transcripts);
    names.extend(
        transcripts
            .iter()
            .filter_map(|path| Some(format!("{}\n", path.file_stem()?.to_str()?))),
    );
    names
}

/// The limits that the doc comments of constants name, with the line of the constant.
fn limits_of<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<(usize, String)> {
    let (mut found, mut ids) = (Vec::new(), BTreeSet::new());
    for (number, line) in lines {
        let line = line.trim_start();
        if line.starts_with("///") {
            let named = line.match_indices("LIM-");
            ids.extend(named.filter_map(|(at, _)| line.get(at..at + 6)));
            continue;
        }
        if line.starts_with("#[") {
            continue;
        }
        let item = match line.strip_prefix("pub") {
            Some(rest) => rest
                .trim_start_matches("(super)")
                .trim_start_matches("(crate)"),
            None => line,
        };
        let named = std::mem::take(&mut ids);
        if item.trim_start().starts_with("const ") {
            found.extend(named.into_iter().map(|id| (number, id.to_owned())));
        }
    }
    found
}

#[test]
fn limits_are_found_in_the_words_above_a_constant() {
    let text = "/// LIM-01: one.\n/// And LIM-02.\n#[rustfmt::skip]\npub(super) const A: u8 = 1;\n\
        /// LIM-03\nfn no_constant() {}\n\
        /// LIM-04\npub const fn b() {}\nconst C: u8 = 1;\n";
    let found = limits_of(text.lines().enumerate());
    let found: Vec<_> = found.iter().map(|(at, id)| (*at, id.as_str())).collect();
    assert_eq!(found, [(3, "LIM-01"), (3, "LIM-02"), (7, "LIM-04")]);
}

#[test]
fn every_limit_is_named_by_a_test() {
    let names = test_names();
    let mut complaints = Vec::new();
    for source in sources_in("src") {
        for (number, id) in limits_of(source.product()) {
            if !names.contains(&id.to_lowercase().replace('-', "_")) {
                complaints.push(format!(
                    "src/{}:{number}: no test's name has {id}",
                    source.path
                ));
            }
        }
    }
    fail_on(complaints);
}

#[test]
fn every_verb_has_a_transcript_and_every_transcript_a_protocol() {
    let mut complaints = Vec::new();
    for protocol in ["smtp", "imap", "pop3"] {
        let mut paths = Vec::new();
        files_below(
            &root().join("tests/transcripts").join(protocol),
            ".txt",
            &mut paths,
        );
        let text: String = paths
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let text = text.to_uppercase();
        let dialog = sources_in("src")
            .into_iter()
            .filter(|source| source.path.starts_with(&format!("{protocol}/proto/")))
            .filter(|source| !source.path.ends_with("/tests.rs"));
        for source in dialog {
            for (_, line) in source.product() {
                let name = line
                    .split_once("name: \"")
                    .or_else(|| line.split_once("Verb::new(\""))
                    .or_else(|| line.split_once("verb(\""))
                    .and_then(|(_, rest)| rest.split_once('"'));
                if let Some((name, _)) = name
                    && !text.contains(&format!("> {name}"))
                    && !text.contains(&format!(" {name}"))
                {
                    complaints.push(format!("{protocol}: no transcript speaks {name}"));
                }
            }
        }
    }
    fail_on(complaints);
}
