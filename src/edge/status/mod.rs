//! How this device is right now, in full: for the technician beside it, over loopback.
//!
//! What leaves over the broker is a part of it, see [`DeviceStatus::health`]. Neither says where the device is or was: the
//! last fix shows its age and accuracy alone.

pub mod page;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::trouble::{Severity, Trouble, troubles};

use crate::edge::machine::{Disk, Temperature};
use crate::schema::DeviceHealth;
use crate::schema::health::{
    CameraHealth, ClockHealth, DeliveryHealth, LinkHealth, MachineHealth, ModelHealth, PositionHealth, ShadowHealth,
    SpoolHealth,
};

/// Asked whenever somebody wants to know; it may lock what it looks at, but must not wait for work to be done.
pub type StatusSource = Arc<dyn Fn() -> DeviceStatus + Send + Sync>;

/// Minutes without a fix leave the device in steps of this: the minute in which a tunnel ends would be a place.
const MINUTES_IN_STEPS: u64 = 5;
/// What is free leaves the device in steps of this, so that no picture shows in it.
const DISK_IN_STEPS: u64 = 64 << 20;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceStatus {
    pub site: String,
    pub device: String,
    /// Version of the program.
    pub program: String,
    pub uptime_seconds: u64,
    /// By name.
    pub cameras: BTreeMap<String, CameraStatus>,
    pub position: PositionStatus,
    pub clock: ClockStatus,
    pub recording: RecordingStatus,
    /// `None`: no ignition input is set up, or it has not told yet.
    pub ignition_on: Option<bool>,
    pub models: ModelHealth,
    pub shadow: Option<ShadowHealth>,
    pub spool: SpoolHealth,
    pub delivery: DeliveryHealth,
    /// To the broker, right now.
    pub connected: bool,
    pub link: LinkHealth,
    pub machine: MachineStatus,
    pub watchdog: WatchdogStatus,
    /// Marks of the driver that were reported since the start, and presses of which nothing was: recording was off, there was no
    /// fix, or nothing may be recorded there.
    pub marks: u64,
    pub marks_refused: u64,
    /// `None`: nobody has asked for a reload in this run.
    pub last_reload: Option<ReloadStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraStatus {
    /// In one word: `connecting`, `delivering`, `waiting` (before the next attempt), `ended`.
    pub state: String,
    /// Why it sees nothing that can be judged, see [`crate::schema::BlindReason`].
    pub blind: Option<String>,
    /// Pictures that it gave.
    pub frames: u64,
    pub dropped: u64,
    pub late: u64,
    /// Not judged, because the mounting was measured for another size.
    pub wrong_size: u64,
    pub frames_per_second_last_minute: f64,
    pub connections: u64,
    pub failures: u64,
    /// May hold an address; [`DeviceStatus::without_secrets`] takes what logs in out of it.
    pub last_error: Option<String>,
    pub width_px: u32,
    pub height_px: u32,
    pub decoder: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PositionStatus {
    /// As configured: `gpsd 127.0.0.1:2947`, a serial port, a file.
    pub source: String,
    pub connected: bool,
    /// `None`: there was no fix in this run.
    pub fix_age_seconds: Option<f64>,
    /// One sigma, horizontal.
    pub accuracy_metres: Option<f64>,
    /// The last frame's position was bridged over an outage.
    pub bridging: bool,
    pub fixes: u64,
    /// Frames whose position was bridged.
    pub bridged: u64,
    pub frames_without_fix: u64,
    /// Fixes that were not used, by the reason.
    pub refused: BTreeMap<String, u64>,
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockStatus {
    pub trusted: bool,
    pub leaps: u64,
    /// System clock less GNSS time, where there is a fix.
    pub ahead_of_gnss_seconds: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordingStatus {
    pub on: bool,
    /// In plain words.
    pub why_off: Option<String>,
}

impl Default for RecordingStatus {
    fn default() -> Self {
        Self { on: true, why_off: None }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineStatus {
    pub hottest: Option<Temperature>,
    /// Where the events are kept.
    pub disk: Option<Disk>,
    /// By this program since midnight UTC, restarts included.
    pub written_today_bytes: u64,
    pub memory_bytes: u64,
    pub cpu_seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchdogStatus {
    /// How long systemd waits for a sign of life; `None`: it watches not.
    pub limit_seconds: Option<u64>,
    pub feeds: u64,
    /// Times that a sign of life was due and there was no progress to tell.
    pub withheld: u64,
    /// What stands still right now.
    pub stuck: Option<String>,
}

/// What became of the last reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why the configuration before is still in use; `None`: the new one is.
    pub refused: Option<String>,
}

impl DeviceStatus {
    /// What leaves the device once a minute: counts and states, no place, no address, no text of an error.
    #[must_use]
    pub fn health(&self) -> DeviceHealth {
        let camera = |camera: &CameraStatus| CameraHealth {
            frames: camera.frames,
            dropped: camera.dropped,
            late: camera.late,
            connections: camera.connections,
            failures: camera.failures,
        };
        // Without a fix in this run, the run is how long there was none.
        let seconds = self.position.fix_age_seconds.unwrap_or(self.uptime_seconds as f64);
        let minutes_without_fix = (seconds.max(0.0) / 60.0) as u64 / MINUTES_IN_STEPS * MINUTES_IN_STEPS;
        DeviceHealth {
            program: self.program.clone(),
            spool: self.spool.clone(),
            link: self.link.clone(),
            delivery: self.delivery.clone(),
            models: self.models.clone(),
            shadow: self.shadow.clone(),
            blind: None,
            cameras: self.cameras.iter().map(|(name, status)| (name.clone(), camera(status))).collect(),
            position: Some(PositionHealth {
                connected: self.position.connected,
                minutes_without_fix,
                bridged: self.position.bridged,
                refused: self.position.refused.values().sum(),
            }),
            clock: Some(ClockHealth { trusted: self.clock.trusted, leaps: self.clock.leaps }),
            machine: Some(MachineHealth {
                temperature_celsius: self.machine.hottest.as_ref().map(|hottest| hottest.celsius.round() as i32),
                hottest: self.machine.hottest.as_ref().map(|hottest| hottest.place.clone()).unwrap_or_default(),
                disk_free_bytes: self.machine.disk.map(|disk| disk.free_bytes / DISK_IN_STEPS * DISK_IN_STEPS),
                disk_total_bytes: self.machine.disk.map(|disk| disk.total_bytes),
                written_today_bytes: self.machine.written_today_bytes,
                memory_bytes: self.machine.memory_bytes,
            }),
            recording: Some(self.recording.on),
        }
    }

    /// Without what logs in anywhere: every program on the device may ask for the status.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        for camera in self.cameras.values_mut() {
            camera.last_error = camera.last_error.take().map(|text| without_credentials(&text));
        }
        self.position.source = without_credentials(&self.position.source);
        self.position.last_error = self.position.last_error.take().map(|text| without_credentials(&text));
        if let Some(reload) = &mut self.last_reload {
            reload.refused = reload.refused.take().map(|text| without_credentials(&text));
        }
        self
    }
}

/// `rtsp://user:password@camera/1` becomes `rtsp://…@camera/1`, wherever it stands in a text.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + "://".len());
        clean.push_str(head);
        // A password may hold slashes and more @ than one where somebody did not escape them: all up to the last @ goes.
        let word_ends =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).unwrap_or(tail.len());
        let (word, after) = tail.split_at(word_ends);
        match word.rfind('@') {
            Some(at) => {
                clean.push('…');
                clean.push_str(&word[at..]);
            }
            None => clean.push_str(word),
        }
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests;
