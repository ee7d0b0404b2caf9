//! What happens on the disk when something is committed: room is made, records are written and synced, old segments go.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use rand::rngs::ThreadRng;
use time::OffsetDateTime;

use super::index::{Due, Place, Slot};
use super::item::{Priority, SpoolError, Ticket};
use super::record::{Item, Located, MAX_BODY_BYTES, Part, Record, Summary};
use super::segment::{DAMAGED, Segment};
use super::{MIN_QUOTA_BYTES, Spool, index::Index};
use crate::edge::batch::Batching;
use crate::schema::EventKind;

/// Damaged segments that are kept for somebody to look at; of more, the oldest goes.
const MAX_SET_ASIDE: usize = 4;
/// Room that is given back when the disk is full, so that what is still needed can be copied out of old segments.
/// However full the disk is, so much is not given up for new events.
const LEAST_ROOM_BYTES: u64 = MIN_QUOTA_BYTES / 4;
pub(super) const RESERVE: &str = "reserve";

/// So often the disk may fail to answer before items are given up that must be copied out of an old segment.
const MAX_FAILED_READS: u32 = 3;

pub(super) struct Writer {
    pub active: Arc<Segment>,
    pub active_number: u32,
    pub next_sequence: u64,
    /// What the active segment's summary will say.
    pub summary: Summary,
    /// So much may lie on the disk: the quota; less while the disk is full.
    room_bytes: u64,
    /// So much of it may be needed; the rest is for what is done and not yet deleted.
    live_limit_bytes: u64,
    /// Given up since the last commit that succeeded, because the disk is full.
    given_up_bytes: u64,
}

impl Writer {
    pub fn new(
        active: Arc<Segment>,
        active_number: u32,
        next_sequence: u64,
        summary: Summary,
        quota_bytes: u64,
    ) -> Self {
        let (room_bytes, live_limit_bytes) = (quota_bytes, quota_bytes / 4 * 3);
        Self { active, active_number, next_sequence, summary, room_bytes, live_limit_bytes, given_up_bytes: 0 }
    }
}

/// When items may be sent. A picture waits at least as long as its event when both are committed; later they may change
/// places, which the town takes too.
pub(super) struct Dues {
    batching: Batching,
    now: OffsetDateTime,
    now_millis: u64,
    dice: ThreadRng,
    /// Of the event before, for its picture.
    event: Due,
}

impl Dues {
    pub fn new(batching: Batching, now_millis: u64) -> Self {
        Self { batching, now: OffsetDateTime::now_utc(), now_millis, dice: rand::rng(), event: Due::Now }
    }

    /// Of an item for itself.
    pub fn of(&mut self, kind: EventKind) -> Due {
        let wait = if kind.travels_under_site() { self.batching.wait(self.now, &mut self.dice) } else { None };
        self.after(wait)
    }

    /// Of what was overdue when a connection was made, or belongs to a batch that has ended without one.
    pub fn overdue(&mut self, kind: EventKind) -> Due {
        if !kind.travels_under_site() {
            return Due::Now;
        }
        let wait = self.batching.catch_up(&mut self.dice);
        self.after(wait)
    }

    /// Whether the batch of what was seen at this time has ended.
    pub fn has_ended(&self, seen: OffsetDateTime) -> bool {
        self.batching.has_ended(seen, self.now)
    }

    fn after(&self, wait: Option<Duration>) -> Due {
        wait.map_or(Due::Now, |wait| {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Due::At(self.now_millis.saturating_add(millis))
        })
    }

    /// Of the next item of one commit, in which a picture follows its event.
    fn next(&mut self, kind: EventKind, part: Part) -> Due {
        let own = self.of(kind);
        match (part, self.event, own) {
            (Part::Event, _, own) => {
                self.event = own;
                own
            }
            (Part::Evidence, Due::At(event), Due::At(own)) => Due::At(own.max(event)),
            (Part::Evidence, _, own) => own,
        }
    }
}

