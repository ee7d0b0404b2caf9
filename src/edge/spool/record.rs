//! How one record lies in a segment file: framed, checked, and findable again behind damage.
//!
//! A frame is `marker (4) | length (4) | crc32 (4) | body (length)`, all numbers little-endian; the CRC covers length and
//! body. The marker lets the reader find the next frame behind a damaged stretch. The body starts with its type:
//!
//! - 1, an item: `sequence (8) | id (16) | priority (1) | part (1) | kind length (1) | kind | payload`
//! - 2, done: `sequence (8)`: the item was acknowledged by the broker, dropped for want of space, or copied forward

use crate::edge::spool::Priority;
use crate::schema::{EventId, EventKind};

const MARKER: [u8; 4] = *b"\xf5UR1";
const FRAME_BYTES: usize = 12;
const ITEM: u8 = 1;
const DONE: u8 = 2;
/// An event is about a kilobyte, a picture at most `MAX_EVIDENCE_BYTES`; a longer length is damage.
const MAX_BODY_BYTES: usize = 1024 * 1024;

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
    Done { sequence: u64 },
}

impl Record {
    /// Appends the frame to `to`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&MARKER);
        to.extend_from_slice(&[0; 8]);
        match self {
            Self::Item(item) => {
                to.push(ITEM);
                to.extend_from_slice(&item.sequence.to_le_bytes());
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
            Self::Done { sequence } => {
                to.push(DONE);
                to.extend_from_slice(&sequence.to_le_bytes());
            }
        }
        let length = u32::try_from(to.len() - start - FRAME_BYTES).expect("bodies are bounded");
        to[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        let crc = checksum(length, &to[start + FRAME_BYTES..]);
        to[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
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
        let (sequence, rest) = rest.split_first_chunk()?;
        let sequence = u64::from_le_bytes(*sequence);
        match *record {
            DONE => Some(Self::Done { sequence }),
            ITEM => {
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
            _ => None,
        }
    }
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
        prop_oneof![item, any::<u64>().prop_map(|sequence| Record::Done { sequence })]
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
