//! A recording in the place of a camera: it ends at its end, and is watched like a camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::edge::source::pace::Pace;
use crate::edge::source::state::{CameraState, Phase};
use crate::edge::source::{CapturedImage, FrameSource, SourceError};

pub(super) struct Recorded {
    pub recording: Box<dyn FrameSource>,
    pub pace: Pace,
    pub state: Arc<CameraState>,
    pub stop: Arc<AtomicBool>,
}

impl FrameSource for Recorded {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        while !self.stop.load(Ordering::Relaxed) {
            self.state.tick();
            match self.recording.next_image() {
                Ok(Some(captured)) => {
                    if self.pace.takes(captured.stream_time) {
                        self.state.enter(Phase::Delivering);
                        self.state.delivered((captured.image.width_px(), captured.image.height_px()));
                        return Ok(Some(captured));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.state.failed(&error.to_string());
                    self.state.enter(Phase::Ended);
                    return Err(error);
                }
            }
        }
        self.state.enter(Phase::Ended);
        Ok(None)
    }
}