/// What one write puts down beside its items.
#[derive(Default)]
struct Beside {
    done: Vec<u64>,
    unreadable: Vec<u64>,
    evicted: Vec<Ticket>,
}

impl Spool {
    /// All groups with one sync; when they do not fit together, each alone.
    pub(super) fn write_groups(&self, groups: Vec<Vec<Item>>) -> Vec<Result<(), SpoolError>> {
        let mut writer = self.lock_writer();
        let count = groups.len();
        if count > 1 {
            let all: Vec<&Item> = groups.iter().flatten().collect();
            match self.write(&mut writer, &all) {
                Err(SpoolError::Full) => {}
                other => return vec![other; count],
            }
        }
        groups.iter().map(|group| self.write(&mut writer, &group.iter().collect::<Vec<_>>())).collect()
    }

    /// Writes items and whatever else is to be written down; syncs when there are items, or losses to be told of.
    pub(super) fn write(&self, writer: &mut Writer, items: &[&Item]) -> Result<(), SpoolError> {
        let written = match self.try_write(writer, items) {
            Err(error) if error.is_disk_full() => self.write_on_a_full_disk(writer, items, error),
            other => other,
        };
        if written.is_ok() && !items.is_empty() {
            writer.given_up_bytes = 0;
        }
        written
    }

    /// Makes room and tries once more. Others may take the room as fast as it is made: then what is kept is worth more than
    /// what finds none, and no more is given up for the next attempts.
    fn write_on_a_full_disk(&self, writer: &mut Writer, items: &[&Item], error: SpoolError) -> Result<(), SpoolError> {
        let bytes: u64 = items.iter().map(|item| item.frame_bytes() as u64).sum();
        if writer.given_up_bytes > bytes + 2 * self.segment_bytes {
            return Err(error);
        }
        let urgency = items.iter().map(|item| item.priority).min().unwrap_or(Priority::Health);
        let live_before = self.lock_index().live_bytes();
        let gained = self.free_space(writer, urgency);
        writer.given_up_bytes += live_before.saturating_sub(self.lock_index().live_bytes());
        if gained { self.try_write(writer, items) } else { Err(error) }
    }

    /// Writes down acknowledgements where that needs neither a sync nor a new segment; else they wait for the next commit.
    /// Not written means sent again after a restart.
    pub(super) fn write_done_unsynced(&self, mut writer: MutexGuard<'_, Writer>) {
        let mut index = self.lock_index();
        let beside = Beside { done: std::mem::take(&mut index.done_unwritten), ..Beside::default() };
        drop(index);
        let mut bytes = Vec::new();
        beside.encode(&mut bytes);
        let fits = writer.active.bytes() + bytes.len() as u64 <= self.segment_bytes;
        if fits && writer.active.append(&bytes).is_ok() {
            beside.note(&mut writer.summary);
        } else {
            self.lock_index().done_unwritten.extend(beside.done);
        }
    }

