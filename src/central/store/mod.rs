//! The town's store: sightings, dangers, coverage, defects, evidence, rejected messages and the street network, in one SQLite file.
//!
//! One writer, many readers (write-ahead log). A commit returns when it is on disk; committing an event again changes
//! nothing. Every commit tells those who listen which defects changed. The sightings are the truth; defects follow
//! from them and can be made anew at any time (see [`Store::replace_network`]).
//!
//! Privacy: no time in here is finer than the hour, neither of what was seen nor of when it arrived; nothing names a device.
//! Of a message that could not be read no value is kept, since nobody knows what it says.

mod coverage;
mod danger;
mod purge;
mod read;
mod regroup;
mod rows;
mod write;

#[cfg(test)]
mod purge_tests;
#[cfg(test)]
mod tests;

pub use coverage::{Bounds, CoverageFilter};
pub use purge::{Match, Purged, Remains};
pub use read::SightingWithPicture;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::OffsetDateTime;
use tokio::sync::broadcast;

use super::model::{Danger, Defect, DefectId, DefectStatus, DrivenStretch, Sighting};
use super::network::Network;
use super::profile::Profile;
use crate::schema::{DamageClass, Evidence};

const LISTENER_BACKLOG: usize = 4096;
const READERS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the store {path}: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the store {path} was made by another version of this program: {source}")]
    Migration { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("store: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether trying again later can help: a full disk, a lock.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => true,
            // SQLITE_BUSY 5, SQLITE_LOCKED 6, SQLITE_IOERR 10, SQLITE_FULL 13; the low byte of an extended code.
            Self::Sql(sqlx::Error::Database(error)) => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13)),
            _ => false,
        }
    }
}

/// One message, read or rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Sighting(Box<Sighting>),
    Danger(Box<Danger>),
    Coverage(Box<DrivenStretch>),
    Evidence(Evidence),
    Rejected(Rejection),
}

/// What is known of a message that could not be read. Nothing that it said: it may hold a time to the second and a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// With `+` where a device was named.
    pub topic: String,
    pub reason: String,
    /// The names that it gives to its values, if it is a JSON object; those under `data` as `data.<name>`.
    pub fields: Vec<String>,
    pub payload_bytes: u64,
}

/// What a commit changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Defect(Box<Defect>),
    Gone(DefectId),
    Danger(Box<Danger>),
    /// Counts, the network or the state of a device changed.
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    pub new_sightings: usize,
    pub new_dangers: usize,
    pub new_stretches: usize,
    pub new_evidence: usize,
    pub repeated: usize,
    pub rejected: usize,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    pub defects: u64,
    pub sightings: u64,
    pub dangers: u64,
    /// Dangers that nobody has acknowledged yet.
    pub open_dangers: u64,
    pub rejected: u64,
    pub evidence: u64,
    pub sections: u64,
    pub simulated: bool,
    /// Whether a model in trial operation has reported.
    pub trial_operation: bool,
    /// The hour in which an event was last taken in.
    pub last_event_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Default)]
pub struct DefectFilter {
    pub min_priority: Option<f64>,
    pub class: Option<DamageClass>,
    pub status: Option<DefectStatus>,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedMessage {
    /// The hour.
    pub received_at: OffsetDateTime,
    pub rejection: Rejection,
}

/// A handle; clones share the store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    readers: SqlitePool,
    writer: SqlitePool,
    network: RwLock<Arc<Network>>,
    profile: Profile,
    changes: broadcast::Sender<Change>,
    revision: AtomicU64,
}

impl Store {
    /// Opens the file, creates it when it is not there, and brings it up to this version.
    pub async fn open(path: &Path, profile: Profile) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit must be on disk before the broker is told that it may forget the message.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What was deleted is gone from the file as well, not only from sight.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(10));
        let writer =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(open_error)?;
        sqlx::migrate!("src/central/store/migrations")
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migration { path: path.to_owned(), source })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(open_error)?;
        let network = Network::new(read::sections(&readers).await?);
        let shared = Shared {
            readers,
            writer,
            network: RwLock::new(Arc::new(network)),
            profile,
            changes: broadcast::channel(LISTENER_BACKLOG).0,
            revision: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits for running work and closes the file.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }

    #[must_use]
    pub fn network(&self) -> Arc<Network> {
        Arc::clone(&self.shared.network.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    /// Changes from now on. Whoever is too slow is told that it missed some and must read anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// Grows with every commit that changed something, within this process.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// Tells those who listen of something that changed outside this file.
    pub fn announce(&self, change: Change) {
        // Without listeners there is nobody to tell.
        let _ = self.shared.changes.send(change);
    }

    fn tell(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.shared.revision.fetch_add(1, Ordering::AcqRel);
        for change in changes.into_iter().chain(std::iter::once(Change::Status)) {
            self.announce(change);
        }
    }
}
