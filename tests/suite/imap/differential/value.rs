//! Data of responses as what it means: NIL, atoms, strings of either spelling, lists.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Atom(String),
    Text(Vec<u8>),
    List(Vec<Self>),
}

/// The items of one FETCH response by their names in capitals.
pub(super) type Items = BTreeMap<String, Value>;

impl Value {
    /// The elements of a list; NIL has none.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            Self::Nil => &[],
            other => panic!("no list: {other}"),
        }
    }

    /// In lower case all through, where case means nothing.
    pub(super) fn lower(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.to_ascii_lowercase()),
            Self::List(values) => Self::List(values.iter().map(Self::lower).collect()),
            other => other.clone(),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nil => f.write_str("NIL"),
            Self::Atom(atom) => f.write_str(atom),
            Self::Text(text) if text.len() > SHOWN_MAX => {
                let crc = crc32fast::hash(text);
                let start = text[..SHOWN_MAX / 2].escape_ascii();
                write!(f, "\"{start}...\" ({} bytes, {crc:08x})", text.len())
            }
            Self::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::List(values) => {
                f.write_str("(")?;
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str(")")
            }
        }
    }
}

/// The number and the items of a FETCH response; `None` when it is another one.
pub(super) fn fetched(response: &[u8]) -> Option<(u32, Items)> {
    let text = String::from_utf8_lossy(response);
    let (number, rest) = text.split_once(' ')?;
    let number = number.parse().ok()?;
    rest.strip_prefix("FETCH (")?;
    let mut reader = Reader {
        bytes: response,
        at: response.iter().position(|b| *b == b'(')? + 1,
    };
    let mut items = Items::new();
    while reader.peek() != b')' {
        let name = reader.name();
        reader.expect(b' ');
        let value = reader.value();
        let name = name.to_uppercase();
        assert!(items.insert(name, value).is_none(), "an item came twice");
        if reader.peek() == b' ' {
            reader.at += 1;
        }
    }
    Some((number, items))
}

/// The values of a whole response, one behind the other.
pub(super) fn values(response: &[u8]) -> Vec<Value> {
    let mut reader = Reader {
        bytes: response,
        at: 0,
    };
    let mut values = Vec::new();
    while reader.at < response.len() {
        match reader.peek() {
            b' ' => reader.at += 1,
            _ => values.push(reader.value()),
        }
    }
    values
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        match self.bytes.get(self.at) {
            Some(byte) => *byte,
            None => panic!("ends early: {}", self.bytes.escape_ascii()),
        }
    }

    fn expect(&mut self, byte: u8) {
        let at = self.at;
        let shown = self.bytes.escape_ascii();
        assert!(self.peek() == byte, "at {at}: {shown}");
        self.at += 1;
    }

    /// Up to the next byte that `ends` it.
    fn run(&mut self, ends: impl Fn(u8) -> bool) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| ends(*b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// `BODY[1.HEADER.FIELDS (A B)]<0>` is one name.
    fn name(&mut self) -> String {
        let mut name = self.run(|b| matches!(b, b' ' | b'[')).to_vec();
        if self.peek() == b'[' {
            name.extend(self.run(|b| b == b']'));
            name.extend(self.run(|b| b == b' '));
        }
        String::from_utf8(name).unwrap()
    }

    fn value(&mut self) -> Value {
        match self.peek() {
            b'(' => {
                self.at += 1;
                let mut values = Vec::new();
                while self.peek() != b')' {
                    match self.peek() {
                        b' ' => self.at += 1,
                        _ => values.push(self.value()),
                    }
                }
                self.at += 1;
                Value::List(values)
            }
            b'"' => Value::Text(self.quoted()),
            b'{' => Value::Text(self.literal()),
            b'~' => {
                self.at += 1;
                Value::Text(self.literal())
            }
            _ => {
                let atom = self.run(|b| matches!(b, b' ' | b')' | b'(')).to_vec();
                let atom = String::from_utf8(atom).unwrap();
                match atom.eq_ignore_ascii_case("NIL") {
                    true => Value::Nil,
                    false => Value::Atom(atom),
                }
            }
        }
    }

    fn quoted(&mut self) -> Vec<u8> {
        self.expect(b'"');
        let mut text = Vec::new();
        while self.peek() != b'"' {
            if self.peek() == b'\\' {
                self.at += 1;
            }
            text.push(self.peek());
            self.at += 1;
        }
        self.at += 1;
        text
    }

    fn literal(&mut self) -> Vec<u8> {
        self.expect(b'{');
        let count = String::from_utf8(self.run(|b| b == b'}').to_vec()).unwrap();
        let count: usize = count.parse().unwrap();
        self.at += 3;
        let text = self.bytes[self.at..self.at + count].to_vec();
        self.at += count;
        text
    }
}

const SHOWN_MAX: usize = 200;

#[test]
fn both_spellings_of_a_string_are_one_value() {
    let (number, items) =
        fetched(b"7 FETCH (BODY[1.HEADER.FIELDS (A)]<0> {3}\r\na\"b X (\"a\\\"b\" nil (1) \"\"))")
            .unwrap();
    assert_eq!(number, 7);
    assert_eq!(
        items["BODY[1.HEADER.FIELDS (A)]<0>"].to_string(),
        "\"a\\\"b\""
    );
    assert_eq!(items["X"].to_string(), "(\"a\\\"b\" NIL (1) \"\")");
    assert_eq!(values(b"SORT 1 2").len(), 3);
}
