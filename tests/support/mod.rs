//! What several promises need: a real Mosquitto that can be killed, a subscriber that collects, events to send.

pub mod authority;
pub mod clip;
pub mod demo;
pub mod device;
pub mod models;
pub mod mosquitto;
pub mod old_broker;
pub mod onnx;
pub mod receiver;
pub mod rtsp;
pub mod websocket;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use time::macros::datetime;
use umsicht::edge::anonymise::{RedactedImage, redact};
use umsicht::edge::batch::Batching;
use umsicht::edge::config::assumed_camera;
use umsicht::edge::frame::CameraImage;
use umsicht::edge::locate::Footprint;
use umsicht::edge::spool::{Draft, MIN_QUOTA_BYTES, SpoolSettings};
use umsicht::geo::{Covariance, LatLon};
use umsicht::schema::event::EventData;
use umsicht::schema::{DamageClass, ModelRef, PassTag, RoadDamage};

/// The built program.
pub fn umsicht() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umsicht"));
    command.env_remove("RUST_LOG");
    command
}

/// Real data that is no part of this project: `shared/data` beside the checkout, or in a folder above it. `None`, said
/// loudly, where there is none.
pub fn real_data() -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|folder| Some(folder.join("shared/data")).filter(|data| data.is_dir()));
    if found.is_none() {
        eprintln!("SKIPPED: there is no shared/data, this promise was not tested on real drives and pictures");
    }
    found
}

/// Its exit code and stderr, with `folder` written as `DIR`.
pub fn outcome(output: &Output, folder: &Path) -> String {
    let text = String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "DIR");
    format!("exit {}\n{text}", output.status.code().unwrap_or(-1))
}

/// A picture of bare asphalt, made by the only way there is to make one.
pub fn picture() -> RedactedImage {
    let asphalt = RgbImage::from_fn(640, 480, |x, y| Rgb([(x * 7 + y * 13) as u8, (x * y) as u8, (x ^ y) as u8]));
    let footprint = Footprint { near_metres: 5.0, far_metres: 6.0, right_metres: -0.5, left_metres: 0.5 };
    redact(&CameraImage::new(asphalt), &assumed_camera(640, 480), &footprint, || Ok(Vec::new())).unwrap()
}

/// A spool of the least size, from which everything leaves at once.
pub const SMALL_SPOOL: SpoolSettings =
    SpoolSettings { quota_bytes: MIN_QUOTA_BYTES, batching: Batching::Off, secret: None };

/// A damage; `number` tells it from others.
pub fn damage(number: u32, picture: Option<RedactedImage>) -> Draft {
    let damage = RoadDamage {
        class: DamageClass::Pothole,
        score: 0.5,
        position: LatLon { lat: 50.0, lon: 8.0 },
        position_covariance: Covariance::isotropic(0.5),
        heading_degrees: 135.0,
        length_metres: 0.5,
        width_metres: 0.25,
        area_square_metres: 0.125,
        calibrated: true,
        pass: PassTag(format!("{number:08x}")),
        frames_seen: 3,
        model: ModelRef { name: "road".into(), version: "0.1.0".into(), sha256: "ab".into(), trial_operation: false },
        simulated: false,
        has_evidence: picture.is_some(),
    };
    Draft {
        source: "/umsicht/soest".into(),
        time: datetime!(2026-03-17 09:00 UTC),
        ordinal: None,
        data: EventData::RoadDamage(damage),
        picture,
    }
}
