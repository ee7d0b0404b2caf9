//! One segment: a file that is only ever appended to, read once at start, and deleted when nothing in it is needed.
//!
//! It starts with `"UMSICHTS" | format version (4) | segment number (8) | crc32 of these (4)`. A segment of another version is
//! never touched: it is set aside like a damaged one, so that a newer or older program can still read it. A full segment
//! ends with a [`Summary`], which is all that the next start reads of it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::edge::spool::disk::{Disk, DiskFile};
use crate::edge::spool::record::{self, Record, SUMMARY_END_BYTES, Summary};

const MAGIC: &[u8; 8] = b"UMSICHTS";
const FORMAT_VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 24;
const EXTENSION: &str = ".segment";
pub(super) const DAMAGED: &str = ".damaged";

pub(super) struct Segment {
    file: Box<dyn DiskFile>,
    number: u32,
    /// Only the one writer changes it.
    bytes: AtomicU64,
}

/// What opening found in a segment.
pub(super) enum Contents {
    /// It is full and says itself what it holds.
    Summary(Summary),
    /// All records with the offset and length of their frames.
    Records { records: Vec<(u64, usize, Record)>, state: State },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Whole,
    /// The last write did not finish; everything before `sound_bytes` is fine.
    Torn {
        sound_bytes: u64,
    },
    /// There is damage before sound records, or the header cannot be read.
    Damaged,
}

pub(super) fn name_of(number: u32) -> String {
    format!("{number:012}{EXTENSION}")
}

/// Numbers of all segments, ascending.
pub(super) fn list(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    let names = disk.list()?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| name.strip_suffix(EXTENSION)).filter_map(|n| n.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// When anything was last written.
pub(super) fn last_written(disk: &dyn Disk) -> Option<SystemTime> {
    list(disk).ok()?.into_iter().filter_map(|number| disk.modified(&name_of(number))).max()
}

impl Segment {
    /// A new segment that starts with these records, durable with its name.
    pub fn create(disk: &dyn Disk, number: u32, first: &[u8]) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEADER_BYTES + first.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        head.extend_from_slice(&u64::from(number).to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        head.extend_from_slice(first);
        let file = disk.create(&name_of(number))?;
        let made = file.write_all_at(&head, 0).and_then(|()| file.sync()).and_then(|()| disk.sync_names());
        if let Err(error) = made {
            // Nothing may stand in the way of the next attempt; what cannot be removed is empty and is removed at the next start.
            let _ = disk.remove(&name_of(number));
            return Err(error);
        }
        Ok(Self { file, number, bytes: AtomicU64::new(head.len() as u64) })
    }

    pub fn open(disk: &dyn Disk, number: u32) -> io::Result<(Self, Contents)> {
        let file = disk.open(&name_of(number))?;
        let segment = Self { bytes: AtomicU64::new(file.bytes()?), file, number };
        let contents = match segment.summary()? {
            Some(summary) => Contents::Summary(summary),
            None => segment.records()?,
        };
        Ok((segment, contents))
    }

    /// Everything, without believing its summary.
    pub fn records(&self) -> io::Result<Contents> {
        let bytes = self.read_bytes(0, self.bytes())?;
        Ok(read_records(&bytes, self.number))
    }

    /// `None` when it is not full, or when header or summary are not sound: then it must be read as a whole.
    fn summary(&self) -> io::Result<Option<Summary>> {
        let bytes = self.bytes();
        if bytes < (HEADER_BYTES + SUMMARY_END_BYTES) as u64 {
            return Ok(None);
        }
        let mut end = [0; SUMMARY_END_BYTES];
        self.file.read_exact_at(&mut end, bytes - SUMMARY_END_BYTES as u64)?;
        let header = self.read_bytes(0, HEADER_BYTES as u64)?;
        let Some(at) = record::summary_at(end).map(u64::from).filter(|at| *at < bytes) else { return Ok(None) };
        if !has_sound_header(&header, self.number) {
            return Ok(None);
        }
        let frame = self.read_bytes(at, bytes - at)?;
        match Record::decode(&frame) {
            Some((Record::Summary(summary), length)) if length == frame.len() => Ok(Some(summary)),
            _ => Ok(None),
        }
    }

    /// Appends without making it durable. On an error the segment is as before.
    pub fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.bytes();
        if let Err(error) = self.file.write_all_at(bytes, at) {
            // Half a record would be cut off at the next start anyway.
            let _ = self.file.set_bytes(at);
            return Err(error);
        }
        self.bytes.store(at + bytes.len() as u64, Ordering::Relaxed);
        Ok(at)
    }

    pub fn make_durable(&self) -> io::Result<()> {
        self.file.sync()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_bytes(bytes)?;
        self.file.sync()?;
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub fn read(&self, at: u64, length: u64) -> io::Result<Option<Record>> {
        let bytes = self.read_bytes(at, length)?;
        Ok(Record::decode(&bytes).map(|(record, _)| record))
    }

    pub fn delete(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.remove(&name_of(self.number))
    }

    /// Keeps the file for a person to look at, out of the way; returns its new name.
    pub fn set_aside(&self, disk: &dyn Disk) -> io::Result<String> {
        let names = disk.list()?;
        let name = name_of(self.number);
        let aside = (0..)
            .map(|attempt| if attempt == 0 { format!("{name}{DAMAGED}") } else { format!("{name}.{attempt}{DAMAGED}") })
            .find(|aside| !names.contains(aside))
            .expect("there is no end of numbers");
        disk.rename(&name, &aside)?;
        Ok(aside)
    }

    fn read_bytes(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

fn read_records(bytes: &[u8], number: u32) -> Contents {
    let sound = has_sound_header(bytes, number);
    // A segment whose first write was cut off holds nothing yet.
    if !sound && (bytes.len() < HEADER_BYTES || bytes.iter().all(|b| *b == 0)) {
        return Contents::Records { records: Vec::new(), state: State::Torn { sound_bytes: 0 } };
    }
    // What another version has written is not guessed at.
    if !sound && is_of_another_version(bytes) {
        return Contents::Records { records: Vec::new(), state: State::Damaged };
    }
    let (mut records, mut at, mut damaged) = (Vec::new(), HEADER_BYTES, !sound);
    let state = loop {
        while let Some((record, length)) = Record::decode(&bytes[at..]) {
            records.push((at as u64, length, record));
            at += length;
        }
        if at == bytes.len() {
            break if damaged { State::Damaged } else { State::Whole };
        }
        match record::find_next(bytes, at) {
            Some(next) => (damaged, at) = (true, next),
            None if damaged => break State::Damaged,
            None => break State::Torn { sound_bytes: at as u64 },
        }
    };
    Contents::Records { records, state }
}

fn is_of_another_version(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
        && bytes[20..24] == crc32fast::hash(&bytes[..20]).to_le_bytes()
        && bytes[8..12] != FORMAT_VERSION.to_le_bytes()
}

fn has_sound_header(bytes: &[u8], number: u32) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && bytes[8..12] == FORMAT_VERSION.to_le_bytes()
        && bytes[12..20] == u64::from(number).to_le_bytes()
        && bytes[20..24] == crc32fast::hash(&bytes[..20]).to_le_bytes()
}
