//! How this device is, gathered from its parts: told to the town as [`DeviceHealth`], and to who stands before it as
//! [`DeviceStatus`].

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::edge::batch::Batching;
use crate::edge::device_clock::{ClockState, DeviceClock, EARLIEST};
use crate::edge::fix::{PositionState, Positions, Reception};
use crate::edge::machine::{self, CLOCK_OFF_SECONDS, Disk, FlashMeter, Roots};
use crate::edge::pipeline::sight::Sight;
use crate::edge::pipeline::{CameraCounters, Counters};
use crate::edge::publish::{HealthSource, PublishStats};
use crate::edge::shadow::Counts;
use crate::edge::source::state::CameraState;
use crate::edge::spool::Spool;
use crate::edge::status::{
    CameraStatus, ClockStatus, DeviceStatus, MachineStatus, PositionStatus, RecordingStatus, ReloadStatus,
};
use crate::edge::update::Updater;
use crate::edge::vehicle::{Level, Marks, Recording};
use crate::edge::watchdog::Watchdog;
use crate::schema::health::{DeliveryHealth, ModelHealth};
use crate::schema::{DeviceBlind, DeviceHealth};

/// Frames per second are those of so long.
const RATE_OVER: Duration = Duration::from_secs(60);

/// What has something to tell. Parts come when they begin, or never: a device whose models do not open still tells the rest.
#[derive(Default)]
pub struct Parts {
    /// Where updates are taken: it knows the models too.
    pub updater: OnceLock<Arc<Updater>>,
    /// Where no updates are taken: name and version of each model in use.
    pub models: OnceLock<BTreeMap<String, String>>,
    pub shadow: OnceLock<Counts>,
    pub cameras: OnceLock<Vec<CameraPart>>,
    pub position: OnceLock<Arc<Positions>>,
    pub clock: OnceLock<Arc<DeviceClock>>,
    pub counters: OnceLock<Arc<Counters>>,
    pub inputs: OnceLock<Inputs>,
    pub watchdog: OnceLock<Arc<Watchdog>>,
    pub machine: OnceLock<Mutex<FlashMeter>>,
    pub link: OnceLock<watch::Receiver<PublishStats>>,
    pub last_reload: OnceLock<Arc<Mutex<Option<ReloadStatus>>>>,
}

/// What people in the vehicle switch and press.
pub struct Inputs {
    pub recording: Arc<Recording>,
    pub marks: Arc<Marks>,
    /// `None` where no ignition is connected.
    pub ignition: Option<watch::Receiver<Option<Level>>>,
}

/// One camera's.
pub struct CameraPart {
    pub name: String,
    pub state: Arc<CameraState>,
    pub counters: Arc<CameraCounters>,
    pub sight: Option<Arc<Sight>>,
    pub rate: Rate,
}

/// Frames per second over the last minute. Asking is what measures: at most once a second counts.
#[derive(Debug, Default)]
pub struct Rate(Mutex<VecDeque<(Instant, u64)>>);

impl Rate {
    fn see(&self, frames: u64, now: Instant) -> f64 {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.back().is_none_or(|(at, _)| now.duration_since(*at) >= Duration::from_secs(1)) {
            seen.push_back((now, frames));
        }
        while seen.len() > 1 && seen.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            seen.pop_front();
        }
        let Some((at, before)) = seen.front() else { return 0.0 };
        let seconds = now.duration_since(*at).as_secs_f64();
        if seconds < 1.0 { 0.0 } else { frames.saturating_sub(*before) as f64 / seconds }
    }
}

impl Parts {
    fn models(&self) -> ModelHealth {
        match (self.updater.get(), self.models.get()) {
            (Some(updater), _) => updater.health(),
            (None, Some(in_use)) => ModelHealth { in_use: in_use.clone(), ..ModelHealth::default() },
            (None, None) => ModelHealth::default(),
        }
    }

    fn cameras(&self) -> BTreeMap<String, CameraStatus> {
        let cameras = self.cameras.get().into_iter().flatten();
        cameras.map(|camera| (camera.name.clone(), camera.status(Instant::now()))).collect()
    }

