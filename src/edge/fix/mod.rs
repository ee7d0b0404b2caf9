//! Where the vehicle was: fixes from GNSS and their interpolation to a frame's capture time.
//!
//! [`Positions`] is where a pipeline asks. [`FixLog`] reads NMEA 0183 or GPX files; which of the two is decided by the
//! content. Lines that cannot be used are counted and the first few named in a [`ReadReport`]; a log without any usable
//! fix is an error. [`live`] hears a receiver (gpsd, a serial port, TCP) and lets only fixes in that pass its `gate`.
//!
//! Accuracy: one sigma per axis = HDOP × UERE / √2, because HDOP relates the range error to both horizontal axes
//! together (Kaplan & Hegarty, *Understanding GPS/GNSS*, ch. 11). [`RANGE_ERROR_METRES`] is 2.6 m: the value at which
//! an open sky (HDOP 0.7) gives the 1.5 m CEP that data sheets of single-band receivers with corrections claim.

mod gate;
pub mod gpx;
mod interpolate;
pub mod live;
pub mod nmea;
mod positions;
pub mod settings;

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

pub use self::gate::Refusal;
pub use self::positions::{PositionCounts, PositionState, Positions, Reception};
use crate::geo::{LatLon, LocalFrame};

/// User equivalent range error, one sigma.
pub const RANGE_ERROR_METRES: f64 = 2.6;
/// Taken where a log says nothing about its dilution of precision.
pub const TYPICAL_HDOP: f64 = 1.5;
/// Below this speed the course over ground is noise, so the last heading is held.
pub const STANDSTILL_METRES_PER_SECOND: f64 = 0.7;
/// Longest outage that is bridged at constant velocity unless the configuration says otherwise.
pub const DEFAULT_MAX_GAP_MILLIS: u64 = 3000;
/// So many unusable lines are named in a report; the rest is counted.
const NAMED_PROBLEMS: usize = 5;

/// Position and course of the antenna at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    pub at: OffsetDateTime,
    pub position: LatLon,
    pub speed_metres_per_second: f64,
    /// Course over ground, degrees clockwise from north; held at standstill.
    pub heading_degrees: f64,
    /// One sigma, horizontal, per axis.
    pub accuracy_metres: f64,
    /// For how long the last fix was carried on at constant velocity to get here; 0 at a fix and between two of them.
    /// Live, a little is usual: the receiver's interval and its latency. More is a bridged outage.
    pub bridged_millis: u32,
}

/// A fix as a log states it: speed and course may be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::edge::fix) struct RawFix {
    pub at: OffsetDateTime,
    pub position: LatLon,
    pub speed_metres_per_second: Option<f64>,
    pub course_degrees: Option<f64>,
    pub hdop: Option<f64>,
    /// One sigma per axis as the receiver estimates it; taken where it says nothing about its dilution.
    pub stated_accuracy_metres: Option<f64>,
}

impl RawFix {
    fn accuracy_metres(&self) -> f64 {
        let stated = self.stated_accuracy_metres.filter(|_| self.hdop.is_none());
        stated.unwrap_or_else(|| accuracy_metres(self.hdop.unwrap_or(TYPICAL_HDOP)))
    }
}

/// What was found in a log and what had to be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Lines (NMEA) or points (GPX) read.
    pub read: usize,
    /// Of these, the ones that could not be used.
    pub skipped: usize,
    /// The first few of them, by line or point number, counted from 1.
    pub problems: Vec<ReadProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadProblem {
    pub number: usize,
    pub reason: String,
}

impl ReadReport {
    fn skip(&mut self, number: usize, reason: impl Into<String>) {
        self.skipped += 1;
        if self.problems.len() < NAMED_PROBLEMS {
            self.problems.push(ReadProblem { number, reason: reason.into() });
        }
    }

