//! A message on its way in: bytes from DATA to the store, checked and completed while they pass.
//!
//! The header is held until its end (LIM-29), because what is added to it depends on it; the body
//! passes in pieces. Our own trace fields are written last and stand first: they may tell what only
//! the whole message shows. Nothing is kept when a reception is dropped before it is finished.

use bytes::{Bytes, BytesMut};

use super::{
    header::{Author, Ending, HeaderEnd, Rules, fit},
    headroom::{Headroom, Large},
    limits::{HEADER_BYTES_FREE, HEADER_BYTES_MAX, TEXT_LINE_BYTES_MAX},
    line_ends::LineEnds,
    refusal::{Refused, SmtpFault},
};
use crate::{
    mail::address::Address,
    mailbox::{Arrived, Intake, IntakeError},
    route::{Edition, Router},
    smtp::proto::quirk,
    verify::{Draft, Examination, Verifier},
    wire::{dot::Violations, lines::LineCheck},
};

/// A message being received.
pub(super) struct Reception {
    rules: Rules,
    message_bytes_max: u64,
    intake: Intake,
    /// Who looks at what comes from strangers.
    verifier: Option<Verifier>,
    examination: Option<Examination>,
    /// On submission, who may sign it, and what is to be signed.
    signer: Option<Router>,
    draft: Option<Draft>,
    /// Everything so far, while the header has not ended.
    header: Option<BytesMut>,
    header_end: HeaderEnd,
    /// Where room for a large one is, and what of it we have.
    headroom: Headroom,
    large: Option<Large>,
    /// On submission, where they are tolerated.
    line_ends: Option<LineEnds>,
    /// Its body has no lines that count (RFC 3030 3).
    binary: bool,
    received_bytes: u64,
    eight_bit: bool,
    authors: Vec<Author>,
    message_id: Option<String>,
    /// Its header as it is stored, if that is to be kept.
    kept: Option<Bytes>,
    /// Some of it is passed on to other servers.
    goes_on: bool,
}

/// A message that came to its end.
pub(super) struct Whole {
    intake: Intake,
    /// What was seen of it.
    pub examination: Option<Examination>,
    /// What is to be signed of it.
    pub draft: Option<Draft>,
    eight_bit: bool,
    authors: Vec<Author>,
    message_id: Option<String>,
    pub header: Bytes,
    /// For its header, which others hold, too.
    large: Option<Large>,
}

/// A message that arrived whole.
pub(super) struct Received {
    pub arrived: Arrived,
    /// The same as groups send it on.
    pub editions: Vec<Edition>,
    /// It holds bytes beyond ASCII, whatever MAIL said of it.
    pub eight_bit: bool,
    /// Whom From names; only on submission.
    pub authors: Vec<Author>,
    /// Its Message-ID, for the log.
    pub message_id: Option<String>,
    /// Its header as it is stored, when that was asked for.
    pub header: Bytes,
    _large: Option<Large>,
}

/// Why a message is not taken in.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refused),
    Fault(SmtpFault),
}

impl Reception {
    /// Begins.
    pub(super) fn new(
        rules: Rules,
        message_bytes_max: u64,
        (intake, headroom): (Intake, Headroom),
        verifier: Option<Verifier>,
    ) -> Self {
        let tolerant = rules.submission.is_some() && quirk::BARE_LINE_ENDS_ON_SUBMISSION;
        Self {
            rules,
            message_bytes_max,
            intake,
            verifier,
            examination: None,
            signer: None,
            draft: None,
            header: Some(BytesMut::new()),
            header_end: HeaderEnd::default(),
            headroom,
            large: None,
            line_ends: tolerant.then(LineEnds::default),
            binary: false,
            received_bytes: 0,
            eight_bit: false,
            authors: Vec::new(),
            message_id: None,
            kept: None,
            goes_on: false,
        }
    }

    /// Has the header of the message kept.
    pub(super) fn keep_header(&mut self) {
        self.kept = Some(Bytes::new());
    }

    /// Has the message made ready to be signed, if this router has keys for it.
    pub(super) fn sign_by(&mut self, router: Router) {
        self.signer = Some(router);
    }

    /// Has the message looked at as one that goes on and is sealed then.
    pub(super) fn expect_to_go_on(&mut self) {
        self.goes_on = true;
    }

    /// Takes a body of any octets as it is. The header has lines all the same: what is wrong with
    /// them is not mended.
    pub(super) fn take_binary(&mut self) {
        self.binary = true;
        self.line_ends = None;
    }

