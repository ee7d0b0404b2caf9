//! Whether a camera sees: its thread looks at its pictures, the judging thread at the time, and whoever asks is told.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::clock::Clock;
use crate::edge::blind::{BlindPolicy, BlindWatch, Change, Look, Reference};
use crate::edge::frame::CameraImage;
use crate::schema::event::EventData;
use crate::schema::{BlindReason, DeviceBlind, DeviceRecovered};

/// Until a camera has shown how bright it is, it counts as bright enough.
const UNKNOWN_LUMA: f64 = 255.0;

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
    /// What the town knows.
    told: Option<DeviceBlind>,
    /// Something may have changed while nothing could be told.
    was_hushed: bool,
    mean_luma: f64,
}

impl Sight {
    /// `reference`: how the camera looked when it was mounted, as far as that is known.
    #[must_use]
    pub fn new(camera: &str, policy: BlindPolicy, reference: Option<&Reference>, clock: Arc<dyn Clock>) -> Self {
        let watch = BlindWatch::with_reference(policy, reference);
        let inner = Inner { watch, blind: None, told: None, was_hushed: false, mean_luma: UNKNOWN_LUMA };
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
            inner.was_hushed = true;
            return None;
        }
        let was_hushed = std::mem::take(&mut inner.was_hushed);
        let reason = |blind: &Option<DeviceBlind>| blind.as_ref().map(|blind| blind.reason);
        if reason(&inner.told) == reason(&inner.blind) {
            return None;
        }
        // Since when, while nothing may be told, is nobody's business.
        let blind = inner.blind.clone().map(|blind| if was_hushed { self.since_now(blind) } else { blind });
        match (std::mem::replace(&mut inner.told, blind.clone()), blind) {
            (_, Some(blind)) => Some(EventData::DeviceBlind(blind)),
            (Some(told), None) => {
                let seconds = (self.clock.now() - told.since).whole_seconds();
                Some(EventData::DeviceRecovered(DeviceRecovered {
                    camera: told.camera,
                    reason: told.reason,
                    blind_seconds: u64::try_from(seconds).unwrap_or(0),
                }))
            }
            (None, None) => None,
        }
    }

    /// What the town knows: for health, which must say nothing else.
    #[must_use]
    pub fn told(&self) -> Option<DeviceBlind> {
        self.lock().told.clone()
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
            }
            Change::Recovered { after } => {
                tracing::info!(camera = self.camera, seconds = after.as_secs(), "sees again");
                inner.blind = None;
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
    fn while_nothing_may_be_told_nothing_is_and_later_it_is_not_told_since_when() {
        let (sight, clock) = away();
        assert_eq!((sight.pass_time(false), sight.told()), (None, None));
        assert_eq!(sight.now().0, Some(BlindReason::NoFrames), "who stands before the device may know");
        clock.advance(Duration::from_secs(600));
        let Some(EventData::DeviceBlind(blind)) = sight.pass_time(true) else { panic!("it is blind") };
        assert_eq!(blind.since, clock.now());
    }
}
