//! Words, quoted strings, comments and specials of a structured header field.
//!
//! RFC 5322 3.2 with the obsolete forms of 4.1, RFC 2045 5.1, RFC 6532 3.2. Iterative and linear;
//! each byte is looked at once. What is not closed ends with the value. A comment nested too
//! deeply (LIM-28) swallows the rest.

use std::borrow::Cow;

/// One token and whether white space or a comment stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spaced<'a> {
    pub(super) token: Token<'a>,
    pub(super) after_space: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A run of bytes without meaning of their own; dots are among them.
    Atom(&'a [u8]),
    /// The content of a quoted string, without its backslashes.
    Quoted(Cow<'a, [u8]>),
    /// The content of a comment, without its backslashes.
    Comment(Cow<'a, [u8]>),
    /// A domain literal with its brackets.
    Literal(&'a [u8]),
    /// One of `< > : ; @ , = / ) ]`; which of them depends on the [`Grammar`].
    Special(u8),
}

/// Which bytes are specials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// RFC 5322 3.4: address lists.
    Addresses,
    /// RFC 2045 5.1: a type and parameters.
    Parameters,
}

pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    grammar: Grammar,
    comment_depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8], grammar: Grammar, comment_depth: usize) -> Self {
        Self {
            rest: value,
            grammar,
            comment_depth,
        }
    }

    fn is_special(&self, byte: u8) -> bool {
        match self.grammar {
            Grammar::Addresses => matches!(byte, b'<' | b'>' | b':' | b';' | b'@' | b','),
            Grammar::Parameters => matches!(byte, b';' | b'=' | b'/' | b','),
        }
    }

    /// Cuts the first `length` bytes off the rest.
    fn cut(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, &[]));
        self.rest = tail;
        head
    }

    fn atom(&mut self) -> &'a [u8] {
        let ends = |b: u8| is_space(b) || self.is_special(b) || matches!(b, b'"' | b'(');
        let length = self
            .rest
            .iter()
            .position(|b| ends(*b))
            .unwrap_or(self.rest.len());
        self.cut(length)
    }

    /// The content of a quoted string; the rest begins after its opening quote.
    fn quoted(&mut self) -> Cow<'a, [u8]> {
        let mut escapes = false;
        let mut at = 0_usize;
        while let Some(byte) = self.rest.get(at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    escapes = true;
                    at = at.saturating_add(1);
                }
                _ => {}
            }
            at = at.saturating_add(1);
        }
        let content = self.cut(at);
        self.cut(1);
        if escapes {
            Cow::Owned(unescape(content))
        } else {
            Cow::Borrowed(content)
        }
    }

    /// The content of a comment; the rest begins after its opening parenthesis.
    fn comment(&mut self) -> Cow<'a, [u8]> {
        let mut escapes = false;
        let (mut at, mut depth) = (0_usize, 1_usize);
        while let Some(byte) = self.rest.get(at) {
            match byte {
                b'\\' => {
                    escapes = true;
                    at = at.saturating_add(1);
                }
                b'(' => depth = depth.saturating_add(1),
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth > self.comment_depth {
                at = self.rest.len();
                break;
            }
            at = at.saturating_add(1);
        }
        let content = self.cut(at);
        self.cut(1);
        if escapes {
            Cow::Owned(unescape(content))
        } else {
            Cow::Borrowed(content)
        }
    }

    /// `[...]`, or all that is left when it is not closed.
    fn literal(&mut self) -> &'a [u8] {
        let close = self.rest.iter().position(|b| *b == b']');
        self.cut(close.map_or(self.rest.len(), |at| at.saturating_add(1)))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Spaced<'a>;

    fn next(&mut self) -> Option<Spaced<'a>> {
        let spaces = self
            .rest
            .iter()
            .position(|b| !is_space(*b))
            .unwrap_or(self.rest.len());
        self.cut(spaces);
        let first = *self.rest.first()?;
        let token = match first {
            b'"' => {
                self.cut(1);
                Token::Quoted(self.quoted())
            }
            b'(' => {
                self.cut(1);
                Token::Comment(self.comment())
            }
            b'[' if self.grammar == Grammar::Addresses => Token::Literal(self.literal()),
            special if self.is_special(special) => {
                self.cut(1);
                Token::Special(special)
            }
            _ => Token::Atom(self.atom()),
        };
        Some(Spaced {
            token,
            after_space: spaces > 0,
        })
    }
}

/// White space, and controls, which have no place in a field but are met there.
fn is_space(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// RFC 5322 3.2.1 quoted-pair: a backslash stands for the byte after it.
fn unescape(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.iter();
    let mut plain = Vec::with_capacity(content.len());
    while let Some(byte) = bytes.next() {
        let literal = if *byte == b'\\' {
            bytes.next()
        } else {
            Some(byte)
        };
        plain.extend(literal);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &[u8], grammar: Grammar) -> Vec<String> {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Lexer::new(value, grammar, 50)
            .map(|spaced| match spaced.token {
                Token::Atom(atom) => show(atom),
                Token::Quoted(text) => format!("q:{}", show(&text)),
                Token::Comment(text) => format!("c:{}", show(&text)),
                Token::Literal(text) => format!("l:{}", show(text)),
                Token::Special(byte) => format!("s:{}", char::from(byte)),
            })
            .collect()
    }

    #[test]
    fn tokens_are_cut_where_the_grammar_says() {
        assert_eq!(
            shown(b"a.b \"c\\\"d\"(e(f\\)))<g@[h]>", Grammar::Addresses),
            [
                "a.b", "q:c\"d", "c:e(f))", "s:<", "g", "s:@", "l:[h]", "s:>"
            ]
        );
        assert_eq!(
            shown(b"text/plain; a=\"b;c\"", Grammar::Parameters),
            ["text", "s:/", "plain", "s:;", "a", "s:=", "q:b;c"]
        );
    }

    #[test]
    fn what_is_not_closed_ends_with_the_value() {
        for (value, token) in [
            ("\"a", "q:a"),
            ("\"a\\", "q:a"),
            ("(a", "c:a"),
            ("(a\\", "c:a"),
            ("[a", "l:[a"),
        ] {
            assert_eq!(
                shown(value.as_bytes(), Grammar::Addresses),
                [token],
                "{value}"
            );
        }
    }

    #[test]
    fn lim_28_comments_nest_fifty_deep_and_then_swallow_the_rest() {
        let nested = |depth: usize| format!("{}x{}y", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(shown(nested(49).as_bytes(), Grammar::Addresses).len(), 2);
        assert_eq!(shown(nested(50).as_bytes(), Grammar::Addresses).len(), 2);
        assert_eq!(shown(nested(51).as_bytes(), Grammar::Addresses).len(), 1);
    }
}
