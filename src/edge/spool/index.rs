//! What the spool holds, in memory: where each item lies, what to send next, what to drop when space runs out.
//!
//! No I/O here. About 100 bytes per item; payloads stay on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::edge::spool::record::{Item, Part};
use crate::edge::spool::segment::Segment;
use crate::edge::spool::{Priority, Ticket};

/// Where an item lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub segment: u64,
    pub at: u64,
    pub frame_bytes: usize,
    pub part: Part,
}

impl Place {
    pub fn of(item: &Item, segment: u64, at: u64, frame_bytes: usize) -> Self {
        Self { segment, at, frame_bytes, part: item.part }
    }
}

#[derive(Default)]
pub(super) struct Index {
    /// In the order of sending: by priority, then by age.
    items: BTreeMap<Ticket, Place>,
    pub segments: BTreeMap<u64, Arc<Segment>>,
    live_bytes: u64,
    /// Done, but not yet written down; a crash sends these again.
    pub done_unwritten: Vec<u64>,
    pub dropped: BTreeMap<Priority, u64>,
}

impl Index {
    pub fn insert(&mut self, ticket: Ticket, place: Place) {
        self.live_bytes += place.frame_bytes as u64;
        if let Some(before) = self.items.insert(ticket, place) {
            // A copy made forward before a crash; the later one counts.
            self.live_bytes -= before.frame_bytes as u64;
        }
    }

    pub fn remove(&mut self, ticket: Ticket) -> Option<Place> {
        let place = self.items.remove(&ticket)?;
        self.live_bytes -= place.frame_bytes as u64;
        Some(place)
    }

    /// Removes the item unless it has moved from `place`.
    pub fn remove_at(&mut self, ticket: Ticket, place: &Place) -> bool {
        let there = self.items.get(&ticket).is_some_and(|p| (p.segment, p.at) == (place.segment, place.at));
        there && self.remove(ticket).is_some()
    }

    /// Used while reading segments, where a done record names the sequence only.
    pub fn remove_sequence(&mut self, sequence: u64) {
        for priority in Priority::ALL {
            self.remove(Ticket { priority, sequence });
        }
    }

    pub fn next(&self, except: &BTreeSet<Ticket>) -> Option<(Ticket, Place)> {
        self.items.iter().find(|(ticket, _)| !except.contains(ticket)).map(|(ticket, place)| (*ticket, *place))
    }

    /// What to drop so that `bytes` more of this priority fit: lower priorities first, the oldest of them first; then the
    /// oldest of the same priority. `None` when even that is not enough: nothing more urgent is ever given up.
    pub fn room_for(&self, priority: Priority, bytes: u64, limit_bytes: u64) -> Option<Vec<Ticket>> {
        let mut over = (self.live_bytes + bytes).saturating_sub(limit_bytes);
        let mut victims = Vec::new();
        for lower in Priority::ALL.into_iter().rev().take_while(|p| *p >= priority) {
            for (ticket, place) in self.of_priority(lower) {
                if over == 0 {
                    return Some(victims);
                }
                over = over.saturating_sub(place.frame_bytes as u64);
                victims.push(*ticket);
            }
        }
        (over == 0).then_some(victims)
    }

    pub fn live_in(&self, segment: u64) -> Vec<(Ticket, Place)> {
        self.items.iter().filter(|(_, place)| place.segment == segment).map(|(t, p)| (*t, *p)).collect()
    }

    pub fn is_needed(&self, segment: u64) -> bool {
        self.items.values().any(|place| place.segment == segment)
    }

    pub fn bytes_on_disk(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes()).sum()
    }

    pub fn count(&self, priority: Priority) -> usize {
        self.of_priority(priority).count()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    fn of_priority(&self, priority: Priority) -> impl Iterator<Item = (&Ticket, &Place)> {
        self.items.range(Ticket { priority, sequence: 0 }..=Ticket { priority, sequence: u64::MAX })
    }
}
