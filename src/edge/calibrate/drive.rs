//! The lines of a drive, picture by picture: what the vanishing point is taken from.

use crate::edge::calibrate::grey::Grey;
use crate::edge::calibrate::segments::{Segment, segments};
use crate::edge::calibrate::vanish::RoadLines;
use crate::edge::camera::Intrinsics;
use crate::edge::frame::CameraImage;

/// A picture that differs less from the last one shows nothing new: the vehicle stands.
const STANDSTILL_DIFFERENCE: f32 = 1.5;
const COMPARED_WIDTH_PX: usize = 64;

#[derive(Debug, Clone)]
pub struct DriveLines {
    pub lines: RoadLines,
    intrinsics: Intrinsics,
    last: Option<Grey>,
    /// Pictures that were looked at.
    pub seen: usize,
    /// Pictures in which the vehicle stood.
    pub standing: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the picture has {found_width}×{found_height} pixels, the camera is described for {width}×{height}; give pictures of that size, or describe the camera at theirs"
)]
pub struct OtherSize {
    pub width: u32,
    pub height: u32,
    pub found_width: u32,
    pub found_height: u32,
}

/// Whether a picture has the size that the lens is described for.
pub fn check_size(intrinsics: &Intrinsics, image: &CameraImage) -> Result<(), OtherSize> {
    let (width, height) = (intrinsics.width_px, intrinsics.height_px);
    let (found_width, found_height) = (image.width_px(), image.height_px());
    if (width, height) == (found_width, found_height) {
        Ok(())
    } else {
        Err(OtherSize { width, height, found_width, found_height })
    }
}

impl DriveLines {
    #[must_use]
    pub fn new(intrinsics: Intrinsics, roll_degrees: f64) -> Self {
        Self { lines: RoadLines::new(intrinsics, roll_degrees), intrinsics, last: None, seen: 0, standing: 0 }
    }

    /// Looks at the next picture; a picture as the one before is counted and left out.
    pub fn look_at(&mut self, image: &CameraImage) -> Result<(), OtherSize> {
        check_size(&self.intrinsics, image)?;
        self.seen += 1;
        let grey = Grey::of(image);
        let small = grey.reduced(grey.width / COMPARED_WIDTH_PX);
        if self.last.as_ref().is_some_and(|last| last.mean_difference(&small) < STANDSTILL_DIFFERENCE) {
            self.standing += 1;
            return Ok(());
        }
        self.last = Some(small);
        self.lines.add(&segments(&grey));
        Ok(())
    }
}

/// The segments of one picture, longest first.
#[must_use]
pub fn segments_of(image: &CameraImage) -> Vec<Segment> {
    segments(&Grey::of(image))
}
