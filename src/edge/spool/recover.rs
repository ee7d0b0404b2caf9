//! What opening does: reads the segments in order, cuts off an interrupted write, salvages damaged segments.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::edge::spool::index::{Index, Place};
use crate::edge::spool::record::{Item, Record};
use crate::edge::spool::segment::{self, Contents, Segment, State};
use crate::edge::spool::{Recovery, Ticket, Writer};

/// Reads all segments, salvages damaged ones, and decides where to write next.
pub(super) fn recover(folder: &Path, segment_bytes: u64) -> io::Result<(Index, Writer, Recovery)> {
    let numbers = Segment::list(folder)?;
    let mut index = Index::default();
    let mut recovery = Recovery::default();
    let mut salvaged: BTreeMap<u64, Item> = BTreeMap::new();
    let mut damaged = Vec::new();
    let (mut last_number, mut next_sequence) = (0, 0);
    for number in numbers {
        last_number = number;
        let (segment, Contents { records, state }) = Segment::open(folder, number)?;
        for (at, frame_bytes, record) in records {
            let sequence = match record {
                Record::Item(item) => {
                    let sequence = item.sequence;
                    if state == State::Damaged {
                        salvaged.insert(sequence, item);
                    } else {
                        let ticket = Ticket { priority: item.priority, sequence };
                        index.insert(ticket, Place::of(&item, number, at, frame_bytes));
                    }
                    sequence
                }
                Record::Done { sequence } => {
                    index.remove_sequence(sequence);
                    salvaged.remove(&sequence);
                    sequence
                }
            };
            next_sequence = next_sequence.max(sequence + 1);
        }
        match state {
            State::Whole => {}
            State::Torn { sound_bytes } => {
                recovery.torn_bytes += segment.bytes() - sound_bytes;
                if sound_bytes == 0 {
                    segment.delete()?;
                    continue;
                }
                segment.truncate(sound_bytes)?;
            }
            State::Damaged => {
                damaged.push(segment);
                continue;
            }
        }
        index.segments.insert(number, Arc::new(segment));
    }
    let reusable = index.segments.last_key_value().filter(|(n, s)| **n == last_number && s.bytes() < segment_bytes);
    let (active_number, active) = match reusable {
        Some((number, segment)) => (*number, Arc::clone(segment)),
        None => {
            let segment = Arc::new(Segment::create(folder, last_number + 1)?);
            index.segments.insert(last_number + 1, Arc::clone(&segment));
            (last_number + 1, segment)
        }
    };
    for item in salvaged.into_values() {
        let ticket = Ticket { priority: item.priority, sequence: item.sequence };
        let mut bytes = Vec::new();
        Record::Item(item.clone()).encode(&mut bytes);
        let at = active.append(&bytes)?;
        index.insert(ticket, Place::of(&item, active_number, at, bytes.len()));
    }
    active.make_durable()?;
    for segment in damaged {
        recovery.set_aside.push(segment.set_aside()?);
    }
    segment::sync_folder(folder)?;
    recovery.items = index.len();
    Ok((index, Writer { active, active_number, next_sequence }, recovery))
}
