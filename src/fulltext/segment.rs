//! One file of the index: which emails of which accounts have which keys. Written once, in order,
//! then only read.
//!
//! Sections of accounts, each with its blocks and its head; then the directory of sections and a
//! footer. A block holds keys in ascending order, each with the list of emails that have it; the
//! head says where blocks begin, and which emails are always candidates. Everything has a
//! checksum: a bit that fell over must not hide a message. docs/STORE.md has the layout.

use std::{collections::BTreeMap, sync::Arc};

use super::codec::{List, Reader, Unreadable, put_list, put_number, take_list};
use crate::{
    base::ids::{AccountId, BlobId},
    store::embedded::disk::File,
};

/// What is known of one account's emails above `from` and up to `upto`. Emails are told by their
/// distance from `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) from: u64,
    pub(super) upto: u64,
    /// How many of them were there.
    pub(super) emails: u32,
    blocks: u64,
    head: u64,
    head_length: u32,
    head_crc: u32,
}

/// What ends a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) upto: u64,
    pub(super) emails: u32,
    /// Those that must be read whatever is asked for.
    pub(super) always: Vec<u32>,
    /// The last email that was there, and its body: what tells this account's past from another.
    pub(super) newest: Option<(u64, BlobId)>,
}

/// A file of the index, open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) sections: BTreeMap<AccountId, Section>,
    file: Box<dyn File>,
}

/// The head of a section, read.
#[derive(Debug)]
pub(super) struct Opened {
    segment: Arc<Segment>,
    pub(super) always: Vec<u32>,
    pub(super) newest: Option<(u64, BlobId)>,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    first: u32,
    offset: u64,
    length: u32,
    crc: u32,
}

impl Segment {
    pub(super) fn open(number: u64, file: Box<dyn File>) -> Result<Self, Unreadable> {
        let length = file.len()?;
        let footer_at = length
            .checked_sub(FOOTER_BYTES as u64)
            .ok_or(Unreadable::Damaged("a segment is cut off"))?;
        let mut footer = [0; FOOTER_BYTES];
        fill(&*file, &mut footer, footer_at)?;
        let mut reader = Reader(&footer);
        let (magic, said) = (reader.array::<8>()?, reader.u64()?);
        let (directory, crc) = (reader.u64()?, reader.u32()?);
        if magic != *MAGIC || reader.u32()? != crc32fast::hash(&footer[..28]) || said != number {
            return Err(Unreadable::Damaged("the end of a segment"));
        }
        let size = footer_at
            .checked_sub(directory)
            .and_then(|size| usize::try_from(size).ok());
        let mut bytes = vec![0; size.ok_or(Unreadable::Damaged("the end of a segment"))?];
        fill(&*file, &mut bytes, directory)?;
        if crc32fast::hash(&bytes) != crc {
            return Err(Unreadable::Damaged("the directory of a segment"));
        }
        let (mut reader, mut sections) = (Reader(&bytes), BTreeMap::new());
        while !reader.is_empty() {
            let account = AccountId(reader.u64()?);
            let section = Section {
                from: reader.u64()?,
                upto: reader.u64()?,
                emails: reader.u32()?,
                blocks: reader.u64()?,
                head: reader.u64()?,
                head_length: reader.u32()?,
                head_crc: reader.u32()?,
            };
            sections.insert(account, section);
        }
        Ok(Self {
            number,
            length,
            sections,
            file,
        })
    }

    /// The section of an account, if there is one.
    pub(super) fn section(
        self: &Arc<Self>,
        account: AccountId,
    ) -> Result<Option<Opened>, Unreadable> {
        let Some(section) = self.sections.get(&account) else {
            return Ok(None);
        };
        let bytes = self.read(section.head, section.head_length, section.head_crc)?;
        let mut reader = Reader(&bytes);
        let always = take_list(&mut reader)?.numbers()?;
        let newest = match reader.number()? {
            0 => None,
            email => Some((email, BlobId::from_bytes(reader.array()?))),
        };
        let (mut blocks, mut offset) = (Vec::with_capacity(reader.0.len() / 12), section.blocks);
        while !reader.is_empty() {
            let block = Block {
                first: reader.u32()?,
                offset,
                length: reader.u32()?,
                crc: reader.u32()?,
            };
            offset += u64::from(block.length);
            blocks.push(block);
        }
        Ok(Some(Opened {
            segment: Arc::clone(self),
            always,
            newest,
            blocks,
        }))
    }

