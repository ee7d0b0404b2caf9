//! The rules of [`super`], without a clock of their own: whoever calls brings the readings.
//!
//! Every time is kept as an *offset*: UTC minus the monotonic clock, which stands still while nobody moves a clock.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::ClockSettings;

/// No clock that is right says less.
pub const EARLIEST: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
/// GPS counts weeks in ten bits; an old receiver falls back by so much.
const ROLLOVER: time::Duration = time::Duration::weeks(1024);

/// A change of the system clock against the monotonic one by more is a leap. NTP steps at 128 ms (ntpd), 0.4 s (timesyncd)
/// or 1 s (chrony) and slews below, which moves both clocks.
const LEAP: time::Duration = time::Duration::milliseconds(200);
/// The system clock is left alone below this difference.
const FOLLOWED_ABOVE: time::Duration = time::Duration::milliseconds(500);
const STEADY_WHEN_SYNCHRONISED: Duration = Duration::from_secs(10);
const STEADY_WHEN_UNKNOWN: Duration = Duration::from_secs(600);
/// timesyncd looks every half hour or more often.
const SYNCHRONISED_HOLDS: time::Duration = time::Duration::hours(2);
/// A fix that took longer to come is of no use.
const LATEST: time::Duration = time::Duration::seconds(10);
const GNSS_SILENT: Duration = Duration::from_secs(120);
/// Readings of GNSS time agree when they lie this close together: the spread of a slow receiver's latency.
const GNSS_SPREAD: time::Duration = time::Duration::seconds(1);
const GNSS_READINGS: u32 = 5;
const GNSS_PERSISTS: Duration = Duration::from_secs(3);
const GNSS_PERSISTS_AFTER_AGREEMENT: Duration = Duration::from_secs(30);
/// So many readings are smoothed by their median.
const GNSS_RECENT: usize = 15;
/// Latency that differs from the configured one explains so much.
const GNSS_TOLERANCE: time::Duration = time::Duration::milliseconds(300);
/// As NTP slews; frames and fixes stay together far below a metre.
const SLEW_PER_SECOND: time::Duration = time::Duration::microseconds(500);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub monotonic: Duration,
    /// `None` when the machine was too busy to read both at one moment.
    pub system: Option<OffsetDateTime>,
}

/// Whether something keeps the system clock right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronised {
    /// Last at this time of the system clock.
    At(OffsetDateTime),
    Never,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    System,
    Gnss,
}

/// For health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockState {
    pub anchor: Anchor,
    /// Of the system clock, while this program ran.
    pub clock_leaps: u64,
    /// How often our time was moved, by the rules.
    pub reanchored: u64,
    /// The system clock minus our time.
    pub system_ahead: time::Duration,
    /// GNSS time minus our time; `None` before its readings agree.
    pub gnss_ahead: Option<time::Duration>,
}

#[derive(Debug)]
pub(super) struct Keeper {
    settings: ClockSettings,
    anchor: Anchor,
    own: time::Duration,
    system: time::Duration,
    monotonic: Duration,
    said: Option<OffsetDateTime>,
    leaps: u64,
    reanchored: u64,
    /// Monotonic and system time of the last leap. Before any: the start, and a time before all others.
    steady_since: (Duration, OffsetDateTime),
    gnss: Option<Run>,
    /// What the last run of readings that agreed has said.
    gnss_offset: Option<time::Duration>,
    gnss_heard: Option<Duration>,
    gnss_agreed: bool,
    system_is_right: bool,
}

/// Readings of GNSS time that agree.
#[derive(Debug)]
struct Run {
    since: Duration,
    until: Duration,
    count: u32,
    recent: VecDeque<time::Duration>,
    median: time::Duration,
}

impl Keeper {
    pub(super) fn new(settings: ClockSettings, monotonic: Duration, system: OffsetDateTime) -> Self {
        let offset = offset(system, monotonic);
        Self {
            settings,
            anchor: Anchor::System,
            own: offset,
            system: offset,
            monotonic,
            said: None,
            leaps: 0,
            reanchored: 0,
            steady_since: (monotonic, OffsetDateTime::UNIX_EPOCH),
            gnss: None,
            gnss_offset: None,
            gnss_heard: None,
            gnss_agreed: false,
            system_is_right: false,
        }
    }

    pub(super) fn now(&mut self, reading: Reading, synchronised: impl FnOnce() -> Synchronised) -> OffsetDateTime {
        self.see(reading, synchronised);
        let now = OffsetDateTime::UNIX_EPOCH.saturating_add(signed(self.monotonic).saturating_add(self.own));
        let said = self.said.map_or(now, |said| said.max(now));
        self.said = Some(said);
        said
    }

