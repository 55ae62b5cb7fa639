//! The parameters of MAIL and RCPT: what extensions let stand behind a path (RFC 5321 4.1.1.11).
//!
//! One method for each command says which there are; a new one is an arm in its `match`. Each may
//! be given once. Not here: what is done about them.

use super::{
    command::{Mail, Rcpt},
    parse::syntax,
    reply::{Detail, Reply},
};
use crate::mail::{
    dsn::{EnvelopeId, Notify, OriginalRecipient, Ret, xtext},
    envelope::BodyKind,
    urgency::{By, Hold, Priority},
};

/// One `keyword` or `keyword=value` (RFC 5321 4.1.2 esmtp-param).
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter<'a> {
    pub(super) keyword: &'a str,
    pub(super) value: Option<&'a str>,
}

/// The parameters after a path: all of the right form, no keyword twice.
pub(super) fn parameters(text: &str) -> Result<Vec<Parameter<'_>>, Reply> {
    let mut found: Vec<Parameter<'_>> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let parameter = match word.split_once('=') {
            Some((keyword, value)) => Parameter {
                keyword,
                value: Some(value),
            },
            None => Parameter {
                keyword: word,
                value: None,
            },
        };
        if !parameter.is_well_formed() {
            return Err(syntax("a parameter is a keyword, or keyword=value"));
        }
        let same = |other: &Parameter<'_>| other.keyword.eq_ignore_ascii_case(parameter.keyword);
        if found.iter().any(same) {
            return Err(syntax("a parameter is given twice"));
        }
        if found.len() == PARAMETERS_MAX {
            return Err(syntax("too many parameters"));
        }
        found.push(parameter);
    }
    Ok(found)
}

impl Parameter<'_> {
    /// Takes a parameter of MAIL.
    pub(super) fn of_mail(&self, mail: &mut Mail) -> Result<(), Reply> {
        let (value, options) = (self.value, &mut mail.options);
        match self.keyword.to_ascii_uppercase().as_str() {
            "SIZE" => {
                let size = value.and_then(size);
                mail.size = Some(size.ok_or_else(|| syntax("SIZE takes a number"))?);
            }
            "BODY" => {
                mail.body = match value {
                    Some(kind) if kind.eq_ignore_ascii_case("7BIT") => BodyKind::SevenBit,
                    Some(kind) if kind.eq_ignore_ascii_case("8BITMIME") => BodyKind::EightBit,
                    // RFC 3030 3.
                    Some(kind) if kind.eq_ignore_ascii_case("BINARYMIME") => BodyKind::Binary,
                    _ => return Err(syntax("BODY takes 7BIT, 8BITMIME or BINARYMIME")),
                };
            }
            // RFC 6531 3.4: the parameter has no value.
            "SMTPUTF8" if value.is_none() => mail.smtputf8 = true,
            "SMTPUTF8" => return Err(syntax("SMTPUTF8 takes no value")),
            // RFC 4954 5: whom another server authenticated. Nobody is trusted to say that, so it
            // is only checked.
            "AUTH" if value.and_then(xtext).is_some() => {}
            "AUTH" => return Err(syntax("AUTH takes an address as xtext, or <>")),
            // RFC 8689 2: the parameter has no value.
            "REQUIRETLS" if value.is_none() => options.require_tls = true,
            "REQUIRETLS" => return Err(syntax("REQUIRETLS takes no value")),
            // RFC 3461 4.3.
            "RET" => {
                let ret = value.and_then(Ret::parse);
                options.ret = Some(ret.ok_or_else(|| syntax("RET takes FULL or HDRS"))?);
            }
            // RFC 3461 4.4.
            "ENVID" => {
                let id = value.and_then(EnvelopeId::parse);
                let id = id.ok_or_else(|| syntax("ENVID takes xtext, 100 characters at most"))?;
                options.envelope_id = Some(id);
            }
            _ => return self.urgency(mail),
        }
        Ok(())
    }

    /// Takes a parameter of MAIL that says when the message is wanted.
    fn urgency(&self, mail: &mut Mail) -> Result<(), Reply> {
        let value = self.value;
        match self.keyword.to_ascii_uppercase().as_str() {
            // RFC 2852 4.
            "BY" => {
                let by = value.and_then(By::parse);
                let text = "BY takes seconds, a semicolon, and N or R; with R there is some time";
                mail.by = Some(by.ok_or_else(|| syntax(text))?);
            }
            // RFC 4865 4: one of them.
            "HOLDFOR" | "HOLDUNTIL" if mail.hold.is_some() => {
                return Err(syntax("a message has HOLDFOR or HOLDUNTIL, not both"));
            }
            "HOLDFOR" => {
                let hold = value.and_then(Hold::parse_for);
                mail.hold = Some(hold.ok_or_else(|| syntax("HOLDFOR takes seconds"))?);
            }
            "HOLDUNTIL" => {
                let hold = value.and_then(Hold::parse_until);
                let text = "HOLDUNTIL takes a time such as 2030-12-31T23:59:59Z";
                mail.hold = Some(hold.ok_or_else(|| syntax(text))?);
            }
            // RFC 6710 3.
            "MT-PRIORITY" => {
                let priority = value.and_then(Priority::parse);
                let text = "MT-PRIORITY takes a number from -9 to 9";
                mail.options.priority = Some(priority.ok_or_else(|| syntax(text))?);
            }
            _ => return Err(self.unknown()),
        }
        Ok(())
    }

    /// Takes a parameter of RCPT.
    pub(super) fn of_rcpt(&self, rcpt: &mut Rcpt) -> Result<(), Reply> {
        let (value, options) = (self.value, &mut rcpt.options);
        match self.keyword.to_ascii_uppercase().as_str() {
            // RFC 3461 4.1.
            "NOTIFY" => {
                let notify = value.and_then(Notify::parse);
                let text = "NOTIFY takes NEVER, or some of SUCCESS,FAILURE,DELAY";
                options.notify = Some(notify.ok_or_else(|| syntax(text))?);
            }
            // RFC 3461 4.2.
            "ORCPT" => {
                let original = value.and_then(OriginalRecipient::parse);
                let text = "ORCPT takes a type, a semicolon and an address as xtext";
                options.original = Some(original.ok_or_else(|| syntax(text))?);
            }
            _ => return Err(self.unknown()),
        }
        Ok(())
    }

    fn is_well_formed(&self) -> bool {
        let keyword = self.keyword.as_bytes();
        let starts = keyword.first().is_some_and(u8::is_ascii_alphanumeric);
        let goes_on = keyword
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        // RFC 6531 3.3 allows characters beyond ASCII; each keyword says where.
        let fits = |c: char| c != '=' && (c.is_ascii_graphic() || !c.is_ascii());
        let value = self
            .value
            .is_none_or(|value| !value.is_empty() && value.chars().all(fits));
        starts && goes_on && value
    }

    /// RFC 5321 4.1.1.11. A keyword is letters, digits and hyphens, so it may be repeated.
    fn unknown(&self) -> Reply {
        let keyword = self.keyword.to_ascii_uppercase();
        let text = format!("the parameter {keyword:.40} is not known here; EHLO lists what is");
        Reply::new(555, Detail(5, 4), text)
    }
}

/// RFC 1870 3: 1 to 20 digits.
fn size(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What `u64` cannot hold is beyond every limit anyway.
    Some(text.parse().unwrap_or(u64::MAX))
}

/// More than every extension together defines.
const PARAMETERS_MAX: usize = 20;
