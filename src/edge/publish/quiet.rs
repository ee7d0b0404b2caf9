//! Health that does not undo the batches.
//!
//! Health goes under the device's name once a minute. A count of events that moves with them would tell by the minute when this
//! device saw something, and which of a town's mixed events are its own. So while batches are on, what counts events is said
//! as it stood when the batch began; the next one brings it up to date. What tells of faults of the device itself is said at once.

use time::OffsetDateTime;

use crate::schema::DeviceHealth;

/// What was said first in a batch.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    said: Option<(i64, DeviceHealth)>,
}

impl Quiet {
    /// What may be said at `now`.
    pub fn hush(&mut self, health: DeviceHealth, now: OffsetDateTime) -> DeviceHealth {
        let seconds = i64::from(health.delivery.batch_minutes) * 60;
        if seconds == 0 {
            return health;
        }
        let batch = now.unix_timestamp().div_euclid(seconds);
        let kept = match self.said.take() {
            Some((of, kept)) if of == batch => kept,
            _ => health.clone(),
        };
        let mut said = health;
        let (link, spool) = (&mut said.link, &mut said.spool);
        link.acknowledged = kept.link.acknowledged;
        link.sent_again = kept.link.sent_again;
        link.unheard = kept.link.unheard;
        link.held_pictures = kept.link.held_pictures;
        spool.items = kept.spool.items;
        spool.bytes_on_disk = kept.spool.bytes_on_disk;
        spool.evicted = kept.spool.evicted.clone();
        said.delivery.waiting = kept.delivery.waiting;
        said.shadow.clone_from(&kept.shadow);
        // While a picture of something is made, frames are dropped.
        for (name, camera) in &mut said.cameras {
            camera.dropped = kept.cameras.get(name).map_or(0, |kept| kept.dropped);
        }
        // Each event is written to the disk, and each tunnel is a place.
        if let (Some(machine), Some(kept)) = (&mut said.machine, &kept.machine) {
            machine.written_today_bytes = kept.written_today_bytes;
            machine.disk_free_bytes = kept.disk_free_bytes;
            machine.memory_bytes = kept.memory_bytes;
        }
        if let (Some(position), Some(kept)) = (&mut said.position, &kept.position) {
            position.bridged = kept.bridged;
            position.refused = kept.refused;
        }
        self.said = Some((batch, kept));
        said
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::schema::health::{DeliveryHealth, MachineHealth, PositionHealth};

    fn health(batch_minutes: u32, events: u64) -> DeviceHealth {
        let mut health =
            DeviceHealth { delivery: DeliveryHealth { batch_minutes, waiting: events }, ..DeviceHealth::default() };
        (health.link.acknowledged, health.spool.items, health.spool.unreadable) = (events, events, events);
        health
    }

    #[test]
    fn within_a_batch_counts_of_events_stand_still_and_faults_are_told() {
        let mut quiet = Quiet::default();
        let at = datetime!(2026-03-17 09:10 UTC);
        assert_eq!(quiet.hush(health(60, 1), at), health(60, 1));
        let later = quiet.hush(health(60, 5), at + time::Duration::minutes(30));
        assert_eq!((later.link.acknowledged, later.spool.items, later.delivery.waiting), (1, 1, 1));
        assert_eq!(later.spool.unreadable, 5, "a fault is no event");
        assert_eq!(quiet.hush(health(60, 7), at + time::Duration::minutes(50)), health(60, 7), "the next batch");
    }

    #[test]
    fn within_a_batch_neither_the_disk_nor_outages_of_the_fix_tell_of_events() {
        let health = |count: u64, celsius: i32| DeviceHealth {
            machine: Some(MachineHealth {
                written_today_bytes: count,
                disk_free_bytes: Some(1000 - count),
                temperature_celsius: Some(celsius),
                ..MachineHealth::default()
            }),
            position: Some(PositionHealth { bridged: count, refused: count, ..PositionHealth::default() }),
            ..health(60, 0)
        };
        let mut quiet = Quiet::default();
        let at = datetime!(2026-03-17 09:10 UTC);
        quiet.hush(health(1, 40), at);
        assert_eq!(quiet.hush(health(2, 90), at + time::Duration::minutes(30)), health(1, 90));
    }

    #[test]
    fn without_batches_all_is_told() {
        let mut quiet = Quiet::default();
        let at = datetime!(2026-03-17 09:10 UTC);
        for events in 0..3 {
            assert_eq!(quiet.hush(health(0, events), at), health(0, events));
        }
    }
}