    pub(super) fn gnss_said(
        &mut self,
        gnss: OffsetDateTime,
        reading: Reading,
        synchronised: impl FnOnce() -> Synchronised,
    ) {
        let synchronised = synchronised();
        self.see(reading, || synchronised);
        self.system_is_right = match (synchronised, reading.system) {
            (Synchronised::At(at), Some(system)) => {
                self.was_set_since_leap(at, system) && system - at <= SYNCHRONISED_HOLDS
            }
            (_, None) => self.system_is_right,
            (Synchronised::Never | Synchronised::Unknown, _) => false,
        };
        if gnss < EARLIEST {
            return;
        }
        let heard = offset(gnss.saturating_add(signed(self.settings.latency)), self.monotonic);
        let since_last = self.gnss_heard.map_or(Duration::ZERO, |last| self.monotonic.saturating_sub(last));
        self.gnss_heard = Some(self.monotonic);
        if !self.gnss.as_mut().is_some_and(|run| run.extend(self.monotonic, heard)) {
            self.gnss = Some(Run::new(self.monotonic, heard));
        }
        let limit = signed(self.settings.max_difference);
        let Some(run) = self.gnss.as_ref().filter(|run| run.persists(GNSS_PERSISTS)) else { return };
        let (median, ahead) = (run.median, run.median.saturating_sub(self.own));
        let long_enough = !self.gnss_agreed || run.persists(GNSS_PERSISTS_AFTER_AGREEMENT);
        self.gnss_offset = Some(median);
        let contradicts = ahead.abs() > limit && !self.is_late(ahead);
        let distrusted = !self.settings.trust_system_clock && self.anchor == Anchor::System;
        if (contradicts && long_enough) || distrusted {
            let system_is_right = (median.saturating_sub(self.system)).abs() <= limit;
            if self.settings.trust_system_clock && system_is_right {
                self.reanchor(Anchor::System, self.system);
            } else {
                self.reanchor(Anchor::Gnss, median);
            }
        } else if ahead.abs() <= limit {
            self.gnss_agreed = true;
            if self.anchor == Anchor::Gnss {
                let most = SLEW_PER_SECOND * since_last.as_secs_f64().min(1.0);
                self.own = self.own.saturating_add(ahead.clamp(-most, most));
            }
        }
    }

    pub(super) fn gnss_ahead(&self) -> time::Duration {
        let none = time::Duration::ZERO;
        let ahead = self.gnss_offset.map_or(none, |gnss| gnss.saturating_sub(self.own));
        if ahead.abs() <= GNSS_TOLERANCE || self.is_late(ahead) { none } else { ahead }
    }

    pub(super) fn state(&self) -> ClockState {
        ClockState {
            anchor: self.anchor,
            clock_leaps: self.leaps,
            reanchored: self.reanchored,
            system_ahead: self.system.saturating_sub(self.own),
            gnss_ahead: self.gnss_offset.map(|gnss| gnss.saturating_sub(self.own)),
        }
    }

    /// Takes note of both clocks, and follows the system clock where the rules allow it.
    fn see(&mut self, reading: Reading, synchronised: impl FnOnce() -> Synchronised) {
        self.monotonic = self.monotonic.max(reading.monotonic);
        let Some(system) = reading.system else { return };
        let seen = offset(system, self.monotonic);
        if seen.saturating_sub(self.system).abs() > LEAP {
            self.leaps += 1;
            self.steady_since = (self.monotonic, system);
        }
        self.system = seen;
        if seen.saturating_sub(self.own).abs() <= FOLLOWED_ABOVE || system < EARLIEST || self.gnss_decides() {
            return;
        }
        let (leapt_at, _) = self.steady_since;
        let steady = self.monotonic.saturating_sub(leapt_at);
        let right = match synchronised() {
            Synchronised::At(at) => self.was_set_since_leap(at, system) && steady >= STEADY_WHEN_SYNCHRONISED,
            Synchronised::Unknown => steady >= STEADY_WHEN_UNKNOWN,
            Synchronised::Never => false,
        };
        if right {
            self.reanchor(Anchor::System, seen);
        }
    }

    /// A date that was set by hand is later, or earlier, than the time at which the clock was last set by timesyncd.
    fn was_set_since_leap(&self, at: OffsetDateTime, system: OffsetDateTime) -> bool {
        let (_, leapt_to) = self.steady_since;
        at >= leapt_to - LEAP && at <= system + LEAP
    }

    /// Behind a clock that is known to be right, GNSS is not wrong but late: a phone's position takes its way.
    fn is_late(&self, ahead: time::Duration) -> bool {
        let is_trusted = self.anchor == Anchor::System && self.system_is_right && self.settings.trust_system_clock;
        is_trusted && ahead.is_negative() && ahead >= -LATEST
    }

    fn gnss_decides(&self) -> bool {
        let heard = self.gnss_heard.is_some_and(|heard| self.monotonic.saturating_sub(heard) < GNSS_SILENT);
        heard || (self.anchor == Anchor::Gnss && !self.settings.trust_system_clock)
    }

    fn reanchor(&mut self, anchor: Anchor, offset: time::Duration) {
        (self.anchor, self.own) = (anchor, offset);
        self.reanchored += 1;
        self.said = None;
    }
}

impl Run {
    fn new(at: Duration, heard: time::Duration) -> Self {
        Self { since: at, until: at, count: 1, recent: VecDeque::from([heard]), median: heard }
    }

    /// False when this reading does not agree with the others.
    fn extend(&mut self, at: Duration, heard: time::Duration) -> bool {
        if self.recent.iter().any(|other| heard.saturating_sub(*other).abs() > GNSS_SPREAD) {
            return false;
        }
        self.until = at;
        self.count = self.count.saturating_add(1);
        if self.recent.len() == GNSS_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(heard);
        let mut sorted: Vec<time::Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted[sorted.len() / 2];
        true
    }

    fn persists(&self, over: Duration) -> bool {
        self.count >= GNSS_READINGS && self.until.saturating_sub(self.since) >= over
    }
}

/// A time that an old receiver says 1024 weeks, or a multiple of it, too early.
#[must_use]
pub fn without_rollover(mut at: OffsetDateTime) -> OffsetDateTime {
    // GPS time begins in 1980: what is earlier was never meant as a time.
    while at < EARLIEST && at.year() >= 1980 {
        at = at.saturating_add(ROLLOVER);
    }
    at
}

fn offset(utc: OffsetDateTime, monotonic: Duration) -> time::Duration {
    (utc - OffsetDateTime::UNIX_EPOCH).saturating_sub(signed(monotonic))
}

fn signed(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}
