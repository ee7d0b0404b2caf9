//! The device's time: what frames are stamped with and what fixes are compared with.
//!
//! It runs with the monotonic clock (the one that also counts while the device sleeps) and is *anchored* to UTC. A leap
//! of the system clock (a step of NTP, somebody who sets the date) never moves it by itself: that would tear frames and
//! fixes apart and make time run backwards within a drive. The anchor moves by these rules alone, each time counted:
//!
//! 1. At the start it is the system clock's time; there is no other.
//! 2. GNSS contradicts: its times differ from ours by more than the limit (2 s), agree among themselves within 1 s, and
//!    did so in at least 5 readings over 3 s; over 30 s where GNSS had agreed with us before, so that a receiver that
//!    stumbles moves nothing. Then the anchor is the system clock where that agrees with GNSS by now, else GNSS. GNSS
//!    that is up to 10 s behind a synchronised system clock (see 4) does not contradict: it is late, as phones are.
//! 3. The configuration does not trust the system clock: the anchor is GNSS as soon as it has told the time as in 2.
//! 4. GNSS has been silent for 2 minutes, or there is none, and the system clock differs from ours by more than 0.5 s:
//!    the system clock is followed when it is plausible (not before [`EARLIEST`]) and *synchronised*, which means that
//!    systemd-timesyncd set it since its last leap, and 10 s passed without another. Where no timesyncd runs, nobody can
//!    say whether it is synchronised (chrony leaves no mark that a sandboxed service could read); then 10 minutes
//!    without a leap are asked for. With a timesyncd that never synchronised it is not followed.
//!
//! While GNSS is the anchor our time follows it by at most 0.5 ms per second, and never backwards.

mod keeper;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

use self::keeper::Keeper;
pub use self::keeper::{Anchor, ClockState, EARLIEST, Reading, Synchronised, without_rollover};
use crate::clock::Clock;

/// Longest difference that the system clock may have from GNSS unless the configuration says otherwise.
pub const DEFAULT_MAX_DIFFERENCE_MILLIS: u64 = 2000;
/// From the moment of a fix until its sentence is here: typical of receivers at 1 to 10 Hz.
pub const DEFAULT_LATENCY_MILLIS: u64 = 150;
/// A reading of both clocks that took longer says nothing about their difference.
const QUICK: Duration = Duration::from_millis(20);
const READ_TRIES: usize = 3;
/// systemd-timesyncd touches this file whenever it has set the clock.
const TIMESYNC_FOLDER: &str = "/run/systemd/timesync";
const TIMESYNC_FILE: &str = "/run/systemd/timesync/synchronized";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSettings {
    /// False: GNSS is the anchor whenever there is one.
    pub trust_system_clock: bool,
    /// A system clock that differs from GNSS by more is not trusted.
    pub max_difference: Duration,
    /// From the moment of a fix until it is here.
    pub latency: Duration,
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self {
            trust_system_clock: true,
            max_difference: Duration::from_millis(DEFAULT_MAX_DIFFERENCE_MILLIS),
            latency: Duration::from_millis(DEFAULT_LATENCY_MILLIS),
        }
    }
}

/// What the machine's clocks say; a test says it instead.
pub struct Readings {
    pub clocks: Box<dyn Fn() -> Reading + Send + Sync>,
    pub synchronised: Box<dyn Fn() -> Synchronised + Send + Sync>,
}

impl Readings {
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { clocks: Box::new(read_clocks), synchronised: Box::new(look_for_synchronisation) }
    }
}

/// Asked per frame by several threads: a lock and two system calls.
pub struct DeviceClock {
    readings: Readings,
    keeper: Mutex<Keeper>,
}

impl DeviceClock {
    #[must_use]
    pub fn start(settings: ClockSettings) -> Self {
        Self::with_readings(settings, Readings::of_this_machine())
    }

    #[must_use]
    pub fn with_readings(settings: ClockSettings, readings: Readings) -> Self {
        let reading = (readings.clocks)();
        let system = reading.system.unwrap_or_else(OffsetDateTime::now_utc);
        let keeper = Mutex::new(Keeper::new(settings, reading.monotonic, system));
        Self { readings, keeper }
    }

    /// A GNSS time has just arrived.
    pub fn gnss_said(&self, gnss: OffsetDateTime) {
        let mut keeper = self.lock();
        keeper.gnss_said(gnss, (self.readings.clocks)(), || (self.readings.synchronised)());
    }

    /// How much GNSS time is ahead of ours, where that is more than latency explains: a frame's time needs it to be
    /// looked up among fixes. So frames meet their fixes whoever of the two clocks is wrong, and before any rule moves one.
    #[must_use]
    pub fn gnss_ahead(&self) -> time::Duration {
        self.lock().gnss_ahead()
    }

    #[must_use]
    pub fn state(&self) -> ClockState {
        self.lock().state()
    }

    fn lock(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for DeviceClock {
    fn now(&self) -> OffsetDateTime {
        let mut keeper = self.lock();
        // Read under the lock: readings reach the keeper in their order.
        keeper.now((self.readings.clocks)(), || (self.readings.synchronised)())
    }
}

fn read_clocks() -> Reading {
    let mut monotonic = monotonic();
    for _ in 0..READ_TRIES {
        let system = OffsetDateTime::now_utc();
        let after = self::monotonic();
        let took = after.saturating_sub(monotonic);
        if took <= QUICK {
            return Reading { monotonic: monotonic + took / 2, system: Some(system) };
        }
        monotonic = after;
    }
    Reading { monotonic, system: None }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn look_for_synchronisation() -> Synchronised {
    match std::fs::metadata(TIMESYNC_FILE).and_then(|file| file.modified()) {
        Ok(at) => Synchronised::At(at.into()),
        Err(_) if std::path::Path::new(TIMESYNC_FOLDER).is_dir() => Synchronised::Never,
        Err(_) => Synchronised::Unknown,
    }
}

#[cfg(test)]
mod tests;
