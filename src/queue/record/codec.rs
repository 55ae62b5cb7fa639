//! The bytes of records: fixed-width numbers, texts behind their length, a checksum at the end.
//!
//! Pure; nothing read can panic or allocate more than it holds. What the fields are is in the
//! parent.

use super::{Class, Diagnosis, Status, Undecodable};
use crate::{
    base::clock::Timestamp,
    mail::{
        dsn::{EnvelopeId, Notify, OriginalRecipient, Ret},
        envelope::{MailOptions, RcptOptions},
        urgency::{ByMode, Deadline, Priority, Release},
    },
};

pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        // Addresses, hosts, heads and diagnoses are all far shorter than 64 KiB.
        let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
        self.u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn option<V>(&mut self, value: Option<V>, write: impl FnOnce(&mut Self, V)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn diagnosis(&mut self, diagnosis: &Diagnosis) {
        self.option(diagnosis.host.as_deref(), Self::text);
        self.u16(diagnosis.code);
        let Status(class, subject, detail) = diagnosis.status;
        self.0.push(class);
        self.u16(subject);
        self.u16(detail);
        self.0.push(diagnosis.class.byte());
        self.text(&diagnosis.text);
    }

    pub(super) fn mail_options(&mut self, options: &MailOptions) {
        self.0.push(match options.ret {
            None => 0,
            Some(Ret::Full) => 1,
            Some(Ret::Headers) => 2,
        });
        let id = options.envelope_id.as_ref().map(EnvelopeId::as_xtext);
        self.option(id, Self::text);
        self.0.push(u8::from(options.require_tls));
        self.0.push(u8::from(options.despite_tls));
        self.option(options.deliver_by, |out, by| {
            out.u64(by.at.0);
            out.0.push(u8::from(by.mode == ByMode::Return));
            out.0.push(u8::from(by.trace));
        });
        self.option(options.release, |out, release| {
            out.u64(release.at.0);
            out.option(release.interval, Self::u32);
        });
        self.option(options.priority, Self::priority);
    }

    pub(super) fn priority(&mut self, priority: Priority) {
        self.0.extend_from_slice(&priority.value().to_be_bytes());
    }

    pub(super) fn rcpt_options(&mut self, options: &RcptOptions) {
        self.option(options.notify, |out, notify| {
            let flags = [notify.success, notify.failure, notify.delay].map(u8::from);
            out.0.extend_from_slice(&flags);
        });
        let original = options.original.as_ref().map(OriginalRecipient::as_str);
        self.option(original, Self::text);
    }

    pub(super) fn sealed(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.0);
        self.u32(sum);
        self.0
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn open(sealed: &'a [u8]) -> Result<Self, Undecodable> {
        let (bytes, sum) = sealed.split_last_chunk::<4>().ok_or(Undecodable)?;
        if crc32fast::hash(bytes) != u32::from_be_bytes(*sum) {
            return Err(Undecodable);
        }
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            _ => Err(Undecodable),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Undecodable)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Undecodable> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Undecodable> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Undecodable> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Undecodable> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Undecodable> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Undecodable),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Undecodable> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Undecodable)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Undecodable)
    }

    pub(super) fn option<V>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<V, Undecodable>,
    ) -> Result<Option<V>, Undecodable> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn diagnosis(&mut self) -> Result<Diagnosis, Undecodable> {
        let host = self.option(|input| input.text().map(str::to_owned))?;
        let code = self.u16()?;
        let status = Status(self.u8()?, self.u16()?, self.u16()?);
        let class = Class::of_byte(self.u8()?).ok_or(Undecodable)?;
        let text = self.text()?;
        Ok(Diagnosis::new(host.as_deref(), code, status, text).of(class))
    }

    pub(super) fn mail_options(&mut self) -> Result<MailOptions, Undecodable> {
        Ok(MailOptions {
            ret: match self.u8()? {
                0 => None,
                1 => Some(Ret::Full),
                2 => Some(Ret::Headers),
                _ => return Err(Undecodable),
            },
            envelope_id: self
                .option(|input| EnvelopeId::parse(input.text()?).ok_or(Undecodable))?,
            require_tls: self.flag()?,
            despite_tls: self.flag()?,
            deliver_by: self.option(|input| {
                Ok(Deadline {
                    at: Timestamp(input.u64()?),
                    mode: match input.flag()? {
                        true => ByMode::Return,
                        false => ByMode::Notify,
                    },
                    trace: input.flag()?,
                })
            })?,
            release: self.option(|input| {
                Ok(Release {
                    at: Timestamp(input.u64()?),
                    interval: input.option(Self::u32)?,
                })
            })?,
            priority: self.option(Self::priority)?,
        })
    }

    pub(super) fn priority(&mut self) -> Result<Priority, Undecodable> {
        let value = i8::from_be_bytes(self.array()?);
        Priority::new(value).ok_or(Undecodable)
    }

    pub(super) fn rcpt_options(&mut self) -> Result<RcptOptions, Undecodable> {
        Ok(RcptOptions {
            notify: self.option(|input| {
                Ok(Notify {
                    success: input.flag()?,
                    failure: input.flag()?,
                    delay: input.flag()?,
                })
            })?,
            original: self
                .option(|input| OriginalRecipient::restored(input.text()?).ok_or(Undecodable))?,
        })
    }

    pub(super) fn end(&self) -> Result<(), Undecodable> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Undecodable)
        }
    }
}

/// First byte of every record.
const VERSION: u8 = 5;
