//! The beginning of a message's text, as a list of messages shows it (RFC 8970 3.3).
//!
//! Pure, linear in a text that the caller bounds. Markup goes, quoted lines and signatures go,
//! white space becomes one space. It is a glimpse for people, not a rendering: what is not closed
//! in markup is left out to the end.

/// Characters of a preview. RFC 8970 3.3: should be 200, must not be more than 256.
pub const PREVIEW_CHARS_MAX: usize = 200;

/// What a text begins with.
pub fn of_plain(text: &str) -> String {
    let mut preview = Preview::default();
    for line in text.lines() {
        // RFC 3676 4.3, 4.5: what the sender's signature follows; what others wrote.
        if line == "-- " {
            break;
        }
        if line.starts_with('>') {
            continue;
        }
        preview.text(line);
        preview.blank();
        if preview.is_full() {
            break;
        }
    }
    preview.text
}

/// What a document in HTML begins with.
pub fn of_html(html: &str) -> String {
    let mut preview = Preview::default();
    let mut rest = html;
    while !rest.is_empty() && !preview.is_full() {
        let (text, markup) = rest.split_at(rest.find(['<', '&']).unwrap_or(rest.len()));
        preview.text(text);
        rest = if let Some(reference) = markup.strip_prefix('&') {
            character(reference, &mut preview)
        } else {
            tag(markup, &mut preview)
        };
    }
    preview.text
}

/// Whether bytes that begin so are a document in HTML.
pub fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start().get(..14).unwrap_or_default();
    let is = |prefix: &str| {
        let start = start.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    is("<!doctype html") || is("<html")
}

/// A preview being made.
#[derive(Default)]
struct Preview {
    text: String,
    chars: usize,
    /// White space came behind the last character.
    after_blank: bool,
}

impl Preview {
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            if self.is_full() {
                return;
            }
            self.char(c);
        }
    }

    fn char(&mut self, c: char) {
        if c.is_whitespace() || c.is_control() {
            return self.blank();
        }
        // What fills the beginnings of newsletters, to be seen by nobody.
        if matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        ) {
            return;
        }
        if self.after_blank && !self.text.is_empty() {
            self.text.push(' ');
            self.chars += 1;
        }
        self.after_blank = false;
        if !self.is_full() {
            self.text.push(c);
            self.chars += 1;
        }
    }

    fn blank(&mut self) {
        self.after_blank = true;
    }

    fn is_full(&self) -> bool {
        self.chars >= PREVIEW_CHARS_MAX
    }
}

/// Skips the tag that `markup` begins with, and what nobody reads of its element; gives what is
/// behind.
fn tag<'t>(markup: &'t str, preview: &mut Preview) -> &'t str {
    if let Some(comment) = markup.strip_prefix("<!--") {
        return behind(comment, "-->");
    }
    let inner = markup.strip_prefix('<').unwrap_or(markup);
    let is_tag =
        inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    if !is_tag {
        // A sign and no markup.
        preview.text(markup.get(..1).unwrap_or_default());
        return inner;
    }
    let name = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    let name = inner.get(..name.unwrap_or(inner.len())).unwrap_or_default();
    let rest = behind_tag(inner);
    if !INLINE.iter().any(|inline| is_element(name, inline)) {
        preview.blank();
    }
    for hidden in HIDDEN {
        if name.eq_ignore_ascii_case(hidden) {
            return behind_element(rest, hidden);
        }
    }
    rest
}

/// Whether a tag's name, perhaps with a slash, is of this element.
fn is_element(name: &str, element: &str) -> bool {
    name.trim_matches('/').eq_ignore_ascii_case(element)
}

/// What is behind the end of a tag; a `>` in quotes is none.
fn behind_tag(inner: &str) -> &str {
    let mut quote = None;
    for (at, c) in inner.char_indices() {
        match (c, quote) {
            ('>', None) => return inner.get(at + 1..).unwrap_or_default(),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    ""
}

/// What is behind the end of an element whose text is hidden.
fn behind_element<'t>(mut rest: &'t str, element: &str) -> &'t str {
    while let Some((_, behind)) = rest.split_once("</") {
        let name = behind.get(..element.len());
        if name.is_some_and(|name| name.eq_ignore_ascii_case(element)) {
            return behind_tag(behind);
        }
        rest = behind;
    }
    ""
}

fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, behind)| behind)
}

