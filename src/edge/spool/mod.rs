//! The spool: keeps every event on disk until the broker has acknowledged it.
//!
//! - **An event counts as reported when [`Spool::commit`] returns its id.** By then event and evidence are on disk, synced.
//!   Commits that come while another one is being synced share the next sync; an alarm shares with nobody and goes first
//!   (see `lineup`), and [`Spool::raise`] sounds the siren before it touches the disk at all.
//! - Acknowledgements are written lazily: after a crash something may be sent twice (the id is the same), nothing is lost.
//! - Opening again cuts off a write that a crash interrupted. A segment with damage before sound records is set aside under
//!   the name `….damaged`, after what is sound in it has been copied forward; so is one of which an item cannot be read later.
//! - Space is bounded by a quota, and by a disk that is full (see [`Spool::free_space`]). When it runs out, the least urgent
//!   goes first, the oldest of it first: health, evidence, coverage, damage, danger, alarm. Nothing is dropped for something
//!   less urgent. What is dropped is counted, and the count is written with the same sync, so that no crash forgets it.
//! - Road events wait for their batch (see `edge::batch`). Waiting goes by a clock that never leaps; what waits when the
//!   spool is opened again waits for the next batch.
//!
//! Layout: numbered append-only segments (see `segment`), framed records (see `record`). Old segments are deleted oldest first
//! when nothing in them is needed; when the quota presses, what is still needed is copied forward first. Oldest first, because
//! a record that says "done" may speak of an item in any older segment.
//!
//! Two locks: `writer` serialises what touches the disk and is held during a sync; `index` is held for moments only, so that
//! the publisher never waits for a sync. Order: writer before index.

mod disk;
#[cfg(test)]
mod fault;
mod index;
mod item;
mod lineup;
mod record;
mod recover;
mod segment;
mod write;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use self::disk::{Disk, Folder};
#[cfg(test)]
pub(in crate::edge) use self::fault::FaultyDisk;
use self::index::Index;
pub use self::item::{Draft, Losses, Outgoing, Priority, Recovery, SpoolError, Stats, Ticket};
use self::lineup::Lineup;
pub use self::record::Part;
use self::record::{Item, Record};
use self::write::{Dues, Writer};
use crate::edge::batch::Batching;
use crate::schema::device_tag::DeviceSecret;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::health::SpoolHealth;
use crate::schema::{Event, EventId};

/// The smallest quota that makes sense: room for a few pictures in several segments.
pub const MIN_QUOTA_BYTES: u64 = 4 * 1024 * 1024;
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// More files than this would need more open files than a process usually may have.
const MAX_SEGMENTS: u64 = 256;
/// Larger ones would not fit the offsets of the index.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// Lazily written acknowledgements wait for the next commit, but not beyond so many.
const MAX_DONE_UNWRITTEN: usize = 128;
/// So much is worth a sync of its own.
const MUCH_DONE: usize = 1024;
/// How long a disk is left alone that does not answer a read.
const READ_AGAIN_MILLIS: u64 = 60_000;
const LOCK: &str = "lock";

/// How a spool is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Below [`MIN_QUOTA_BYTES`] counts as that.
    pub quota_bytes: u64,
    pub batching: Batching,
    /// What events are signed with; `None` on a device that was not enrolled.
    pub secret: Option<DeviceSecret>,
}

pub struct Spool {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    quota_bytes: u64,
    segment_bytes: u64,
    batching: Batching,
    secret: Option<DeviceSecret>,
    lineup: Lineup<Vec<Item>, Result<(), SpoolError>>,
    writer: Mutex<Writer>,
    index: Mutex<Index>,
    changed: Notify,
    opened: Instant,
    commits: AtomicU64,
    set_aside: AtomicU64,
    failed_commits: AtomicU64,
    /// Held as long as the spool is open.
    _lock: Option<File>,
}

