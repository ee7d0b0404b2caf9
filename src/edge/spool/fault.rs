//! A disk in memory that keeps only what was synced: the power can be cut after any operation, and [`FaultyDisk::after_the_cut`]
//! is what the next start finds. Of what was not synced, each sector of 512 bytes, each length and a beginning of the changed
//! names survive by chance. It can also be full.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng, RngExt};

use super::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub(in crate::edge) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: Names,
    durable_names: Names,
    /// Names after each change since they were last durable.
    steps: Vec<Names>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    operations: u64,
    cut_at: Option<u64>,
    /// Bytes that all files may have together.
    capacity_bytes: Option<usize>,
    /// Reads fail as on a disk that does not answer.
    mute: bool,
    /// Bytes given to `write_all_at` so far, in whole pages as a disk takes them.
    page_bytes_written: u64,
}

type Names = BTreeMap<String, u64>;

#[derive(Default, Clone)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Sectors of `now` that differ from `durable`, perhaps.
    dirty: BTreeSet<usize>,
}

struct FaultyFile {
    disk: FaultyDisk,
    file: u64,
}

impl FaultyDisk {
    /// The power goes at the operation of this number; everything from there on fails.
    pub fn cut_at(&self, operation: u64) {
        self.state().cut_at = Some(operation);
    }

    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Reads fail, or no longer.
    pub fn set_mute(&self, mute: bool) {
        self.state().mute = mute;
    }

    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity_bytes = bytes;
    }

    pub fn page_bytes_written(&self) -> u64 {
        self.state().page_bytes_written
    }

    pub fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    /// Changes one byte of a file, as a tired card does.
    pub fn flip(&self, name: &str, at: usize) {
        let mut state = self.state();
        let file = state.names[name];
        let content = state.files.get_mut(&file).unwrap();
        content.now[at] ^= 0x10;
        content.durable = content.now.clone();
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub fn bytes_of(&self, name: &str) -> usize {
        let state = self.state();
        state.files[&state.names[name]].now.len()
    }

    /// The same content, all of it durable, on a disk of its own.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let durable = |content: &Content| Content {
            durable: content.now.clone(),
            now: content.now.clone(),
            ..Content::default()
        };
        let files = state.files.iter().map(|(file, content)| (*file, durable(content))).collect();
        let (names, durable_names, next_file) = (state.names.clone(), state.names.clone(), state.next_file);
        Self(Arc::new(Mutex::new(State { names, durable_names, files, next_file, ..State::default() })))
    }

    /// What is there when the power comes back.
    pub fn after_the_cut(&self, dice: &mut impl Rng) -> Self {
        let state = self.state();
        let survived = dice.random_range(0..=state.steps.len());
        let names = survived.checked_sub(1).map_or(&state.durable_names, |step| &state.steps[step]).clone();
        let files = names.values().map(|file| (*file, state.files[file].survivor(dice))).collect();
        let (durable_names, next_file) = (names.clone(), state.next_file);
        Self(Arc::new(Mutex::new(State { names, durable_names, files, next_file, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts an operation; an error when the power is off.
    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.operations += 1;
        if state.cut_at.is_some_and(|cut| state.operations > cut) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(state)
    }

    fn change_names(&self, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.operate()?;
        change(&mut state)?;
        let names = state.names.clone();
        state.steps.push(names);
        Ok(())
    }
}

impl State {
    fn used_bytes(&self) -> usize {
        self.names.values().map(|file| self.files[file].now.len()).sum()
    }
}

impl Content {
    fn survivor(&self, dice: &mut impl Rng) -> Self {
        let length =
            if self.now.len() == self.durable.len() || dice.random() { self.now.len() } else { self.durable.len() };
        let mut found = self.durable.clone();
        found.resize(length, 0);
        let share = dice.random_range(0.0..=1.0);
        for sector in &self.dirty {
            let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.now.len()).min(length);
            if !range.is_empty() && dice.random_bool(share) {
                found[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
        Self { durable: found.clone(), now: found, dirty: BTreeSet::new() }
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.operate()?.names.keys().cloned().collect())
    }

    fn modified(&self, _name: &str) -> Option<std::time::SystemTime> {
        None
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut created = 0;
        self.change_names(|state| {
            if state.names.contains_key(name) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            created = state.next_file;
            state.next_file += 1;
            state.names.insert(name.to_owned(), created);
            state.files.insert(created, Content::default());
            Ok(())
        })?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file: created }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.operate()?.names.get(name).ok_or_else(not_found)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(|state| {
            let file = state.names.remove(from).ok_or_else(not_found)?;
            state.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|state| state.names.remove(name).map(drop).ok_or_else(not_found))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        state.durable_names = state.names.clone();
        state.steps.clear();
        Ok(())
    }
}

impl FaultyFile {
    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.operate()?;
        Ok(act(state.files.get_mut(&self.file).expect("files are never forgotten")))
    }
}

impl DiskFile for FaultyFile {
    fn bytes(&self) -> io::Result<u64> {
        self.with(|content| content.now.len() as u64)
    }

    fn read_exact_at(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        if self.disk.state().mute {
            return Err(io::Error::other("the disk does not answer"));
        }
        self.with(|content| {
            let at = usize::try_from(at).unwrap();
            let from =
                content.now.get(at..at + to.len()).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            to.copy_from_slice(from);
            Ok(())
        })?
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        let end = at + bytes.len();
        // When the power goes during a write, a part of it may be on its way already.
        let power = self.disk.operate().map(drop);
        let mut state = self.disk.state();
        let grown = end.saturating_sub(state.files[&self.file].now.len());
        if state.capacity_bytes.is_some_and(|capacity| state.used_bytes() + grown > capacity) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if power.is_err() && state.cut_at.is_some_and(|cut| state.operations > cut + 1) {
            return power;
        }
        state.page_bytes_written += ((end.div_ceil(4096) - at / 4096) * 4096) as u64;
        let content = state.files.get_mut(&self.file).expect("files are never forgotten");
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[at..end].copy_from_slice(bytes);
        content.dirty.extend(at / SECTOR_BYTES..=end.saturating_sub(1) / SECTOR_BYTES);
        power
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.with(|content| {
            let length = usize::try_from(bytes).unwrap();
            let before = content.now.len();
            content.now.resize(length, 0);
            content.dirty.extend(before.min(length) / SECTOR_BYTES..=before.max(length) / SECTOR_BYTES);
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|content| {
            let Content { durable, now, dirty } = content;
            durable.resize(now.len(), 0);
            for sector in std::mem::take(dirty) {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(now.len());
                if !range.is_empty() {
                    durable[range.clone()].copy_from_slice(&now[range]);
                }
            }
        })
    }
}
