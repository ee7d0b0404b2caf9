//! Time as an argument: whoever needs the present asks a [`Clock`], so that a replay and a test decide what time it is.

use std::sync::Mutex;
use std::time::Duration;

use time::OffsetDateTime;

/// Source of the present. All times are UTC.
pub trait Clock: Send + Sync {
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that moves only when told to: replays and tests.
#[derive(Debug)]
pub struct SimulatedClock {
    now: Mutex<OffsetDateTime>,
}

impl SimulatedClock {
    #[must_use]
    pub fn starting_at(now: OffsetDateTime) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves to `now`; also backwards, as real clocks do when they are corrected.
    pub fn set(&self, now: OffsetDateTime) {
        *self.lock() = now;
    }

    pub fn advance(&self, by: Duration) {
        *self.lock() += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OffsetDateTime> {
        self.now.lock().expect("no holder of this lock can panic")
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> OffsetDateTime {
        *self.lock()
    }
}

/// The start of the UTC hour that `at` lies in. Road events carry only this (privacy: no vehicle track).
#[must_use]
pub fn hour_of(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.replace_time(time::Time::from_hms(at.hour(), 0, 0).expect("an hour of a valid time is valid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn hour_drops_everything_below() {
        assert_eq!(hour_of(datetime!(2026-11-20 09:59:59.9 UTC)), datetime!(2026-11-20 09:00 UTC));
        // Elsewhere an hour begins at half past: what is kept must not tell that.
        assert_eq!(hour_of(datetime!(2026-11-20 09:59:59.9 +05:30)), datetime!(2026-11-20 04:00 UTC));
    }

    #[test]
    fn simulated_clock_moves_only_when_told() {
        let clock = SimulatedClock::starting_at(datetime!(2026-01-01 00:00 UTC));
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now(), datetime!(2026-01-01 00:01:30 UTC));
    }
}
