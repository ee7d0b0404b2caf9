//! A picture with its capture time and the fix of that time.
//!
//! Privacy: camera pixels leave this type only towards the model and towards `anonymise`, both inside `edge`. There is no
//! way to encode or send a [`CameraImage`]; only `anonymise` makes the type that can be.

use std::fmt;
use std::time::Duration;

use image::RgbImage;
use time::OffsetDateTime;

use crate::edge::fix::Fix;

/// Pixels as the camera gave them: may show faces and plates, so it cannot be encoded, stored, sent or printed.
pub struct CameraImage(RgbImage);

impl CameraImage {
    #[must_use]
    pub fn new(pixels: RgbImage) -> Self {
        Self(pixels)
    }

    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.0.width()
    }

    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.0.height()
    }

    /// For a second model; a copy is bound by the same rules.
    pub(in crate::edge) fn copied(&self) -> Self {
        Self(self.0.clone())
    }

    /// Unredacted pixels, for the model and for `anonymise` only.
    pub(in crate::edge) fn unredacted(&self) -> &RgbImage {
        &self.0
    }
}

impl fmt::Debug for CameraImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraImage({}×{})", self.0.width(), self.0.height())
    }
}

#[derive(Debug)]
pub struct Frame {
    /// Counts from 0 within one run of a source, without gaps for frames the source itself delivered.
    pub sequence: u64,
    /// When the shutter opened, UTC.
    pub captured_at: OffsetDateTime,
    /// Position in the stream; what `video_time_seconds` reports.
    pub stream_time: Duration,
    /// Sampled at `captured_at`, early; `None` during an outage.
    pub fix: Option<Fix>,
    pub image: CameraImage,
}
