//! The driver's mark: a person saw something here, and says neither what nor how large.
//!
//! She presses a moment after she saw it, so whoever places the mark looks back along the way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::recording::Recording;
use crate::clock::Clock;

/// Presses that come sooner one after the other are one: contacts bounce, and people press twice.
const ONE_PRESS: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When the button was pressed.
    pub at: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    #[error("recording is off, so no mark is taken; switch it on first")]
    RecordingOff,
    #[error("the device is not ready for marks; press again in a moment")]
    NotReady,
}

/// Takes presses from the button and over loopback, and hands marks on.
pub struct Marks {
    to: mpsc::Sender<Mark>,
    recording: Arc<Recording>,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Instant, Mark)>>,
    refused: AtomicU64,
}

impl Marks {
    #[must_use]
    pub fn new(to: mpsc::Sender<Mark>, recording: Arc<Recording>, clock: Arc<dyn Clock>) -> Self {
        Self { to, recording, clock, last: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// The button was pressed. A press right after another is the same mark.
    pub fn press(&self) -> Result<Mark, MarkError> {
        self.press_at(Instant::now())
    }

    fn press_at(&self, pressed: Instant) -> Result<Mark, MarkError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.recording.is_on() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(MarkError::RecordingOff);
        }
        if let Some((_, mark)) = last.filter(|(at, _)| pressed.saturating_duration_since(*at) < ONE_PRESS) {
            return Ok(mark);
        }
        let mark = Mark { at: self.clock.now() };
        if self.to.try_send(mark).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(MarkError::NotReady);
        }
        *last = Some((pressed, mark));
        Ok(mark)
    }

    /// As [`Marks::press`], for a button, which has no other way to answer than the log.
    pub(super) fn press_or_tell(&self) {
        if let Err(error) = self.press() {
            tracing::warn!("the mark button was pressed, but {error}");
        }
    }

    /// Presses that became no mark. Whether a mark can be placed is not known here.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimulatedClock;
    use time::macros::datetime;

    #[tokio::test]
    async fn a_press_is_one_mark_and_none_while_recording_is_off() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Arc::new(Recording::kept_in(folder.path(), None));
        let clock = Arc::new(SimulatedClock::starting_at(datetime!(2026-05-01 10:00 UTC)));
        let (to, mut marks_taken) = mpsc::channel(2);
        let marks = Marks::new(to, Arc::clone(&recording), clock.clone());
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);

        let first = marks.press_at(start).unwrap();
        clock.advance(Duration::from_secs(5));
        assert_eq!(marks.press_at(after(300)), Ok(first), "a contact that bounces");
        assert_eq!(marks.press_at(after(5000)).unwrap().at, datetime!(2026-05-01 10:00:05 UTC));
        assert_eq!(marks.press_at(after(7000)), Err(MarkError::NotReady), "nobody takes them");
        assert_eq!(marks_taken.recv().await, Some(first));
        recording.switch_off().unwrap();
        assert_eq!(marks.press_at(after(9000)), Err(MarkError::RecordingOff));
        assert_eq!(marks.refused(), 2);
    }
}
