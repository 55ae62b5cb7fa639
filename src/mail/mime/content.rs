//! Content-Type, Content-Disposition and their kin: a value and parameters.
//!
//! RFC 2045 5.1, RFC 2183 2, RFC 2231 (the pieces of a parameter are joined, as its section 6 asks
//! of IMAP servers, but not decoded: whoever reads them wants the charset). Tolerant: an
//! unquoted value may hold spaces and specials, as many senders write file names. At most LIM-28
//! parameters.

use std::collections::BTreeMap;

use super::{
    Bounds, Text,
    lexer::{Grammar, Lexer, Spaced, Token},
};

/// A media type with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    /// The type as written.
    pub kind: Text,
    /// The subtype as written.
    pub subtype: Text,
    /// The parameters, in their order.
    pub parameters: Vec<Parameter>,
}

impl ContentType {
    /// RFC 2045 5.2: what a part is that does not say what it is.
    pub fn plain_text() -> Self {
        let charset = Parameter {
            name: b"charset"[..].into(),
            value: b"us-ascii"[..].into(),
        };
        Self {
            parameters: vec![charset],
            ..Self::bare(b"text", b"plain")
        }
    }

    /// What a part is whose content is not looked at.
    pub fn opaque() -> Self {
        Self::bare(b"application", b"octet-stream")
    }

    /// A type without parameters.
    pub(super) fn bare(kind: &[u8], subtype: &[u8]) -> Self {
        Self {
            kind: kind.into(),
            subtype: subtype.into(),
            parameters: Vec::new(),
        }
    }

    /// Whether this is the type; case does not matter.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.is_kind(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Whether this is a subtype of `kind`.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    /// The first parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let named = |p: &&Parameter| p.name.eq_ignore_ascii_case(name.as_bytes());
        self.parameters.iter().find(named).map(|p| &*p.value)
    }

    /// The boundary of a multipart.
    pub(super) fn boundary(&self) -> Option<&[u8]> {
        self.parameter("boundary")
    }

    /// The unfolded value of a Content-Type field; `None` if it is not one.
    pub(super) fn parse(value: &[u8], bounds: &Bounds) -> Option<Self> {
        let mut tokens = Lexer::new(value, Grammar::Parameters, bounds.comment_depth)
            .filter(|spaced| !matches!(spaced.token, Token::Comment(_)));
        let Token::Atom(kind) = tokens.next()?.token else {
            return None;
        };
        if tokens.next()?.token != Token::Special(b'/') {
            return None;
        }
        let Token::Atom(subtype) = tokens.next()?.token else {
            return None;
        };
        if !is_type_name(kind) || !is_type_name(subtype) {
            return None;
        }
        let parameters = parameters_after(value, bounds);
        Some(Self {
            parameters,
            ..Self::bare(kind, subtype)
        })
    }
}

/// A disposition with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment` or another word, as written.
    pub kind: Text,
    /// The parameters, in their order.
    pub parameters: Vec<Parameter>,
}

impl Disposition {
    /// The unfolded value of a Content-Disposition field; `None` if it has no word.
    pub(super) fn parse(value: &[u8], bounds: &Bounds) -> Option<Self> {
        let kind = first_word(value, bounds)?;
        Some(Self {
            kind,
            parameters: parameters_after(value, bounds),
        })
    }
}

/// One parameter, its value without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name as written.
    pub name: Text,
    /// The value; perhaps empty.
    pub value: Text,
}

/// The first word of a value, such as a transfer encoding.
pub(super) fn first_word(value: &[u8], bounds: &Bounds) -> Option<Text> {
    words(value, bounds).into_iter().next()
}

/// The words of a value that are separated by commas, such as languages (RFC 3282 2).
pub(super) fn words(value: &[u8], bounds: &Bounds) -> Vec<Text> {
    let mut words = Vec::new();
    for spaced in Lexer::new(value, Grammar::Parameters, bounds.comment_depth) {
        match spaced.token {
            Token::Atom(word) if word.len() <= NAME_BYTES_MAX => words.push(word.into()),
            Token::Quoted(word) if word.len() <= NAME_BYTES_MAX && words.is_empty() => {
                words.push(word.as_ref().into());
            }
            Token::Special(b',') | Token::Comment(_) => {}
            _ => break,
        }
        if words.len() >= WORDS_MAX {
            break;
        }
    }
    words
}

/// The parameters after the first semicolon.
fn parameters_after(value: &[u8], bounds: &Bounds) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut kept = 0_usize;
    let mut tokens = Lexer::new(value, Grammar::Parameters, bounds.comment_depth);
    let mut more = tokens.any(|spaced| spaced.token == Token::Special(b';'));
    while more && parameters.len() < bounds.parameters {
        let (parameter, ended_by) = take_parameter(&mut tokens);
        more = ended_by;
        let Some(parameter) = parameter else { continue };
        kept = kept
            .saturating_add(parameter.name.len())
            .saturating_add(parameter.value.len());
        if kept > PARAMETERS_BYTES_MAX {
            break;
        }
        parameters.push(parameter);
    }
    join_continuations(parameters)
}

