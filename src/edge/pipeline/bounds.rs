//! Where and when nothing may be recorded: the switch that stops recording, and privacy zones.

use crate::edge::fix::Fix;
use crate::edge::zones::{CIRCLE_SIGMAS, Zones};
use crate::geo::{Covariance, LatLon};

/// Whether recording is switched on at the moment.
type IsOn = Box<dyn Fn() -> bool + Send>;

pub struct Bounds {
    is_on: IsOn,
    zones: Zones,
}

impl Bounds {
    #[must_use]
    pub fn new(is_on: impl Fn() -> bool + Send + 'static, zones: Zones) -> Self {
        Self { is_on: Box::new(is_on), zones }
    }

    /// A recording of before, a simulation: all of it may be judged.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| true, Zones::default())
    }

    /// Whether a frame with this fix, or without one, may be judged at all.
    #[must_use]
    pub fn may_record(&self, fix: Option<&Fix>) -> bool {
        (self.is_on)() && self.zones.may_record(fix)
    }

    /// Whether something that was seen there may be told: a camera looks into a zone from outside.
    #[must_use]
    pub fn may_tell_of(&self, position: LatLon, covariance: &Covariance) -> bool {
        let variance = covariance.east_east.max(covariance.north_north);
        self.zones.is_empty() || !self.zones.touch(position, CIRCLE_SIGMAS * variance.sqrt())
    }

    /// Whether the device may tell of itself: that it does so at a moment would tell when a zone was passed. Without a fix
    /// it may, since a device that cannot see must say so.
    #[must_use]
    pub fn may_tell_of_itself(&self, fix: Option<&Fix>) -> bool {
        (self.is_on)() && (fix.is_none() || self.zones.may_record(fix))
    }
}