impl Spool {
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens or creates the spool in `folder`.
    pub fn open(folder: &Path, settings: SpoolSettings) -> Result<(Self, Recovery), SpoolError> {
        let failed =
            |doing| move |source| SpoolError::Io { folder: folder.to_owned(), doing, source: Arc::new(source) };
        fs::create_dir_all(folder).map_err(failed("created"))?;
        let lock = File::create(folder.join(LOCK)).map_err(failed("locked"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(failed("locked")(source)),
        }
        Self::open_on(Box::new(Folder::new(folder)), folder, Some(lock), settings)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        lock: Option<File>,
        settings: SpoolSettings,
    ) -> Result<(Self, Recovery), SpoolError> {
        let SpoolSettings { quota_bytes, batching, secret } = settings;
        let quota_bytes = quota_bytes.max(MIN_QUOTA_BYTES);
        let segment_bytes =
            (quota_bytes / 16).min(SEGMENT_BYTES.max(quota_bytes / MAX_SEGMENTS)).min(MAX_SEGMENT_BYTES);
        let failed = |source| SpoolError::Io { folder: folder.to_owned(), doing: "read", source: Arc::new(source) };
        let last_written = segment::last_written(disk.as_ref());
        let recover = || recover::recover(disk.as_ref(), segment_bytes, quota_bytes);
        let recovered = recover().or_else(|error| {
            // A full disk must not keep the spool shut: what it holds is what has to go.
            if write::is_full(&error) && disk.remove(write::RESERVE).is_ok() { recover() } else { Err(error) }
        });
        let recovered = recovered.map_err(failed)?;
        let recover::Recovered { index, writer, torn_bytes, set_aside } = recovered;
        let recovery = Recovery {
            items: index.len(),
            torn_bytes,
            set_aside: set_aside.iter().map(|name| folder.join(name)).collect(),
        };
        let spool = Self {
            folder: folder.to_owned(),
            disk,
            quota_bytes,
            segment_bytes,
            batching,
            secret,
            lineup: Lineup::default(),
            writer: Mutex::new(writer),
            index: Mutex::new(index),
            changed: Notify::new(),
            opened: Instant::now(),
            // What was found at opening counts as one.
            commits: AtomicU64::new(1),
            set_aside: AtomicU64::new(0),
            failed_commits: AtomicU64::new(0),
            _lock: lock,
        };
        spool.release_found(last_written);
        spool.keep_few_aside();
        spool.make_reserve();
        Ok((spool, recovery))
    }

    /// Makes the events' ids and everything about them durable. Only what returns here counts as reported.
    ///
    /// An event for which there is no room fails the commit, a picture for which there is none is dropped and counted.
    pub fn commit(&self, drafts: Vec<Draft>) -> Result<Vec<EventId>, SpoolError> {
        let secret = self.secret.as_ref();
        self.commit_encoded(drafts.into_iter().map(|draft| draft.into_event(secret)).collect())
    }

    /// An alarm: sounds the siren, then makes the event durable. However slow or broken the disk is, the siren has sounded.
    pub fn raise(&self, draft: Draft, siren: impl FnOnce(&Event)) -> Result<EventId, SpoolError> {
        let (event, jpeg) = draft.into_event(self.secret.as_ref());
        siren(&event);
        let id = event.id;
        self.commit_encoded(vec![(event, jpeg)]).map(|_| id)
    }

    fn commit_encoded(&self, events: Vec<(Event, Option<Vec<u8>>)>) -> Result<Vec<EventId>, SpoolError> {
        let mut ids = Vec::with_capacity(events.len());
        let mut items = Vec::new();
        for (event, jpeg) in events {
            if let Some(bytes) = jpeg.as_ref().map(Vec::len).filter(|bytes| *bytes > MAX_EVIDENCE_BYTES) {
                return Err(SpoolError::EvidenceTooLarge(bytes));
            }
            let (id, kind) = (event.id, event.kind());
            ids.push(id);
            let item = |priority, part, payload| Item { sequence: 0, id, priority, part, kind, payload };
            items.push(item(Priority::of(kind), Part::Event, event.to_json()));
            items.extend(jpeg.map(|jpeg| item(Priority::Evidence, Part::Evidence, jpeg)));
        }
        let alarm = items.iter().any(|item| item.priority == Priority::Alarm);
        let taken = self.lineup.join(items, alarm, |groups| self.write_groups(groups));
        if taken.is_err() {
            self.failed_commits.fetch_add(1, Ordering::Relaxed);
        }
        taken?;
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        Ok(ids)
    }

    /// The most urgent item that may be sent now, pictures only when they may; it counts as in flight until it is
    /// acknowledged or given back. An item that was changed on disk is given up and counted.
    pub fn take_next(&self, pictures: bool) -> Result<Option<Outgoing>, SpoolError> {
        loop {
            let (ticket, place, segment) = {
                let mut index = self.lock_index();
                let Some((ticket, place)) = index.take_next(self.millis(), pictures) else { return Ok(None) };
                (ticket, place, Arc::clone(&index.segments[&place.segment].segment))
            };
            match segment.read(place.at.into(), place.frame_bytes.into()) {
                Ok(Some(Record::Item(Item { sequence, id, kind, part, payload, .. })))
                    if sequence == ticket.sequence =>
                {
                    return Ok(Some(Outgoing { ticket, id, kind, part, payload }));
                }
                Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                    // The disk does not answer; that says nothing about the item.
                    tracing::warn!("the spool cannot be read; it is tried again in a minute: {source}");
                    self.lock_index().put_by(ticket, self.millis() + READ_AGAIN_MILLIS);
                }
                _ => {
                    let mut index = self.lock_index();
                    if index.place_of(ticket) == Some(place) {
                        index.give_up_unreadable(ticket, place.segment);
                    } else {
                        // Tidying has moved it in the meantime; the next round finds it.
                        index.give_back(ticket);
                    }
                }
            }
        }
    }

    /// A connection was made: what has become due without one does not leave in one burst, which would tell what belongs
    /// together, but at random moments of the next quarter of a batch.
    pub fn spread_overdue(&self) {
        let mut index = self.lock_index();
        let now_millis = self.millis();
        index.release_due(now_millis);
        let mut dues = Dues::new(self.batching, now_millis);
        index.put_off(|kind| dues.overdue(kind));
    }

