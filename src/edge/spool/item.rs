//! The words of the spool: what it takes, what it gives, what it counts, and how it fails.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;

use super::record::Part;
use crate::edge::anonymise::RedactedImage;
use crate::schema::device_tag::DeviceSecret;
use crate::schema::event::EventData;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::{Event, EventId, EventKind, Ordinal};

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

    /// A camera that is blind goes before every damage and at once, but behind alarms: what a camera that still sees has to
    /// tell must never wait for it, and a camera that flickers must not push an alarm out of a full spool.
    #[must_use]
    pub fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::PoolAlarm | EventKind::PoolAttention | EventKind::PoolCleared => Self::Alarm,
            EventKind::RoadDanger | EventKind::DeviceBlind | EventKind::DeviceRecovered => Self::Danger,
            EventKind::RoadDamage => Self::Damage,
            EventKind::RoadCoverage | EventKind::PoolOccupancy => Self::Coverage,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Danger => "danger",
            Self::Damage => "damage",
            Self::Coverage => "coverage",
            Self::Evidence => "evidence",
            Self::Health => "health",
        }
    }

    pub(super) fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as u8 == number)
    }
}

/// Names one item in the spool; sorts in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub(super) priority: Priority,
    pub(super) sequence: u64,
}

/// An event that has no id yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The site as a URI reference, see [`Event::source`].
    pub source: String,
    pub time: OffsetDateTime,
    pub ordinal: Option<Ordinal>,
    pub data: EventData,
    /// By its type nothing but a redacted picture is ever stored or sent.
    pub picture: Option<RedactedImage>,
}

impl Draft {
    /// The event with its id, signed with the device's secret if it has one, and its picture as a JPEG. A picture that cannot be
    /// made small enough is left out, and the event says so.
    #[must_use]
    pub fn into_event(self, secret: Option<&DeviceSecret>) -> (Event, Option<Vec<u8>>) {
        let mut data = self.data;
        // Only a damage can say that a picture follows.
        let jpeg = data.damage_mut().and_then(|damage| {
            let jpeg = self.picture.and_then(|picture| picture.to_jpeg());
            damage.has_evidence = jpeg.is_some();
            jpeg
        });
        let id = EventId::random();
        let device_tag = secret.map(|secret| secret.tag(id, self.time));
        (Event { id, source: self.source, time: self.time, ordinal: self.ordinal, device_tag, data }, jpeg)
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

/// What this spool has given up since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// For want of space, by priority.
    pub evicted: [u64; Priority::ALL.len()],
    /// Items that could not be read back from the disk.
    pub unreadable: u64,
}

impl Losses {
    #[must_use]
    pub fn of(&self, priority: Priority) -> u64 {
        self.evicted[priority as usize]
    }

    pub(super) fn evict(&mut self, priority: Priority) {
        self.evicted[priority as usize] += 1;
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub items: usize,
    /// Items by priority, those with any.
    pub by_priority: BTreeMap<Priority, usize>,
    pub live_bytes: u64,
    pub bytes_on_disk: u64,
    pub losses: Losses,
    /// Damaged segments that lie aside.
    pub set_aside: u64,
    /// Commits that the disk did not take, since opening.
    pub failed_commits: u64,
    /// Items that wait for their batch.
    pub waiting: usize,
    /// Pictures that could be sent if the link let them out.
    pub ready_pictures: usize,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool {} is in use by another process; stop that one or set another [spool] folder", .0.display())]
    InUse(PathBuf),
    #[error("the spool {} cannot be {doing}: {source}", folder.display())]
    Io { folder: PathBuf, doing: &'static str, source: Arc<io::Error> },
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

    pub(super) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if super::write::is_full(source))
    }
}
