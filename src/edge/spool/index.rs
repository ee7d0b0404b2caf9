//! What the spool holds, in memory: where each item lies, what to send next, what to drop when space runs out.
//!
//! No I/O and no clock here; times are milliseconds since the spool was opened, by a clock that never leaps. An item costs 24
//! bytes, 8 more while it waits for room at the broker and 24 more while it waits for its batch; payloads stay on disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::edge::spool::item::{Losses, Priority, Ticket};
use crate::edge::spool::record::{Located, Part};
use crate::edge::spool::segment::Segment;
use crate::schema::EventKind;

/// Where an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub segment: u32,
    pub at: u32,
    pub frame_bytes: u32,
    pub kind: EventKind,
}

/// One item; `frame_bytes` 0 marks one that is gone and not yet swept out.
struct Entry {
    sequence: u64,
    place: Place,
}

/// Items of one priority, in the order of their sequences.
#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    gone: usize,
    /// Those that may be sent now, in the order of sending.
    ready: VecDeque<u64>,
}

/// A segment and how many items in it are still needed.
pub(super) struct Slot {
    pub segment: Arc<Segment>,
    pub live: usize,
    /// An item in it could not be read: it is kept aside instead of deleted.
    pub damaged: bool,
    /// How often the disk did not answer when items were to be copied out of it.
    pub failed_reads: u32,
}

impl Slot {
    pub fn new(segment: Segment) -> Self {
        Self { segment: Arc::new(segment), live: 0, damaged: false, failed_reads: 0 }
    }
}

#[derive(Default)]
pub(super) struct Index {
    queues: [Queue; Priority::ALL.len()],
    /// Items that wait for their moment, the earliest first.
    waiting: BinaryHeap<Reverse<(u64, Ticket)>>,
    /// Handed out, neither acknowledged nor given back.
    in_flight: BTreeSet<Ticket>,
    pub segments: BTreeMap<u32, Slot>,
    live_bytes: u64,
    /// Done, but not yet written down; a crash sends these again.
    pub done_unwritten: Vec<u64>,
    /// Could not be read back; to be written down with the next write.
    pub unreadable_unwritten: Vec<u64>,
    /// Given up for want of space; to be written down with the next write.
    pub evicted_unwritten: Vec<Ticket>,
    pub losses: Losses,
}

/// When an item may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// Milliseconds since the spool was opened.
    At(u64),
}

impl Queue {
    fn find(&self, sequence: u64) -> Option<usize> {
        let at = self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        (self.entries[at].place.frame_bytes > 0).then_some(at)
    }

    fn remove(&mut self, sequence: u64) -> Option<Place> {
        let at = self.find(sequence)?;
        let place = self.entries[at].place;
        self.entries[at].place.frame_bytes = 0;
        self.gone += 1;
        while self.entries.front().is_some_and(|entry| entry.place.frame_bytes == 0) {
            self.entries.pop_front();
            self.gone -= 1;
        }
        if self.gone > 1024 && self.gone > self.entries.len() / 2 {
            self.entries.retain(|entry| entry.place.frame_bytes > 0);
            self.gone = 0;
        }
        Some(place)
    }

    /// Forgets what was evicted while it was ready, before there is too much of it.
    fn sweep_ready(&mut self) {
        if self.ready.len() > self.len() + 1024 {
            let ready = std::mem::take(&mut self.ready);
            self.ready = ready.into_iter().filter(|sequence| self.find(*sequence).is_some()).collect();
        }
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.place.frame_bytes > 0)
    }

    fn len(&self) -> usize {
        self.entries.len() - self.gone
    }
}

impl Index {
    /// Takes in what was found at opening. Of several places of one item the later one counts: it was copied forward.
    pub fn load(&mut self, mut found: Vec<(u32, Located)>, mut done: Vec<u64>) {
        done.sort_unstable();
        found.retain(|(_, item)| done.binary_search(&item.sequence).is_err());
        found.sort_unstable_by_key(|(segment, item)| (item.sequence, *segment, item.at));
        found.dedup_by(|later, kept| {
            let same = later.1.sequence == kept.1.sequence;
            if same {
                *kept = *later;
            }
            same
        });
        for (segment, item) in found {
            let Located { sequence, at, frame_bytes, priority, kind } = item;
            self.insert(Ticket { priority, sequence }, Place { segment, at, frame_bytes, kind });
        }
        // Growing by doubling has left room that is not needed.
        self.queues.iter_mut().for_each(|queue| queue.entries.shrink_to_fit());
    }

