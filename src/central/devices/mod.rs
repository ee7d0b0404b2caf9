//! How the devices are right now: the latest that each has said, in memory alone.
//!
//! Privacy: there is no history, on no disk and in no log. When a device was switched on is when somebody was on duty.

mod concern;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use concern::{Concern, PROBLEMS, Problem, blind, concerns};

use crate::schema::topic::TopicName;
use crate::schema::{DeviceBlind, DeviceHealth, DeviceRecovered};

/// More names than a town has vehicles come from a broker that lets anybody in.
const MOST_DEVICES: usize = 1000;
/// More cameras than a device has.
const MOST_CAMERAS: usize = 32;

/// What a message on a device's own topics says.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Online(bool),
    Health(Box<DeviceHealth>),
    Blind(DeviceBlind),
    Recovered(DeviceRecovered),
    /// The retained status was cleared: the device is no longer one of this town's.
    Gone,
    Unreadable,
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub name: TopicName,
    /// What it said itself, or its last will.
    pub online: bool,
    /// `None` until it has said so, also after this service was started anew.
    pub health: Option<DeviceHealth>,
    /// The cameras that see nothing, by name.
    pub blind: BTreeMap<String, DeviceBlind>,
}

impl Device {
    /// Events leave this device as they are made, not in batches: who drove where can be read from the stream.
    #[must_use]
    pub fn unbatched(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.delivery.batch_minutes == 0)
    }

    #[must_use]
    pub fn concerns(&self) -> Vec<Concern> {
        let blind = self.blind.values().map(blind);
        blind.chain(self.health.as_ref().map(concerns).unwrap_or_default()).collect()
    }

    fn see(&mut self, blind: DeviceBlind) {
        if self.blind.len() < MOST_CAMERAS || self.blind.contains_key(&blind.camera) {
            self.blind.insert(blind.camera.clone(), blind);
        }
    }
}

/// Devices in short, for the bar of the page and for alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCounts {
    pub known: u64,
    pub online: u64,
    /// Devices that something is wrong with, online or not.
    pub with_concerns: u64,
    /// Devices with a camera that sees nothing, online or not.
    pub blind: u64,
    /// Online devices that do not batch.
    pub unbatched: u64,
}

/// All devices that have spoken since this service started.
#[derive(Debug, Default)]
pub struct Devices {
    by_name: Mutex<BTreeMap<TopicName, Device>>,
    unreadable: AtomicU64,
    revision: AtomicU64,
}

impl Devices {
    /// True when something changed that a person looking at the devices would want to see at once.
    pub fn take(&self, name: &TopicName, news: News) -> bool {
        let mut devices = self.lock();
        let before = devices.get(name).map(shown);
        match news {
            News::Unreadable => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            News::Gone => {
                devices.remove(name);
            }
            _ if before.is_none() && devices.len() >= MOST_DEVICES => return false,
            News::Online(online) => entry(&mut devices, name).online = online,
            News::Health(health) => {
                let device = entry(&mut devices, name);
                // Who says how it is, is there, unless it is known to be gone: a message may have waited at the broker.
                device.online |= before.is_none();
                // An event may have been missed, or a recovery never told because the device was switched off.
                if let Some(blind) = &health.blind {
                    device.blind.clear();
                    blind.iter().cloned().for_each(|blind| device.see(blind));
                }
                device.health = Some(*health);
            }
            News::Blind(blind) => {
                let device = entry(&mut devices, name);
                device.online |= before.is_none();
                device.see(blind);
            }
            News::Recovered(recovered) => {
                let device = entry(&mut devices, name);
                device.online |= before.is_none();
                device.blind.remove(&recovered.camera);
            }
        }
        let changed = before != devices.get(name).map(shown);
        if changed {
            self.revision.fetch_add(1, Ordering::AcqRel);
        }
        changed
    }

    /// By name.
    #[must_use]
    pub fn all(&self) -> Vec<Device> {
        self.lock().values().cloned().collect()
    }

    #[must_use]
    pub fn counts(&self) -> DeviceCounts {
        let devices = self.lock();
        let count = |which: &dyn Fn(&Device) -> bool| devices.values().filter(|device| which(device)).count() as u64;
        DeviceCounts {
            known: devices.len() as u64,
            online: count(&|d| d.online),
            with_concerns: count(&|d| !d.concerns().is_empty()),
            blind: count(&|d| !d.blind.is_empty()),
            unbatched: count(&|d| d.online && d.unbatched()),
        }
    }

