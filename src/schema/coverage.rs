//! Coverage: a stretch of road that was driven, and how much of it could be judged.
//!
//! A stretch lies within one cell of about 100 m and leads to no other stretch: its ends are centres of squares of about 5 m,
//! so no two stretches of neighbouring cells share a point, and its tags hold for its cell alone (see `edge::coverage` and
//! `edge::report`). The device knows no street network: which section of which street a stretch lies on is found by the town's
//! side, and so is whether that street's paving can be graded at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ModelRef, PassTag, RejectedEvent};
use crate::geo::{LatLon, distance_metres};

/// The ends of a stretch are no further apart: a cell's diagonal, even at the equator, and something to spare.
pub const MAX_STRETCH_METRES: f64 = 250.0;
/// Nobody drives further within one cell without turning.
const MAX_DRIVEN_METRES: f64 = 1000.0;
/// What rounding may add up to.
const ROUNDING_METRES: f64 = 1.0;

/// Why what was driven could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusable {
    /// Too fast, or the looks too far apart to show the road in between.
    Speed,
    /// Too dark.
    Light,
    /// A wet road mirrors and hides.
    Wet,
    /// The camera was blind.
    Lens,
    /// Nobody knows exactly enough where.
    NoFix,
}

impl Unusable {
    pub const ALL: [Self; 5] = [Self::Speed, Self::Light, Self::Wet, Self::Lens, Self::NoFix];

    /// As events name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Light => "light",
            Self::Wet => "wet",
            Self::Lens => "lens",
            Self::NoFix => "no-fix",
        }
    }
}

/// One stretch of one pass in one cell, driven in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoadCoverage {
    /// Where it begins, in the direction of travel.
    pub from: LatLon,
    pub to: LatLon,
    /// One standard deviation of both ends: receiver and rounding together.
    pub accuracy_metres: f64,
    /// Mean direction of travel, degrees clockwise from north.
    pub heading_degrees: f64,
    /// As driven: not less than from end to end, but for the rounding. The sum of what was usable and what was not.
    pub length_metres: f64,
    pub usable_metres: f64,
    /// By reason; no reason stands here with nothing.
    pub unusable: BTreeMap<Unusable, f64>,
    /// False when the camera's mounting is an estimate.
    pub calibrated: bool,
    /// The one that would have found damage here.
    pub model: ModelRef,
    /// True when the input was a simulated world.
    pub simulated: bool,
    pub pass: PassTag,
}

impl RoadCoverage {
    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, RejectedEvent> {
        let coverage: Self = serde_json::from_value(value).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
        coverage.check()?;
        Ok(coverage)
    }

    #[must_use]
    pub fn middle(&self) -> LatLon {
        LatLon { lat: 0.5 * (self.from.lat + self.to.lat), lon: 0.5 * (self.from.lon + self.to.lon) }
    }

    fn check(&self) -> Result<(), RejectedEvent> {
        let reject = |what: &str| Err(RejectedEvent::Payload(what.to_owned()));
        if [self.from, self.to].iter().any(|end| LatLon::new(end.lat, end.lon).is_none()) {
            return reject("an end is not on the globe");
        }
        if distance_metres(self.from, self.to) > MAX_STRETCH_METRES {
            return reject("the ends are further apart than one cell is wide");
        }
        let lengths = self.unusable.values().copied().chain([self.length_metres, self.usable_metres]);
        if lengths.into_iter().any(|metres| !(0.0..=MAX_DRIVEN_METRES).contains(&metres)) {
            return reject("a length is not from 0 to 1000 m");
        }
        let parts = self.usable_metres + self.unusable.values().sum::<f64>();
        if (parts - self.length_metres).abs() > ROUNDING_METRES {
            return reject("length_metres is not the sum of what was usable and what was not");
        }
        if !self.heading_degrees.is_finite() || !(0.0..=1e6).contains(&self.accuracy_metres) {
            return reject("the heading or accuracy_metres is negative or not a number");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three quarters of a cell, from west to east.
    pub(crate) fn coverage() -> RoadCoverage {
        RoadCoverage {
            from: LatLon { lat: 50.0002, lon: 8.0002 },
            to: LatLon { lat: 50.0002, lon: 8.0013 },
            accuracy_metres: 3.5,
            heading_degrees: 90.0,
            length_metres: 80.0,
            usable_metres: 60.0,
            unusable: BTreeMap::from([(Unusable::Speed, 5.0), (Unusable::Wet, 15.0)]),
            calibrated: true,
            model: ModelRef {
                name: "road".into(),
                version: "0.1.0".into(),
                sha256: "ab".into(),
                trial_operation: false,
            },
            simulated: false,
            pass: PassTag("00ff".into()),
        }
    }

    #[test]
    fn what_cannot_be_true_is_rejected_with_a_reason() {
        let reason = |change: fn(&mut RoadCoverage)| {
            let mut changed = coverage();
            change(&mut changed);
            RoadCoverage::from_value(serde_json::to_value(changed).unwrap()).unwrap_err().to_string()
        };
        assert!(reason(|c| c.to.lon = 181.0).contains("not on the globe"));
        assert!(reason(|c| c.to.lon = 8.01).contains("further apart"));
        assert!(reason(|c| c.usable_metres = -1.0).contains("a length"));
        assert!(reason(|c| c.length_metres = 100.0).contains("not the sum"));
        assert!(reason(|c| c.accuracy_metres = -1.0).contains("accuracy_metres"));
        assert_eq!(RoadCoverage::from_value(serde_json::to_value(coverage()).unwrap()), Ok(coverage()));
    }

    #[test]
    fn events_name_reasons_as_the_interface_does() {
        for reason in Unusable::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