    /// What has to be said of a log of which not all could be used.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let (skipped, read) = (self.skipped, self.read);
        (skipped > 0).then(|| format!("{skipped} of {read} lines cannot be used: {}", self.describe("line")))
    }

    /// One line per named problem, and how many more there were; empty when all could be read.
    #[must_use]
    pub fn describe(&self, unit: &str) -> String {
        let named: Vec<String> = self.problems.iter().map(|p| format!("{unit} {}: {}", p.number, p.reason)).collect();
        let more = self.skipped.saturating_sub(self.problems.len());
        match (named.is_empty(), more) {
            (true, _) => String::new(),
            (false, 0) => named.join("; "),
            (false, _) => format!("{}; and {more} more", named.join("; ")),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FixError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: is neither an NMEA log (lines with $…RMC) nor a GPX track; give a file of one of these kinds", path.display())]
    UnknownFormat { path: PathBuf },
    #[error("{}: not a readable GPX file: {reason}", path.display())]
    BadGpx { path: PathBuf, reason: String },
    #[error("{}: holds no usable fix ({found}); record RMC and GGA sentences, or a track with times", path.display())]
    NoUsableFix { path: PathBuf, found: String },
}

/// Fixes in order of time.
#[derive(Debug, Clone)]
pub struct FixLog {
    fixes: Vec<Fix>,
    max_gap_millis: u64,
    report: ReadReport,
}

impl FixLog {
    /// Reads an NMEA or GPX file.
    pub fn read(path: &Path) -> Result<Self, FixError> {
        let bytes = std::fs::read(path).map_err(|source| FixError::Unreadable { path: path.to_path_buf(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let (raw, report, unit) = if text.contains("<gpx") {
            let (raw, report) =
                gpx::parse(&bytes).map_err(|reason| FixError::BadGpx { path: path.to_path_buf(), reason })?;
            (raw, report, "point")
        } else if text.lines().any(|line| line.trim_start().starts_with('$')) {
            let (raw, report) = nmea::parse(&text);
            (raw, report, "line")
        } else {
            return Err(FixError::UnknownFormat { path: path.to_path_buf() });
        };
        if raw.is_empty() {
            let detail = report.describe(unit);
            let found = format!(
                "{} {unit}s, {} skipped{}{detail}",
                report.read,
                report.skipped,
                if detail.is_empty() { "" } else { ": " }
            );
            return Err(FixError::NoUsableFix { path: path.to_path_buf(), found });
        }
        Ok(Self { report, ..Self::from_fixes(complete(raw)) })
    }

    /// Fixes of a simulation or a test; they are put in order of time.
    #[must_use]
    pub fn from_fixes(mut fixes: Vec<Fix>) -> Self {
        fixes.sort_by_key(|fix| fix.at);
        fixes.dedup_by_key(|fix| fix.at);
        Self { fixes, max_gap_millis: DEFAULT_MAX_GAP_MILLIS, report: ReadReport::default() }
    }

    /// Longest outage to bridge.
    #[must_use]
    pub fn with_max_gap_millis(self, max_gap_millis: u64) -> Self {
        Self { max_gap_millis, ..self }
    }

    /// Where the vehicle was at `at`; `None` before the first fix and where an outage is too long to bridge.
    #[must_use]
    pub fn at(&self, at: OffsetDateTime) -> Option<Fix> {
        interpolate::at(&self.fixes, at, time::Duration::milliseconds(i64::try_from(self.max_gap_millis).ok()?))
    }

    /// A video without its own clock starts here.
    #[must_use]
    pub fn first_at(&self) -> Option<OffsetDateTime> {
        self.fixes.first().map(|fix| fix.at)
    }

    #[must_use]
    pub fn last_at(&self) -> Option<OffsetDateTime> {
        self.fixes.last().map(|fix| fix.at)
    }

    #[must_use]
    pub fn fixes(&self) -> &[Fix] {
        &self.fixes
    }

    /// What reading had to leave out.
    #[must_use]
    pub fn report(&self) -> &ReadReport {
        &self.report
    }
}

/// Fills in what a log did not state: speed and course from the way to the next fix, the heading held at standstill.
fn complete(mut raw: Vec<RawFix>) -> Vec<Fix> {
    raw.sort_by_key(|fix| fix.at);
    raw.dedup_by_key(|fix| fix.at);
    let way = |from: &RawFix, to: &RawFix| {
        let moved = LocalFrame::at(from.position).local_from_latlon(to.position);
        let seconds = (to.at - from.at).as_seconds_f64();
        let distance = moved.east_metres.hypot(moved.north_metres);
        let heading = crate::geo::normalise_heading(moved.east_metres.atan2(moved.north_metres).to_degrees());
        (distance / seconds, heading)
    };
    let mut fixes = Vec::with_capacity(raw.len());
    let mut headings: Vec<Option<f64>> = Vec::with_capacity(raw.len());
    for (i, fix) in raw.iter().enumerate() {
        let derived = match (raw.get(i + 1), i.checked_sub(1).map(|before| &raw[before])) {
            (Some(next), _) => Some(way(fix, next)),
            (None, Some(before)) => Some(way(before, fix)),
            (None, None) => None,
        };
        let speed = fix.speed_metres_per_second.or(derived.map(|(speed, _)| speed)).unwrap_or(0.0);
        let moving = speed >= STANDSTILL_METRES_PER_SECOND;
        let course = fix.course_degrees.or(derived.map(|(_, heading)| heading));
        headings.push(course.filter(|_| moving).or_else(|| headings.last().copied().flatten()));
        fixes.push(Fix {
            at: fix.at,
            position: fix.position,
            speed_metres_per_second: speed,
            heading_degrees: 0.0,
            accuracy_metres: fix.accuracy_metres(),
            bridged_millis: 0,
        });
    }
    // A log that starts at standstill takes the heading with which the vehicle first drives off.
    let first_known = headings.iter().flatten().next().copied().or(raw.iter().find_map(|fix| fix.course_degrees));
    for (fix, heading) in fixes.iter_mut().zip(&headings) {
        fix.heading_degrees = heading.or(first_known).unwrap_or(0.0);
    }
    fixes
}

fn accuracy_metres(hdop: f64) -> f64 {
    hdop * RANGE_ERROR_METRES / std::f64::consts::SQRT_2
}

#[cfg(test)]
mod tests;
