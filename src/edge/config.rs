//! The device's settings, read from TOML and checked. `config/edge-road.toml` shows them all with their meaning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{ConfigError, Table};
use crate::edge::batch::{Batching, DEFAULT_BATCH};
use crate::edge::camera::{Camera, Intrinsics, Mounting};
use crate::edge::danger::DangerProfile;
use crate::edge::fix::DEFAULT_MAX_GAP_MILLIS;
use crate::edge::infer::{BackendChoice, BackendSettings};
use crate::edge::link::policy::LinkPolicy;
use crate::edge::locate::AntennaOffset;
use crate::edge::publish::BrokerConfig;
use crate::edge::source::SourceConfig;
use crate::edge::source::images::Timing;
use crate::edge::spool::{MIN_QUOTA_BYTES, SpoolSettings};
use crate::mqtt::BrokerAddress;
use crate::schema::device_tag::DeviceSecret;
use crate::schema::topic::TopicName;

/// A day; whoever wants events later wants no events.
const MAX_BATCH_MINUTES: u32 = 24 * 60;
const DEFAULT_QUOTA_BYTES: u64 = 256 * 1024 * 1024;
/// Stands in the secret's file of a device that was not enrolled; see `systemd/umsicht-edge.service`.
const NO_SECRET: &str = "none";

#[derive(Debug, Clone)]
pub struct EdgeConfig {
    pub site: TopicName,
    pub device: TopicName,
    pub source: SourceConfig,
    pub frames: FramePolicy,
    /// When the source's first picture was taken; `None` takes the first fix.
    pub starts_at: Option<OffsetDateTime>,
    pub gnss: GnssConfig,
    /// `None`: not measured, see [`assumed_camera`].
    pub camera: Option<MountedCamera>,
    pub danger: DangerProfile,
    pub model: ModelConfig,
    /// `None`: no updates are taken.
    pub update: Option<UpdateConfig>,
    /// `None`: no second model runs.
    pub shadow: Option<ShadowConfig>,
    pub spool: SpoolConfig,
    pub broker: BrokerConfig,
    pub link: LinkPolicy,
}

/// What happens to frames that come faster than they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePolicy {
    /// Each is judged; the source waits. For recordings, as fast as possible.
    Every,
    /// The newest is judged, older ones are dropped and counted. Recordings play in real time.
    Latest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GnssConfig {
    /// An NMEA or GPX log.
    pub file: PathBuf,
    pub max_gap_millis: u64,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Holds `manifest.toml`.
    pub folder: PathBuf,
    pub name: String,
    pub backend: BackendSettings,
}

/// New models by signed bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateConfig {
    /// Holds the versions; written by the device.
    pub folder: PathBuf,
    /// Bundles must be signed with the private key that belongs to it.
    pub public_key_file: PathBuf,
    /// Bundles that are put here are taken.
    pub inbox: PathBuf,
}

/// A second model beside the first, of which only disagreement is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowConfig {
    pub folder: PathBuf,
    pub name: String,
    pub every_nth_frame: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    pub folder: PathBuf,
    pub quota_bytes: u64,
    pub batching: Batching,
    /// What `umsicht central enrol` made for this device.
    pub device_secret_file: Option<PathBuf>,
}

/// Why the device's secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; set [spool] device_secret_file to the file that `umsicht central enrol` made for this device", path.display())]
pub struct SecretError {
    path: PathBuf,
    reason: String,
}

