//! The models on the device.
//!
//! ```text
//! versions/<n>/   what was in the bundle of version n; never changed once it has this name
//! staging/        a bundle that is being looked at
//! state.json      which version is in use: the one truth, replaced by write, sync, rename, sync
//! current         a link to the version in use, for people and for other programs; follows state.json
//! inbox/          see `inbox`
//! lock            held by the program that may change all this
//! ```
//!
//! A version is whole and synced before `state.json` names it, and `state.json` changes in one step; so whatever moment the
//! power is cut at, the next start finds the old version or the new one, whole. The link may lag; opening mends it.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::edge::config::{EdgeConfig, UpdateConfig};
use crate::edge::update::bundle::Bundle;
use crate::edge::update::contents;
use crate::edge::update::disk::Disk;
use crate::edge::update::refusal::Refusal;
use crate::edge::update::state::{MOST_TRIES, State};
use crate::failure::Failure;

const STATE: &str = "state.json";
const CURRENT: &str = "current";
const VERSIONS: &str = "versions";
const STAGING: &str = "staging";

/// Why models cannot be changed on this device at all.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("{}: cannot be {what}: {source}; models cannot be changed until that is repaired", path.display())]
    Disk { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{}: another umsicht uses this folder", .0.display())]
    InUse(PathBuf),
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        Self::unavailable(error)
    }
}

/// The models' folder that a program without the lock takes: the version in use, else what came with the program.
#[must_use]
pub fn models_folder(config: &EdgeConfig) -> PathBuf {
    let current = config.update.as_ref().map(|update| update.folder.join(CURRENT));
    current.filter(|current| current.is_dir()).unwrap_or_else(|| config.model.folder.clone())
}

/// What the device says of its models, for a program without the lock; `None` when nothing was ever updated.
#[must_use]
pub fn state_of(update: &UpdateConfig) -> Option<State> {
    serde_json::from_slice(&fs::read(update.folder.join(STATE)).ok()?).ok()
}

pub struct Store {
    folder: PathBuf,
    state: State,
    disk: Disk,
    _lock: File,
}

impl Store {
    /// Takes the folder, finishes or cleans up what was cut off, and goes back at once from a version on trial with which
    /// the program went down.
    pub fn open(folder: &Path) -> Result<Self, UpdateError> {
        Self::open_on(folder, Disk::default())
    }

