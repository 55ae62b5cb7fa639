//! ENVELOPE and BODYSTRUCTURE taken apart, so that a difference has a name.

use super::value::Value;

/// What is told of each part, by a name: `/2/m type` is the type of the message in the second part.
pub(super) type Told = Vec<(String, Value)>;

/// A structure taken apart, and the numbers of its parts as sections name them.
#[derive(Default)]
pub(super) struct Structure {
    pub(super) told: Told,
    pub(super) numbers: Vec<String>,
}

/// The members of an envelope.
pub(super) fn envelope(prefix: &str, value: &Value, told: &mut Told) {
    let members = value.list();
    assert_eq!(members.len(), ENVELOPE.len(), "{prefix}: {value}");
    for (name, member) in ENVELOPE.iter().zip(members) {
        told.push((format!("{prefix} {name}"), member.clone()));
    }
}

/// A body as BODYSTRUCTURE or BODY shows it.
pub(super) fn structure(prefix: &str, value: &Value) -> Structure {
    let mut found = Structure::default();
    part(prefix, value, "", &mut found);
    found
}

fn part(path: &str, value: &Value, number: &str, found: &mut Structure) {
    let members = value.list();
    if let Some(Value::List(_)) = members.first() {
        let is_part = |value: &&Value| matches!(value, Value::List(_));
        let parts = members.iter().take_while(is_part).count();
        for (nth, child) in (1..).zip(&members[..parts]) {
            let below = match number {
                "" => nth.to_string(),
                number => format!("{number}.{nth}"),
            };
            found.numbers.push(below.clone());
            part(&format!("{path}/{nth}"), child, &below, found);
        }
        let rest = &members[parts..];
        found.tell(path, "parts", Value::Atom(parts.to_string()));
        found.tell(path, "subtype", rest[0].lower());
        found.tell(path, "parameters", parameters(rest.get(1)));
        extensions(path, rest.get(2..).unwrap_or_default(), found);
        return;
    }
    // RFC 3501 6.4.5: what is not multipart has one part, itself.
    let own = match number {
        "" => "1",
        number => number,
    };
    if number.is_empty() {
        found.numbers.push(own.to_owned());
    }
    found.tell(path, "type", members[0].lower());
    found.tell(path, "subtype", members[1].lower());
    found.tell(path, "parameters", parameters(Some(&members[2])));
    found.tell(path, "id", members[3].clone());
    found.tell(path, "description", members[4].clone());
    found.tell(path, "encoding", members[5].lower());
    found.tell(path, "octets", members[6].clone());
    let mut rest = &members[7..];
    let is = |at: usize, word: &[u8]| members[at].lower() == Value::Text(word.to_vec());
    if is(0, b"message") && is(1, b"rfc822") {
        envelope(&format!("{path}/m"), &rest[0], &mut found.told);
        // The parts of a message in a part are numbered below that part.
        inner(&format!("{path}/m"), &rest[1], own, found);
        found.tell(path, "lines", rest[2].clone());
        rest = &rest[3..];
    } else if is(0, b"text") {
        found.tell(path, "lines", rest[0].clone());
        rest = &rest[1..];
    }
    found.tell(path, "md5", rest.first().cloned().unwrap_or(Value::Nil));
    extensions(path, rest.get(1..).unwrap_or_default(), found);
}

/// The body of a message within part `number`.
fn inner(path: &str, value: &Value, number: &str, found: &mut Structure) {
    if let Some(Value::List(_)) = value.list().first() {
        part(path, value, number, found);
    } else {
        let own = format!("{number}.1");
        found.numbers.push(own.clone());
        part(path, value, &own, found);
    }
}

fn extensions(path: &str, rest: &[Value], found: &mut Structure) {
    let at = |index: usize| rest.get(index).cloned().unwrap_or(Value::Nil);
    match at(0) {
        Value::List(members) => {
            found.tell(path, "disposition", members[0].lower());
            found.tell(path, "disposition-parameters", parameters(members.get(1)));
        }
        other => found.tell(path, "disposition", other),
    }
    // One language may stand as a string or as a list.
    let languages = match at(1) {
        one @ Value::Text(_) => Value::List(vec![one]),
        other => other,
    };
    found.tell(path, "languages", languages);
    found.tell(path, "location", at(2));
    assert!(rest.len() <= 3, "{path}: {rest:?}");
}

/// Names of parameters without their case.
fn parameters(value: Option<&Value>) -> Value {
    let Some(Value::List(members)) = value else {
        return value.cloned().unwrap_or(Value::Nil);
    };
    let named = members.chunks(2).flat_map(|pair| {
        let mut pair = pair.to_vec();
        pair[0] = pair[0].lower();
        pair
    });
    Value::List(named.collect())
}

impl Structure {
    fn tell(&mut self, path: &str, name: &str, value: Value) {
        self.told.push((format!("{path} {name}"), value));
    }
}

const ENVELOPE: [&str; 10] = [
    "date",
    "subject",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "in-reply-to",
    "message-id",
];