    /// `None` where cameras are not watched.
    fn blind(&self) -> Option<Vec<DeviceBlind>> {
        let cameras = self.cameras.get()?;
        Some(cameras.iter().filter_map(|camera| camera.sight.as_ref()?.told()).collect())
    }

    fn position(&self) -> PositionStatus {
        let Some(positions) = self.position.get() else { return PositionStatus::default() };
        let status = position_status(&positions.state());
        PositionStatus {
            bridged: self.count(|counters| &counters.frames_bridged),
            frames_without_fix: self.count(|counters| &counters.frames_without_fix),
            ..status
        }
    }

    fn count(&self, counter: fn(&Counters) -> &AtomicU64) -> u64 {
        self.counters.get().map_or(0, |counters| counter(counters).load(Ordering::Relaxed))
    }

    fn recording(&self) -> RecordingStatus {
        let Some(inputs) = self.inputs.get() else { return RecordingStatus::default() };
        RecordingStatus { on: inputs.recording.is_on(), why_off: inputs.recording.why_off().map(str::to_owned) }
    }

    fn machine(&self, spool_folder: &Path) -> MachineStatus {
        let roots = Roots::default();
        let written_today_bytes = self.machine.get().map_or(0, |meter| {
            let written = machine::written_bytes(&roots).unwrap_or(0);
            meter.lock().unwrap_or_else(PoisonError::into_inner).see(written, OffsetDateTime::now_utc())
        });
        MachineStatus {
            hottest: machine::hottest(&roots),
            disk: Disk::of(spool_folder).ok(),
            written_today_bytes,
            memory_bytes: machine::memory_bytes(&roots).unwrap_or(0),
            cpu_seconds: machine::cpu_time().as_secs_f64(),
        }
    }
}

impl CameraPart {
    fn status(&self, now: Instant) -> CameraStatus {
        let report = self.state.report();
        let dropped = self.counters.dropped_frames.load(Ordering::Relaxed);
        let wrong_size = self.counters.frames_of_wrong_size.load(Ordering::Relaxed);
        let (width_px, height_px) = report.size_px.unwrap_or_default();
        CameraStatus {
            state: report.phase.as_str().into(),
            blind: self.sight.as_ref().and_then(|sight| sight.now().0).map(|reason| reason.name().to_owned()),
            frames: report.frames,
            dropped: dropped + report.replaced_frames,
            late: report.late_frames,
            frames_per_second_last_minute: self.rate.see(report.frames, now),
            connections: report.connections,
            failures: report.failures,
            wrong_size,
            last_error: report.last_error,
            width_px,
            height_px,
            decoder: report.decoder.unwrap_or_default(),
        }
    }
}

fn position_status(state: &PositionState) -> PositionStatus {
    let counts = state.counts;
    let refused = [
        ("accuracy", counts.refused_accuracy),
        ("age", counts.refused_age),
        ("time", counts.refused_time),
        ("jump", counts.refused_jumps),
        ("unreadable", counts.unreadable),
    ];
    PositionStatus {
        source: state.source.clone(),
        connected: !matches!(state.reception, Reception::Disconnected(_) | Reception::Silent | Reception::Unreadable),
        // A recording has its fixes all at once, and none of them grows old.
        fix_age_seconds: match state.last_fix_age {
            None if state.reception.is_good() => Some(0.0),
            age => age.map(|age| age.as_secs_f64()),
        },
        accuracy_metres: state.accuracy_metres,
        fixes: counts.fixes,
        refused: refused.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
        last_error: (!state.reception.is_good()).then(|| state.reception.to_string()),
        ..PositionStatus::default()
    }
}

fn clock_status(state: &ClockState, leaps_of_frames: u64, now: OffsetDateTime) -> ClockStatus {
    ClockStatus {
        trusted: state.system_ahead.as_seconds_f64().abs() <= CLOCK_OFF_SECONDS && now >= EARLIEST,
        leaps: state.clock_leaps.max(leaps_of_frames),
        ahead_of_gnss_seconds: state.gnss_ahead.map(|gnss| (state.system_ahead - gnss).as_seconds_f64()),
    }
}

