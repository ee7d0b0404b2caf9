//! The device's settings, read from TOML and checked. `config/edge-road.toml` shows them all with their meaning.

pub mod camera;
pub mod model;
pub mod spool;

use std::path::{Path, PathBuf};

pub use self::camera::{CameraConfig, MountedCamera, assumed_camera};
pub use self::model::{ModelConfig, ShadowConfig, UpdateConfig};
use self::model::{model, shadow, update};
use self::spool::spool;
pub use self::spool::{SecretError, SpoolConfig};
use crate::config::{ConfigError, Table};
use crate::edge::coverage::CoveragePolicy;
use crate::edge::danger::DangerProfile;
use crate::edge::fix::settings::GnssConfig;
use crate::edge::link::policy::LinkPolicy;
use crate::edge::local::LocalConfig;
use crate::edge::publish::BrokerConfig;
use crate::edge::vehicle::VehicleConfig;
use crate::edge::zones;
use crate::mqtt::BrokerAddress;
use crate::schema::topic::TopicName;

#[derive(Debug, Clone)]
pub struct EdgeConfig {
    pub site: TopicName,
    pub device: TopicName,
    /// At least one.
    pub cameras: Vec<CameraConfig>,
    pub gnss: GnssConfig,
    pub recording: RecordingConfig,
    pub vehicle: VehicleConfig,
    pub coverage: CoveragePolicy,
    pub local: LocalConfig,
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

/// Where nothing is recorded; when nothing is, the vehicle's switch and `POST /recording/off` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingConfig {
    /// GeoJSON.
    pub privacy_zones_file: Option<PathBuf>,
}

impl EdgeConfig {
    /// The first camera: what commands mean that work with one.
    #[must_use]
    pub fn first_camera(&self) -> &CameraConfig {
        &self.cameras[0]
    }

    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        crate::config::read(path, Self::from_table)
    }

    fn from_table(root: &Table) -> Option<Self> {
        let site = root.parsed("site", "\"soest\"", TopicName::new).required("site = \"soest\"");
        let device = root.parsed("device", "\"bauhof-3\"", TopicName::new).required("device = \"bauhof-3\"");
        let cameras = CameraConfig::all_from_table(&root.table("camera"));
        let gnss = GnssConfig::from_table(&root.table("gnss"));
        let privacy_zones_file = zones::file_from_table(&root.table("recording"));
        let vehicle = VehicleConfig::from_table(&root.table("vehicle"));
        let coverage = CoveragePolicy::from_table(&root.table("coverage"));
        let local = LocalConfig::from_table(&root.table("local"));
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
            cameras: cameras?,
            gnss: gnss?,
            recording: RecordingConfig { privacy_zones_file: privacy_zones_file? },
            vehicle: vehicle?,
            coverage: coverage?,
            local: local?,
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

fn danger(table: &Table) -> Option<DangerProfile> {
    let default = DangerProfile::default();
    let width = table.number("min_width_metres", 0.05..=5.0).or(default.min_width_metres);
    let length = table.number("min_length_metres", 0.05..=5.0).or(default.min_length_metres);
    let score = table.number("min_score", 0.0..=1.0).or(f64::from(default.min_score));
    Some(DangerProfile { min_width_metres: width?, min_length_metres: length?, min_score: score? as f32 })
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
    use crate::edge::source::settings::FramePolicy;

    #[test]
    fn the_example_is_sound_and_complete() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/edge-road.toml");
        let config = EdgeConfig::read(&path).unwrap();
        assert_eq!(config.cameras[0].name, "front");
        assert_eq!(config.cameras[0].mounted, None, "whoever edits only the source has not measured anything");
        assert_eq!(config.broker.client_id, "umsicht-soest-bauhof-3");
        assert_eq!(config.cameras[0].settings.policy.frames, FramePolicy::Latest);
        assert!(config.update.is_none() && config.shadow.is_none(), "both are offers");
    }

    fn written(line: &str) -> &str {
        let is_setting = |line: &&str| line.starts_with('[') || line.contains(" = ");
        line.strip_prefix("# ").filter(is_setting).unwrap_or(line)
    }

    /// The example with what is commented out from one line to another written out.
    fn example_with(parts: &[(&str, &str)]) -> EdgeConfig {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/edge-road.toml");
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in parts {
            let (head, rest) = text.split_once(from).unwrap();
            let (optional, tail) = rest.split_once(to).unwrap();
            let optional: Vec<&str> = optional.lines().map(written).collect();
            text = format!("{head}{}{}\n{to}{tail}", written(from), optional.join("\n"));
        }
        crate::config::parse(Path::new("/etc/umsicht/edge.toml"), &text, EdgeConfig::from_table).unwrap()
    }

    #[test]
    fn what_is_commented_out_for_updates_and_the_shadow_is_sound_too() {
        let config = example_with(&[("# [update]", "[spool]")]);
        let update = config.update.unwrap();
        assert_eq!(update.inbox, update.folder.join("inbox"));
        assert_eq!(config.shadow.unwrap().every_nth_frame, 5);
    }

    #[test]
    fn what_is_commented_out_about_the_vehicle_shows_the_defaults_and_sound_offers() {
        let plain = example_with(&[]);
        let config = example_with(&[("# [camera.front.blind]", "[gnss]"), ("# [recording]", "[model]")]);
        let mut blind = config.cameras[0].blind.clone();
        assert_eq!(blind.off.len(), 1);
        blind.off.clear();
        assert_eq!(blind, plain.cameras[0].blind);
        assert_eq!((config.coverage, config.local), (plain.coverage, plain.local));
        assert!(config.recording.privacy_zones_file.is_some() && config.vehicle.inputs().count() == 4);
    }
}
