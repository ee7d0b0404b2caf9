//! The spool: keeps every event on disk until the broker has acknowledged it.
//!
//! - **An event counts as reported when [`Spool::commit`] returns its id.** By then event and evidence are on disk, synced.
//!   One commit of several events costs one sync.
//! - Acknowledgements are written lazily: after a crash something may be sent twice (the id is the same), nothing is lost.
//! - Opening again cuts off a write that a crash interrupted. A segment with damage before sound records is set aside under
//!   the name `….damaged`, never deleted, after what is sound in it has been copied forward.
//! - Space is bounded by a quota on disk. When it runs out, the least urgent goes first, the oldest of it first:
//!   health, evidence, coverage, damage, danger, alarm. Nothing is dropped for something less urgent; what is dropped is counted.
//!
//! Layout: numbered append-only segments (see `segment`), framed records (see `record`). Old segments are deleted oldest first
//! when nothing in them is needed; when the quota presses, what is still needed is copied forward first.
//!
//! Two locks: `writer` serialises what touches the disk and is held during a sync; `index` is held for moments only, so that
//! the publisher never waits for a sync. Order: writer before index.

mod index;
mod record;
mod recover;
mod segment;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use time::OffsetDateTime;
use tokio::sync::Notify;

use self::index::{Index, Place};
pub use self::record::Part;
use self::record::{Item, Record};
use self::segment::Segment;
use crate::edge::anonymise::RedactedImage;
use crate::schema::event::EventData;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::{Event, EventId, EventKind};

/// How urgent an item is; the first is the most urgent. The numbers are part of the format on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    Alarm = 0,
    Danger = 1,
    Damage = 2,
    Coverage = 3,
    Evidence = 4,
    Health = 5,
}

impl Priority {
    pub const ALL: [Self; 6] = [Self::Alarm, Self::Danger, Self::Damage, Self::Coverage, Self::Evidence, Self::Health];

    #[must_use]
    pub fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::PoolAlarm | EventKind::PoolAttention | EventKind::PoolCleared => Self::Alarm,
            EventKind::RoadDanger | EventKind::DeviceBlind | EventKind::DeviceRecovered => Self::Danger,
            EventKind::RoadDamage => Self::Damage,
            EventKind::RoadCoverage | EventKind::PoolOccupancy => Self::Coverage,
        }
    }

    fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as u8 == number)
    }
}

/// Names one item in the spool; sorts in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    priority: Priority,
    sequence: u64,
}

/// An event that has no id yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The site as a URI reference, see [`Event::source`].
    pub source: String,
    pub time: OffsetDateTime,
    pub data: EventData,
    /// By its type nothing but a redacted picture is ever stored or sent.
    pub picture: Option<RedactedImage>,
}

impl Draft {
    /// The event with its id, and its picture as a JPEG. A picture that cannot be made small enough is left out, and the
    /// event says so.
    #[must_use]
    pub fn into_event(self) -> (Event, Option<Vec<u8>>) {
        let jpeg = self.picture.and_then(|picture| picture.to_jpeg());
        let mut data = self.data;
        data.damage_mut().has_evidence = jpeg.is_some();
        let (ordinal, device_tag) = (None, None);
        (Event { id: EventId::random(), source: self.source, time: self.time, ordinal, device_tag, data }, jpeg)
    }
}

/// An item to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub ticket: Ticket,
    pub id: EventId,
    pub kind: EventKind,
    pub part: Part,
    /// CloudEvents JSON, or a JPEG.
    pub payload: Vec<u8>,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Items that were not acknowledged and will be sent.
    pub items: usize,
    /// Bytes of interrupted writes that were cut off.
    pub torn_bytes: u64,
    /// Damaged segments that were set aside.
    pub set_aside: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub items: usize,
    /// Items by priority, those with any.
    pub by_priority: BTreeMap<Priority, usize>,
    pub live_bytes: u64,
    pub bytes_on_disk: u64,
    /// For want of space, since opening.
    pub dropped: BTreeMap<Priority, u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool {} is in use by another process; stop that one or set another [spool] folder", .0.display())]
    InUse(PathBuf),
    #[error("the spool {} cannot be {doing}: {source}", folder.display())]
    Io { folder: PathBuf, doing: &'static str, source: io::Error },
    #[error(
        "the spool is full of more urgent events; raise [spool] quota_bytes or restore the connection to the broker"
    )]
    Full,
    #[error("a picture of {0} bytes is refused; at most {MAX_EVIDENCE_BYTES} are taken")]
    EvidenceTooLarge(usize),
}

impl SpoolError {
    /// Whether the same commit may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Full)
    }
}

/// The smallest quota that makes sense: room for a few pictures in several segments.
pub const MIN_QUOTA_BYTES: u64 = 4 * 1024 * 1024;
const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Lazily written acknowledgements wait for the next commit, but not beyond so many.
const MAX_DONE_UNWRITTEN: usize = 128;

