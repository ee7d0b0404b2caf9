//! Whether a camera sees: its thread looks at its pictures, the judging thread at the time, and whoever asks is told.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::edge::blind::{BlindPolicy, BlindWatch, Change, Look, Reference};
use crate::edge::frame::CameraImage;
use crate::schema::event::EventData;
use crate::schema::{BlindReason, DeviceBlind, DeviceRecovered};

/// Until a camera has shown how bright it is, it counts as bright enough.
const UNKNOWN_LUMA: f64 = 255.0;
/// So much later, at random, it is told what changed while nothing could be told.
const LATER_SECONDS: std::ops::Range<u64> = 300..900;

pub struct Sight {
    camera: String,
    clock: Arc<dyn Clock>,
    /// When it was first asked: until models are loaded nobody fetches pictures.
    started: OnceLock<Instant>,
    inner: Mutex<Inner>,
}

struct Inner {
    watch: BlindWatch,
    blind: Option<DeviceBlind>,
    /// When that changed last.
    changed_at: Duration,
    /// What the town knows, and since when it is so.
    told: Option<(DeviceBlind, Duration)>,
    hush: Hush,
    mean_luma: f64,
}

/// What changed while nothing could be told is told later, at a moment that says nothing: not when a zone is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hush {
    No,
    Now,
    /// It ended at the first, and is kept up until the second for what changed before.
    Over {
        ended_at: Duration,
        until: Duration,
    },
}

impl Sight {
    /// `reference`: how the camera looked when it was mounted, as far as that is known.
    #[must_use]
    pub fn new(camera: &str, policy: BlindPolicy, reference: Option<&Reference>, clock: Arc<dyn Clock>) -> Self {
        let watch = BlindWatch::with_reference(policy, reference);
        let inner = Inner {
            watch,
            blind: None,
            changed_at: Duration::ZERO,
            told: None,
            hush: Hush::No,
            mean_luma: UNKNOWN_LUMA,
        };
        Self { camera: camera.to_owned(), clock, started: OnceLock::new(), inner: Mutex::new(inner) }
    }

    /// A picture has come. A few in a second are looked at.
    pub fn see(&self, image: &CameraImage) {
        let at = self.elapsed();
        if !self.lock().watch.wants(at) {
            return;
        }
        // Outside the lock: whoever asks need not wait for it.
        let look = Look::of(image);
        let mut inner = self.lock();
        inner.mean_luma = f64::from(look.mean_luma);
        let change = inner.watch.see(&look, at);
        self.note(&mut inner, change, at);
    }

    /// Time has passed; what the town has to be told, where it may be told anything.
    pub fn pass_time(&self, may_tell: bool) -> Option<EventData> {
        let at = self.elapsed();
        let mut inner = self.lock();
        let change = inner.watch.tick(at);
        self.note(&mut inner, change, at);
        if !may_tell {
            inner.hush = Hush::Now;
            return None;
        }
        if inner.hush == Hush::Now {
            let wait = Duration::from_secs(rand::rng().random_range(LATER_SECONDS));
            inner.hush = Hush::Over { ended_at: at, until: at + wait };
        }
        let mut since_now = false;
        if let Hush::Over { ended_at, until } = inner.hush {
            let is_of_before = inner.changed_at <= ended_at;
            if is_of_before && at < until {
                return None;
            }
            since_now = is_of_before;
            if at >= until {
                inner.hush = Hush::No;
            }
        }
        let told = inner.told.as_ref().map(|(told, _)| told.reason);
        if told == inner.blind.as_ref().map(|blind| blind.reason) {
            return None;
        }
        // Since when, while nothing could be told, is nobody's business.
        let since = if since_now { at } else { inner.changed_at };
        let blind = inner.blind.clone().map(|blind| if since_now { self.since_now(blind) } else { blind });
        match (std::mem::replace(&mut inner.told, blind.clone().map(|blind| (blind, since))), blind) {
            (_, Some(blind)) => Some(EventData::DeviceBlind(blind)),
            (Some((told, told_at)), None) => Some(EventData::DeviceRecovered(DeviceRecovered {
                camera: told.camera,
                reason: told.reason,
                // Not by the clock, which may have been set since.
                blind_seconds: at.saturating_sub(told_at).as_secs(),
            })),
            (None, None) => None,
        }
    }

