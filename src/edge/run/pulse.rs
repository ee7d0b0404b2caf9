//! What the watchdog is fed by, in each phase of the program.
//!
//! While frames are judged it is progress alone: the cameras' threads and the judge. Starting and stopping have no frames; they
//! count as alive for a while that is long for any of them. Waiting for the ignition or for the broker is what it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::edge::pipeline::{CameraCounters, Counters};
use crate::edge::source::state::CameraState;
use crate::edge::watchdog::CountSource;
use crate::edge::watchdog::progress::Counts;

/// Loading models takes seconds; trying ONNX Runtime on a bad board, a minute.
const START_TAKES: Duration = Duration::from_secs(120);

/// A camera that gives its own speed.
pub(super) struct Watched {
    pub name: String,
    pub is_live: bool,
    pub state: Arc<CameraState>,
    pub counters: Arc<CameraCounters>,
}

enum Phase {
    Starts(Instant),
    Judges { cameras: Vec<Watched>, counters: Arc<Counters> },
    Waits(Instant),
}

pub(super) struct Pulse(Mutex<Phase>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Mutex::new(Phase::Starts(Instant::now())))
    }
}

impl Pulse {
    pub fn starts(&self) {
        self.set(Phase::Starts(Instant::now()));
    }

    pub fn judges(&self, cameras: Vec<Watched>, counters: Arc<Counters>) {
        self.set(Phase::Judges { cameras, counters });
    }

    pub fn waits(&self) {
        self.set(Phase::Waits(Instant::now()));
    }

    pub fn source(self: &Arc<Self>) -> CountSource {
        let pulse = Arc::clone(self);
        Arc::new(move || pulse.counts())
    }

    fn counts(&self) -> Counts {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starts(since) => beats("the start", since.elapsed().min(START_TAKES)),
            Phase::Waits(since) => beats("the wait", since.elapsed()),
            Phase::Judges { cameras, counters } => judging(cameras, counters),
        }
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

fn beats(name: &str, since: Duration) -> Counts {
    Counts { heartbeats: BTreeMap::from([(name.to_owned(), since.as_millis() as u64)]), ..Counts::default() }
}

fn judging(cameras: &[Watched], counters: &Counters) -> Counts {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut heartbeats = BTreeMap::from([("the judge".to_owned(), read(&counters.steps))]);
    let (mut frames_to_judge, mut refused) = (0, 0);
    for camera in cameras {
        let report = camera.state.report();
        // A recording's thread may rest until its next picture is due.
        if camera.is_live {
            heartbeats.insert(format!("the reader of camera {}", camera.name), report.heartbeat);
        }
        frames_to_judge += report.frames;
        refused += read(&camera.counters.frames_of_wrong_size);
    }
    let frames_judged =
        read(&counters.frames) + read(&counters.dropped_frames) + read(&counters.frames_not_recorded) + refused;
    Counts { heartbeats, frames_to_judge, frames_judged, frames_waiting: 0 }
}
