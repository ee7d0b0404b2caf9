//! `[camera.NAME]`: where its pictures come from, by which policy they are judged, and how it is mounted.

use crate::config::Table;
use crate::edge::blind::{BlindPolicy, Place};
use crate::edge::camera::{Camera, Intrinsics, Mounting};
use crate::edge::locate::AntennaOffset;
use crate::edge::source::settings::CameraSettings;
use crate::schema::topic::TopicName;

/// One camera of the device.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraConfig {
    /// As its section names it.
    pub name: String,
    pub settings: CameraSettings,
    /// `None`: not measured, see [`assumed_camera`].
    pub mounted: Option<MountedCamera>,
    pub blind: BlindPolicy,
}

/// A camera that was measured, and where the GNSS antenna is, seen from the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MountedCamera {
    pub intrinsics: Intrinsics,
    pub mounting: Mounting,
    /// The GNSS antenna, seen from the camera in vehicle axes.
    pub antenna_forward_metres: f64,
    pub antenna_left_metres: f64,
}

impl MountedCamera {
    #[must_use]
    pub fn camera(&self) -> Camera {
        Camera::new(self.intrinsics, self.mounting)
    }

    #[must_use]
    pub fn antenna(&self) -> AntennaOffset {
        AntennaOffset { forward_metres: self.antenna_forward_metres, left_metres: self.antenna_left_metres }
    }
}

/// The camera that is assumed where nobody has measured it: high on a vehicle, looking down at the road so that the
/// horizon lies above the picture, as survey vehicles mount it. The values were estimated on such drives: pitch and yaw
/// from the point where road markings meet, height from a lane taken as 3.55 m wide, focal length from the way between
/// stills. Positions and sizes that come from it are indications and are reported as uncalibrated. It errs on the safe
/// side: a camera that looks less steeply has its damages placed too near, never lost above an assumed horizon.
#[must_use]
pub fn assumed_camera(width_px: u32, height_px: u32) -> Camera {
    let mounting = Mounting {
        height_metres: 2.3,
        pitch_degrees: 17.2,
        roll_degrees: 0.0,
        yaw_degrees: 3.7,
        height_sigma_metres: 0.3,
        pitch_sigma_degrees: 1.5,
        roll_sigma_degrees: 1.0,
        yaw_sigma_degrees: 1.5,
    };
    Camera::new(Intrinsics::from_horizontal_fov(width_px, height_px, 43.3), mounting)
}

impl CameraConfig {
    /// Reads all sections `[camera.NAME]`; there is at least one.
    pub fn all_from_table(cameras: &Table) -> Option<Vec<Self>> {
        let found: Vec<Option<Self>> =
            cameras.tables().into_iter().map(|(name, table)| Self::from_table(name, &table)).collect();
        if found.is_empty() {
            cameras.missing("there is no camera; write a section `[camera.front]`");
            return None;
        }
        found.into_iter().collect()
    }

    fn from_table(name: String, table: &Table) -> Option<Self> {
        let name = match TopicName::new(&name) {
            Ok(name) => Some(name.to_string()),
            Err(error) => {
                table.missing(&format!("the camera's name: {error}"));
                None
            }
        };
        let settings = CameraSettings::from_table(table);
        let mounted = mounting(&table.table("mounting"));
        let blind = BlindPolicy::from_table(&table.table("blind"), Place::Road);
        Some(Self { name: name?, settings: settings?, mounted: mounted?, blind: blind? })
    }
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
fn mounting(table: &Table) -> Option<Option<MountedCamera>> {
    if !table.is_present() {
        return Some(None);
    }
    let width = table.integer("width_px", 160..=8192_u32).required("width_px = 1280");
    let height = table.integer("height_px", 120..=8192_u32).required("height_px = 720");
    let fov = table.number("horizontal_fov_degrees", 20.0..=150.0).optional();
    let focal = table.numbers::<2>("focal_px").optional();
    let centre = table.numbers::<2>("centre_px").optional();
    let distortion = table.numbers::<4>("distortion_k1_k2_p1_p2").or([0.0; 4]);
    let lens = match (fov, focal) {
        (Some(Some(fov)), Some(None)) => Some((Some(fov), None)),
        (Some(None), Some(Some(focal))) => Some((None, Some(focal))),
        (Some(_), Some(_)) => {
            table.wrong(
                "horizontal_fov_degrees",
                "write either `horizontal_fov_degrees = 65` or `focal_px = [1004, 1004]`",
            );
            None
        }
        _ => None,
    };
    let height_metres = table.number("height_metres", 0.3..=5.0).required("height_metres = 1.4");
    let pitch = table.number("pitch_degrees", -10.0..=60.0).required("pitch_degrees = 4.0");
    let roll = table.number("roll_degrees", -20.0..=20.0).or(0.0);
    let yaw = table.number("yaw_degrees", -45.0..=45.0).or(0.0);
    let height_sigma = table.number("height_sigma_metres", 0.001..=1.0).or(0.03);
    let pitch_sigma = table.number("pitch_sigma_degrees", 0.01..=10.0).or(0.4);
    let roll_sigma = table.number("roll_sigma_degrees", 0.01..=10.0).or(0.4);
    let yaw_sigma = table.number("yaw_sigma_degrees", 0.01..=10.0).or(0.4);
    let forward = table.number("antenna_forward_metres", -20.0..=20.0).or(0.0);
    let left = table.number("antenna_left_metres", -5.0..=5.0).or(0.0);

    let (width_px, height_px) = (width?, height?);
    let (fov, focal) = lens?;
    let mut intrinsics = Intrinsics::from_horizontal_fov(width_px, height_px, fov.unwrap_or(60.0));
    if let Some([focal_x_px, focal_y_px]) = focal {
        if focal_x_px <= 0.0 || focal_y_px <= 0.0 {
            table.wrong("focal_px", "is not positive; write the focal lengths in pixels, e.g. [1004, 1004]");
            return None;
        }
        intrinsics = Intrinsics { focal_x_px, focal_y_px, ..intrinsics };
    }
    if let Some([centre_x_px, centre_y_px]) = centre? {
        intrinsics = Intrinsics { centre_x_px, centre_y_px, ..intrinsics };
    }
    let [k1, k2, p1, p2] = distortion?;
    let mounting = Mounting {
        height_metres: height_metres?,
        pitch_degrees: pitch?,
        roll_degrees: roll?,
        yaw_degrees: yaw?,
        height_sigma_metres: height_sigma?,
        pitch_sigma_degrees: pitch_sigma?,
        roll_sigma_degrees: roll_sigma?,
        yaw_sigma_degrees: yaw_sigma?,
    };
    Some(Some(MountedCamera {
        intrinsics: Intrinsics { k1, k2, p1, p2, ..intrinsics },
        mounting,
        antenna_forward_metres: forward?,
        antenna_left_metres: left?,
    }))
}