/// RFC 2231 3 and 6: a value that was cut into `name*0`, `name*1` and so on stands as one, where
/// its first piece stood. What has no first piece or comes behind a gap is left as it is.
fn join_continuations(parameters: Vec<Parameter>) -> Vec<Parameter> {
    let mut pieces = BTreeMap::new();
    for (at, parameter) in parameters.iter().enumerate() {
        if let Some(piece) = Piece::of(&parameter.name) {
            let key = (piece.name.to_ascii_lowercase(), piece.number);
            pieces.entry(key).or_insert((at, piece.is_encoded));
        }
    }
    if pieces.is_empty() {
        return parameters;
    }
    let mut joined: Vec<Option<Parameter>> = parameters.into_iter().map(Some).collect();
    let firsts: Vec<_> = pieces.keys().filter(|(_, number)| *number == 0).collect();
    for (name, _) in firsts {
        let places: Vec<_> = (0..)
            .map_while(|number| pieces.get(&(name.clone(), number)))
            .collect();
        let is_encoded = places.iter().any(|(_, is_encoded)| *is_encoded);
        let mut value = Vec::new();
        for (at, piece_is_encoded) in &places {
            let piece = joined.get_mut(*at).and_then(Option::take);
            let text = piece.map(|piece| piece.value).unwrap_or_default();
            match is_encoded && !piece_is_encoded {
                true => encode_percent(&text, &mut value),
                false => value.extend_from_slice(&text),
            }
        }
        let mut name = name.clone();
        name.extend(is_encoded.then_some(b'*'));
        if let Some((at, _)) = places.first()
            && let Some(place) = joined.get_mut(*at)
        {
            *place = Some(Parameter {
                name: name.into(),
                value: value.into(),
            });
        }
    }
    joined.into_iter().flatten().collect()
}

/// RFC 2231 4: an octet that may not stand for itself in an encoded value.
fn encode_percent(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(byte) {
            true => out.push(*byte),
            false => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// The name of a parameter that holds a piece of a value: `name*0`, `name*1*`.
struct Piece<'a> {
    name: &'a [u8],
    number: u8,
    is_encoded: bool,
}

impl<'a> Piece<'a> {
    fn of(name: &'a [u8]) -> Option<Self> {
        let (numbered, is_encoded) = match name.strip_suffix(b"*") {
            Some(numbered) => (numbered, true),
            None => (name, false),
        };
        let star = numbered.iter().rposition(|byte| *byte == b'*')?;
        let (name, number) = numbered.split_at_checked(star)?;
        let number = std::str::from_utf8(number.get(1..)?).ok()?;
        // RFC 2231 7: no leading zeros, no signs.
        let parsed: u8 = number.parse().ok()?;
        (!name.is_empty() && parsed.to_string() == number).then_some(Self {
            name,
            number: parsed,
            is_encoded,
        })
    }
}

/// Reads up to and including the next semicolon; tells whether there was one.
fn take_parameter<'a>(tokens: &mut impl Iterator<Item = Spaced<'a>>) -> (Option<Parameter>, bool) {
    let mut name: Option<Vec<u8>> = None;
    let mut value: Option<Vec<u8>> = None;
    let mut more = false;
    for spaced in tokens {
        let text: &[u8] = match &spaced.token {
            Token::Special(b';') => {
                more = true;
                break;
            }
            Token::Special(b'=') if value.is_none() => {
                value = Some(Vec::new());
                continue;
            }
            // A comment, unless it is glued to an unquoted value: `name=file(1).txt`.
            Token::Comment(text) => match &mut value {
                Some(value) if !spaced.after_space && !value.is_empty() => {
                    value.push(b'(');
                    value.extend_from_slice(text);
                    value.push(b')');
                    continue;
                }
                _ => continue,
            },
            Token::Special(byte) => &[*byte],
            Token::Atom(text) | Token::Literal(text) => text,
            Token::Quoted(text) => text,
        };
        let target = match &mut value {
            Some(value) => value,
            None => name.get_or_insert_default(),
        };
        if spaced.after_space && !target.is_empty() {
            target.push(b' ');
        }
        target.extend_from_slice(text);
    }
    let named = name.filter(|name| is_parameter_name(name)).zip(value);
    let parameter = named.filter(|(_, value)| value.len() <= PARAMETERS_BYTES_MAX);
    let parameter = parameter.map(|(name, value)| Parameter {
        name: name.into(),
        value: value.into(),
    });
    (parameter, more)
}

fn is_parameter_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic)
}