    /// Messages about a device's state that could not be read, since the start.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Grows whenever [`Devices::take`] says that something changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicName, Device>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters that only grow while all is well are no news.
fn shown(device: &Device) -> (bool, bool, Vec<Concern>, Option<BTreeMap<String, String>>) {
    let models = device.health.as_ref().map(|health| health.models.in_use.clone());
    (device.online, device.unbatched(), device.concerns(), models)
}

fn entry<'d>(devices: &'d mut BTreeMap<TopicName, Device>, name: &TopicName) -> &'d mut Device {
    let new = || Device { name: name.clone(), online: false, health: None, blind: BTreeMap::new() };
    devices.entry(name.clone()).or_insert_with(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::BlindReason;
    use crate::schema::health::{DeliveryHealth, LinkHealth, SpoolHealth};

    fn name(text: &str) -> TopicName {
        TopicName::new(text).unwrap()
    }

    fn health(batch_minutes: u32, acknowledged: u64) -> News {
        News::Health(Box::new(DeviceHealth {
            delivery: DeliveryHealth { batch_minutes, waiting: 0 },
            link: LinkHealth { acknowledged, ..LinkHealth::default() },
            ..DeviceHealth::default()
        }))
    }

    #[test]
    fn the_latest_is_kept_and_only_what_matters_is_news() {
        let devices = Devices::default();
        assert!(devices.take(&name("bus7"), News::Online(true)));
        assert!(!devices.take(&name("bus7"), News::Online(true)));
        assert!(devices.take(&name("bus7"), health(60, 1)), "its first state of health");
        assert!(!devices.take(&name("bus7"), health(60, 2)), "a counter that grows");
        assert!(devices.take(&name("bus7"), health(0, 3)), "batching was switched off");
        assert_eq!(devices.counts(), DeviceCounts { known: 1, online: 1, with_concerns: 1, blind: 0, unbatched: 1 });
        assert!(devices.take(&name("bus7"), News::Online(false)));
        assert_eq!(devices.counts().unbatched, 0, "an offline device sends nothing");
        assert!(!devices.take(&name("bus7"), News::Unreadable));
        assert_eq!((devices.unreadable(), devices.all().len()), (1, 1));
        assert!(devices.take(&name("bus7"), News::Gone));
        assert!(devices.all().is_empty());
    }

    fn blind(camera: &str, reason: BlindReason) -> DeviceBlind {
        DeviceBlind { camera: camera.into(), reason, since: time::macros::datetime!(2026-03-17 09:47:11 UTC) }
    }

    #[test]
    fn a_blind_camera_is_the_first_concern_until_it_sees_again() {
        let devices = Devices::default();
        devices.take(&name("pool"), health(0, 1));
        assert!(devices.take(&name("pool"), News::Blind(blind("north", BlindReason::Covered))));
        assert!(!devices.take(&name("pool"), News::Blind(blind("north", BlindReason::Covered))), "told again");
        assert!(devices.take(&name("pool"), News::Blind(blind("north", BlindReason::Dark))), "for another reason");
        assert!(devices.take(&name("pool"), News::Blind(blind("south", BlindReason::Frozen))));
        let codes = || devices.all()[0].concerns().iter().map(|c| c.problem).collect::<Vec<_>>();
        assert_eq!(codes(), [Problem::Blind, Problem::Blind, Problem::Unbatched]);
        assert_eq!(devices.counts().blind, 1);
        devices.take(&name("pool"), health(0, 2));
        assert_eq!(codes().len(), 3, "an older device says nothing of its cameras in its health");
        let sees =
            |camera: &str| DeviceRecovered { camera: camera.into(), reason: BlindReason::Dark, blind_seconds: 9 };
        assert!(devices.take(&name("pool"), News::Recovered(sees("north"))));
        assert!(!devices.take(&name("pool"), News::Recovered(sees("north"))));
        assert_eq!(codes(), [Problem::Blind, Problem::Unbatched]);
    }

    #[test]
    fn health_corrects_what_was_missed_of_cameras() {
        let devices = Devices::default();
        let says = |blind: Vec<DeviceBlind>| {
            News::Health(Box::new(DeviceHealth { blind: Some(blind), ..DeviceHealth::default() }))
        };
        devices.take(&name("pool"), News::Blind(blind("north", BlindReason::Covered)));
        assert!(devices.take(&name("pool"), says(vec![blind("south", BlindReason::Dark)])));
        assert_eq!(devices.all()[0].blind.keys().collect::<Vec<_>>(), ["south"]);
        devices.take(&name("pool"), says(Vec::new()));
        assert_eq!(devices.counts().blind, 0);
        let many = (0..2 * MOST_CAMERAS).map(|n| blind(&n.to_string(), BlindReason::Dark)).collect();
        devices.take(&name("pool"), says(many));
        assert_eq!(devices.all()[0].blind.len(), MOST_CAMERAS);
    }

    #[test]
    fn health_that_waited_at_the_broker_brings_no_device_back() {
        let devices = Devices::default();
        devices.take(&name("bus7"), health(60, 1));
        assert!(devices.all()[0].online, "nobody has said that it is gone");
        devices.take(&name("bus7"), News::Online(false));
        devices.take(&name("bus7"), health(60, 2));
        assert!(!devices.all()[0].online);
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let devices = Devices::default();
        for number in 0..2 * MOST_DEVICES {
            devices.take(&name(&format!("d{number}")), News::Online(true));
        }
        assert_eq!(devices.all().len(), MOST_DEVICES);
        let spool = SpoolHealth { set_aside: 1, ..SpoolHealth::default() };
        let news = News::Health(Box::new(DeviceHealth { spool, ..DeviceHealth::default() }));
        assert!(devices.take(&name("d0"), news), "those that are known are still heard");
    }
}