impl SpoolConfig {
    /// Reads the secret. A file that says `none` holds none: the service unit hands over such a one where a device was not
    /// enrolled, since a path that leads nowhere is a mistake.
    pub fn settings(&self) -> Result<SpoolSettings, SecretError> {
        let read = |path: &PathBuf| {
            let wrong = |reason: String| SecretError { path: path.clone(), reason };
            let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
            if text.trim() == NO_SECRET {
                return Ok(None);
            }
            DeviceSecret::from_file_text(&text).map(Some).map_err(|e| wrong(e.to_string()))
        };
        let secret = self.device_secret_file.as_ref().map(read).transpose()?.flatten();
        Ok(SpoolSettings { quota_bytes: self.quota_bytes, batching: self.batching, secret })
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

impl EdgeConfig {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        crate::config::read(path, Self::from_table)
    }

    fn from_table(root: &Table) -> Option<Self> {
        let site = root.parsed("site", "\"soest\"", TopicName::new).required("site = \"soest\"");
        let device = root.parsed("device", "\"bauhof-3\"", TopicName::new).required("device = \"bauhof-3\"");
        let (source, frames, starts_at) = source(&root.table("source"));
        let gnss = gnss(&root.table("gnss"));
        let camera = camera(&root.table("camera"));
        let danger = danger(&root.table("danger"));
        let model = model(&root.table("model"));
        let update = update(&root.table("update"));
        let shadow = shadow(&root.table("shadow"));
        let spool = spool(&root.table("spool"));
        let broker = broker(&root.table("broker"), site.as_ref(), device.as_ref());
        let link = LinkPolicy::from_table(&root.table("link"));
        Some(Self {
            site: site?,
            device: device?,
            source: source?,
            frames: frames?,
            starts_at: starts_at?,
            gnss: gnss?,
            camera: camera?,
            danger: danger?,
            model: model?,
            update: update?,
            shadow: shadow?,
            spool: spool?,
            broker: broker?,
            link: link?,
        })
    }
}

#[allow(clippy::option_option, reason = "each outer None is a noted problem, the inner one an absent setting")]
fn source(table: &Table) -> (Option<SourceConfig>, Option<FramePolicy>, Option<Option<OffsetDateTime>>) {
    #[derive(Clone, Copy)]
    enum Kind {
        File,
        Images,
    }
    let kind = table.choice("kind", &[("file", Kind::File), ("images", Kind::Images)]).required("kind = \"file\"");
    let policies = [("every", FramePolicy::Every), ("latest", FramePolicy::Latest)];
    let frames = table.choice("frames", &policies).or(FramePolicy::Latest);
    let example = "2026-03-17T09:30:00Z";
    let starts_at = table
        .parsed("starts_at", &format!("\"{example}\""), |text| {
            OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| format!("{text:?} is not a time with its zone; write e.g. \"{example}\""))
        })
        .optional();
    let source = match kind {
        Some(Kind::File) => table.path("path").required("path = \"drive.mp4\"").map(|path| SourceConfig::File { path }),
        Some(Kind::Images) => {
            let folder = table.path("folder").required("folder = \"pictures\"");
            let interval = table.integer("interval_millis", 1..=3_600_000_u32).optional();
            let times = table.path("times").optional();
            let timing = match (interval, times) {
                (Some(Some(millis)), Some(None)) => Some(Timing::Interval(Duration::from_millis(millis.into()))),
                (Some(None), Some(Some(path))) => Some(Timing::Table(path)),
                (Some(_), Some(_)) => {
                    table.wrong("interval_millis", "write either `interval_millis = 40` or `times = \"times.csv\"`");
                    None
                }
                _ => None,
            };
            folder.zip(timing).map(|(folder, timing)| SourceConfig::Images { folder, timing })
        }
        None => {
            // Which keys belong here depends on the kind; none of them is the mistake.
            let _ = (table.text("path"), table.text("folder"), table.text("times"));
            let _ = table.integer("interval_millis", 1..=u32::MAX);
            None
        }
    };
    (source, frames, starts_at)
}

