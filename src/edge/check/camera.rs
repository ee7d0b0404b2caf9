//! Does each camera give pictures, and are they what its mounting was measured for?

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::clock::SystemClock;
use crate::edge::calibrate::horizon::{Horizon, horizon};
use crate::edge::check::Verdict;
use crate::edge::config::{CameraConfig, MountedCamera};
use crate::edge::frame::CameraImage;
use crate::edge::source::{FirstPicture, FrameSource, SourceError, first_picture, open};

/// A camera in the network may still be starting.
const PATIENCE: Duration = Duration::from_secs(10);
/// A recording of a drive tells whether the horizon is where the mounting says; so many of its pictures are looked at,
const HORIZON_PICTURES: usize = 60;
/// one of so many,
const EVERY: usize = 5;
/// and no longer than this.
const HORIZON_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn first(camera: &CameraConfig, starts_at: OffsetDateTime) -> Result<FirstPicture, SourceError> {
    first_picture(&camera.name, &camera.settings, starts_at, Arc::new(SystemClock), PATIENCE)
}

pub(super) fn source_verdict(first: &Result<FirstPicture, SourceError>) -> Verdict {
    match first {
        Ok(FirstPicture { image, report }) => {
            let by = report.decoder.as_ref().map_or(String::new(), |decoder| format!(", decoded by {decoder}"));
            Verdict::Ok(format!("gives pictures of {}×{} pixels{by}", image.width_px(), image.height_px()))
        }
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

/// Whether the mounting was measured, for this size, and still looks where it looked.
pub(super) fn mounting_verdict(
    camera: &CameraConfig,
    first: Option<&CameraImage>,
    starts_at: OffsetDateTime,
) -> Verdict {
    let Some(mounted) = &camera.mounted else {
        return Verdict::Warn(format!(
            "not measured: positions and sizes are indications; write a section [camera.{}.mounting] (`umsicht edge calibrate`)",
            camera.name
        ));
    };
    let (width, height) = (mounted.intrinsics.width_px, mounted.intrinsics.height_px);
    match first {
        Some(image) if (image.width_px(), image.height_px()) != (width, height) => Verdict::Fail(format!(
            "[camera.{}.mounting] describes {width}×{height} pixels, the source gives {}×{}; measure it at that size",
            camera.name,
            image.width_px(),
            image.height_px()
        )),
        None => Verdict::Ok(format!("measured at {width}×{height} pixels")),
        Some(_) => with_horizon(camera, mounted, starts_at),
    }
}

/// A standing vehicle shows no road to measure by, so only a recording of a drive is asked; in service the watch over the
/// camera does it.
fn with_horizon(camera: &CameraConfig, mounted: &MountedCamera, starts_at: OffsetDateTime) -> Verdict {
    let measured = format!("measured at {}×{} pixels", mounted.intrinsics.width_px, mounted.intrinsics.height_px);
    let Ok(mut recording) = open(&camera.settings.source, starts_at) else { return Verdict::Ok(measured) };
    let pictures = some_pictures(recording.as_mut());
    match horizon(&mounted.camera(), &pictures) {
        Horizon::Fits(offset) => Verdict::Ok(format!("{measured}; the horizon is where it should be: {offset}")),
        Horizon::Moved(offset) => Verdict::Warn(format!(
            "{measured}, but the horizon has moved: {offset}; put the camera back, or measure it anew with `umsicht edge calibrate`"
        )),
        Horizon::CannotTell { .. } => Verdict::Ok(measured),
    }
}

fn some_pictures(recording: &mut dyn FrameSource) -> Vec<CameraImage> {
    let since = Instant::now();
    let mut pictures = Vec::new();
    let mut seen = 0;
    while pictures.len() < HORIZON_PICTURES && since.elapsed() < HORIZON_PATIENCE {
        let Ok(Some(captured)) = recording.next_image() else { break };
        if seen % EVERY == 0 {
            pictures.push(captured.image);
        }
        seen += 1;
    }
    pictures
}
