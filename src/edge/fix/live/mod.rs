//! Fixes of a receiver while they come: a thread hears it, the gate judges, the last minutes are kept for the frames.
//!
//! The thread connects anew for ever, with growing and shuffled pauses. It ends within a second once `stop` is set or the
//! [`LivePositions`] is dropped; only the look-up of a host's name may hold it longer.

mod gpsd;
mod lines;
mod sentences;
mod serial;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use time::OffsetDateTime;

use self::gpsd::GpsdListener;
use self::lines::Lines;
use self::sentences::SentenceListener;
use self::wire::{Door, Wire};
use super::gate::{Gate, Refusal, Verdict};
use super::settings::{GnssConfig, GnssSource};
use super::{Fix, PositionCounts, PositionState, RawFix, Reception, interpolate};
use crate::clock::Clock;
use crate::edge::device_clock::{DeviceClock, without_rollover};

/// Frames are asked for within seconds of their capture; what is older serves nobody.
const KEPT: time::Duration = time::Duration::minutes(3);
/// More than any receiver sends in that time; a peer that floods cannot fill the memory.
const KEPT_FIXES: usize = 8192;
/// Without a byte for so long a connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(15);
/// Without a readable line for so long, the state says so.
const QUIET: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A connection that lasted longer was a good one: the pauses begin anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
const NAP: Duration = Duration::from_millis(100);

pub struct LivePositions {
    shared: Arc<Shared>,
    dropped: Arc<AtomicBool>,
}

impl LivePositions {
    /// Starts the thread. A recording has none: its positions stay empty.
    #[must_use]
    pub fn start(config: &GnssConfig, clock: Arc<DeviceClock>, stop: Arc<AtomicBool>) -> Self {
        let shared = Arc::new(Shared::new(config, clock));
        let dropped = Arc::new(AtomicBool::new(false));
        let stop = Stop { asked: stop, dropped: Arc::clone(&dropped) };
        let (to_feed, source) = (Arc::clone(&shared), config.source.clone());
        std::thread::spawn(move || hear(&to_feed, &source, &stop));
        Self { shared, dropped }
    }

    #[must_use]
    pub fn at(&self, at: OffsetDateTime) -> Option<Fix> {
        self.shared.at(at)
    }

    #[must_use]
    pub fn state(&self) -> PositionState {
        self.shared.state(Instant::now())
    }
}

impl Drop for LivePositions {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

struct Stop {
    asked: Arc<AtomicBool>,
    dropped: Arc<AtomicBool>,
}

impl Stop {
    fn is_set(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.dropped.load(Ordering::Relaxed)
    }

    fn sleep(&self, pause: Duration) {
        let started = Instant::now();
        while !self.is_set() && started.elapsed() < pause {
            std::thread::sleep(NAP.min(pause));
        }
    }
}

/// What the thread writes and the pipelines read; held only for a look.
struct Shared {
    source: String,
    max_gap: time::Duration,
    clock: Arc<DeviceClock>,
    inner: Mutex<Inner>,
}

struct Inner {
    gate: Gate,
    /// In order of time, all of one way.
    fixes: Vec<Fix>,
    counts: PositionCounts,
    connections: u64,
    /// `None` while connected.
    disconnected: Option<String>,
    last_fix: Option<(Fix, Instant)>,
    heading_known: bool,
    satellites: Option<u32>,
    connected_at: Instant,
    heard_at: Option<Instant>,
    readable_at: Option<Instant>,
    /// The last that was not a good fix: none at all, or one that was refused.
    trouble: Option<(Reception, Instant)>,
}

impl Shared {
    fn new(config: &GnssConfig, clock: Arc<DeviceClock>) -> Self {
        let inner = Inner {
            gate: Gate::new(config.gate),
            fixes: Vec::new(),
            counts: PositionCounts::default(),
            connections: 0,
            disconnected: Some("not connected yet".into()),
            last_fix: None,
            heading_known: false,
            satellites: None,
            connected_at: Instant::now(),
            heard_at: None,
            readable_at: None,
            trouble: None,
        };
        Self {
            source: config.source.describe(),
            max_gap: time::Duration::milliseconds(i64::try_from(config.max_gap_millis).unwrap_or(i64::MAX)),
            clock,
            inner: Mutex::new(inner),
        }
    }

    fn at(&self, at: OffsetDateTime) -> Option<Fix> {
        // Frames carry the device's time and fixes that of GNSS.
        let gnss_at = at.checked_add(self.clock.gnss_ahead())?;
        let fix = interpolate::at(&self.lock().fixes, gnss_at, self.max_gap)?;
        Some(Fix { at, ..fix })
    }

    fn fix_came(&self, raw: RawFix) {
        let raw = RawFix { at: without_rollover(raw.at), ..raw };
        self.clock.gnss_said(raw.at);
        let now = self.clock.now().saturating_add(self.clock.gnss_ahead());
        let arrived = Instant::now();
        let mut inner = self.lock();
        match inner.gate.judge(&raw, now) {
            Verdict::Accepted { fix, new_start, heading_known } => {
                inner.counts.fixes += 1;
                (inner.last_fix, inner.heading_known) = (Some((fix, arrived)), heading_known);
                if new_start {
                    inner.counts.new_starts += 1;
                    // Nobody knows the way from the old place to this one.
                    inner.fixes.clear();
                }
                if heading_known {
                    keep(&mut inner.fixes, fix);
                }
            }
            Verdict::Refused(refusal) => {
                let counts = &mut inner.counts;
                *match refusal {
                    Refusal::Accuracy => &mut counts.refused_accuracy,
                    Refusal::Age => &mut counts.refused_age,
                    Refusal::Time => &mut counts.refused_time,
                    Refusal::Repeated => &mut counts.repeated,
                    Refusal::Jump => &mut counts.refused_jumps,
                } += 1;
                inner.trouble = Some((Reception::Refused(refusal), arrived));
            }
        }
    }