fn gnss(table: &Table) -> Option<GnssConfig> {
    let file = table.path("file").required("file = \"drive.nmea\"");
    let max_gap_millis = table.integer("max_gap_millis", 0..=30_000_u64).or(DEFAULT_MAX_GAP_MILLIS);
    Some(GnssConfig { file: file?, max_gap_millis: max_gap_millis? })
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
fn camera(table: &Table) -> Option<Option<MountedCamera>> {
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

fn danger(table: &Table) -> Option<DangerProfile> {
    let default = DangerProfile::default();
    let width = table.number("min_width_metres", 0.05..=5.0).or(default.min_width_metres);
    let length = table.number("min_length_metres", 0.05..=5.0).or(default.min_length_metres);
    let score = table.number("min_score", 0.0..=1.0).or(f64::from(default.min_score));
    Some(DangerProfile { min_width_metres: width?, min_length_metres: length?, min_score: score? as f32 })
}

fn model(table: &Table) -> Option<ModelConfig> {
    let folder = table.path("folder").required("folder = \"/usr/share/umsicht/models\"");
    let name = table.text("name").or("road".into());
    let choices = [("auto", BackendChoice::Auto), ("ort", BackendChoice::Ort), ("tract", BackendChoice::Tract)];
    let choice = table.choice("backend", &choices).or(BackendChoice::Auto);
    let threads = table.integer("threads", 1..=64_u32).or(1);
    let onnxruntime = table.path("onnxruntime").optional();
    let backend = BackendSettings {
        choice: choice?,
        intra_threads: usize::try_from(threads?).ok()?,
        onnxruntime: onnxruntime?,
        ..BackendSettings::default()
    };
    Some(ModelConfig { folder: folder?, name: name?, backend })
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
fn update(table: &Table) -> Option<Option<UpdateConfig>> {
    if !table.is_present() {
        return Some(None);
    }
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/models\"");
    let public_key_file = table.path("public_key_file").required("public_key_file = \"/etc/umsicht/models.public\"");
    let inbox = table.path("inbox").optional();
    let folder = folder?;
    Some(Some(UpdateConfig {
        inbox: inbox?.unwrap_or_else(|| folder.join("inbox")),
        public_key_file: public_key_file?,
        folder,
    }))
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
fn shadow(table: &Table) -> Option<Option<ShadowConfig>> {
    if !table.is_present() {
        return Some(None);
    }
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/shadow\"");
    let name = table.text("name").or("road".into());
    let every_nth_frame = table.integer("every_nth_frame", 1..=10_000_u64).or(5);
    Some(Some(ShadowConfig { folder: folder?, name: name?, every_nth_frame: every_nth_frame? }))
}

fn spool(table: &Table) -> Option<SpoolConfig> {
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/spool\"");
    let quota = table.integer("quota_bytes", MIN_QUOTA_BYTES..=1 << 40).or(DEFAULT_QUOTA_BYTES);
    // 0 switches batching off.
    let default_minutes = u32::try_from(DEFAULT_BATCH.as_secs() / 60).unwrap_or(u32::MAX);
    let batch_minutes = table.integer("batch_minutes", 0..=MAX_BATCH_MINUTES).or(default_minutes)?;
    let batching = Batching::every(Duration::from_secs(60) * batch_minutes).unwrap_or(Batching::Off);
    let device_secret_file = table.path("device_secret_file").optional()?;
    Some(SpoolConfig { folder: folder?, quota_bytes: quota?, batching, device_secret_file })
}

fn broker(table: &Table, site: Option<&TopicName>, device: Option<&TopicName>) -> Option<BrokerConfig> {
    let client_id = table.text("client_id").optional();
    let address = BrokerAddress::from_table(table, None);
    let from_names = || Some(format!("umsicht-{}-{}", site?, device?));
    Some(BrokerConfig { address: address?, client_id: client_id?.or_else(from_names)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_sound_and_complete() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/edge-road.toml");
        let config = EdgeConfig::read(&path).unwrap();
        let camera = config.camera.unwrap();
        assert_eq!((camera.intrinsics.width_px, camera.mounting.pitch_degrees), (1280, 4.0));
        assert_eq!(config.broker.client_id, "umsicht-soest-bauhof-3");
        assert_eq!(config.frames, FramePolicy::Latest);
        assert!(config.update.is_none() && config.shadow.is_none(), "both are offers");
    }

    #[test]
    fn a_secret_file_that_says_none_holds_none_and_any_other_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device-secret");
        let spool = SpoolConfig {
            folder: folder.path().join("spool"),
            quota_bytes: MIN_QUOTA_BYTES,
            batching: Batching::Off,
            device_secret_file: Some(file.clone()),
        };
        assert!(spool.settings().is_err(), "a file that is not there is a mistake");
        let secret = DeviceSecret::from_bytes([5; 32]);
        for (text, wanted) in [("none", None), ("none\n", None), (&secret.to_file_text("bus7"), Some(&secret))] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(spool.settings().unwrap().secret.as_ref(), wanted, "{text}");
        }
        for text in ["", "None of it", "# none"] {
            std::fs::write(&file, text).unwrap();
            assert!(spool.settings().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_commented_out_for_updates_and_the_shadow_is_sound_too() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/edge-road.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("# [update]").unwrap();
        let (optional, tail) = rest.split_once("[spool]").unwrap();
        let is_setting = |line: &&str| line.starts_with('[') || line.contains(" = ");
        let written = |line| str::strip_prefix(line, "# ").filter(is_setting).unwrap_or(line);
        let optional: Vec<&str> = optional.lines().map(written).collect();
        let text = format!("{head}[update]{}\n[spool]{tail}", optional.join("\n"));
        let config = crate::config::parse(Path::new("/etc/umsicht/edge.toml"), &text, EdgeConfig::from_table).unwrap();
        let update = config.update.unwrap();
        assert_eq!(update.inbox, update.folder.join("inbox"));
        assert_eq!(config.shadow.unwrap().every_nth_frame, 5);
    }
}
