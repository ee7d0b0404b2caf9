//! How a camera does: written by its source, read by whoever reports on it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No picture has come yet.
    Connecting,
    Delivering,
    /// It failed and is tried again after a pause.
    Waiting,
    /// A recording has ended, or the camera was told to stop.
    Ended,
}

const PHASES: [Phase; 4] = [Phase::Connecting, Phase::Delivering, Phase::Waiting, Phase::Ended];

impl Phase {
    /// As logs and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Delivering => "delivering",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }
}

/// Shared between the camera's thread and its observers.
#[derive(Debug, Default)]
pub struct CameraState {
    /// Index into [`PHASES`].
    phase: AtomicU8,
    pub(super) counts: Counts,
    about: Mutex<About>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub heartbeat: AtomicU64,
    pub frames: AtomicU64,
    pub late_frames: AtomicU64,
    pub broken_frames: AtomicU64,
    pub replaced_frames: AtomicU64,
    pub connections: AtomicU64,
    pub failures: AtomicU64,
    pub size_changes: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct About {
    last_error: Option<String>,
    decoder: Option<String>,
    size_px: Option<(u32, u32)>,
}

/// All of it at one moment; counts since the start of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraReport {
    pub phase: Phase,
    /// Ticks whenever the camera's thread comes by, also while the camera is away. One that stands still means a decoder,
    /// a driver or a teardown that hangs, or a judge that takes no more frames.
    pub heartbeat: u64,
    /// Handed on.
    pub frames: u64,
    /// Older than `max_latency_millis` when they came out of the decoder, and dropped.
    pub late_frames: u64,
    /// Marked by the decoder as damaged, or not to be read, and dropped.
    pub broken_frames: u64,
    /// Decoded, but replaced by newer ones before they were fetched. Short by the few that wait at the moment.
    pub replaced_frames: u64,
    /// That gave at least one picture.
    pub connections: u64,
    /// Attempts that failed and connections that broke.
    pub failures: u64,
    /// How often a picture had another size than the one before it.
    pub size_changes: u64,
    /// What went wrong last and what to do; it stays when the camera is back. Never holds credentials.
    pub last_error: Option<String>,
    /// GStreamer's element, e.g. `avdec_h264` or `v4l2h264dec`; `None` until a picture came, and for raw cameras.
    pub decoder: Option<String>,
    pub size_px: Option<(u32, u32)>,
}

impl CameraState {
    #[must_use]
    pub fn report(&self) -> CameraReport {
        let About { last_error, decoder, size_px } = self.about().clone();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        CameraReport {
            phase: PHASES[usize::from(self.phase.load(Ordering::Relaxed)) % PHASES.len()],
            heartbeat: read(&counts.heartbeat),
            frames: read(&counts.frames),
            late_frames: read(&counts.late_frames),
            broken_frames: read(&counts.broken_frames),
            replaced_frames: read(&counts.replaced_frames),
            connections: read(&counts.connections),
            failures: read(&counts.failures),
            size_changes: read(&counts.size_changes),
            last_error,
            decoder,
            size_px,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let index = PHASES.iter().position(|p| *p == phase).unwrap_or_default();
        self.phase.store(u8::try_from(index).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn tick(&self) {
        add(&self.counts.heartbeat, 1);
    }

    /// Counts a picture that is handed on.
    pub(super) fn delivered(&self, size_px: (u32, u32)) {
        add(&self.counts.frames, 1);
        let mut about = self.about();
        if about.size_px.replace(size_px).is_some_and(|before| before != size_px) {
            add(&self.counts.size_changes, 1);
        }
    }

    pub fn decodes_by(&self, decoder: Option<String>) {
        self.about().decoder = decoder;
    }

    /// Returns whether it is another failure than the one before, and so worth a line in the log.
    pub(super) fn failed(&self, error: &str) -> bool {
        add(&self.counts.failures, 1);
        let mut about = self.about();
        let is_new = about.last_error.as_deref() != Some(error);
        about.last_error = Some(error.to_owned());
        is_new
    }

    fn about(&self) -> std::sync::MutexGuard<'_, About> {
        self.about.lock().expect("no holder of this lock can panic")
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_what_was_noted() {
        let state = CameraState::default();
        assert_eq!(state.report().phase, Phase::Connecting, "that is how it starts");
        for phase in PHASES {
            state.enter(phase);
            assert_eq!(state.report().phase, phase);
        }
        assert!(state.failed("401") && !state.failed("401") && state.failed("404"));
        for size in [(640, 480), (640, 480), (320, 240)] {
            state.delivered(size);
        }
        let report = state.report();
        assert_eq!((report.failures, report.frames, report.size_changes), (3, 3, 1));
        assert_eq!((report.last_error.as_deref(), report.size_px), (Some("404"), Some((320, 240))));
    }
}