    /// Whether what it sees may be kept at the moment.
    #[must_use]
    pub fn may_be_kept(&self) -> bool {
        self.lock().hush != Hush::Now
    }

    /// What the town knows: for health, which must say nothing else.
    #[must_use]
    pub fn told(&self) -> Option<DeviceBlind> {
        self.lock().told.as_ref().map(|(told, _)| told.clone())
    }

    /// Why the camera sees nothing, and how bright its last picture was.
    #[must_use]
    pub fn now(&self) -> (Option<BlindReason>, f64) {
        let inner = self.lock();
        (inner.blind.as_ref().map(|blind| blind.reason), inner.mean_luma)
    }

    /// What the camera usually shows, to be kept; `None` until enough was seen.
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        self.lock().watch.reference()
    }

    fn note(&self, inner: &mut Inner, change: Option<Change>, at: Duration) {
        let Some(change) = change else { return };
        let camera = self.camera.clone();
        match change {
            Change::Blind { reason, since } => {
                tracing::warn!(camera = self.camera, "blind: {reason}");
                inner.blind = Some(DeviceBlind { camera, reason, since: self.time_of(since, at) });
                inner.changed_at = at;
            }
            Change::Recovered { after } => {
                tracing::info!(camera = self.camera, seconds = after.as_secs(), "sees again");
                inner.blind = None;
                inner.changed_at = at;
            }
        }
    }

    fn since_now(&self, blind: DeviceBlind) -> DeviceBlind {
        DeviceBlind { since: self.clock.now(), ..blind }
    }

    fn elapsed(&self) -> Duration {
        self.started.get_or_init(Instant::now).elapsed()
    }

    fn time_of(&self, moment: Duration, now: Duration) -> OffsetDateTime {
        self.clock.now() - now.saturating_sub(moment)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::clock::SimulatedClock;
    use crate::edge::blind::Place;

    /// A camera that gives no picture, and is called blind at once.
    fn away() -> (Sight, Arc<SimulatedClock>) {
        let policy = BlindPolicy { start_up: Duration::ZERO, ..BlindPolicy::new(Place::Road) };
        let clock = Arc::new(SimulatedClock::starting_at(datetime!(2026-03-17 09:30 UTC)));
        (Sight::new("front", policy, None, clock.clone()), clock)
    }

    #[test]
    fn it_is_told_once_and_health_says_the_same() {
        let (sight, _) = away();
        assert_eq!(sight.told(), None);
        let Some(EventData::DeviceBlind(blind)) = sight.pass_time(true) else { panic!("it is blind") };
        assert_eq!((blind.camera.as_str(), blind.reason), ("front", BlindReason::NoFrames));
        assert_eq!(sight.pass_time(true), None);
        assert_eq!(sight.told(), Some(blind));
    }

    #[test]
    fn what_changed_while_nothing_may_be_told_is_not_told_at_the_moment_of_leaving() {
        let (sight, _) = away();
        assert_eq!((sight.pass_time(false), sight.told()), (None, None));
        assert_eq!(sight.now().0, Some(BlindReason::NoFrames), "who stands before the device may know");
        assert!(!sight.may_be_kept());
        assert_eq!((sight.pass_time(true), sight.told()), (None, None));
        let ended_at = sight.elapsed();
        sight.lock().hush = Hush::Over { ended_at, until: ended_at };
        let Some(EventData::DeviceBlind(blind)) = sight.pass_time(true) else { panic!("it is told later") };
        assert_eq!(sight.told(), Some(blind));
    }

    #[test]
    fn what_changes_afterwards_is_told_at_once() {
        let policy = BlindPolicy { start_up: Duration::from_millis(30), ..BlindPolicy::new(Place::Road) };
        let clock = Arc::new(SimulatedClock::starting_at(datetime!(2026-03-17 09:30 UTC)));
        let sight = Sight::new("front", policy, None, clock);
        assert_eq!((sight.pass_time(false), sight.pass_time(true)), (None, None));
        std::thread::sleep(Duration::from_millis(50));
        assert!(matches!(sight.pass_time(true), Some(EventData::DeviceBlind(_))));
    }
}
