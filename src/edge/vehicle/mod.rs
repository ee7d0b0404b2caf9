//! What the vehicle and its driver tell the device: ignition, the mark button, the recording switch, a wet road.
//!
//! Each input is a file that reads 0 or 1 (a GPIO line, `/sys/class/power_supply/*/online`, anything a script writes) or a
//! key or switch of an input device (`/dev/input/event*`). An input that fails is told once in the log, tried again, and
//! holds nothing up.

mod code;
mod evdev;
pub mod input;
mod level;
pub mod mark;
pub mod parked;
pub mod recording;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::input::{Input, Key, Switch};
pub use self::level::Level;
pub use self::mark::{Mark, MarkError, Marks};
pub use self::recording::{Recording, RecordingError};

use crate::config::Table;

/// The starter draws the voltage down; an ignition that goes off for less than this did not go off. It counts against the
/// ten seconds in which the device must have stopped in order.
const IGNITION_SETTLE_MILLIS: u64 = 1500;
const MAX_IGNITION_SETTLE_MILLIS: u64 = 4000;
const SWITCH_SETTLE_MILLIS: u64 = 100;
/// The slowest interval of a wiper is about half a minute; after rain a road stays wet for longer than that.
const DRY_AFTER_SECONDS: u64 = 300;

/// The `[vehicle]` section; an input that is not set up is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VehicleConfig {
    /// On while the vehicle is in use.
    pub ignition: Option<Switch>,
    pub mark: Option<Key>,
    /// On while recording is allowed.
    pub recording: Option<Switch>,
    /// On when the road is wet: the wiper's signal.
    pub wet: Option<Switch>,
}

impl VehicleConfig {
    pub fn from_table(table: &Table) -> Option<Self> {
        let ignition = Switch::from_table(&table.table("ignition"), IGNITION_SETTLE_MILLIS, MAX_IGNITION_SETTLE_MILLIS);
        let mark = Key::from_table(&table.table("mark"));
        let recording = Switch::from_table(&table.table("recording"), SWITCH_SETTLE_MILLIS, MAX_IGNITION_SETTLE_MILLIS);
        let wet = wet(&table.table("wet"));
        Some(Self { ignition: ignition?, mark: mark?, recording: recording?, wet: wet? })
    }

    /// The input devices and files that the service must be able to read.
    pub fn inputs(&self) -> impl Iterator<Item = (&'static str, &std::path::Path)> {
        let switches =
            [("vehicle.ignition", &self.ignition), ("vehicle.recording", &self.recording), ("vehicle.wet", &self.wet)];
        let switches = switches.into_iter().filter_map(|(name, switch)| Some((name, switch.as_ref()?.input.path())));
        switches.chain(self.mark.as_ref().map(|key| ("vehicle.mark", key.device.as_path())))
    }
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
fn wet(table: &Table) -> Option<Option<Switch>> {
    let dry_after = table.integer("dry_after_seconds", 0..=3600_u64).or(DRY_AFTER_SECONDS);
    // One stroke of the wiper is rain.
    let switch = Switch::from_table(table, 0, MAX_IGNITION_SETTLE_MILLIS)?;
    let falls_after = Duration::from_secs(dry_after?);
    Some(switch.map(|switch| Switch { falls_after, ..switch }))
}

/// The inputs of a run while they are watched; dropping it ends that.
pub struct Vehicle {
    /// `None` until the input has told, and where none is set up.
    pub wet: watch::Receiver<Option<Level>>,
    _tasks: JoinSet<()>,
}

impl Vehicle {
    /// Must be called within a runtime.
    #[must_use]
    pub fn watch(config: &VehicleConfig, recording: &Arc<Recording>, marks: &Arc<Marks>) -> Self {
        let mut tasks = JoinSet::new();
        let (wet, wet_level) = watch::channel(None);
        if let Some(switch) = config.wet.clone() {
            tasks.spawn(tell_level(switch, wet));
        }
        if let Some(switch) = config.recording.clone() {
            let recording = Arc::clone(recording);
            tasks.spawn(level::follow(switch, move |level| recording.see_switch(level.on)));
        }
        if let Some(key) = config.mark.clone() {
            let marks = Arc::clone(marks);
            tasks.spawn(async move {
                evdev::follow(&key.device, |record| {
                    if record.is_press_of(key.code) {
                        marks.press_or_tell();
                    }
                })
                .await;
            });
        }
        Self { wet: wet_level, _tasks: tasks }
    }
}

/// The ignition, which outlives a run: an input device says how it stands only when that changes. Dropping it ends the watch.
pub struct Ignition {
    pub level: watch::Receiver<Option<Level>>,
    _task: JoinSet<()>,
}

impl Ignition {
    /// `None` where none is connected. Must be called within a runtime.
    #[must_use]
    pub fn watch(config: &VehicleConfig) -> Option<Self> {
        let switch = config.ignition.clone()?;
        let (to, level) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(tell_level(switch, to));
        Some(Self { level, _task: task })
    }
}

impl Ignition {
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.level.borrow().is_some_and(|level| !level.on)
    }
}

async fn tell_level(switch: Switch, to: watch::Sender<Option<Level>>) {
    level::follow(switch, |level| {
        to.send_replace(Some(level));
    })
    .await;
}

#[cfg(test)]
mod tests;
