//! How a device is, as it says itself: `umsicht/1/<site>/<device>/health`, JSON, about once a minute while it is connected.
//!
//! An old state of health helps nobody, so these messages wait in no spool: the next one says it anew. Counters grow from
//! the start of the program unless they say that they are kept.
//!
//! Privacy: it says nothing of where the device was or what it saw. While batches are on, what counts events is said as it
//! stood when the batch began, so that no minute tells of an event. It cannot help saying that the device is switched on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DeviceBlind;

/// One device's state of health. A field that an older device does not send reads as nothing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceHealth {
    /// Version of the program.
    pub program: String,
    pub spool: SpoolHealth,
    pub link: LinkHealth,
    pub delivery: DeliveryHealth,
    pub models: ModelHealth,
    /// Cameras that see nothing right now; whoever missed an event about them learns it here. `None`: the device does not watch
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<Vec<DeviceBlind>>,
    /// Is there a second model beside the first, of which only disagreement is counted?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowHealth>,
    /// By name; empty on a device that does not tell.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cameras: BTreeMap<String, CameraHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineHealth>,
    /// False while somebody has switched recording off, which is their right and no trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<bool>,
}

/// The events that wait on the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolHealth {
    pub items: u64,
    pub bytes_on_disk: u64,
    pub quota_bytes: u64,
    /// By priority: given up for want of space. Kept over restarts.
    pub evicted: BTreeMap<String, u64>,
    /// Items that could not be read back from the disk, by what is known of them. Kept over restarts.
    pub unreadable: u64,
    /// Damaged parts that lie aside under `….damaged` until somebody removes them.
    pub set_aside: u64,
    /// Commits that failed because the disk was full or broken.
    pub failed_commits: u64,
}

/// The way to the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkHealth {
    /// `5` or `3.1.1`.
    pub mqtt: String,
    pub encrypted: bool,
    pub connections: u64,
    pub acknowledged: u64,
    /// Sent again because a connection broke before the broker had proved that it keeps what it acknowledged.
    pub sent_again: u64,
    /// Acknowledged with "no matching subscribers", and sent again.
    pub unheard: u64,
    /// The broker answered that it does not take the item.
    pub refused: u64,
    /// Larger than the broker takes.
    pub too_large: u64,
    /// Pictures that wait because the link policy does not let them out.
    pub held_pictures: u64,
}

/// How road events are kept from telling who drove where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryHealth {
    /// 0: batching is off, events go at once.
    pub batch_minutes: u32,
    /// Events that wait for their batch.
    pub waiting: u64,
}

/// The models in use and the attempts to change them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelHealth {
    /// Name and version of each model in use.
    pub in_use: BTreeMap<String, String>,
    /// Of the bundle in use; 0 for what came with the program.
    pub bundle_version: u64,
    /// Bundles that were activated. Kept over restarts, as are the next two.
    pub activated: u64,
    /// Bundles that were refused: wrong signature, older version, failed self-test.
    pub refused: u64,
    /// Bundles that were taken back after activation.
    pub rolled_back: u64,
    /// Why the last bundle was refused or taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
}

/// A second model that runs beside the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShadowHealth {
    pub model: String,
    pub version: String,
    /// Frames that both have judged.
    pub frames: u64,
    /// Boxes that both have found.
    pub agreed: u64,
    pub only_first: u64,
    pub only_shadow: u64,
}

/// One camera.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraHealth {
    /// Pictures that it gave.
    pub frames: u64,
    /// Not judged, because the next one came first.
    pub dropped: u64,
    /// Not judged, because they came too late.
    pub late: u64,
    pub connections: u64,
    /// Connections that broke or were not made.
    pub failures: u64,
}

/// The way to the position; never the position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PositionHealth {
    /// The receiver, or whoever speaks for it, answers.
    pub connected: bool,
    /// For so many whole minutes there was no fix that can be used; 0 while there is one.
    pub minutes_without_fix: u64,
    /// Frames whose position was bridged over an outage.
    pub bridged: u64,
    /// Fixes that were not used: too inexact, too old, a jump, back in time.
    pub refused: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockHealth {
    /// The system's clock can be believed; otherwise times come from GNSS where there is a fix.
    pub trusted: bool,
    /// Times that it leapt.
    pub leaps: u64,
}

/// The computer. What it cannot tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineHealth {
    /// Of the hottest place, and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hottest: String,
    /// Where the events are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// By this program since midnight UTC, restarts included.
    pub written_today_bytes: u64,
    pub memory_bytes: u64,
}

impl DeviceHealth {
    /// # Panics
    /// Never: it holds only values that JSON can express.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a state of health is plain JSON")
    }

    /// `None` when it cannot be read; a state of health is never worth more than a count of that.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trips_and_tolerates_other_versions() {
        let health = DeviceHealth {
            spool: SpoolHealth { evicted: BTreeMap::from([("evidence".into(), 3)]), ..SpoolHealth::default() },
            shadow: Some(ShadowHealth { frames: 7, ..ShadowHealth::default() }),
            ..DeviceHealth::default()
        };
        assert_eq!(DeviceHealth::from_json(&health.to_json()), Some(health));
        assert_eq!(DeviceHealth::from_json(br#"{"later": 1, "spool": {"items": 2}}"#).unwrap().spool.items, 2);
        assert_eq!(DeviceHealth::from_json(b"{"), None);
    }

    #[test]
    fn what_an_older_device_does_not_send_is_unknown_and_no_trouble() {
        let old = br#"{"program":"0.1.0","spool":{"items":2},"link":{"mqtt":"5"},"delivery":{"batch_minutes":60}}"#;
        let health = DeviceHealth::from_json(old).unwrap();
        assert!(health.cameras.is_empty() && health.position.is_none() && health.clock.is_none());
        assert!(health.machine.is_none() && health.recording.is_none());
        let sent: serde_json::Value = serde_json::from_slice(&DeviceHealth::default().to_json()).unwrap();
        for new in ["cameras", "position", "clock", "machine", "recording"] {
            assert!(sent.get(new).is_none(), "a device without it says nothing of {new}");
        }
    }

    #[test]
    fn a_state_of_health_says_nothing_of_a_place() {
        let health = DeviceHealth {
            cameras: BTreeMap::from([("front".into(), CameraHealth::default())]),
            position: Some(PositionHealth::default()),
            ..DeviceHealth::default()
        };
        let text = String::from_utf8(health.to_json()).unwrap();
        for word in ["\"lat\"", "\"lon\"", "heading", "speed", "accuracy"] {
            assert!(!text.contains(word), "{word} is in {text}");
        }
    }
}
