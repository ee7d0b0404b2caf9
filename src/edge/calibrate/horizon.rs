//! Does the camera still look where the configuration says? For `umsicht edge check`.
//!
//! A few pictures of a drive give the vanishing point; the configured mounting says where it should be. Streets bend and
//! vehicles pitch, so only a clear difference is told.

use std::fmt;

use crate::edge::calibrate::drive::DriveLines;
use crate::edge::calibrate::vanish::VanishingPoint;
use crate::edge::camera::{Camera, Mounting};
use crate::edge::frame::CameraImage;

/// Where positions at 12 m are off by about two metres.
const MOVED_DEGREES: f64 = 1.0;
/// In sigmas of both together.
const CLEARLY: f64 = 3.0;
/// With more than this nothing can be told.
const MAX_SIGMA_DEGREES: f64 = 0.8;

#[derive(Debug, Clone, PartialEq)]
pub enum Horizon {
    Fits(Offset),
    /// The mounting has moved, or was never right.
    Moved(Offset),
    CannotTell {
        reason: String,
    },
}

/// Observed less configured, degrees; each sigma is of the difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    pub pitch_degrees: f64,
    pub pitch_sigma_degrees: f64,
    pub yaw_degrees: f64,
    pub yaw_sigma_degrees: f64,
    pub pictures: usize,
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pitch {:+.1}° (±{:.1}°) and yaw {:+.1}° (±{:.1}°) from what the configuration says, in {} pictures",
            self.pitch_degrees, self.pitch_sigma_degrees, self.yaw_degrees, self.yaw_sigma_degrees, self.pictures
        )
    }
}

/// What a few pictures of a drive say about the configured camera.
#[must_use]
pub fn horizon<'i>(camera: &Camera, pictures: impl IntoIterator<Item = &'i CameraImage>) -> Horizon {
    let mut drive = DriveLines::new(camera.intrinsics, camera.mounting.roll_degrees);
    for image in pictures {
        if let Err(error) = drive.look_at(image) {
            return Horizon::CannotTell { reason: error.to_string() };
        }
    }
    match drive.lines.vanishing_point() {
        Ok(found) => compare(&camera.mounting, &found),
        Err(error) => Horizon::CannotTell { reason: error.to_string() },
    }
}

/// The configured mounting against an observed vanishing point.
#[must_use]
pub fn compare(configured: &Mounting, observed: &VanishingPoint) -> Horizon {
    let offset = Offset {
        pitch_degrees: observed.pitch_degrees - configured.pitch_degrees,
        pitch_sigma_degrees: observed.pitch_sigma_degrees.hypot(configured.pitch_sigma_degrees),
        yaw_degrees: observed.yaw_degrees - configured.yaw_degrees,
        yaw_sigma_degrees: observed.yaw_sigma_degrees.hypot(configured.yaw_sigma_degrees),
        pictures: observed.frames,
    };
    let sigma = observed.pitch_sigma_degrees.max(observed.yaw_sigma_degrees);
    if sigma > MAX_SIGMA_DEGREES {
        let reason =
            format!("the lines of the road meet to ±{sigma:.1}° only; it takes a straight road with markings or kerbs");
        return Horizon::CannotTell { reason };
    }
    let moved = |off: f64, sigma: f64| off.abs() > MOVED_DEGREES.max(CLEARLY * sigma);
    let is_moved =
        moved(offset.pitch_degrees, offset.pitch_sigma_degrees) || moved(offset.yaw_degrees, offset.yaw_sigma_degrees);
    if is_moved { Horizon::Moved(offset) } else { Horizon::Fits(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::camera::Intrinsics;
    use proptest::prelude::*;

    fn mounting(pitch: f64, yaw: f64) -> Mounting {
        Mounting {
            height_metres: 1.5,
            pitch_degrees: pitch,
            roll_degrees: 0.0,
            yaw_degrees: yaw,
            height_sigma_metres: 0.02,
            pitch_sigma_degrees: 0.3,
            roll_sigma_degrees: 0.3,
            yaw_sigma_degrees: 0.3,
        }
    }

    fn observed(pitch_degrees: f64, yaw_degrees: f64, sigma: f64) -> VanishingPoint {
        VanishingPoint {
            pitch_degrees,
            yaw_degrees,
            pitch_sigma_degrees: sigma,
            yaw_sigma_degrees: sigma,
            pitching_degrees: None,
            frames: 20,
            lines: 100,
            rms_degrees: 0.4,
        }
    }

    proptest! {
        #[test]
        fn what_is_within_the_uncertainty_never_counts_as_moved(
            pitch in 0.0..20.0_f64, yaw in -5.0..5.0_f64, off in -0.9..0.9_f64, sigma in 0.01..0.8_f64,
        ) {
            let told = compare(&mounting(pitch, yaw), &observed(pitch + off, yaw - off, sigma));
            prop_assert!(matches!(told, Horizon::Fits(_)), "{told:?}");
            // And what is far outside always does.
            let told = compare(&mounting(pitch, yaw), &observed(pitch + 3.0, yaw, sigma));
            prop_assert!(matches!(told, Horizon::Moved(_)), "{told:?}");
        }
    }

    #[test]
    fn without_lines_or_with_doubtful_ones_nothing_is_claimed() {
        let doubtful = compare(&mounting(5.0, 0.0), &observed(9.0, 0.0, 1.2));
        assert!(matches!(doubtful, Horizon::CannotTell { .. }), "{doubtful:?}");
        let camera = Camera::new(Intrinsics::from_horizontal_fov(640, 360, 65.0), mounting(5.0, 0.0));
        let bare = CameraImage::new(image::RgbImage::from_pixel(640, 360, image::Rgb([90; 3])));
        assert!(matches!(horizon(&camera, [&bare]), Horizon::CannotTell { .. }));
        let small = CameraImage::new(image::RgbImage::new(320, 180));
        let Horizon::CannotTell { reason } = horizon(&camera, [&small]) else { panic!("another size fits nothing") };
        assert!(reason.contains("320×180") && reason.contains("640×360"), "{reason}");
    }
}
