//! `[spool]`: where events wait, for how long, and whose they are.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Table;
use crate::edge::batch::{Batching, DEFAULT_BATCH};
use crate::edge::spool::{MIN_QUOTA_BYTES, SpoolSettings};
use crate::schema::device_tag::DeviceSecret;

/// A day; whoever wants events later wants no events.
const MAX_BATCH_MINUTES: u32 = 24 * 60;
const DEFAULT_QUOTA_BYTES: u64 = 256 * 1024 * 1024;
/// Stands in the secret's file of a device that was not enrolled; see `systemd/umsicht-edge.service`.
const NO_SECRET: &str = "none";

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

pub(super) fn spool(table: &Table) -> Option<SpoolConfig> {
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/spool\"");
    let quota = table.integer("quota_bytes", MIN_QUOTA_BYTES..=1 << 40).or(DEFAULT_QUOTA_BYTES);
    // 0 switches batching off.
    let default_minutes = u32::try_from(DEFAULT_BATCH.as_secs() / 60).unwrap_or(u32::MAX);
    let batch_minutes = table.integer("batch_minutes", 0..=MAX_BATCH_MINUTES).or(default_minutes)?;
    let batching = Batching::every(Duration::from_secs(60) * batch_minutes).unwrap_or(Batching::Off);
    let device_secret_file = table.path("device_secret_file").optional()?;
    Some(SpoolConfig { folder: folder?, quota_bytes: quota?, batching, device_secret_file })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