    /// How long until the next item that waits for its batch may be sent.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.lock_index().next_due()?;
        Some(Duration::from_millis(due.saturating_sub(self.millis())))
    }

    /// It was not delivered and is to be sent again. Nobody is told: only whoever took it waits for it.
    pub fn give_back(&self, ticket: Ticket) {
        self.lock_index().give_back(ticket);
    }

    /// Takes it as if it were on its way, until it is given back.
    pub fn hold(&self, ticket: Ticket) {
        self.lock_index().hold(ticket);
    }

    /// The connection is gone: all that was on its way is to be sent again. Returns how many.
    pub fn give_back_all(&self) -> usize {
        self.lock_index().give_back_all()
    }

    /// The broker has it: the spool may forget it.
    pub fn acknowledge(&self, ticket: Ticket) {
        let many = {
            let mut index = self.lock_index();
            if index.remove(ticket).is_some() {
                index.done_unwritten.push(ticket.sequence);
            }
            index.done_unwritten.len() >= MAX_DONE_UNWRITTEN
        };
        // While another thread commits, the acknowledgements travel with its next write.
        if many && let Ok(writer) = self.writer.try_lock() {
            self.write_done_unsynced(writer);
        }
        self.changed.notify_waiters();
    }

    /// Whether so much was acknowledged since anything was committed that it is time for [`Spool::flush`]: a crash would send
    /// it again, and the segments that it frees lie on the disk until then.
    #[must_use]
    pub fn much_is_done(&self) -> bool {
        self.lock_index().done_unwritten.len() >= MUCH_DONE
    }

    /// Writes down what was acknowledged, durably.
    pub fn flush(&self) -> Result<(), SpoolError> {
        let mut writer = self.lock_writer();
        self.write(&mut writer, &[])?;
        writer.active.make_durable().map_err(self.failed("written"))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that are not yet acknowledged and forgotten.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock_index().len()
    }

    /// Successful commits so far; what was found at opening counts as the first.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Resolves when something was committed or acknowledged after the call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Items that may be sent now or are on their way. What waits for its batch does not count, nor do pictures when they
    /// may not be sent.
    #[must_use]
    pub fn outstanding(&self, pictures: bool) -> usize {
        let mut index = self.lock_index();
        index.release_due(self.millis());
        index.outstanding(pictures)
    }

    /// Pictures that could be sent if the link let them out.
    #[must_use]
    pub fn ready_pictures(&self) -> usize {
        self.lock_index().ready_pictures()
    }

    /// Items that wait for their batch.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock_index().waiting()
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let index = self.lock_index();
        Stats {
            items: index.len(),
            by_priority: Priority::ALL.into_iter().map(|p| (p, index.count(p))).filter(|(_, n)| *n > 0).collect(),
            live_bytes: index.live_bytes(),
            bytes_on_disk: index.bytes_on_disk(),
            losses: index.losses,
            set_aside: self.set_aside.load(Ordering::Relaxed),
            failed_commits: self.failed_commits.load(Ordering::Relaxed),
            waiting: index.waiting(),
            ready_pictures: index.ready_pictures(),
        }
    }

    /// As the device's health says it.
    #[must_use]
    pub fn health(&self) -> SpoolHealth {
        let stats = self.stats();
        let evicted = Priority::ALL.into_iter().map(|p| (p.name().to_owned(), stats.losses.of(p)));
        SpoolHealth {
            items: stats.items as u64,
            bytes_on_disk: stats.bytes_on_disk,
            quota_bytes: self.quota_bytes,
            evicted: evicted.filter(|(_, count)| *count > 0).collect(),
            unreadable: stats.losses.unreadable,
            set_aside: stats.set_aside,
            failed_commits: stats.failed_commits,
        }
    }

    /// What was found waits for the next batch; what belongs to a batch that has ended while the device was off is overdue.
    fn release_found(&self, last_written: Option<SystemTime>) {
        let mut index = self.lock_index();
        let mut dues = Dues::new(self.batching, self.millis());
        let overdue = last_written.is_some_and(|at| dues.has_ended(at.into()));
        for priority in Priority::ALL {
            index.release_all(priority, |kind| if overdue { dues.overdue(kind) } else { dues.of(kind) });
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// In memory, for tests of what relies on a spool.
    #[cfg(test)]
    pub(in crate::edge) fn on_faulty_disk(disk: &FaultyDisk, settings: SpoolSettings) -> Result<Self, SpoolError> {
        Self::open_on(Box::new(disk.clone()), Path::new("simulated"), None, settings).map(|(spool, _)| spool)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> SpoolError {
        move |source| SpoolError::Io { folder: self.folder.clone(), doing, source: Arc::new(source) }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("no holder of this lock panics")
    }

    fn lock_index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(TryLockError::Poisoned(_)) = self.writer.try_lock() {
            return;
        }
        // Unwritten acknowledgements are sent again, no more.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod cuts;
#[cfg(test)]
mod tests;
