//! What is told at once: a damage above the danger profile, or a place that the driver marked.
//!
//! JSON: a damage is written as in `road.damage`; a mark is told apart by `"marked_by": "driver"`. Programs of before marks
//! existed find no class in one and reject it with that reason.

use serde::{Deserialize, Serialize};

use super::event::{RejectedEvent, RoadDamage};
use crate::geo::{Covariance, LatLon};

const MARKED_BY: &str = "marked_by";

#[derive(Debug, Clone, PartialEq)]
pub enum RoadDanger {
    /// The same sighting also comes as a damage in its batch, under another id, so that this one need not be matched with
    /// anything.
    Seen(RoadDamage),
    MarkedByDriver(DriverMark),
}

/// A person saw something here, and says neither what nor how large. It stands for no damage until somebody has looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverMark {
    /// Where the vehicle was when the driver saw it, as far as that can be told.
    pub position: LatLon,
    /// Square metres, east/north, one sigma; the driver's reaction and GNSS together.
    pub position_covariance: Covariance,
    /// Direction of travel, degrees clockwise from north.
    pub heading_degrees: f64,
    /// True when the vehicle was a simulated one.
    pub simulated: bool,
}

/// Who marks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MarkedBy {
    Driver,
}

/// A mark as it is written.
#[derive(Serialize, Deserialize)]
struct Marked {
    marked_by: MarkedBy,
    #[serde(flatten)]
    mark: DriverMark,
}

impl RoadDanger {
    #[must_use]
    pub fn damage(&self) -> Option<&RoadDamage> {
        match self {
            Self::Seen(damage) => Some(damage),
            Self::MarkedByDriver(_) => None,
        }
    }

    pub fn damage_mut(&mut self) -> Option<&mut RoadDamage> {
        match self {
            Self::Seen(damage) => Some(damage),
            Self::MarkedByDriver(_) => None,
        }
    }

    pub(super) fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Seen(damage) => serde_json::to_value(damage),
            Self::MarkedByDriver(mark) => {
                serde_json::to_value(Marked { marked_by: MarkedBy::Driver, mark: mark.clone() })
            }
        }
    }

    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, RejectedEvent> {
        if value.get(MARKED_BY).is_none() {
            return RoadDamage::from_value(value).map(Self::Seen);
        }
        let Marked { mark, .. } = serde_json::from_value(value).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
        mark.check()?;
        Ok(Self::MarkedByDriver(mark))
    }
}

impl DriverMark {
    fn check(&self) -> Result<(), RejectedEvent> {
        let reject = |what: &str| Err(RejectedEvent::Payload(what.to_owned()));
        if LatLon::new(self.position.lat, self.position.lon).is_none() {
            return reject("position is not on the globe");
        }
        if self.position_covariance.inverse().is_none() {
            return reject("position_covariance is not positive definite");
        }
        if !self.heading_degrees.is_finite() {
            return reject("the heading is not a number");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::schema::event::tests::damage;
    use crate::schema::event::{Event, EventData};

    pub(crate) fn mark() -> DriverMark {
        DriverMark {
            position: LatLon { lat: 50.0, lon: 8.0 },
            position_covariance: Covariance { east_east: 4.0, east_north: 0.0, north_north: 100.0 },
            heading_degrees: 0.0,
            simulated: false,
        }
    }

    fn marked() -> Event {
        let data = EventData::RoadDanger(RoadDanger::MarkedByDriver(mark()));
        Event { ordinal: None, data, ..damage() }
    }

    #[test]
    fn a_damage_and_a_mark_are_told_apart() {
        let EventData::RoadDamage(seen) = damage().data else { unreachable!("it is made as one") };
        let seen = Event { data: EventData::RoadDanger(RoadDanger::Seen(seen)), ..damage() };
        for danger in [seen, marked()] {
            assert_eq!(Event::from_json(&danger.to_json()), Ok(danger));
        }
    }

    #[test]
    fn a_mark_has_no_class_and_is_no_damage() {
        let json: serde_json::Value = serde_json::from_slice(&marked().to_json()).unwrap();
        assert_eq!(json["data"]["marked_by"], "driver");
        assert!(json["data"].get("class").is_none() && json["data"].get("model").is_none(), "{json}");
        assert!(marked().data.damage().is_none());
        let mut damage = json.clone();
        damage["type"] = "road.damage".into();
        let rejected = Event::from_json(damage.to_string().as_bytes()).unwrap_err();
        assert!(rejected.to_string().contains("missing field `class`"), "as programs of before marks say: {rejected}");
    }

    #[test]
    fn doubtful_marks_are_rejected_with_a_reason() {
        let with = |pointer: &str, value: serde_json::Value| {
            let mut json: serde_json::Value = serde_json::from_slice(&marked().to_json()).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            Event::from_json(json.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(with("/data/marked_by", "passer-by".into()).contains("unknown variant"));
        assert!(with("/data/marked_by", serde_json::Value::Null).starts_with("payload: "));
        assert_eq!(with("/data/position/lon", 200.into()), "payload: position is not on the globe");
        let flat = with("/data/position_covariance/north_north", 0.into());
        assert_eq!(flat, "payload: position_covariance is not positive definite");
    }
}