    fn try_write(&self, writer: &mut Writer, items: &[&Item]) -> Result<(), SpoolError> {
        let mut kept: Vec<(Ticket, &Item)> = Vec::with_capacity(items.len());
        for item in items {
            kept.push((Ticket { priority: item.priority, sequence: writer.next_sequence }, *item));
            writer.next_sequence += 1;
        }
        let beside = self.make_room(writer.live_limit_bytes, &mut kept)?;
        let mut bytes = Vec::with_capacity(kept.iter().map(|(_, item)| item.frame_bytes()).sum::<usize>() + 64);
        let mut placed = Vec::with_capacity(kept.len());
        for (ticket, item) in &kept {
            let at = bytes.len();
            Record::encode_item(item, ticket.sequence, &mut bytes);
            placed.push((*ticket, at, bytes.len() - at, item.kind));
        }
        beside.encode(&mut bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        let sync = !items.is_empty() || beside.tells_of_losses();
        match self.append(writer, &bytes, sync) {
            Ok((segment, at)) => {
                beside.note(&mut writer.summary);
                let mut index = self.lock_index();
                writer.summary.losses = index.losses;
                let mut dues = Dues::new(self.batching, self.millis());
                for (ticket, offset, frame_bytes, kind) in placed {
                    let at = u32::try_from(at + offset as u64).expect("segments are below 4 GiB");
                    let frame_bytes = u32::try_from(frame_bytes).expect("frames are bounded");
                    index.insert(ticket, Place { segment, at, frame_bytes, kind });
                    index.release(ticket, dues.next(kind, Place::part(ticket.priority)));
                    let Ticket { priority, sequence } = ticket;
                    writer.summary.items.push(Located { sequence, at, frame_bytes, priority, kind });
                }
                drop(index);
                // What was committed stays committed, whether or not old segments can be cleared away.
                if let Err(error) = self.tidy(writer) {
                    tracing::warn!("old segments of the spool cannot be cleared away: {error}");
                }
                Ok(())
            }
            Err(source) => {
                let mut index = self.lock_index();
                index.done_unwritten.extend(beside.done);
                index.unreadable_unwritten.extend(beside.unreadable);
                index.evicted_unwritten.extend(beside.evicted);
                drop(index);
                Err(self.failed("written")(source))
            }
        }
    }

    /// Drops what must go for the items in `kept`, removes from `kept` the pictures that do not fit, and returns what is to be
    /// written down with this write.
    fn make_room(&self, limit_bytes: u64, kept: &mut Vec<(Ticket, &Item)>) -> Result<Beside, SpoolError> {
        let mut index = self.lock_index();
        let (events, pictures): (Vec<_>, Vec<_>) = kept.iter().partition(|(_, item)| item.part == Part::Event);
        let mut taken_bytes = 0;
        let mut refused = Vec::new();
        for (ticket, item) in events.into_iter().chain(pictures) {
            let bytes = taken_bytes + item.frame_bytes() as u64;
            match index.room_for(ticket.priority, bytes, limit_bytes) {
                Some(victims) => {
                    for victim in victims {
                        index.evict(victim);
                    }
                    taken_bytes = bytes;
                }
                None if item.part == Part::Evidence => {
                    index.losses.evict(Priority::Evidence);
                    index.evicted_unwritten.push(ticket);
                    refused.push(ticket.sequence);
                }
                None => return Err(SpoolError::Full),
            }
        }
        kept.retain(|(ticket, _)| !refused.contains(&ticket.sequence));
        Ok(Beside {
            done: std::mem::take(&mut index.done_unwritten),
            unreadable: std::mem::take(&mut index.unreadable_unwritten),
            evicted: std::mem::take(&mut index.evicted_unwritten),
        })
    }

    /// Appends to the active segment, or to a new one when that is full; returns segment and offset.
    fn append(&self, writer: &mut Writer, bytes: &[u8], sync: bool) -> io::Result<(u32, u64)> {
        if writer.active.bytes() + bytes.len() as u64 > self.segment_bytes && !writer.summary.is_empty() {
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

    /// Ends the active segment with its summary, durably, and begins the next.
    fn start_segment(&self, writer: &mut Writer) -> io::Result<()> {
        // A summary vouches for what lies before it, so that must be durable first.
        writer.active.make_durable()?;
        let mut end = Vec::new();
        let frame_at = u32::try_from(writer.active.bytes()).map_err(io::Error::other)?;
        writer.summary.next_sequence = writer.next_sequence;
        Record::encode_summary(&writer.summary, frame_at, &mut end);
        // One that is too long, or that finds no room, is not missed: the segment is read as a whole then.
        if end.len() < MAX_BODY_BYTES {
            let _ = writer.active.append(&end);
        }
        writer.active.make_durable()?;
        let number = writer.active_number + 1;
        let mut first = Vec::new();
        Record::Start { next_sequence: writer.next_sequence, losses: writer.summary.losses }.encode(&mut first);
        let slot = Slot::new(Segment::create(self.disk.as_ref(), number, &first)?);
        let segment = Arc::clone(&slot.segment);
        self.lock_index().segments.insert(number, slot);
        writer.summary = Summary { losses: writer.summary.losses, ..Summary::default() };
        (writer.active, writer.active_number) = (segment, number);
        if writer.room_bytes < self.quota_bytes && self.make_reserve() {
            tracing::info!("the disk has room again for the spool's whole quota");
            (writer.room_bytes, writer.live_limit_bytes) = (self.quota_bytes, self.quota_bytes / 4 * 3);
        }
        Ok(())
    }

    /// Deletes the oldest segments while nothing in them is needed; under pressure copies forward what is.
    fn tidy(&self, writer: &mut Writer) -> io::Result<()> {
        // Once around at most: copying needs room too, and what is all needed does not get smaller.
        let segments = self.lock_index().segments.len();
        for _ in 0..segments {
            let (number, segment, live) = {
                let index = self.lock_index();
                let Some((number, slot)) = index.segments.first_key_value() else { return Ok(()) };
                if *number == writer.active_number {
                    return Ok(());
                }
                let pressed = index.bytes_on_disk() > writer.room_bytes;
                if slot.live > 0 && !pressed {
                    return Ok(());
                }
                let live = if slot.live > 0 { index.live_in(*number) } else { Vec::new() };
                (*number, Arc::clone(&slot.segment), live)
            };
            self.copy_forward(writer, &segment, &live)?;
            let damaged = self.lock_index().segments.remove(&number).is_some_and(|slot| slot.damaged);
            if damaged {
                segment.set_aside(self.disk.as_ref())?;
                self.keep_few_aside();
            } else {
                segment.delete(self.disk.as_ref())?;
            }
        }
        Ok(())
    }

    /// The disk does not answer; a segment is given some more chances before its items are given up.
    fn may_be_read_later(&self, segment: u32) -> bool {
        let mut index = self.lock_index();
        let Some(slot) = index.segments.get_mut(&segment) else { return false };
        slot.failed_reads += 1;
        slot.failed_reads < MAX_FAILED_READS
    }

    fn copy_forward(&self, writer: &mut Writer, from: &Segment, live: &[(Ticket, Place)]) -> io::Result<()> {
        let mut moved = Vec::with_capacity(live.len());
        for (ticket, place) in live {
            let item = match from.read(place.at.into(), place.frame_bytes.into()) {
                Ok(Some(Record::Item(item))) => item,
                Err(source)
                    if source.kind() != io::ErrorKind::UnexpectedEof && self.may_be_read_later(place.segment) =>
                {
                    return Err(source);
                }
                _ => {
                    self.lock_index().give_up_unreadable(*ticket, place.segment);
                    continue;
                }
            };
            let mut bytes = Vec::with_capacity(item.frame_bytes());
            Record::encode_item(&item, ticket.sequence, &mut bytes);
            let (segment, at) = self.append(writer, &bytes, false)?;
            let at = u32::try_from(at).expect("segments are below 4 GiB");
            let Ticket { priority, sequence } = *ticket;
            let (frame_bytes, kind) = (place.frame_bytes, place.kind);
            writer.summary.items.push(Located { sequence, at, frame_bytes, priority, kind });
            moved.push((*ticket, Place { segment, at, ..*place }));
        }
        if !live.is_empty()
            && let Err(error) = writer.active.make_durable()
        {
            // The originals are still there; no summary may vouch for the copies.
            writer.summary.items.retain(|item| !moved.iter().any(|(ticket, _)| ticket.sequence == item.sequence));
            return Err(error);
        }
        let mut index = self.lock_index();
        for (ticket, place) in moved {
            index.moved(ticket, place);
        }
        Ok(())
    }

    /// The disk is full: gives back the reserve, makes do with a segment less than the spool has on disk, and clears away.
    /// What goes is what would go under a smaller quota for an item of this urgency. False when there was nothing to gain.
    fn free_space(&self, writer: &mut Writer, urgency: Priority) -> bool {
        let reserve = self.disk.remove(RESERVE).is_ok();
        let before_bytes = {
            let mut index = self.lock_index();
            let before_bytes = index.bytes_on_disk();
            let least = |bytes: u64, least_bytes: u64| bytes.max(least_bytes);
            let room_bytes = least(before_bytes.saturating_sub(self.segment_bytes), LEAST_ROOM_BYTES);
            writer.room_bytes = writer.room_bytes.min(room_bytes);
            // Summaries and what is only half full take their part.
            let live_bytes = before_bytes.saturating_sub(2 * self.segment_bytes) / 16 * 15;
            writer.live_limit_bytes = writer.live_limit_bytes.min(least(live_bytes, LEAST_ROOM_BYTES / 4 * 3));
            // Where everything is more urgent, all of it stays.
            for victim in index.room_for(urgency, 0, writer.live_limit_bytes).unwrap_or_default() {
                index.evict(victim);
            }
            before_bytes
        };
        tracing::warn!(room_bytes = writer.room_bytes, "the disk is full; the spool makes do with less");
        // What was given up is written down before anything is deleted; the reserve has just made room for that.
        if let Err(error) = self.try_write(writer, &[]).and_then(|()| self.tidy(writer).map_err(self.failed("tidied")))
        {
            tracing::warn!("old segments of the spool cannot be cleared away: {error}");
        }
        reserve || self.lock_index().bytes_on_disk() < before_bytes
    }

    /// Sets aside room of one segment, written out, so that it is really there. True when it is.
    pub(super) fn make_reserve(&self) -> bool {
        let make = || -> io::Result<()> {
            if self.disk.list()?.iter().any(|name| name == RESERVE) {
                return Ok(());
            }
            let file = self.disk.create(RESERVE)?;
            let zeros = vec![0; 64 * 1024];
            let mut at = 0;
            while at < self.segment_bytes {
                file.write_all_at(&zeros, at)?;
                at += zeros.len() as u64;
            }
            file.sync()
        };
        let made = make();
        if made.is_err() {
            // Half a reserve is room that others need more.
            let _ = self.disk.remove(RESERVE);
        }
        made.is_ok()
    }

    /// Counts the damaged segments that lie aside, and lets the oldest go when there are too many.
    pub(super) fn keep_few_aside(&self) {
        let Ok(names) = self.disk.list() else { return };
        let mut aside: Vec<String> = names.into_iter().filter(|name| name.ends_with(DAMAGED)).collect();
        aside.sort_unstable();
        let too_many = aside.len().saturating_sub(MAX_SET_ASIDE);
        for name in aside.drain(..too_many) {
            let _ = self.disk.remove(&name);
        }
        self.set_aside.store(aside.len() as u64, Ordering::Relaxed);
    }
}

impl Beside {
    fn encode(&self, to: &mut Vec<u8>) {
        for sequence in &self.done {
            Record::Done { sequence: *sequence }.encode(to);
        }
        for sequence in &self.unreadable {
            Record::Unreadable { sequence: *sequence }.encode(to);
        }
        for Ticket { priority, sequence } in &self.evicted {
            Record::Evicted { sequence: *sequence, priority: *priority }.encode(to);
        }
    }

    fn tells_of_losses(&self) -> bool {
        !self.evicted.is_empty() || !self.unreadable.is_empty()
    }

    fn note(&self, summary: &mut Summary) {
        summary.done.extend(&self.done);
        summary.done.extend(&self.unreadable);
        summary.done.extend(self.evicted.iter().map(|ticket| ticket.sequence));
    }
}

impl Summary {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.done.is_empty()
    }
}

impl Index {
    fn evict(&mut self, victim: Ticket) {
        if self.remove(victim).is_some() {
            self.losses.evict(victim.priority);
            self.evicted_unwritten.push(victim);
        }
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
