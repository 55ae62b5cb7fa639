//! `BODY[...]<...>` of FETCH (RFC 3501 9, `section`).

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::{
    fetch::FetchItem,
    limits::{HEADER_FIELDS_MAX, SECTION_DEPTH_MAX},
    section::{FieldName, Partial, Section, SectionText},
};

/// From the opening bracket on.
pub fn section_item(scanner: &mut Scanner<'_>, peek: bool) -> Parsed<FetchItem> {
    scanner.expect(b'[', "a section stands in brackets")?;
    let section = section(scanner)?;
    scanner.expect(b']', "a section ends with a bracket")?;
    let partial = if scanner.eat(b'<') {
        Some(partial(scanner)?)
    } else {
        None
    };
    Ok(FetchItem::Section {
        section,
        partial,
        peek,
    })
}

/// RFC 3516 7: from the opening bracket of `BINARY[...]` on.
pub fn binary_item(scanner: &mut Scanner<'_>, peek: bool) -> Parsed<FetchItem> {
    let path = binary_path(scanner)?;
    let partial = if scanner.eat(b'<') {
        Some(partial(scanner)?)
    } else {
        None
    };
    Ok(FetchItem::Binary {
        path,
        partial,
        peek,
    })
}

/// RFC 3516 7: `section-binary`
pub fn binary_path(scanner: &mut Scanner<'_>) -> Parsed<Vec<u32>> {
    scanner.expect(b'[', "a part stands in brackets")?;
    let Section { path, text } = section(scanner)?;
    scanner.expect(b']', "a part ends with a bracket")?;
    match text {
        None => Ok(path),
        Some(_) => Err(Mistake::bad("BINARY takes part numbers only, as in 1.2")),
    }
}

/// `[section-spec]`
pub fn section(scanner: &mut Scanner<'_>) -> Parsed<Section> {
    let mut path = Vec::new();
    while scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if path.len() == SECTION_DEPTH_MAX {
            // LIM-28
            return Err(Mistake::bad("parts are nested at most 100 deep"));
        }
        path.push(scanner.nz_number()?);
        if !scanner.eat(b'.') {
            return Ok(Section { path, text: None });
        }
    }
    if path.is_empty() && scanner.peek() == Some(b']') {
        return Ok(Section::default());
    }
    let text = match scanner.word().to_ascii_uppercase().as_slice() {
        b"HEADER" => SectionText::Header,
        b"TEXT" => SectionText::Text,
        // RFC 3501 6.4.5: MIME has a part number before it.
        b"MIME" if !path.is_empty() => SectionText::Mime,
        b"HEADER.FIELDS" => header_fields(scanner, false)?,
        b"HEADER.FIELDS.NOT" => header_fields(scanner, true)?,
        _ => {
            return Err(Mistake::bad(
                "a section is HEADER, HEADER.FIELDS (...), TEXT, or part numbers as 1.2.MIME",
            ));
        }
    };
    Ok(Section {
        path,
        text: Some(text),
    })
}

/// `SP header-list`
fn header_fields(scanner: &mut Scanner<'_>, not: bool) -> Parsed<SectionText> {
    scanner.space()?;
    scanner.expect(b'(', "field names stand in parentheses")?;
    let mut names = Vec::new();
    loop {
        if names.len() == HEADER_FIELDS_MAX {
            // LIM-19
            return Err(Mistake::bad("a list may have 256 field names"));
        }
        let name = FieldName::parse(&scanner.astring()?);
        names.push(name.ok_or_else(|| {
            Mistake::bad("a field name is printable ASCII without a colon (RFC 5322 2.2)")
        })?);
        if scanner.eat(b')') {
            return Ok(SectionText::HeaderFields { names, not });
        }
        scanner.space()?;
    }
}

/// RFC 9051 9: `number64 "." nz-number64 ">"`, behind the opening angle.
fn partial(scanner: &mut Scanner<'_>) -> Parsed<Partial> {
    const RULE: &str = "octets are asked for as <first.count>";
    let first = scanner.number64()?;
    scanner.expect(b'.', RULE)?;
    let length = scanner.nz_number64()?;
    scanner.expect(b'>', RULE)?;
    Ok(Partial { first, length })
}