    /// Sequences grow, so a new item comes behind all others; [`Index::release`] makes it ready.
    pub fn insert(&mut self, ticket: Ticket, place: Place) {
        let queue = &mut self.queues[ticket.priority as usize];
        debug_assert!(queue.entries.back().is_none_or(|last| last.sequence < ticket.sequence));
        queue.entries.push_back(Entry { sequence: ticket.sequence, place });
        self.live_bytes += u64::from(place.frame_bytes);
        if let Some(slot) = self.segments.get_mut(&place.segment) {
            slot.live += 1;
        }
    }

    /// Says from when on an item may be sent.
    pub fn release(&mut self, ticket: Ticket, due: Due) {
        match due {
            Due::Now => self.queues[ticket.priority as usize].ready.push_back(ticket.sequence),
            Due::At(millis) => self.waiting.push(Reverse((millis, ticket))),
        }
    }

    /// Every item that lies here, most urgent first.
    pub fn all(&self) -> impl Iterator<Item = (Ticket, Place)> + '_ {
        Priority::ALL.into_iter().flat_map(|priority| {
            let live = self.queues[priority as usize].live();
            live.map(move |entry| (Ticket { priority, sequence: entry.sequence }, entry.place))
        })
    }

    pub fn remove(&mut self, ticket: Ticket) -> Option<Place> {
        self.in_flight.remove(&ticket);
        let queue = &mut self.queues[ticket.priority as usize];
        let place = queue.remove(ticket.sequence)?;
        queue.sweep_ready();
        self.live_bytes -= u64::from(place.frame_bytes);
        if let Some(slot) = self.segments.get_mut(&place.segment) {
            slot.live -= 1;
        }
        Some(place)
    }

    pub fn place_of(&self, ticket: Ticket) -> Option<Place> {
        let queue = &self.queues[ticket.priority as usize];
        queue.find(ticket.sequence).map(|at| queue.entries[at].place)
    }

    /// The item was copied, unless it was acknowledged in the meantime.
    pub fn moved(&mut self, ticket: Ticket, to: Place) {
        let queue = &mut self.queues[ticket.priority as usize];
        let Some(at) = queue.find(ticket.sequence) else { return };
        let from = std::mem::replace(&mut queue.entries[at].place, to);
        for (segment, change) in [(from.segment, -1), (to.segment, 1)] {
            if let Some(slot) = self.segments.get_mut(&segment) {
                slot.live = slot.live.saturating_add_signed(change);
            }
        }
    }

    /// Releases all items of a priority as they were found at opening.
    pub fn release_all(&mut self, priority: Priority, mut due: impl FnMut(EventKind) -> Due) {
        for at in 0..self.queues[priority as usize].entries.len() {
            let Entry { sequence, place } = &self.queues[priority as usize].entries[at];
            let (ticket, due) = (Ticket { priority, sequence: *sequence }, due(place.kind));
            self.release(ticket, due);
        }
    }

    /// Makes ready what waited until `now_millis`.
    pub fn release_due(&mut self, now_millis: u64) {
        while let Some(Reverse((due, ticket))) = self.waiting.peek().copied()
            && due <= now_millis
        {
            self.waiting.pop();
            let queue = &mut self.queues[ticket.priority as usize];
            // What was evicted while it waited is passed over.
            if queue.find(ticket.sequence).is_some() {
                queue.ready.push_back(ticket.sequence);
            }
        }
    }

    /// Lets what is ready wait again, except what `due` says may go now.
    pub fn put_off(&mut self, mut due: impl FnMut(EventKind) -> Due) {
        for priority in Priority::ALL {
            for sequence in std::mem::take(&mut self.queues[priority as usize].ready) {
                let ticket = Ticket { priority, sequence };
                if let Some(place) = self.place_of(ticket) {
                    self.release(ticket, due(place.kind));
                }
            }
        }
    }

    /// When the next item that waits may be sent.
    pub fn next_due(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    /// The most urgent item that may be sent at `now_millis`, pictures only when they may; it counts as in flight then.
    pub fn take_next(&mut self, now_millis: u64, pictures: bool) -> Option<(Ticket, Place)> {
        self.release_due(now_millis);
        for priority in Priority::ALL.into_iter().filter(|p| pictures || *p != Priority::Evidence) {
            let queue = &mut self.queues[priority as usize];
            while let Some(sequence) = queue.ready.pop_front() {
                // What was evicted while it was ready is passed over.
                if let Some(at) = queue.find(sequence) {
                    let ticket = Ticket { priority, sequence };
                    let place = queue.entries[at].place;
                    self.in_flight.insert(ticket);
                    return Some((ticket, place));
                }
            }
        }
        None
    }

    /// What was handed out is to be tried again at this time.
    pub fn put_by(&mut self, ticket: Ticket, due_millis: u64) {
        if self.in_flight.remove(&ticket) {
            self.waiting.push(Reverse((due_millis, ticket)));
        }
    }

    /// The item cannot be read back: it is gone, it counts, and its segment is kept aside.
    pub fn give_up_unreadable(&mut self, ticket: Ticket, segment: u32) {
        if self.remove(ticket).is_some() {
            tracing::error!(priority = ticket.priority.name(), "an item of the spool cannot be read back; it is lost");
            self.losses.unreadable += 1;
            self.unreadable_unwritten.push(ticket.sequence);
            if let Some(slot) = self.segments.get_mut(&segment) {
                slot.damaged = true;
            }
        }
    }

    /// Keeps an item that is ready from being handed out until it is given back.
    pub fn hold(&mut self, ticket: Ticket) {
        let queue = &mut self.queues[ticket.priority as usize];
        if queue.find(ticket.sequence).is_some() {
            queue.ready.retain(|sequence| *sequence != ticket.sequence);
            self.in_flight.insert(ticket);
        }
    }

    /// Not delivered: it is sent again, before all others of its priority.
    pub fn give_back(&mut self, ticket: Ticket) {
        if self.in_flight.remove(&ticket) {
            self.queues[ticket.priority as usize].ready.push_front(ticket.sequence);
        }
    }

    /// All that is in flight, in the order of the sequences; returns how many.
    pub fn give_back_all(&mut self) -> usize {
        let all = std::mem::take(&mut self.in_flight);
        for ticket in all.iter().rev() {
            self.queues[ticket.priority as usize].ready.push_front(ticket.sequence);
        }
        all.len()
    }

    /// What to drop so that `bytes` more of this priority fit: lower priorities first, the oldest of them first; then the
    /// oldest of the same priority. `None` when even that is not enough: nothing more urgent is ever given up.
    pub fn room_for(&self, priority: Priority, bytes: u64, limit_bytes: u64) -> Option<Vec<Ticket>> {
        let mut over = (self.live_bytes + bytes).saturating_sub(limit_bytes);
        let mut victims = Vec::new();
        for lower in Priority::ALL.into_iter().rev().take_while(|p| *p >= priority) {
            for entry in self.queues[lower as usize].live() {
                if over == 0 {
                    return Some(victims);
                }
                over = over.saturating_sub(u64::from(entry.place.frame_bytes));
                victims.push(Ticket { priority: lower, sequence: entry.sequence });
            }
        }
        (over == 0).then_some(victims)
    }

    pub fn live_in(&self, segment: u32) -> Vec<(Ticket, Place)> {
        self.all().filter(|(_, place)| place.segment == segment).collect()
    }

    pub fn bytes_on_disk(&self) -> u64 {
        self.segments.values().map(|slot| slot.segment.bytes()).sum()
    }

    pub fn count(&self, priority: Priority) -> usize {
        self.queues[priority as usize].len()
    }

    pub fn len(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Items that wait for their batch; what was evicted meanwhile counts until its moment comes.
    pub fn waiting(&self) -> usize {
        self.waiting.len().min(self.len())
    }

    /// Pictures that could be sent if pictures may.
    pub fn ready_pictures(&self) -> usize {
        let queue = &self.queues[Priority::Evidence as usize];
        queue.ready.len().min(queue.len())
    }

    /// Items to send now or on their way; pictures that may not be sent do not count.
    pub fn outstanding(&self, pictures: bool) -> usize {
        let ready = Priority::ALL.into_iter().filter(|p| pictures || *p != Priority::Evidence);
        self.in_flight.len() + ready.map(|p| self.queues[p as usize].ready.len()).sum::<usize>()
    }

    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }
}

impl Place {
    /// The part follows from the priority: pictures are `Evidence`, and nothing else is.
    pub fn part(priority: Priority) -> Part {
        if priority == Priority::Evidence { Part::Evidence } else { Part::Event }
    }
}
