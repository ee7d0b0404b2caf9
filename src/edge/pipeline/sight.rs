//! Whether a camera sees: its thread looks at its pictures, the judging thread at the time, and whoever asks is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    started: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    watch: BlindWatch,
    /// Not yet told to anybody.
    news: Vec<EventData>,
    /// Told last and still so.
    blind: Option<DeviceBlind>,
    mean_luma: f64,
}

impl Sight {
    /// `reference`: how the camera looked when it was mounted, as far as that is known.
    #[must_use]
    pub fn new(camera: &str, policy: BlindPolicy, reference: Option<&Reference>, clock: Arc<dyn Clock>) -> Self {
        let watch = BlindWatch::with_reference(policy, reference);
        let inner = Inner { watch, news: Vec::new(), blind: None, mean_luma: UNKNOWN_LUMA };
        Self { camera: camera.to_owned(), clock, started: Instant::now(), inner: Mutex::new(inner) }
    }

    /// A picture has come. A few in a second are looked at.
    pub fn see(&self, image: &CameraImage) {
        let at = self.started.elapsed();
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

    /// Time has passed; what has changed since the last call.
    pub fn pass_time(&self) -> Vec<EventData> {
        let at = self.started.elapsed();
        let mut inner = self.lock();
        let change = inner.watch.tick(at);
        self.note(&mut inner, change, at);
        std::mem::take(&mut inner.news)
    }

    #[must_use]
    pub fn blind(&self) -> Option<DeviceBlind> {
        self.lock().blind.clone()
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
                let blind = DeviceBlind { camera, reason, since: self.time_of(since, at) };
                tracing::warn!(camera = self.camera, "blind: {reason}");
                inner.blind = Some(blind.clone());
                inner.news.push(EventData::DeviceBlind(blind));
            }
            Change::Recovered { after } => {
                let Some(blind) = inner.blind.take() else { return };
                tracing::info!(camera = self.camera, seconds = after.as_secs(), "sees again");
                let blind_seconds = after.as_secs();
                inner.news.push(EventData::DeviceRecovered(DeviceRecovered {
                    camera,
                    reason: blind.reason,
                    blind_seconds,
                }));
            }
        }
    }

    fn time_of(&self, moment: Duration, now: Duration) -> OffsetDateTime {
        self.clock.now() - now.saturating_sub(moment)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
