//! Where sightings go: into the spool on a device, into a file in a replay.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::edge::spool::{Draft, Spool, SpoolError};
use crate::schema::EventId;

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("{}: cannot be written: {source}", path.display())]
    Lines { path: PathBuf, source: std::io::Error },
}

pub enum Outbox {
    Spool(Arc<Spool>),
    /// `CloudEvents`, one per line; pictures are left out.
    Lines {
        path: PathBuf,
        file: BufWriter<File>,
    },
}

impl Outbox {
    pub fn lines(path: &Path) -> Result<Self, OutboxError> {
        let file = File::create(path).map_err(|source| OutboxError::Lines { path: path.to_owned(), source })?;
        Ok(Self::Lines { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// What returns here is reported.
    pub fn commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<EventId>, OutboxError> {
        match self {
            Self::Spool(spool) => Ok(spool.commit(drafts)?),
            Self::Lines { path, file } => {
                let mut ids = Vec::with_capacity(drafts.len());
                let write = || -> std::io::Result<()> {
                    for draft in drafts {
                        let (event, _) = draft.into_event();
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