/// A device's state, whenever somebody asks.
pub struct Health {
    pub site: String,
    pub device: String,
    pub spool: Arc<Spool>,
    pub batching: Batching,
    pub started: Instant,
    pub parts: Arc<Parts>,
    /// What [`Health::look`] saw last.
    pub seen: Mutex<Option<DeviceHealth>>,
}

impl Health {
    /// Gathers everything, and keeps what the town is told until the next look.
    pub fn look(&self) -> DeviceStatus {
        let status = self.status();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.told_of(&status));
        status
    }

    #[must_use]
    pub fn status(&self) -> DeviceStatus {
        let parts = &self.parts;
        let link = parts.link.get().map(|link| *link.borrow());
        let leaps = parts.counters.get().map_or(0, |counters| counters.clock_leaps.load(Ordering::Relaxed));
        let clock = parts.clock.get().map(|clock| clock_status(&clock.state(), leaps, clock.now()));
        let inputs = parts.inputs.get();
        DeviceStatus {
            site: self.site.clone(),
            device: self.device.clone(),
            program: crate::VERSION.into(),
            uptime_seconds: self.started.elapsed().as_secs(),
            cameras: parts.cameras(),
            position: parts.position(),
            clock: clock.unwrap_or_default(),
            recording: parts.recording(),
            ignition_on: inputs.and_then(|inputs| inputs.ignition.as_ref()?.borrow().map(|level| level.on)),
            models: parts.models(),
            shadow: parts.shadow.get().map(Counts::now),
            spool: self.spool.health(),
            delivery: DeliveryHealth { batch_minutes: self.batching.minutes(), waiting: self.spool.waiting() as u64 },
            connected: link.is_some_and(|link| link.connected),
            link: link.map(Into::into).unwrap_or_default(),
            machine: parts.machine(self.spool.folder()),
            watchdog: parts.watchdog.get().map(|watchdog| watchdog.status()).unwrap_or_default(),
            marks: parts.count(|counters| &counters.marks),
            marks_refused: inputs.map_or(0, |inputs| inputs.marks.refused())
                + parts.count(|counters| &counters.marks_not_reported),
            last_reload: parts
                .last_reload
                .get()
                .and_then(|last| last.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    pub fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What the town is told. A part that is not there says nothing, where zeros would be taken for trouble.
    #[must_use]
    pub fn told(&self) -> DeviceHealth {
        self.told_of(&self.status())
    }

    fn told_of(&self, status: &DeviceStatus) -> DeviceHealth {
        let (parts, told) = (&self.parts, status.health());
        DeviceHealth {
            blind: parts.blind(),
            position: told.position.filter(|_| parts.position.get().is_some()),
            clock: told.clock.filter(|_| parts.clock.get().is_some()),
            machine: told.machine.filter(|_| parts.machine.get().is_some()),
            recording: told.recording.filter(|_| parts.inputs.get().is_some()),
            ..told
        }
    }

    /// What the publisher sends once a minute: what was seen last, so that nothing it waits for can hang. Blind cameras are as
    /// they are by now: an older state would take back an event that was just sent.
    #[must_use]
    pub fn source(self: &Arc<Self>) -> HealthSource {
        let health = Arc::clone(self);
        Box::new(move || {
            let seen = health.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            seen.map_or_else(|| health.told(), |seen| DeviceHealth { blind: health.parts.blind(), ..seen })
        })
    }
}

/// Of a device that is no more than its spool: a demo, a test.
#[must_use]
pub fn health(spool: &Arc<Spool>, batching: Batching, parts: &Arc<Parts>) -> HealthSource {
    let (site, device) = (String::new(), String::new());
    let (spool, parts) = (Arc::clone(spool), Arc::clone(parts));
    Arc::new(Health { site, device, spool, batching, started: Instant::now(), parts, seen: Mutex::default() }).source()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let rate = Rate::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(rate.see(0, start).abs() < 1e-9, "nothing is known yet");
        assert!((rate.see(100, at(10)) - 10.0).abs() < 1e-9);
        for second in 11..=80 {
            rate.see(100, at(second));
        }
        assert!(rate.see(100, at(81)).abs() < 1e-9, "none came for more than a minute");
    }
}