/// RFC 6838 4.2 restricted-name, a little wider.
fn is_type_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic)
}

/// RFC 6838 4.2: names have at most 127 characters.
const NAME_BYTES_MAX: usize = 127;
/// LIM-30: words of one Content-Language field.
const WORDS_MAX: usize = 50;
/// LIM-30: bytes of the parameters of one field that are kept.
const PARAMETERS_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &[u8]) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content = ContentType::parse(value, &Bounds::default())?;
        let mut shown = format!("{}/{}", text(&content.kind), text(&content.subtype));
        for p in &content.parameters {
            shown.push_str(&format!(" {}={}", text(&p.name), text(&p.value)));
        }
        Some(shown)
    }

    #[test]
    fn content_types_are_read_as_senders_write_them() {
        for (value, expected) in [
            ("text/plain", "text/plain"),
            ("Text / Plain", "Text/Plain"),
            (
                "text/plain; charset=us-ascii (Plain text)",
                "text/plain charset=us-ascii",
            ),
            (
                "text/plain; charset=\"us-ascii\"",
                "text/plain charset=us-ascii",
            ),
            ("(a) text/(b)plain (c); (d) x (e) = (f) y", "text/plain x=y"),
            ("a/b; n=\"c\\\"d;e\"; m=f", "a/b n=c\"d;e m=f"),
            (
                "a/b; name=my file(1).pdf; x=y",
                "a/b name=my file(1).pdf x=y",
            ),
            (
                "a/b; boundary=----=_Part_0/1:2?3",
                "a/b boundary=----=_Part_0/1:2?3",
            ),
            ("a/b;", "a/b"),
            ("a/b;;x=y;", "a/b x=y"),
            ("a/b; x", "a/b"),
            ("a/b; x=", "a/b x="),
            ("a/b; =y", "a/b"),
            ("a/b c/d; x=y", "a/b x=y"),
            ("a/b; f*0*=utf-8''a%20; f*1=b", "a/b f*=utf-8''a%20b"),
            (
                "a/b; f*0*=utf-8''a; x=y; F*1=\"b %\"",
                "a/b f*=utf-8''ab%20%25 x=y",
            ),
            ("a/b; f*1=b; g*0=c; f*0=a; g*2=e", "a/b g=c f=ab g*2=e"),
            (
                "a/b; f*0=a; f*0=b; f*01=c; *0=d",
                "a/b f=a f*0=b f*01=c *0=d",
            ),
            ("a/b; f*1=b; f*x=c; f*=d", "a/b f*1=b f*x=c f*=d"),
            ("a/b; x=\"unclosed; y=z", "a/b x=unclosed; y=z"),
        ] {
            assert_eq!(
                shown(value.as_bytes()).as_deref(),
                Some(expected),
                "{value}"
            );
        }
        for value in [
            "",
            "text",
            "text/",
            "/plain",
            "\"text\"/plain",
            "text; x=y",
            "text plain",
        ] {
            assert_eq!(shown(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_boundary_may_stand_in_pieces() {
        let boundary = |value: &[u8]| {
            let content = ContentType::parse(value, &Bounds::default())?;
            content.boundary().map(<[u8]>::to_vec)
        };
        assert_eq!(
            boundary(b"a/b; boundary*1=d; boundary*0=c"),
            Some(b"cd".to_vec())
        );
        assert_eq!(
            boundary(b"a/b; BOUNDARY=x; boundary=y"),
            Some(b"x".to_vec())
        );
        assert_eq!(boundary(b"a/b"), None);
    }

    #[test]
    fn lim_28_a_hundred_and_twenty_eight_parameters_are_read() {
        let count = |n: usize| {
            let value = format!("a/b{}", ";x=y".repeat(n));
            ContentType::parse(value.as_bytes(), &Bounds::default())
                .unwrap()
                .parameters
                .len()
        };
        assert_eq!((count(127), count(128), count(129)), (127, 128, 128));
    }

    #[test]
    fn dispositions_and_languages_are_read() {
        let bounds = Bounds::default();
        let disposition = Disposition::parse(b"attachment; filename=\"a b\"", &bounds).unwrap();
        assert_eq!(&*disposition.kind, b"attachment");
        assert_eq!(&*disposition.parameters[0].value, b"a b");
        assert_eq!(Disposition::parse(b"; filename=x", &bounds), None);
        let languages = words(b"en, de (comment), fr", &bounds);
        assert_eq!(
            languages.iter().map(|l| l.len()).collect::<Vec<_>>(),
            [2, 2, 2]
        );
        assert_eq!(
            first_word(b"\"base64\"", &bounds).as_deref(),
            Some(&b"base64"[..])
        );
        assert_eq!(
            first_word(b" (x) 7bit ", &bounds).as_deref(),
            Some(&b"7bit"[..])
        );
    }
}
