//! The directory of the index: which segments count, and how that changes as a whole.
//!
//! The file `catalog` names the segments. A change writes what is new, syncs it, and puts another
//! catalog in the place of the old one; a crash leaves files that no catalog names, which the next
//! start removes. How far each account is indexed is said by its segments, so text and progress
//! cannot disagree. Everything here blocks.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    codec::Unreadable,
    query::{EmailSet, Query},
    segment::Segment,
};
use crate::{
    base::ids::AccountId,
    store::embedded::disk::{Disk, File, OpenMode},
};

/// Where an index is, or will be.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
}

/// An index as it is at one moment.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// In the order in which their emails came: of one account, those of a segment are below those
    /// of the next.
    pub(super) segments: Vec<Arc<Segment>>,
    /// How far each account is indexed.
    upto: HashMap<AccountId, u64>,
    /// No file has this number or a higher one.
    next: u64,
}

impl Home {
    /// Opens the index; an empty one where there is none. Removes files that do not belong to it.
    pub(super) fn open(&self) -> Result<Catalog, Unreadable> {
        self.disk.make_dir(&self.dir)?;
        let names = self.disk.list(&self.dir)?;
        let numbers = match names.iter().any(|name| name == CATALOG) {
            true => parse(&self.read(CATALOG)?)?,
            false => Vec::new(),
        };
        let mut segments = Vec::with_capacity(numbers.len());
        for number in &numbers {
            let file = self
                .disk
                .open(&self.path(&file_name(*number)), OpenMode::Existing);
            let file = file.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Unreadable::Damaged("a segment is missing"),
                _ => error.into(),
            })?;
            segments.push(Arc::new(Segment::open(*number, file)?));
        }
        let mut next = 1;
        for name in names {
            let number = name
                .strip_suffix(ENDING)
                .and_then(|number| number.parse::<u64>().ok());
            next = next.max(number.map_or(1, |number| number.saturating_add(1)));
            if name != CATALOG && !number.is_some_and(|number| numbers.contains(&number)) {
                self.disk.remove(&self.path(&name))?;
            }
        }
        Ok(Catalog::new(segments, next))
    }

    /// Takes everything away.
    pub(super) fn clear(&self) -> Result<(), Unreadable> {
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        // Without a catalog the rest is nothing; it must not come back after a crash.
        if names.iter().any(|name| name == CATALOG) {
            self.disk.remove(&self.path(CATALOG))?;
            self.disk.sync_dir(&self.dir)?;
        }
        for name in names.iter().filter(|name| *name != CATALOG) {
            self.disk.remove(&self.path(name))?;
        }
        Ok(())
    }

    /// The index with a new segment in the place of the segments `gone`, which are neighbours; at
    /// the end when there are none.
    pub(super) fn with(
        &self,
        catalog: &Catalog,
        gone: &[u64],
        write: impl FnOnce(u64, &dyn File) -> Result<(), Unreadable>,
    ) -> Result<Catalog, Unreadable> {
        let number = catalog.next;
        let path = self.path(&file_name(number));
        // What an earlier try left.
        let _ = self.disk.remove(&path);
        let file = self.disk.open(&path, OpenMode::New)?;
        let segment = match write(number, &*file).and_then(|()| Segment::open(number, file)) {
            Ok(segment) => Arc::new(segment),
            Err(error) => {
                let _ = self.disk.remove(&path);
                return Err(error);
            }
        };
        let mut segments = catalog.segments.clone();
        let goes = |other: &Arc<Segment>| gone.contains(&other.number);
        let place = segments.iter().position(goes).unwrap_or(segments.len());
        segments.retain(|other| !goes(other));
        segments.insert(place, segment);
        let next = Catalog::new(segments, number + 1);
        self.write(CATALOG_NEW, next.text().as_bytes())?;
        self.disk
            .rename(&self.path(CATALOG_NEW), &self.path(CATALOG))?;
        self.disk.sync_dir(&self.dir)?;
        for number in gone {
            // Whoever has it open reads on; what stays is removed at the next start.
            let _ = self.disk.remove(&self.path(&file_name(*number)));
        }
        Ok(next)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Unreadable> {
        let path = self.path(name);
        let _ = self.disk.remove(&path);
        let file = self.disk.open(&path, OpenMode::New)?;
        if file.write_at(&[std::io::IoSlice::new(bytes)], 0)? != bytes.len() {
            return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
        }
        Ok(file.sync()?)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unreadable> {
        let file = self.disk.open(&self.path(name), OpenMode::Existing)?;
        let length = file.len()?.min(CATALOG_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(&self.dir, name)
    }
}

impl Catalog {
    fn new(segments: Vec<Arc<Segment>>, next: u64) -> Self {
        let mut upto: HashMap<AccountId, u64> = HashMap::new();
        for (account, section) in segments.iter().flat_map(|segment| &segment.sections) {
            let known = upto.entry(*account).or_default();
            *known = section.upto.max(*known);
        }
        Self {
            segments,
            upto,
            next,
        }
    }

    /// The last email of the account that is indexed.
    pub(super) fn upto(&self, account: AccountId) -> u64 {
        self.upto.get(&account).copied().unwrap_or(0)
    }

    /// How many emails are indexed, with those that went since.
    pub(super) fn emails(&self) -> u64 {
        let sections = self
            .segments
            .iter()
            .flat_map(|segment| segment.sections.values());
        sections.map(|section| u64::from(section.emails)).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Which emails of `account` may be what `query` asks for.
    ///
    /// # Errors
    /// When a segment cannot be read, or when it was `given_up` before all were.
    pub(super) fn find(
        &self,
        account: AccountId,
        query: &Query,
        given_up: &AtomicBool,
    ) -> Result<EmailSet, Unreadable> {
        let mut set = EmailSet {
            indexed: self.upto(account),
            found: Vec::new(),
        };
        for segment in &self.segments {
            let (Some(section), Some(opened)) =
                (segment.sections.get(&account), segment.section(account)?)
            else {
                continue;
            };
            let far = |email: u32| section.from.saturating_add(u64::from(email));
            let mut emails = |key| match given_up.load(Ordering::Relaxed) {
                true => Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()),
                false => opened.emails(key),
            };
            match query.0.evaluate(&mut emails)? {
                Some(found) => {
                    let found = found.iter().chain(&opened.always).copied();
                    set.found.extend(found.map(far));
                }
                None => return Ok(EmailSet::default()),
            }
        }
        set.found.sort_unstable();
        set.found.dedup();
        Ok(set)
    }

    fn text(&self) -> String {
        let mut text = HEADING.to_owned();
        for segment in &self.segments {
            let _ = writeln!(text, "{}", segment.number);
        }
        let _ = writeln!(text, "crc {:08x}", crc32fast::hash(text.as_bytes()));
        text
    }
}

/// The numbers of the segments that a catalog names.
fn parse(text: &[u8]) -> Result<Vec<u64>, Unreadable> {
    let damaged = || Unreadable::Damaged("the catalog");
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    let numbers = text.strip_prefix(HEADING).ok_or_else(damaged)?;
    let (numbers, crc) = numbers.split_once("crc ").ok_or_else(damaged)?;
    let said = text.len() - crc.len() - "crc ".len();
    if crc.trim_end() != format!("{:08x}", crc32fast::hash(&text.as_bytes()[..said])) {
        return Err(damaged());
    }
    let numbers = numbers
        .lines()
        .map(|line| line.parse().map_err(|_| damaged()));
    numbers.collect()
}

fn file_name(number: u64) -> String {
    format!("{number:08}{ENDING}")
}

const CATALOG: &str = "catalog";
const CATALOG_NEW: &str = "catalog.new";
const ENDING: &str = ".grams";
const HEADING: &str = "buzon search 2\n";
const CATALOG_BYTES_MAX: u64 = 1024 * 1024;
