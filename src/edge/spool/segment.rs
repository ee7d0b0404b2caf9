//! One segment: a file that is only ever appended to, read once at start, and deleted when nothing in it is needed.
//!
//! It starts with `"UMSICHTS" | format version (4) | segment number (8) | crc32 of these (4)`. A segment of another version is
//! never touched: it is set aside like a damaged one, so that a newer or older program can still read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::edge::spool::record::{self, Record};

const MAGIC: &[u8; 8] = b"UMSICHTS";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;

pub(super) struct Segment {
    file: File,
    path: PathBuf,
    /// Only the one writer changes it.
    bytes: AtomicU64,
}

/// What lies in a segment, and in what state.
pub(super) struct Contents {
    /// With the offset and length of their frames.
    pub records: Vec<(u64, usize, Record)>,
    pub state: State,
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

impl Segment {
    pub fn path_of(folder: &Path, number: u64) -> PathBuf {
        folder.join(format!("{number:012}.segment"))
    }

    /// Numbers of all segments in the folder, ascending.
    pub fn list(folder: &Path) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "segment")
                && let Some(number) = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A new, empty segment, durable with its name.
    pub fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = Self::path_of(folder, number);
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        file.write_all(&header)?;
        file.sync_all()?;
        sync_folder(folder)?;
        Ok(Self { file, path, bytes: AtomicU64::new(HEADER_BYTES as u64) })
    }

    pub fn open(folder: &Path, number: u64) -> io::Result<(Self, Contents)> {
        let path = Self::path_of(folder, number);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let contents = read_contents(&bytes, number);
        Ok((Self { file, path, bytes: AtomicU64::new(bytes.len() as u64) }, contents))
    }

    /// Appends without making it durable. On an error the segment is as before.
    pub fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.bytes();
        if let Err(error) = self.file.write_all_at(bytes, at) {
            // Half a record would be cut off at the next start anyway.
            let _ = self.file.set_len(at);
            return Err(error);
        }
        self.bytes.store(at + bytes.len() as u64, Ordering::Relaxed);
        Ok(at)
    }

    pub fn make_durable(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.file.sync_all()?;
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub fn read(&self, at: u64, length: usize) -> io::Result<Option<Record>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Record::decode(&bytes).map(|(record, _)| record))
    }

    pub fn delete(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Keeps the file for a person to look at, out of the way.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let mut aside = self.path.with_extension("damaged");
        let mut attempt = 1;
        while aside.exists() {
            aside = self.path.with_extension(format!("{attempt}.damaged"));
            attempt += 1;
        }
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }
}

/// Makes created and renamed files survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_contents(bytes: &[u8], number: u64) -> Contents {
    if !has_sound_header(bytes, number) {
        // A segment whose first write was cut off holds nothing yet.
        let state = if bytes.len() < HEADER_BYTES { State::Torn { sound_bytes: 0 } } else { State::Damaged };
        return Contents { records: Vec::new(), state };
    }
    let (mut records, mut at, mut damaged) = (Vec::new(), HEADER_BYTES, false);
    loop {
        while let Some((record, length)) = Record::decode(&bytes[at..]) {
            records.push((at as u64, length, record));
            at += length;
        }
        if at == bytes.len() {
            return Contents { records, state: if damaged { State::Damaged } else { State::Whole } };
        }
        match record::find_next(bytes, at) {
            Some(next) => (damaged, at) = (true, next),
            None if damaged => return Contents { records, state: State::Damaged },
            None => return Contents { records, state: State::Torn { sound_bytes: at as u64 } },
        }
    }
}

fn has_sound_header(bytes: &[u8], number: u64) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && bytes[8..12] == FORMAT_VERSION.to_le_bytes()
        && bytes[12..20] == number.to_le_bytes()
        && bytes[20..24] == crc32fast::hash(&bytes[..20]).to_le_bytes()
}
