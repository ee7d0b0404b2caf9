//! How one record lies in a segment file: framed, checked, and findable again behind damage.
//!
//! A frame is `marker (4) | length (4) | crc32 (4) | body (length)`, all numbers little-endian; the CRC covers length and
//! body. The marker lets the reader find the next frame behind a damaged stretch. The body starts with its type:
//!
//! - 1, an item: `sequence (8) | id (16) | priority (1) | part (1) | kind length (1) | kind | payload`
//! - 2, done: `sequence (8)`: the item was acknowledged by the broker
//! - 3, start: `next sequence (8) | evicted by priority (6 × 8) | unreadable (8)`: the first record of a segment; no sequence
//!   below is ever used again, and the counts are all that this spool has ever given up until here
//! - 4, evicted: `sequence (8) | priority (1)`: dropped for want of space
//! - 5, unreadable: `sequence (8)`: the item could not be read back
//! - 6, summary: what the records before it in the same file say, see [`Summary`]; the last record of a full segment
//!
//! A sound record of another type is passed over: a later version may have written it.

use crate::edge::spool::item::{Losses, Priority};
use crate::schema::{EventId, EventKind};

const MARKER: [u8; 4] = *b"\xf5UR1";
const FRAME_BYTES: usize = 12;
const ITEM: u8 = 1;
const DONE: u8 = 2;
const START: u8 = 3;
const EVICTED: u8 = 4;
const UNREADABLE: u8 = 5;
const SUMMARY: u8 = 6;
/// Of the body before kind and payload.
const ITEM_HEAD_BYTES: usize = 1 + 8 + 16 + 1 + 1 + 1;
/// An event is about a kilobyte, a picture at most `MAX_EVIDENCE_BYTES`; a longer length is damage.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What of an event an item carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    Event,
    Evidence,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Grows by one with each item; never used twice in a spool.
    pub sequence: u64,
    pub id: EventId,
    pub priority: Priority,
    pub part: Part,
    pub kind: EventKind,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Item(Item),
    Done {
        sequence: u64,
    },
    Start {
        next_sequence: u64,
        losses: Losses,
    },
    Evicted {
        sequence: u64,
        priority: Priority,
    },
    Unreadable {
        sequence: u64,
    },
    Summary(Summary),
    /// Of a later version.
    Unknown,
}

/// What a full segment holds, so that opening the spool need not read the whole of it. Its last eight bytes are the offset
/// of its frame (4) and [`SUMMARY_END`] (4), so that it is found from the end of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub items: Vec<Located>,
    /// Sequences that are done, evicted or unreadable, of this segment or of earlier ones.
    pub done: Vec<u64>,
    /// At the end of the segment, as in a start record.
    pub next_sequence: u64,
    pub losses: Losses,
}

/// Where in its segment an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub sequence: u64,
    pub at: u32,
    pub frame_bytes: u32,
    pub priority: Priority,
    pub kind: EventKind,
}

const SUMMARY_END: [u8; 4] = *b"UMSS";
pub(super) const SUMMARY_END_BYTES: usize = 8;
const LOCATED_BYTES: usize = 8 + 4 + 4 + 1 + 1;

impl Item {
    /// Length of the frame that [`Record::encode`] makes of it.
    pub fn frame_bytes(&self) -> usize {
        FRAME_BYTES + ITEM_HEAD_BYTES + self.kind.name().len() + self.payload.len()
    }
}

impl Summary {
    fn encode(&self, to: &mut Vec<u8>, frame_at: u32) {
        let count = |n: usize| u32::try_from(n).expect("segments are small").to_le_bytes();
        to.extend_from_slice(&count(self.items.len()));
        for item in &self.items {
            to.extend_from_slice(&item.sequence.to_le_bytes());
            to.extend_from_slice(&item.at.to_le_bytes());
            to.extend_from_slice(&item.frame_bytes.to_le_bytes());
            to.push(item.priority as u8);
            to.push(kind_number(item.kind));
        }
        to.extend_from_slice(&count(self.done.len()));
        for sequence in &self.done {
            to.extend_from_slice(&sequence.to_le_bytes());
        }
        to.extend_from_slice(&self.next_sequence.to_le_bytes());
        self.losses.encode(to);
        to.extend_from_slice(&frame_at.to_le_bytes());
        to.extend_from_slice(&SUMMARY_END);
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (count, body) = body.split_first_chunk()?;
        let items = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (located, body) = body.split_at_checked(items.checked_mul(LOCATED_BYTES)?)?;
        let (count, body) = body.split_first_chunk()?;
        let sequences = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (done, body) = body.split_at_checked(sequences.checked_mul(8)?)?;
        let (next_sequence, body) = body.split_first_chunk()?;
        Some(Self {
            items: located.chunks_exact(LOCATED_BYTES).map(Located::decode).collect::<Option<_>>()?,
            done: done.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
            next_sequence: u64::from_le_bytes(*next_sequence),
            losses: Losses::decode(body)?,
        })
    }
}

