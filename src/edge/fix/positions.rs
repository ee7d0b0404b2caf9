//! Where a pipeline asks for the fix of a frame, whether it comes from a recording or from a receiver.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use time::OffsetDateTime;

use super::gate::Refusal;
use super::live::LivePositions;
use super::settings::{GnssConfig, GnssSource};
use super::{Fix, FixError, FixLog};
use crate::edge::device_clock::{ClockState, DeviceClock};

pub enum Positions {
    Log(FixLog),
    Live(LivePositions),
}

impl Positions {
    /// Reads the recording, or starts to hear the receiver until `stop` is set; it need not be there yet.
    pub fn open(config: &GnssConfig, clock: &Arc<DeviceClock>, stop: &Arc<AtomicBool>) -> Result<Self, FixError> {
        match &config.source {
            GnssSource::File { path } => {
                FixLog::read(path).map(|log| Self::Log(log.with_max_gap_millis(config.max_gap_millis)))
            }
            _ => Ok(Self::Live(LivePositions::start(config, Arc::clone(clock), Arc::clone(stop)))),
        }
    }

    /// Where the vehicle was at `at`; `None` where nobody can say. Cheap: for every frame of every camera.
    #[must_use]
    pub fn at(&self, at: OffsetDateTime) -> Option<Fix> {
        match self {
            Self::Log(log) => log.at(at),
            Self::Live(live) => live.at(at),
        }
    }

    /// Where a recording begins; `None` live.
    #[must_use]
    pub fn first_at(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Log(log) => log.first_at(),
            Self::Live(_) => None,
        }
    }

    #[must_use]
    pub fn state(&self) -> PositionState {
        match self {
            Self::Log(log) => PositionState {
                source: "a recording".into(),
                reception: Reception::Good,
                last_fix_at: log.last_at(),
                last_fix_age: None,
                accuracy_metres: log.fixes().last().map(|fix| fix.accuracy_metres),
                satellites: None,
                counts: PositionCounts {
                    fixes: log.fixes().len() as u64,
                    unreadable: log.report().skipped as u64,
                    ..PositionCounts::default()
                },
                clock: None,
            },
            Self::Live(live) => live.state(),
        }
    }
}

impl From<FixLog> for Positions {
    fn from(log: FixLog) -> Self {
        Self::Log(log)
    }
}

/// For health, metrics and `edge check`. Says nothing of where the vehicle is.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionState {
    pub source: String,
    pub reception: Reception,
    /// Of the last fix that was believed.
    pub last_fix_at: Option<OffsetDateTime>,
    /// Since it came; `None` for a recording.
    pub last_fix_age: Option<std::time::Duration>,
    pub accuracy_metres: Option<f64>,
    /// In use, where the receiver says so.
    pub satellites: Option<u32>,
    pub counts: PositionCounts,
    /// `None` for a recording.
    pub clock: Option<ClockState>,
}

/// Since the start of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PositionCounts {
    pub fixes: u64,
    pub refused_accuracy: u64,
    pub refused_age: u64,
    /// Times that went back.
    pub refused_time: u64,
    /// The last fix once more: some receivers and gpsd say things twice.
    pub repeated: u64,
    pub refused_jumps: u64,
    /// New places or times that were accepted because they persisted.
    pub new_starts: u64,
    /// Lines with a wrong checksum, of wrong form, or without an end.
    pub unreadable: u64,
    /// Connections after the first.
    pub reconnects: u64,
}

/// How it stands with the receiver; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reception {
    Good,
    /// Fixes come, but the vehicle has not moved since the start, so nobody knows where it looks.
    HeadingUnknown,
    /// Not connected, with the reason.
    Disconnected(String),
    /// Connected, but nothing comes, or nothing that can be read.
    Silent,
    Unreadable,
    NoFix,
    Refused(Refusal),
}

impl Reception {
    /// Whether frames get a fix.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }
}

impl fmt::Display for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Good => "fixes come",
            Self::HeadingUnknown => "fixes come; the heading is known when the vehicle has moved a few metres",
            Self::Disconnected(reason) => reason,
            Self::Silent => {
                "connected, but the receiver says nothing; look at its supply, and at `cgps` where gpsd has it"
            }
            Self::Unreadable => "what comes is not readable; set `baud` under [gnss] to the receiver's speed",
            Self::NoFix => "the receiver has no fix; give its antenna a view of the sky and wait a few minutes",
            Self::Refused(Refusal::Accuracy) => {
                "fixes are less accurate than `max_accuracy_metres` under [gnss]; look at the antenna and its place"
            }
            Self::Refused(Refusal::Age) => {
                "fixes are older than `max_age_millis` under [gnss], or the device's clock is wrong; see the clock"
            }
            Self::Refused(Refusal::Time | Refusal::Repeated) => {
                "the receiver's time does not go forward; if it persists, restart the receiver"
            }
            Self::Refused(Refusal::Jump) => "the place jumps; look at the antenna, its cable and what stands above it",
        };
        f.write_str(text)
    }
}