    fn read(&self, offset: u64, length: u32, crc: u32) -> Result<Vec<u8>, Unreadable> {
        if offset.saturating_add(u64::from(length)) > self.length {
            return Err(Unreadable::Damaged("a place outside of a segment"));
        }
        let mut bytes = vec![0; length as usize];
        fill(&*self.file, &mut bytes, offset)?;
        match crc32fast::hash(&bytes) == crc {
            true => Ok(bytes),
            false => Err(Unreadable::Damaged("a block of a segment")),
        }
    }
}

impl Opened {
    /// The emails that have this key.
    pub(super) fn emails(&self, key: u32) -> Result<Vec<u32>, Unreadable> {
        let behind = self.blocks.partition_point(|block| block.first <= key);
        let Some(block) = behind.checked_sub(1).and_then(|at| self.blocks.get(at)) else {
            return Ok(Vec::new());
        };
        let bytes = self.segment.read(block.offset, block.length, block.crc)?;
        let mut entries = Entries::new(block.first, &bytes);
        while let Some((there, list)) = entries.next()? {
            if there >= key {
                return match there == key {
                    true => list.numbers(),
                    false => Ok(Vec::new()),
                };
            }
        }
        Ok(Vec::new())
    }
}

/// The keys of a block with their lists.
struct Entries<'a> {
    key: u32,
    rest: Reader<'a>,
}

impl<'a> Entries<'a> {
    fn new(first: u32, bytes: &'a [u8]) -> Self {
        Self {
            key: first,
            rest: Reader(bytes),
        }
    }

    fn next(&mut self) -> Result<Option<(u32, List<'a>)>, Unreadable> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let step = u32::try_from(self.rest.number()?).ok();
        let key = step.and_then(|step| self.key.checked_add(step));
        self.key = key.ok_or(Unreadable::Damaged("a key is too large"))?;
        Ok(Some((self.key, take_list(&mut self.rest)?)))
    }
}

/// Goes through a section from its first key to its last, one block in memory.
#[derive(Debug)]
pub(super) struct Walk {
    opened: Opened,
    next_block: usize,
    block: Vec<u8>,
    at: usize,
    key: u32,
}

impl Walk {
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            opened,
            next_block: 0,
            block: Vec::new(),
            at: 0,
            key: 0,
        }
    }

    /// The next key, with the emails that have it.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Vec<u32>)>, Unreadable> {
        while self.at >= self.block.len() {
            let Some(block) = self.opened.blocks.get(self.next_block) else {
                return Ok(None);
            };
            let segment = &self.opened.segment;
            self.block = segment.read(block.offset, block.length, block.crc)?;
            (self.key, self.at) = (block.first, 0);
            self.next_block += 1;
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        let mut entries = Entries::new(self.key, rest);
        let next = entries.next()?;
        self.key = entries.key;
        self.at = self.block.len() - entries.rest.0.len();
        next.map(|(key, list)| Ok((key, list.numbers()?)))
            .transpose()
    }
}