impl Located {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (frame_bytes, rest) = rest.split_first_chunk()?;
        let [priority, kind] = rest else { return None };
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            at: u32::from_le_bytes(*at),
            frame_bytes: u32::from_le_bytes(*frame_bytes),
            priority: Priority::from_u8(*priority)?,
            kind: EventKind::ALL.get(usize::from(*kind)).copied()?,
        })
    }
}

/// Place in `EventKind::ALL`, whose order is part of the format.
fn kind_number(kind: EventKind) -> u8 {
    kind as u8
}

impl Losses {
    fn encode(&self, to: &mut Vec<u8>) {
        for count in self.evicted.iter().chain([&self.unreadable]) {
            to.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (counts, _) = bytes.as_chunks();
        let mut counts = counts.iter().map(|count| u64::from_le_bytes(*count));
        let mut losses = Self::default();
        for count in &mut losses.evicted {
            *count = counts.next()?;
        }
        losses.unreadable = counts.next()?;
        Some(losses)
    }
}

/// Where the summary's frame begins, as the last bytes of a segment say.
pub(super) fn summary_at(end: [u8; SUMMARY_END_BYTES]) -> Option<u32> {
    let [a, b, c, d, rest @ ..] = end;
    (rest == SUMMARY_END).then_some(u32::from_le_bytes([a, b, c, d]))
}

impl Record {
    /// Appends the frame of an item under another sequence than its own.
    pub fn encode_item(item: &Item, sequence: u64, to: &mut Vec<u8>) {
        frame(to, |to| encode_item(item, sequence, to));
    }

    /// Appends the frame of a summary that will lie at `frame_at` of its segment.
    pub fn encode_summary(summary: &Summary, frame_at: u32, to: &mut Vec<u8>) {
        frame(to, |to| {
            to.push(SUMMARY);
            summary.encode(to, frame_at);
        });
    }

    /// Appends the frame to `to`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        frame(to, |to| match self {
            Self::Item(item) => encode_item(item, item.sequence, to),
            Self::Done { sequence } => {
                to.push(DONE);
                to.extend_from_slice(&sequence.to_le_bytes());
            }
            Self::Start { next_sequence, losses } => {
                to.push(START);
                to.extend_from_slice(&next_sequence.to_le_bytes());
                losses.encode(to);
            }
            Self::Evicted { sequence, priority } => {
                to.push(EVICTED);
                to.extend_from_slice(&sequence.to_le_bytes());
                to.push(*priority as u8);
            }
            Self::Unreadable { sequence } => {
                to.push(UNREADABLE);
                to.extend_from_slice(&sequence.to_le_bytes());
            }
            Self::Summary(_) | Self::Unknown => unreachable!("a summary needs its place, see `encode_summary`"),
        });
    }

    /// The frame at the start of `bytes` and its length; `None` when there is no whole and sound one.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let head = bytes.get(..FRAME_BYTES)?;
        if head[..4] != MARKER {
            return None;
        }
        let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
        let crc = u32::from_le_bytes(head[8..12].try_into().ok()?);
        let end = FRAME_BYTES + usize::try_from(length).ok().filter(|n| *n <= MAX_BODY_BYTES)?;
        let body = bytes.get(FRAME_BYTES..end)?;
        if checksum(length, body) != crc {
            return None;
        }
        Some((Self::from_body(body)?, end))
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (record, rest) = body.split_first()?;
        match *record {
            SUMMARY => return Summary::decode(rest).map(Self::Summary),
            ITEM | DONE | EVICTED | UNREADABLE | START => {}
            _ => return Some(Self::Unknown),
        }
        let (sequence, rest) = rest.split_first_chunk()?;
        let sequence = u64::from_le_bytes(*sequence);
        match *record {
            DONE => Some(Self::Done { sequence }),
            UNREADABLE => Some(Self::Unreadable { sequence }),
            START => Some(Self::Start { next_sequence: sequence, losses: Losses::decode(rest)? }),
            EVICTED => Some(Self::Evicted { sequence, priority: Priority::from_u8(*rest.first()?)? }),
            _ => {
                let (id, rest) = rest.split_first_chunk()?;
                let ([priority, part, kind_length], rest) = rest.split_first_chunk()?;
                let (kind, payload) = rest.split_at_checked(usize::from(*kind_length))?;
                Some(Self::Item(Item {
                    sequence,
                    id: EventId::from_bytes(*id),
                    priority: Priority::from_u8(*priority)?,
                    part: match part {
                        0 => Part::Event,
                        1 => Part::Evidence,
                        _ => return None,
                    },
                    kind: EventKind::from_name(std::str::from_utf8(kind).ok()?)?,
                    payload: payload.to_vec(),
                }))
            }
        }
    }
}

