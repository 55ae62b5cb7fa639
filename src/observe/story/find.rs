//! Reading stories: by the id of a message, its Message-ID, an address, a host, whatever a line
//! names.
//!
//! Two passes over the files: which messages have a line that names what is asked for, then all
//! lines of these. A line of no message is a story of its own. A line that cannot be read (the
//! last one before a crash) is passed over.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use memchr::memmem;
use serde_json::{Map, Value};

use super::files::files_in;
use crate::base::clock::Timestamp;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The youngest stories, the oldest of them first.
    pub stories: Vec<Story>,
    /// How many older ones there are besides.
    pub more: usize,
}

/// What happened to one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// Its id; none for what was refused before it had one.
    pub id: Option<String>,
    /// The lines, in their order.
    pub lines: Vec<Map<String, Value>>,
}

/// The youngest `most` stories with a line that names `key`. Letters' case does not matter, nor do
/// the brackets around an address or a Message-ID.
///
/// # Errors
/// When the files cannot be read. That there are none is no error.
pub fn find(dir: &Path, key: &str, most: usize) -> io::Result<Found> {
    let key = bare(key).to_lowercase();
    let mut named: VecDeque<Story> = VecDeque::new();
    let mut places: HashMap<String, ()> = HashMap::new();
    let mut more = 0_usize;
    let finder = memmem::Finder::new(key.as_bytes());
    let mut lower = Vec::new();
    each_line(dir, &mut |line| {
        lower.clear();
        lower.extend(line.iter().map(u8::to_ascii_lowercase));
        // A name beyond ASCII is compared when the line is understood.
        if key.is_ascii() && finder.find(&lower).is_none() {
            return;
        }
        let Some(fields) = fields_of(line).filter(|fields| names(fields, &key)) else {
            return;
        };
        let story = match fields.get("id").and_then(Value::as_str) {
            Some(id) if places.contains_key(id) => return,
            Some(id) => {
                places.insert(id.to_owned(), ());
                Story {
                    id: Some(id.to_owned()),
                    lines: Vec::new(),
                }
            }
            None => Story {
                id: None,
                lines: vec![fields],
            },
        };
        named.push_back(story);
        if named.len() > most {
            more = more.saturating_add(1);
            let oldest = named.pop_front().and_then(|story| story.id);
            oldest.map(|id| places.remove(&id));
        }
    })?;
    let mut stories: Vec<Story> = named.into();
    let places: HashMap<String, usize> = (stories.iter().enumerate())
        .filter_map(|(at, story)| Some((story.id.clone()?, at)))
        .collect();
    each_line(dir, &mut |line| {
        let story = id_in(line).and_then(|id| stories.get_mut(*places.get(id)?));
        if let (Some(story), Some(fields)) = (story, fields_of(line)) {
            story.lines.push(fields);
        }
    })?;
    Ok(Found { stories, more })
}

/// All lines of one message since a time.
///
/// # Errors
/// When the files cannot be read. That there are none is no error.
pub fn of(dir: &Path, id: &str, since: Timestamp) -> io::Result<Vec<Map<String, Value>>> {
    let mut lines = Vec::new();
    each_line_since(dir, since, &mut |line| {
        if id_in(line) == Some(id) {
            lines.extend(fields_of(line));
        }
    })?;
    Ok(lines)
}

/// Passes every line of every file, the oldest first.
fn each_line(dir: &Path, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    each_line_since(dir, Timestamp(0), take)
}

/// The same of the files that may have lines of that time or later.
fn each_line_since(dir: &Path, since: Timestamp, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut files = match files_in(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    // A file ends where the next one begins.
    let later = files.partition_point(|(began, _)| *began <= since);
    files.drain(..later.saturating_sub(1));
    for (_, path) in files {
        let file = match File::open(path) {
            // The server has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let (mut file, mut line) = (BufReader::with_capacity(1 << 18, file), Vec::new());
        while file.read_until(b'\n', &mut line)? > 0 {
            take(&line);
            line.clear();
        }
    }
    Ok(())
}

fn fields_of(line: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(line).ok()
}

/// The id in a line, without understanding the rest of it.
fn id_in(line: &[u8]) -> Option<&str> {
    let start = memmem::find(line, ID)?.saturating_add(ID.len());
    let rest = line.get(start..)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Whether a field says `key`, which is bare and in lower case.
fn names(fields: &Map<String, Value>, key: &str) -> bool {
    let said = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        // An account is told by its number and its address.
        let after_number = text.split_once('/').map_or("", |(_, address)| address);
        [text, after_number]
            .iter()
            .any(|text| !text.is_empty() && bare(text).to_lowercase() == key)
    };
    fields.values().any(said)
}

/// Without the brackets of an address or a Message-ID.
fn bare(text: &str) -> &str {
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    inner.unwrap_or(text)
}

const ID: &[u8] = b"\"id\":\"";

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINES: &str = r#"{"message":"accepted","id":"A1","from":"<al@x.org>","message_id":"<m@x>"}
{"message":"refused","from":"<spam@y.org>","to":"<al@x.org>"}
{"message":"delivered","id":"A1","to":"<bob@x.org>","account":"1/carol@x.org"}
{"message":"accepted","id":"A2","from":"<Bob@x.org>","about":"A1"}
{"message":"accep"#;

    fn found(key: &str, most: usize) -> Vec<(Option<String>, usize)> {
        let dir = tempfile::tempdir().unwrap();
        let half = LINES.len() / 3;
        let half = LINES[half..].find('\n').unwrap() + half + 1;
        let parts = [&LINES[..half], &LINES[half..]];
        for (at, part) in parts.iter().enumerate() {
            let path = dir.path().join(format!("{at:016}.jsonl"));
            let mut file = File::create(path).unwrap();
            file.write_all(part.as_bytes()).unwrap();
        }
        let found = find(dir.path(), key, most).unwrap();
        let stories = found.stories.into_iter();
        stories.map(|story| (story.id, story.lines.len())).collect()
    }

    #[test]
    fn stories_are_found_by_whatever_names_them() {
        let (a1, a2) = ((Some("A1".to_owned()), 2), (Some("A2".to_owned()), 1));
        let refused = (None, 1);
        for (key, expected) in [
            ("a2", vec![a2.clone()]),
            ("A1", vec![a1.clone(), a2.clone()]),
            ("m@x", vec![a1.clone()]),
            ("<M@X>", vec![a1.clone()]),
            ("carol@x.org", vec![a1.clone()]),
            ("al@x.org", vec![a1.clone(), refused.clone()]),
            ("bob@X.org", vec![a1, a2]),
            ("spam@y.org", vec![refused]),
            ("x.org", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(found(key, 10), expected, "{key}");
        }
    }

    #[test]
    fn the_youngest_stories_are_told() {
        assert_eq!(found("bob@x.org", 1), [(Some("A2".to_owned()), 1)]);
        assert_eq!(found("al@x.org", 1), [(None, 1)]);
    }

    #[test]
    fn no_folder_has_no_stories() {
        let dir = tempfile::tempdir().unwrap();
        let none = find(&dir.path().join("none"), "a@b", 9).unwrap();
        assert_eq!(none, Found::default());
    }
}
