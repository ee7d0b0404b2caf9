//! Removes what one device has reported on some days, when both roles that hold a share of its secret want it.
//!
//! Nobody can tell one device's events from another's without both shares, the town's service as little as anybody else.

use std::collections::HashMap;
use std::path::PathBuf;

use time::{Date, OffsetDateTime, UtcOffset};

use super::shares::{CannotJoin, Share, join};
use super::store::{Match, Purged, Store, StoreError};
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::schema::DeviceSecret;
use crate::schema::device_tag::DayKey;

#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    #[error(transparent)]
    Share(#[from] ConfigError),
    #[error("{0}")]
    CannotJoin(#[from] CannotJoin),
    #[error("write both shares: --share A --share B; one alone tells nothing")]
    NotTwo,
    #[error("--from {0} is later than --to {1}")]
    Backwards(Date, Date),
    #[error("there is no day after {0}")]
    NoNextDay(Date),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PurgeError> for Failure {
    fn from(error: PurgeError) -> Self {
        match error {
            PurgeError::Share(error) => error.into(),
            PurgeError::Store(StoreError::Corrupt(_)) => Self::data(error),
            PurgeError::Store(_) => Self::unavailable(error),
            _ => Self::usage(error),
        }
    }
}

/// UTC days, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    from: Date,
    to: Date,
}

impl Days {
    pub fn new(from: Date, to: Date) -> Result<Self, PurgeError> {
        if from > to {
            return Err(PurgeError::Backwards(from, to));
        }
        to.next_day().ok_or(PurgeError::NoNextDay(to))?;
        Ok(Self { from, to })
    }

    fn hours(self) -> (OffsetDateTime, OffsetDateTime) {
        let until = self.to.next_day().unwrap_or(self.to);
        (self.from.midnight().assume_utc(), until.midnight().assume_utc())
    }
}

/// The secret out of the files of both roles.
pub fn secret_of(files: &[PathBuf]) -> Result<DeviceSecret, PurgeError> {
    match files {
        [one, other] => Ok(join(&Share::read(one)?, &Share::read(other)?)?),
        _ => Err(PurgeError::NotTwo),
    }
}

/// Removes the device's events of these days, or only counts them.
pub async fn purge(store: &Store, secret: &DeviceSecret, days: Days, remove: bool) -> Result<Purged, PurgeError> {
    // A key for each day, made once: a town has thousands of events a day.
    let mut keys: HashMap<Date, DayKey> = HashMap::new();
    let mut day = days.from;
    while day <= days.to {
        keys.insert(day, secret.day_key(day));
        match day.next_day() {
            Some(next) => day = next,
            None => break,
        }
    }
    let is_meant = |event: &Match<'_>| {
        let day = event.hour.to_offset(UtcOffset::UTC).date();
        keys.get(&day).is_some_and(|key| key.tag(event.id) == *event.tag)
    };
    let purged = store.purge(days.hours(), remove, is_meant).await?;
    if remove {
        let Purged { sightings, dangers, stretches, pictures, stray_pictures, .. } = purged;
        tracing::info!(from = %days.from, to = %days.to, sightings, dangers, stretches, pictures, stray_pictures, "purged");
    }
    Ok(purged)
}