/// Takes the character reference that stands behind `&`; gives what is behind it.
fn character<'t>(reference: &'t str, preview: &mut Preview) -> &'t str {
    let end = reference
        .char_indices()
        .take(REFERENCE_CHARS_MAX)
        .find(|(_, c)| *c == ';');
    let parts = end.and_then(|(at, _)| Some((reference.get(..at)?, reference.get(at + 1..)?)));
    let named = parts.and_then(|(name, rest)| Some((character_named(name)?, rest)));
    if let Some((c, rest)) = named {
        preview.char(c);
        return rest;
    }
    preview.char('&');
    reference
}

fn character_named(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number.strip_prefix(['x', 'X']);
        let code = hex.map_or_else(
            || number.parse().ok(),
            |hex| u32::from_str_radix(hex, 16).ok(),
        );
        return code.and_then(char::from_u32);
    }
    NAMED
        .iter()
        .find_map(|(known, c)| (*known == name).then_some(*c))
}

/// Elements whose tags do not part words.
const INLINE: [&str; 14] = [
    "a", "abbr", "b", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "sup", "u",
];
/// Elements whose text nobody reads.
const HIDDEN: [&str; 5] = ["head", "script", "style", "title", "template"];
/// Characters of the longest reference that is looked for.
const REFERENCE_CHARS_MAX: usize = 12;
/// The references by name that mail really has; others are shown as they stand.
const NAMED: [(&str, char); 25] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("shy", '\u{ad}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("hellip", '\u{2026}'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("auml", '\u{e4}'),
    ("ouml", '\u{f6}'),
    ("uuml", '\u{fc}'),
    ("Auml", '\u{c4}'),
    ("Ouml", '\u{d6}'),
    ("Uuml", '\u{dc}'),
    ("szlig", '\u{df}'),
    ("eacute", '\u{e9}'),
    ("euro", '\u{20ac}'),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_told_without_quotes_and_signature() {
        for (text, preview) in [
            ("", ""),
            ("Hello,\r\n\r\n\tdear  friend\r\n", "Hello, dear friend"),
            ("> you said\r\n>> and I\r\nYes.\r\n", "Yes."),
            ("Bye\r\n-- \r\nAlice, Example Inc.\r\n", "Bye"),
            ("a\u{0}b\u{1b}[1m", "a b [1m"),
            ("\u{200b}\u{feff}x", "x"),
        ] {
            assert_eq!(of_plain(text), preview, "{text:?}");
        }
    }

    #[test]
    fn html_is_told_as_its_text() {
        for (html, preview) in [
            ("<p>Hello</p><p>there</p>", "Hello there"),
            ("<b>Hel</b>lo <i title=\"a>b\">x</i>", "Hello x"),
            (
                "<html><head><title>No</title><style>p{a:b}</style></head><body>Yes</body></html>",
                "Yes",
            ),
            ("<STYLE>p<q</STYLE>x<script>if (a</b) {}</script>y", "x y"),
            ("a<!-- b > c -->d", "ad"),
            ("1 < 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
            (
                "&#228;&#xE4;&auml;&nope;&#99999999;&",
                "\u{e4}\u{e4}\u{e4}&nope;&#99999999;&",
            ),
            ("a&nbsp;&nbsp;b<br>c", "a b c"),
            ("open <a href='x", "open"),
            ("<script>for ever", ""),
            ("\u{fc}<p>\u{fc}</p>", "\u{fc} \u{fc}"),
        ] {
            assert_eq!(of_html(html), preview, "{html}");
        }
        assert!(looks_like_html(" \r\n<!DOCTYPE HTML PUBLIC"));
        assert!(looks_like_html("<html lang=de><body>"));
        assert!(!looks_like_html("<hello> there, friend"));
        assert!(!looks_like_html("short"));
    }

    #[test]
    fn a_preview_ends_after_two_hundred_characters() {
        for text in ["\u{e9}".repeat(500), "ab ".repeat(500)] {
            for preview in [of_plain(&text), of_html(&text)] {
                let chars = preview.chars().count();
                assert_eq!(chars, PREVIEW_CHARS_MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_preview_of_bounded_length(text in "[<>&;a-z/!\"'# \r\n\u{e9}-]{0,300}") {
            prop_assert!(of_html(&text).chars().count() <= PREVIEW_CHARS_MAX);
            prop_assert!(of_plain(&text).chars().count() <= PREVIEW_CHARS_MAX);
        }
    }
}
