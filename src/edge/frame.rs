//! A picture with its capture time and the fix of that time.
//!
//! Privacy: camera pixels leave this type only towards the model and towards `anonymise`, both inside `edge`. There is no
//! way to encode or send a [`CameraImage`]; only `anonymise` makes the type that can be.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use image::RgbImage;
use time::OffsetDateTime;

use crate::edge::fix::Fix;
use crate::edge::yuv::YuvImage;

/// Pixels as the camera gave them: may show faces and plates, so it cannot be encoded, stored, sent or printed.
pub struct CameraImage(Pixels);

enum Pixels {
    Rgb(RgbImage),
    /// As decoders give them; in RGB once somebody has asked for that.
    Yuv {
        planes: YuvImage,
        rgb: OnceLock<RgbImage>,
    },
}

impl CameraImage {
    #[must_use]
    pub fn new(pixels: RgbImage) -> Self {
        Self(Pixels::Rgb(pixels))
    }

    #[must_use]
    pub fn from_yuv(planes: YuvImage) -> Self {
        Self(Pixels::Yuv { planes, rgb: OnceLock::new() })
    }

    #[must_use]
    pub fn width_px(&self) -> u32 {
        match &self.0 {
            Pixels::Rgb(pixels) => pixels.width(),
            Pixels::Yuv { planes, .. } => planes.width_px(),
        }
    }

    #[must_use]
    pub fn height_px(&self) -> u32 {
        match &self.0 {
            Pixels::Rgb(pixels) => pixels.height(),
            Pixels::Yuv { planes, .. } => planes.height_px(),
        }
    }

    /// For a second model; a copy is bound by the same rules.
    pub(in crate::edge) fn copied(&self) -> Self {
        match &self.0 {
            Pixels::Rgb(pixels) => Self::new(pixels.clone()),
            Pixels::Yuv { planes, .. } => Self::from_yuv(planes.clone()),
        }
    }

    /// Unredacted pixels at full size, for `anonymise` and for models that get no planes. The first call converts.
    pub(in crate::edge) fn unredacted(&self) -> &RgbImage {
        match &self.0 {
            Pixels::Rgb(pixels) => pixels,
            Pixels::Yuv { planes, rgb } => rgb.get_or_init(|| planes.to_rgb()),
        }
    }

    /// Unredacted planes, where the camera gave some: for the model only.
    pub(in crate::edge) fn unredacted_planes(&self) -> Option<&YuvImage> {
        match &self.0 {
            Pixels::Rgb(_) => None,
            Pixels::Yuv { planes, .. } => Some(planes),
        }
    }

    /// Brightness of one pixel, 0..255.
    pub(in crate::edge) fn luma_at(&self, x_px: u32, y_px: u32) -> u8 {
        match &self.0 {
            Pixels::Rgb(pixels) => {
                let [r, g, b] = pixels.get_pixel(x_px, y_px).0.map(u32::from);
                // BT.601 in 8-bit fractions.
                ((77 * r + 150 * g + 29 * b) >> 8) as u8
            }
            Pixels::Yuv { planes, .. } => planes.luma_at(x_px, y_px),
        }
    }
}

impl fmt::Debug for CameraImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraImage({}×{})", self.width_px(), self.height_px())
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
