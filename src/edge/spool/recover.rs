//! What opening does: reads the segments in order, cuts off an interrupted write, salvages damaged segments.
//!
//! Of a full segment only its summary is read, so that opening takes a few reads per segment however much waits. The records
//! themselves are checked when they are read for sending.

use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::index::{Index, Slot};
use super::item::Losses;
use super::record::{Item, Located, Record, Summary};
use super::segment::{self, Contents, Segment, State};
use super::write::Writer;

pub(super) struct Recovered {
    pub index: Index,
    pub writer: Writer,
    pub torn_bytes: u64,
    /// Names of damaged segments.
    pub set_aside: Vec<String>,
}

/// What all segments say together.
#[derive(Default)]
struct Found {
    items: Vec<(u32, Located)>,
    done: Vec<u64>,
    losses: Losses,
    next_sequence: u64,
    salvaged: Vec<Item>,
    /// What damaged segments say is done: it must be said anew, or older segments bring it back.
    salvaged_done: Vec<u64>,
}

/// Reads all segments, salvages damaged ones, and decides where to write next: into the last one if it has room, which then
/// goes on, or into a new one.
pub(super) fn recover(disk: &dyn Disk, segment_bytes: u64, quota_bytes: u64) -> io::Result<Recovered> {
    let mut found = Found::default();
    let mut index = Index::default();
    let (mut torn_bytes, mut damaged, mut last_number, mut open_summary) = (0, Vec::new(), 0, None);
    for number in segment::list(disk)? {
        last_number = number;
        open_summary = None;
        let (segment, contents) = Segment::open(disk, number)?;
        match contents {
            Contents::Summary(summary) => found.take_summary(number, &summary),
            Contents::Records { records, state } => {
                let summary = found.take_records(number, records, state == State::Damaged);
                match state {
                    State::Whole => {}
                    State::Torn { sound_bytes } => {
                        torn_bytes += segment.bytes() - sound_bytes;
                        if sound_bytes == 0 {
                            segment.delete(disk)?;
                            continue;
                        }
                        segment.truncate(sound_bytes)?;
                    }
                    State::Damaged => {
                        damaged.push(segment);
                        continue;
                    }
                }
                open_summary = Some(summary);
            }
        }
        index.segments.insert(number, Slot::new(segment));
    }
    index.losses = found.losses;
    let reusable =
        index.segments.last_key_value().filter(|(n, s)| **n == last_number && s.segment.bytes() < segment_bytes);
    let (active_number, active, mut summary) = match (reusable, open_summary) {
        (Some((number, slot)), Some(summary)) => (*number, Arc::clone(&slot.segment), summary),
        _ => {
            let number = last_number + 1;
            let mut first = Vec::new();
            Record::Start { next_sequence: found.next_sequence, losses: found.losses }.encode(&mut first);
            let slot = Slot::new(Segment::create(disk, number, &first)?);
            let segment = Arc::clone(&slot.segment);
            index.segments.insert(number, slot);
            (number, segment, Summary::default())
        }
    };
    summary.losses = found.losses;
    let next_sequence = found.next_sequence;
    found.salvage(active_number, &active, &mut summary)?;
    active.make_durable()?;
    let set_aside = damaged.iter().map(|segment| segment.set_aside(disk)).collect::<io::Result<Vec<_>>>()?;
    disk.sync_names()?;
    index.load(found.items, found.done);
    let writer = Writer::new(active, active_number, next_sequence, summary, quota_bytes);
    Ok(Recovered { index, writer, torn_bytes, set_aside })
}

impl Found {
    fn take_summary(&mut self, number: u32, summary: &Summary) {
        self.items.extend(summary.items.iter().map(|item| (number, *item)));
        self.done.extend(&summary.done);
        self.losses = summary.losses;
        let used = summary.items.iter().map(|item| item.sequence).chain(summary.done.iter().copied()).max();
        self.next_sequence = self.next_sequence.max(summary.next_sequence).max(used.map_or(0, |used| used + 1));
    }

    /// Returns what the segment's summary would say until here.
    fn take_records(&mut self, number: u32, records: Vec<(u64, usize, Record)>, damaged: bool) -> Summary {
        let mut summary = Summary::default();
        for (at, frame_bytes, record) in records {
            match record {
                Record::Item(item) => {
                    self.next_sequence = self.next_sequence.max(item.sequence + 1);
                    if damaged {
                        self.salvaged.push(item);
                        continue;
                    }
                    summary.items.push(Located {
                        sequence: item.sequence,
                        at: u32::try_from(at).unwrap_or(u32::MAX),
                        frame_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
                        priority: item.priority,
                        kind: item.kind,
                    });
                }
                Record::Done { sequence } => summary.done.push(sequence),
                Record::Evicted { sequence, priority } => {
                    summary.done.push(sequence);
                    self.losses.evict(priority);
                }
                Record::Unreadable { sequence } => {
                    summary.done.push(sequence);
                    self.losses.unreadable += 1;
                }
                Record::Start { next_sequence, losses } => {
                    self.next_sequence = self.next_sequence.max(next_sequence);
                    self.losses = losses;
                }
                Record::Summary(_) | Record::Unknown => {}
            }
        }
        if damaged {
            self.salvaged_done.extend(&summary.done);
        }
        let losses = self.losses;
        self.take_summary(number, &Summary { losses, ..summary.clone() });
        summary
    }

    /// Copies what was sound in damaged segments, and is still needed, to the end of the active one.
    fn salvage(&mut self, number: u32, active: &Segment, summary: &mut Summary) -> io::Result<()> {
        for sequence in std::mem::take(&mut self.salvaged_done) {
            let mut bytes = Vec::new();
            Record::Done { sequence }.encode(&mut bytes);
            active.append(&bytes)?;
            summary.done.push(sequence);
        }
        let done: std::collections::HashSet<u64> = self.done.iter().copied().collect();
        for item in std::mem::take(&mut self.salvaged) {
            if done.contains(&item.sequence) {
                continue;
            }
            let mut bytes = Vec::with_capacity(item.frame_bytes());
            Record::encode_item(&item, item.sequence, &mut bytes);
            let at = u32::try_from(active.append(&bytes)?).map_err(io::Error::other)?;
            let frame_bytes = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let Item { sequence, priority, kind, .. } = item;
            let located = Located { sequence, at, frame_bytes, priority, kind };
            summary.items.push(located);
            self.items.push((number, located));
        }
        Ok(())
    }
}
