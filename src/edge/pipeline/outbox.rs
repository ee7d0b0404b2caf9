//! Where sightings go: into the spool on a device, into a file in a replay.
//!
//! A disk that is full or broken does not end the run: what it does not take stays in memory and is tried again, until there
//! is too much of it; then pictures go first, and then the oldest.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::edge::spool::{Draft, Spool, SpoolError};
use crate::schema::EventId;

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("{}: cannot be written: {source}", path.display())]
    Lines { path: PathBuf, source: std::io::Error },
}

/// How long to leave a disk alone that has just failed.
const PAUSE: Duration = Duration::from_secs(2);
/// So many pictures are kept in memory while the disk takes none.
const MAX_PICTURES: usize = 16;
/// So many events.
const MAX_EVENTS: usize = 10_000;

pub enum Outbox {
    Spool(Mailbag),
    /// `CloudEvents`, one per line; pictures are left out.
    Lines {
        path: PathBuf,
        file: BufWriter<File>,
    },
}

/// A spool, and what it has not taken yet.
pub struct Mailbag {
    spool: Arc<Spool>,
    waiting: Vec<Draft>,
    failed_at: Option<Instant>,
}

impl Mailbag {
    /// Commits what waits and `drafts`; what the disk does not take waits on.
    fn commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<EventId>, SpoolError> {
        self.waiting.extend(drafts);
        if self.waiting.is_empty() || self.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Ok(Vec::new());
        }
        match self.spool.commit(self.waiting.clone()) {
            Ok(ids) => {
                self.waiting.clear();
                self.failed_at = None;
                Ok(ids)
            }
            Err(error) if error.is_transient() => {
                if self.failed_at.replace(Instant::now()).is_none() {
                    tracing::error!("events wait in memory: {error}");
                }
                self.bound();
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    fn bound(&mut self) {
        let too_many = self.waiting.len().saturating_sub(MAX_EVENTS);
        if too_many > 0 {
            tracing::error!(
                count = too_many,
                "events are lost: the disk takes none and there are too many for the memory"
            );
            self.waiting.drain(..too_many);
        }
        let pictures = self.waiting.iter_mut().rev().filter(|draft| draft.picture.is_some());
        pictures.skip(MAX_PICTURES).for_each(|draft| draft.picture = None);
    }
}

impl Outbox {
    #[must_use]
    pub fn spool(spool: Arc<Spool>) -> Self {
        Self::Spool(Mailbag { spool, waiting: Vec::new(), failed_at: None })
    }

    /// Whether all that was given is reported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Spool(bag) => bag.waiting.is_empty(),
            Self::Lines { .. } => true,
        }
    }

    /// The last attempt; what the disk does not take now is lost, and that is an error.
    pub fn finish(&mut self) -> Result<Vec<EventId>, OutboxError> {
        match self {
            Self::Spool(bag) => Ok(bag.spool.commit(std::mem::take(&mut bag.waiting))?),
            Self::Lines { .. } => Ok(Vec::new()),
        }
    }

    pub fn lines(path: &Path) -> Result<Self, OutboxError> {
        let file = File::create(path).map_err(|source| OutboxError::Lines { path: path.to_owned(), source })?;
        Ok(Self::Lines { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// What returns here is reported; what does not is tried again with the next call.
    pub fn commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<EventId>, OutboxError> {
        match self {
            Self::Spool(bag) => Ok(bag.commit(drafts)?),
            Self::Lines { path, file } => {
                let mut ids = Vec::with_capacity(drafts.len());
                let write = || -> std::io::Result<()> {
                    for draft in drafts {
                        let (event, _) = draft.into_event(None);
                        file.write_all(&event.to_json())?;
                        file.write_all(b"\n")?;
                        ids.push(event.id);
                    }
                    file.flush()
                };
                write().map_err(|source| OutboxError::Lines { path: path.clone(), source })?;
                Ok(ids)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::batch::Batching;
    use crate::edge::spool::{FaultyDisk, MIN_QUOTA_BYTES, SpoolSettings};
    use crate::schema::event::tests::damage;

    fn draft() -> Draft {
        let event = damage();
        Draft { source: event.source, time: event.time, ordinal: None, data: event.data, picture: None }
    }

    #[test]
    fn what_a_broken_disk_does_not_take_waits_and_is_reported_later() {
        let disk = FaultyDisk::default();
        let settings = SpoolSettings { quota_bytes: MIN_QUOTA_BYTES, batching: Batching::Off, secret: None };
        let spool = Arc::new(Spool::on_faulty_disk(&disk, settings).unwrap());
        let Outbox::Spool(mut bag) = Outbox::spool(Arc::clone(&spool)) else { unreachable!("it is a spool's") };
        disk.set_capacity(Some(0));
        assert_eq!(bag.commit(vec![draft()]).unwrap(), []);
        assert_eq!(bag.commit(vec![draft()]).unwrap(), [], "it is left alone for a while");
        disk.set_capacity(None);
        bag.failed_at = Some(Instant::now().checked_sub(PAUSE).unwrap());
        assert_eq!(bag.commit(Vec::new()).unwrap().len(), 2);
        assert_eq!((spool.len(), bag.waiting.len()), (2, 0));
    }
}
