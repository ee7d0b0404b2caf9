//! How this device is, gathered from its parts; the publisher sends it, see [`DeviceHealth`].

use std::sync::Arc;

use crate::edge::batch::Batching;
use crate::edge::publish::HealthSource;
use crate::edge::spool::Spool;
use crate::schema::DeviceHealth;
use crate::schema::health::DeliveryHealth;

/// Asked between two packets: counts and a look at an index, nothing that waits for a disk.
#[must_use]
pub fn health(spool: &Arc<Spool>, batching: Batching) -> HealthSource {
    let spool = Arc::clone(spool);
    Box::new(move || DeviceHealth {
        program: crate::VERSION.into(),
        delivery: DeliveryHealth { batch_minutes: batching.minutes(), waiting: spool.stats().waiting as u64 },
        spool: spool.health(),
        ..DeviceHealth::default()
    })
}