fn encode_item(item: &Item, sequence: u64, to: &mut Vec<u8>) {
    to.push(ITEM);
    to.extend_from_slice(&sequence.to_le_bytes());
    to.extend_from_slice(item.id.as_bytes());
    to.push(item.priority as u8);
    to.push(match item.part {
        Part::Event => 0,
        Part::Evidence => 1,
    });
    let kind = item.kind.name().as_bytes();
    to.push(u8::try_from(kind.len()).expect("names of kinds are short"));
    to.extend_from_slice(kind);
    to.extend_from_slice(&item.payload);
}

fn frame(to: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&MARKER);
    to.extend_from_slice(&[0; 8]);
    body(to);
    let length = u32::try_from(to.len() - start - FRAME_BYTES).expect("bodies are bounded");
    to[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(length, &to[start + FRAME_BYTES..]);
    to[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
}

/// Offset of the next sound frame at or behind `from`.
pub(super) fn find_next(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len().saturating_sub(FRAME_BYTES - 1))
        .find(|at| bytes[*at..].starts_with(&MARKER) && Record::decode(&bytes[*at..]).is_some())
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let item = (
            any::<u64>(),
            any::<[u8; 16]>(),
            prop::sample::select(&Priority::ALL[..]),
            prop::sample::select(&[Part::Event, Part::Evidence][..]),
            prop::sample::select(&EventKind::ALL[..]),
            prop::collection::vec(any::<u8>(), 0..300),
        )
            .prop_map(|(sequence, id, priority, part, kind, payload)| {
                Record::Item(Item { sequence, id: EventId::from_bytes(id), priority, part, kind, payload })
            });
        let evicted = (any::<u64>(), prop::sample::select(&Priority::ALL[..]));
        prop_oneof![
            item,
            any::<u64>().prop_map(|sequence| Record::Done { sequence }),
            any::<u64>().prop_map(|sequence| Record::Unreadable { sequence }),
            evicted.prop_map(|(sequence, priority)| Record::Evicted { sequence, priority }),
            (any::<u64>(), any_losses()).prop_map(|(next_sequence, losses)| Record::Start { next_sequence, losses }),
        ]
    }

    fn any_losses() -> impl Strategy<Value = Losses> {
        (any::<[u64; 6]>(), any::<u64>()).prop_map(|(evicted, unreadable)| Losses { evicted, unreadable })
    }

    fn any_summary() -> impl Strategy<Value = Summary> {
        let located = (
            any::<u64>(),
            any::<u32>(),
            any::<u32>(),
            prop::sample::select(&Priority::ALL[..]),
            prop::sample::select(&EventKind::ALL[..]),
        )
            .prop_map(|(sequence, at, frame_bytes, priority, kind)| Located {
                sequence,
                at,
                frame_bytes,
                priority,
                kind,
            });
        (prop::collection::vec(located, 0..30), prop::collection::vec(any::<u64>(), 0..30), any::<u64>(), any_losses())
            .prop_map(|(items, done, next_sequence, losses)| Summary { items, done, next_sequence, losses })
    }

    #[test]
    fn a_record_of_a_later_version_is_passed_over() {
        let mut bytes = Vec::new();
        frame(&mut bytes, |to| to.extend_from_slice(&[99, 1, 2, 3]));
        assert_eq!(Record::decode(&bytes), Some((Record::Unknown, bytes.len())));
    }

    proptest! {
        #[test]
        fn frames_round_trip(record in any_record(), behind in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let length = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(Record::decode(&bytes), Some((record, length)));
        }

        #[test]
        fn a_summary_is_found_from_the_end(summary in any_summary(), frame_at in any::<u32>()) {
            let mut bytes = Vec::new();
            Record::encode_summary(&summary, frame_at, &mut bytes);
            prop_assert_eq!(summary_at(*bytes.last_chunk().unwrap()), Some(frame_at));
            let length = bytes.len();
            prop_assert_eq!(Record::decode(&bytes), Some((Record::Summary(summary), length)));
        }

        #[test]
        fn the_length_of_an_item_is_known_before(record in any_record()) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            if let Record::Item(item) = record {
                prop_assert_eq!(item.frame_bytes(), bytes.len());
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(record in any_record(), at in any::<prop::sample::Index>(), by in 1..=255u8) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Record::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Record::decode(&bytes), None);
        }

        #[test]
        fn the_next_frame_is_found_behind_garbage(
            garbage in prop::collection::vec(any::<u8>(), 0..200), record in any_record(),
        ) {
            let mut bytes = garbage.clone();
            record.encode(&mut bytes);
            prop_assert_eq!(find_next(&bytes, 0), Some(garbage.len()));
        }
    }
}