    /// Takes the next piece; `violations` are those of everything so far.
    ///
    /// # Errors
    /// When the message will not be taken in, whatever else comes.
    pub(super) async fn take(
        &mut self,
        piece: Bytes,
        violations: Violations,
    ) -> Result<(), Failure> {
        // RFC 1870 6.3: counted as it arrives, without doubled dots.
        self.received_bytes = self.received_bytes.saturating_add(piece.len() as u64);
        if self.received_bytes > self.message_bytes_max {
            return Err(Refused::TooLarge.into());
        }
        self.check(violations)?;
        self.eight_bit |= !piece.is_ascii();
        let piece = match &mut self.line_ends {
            Some(line_ends) => line_ends.push(piece),
            None => piece,
        };
        let Some(header) = &mut self.header else {
            return self.feed_body(piece).await;
        };
        if self.large.is_none() && header.len() + piece.len() > HEADER_BYTES_FREE {
            self.large = Some(self.headroom.take().ok_or(Refused::NoRoom)?);
        }
        header.extend_from_slice(&piece);
        match self.header_end.find(header) {
            Some((end, ending)) => {
                let mut rest = header.split_off(end).freeze();
                self.end_header().await?;
                if ending == Ending::EmptyLine {
                    drop(rest.split_to(EMPTY_LINE.len().min(rest.len())));
                }
                self.feed(Bytes::from_static(EMPTY_LINE)).await?;
                self.feed_body(rest).await
            }
            None if header.len() > HEADER_BYTES_MAX => Err(Refused::HeaderTooLarge.into()),
            None => Ok(()),
        }
    }

    /// The message is at its end.
    ///
    /// # Errors
    /// When it is not taken in.
    pub(super) async fn end(mut self, violations: Violations) -> Result<Whole, Failure> {
        self.check(violations)?;
        self.end_header().await?;
        Ok(Whole {
            intake: self.intake,
            examination: self.examination,
            draft: self.draft,
            eight_bit: self.eight_bit,
            authors: self.authors,
            message_id: self.message_id,
            large: self.large,
            header: self.kept.unwrap_or_default(),
        })
    }

    fn check(&self, violations: Violations) -> Result<(), Refused> {
        if self.binary {
            // The header is looked at when it has ended.
            return Ok(());
        }
        self.check_lines(violations)
    }

    fn check_lines(&self, violations: Violations) -> Result<(), Refused> {
        if (violations.bare_cr || violations.bare_lf) && self.line_ends.is_none() {
            return Err(Refused::BareLineEnd);
        }
        if violations.nul {
            return Err(Refused::Nul);
        }
        if violations.longest_line_bytes > TEXT_LINE_BYTES_MAX {
            return Err(Refused::LineTooLong);
        }
        Ok(())
    }

    /// Writes the header, if that is still to do.
    async fn end_header(&mut self) -> Result<(), Failure> {
        let Some(header) = self.header.take() else {
            return Ok(());
        };
        if header.len() > HEADER_BYTES_MAX {
            return Err(Refused::HeaderTooLarge.into());
        }
        let header = header.freeze();
        if self.binary {
            // RFC 3030 3 is about bodies; smuggling is about headers as much.
            let mut lines = LineCheck::default();
            lines.push(&header);
            self.check_lines(lines.finish())?;
        }
        let fit = fit(&header, &self.rules).map_err(Refused::Header)?;
        self.authors = fit.authors;
        self.message_id = fit.message_id;
        // What was signed is what came, with all that we take out of it.
        let verifier = self.verifier.as_ref();
        self.examination = verifier.map(|verifier| verifier.examine(header, self.goes_on));
        if let Some(kept) = &mut self.kept {
            kept.clone_from(&fit.bytes);
        }
        self.draft = self.signer.take().and_then(|router| {
            let draft = Draft::new(fit.bytes.clone());
            router.may_sign(&draft).then_some(draft)
        });
        self.feed(fit.bytes).await?;
        if self.examination.is_none() && self.draft.is_none() && self.kept.is_none() {
            self.large = None;
        }
        Ok(())
    }

    async fn feed_body(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if let Some(examination) = &mut self.examination {
            examination.feed(&bytes);
        }
        if let Some(draft) = &mut self.draft {
            draft.feed(&bytes);
        }
        self.feed(bytes).await
    }

    async fn feed(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.intake.feed(bytes).await.map_err(not_taken)
    }
}

impl Whole {
    /// Puts the fields of final delivery and `trace` before the message, and those of a group and
    /// `trace` before each edition.
    ///
    /// # Errors
    /// When it is not taken in.
    pub(super) async fn finish(
        self,
        (final_delivery, trace): (Vec<u8>, Bytes),
        lists: Vec<(Address, Vec<u8>)>,
    ) -> Result<Received, Failure> {
        let before = |head: Vec<u8>| Bytes::from([head.as_slice(), &trace].concat());
        let (lists, heads): (Vec<_>, Vec<_>) = lists.into_iter().unzip();
        let heads = heads.into_iter().map(before).collect();
        let finished = self.intake.finish_editions(before(final_delivery), heads);
        let (arrived, editions) = finished.await.map_err(not_taken)?;
        let edition = |(list, arrived)| Edition { list, arrived };
        Ok(Received {
            arrived,
            editions: lists.into_iter().zip(editions).map(edition).collect(),
            eight_bit: self.eight_bit,
            authors: self.authors,
            message_id: self.message_id,
            header: self.header,
            _large: self.large,
        })
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

fn not_taken(error: IntakeError) -> Failure {
    match error {
        IntakeError::Full => Failure::Refused(Refused::NoRoom),
        IntakeError::TooLarge => Failure::Refused(Refused::TooLarge),
        fault @ IntakeError::Fault(_) => Failure::Fault(SmtpFault::Intake(fault)),
    }
}

/// What ends a header.
const EMPTY_LINE: &[u8] = b"\r\n";