    fn open_on(folder: &Path, disk: Disk) -> Result<Self, UpdateError> {
        let failed = |what| move |source| UpdateError::Disk { path: folder.to_owned(), what, source };
        disk.create_folder(&folder.join(VERSIONS)).map_err(failed("made"))?;
        // Not truncated, and readable is enough: a technician's program may have made it.
        let path = folder.join("lock");
        let lock = File::create_new(&path).or_else(|_| File::open(&path)).map_err(failed("locked"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(UpdateError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed("locked")(source)),
        }
        let state = read_state(folder);
        let mut store = Self { folder: folder.to_owned(), state, disk, _lock: lock };
        if store.state.went_down_on_trial() {
            let why = format!("the program went down while version {} was on trial", store.bundle_version());
            store.take_back(&why);
        }
        store.mend_link().map_err(failed("brought up to date"))?;
        store.clean();
        Ok(store)
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// 0 for what came with the program.
    pub fn bundle_version(&self) -> u64 {
        self.state.current.unwrap_or(0)
    }

    /// Where the version in use lies; `None`: what came with the program is in use.
    pub fn current(&self) -> Option<PathBuf> {
        self.state.current.map(|version| self.version_folder(version))
    }

    pub fn check_newer(&self, offered: u64) -> Result<(), Refusal> {
        let highest = self.state.highest;
        if offered > highest { Ok(()) } else { Err(Refusal::NotNewer { offered, highest }) }
    }

    /// It is the version in use, file by file.
    pub fn is_in_use(&self, bundle: &Bundle) -> bool {
        let place = self.version_folder(bundle.about.version);
        let same =
            |(name, content): &(String, Vec<u8>)| fs::read(place.join(name)).is_ok_and(|there| there == *content);
        self.state.current == Some(bundle.about.version) && bundle.files.iter().all(same)
    }

    /// Marks that a look at `version` begins, on the disk: looking at it may take the program down. It is refused unseen when
    /// it did so before.
    pub fn begin_try(&mut self, version: u64) -> Result<(), Refusal> {
        let times = self.state.tries(version);
        if times >= MOST_TRIES {
            return Err(Refusal::WentDown { version, times });
        }
        let tried = self.write(self.state.with_try(version));
        Ok(tried.map_err(|source| self.failed("written", source))?)
    }

    /// Unpacks a bundle to where it can be looked at; on the disk and complete when this returns.
    pub fn stage(&self, bundle: &Bundle) -> Result<PathBuf, Refusal> {
        let staging = self.folder.join(STAGING);
        let written = || -> io::Result<()> {
            self.disk.remove_folder(&staging)?;
            self.disk.create_folder(&staging)?;
            for (name, content) in &bundle.files {
                self.disk.write(&staging.join(name), content)?;
            }
            self.disk.sync_folder(&staging)
        };
        written().map_err(|source| self.failed("written", source))?;
        let present: BTreeSet<String> = bundle.files.iter().map(|(name, _)| name.clone()).collect();
        contents::complete(&staging, &present)?;
        Ok(staging)
    }

    /// The staged version becomes the one in use, on trial.
    pub fn activate(&mut self, version: u64, in_service: bool) -> Result<(), UpdateError> {
        let (staging, place) = (self.folder.join(STAGING), self.version_folder(version));
        let place_it = || -> io::Result<()> {
            // Left over from an activation that was cut off before the state named it.
            self.disk.remove_folder(&place)?;
            self.disk.rename(&staging, &place)?;
            self.disk.sync_folder(&self.folder.join(VERSIONS))
        };
        place_it().map_err(|source| self.failed("written", source))?;
        if let Err(source) = self.write(self.state.with_activated(version, in_service)) {
            if self.state.current == Some(version) {
                // Named, but perhaps not durably: the old models are the sure ones.
                self.take_back("the disk did not keep its activation");
            }
            return Err(self.failed("written", source));
        }
        self.follow_state();
        self.clean();
        Ok(())
    }

    /// Goes back. It succeeds in memory even where the disk does not take it: a device must never be left without models.
    pub fn take_back(&mut self, why: &str) {
        tracing::error!("models of version {} are taken back: {why}", self.bundle_version());
        self.set(self.state.with_taken_back(why));
        self.follow_state();
    }

    /// A state that changes nothing about which version is in use.
    pub fn set(&mut self, state: State) {
        if let Err(error) = self.write(state.clone()) {
            tracing::error!("{}: cannot be written: {error}", self.folder.join(STATE).display());
            self.state = state;
        }
    }

    /// Counted, but not worth a write by itself: goes to the disk with the next change.
    pub fn set_in_memory(&mut self, state: State) {
        self.state = state;
    }

    fn write(&mut self, state: State) -> io::Result<()> {
        if state == self.state {
            return Ok(());
        }
        let (path, new) = (self.folder.join(STATE), self.folder.join("state.json.new"));
        self.disk.write(&new, &serde_json::to_vec_pretty(&state)?)?;
        self.disk.rename(&new, &path)?;
        self.state = state;
        self.disk.sync_folder(&self.folder)
    }

    /// The link is for people: that it lags is worth a line in the log and no more.
    fn follow_state(&self) {
        if let Err(error) = self.mend_link() {
            tracing::warn!("{}: cannot be brought up to date: {error}", self.folder.join(CURRENT).display());
        }
    }

    fn mend_link(&self) -> io::Result<()> {
        let (link, new) = (self.folder.join(CURRENT), self.folder.join("current.new"));
        let wanted = self.state.current.map(|version| Path::new(VERSIONS).join(version.to_string()));
        if fs::read_link(&link).ok() == wanted {
            return Ok(());
        }
        match wanted {
            Some(target) => {
                self.disk.remove_file(&new)?;
                self.disk.link(&target, &new)?;
                self.disk.rename(&new, &link)?;
            }
            None => self.disk.remove_file(&link)?,
        }
        self.disk.sync_folder(&self.folder)
    }

    /// Removes what no roll-back needs.
    pub fn clean(&self) {
        let unused = versions_in(&self.folder).into_iter().filter(|version| !self.state.uses(*version));
        for folder in unused.map(|version| self.version_folder(version)).chain([self.folder.join(STAGING)]) {
            if let Err(error) = self.disk.remove_folder(&folder) {
                tracing::warn!("{}: cannot be removed: {error}", folder.display());
            }
        }
    }

    fn version_folder(&self, version: u64) -> PathBuf {
        self.folder.join(VERSIONS).join(version.to_string())
    }

    fn failed(&self, what: &'static str, source: io::Error) -> UpdateError {
        UpdateError::Disk { path: self.folder.clone(), what, source }
    }
}

fn versions_in(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder.join(VERSIONS)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A state that a bad disk has eaten is put together from what lies there: models go on, and no older ones are taken.
fn read_state(folder: &Path) -> State {
    let path = folder.join(STATE);
    let read = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && versions_in(folder).is_empty() => Ok(State::default()),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|reason| {
        tracing::error!("{}: {reason}; it is put together anew from the folders beside it", path.display());
        let current = fs::read_link(folder.join(CURRENT)).ok();
        let current = current.filter(|link| folder.join(link).is_dir());
        let number = current.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok());
        State { current: number, highest: versions_in(folder).into_iter().max().unwrap_or(0), ..State::default() }
    })
}

#[cfg(test)]
mod tests;
