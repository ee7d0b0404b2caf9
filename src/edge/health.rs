//! How this device is, gathered from its parts; the publisher sends it, see [`DeviceHealth`].

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::edge::batch::Batching;
use crate::edge::publish::HealthSource;
use crate::edge::shadow::Counts;
use crate::edge::spool::Spool;
use crate::edge::update::Updater;
use crate::schema::DeviceHealth;
use crate::schema::health::{DeliveryHealth, ModelHealth};

/// What has something to tell. The publisher runs before models are opened, so they come later, or never.
#[derive(Default)]
pub struct Parts {
    /// Where updates are taken: it knows the models too.
    pub updater: OnceLock<Arc<Updater>>,
    /// Where no updates are taken: name and version of each model in use.
    pub models: OnceLock<BTreeMap<String, String>>,
    pub shadow: OnceLock<Counts>,
}

impl Parts {
    fn models(&self) -> ModelHealth {
        match (self.updater.get(), self.models.get()) {
            (Some(updater), _) => updater.health(),
            (None, Some(in_use)) => ModelHealth { in_use: in_use.clone(), ..ModelHealth::default() },
            (None, None) => ModelHealth::default(),
        }
    }
}

/// Asked between two packets: counts and a look at an index, nothing that waits for long.
#[must_use]
pub fn health(spool: &Arc<Spool>, batching: Batching, parts: &Arc<Parts>) -> HealthSource {
    let (spool, parts) = (Arc::clone(spool), Arc::clone(parts));
    Box::new(move || DeviceHealth {
        program: crate::VERSION.into(),
        delivery: DeliveryHealth { batch_minutes: batching.minutes(), waiting: spool.waiting() as u64 },
        spool: spool.health(),
        models: parts.models(),
        shadow: parts.shadow.get().map(Counts::now),
        ..DeviceHealth::default()
    })
}