    fn no_fix_came(&self) {
        self.lock().trouble = Some((Reception::NoFix, Instant::now()));
    }

    fn satellites_came(&self, satellites: Option<u32>) {
        self.lock().satellites = satellites;
    }

    fn line_came(&self, readable: bool) {
        let mut inner = self.lock();
        if readable {
            inner.readable_at = Some(Instant::now());
        } else {
            inner.counts.unreadable += 1;
        }
    }

    fn bytes_came(&self) {
        self.lock().heard_at = Some(Instant::now());
    }

    fn connected(&self) {
        let mut inner = self.lock();
        inner.connections += 1;
        inner.counts.reconnects = inner.connections - 1;
        (inner.disconnected, inner.connected_at) = (None, Instant::now());
        tracing::info!("positions come from {}", self.source);
    }

    /// Said once per reason: a receiver may be away for a long time.
    fn lost(&self, reason: String) {
        let mut inner = self.lock();
        if inner.disconnected.as_ref() != Some(&reason) {
            tracing::warn!("no positions from {}: {reason}", self.source);
        }
        inner.disconnected = Some(reason);
    }

    fn state(&self, now: Instant) -> PositionState {
        let inner = self.lock();
        PositionState {
            source: self.source.clone(),
            reception: inner.reception(now, self.max_gap),
            last_fix_at: inner.last_fix.map(|(fix, _)| fix.at),
            last_fix_age: inner.last_fix.map(|(_, arrived)| now.saturating_duration_since(arrived)),
            accuracy_metres: inner.last_fix.map(|(fix, _)| fix.accuracy_metres),
            satellites: inner.satellites,
            counts: inner.counts,
            clock: Some(self.clock.state()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn reception(&self, now: Instant, max_gap: time::Duration) -> Reception {
        let within = |at: Option<Instant>, limit| at.is_some_and(|at| now.saturating_duration_since(at) <= limit);
        let fresh = QUIET.max(max_gap.unsigned_abs());
        if let Some(reason) = &self.disconnected {
            Reception::Disconnected(reason.clone())
        } else if within(self.last_fix.map(|(_, arrived)| arrived), fresh) {
            if self.heading_known { Reception::Good } else { Reception::HeadingUnknown }
        } else if let Some((trouble, at)) = &self.trouble
            && within(Some(*at), fresh)
        {
            trouble.clone()
        } else if within(self.heard_at, QUIET) && !within(self.readable_at, QUIET) {
            Reception::Unreadable
        } else if within(self.readable_at, QUIET) {
            Reception::NoFix
        } else {
            Reception::Silent
        }
    }
}

fn keep(fixes: &mut Vec<Fix>, fix: Fix) {
    fixes.push(fix);
    let old = fixes.partition_point(|kept| fix.at - kept.at > KEPT);
    // Not at each fix: the rest moves up.
    if old > KEPT_FIXES / 4 || fixes.len() > KEPT_FIXES {
        fixes.drain(..old.max(fixes.len().saturating_sub(KEPT_FIXES / 2)));
    }
}

/// The thread.
fn hear(shared: &Shared, source: &GnssSource, stop: &Stop) {
    let Some(mut door) = Door::to(source) else { return };
    let mut pause = FIRST_PAUSE;
    while !stop.is_set() {
        match door.open(shared, stop) {
            Ok(mut wire) => {
                shared.connected();
                let since = Instant::now();
                let Some(reason) = listen(shared, source, &mut wire, stop) else { return };
                shared.lost(reason);
                if since.elapsed() >= GOOD_CONNECTION || door.is_ours() {
                    pause = FIRST_PAUSE;
                }
            }
            Err(_) if stop.is_set() => return,
            Err(reason) => shared.lost(reason),
        }
        stop.sleep(pause.mul_f64(rand::rng().random_range(0.5..=1.0)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Listener {
    Gpsd(GpsdListener),
    Nmea(SentenceListener),
}

/// Why the connection ended; `None` when told to stop.
fn listen(shared: &Shared, source: &GnssSource, wire: &mut Wire, stop: &Stop) -> Option<String> {
    let (mut listener, longest_line) = match source {
        GnssSource::Gpsd { device, .. } => {
            (Listener::Gpsd(GpsdListener::new(device.clone())), gpsd::LONGEST_LINE_BYTES)
        }
        _ => (Listener::Nmea(SentenceListener::default()), sentences::LONGEST_LINE_BYTES),
    };
    let mut lines = Lines::of_at_most(longest_line);
    let mut bytes = [0; 4096];
    let mut heard = Instant::now();
    while !stop.is_set() {
        match wire.read(&mut bytes) {
            Ok(0) if heard.elapsed() >= SILENCE => {
                return Some(format!("nothing came for {} s; the connection is made anew", SILENCE.as_secs()));
            }
            Ok(0) => {}
            Ok(count) => {
                heard = Instant::now();
                shared.bytes_came();
                lines.split(&bytes[..count], |line| match (line, &mut listener) {
                    (None, _) => shared.line_came(false),
                    (Some(line), Listener::Gpsd(gpsd)) => gpsd.hear(line, shared),
                    (Some(line), Listener::Nmea(sentences)) => sentences.hear(line, shared),
                });
            }
            Err(reason) => return Some(reason),
        }
    }
    None
}

#[cfg(test)]
mod tests;
