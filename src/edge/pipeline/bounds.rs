//! Where and when nothing may be recorded: the switch that stops recording, and privacy zones.

use std::time::{Duration, Instant};

use crate::edge::fix::Fix;
use crate::edge::zones::{CIRCLE_SIGMAS, Zones};
use crate::geo::{Covariance, LatLon};

/// Whether recording is switched on at the moment.
type IsOn = Box<dyn Fn() -> bool + Send>;

/// A device that has no fix for so long says what is wrong with it, wherever it may be.
const SILENT_WITHOUT_FIX: Duration = Duration::from_secs(600);

pub struct Bounds {
    is_on: IsOn,
    zones: Zones,
    without_fix_since: Option<Instant>,
}

/// Why a frame must not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// By the switch or by a zone: whatever was in sight is over.
    Here,
    /// For the moment nobody knows where it was taken.
    WhoKnows,
}

impl Bounds {
    #[must_use]
    pub fn new(is_on: impl Fn() -> bool + Send + 'static, zones: Zones) -> Self {
        Self { is_on: Box::new(is_on), zones, without_fix_since: None }
    }

    /// A recording of before, a simulation: all of it may be judged.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| true, Zones::default())
    }

    /// Whether a frame with this fix, or without one, may be judged at all.
    #[must_use]
    pub fn may_record(&self, fix: Option<&Fix>) -> bool {
        self.forbids(fix).is_none()
    }

    #[must_use]
    pub(super) fn forbids(&self, fix: Option<&Fix>) -> Option<Forbidden> {
        if (self.is_on)() && self.zones.may_record(fix) {
            return None;
        }
        Some(if fix.is_none() && (self.is_on)() { Forbidden::WhoKnows } else { Forbidden::Here })
    }

    /// Whether something that was seen there may be told: a camera looks into a zone from outside.
    #[must_use]
    pub fn may_tell_of(&self, position: LatLon, covariance: &Covariance) -> bool {
        let variance = covariance.east_east.max(covariance.north_north);
        self.zones.is_empty() || !self.zones.touch(position, CIRCLE_SIGMAS * variance.sqrt())
    }

    /// Whether the device may tell of itself: that it does so at a moment would tell when a zone was passed or left.
    pub fn may_tell_of_itself(&mut self, fix: impl FnOnce() -> Option<Fix>, now: Instant) -> bool {
        if !(self.is_on)() {
            return false;
        }
        if self.zones.is_empty() {
            return true;
        }
        match fix() {
            Some(fix) => {
                self.without_fix_since = None;
                self.zones.may_record(Some(&fix))
            }
            None => now.duration_since(*self.without_fix_since.get_or_insert(now)) >= SILENT_WITHOUT_FIX,
        }
    }
}
