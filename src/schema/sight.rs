//! Events about a device's own eyes: a camera has become blind, and sees again.
//!
//! They carry exact times and travel under the device, at once: whoever relies on the camera must know. They say nothing of
//! where the device was or what it saw.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::RejectedEvent;
use super::blind::BlindReason;

/// Longer names of cameras are refused.
pub const MAX_CAMERA_CHARACTERS: usize = 64;

/// A camera sees nothing; also how a state of health names the cameras that are blind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBlind {
    /// As the device's configuration calls it.
    pub camera: String,
    pub reason: BlindReason,
    /// From when on nothing can be relied on: before the moment at which it was noticed.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// A camera sees again, whatever it was blind for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecovered {
    pub camera: String,
    /// What it was blind for last.
    pub reason: BlindReason,
    pub blind_seconds: u64,
}

impl DeviceBlind {
    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, RejectedEvent> {
        let blind: Self = serde_json::from_value(value).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
        check_camera(&blind.camera).map(|()| blind)
    }
}

impl DeviceRecovered {
    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, RejectedEvent> {
        let recovered: Self = serde_json::from_value(value).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
        check_camera(&recovered.camera).map(|()| recovered)
    }
}

/// A name that people can be shown.
fn check_camera(name: &str) -> Result<(), RejectedEvent> {
    let fine =
        !name.trim().is_empty() && name.chars().count() <= MAX_CAMERA_CHARACTERS && !name.chars().any(char::is_control);
    if fine {
        Ok(())
    } else {
        Err(RejectedEvent::Payload(format!("camera is no name of 1 to {MAX_CAMERA_CHARACTERS} characters")))
    }
}