/// Writes a segment from front to end.
pub(super) struct Writer<'a> {
    file: &'a dyn File,
    /// Bytes that are in the file.
    written: u64,
    /// Bytes behind them.
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    directory: Vec<u8>,
    section: Vec<u8>,
    section_at: u64,
    block_at: usize,
    block: Option<(u32, u32)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a dyn File) -> Self {
        Self {
            file,
            written: 0,
            buffer: Vec::new(),
            scratch: Vec::new(),
            directory: Vec::new(),
            section: Vec::new(),
            section_at: 0,
            block_at: 0,
            block: None,
        }
    }

    /// Adds a key of the section, higher than the one before, and the emails that have it.
    pub(super) fn key(&mut self, key: u32, emails: &[u32]) -> Result<(), Unreadable> {
        if self.buffer.len() - self.block_at >= BLOCK_BYTES {
            self.end_block()?;
        }
        let (_, before) = *self.block.get_or_insert((key, key));
        put_number(&mut self.buffer, u64::from(key - before));
        put_list(&mut self.buffer, &mut self.scratch, emails);
        self.block = self.block.map(|(first, _)| (first, key));
        Ok(())
    }

    /// Ends the section of `account`; the next one begins.
    pub(super) fn end_section(
        &mut self,
        account: AccountId,
        from: u64,
        ending: &Ending,
    ) -> Result<(), Unreadable> {
        self.end_block()?;
        let mut head = Vec::new();
        put_list(&mut head, &mut self.scratch, &ending.always);
        match &ending.newest {
            Some((email, blob)) => {
                put_number(&mut head, *email);
                head.extend_from_slice(blob.as_bytes());
            }
            None => put_number(&mut head, 0),
        }
        head.append(&mut self.section);
        let head_length = u32::try_from(head.len());
        let head_length = head_length.map_err(|_| Unreadable::Damaged("a section is too large"))?;
        let head_at = self.place();
        for number in [account.0, from, ending.upto] {
            self.directory.extend(number.to_le_bytes());
        }
        self.directory.extend(ending.emails.to_le_bytes());
        self.directory.extend(self.section_at.to_le_bytes());
        self.directory.extend(head_at.to_le_bytes());
        self.directory.extend(head_length.to_le_bytes());
        self.directory.extend(crc32fast::hash(&head).to_le_bytes());
        self.buffer.append(&mut head);
        self.flush()?;
        self.section_at = self.place();
        Ok(())
    }

    /// Ends the segment and makes it durable.
    pub(super) fn finish(mut self, number: u64) -> Result<(), Unreadable> {
        let at = self.place();
        let mut footer = MAGIC.to_vec();
        footer.extend(number.to_le_bytes());
        footer.extend(at.to_le_bytes());
        footer.extend(crc32fast::hash(&self.directory).to_le_bytes());
        footer.extend(crc32fast::hash(&footer).to_le_bytes());
        self.buffer.append(&mut self.directory);
        self.buffer.append(&mut footer);
        self.write()?;
        Ok(self.file.sync()?)
    }

    fn place(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn end_block(&mut self) -> Result<(), Unreadable> {
        if let Some((first, _)) = self.block.take() {
            let block = self.buffer.get(self.block_at..).unwrap_or_default();
            let length = u32::try_from(block.len());
            let length = length.map_err(|_| Unreadable::Damaged("a block is too large"))?;
            for number in [first, length, crc32fast::hash(block)] {
                self.section.extend(number.to_le_bytes());
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Unreadable> {
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        self.block_at = self.buffer.len();
        Ok(())
    }

    fn write(&mut self) -> Result<(), Unreadable> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let n = self
                .file
                .write_at(&[std::io::IoSlice::new(rest)], self.written)?;
            if n == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
            }
            rest = rest.get(n..).unwrap_or_default();
            self.written += n as u64;
        }
        self.buffer.clear();
        Ok(())
    }
}

fn fill(file: &dyn File, buffer: &mut [u8], mut offset: u64) -> Result<(), Unreadable> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match file.read_at(rest, offset)? {
            0 => return Err(Unreadable::Damaged("a segment is cut off")),
            n => {
                rest = rest.get_mut(n..).unwrap_or_default();
                offset += n as u64;
            }
        }
    }
    Ok(())
}

const MAGIC: &[u8; 8] = b"bzsrch02";
/// Magic, number, place and checksum of the directory, checksum of these.
const FOOTER_BYTES: usize = 32;
/// A block ends with the list that makes it this long.
const BLOCK_BYTES: usize = 8 * 1024;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1024 * 1024;