pub struct Spool {
    folder: PathBuf,
    quota_bytes: u64,
    segment_bytes: u64,
    writer: Mutex<Writer>,
    index: Mutex<Index>,
    changed: Notify,
    commits: AtomicU64,
    /// Held as long as the spool is open.
    _lock: File,
}

struct Writer {
    active: Arc<Segment>,
    active_number: u64,
    next_sequence: u64,
}

impl Spool {
    /// Opens or creates the spool in `folder`. `quota_bytes` below [`MIN_QUOTA_BYTES`] counts as that.
    pub fn open(folder: &Path, quota_bytes: u64) -> Result<(Self, Recovery), SpoolError> {
        let failed = |doing| move |source| SpoolError::Io { folder: folder.to_owned(), doing, source };
        fs::create_dir_all(folder).map_err(failed("created"))?;
        let lock = File::create(folder.join("lock")).map_err(failed("locked"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(failed("locked")(source)),
        }
        let quota_bytes = quota_bytes.max(MIN_QUOTA_BYTES);
        let segment_bytes = (quota_bytes / 16).min(MAX_SEGMENT_BYTES);
        let (index, writer, recovery) = recover::recover(folder, segment_bytes).map_err(failed("read"))?;
        let spool = Self {
            folder: folder.to_owned(),
            quota_bytes,
            segment_bytes,
            writer: Mutex::new(writer),
            index: Mutex::new(index),
            changed: Notify::new(),
            // What was found at opening counts as one.
            commits: AtomicU64::new(1),
            _lock: lock,
        };
        Ok((spool, recovery))
    }

    /// Makes the events' ids and everything about them durable, with one sync. Only what returns here counts as reported.
    ///
    /// An event for which there is no room fails the commit, a picture for which there is none is dropped and counted.
    pub fn commit(&self, drafts: Vec<Draft>) -> Result<Vec<EventId>, SpoolError> {
        let encoded = drafts.into_iter().map(Draft::into_event).collect();
        self.commit_encoded(encoded)
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
        self.write(&mut self.lock_writer(), items)?;
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        Ok(ids)
    }

    /// The most urgent and oldest item that is not in `except`. An item that was changed on disk is given up and counted.
    pub fn next_to_send(&self, except: &BTreeSet<Ticket>) -> Result<Option<Outgoing>, SpoolError> {
        loop {
            let (ticket, place, segment) = {
                let index = self.lock_index();
                let Some((ticket, place)) = index.next(except) else { return Ok(None) };
                (ticket, place, Arc::clone(&index.segments[&place.segment]))
            };
            match segment.read(place.at, place.frame_bytes).map_err(self.failed("read"))? {
                Some(Record::Item(Item { id, kind, part, payload, .. })) => {
                    return Ok(Some(Outgoing { ticket, id, kind, part, payload }));
                }
                _ => {
                    let mut index = self.lock_index();
                    // Tidying may have moved it in the meantime; then the next round finds it.
                    if index.remove_at(ticket, &place) {
                        *index.dropped.entry(ticket.priority).or_default() += 1;
                    }
                }
            }
        }
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
        if many && let Ok(mut writer) = self.writer.try_lock() {
            // Not written means sent again after a restart; the next commit tries anew.
            let _ = self.write(&mut writer, Vec::new());
        }
        self.changed.notify_waiters();
    }

    /// Writes down what was acknowledged, so that a later start sends nothing twice.
    pub fn flush(&self) -> Result<(), SpoolError> {
        self.write(&mut self.lock_writer(), Vec::new())
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

    #[must_use]
    pub fn stats(&self) -> Stats {
        let index = self.lock_index();
        Stats {
            items: index.len(),
            by_priority: Priority::ALL.into_iter().map(|p| (p, index.count(p))).filter(|(_, n)| *n > 0).collect(),
            live_bytes: index.live_bytes(),
            bytes_on_disk: index.bytes_on_disk(),
            dropped: index.dropped.clone(),
        }
    }

    /// Bytes that live items may take; the rest of the quota is for what is done but not yet deleted.
    fn live_limit_bytes(&self) -> u64 {
        self.quota_bytes / 4 * 3
    }

    fn write(&self, writer: &mut Writer, items: Vec<Item>) -> Result<(), SpoolError> {
        let syncs = !items.is_empty();
        let mut bytes = Vec::new();
        let mut placed: Vec<(Ticket, Place)> = Vec::new();
        for mut item in items {
            item.sequence = writer.next_sequence;
            writer.next_sequence += 1;
            let ticket = Ticket { priority: item.priority, sequence: item.sequence };
            let at = bytes.len();
            let part = item.part;
            Record::Item(item).encode(&mut bytes);
            let frame_bytes = bytes.len() - at;
            placed.push((ticket, Place { segment: 0, at: at as u64, frame_bytes, part }));
        }
        let done = self.make_room(&mut placed)?;
        // What found no room is simply not written.
        let mut kept = Vec::with_capacity(bytes.len());
        for (_, place) in &mut placed {
            let start = usize::try_from(place.at).expect("an offset in memory");
            place.at = kept.len() as u64;
            kept.extend_from_slice(&bytes[start..start + place.frame_bytes]);
        }
        for sequence in &done {
            Record::Done { sequence: *sequence }.encode(&mut kept);
        }
        let written = self.append(writer, &kept, syncs);
        let mut index = self.lock_index();
        match written {
            Ok((segment, at)) => {
                for (ticket, place) in placed {
                    index.insert(ticket, Place { segment, at: at + place.at, ..place });
                }
                drop(index);
                self.tidy(writer).map_err(self.failed("tidied"))
            }
            Err(source) => {
                index.done_unwritten.extend(done);
                Err(self.failed("written")(source))
            }
        }
    }

    /// Drops what must go for the items in `placed`, removes from `placed` the pictures that do not fit, and returns the
    /// sequences to be marked as done with this write.
    fn make_room(&self, placed: &mut Vec<(Ticket, Place)>) -> Result<Vec<u64>, SpoolError> {
        let mut index = self.lock_index();
        let (events, pictures): (Vec<_>, Vec<_>) = placed.iter().partition(|(_, place)| place.part == Part::Event);
        let mut taken_bytes = 0;
        let mut refused = BTreeSet::new();
        for (ticket, place) in events.into_iter().chain(pictures) {
            let bytes = taken_bytes + place.frame_bytes as u64;
            match index.room_for(ticket.priority, bytes, self.live_limit_bytes()) {
                Some(victims) => {
                    for victim in victims {
                        index.remove(victim);
                        index.done_unwritten.push(victim.sequence);
                        *index.dropped.entry(victim.priority).or_default() += 1;
                    }
                    taken_bytes = bytes;
                }
                None if place.part == Part::Evidence => {
                    *index.dropped.entry(Priority::Evidence).or_default() += 1;
                    refused.insert(ticket);
                }
                None => return Err(SpoolError::Full),
            }
        }
        placed.retain(|(ticket, _)| !refused.contains(ticket));
        Ok(std::mem::take(&mut index.done_unwritten))
    }

    /// Appends to the active segment, or to a new one when that is full; returns segment and offset.
    fn append(&self, writer: &mut Writer, bytes: &[u8], sync: bool) -> io::Result<(u64, u64)> {
        if writer.active.bytes() + bytes.len() as u64 > self.segment_bytes {
            self.start_segment(writer)?;
        }
        let at = writer.active.append(bytes)?;
        if sync && let Err(error) = writer.active.make_durable() {
            // After a failed sync the kernel may have forgotten the pages: nothing may rely on this segment's end.
            let _ = writer.active.truncate(at);
            self.start_segment(writer)?;
            return Err(error);
        }
        Ok((writer.active_number, at))
    }

    fn start_segment(&self, writer: &mut Writer) -> io::Result<()> {
        let number = writer.active_number + 1;
        let segment = Arc::new(Segment::create(&self.folder, number)?);
        self.lock_index().segments.insert(number, Arc::clone(&segment));
        (writer.active, writer.active_number) = (segment, number);
        Ok(())
    }

    /// Deletes the oldest segments while nothing in them is needed; under pressure copies forward what is.
    fn tidy(&self, writer: &mut Writer) -> io::Result<()> {
        loop {
            let (number, segment, live) = {
                let index = self.lock_index();
                let Some((number, segment)) = index.segments.first_key_value() else { return Ok(()) };
                if *number == writer.active_number {
                    return Ok(());
                }
                let pressed = index.bytes_on_disk() > self.quota_bytes;
                if index.is_needed(*number) && !pressed {
                    return Ok(());
                }
                (*number, Arc::clone(segment), index.live_in(*number))
            };
            for (ticket, place) in &live {
                if let Some(record) = segment.read(place.at, place.frame_bytes)? {
                    let mut bytes = Vec::new();
                    record.encode(&mut bytes);
                    let (to, at) = self.append(writer, &bytes, false)?;
                    let mut index = self.lock_index();
                    // It may have been acknowledged in the meantime.
                    if index.remove(*ticket).is_some() {
                        index.insert(*ticket, Place { segment: to, at, ..*place });
                    }
                }
            }
            if !live.is_empty() {
                writer.active.make_durable()?;
            }
            self.lock_index().segments.remove(&number);
            segment.delete()?;
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> SpoolError {
        move |source| SpoolError::Io { folder: self.folder.clone(), doing, source }
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
mod tests;
