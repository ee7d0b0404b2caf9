//! Events as CloudEvents 1.0 in structured JSON.
//!
//! Privacy: a road event carries its time rounded to the hour, a random id, and a [`PassTag`] that links sightings of
//! one pass only within one cell of about 100 m, so that no vehicle track can be read out of the stream.
//! Units are in the field names; positions are WGS 84 degrees, covariances square metres in east/north.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::DamageClass;
use crate::geo::{Covariance, LatLon};

/// Random identity of an event; made once, when the spool takes it, and the key of every later step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    #[serde(rename = "road.damage")]
    RoadDamage,
    #[serde(rename = "road.danger")]
    RoadDanger,
    #[serde(rename = "road.coverage")]
    RoadCoverage,
    #[serde(rename = "pool.attention")]
    PoolAttention,
    #[serde(rename = "pool.alarm")]
    PoolAlarm,
    #[serde(rename = "pool.cleared")]
    PoolCleared,
    #[serde(rename = "pool.occupancy")]
    PoolOccupancy,
    #[serde(rename = "device.blind")]
    DeviceBlind,
    #[serde(rename = "device.recovered")]
    DeviceRecovered,
}

impl EventKind {
    pub const ALL: [Self; 9] = [
        Self::RoadDamage,
        Self::RoadDanger,
        Self::RoadCoverage,
        Self::PoolAttention,
        Self::PoolAlarm,
        Self::PoolCleared,
        Self::PoolOccupancy,
        Self::DeviceBlind,
        Self::DeviceRecovered,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoadDamage => "road.damage",
            Self::RoadDanger => "road.danger",
            Self::RoadCoverage => "road.coverage",
            Self::PoolAttention => "pool.attention",
            Self::PoolAlarm => "pool.alarm",
            Self::PoolCleared => "pool.cleared",
            Self::PoolOccupancy => "pool.occupancy",
            Self::DeviceBlind => "device.blind",
            Self::DeviceRecovered => "device.recovered",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Road events in batches travel under the site; pool, danger and device events under the device.
    #[must_use]
    pub fn travels_under_site(self) -> bool {
        matches!(self, Self::RoadDamage | Self::RoadCoverage)
    }
}

/// Which model judged: every result can be explained and recalled by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    pub name: String,
    pub version: String,
    /// SHA-256 of the model file, lower-case hexadecimal.
    pub sha256: String,
    /// True when the model was not shown to see well enough through a camera it does not know: people must check all it says.
    /// Events of before this field existed do not say it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trial_operation: bool,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// Links the sightings of one pass within one cell of about 100 m, and nothing beyond (see `edge::report`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassTag(pub String);

/// One sighting of one damage: one object, one pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoadDamage {
    pub class: DamageClass,
    /// Confidence of the track, 0..1.
    pub score: f32,
    /// Centre of the damage on the ground.
    pub position: LatLon,
    /// Square metres, east/north, one sigma; camera and GNSS together.
    pub position_covariance: Covariance,
    /// Direction of travel when it was seen, degrees clockwise from north.
    pub heading_degrees: f64,
    /// Along the direction of travel.
    pub length_metres: f64,
    /// Across the direction of travel.
    pub width_metres: f64,
    pub area_square_metres: f64,
    /// False when the camera's mounting is an estimate: position and size are then indications only.
    pub calibrated: bool,
    pub pass: PassTag,
    /// In how many frames of the pass the object was detected.
    pub frames_seen: u32,
    pub model: ModelRef,
    /// True when the input was a simulated world.
    pub simulated: bool,
    /// Whether a redacted picture follows under the same id.
    pub has_evidence: bool,
}

/// A CloudEvents 1.0 envelope with a typed payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: EventId,
    /// The site that owns the device, as a URI reference: `/umsicht/<site>`.
    pub source: String,
    /// Rounded to the hour for road events.
    pub time: OffsetDateTime,
    pub data: EventData,
}

/// The payloads that this version reads and writes; each belongs to one [`EventKind`].
#[derive(Debug, Clone, PartialEq)]
pub enum EventData {
    RoadDamage(RoadDamage),
}

impl Event {
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self.data {
            EventData::RoadDamage(_) => EventKind::RoadDamage,
        }
    }

    /// # Panics
    /// Never: the payloads hold only values that JSON can express.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let data = match &self.data {
            EventData::RoadDamage(damage) => serde_json::to_value(damage),
        };
        let envelope = Envelope {
            specversion: "1.0".into(),
            id: self.id,
            source: self.source.clone(),
            r#type: self.kind().name().into(),
            time: self.time,
            datacontenttype: Some("application/json".into()),
            data: data.expect("payloads are plain JSON values"),
        };
        serde_json::to_vec(&envelope).expect("an envelope is plain JSON")
    }

    /// Reads a structured CloudEvent. Anything doubtful is rejected with its reason, never repaired.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RejectedEvent> {
        let envelope: Envelope =
            serde_json::from_slice(bytes).map_err(|e| RejectedEvent::NotACloudEvent(e.to_string()))?;
        if envelope.specversion != "1.0" {
            return Err(RejectedEvent::Version(envelope.specversion));
        }
        let data = match EventKind::from_name(&envelope.r#type) {
            Some(EventKind::RoadDamage) => {
                let damage: RoadDamage =
                    serde_json::from_value(envelope.data).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
                damage.check()?;
                EventData::RoadDamage(damage)
            }
            Some(kind) => return Err(RejectedEvent::NotHandled(kind.name())),
            None => return Err(RejectedEvent::UnknownKind(envelope.r#type)),
        };
        Ok(Self { id: envelope.id, source: envelope.source, time: envelope.time, data })
    }
}

impl RoadDamage {
    fn check(&self) -> Result<(), RejectedEvent> {
        let reject = |what: &str| Err(RejectedEvent::Payload(what.to_owned()));
        if LatLon::new(self.position.lat, self.position.lon).is_none() {
            return reject("position is not on the globe");
        }
        if self.position_covariance.inverse().is_none() {
            return reject("position_covariance is not positive definite");
        }
        if !(0.0..=1.0).contains(&self.score) {
            return reject("score is outside 0..1");
        }
        let sizes = [self.length_metres, self.width_metres, self.area_square_metres];
        if sizes.iter().any(|s| !s.is_finite() || *s < 0.0) || !self.heading_degrees.is_finite() {
            return reject("a size or the heading is negative or not a number");
        }
        Ok(())
    }
}

/// Why a payload was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedEvent {
    #[error("not a CloudEvents 1.0 JSON envelope: {0}")]
    NotACloudEvent(String),
    #[error("CloudEvents version {0:?} is not read here; send 1.0")]
    Version(String),
    #[error("unknown event type {0:?}")]
    UnknownKind(String),
    #[error("event type {0} is known but not handled by this version")]
    NotHandled(&'static str),
    #[error("payload: {0}")]
    Payload(String),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    specversion: String,
    id: EventId,
    source: String,
    r#type: String,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<String>,
    data: serde_json::Value,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use time::macros::datetime;

    /// A pothole with a picture to follow; other modules' tests start from it too.
    pub(crate) fn damage() -> Event {
        Event {
            id: EventId::from_bytes([7; 16]),
            source: "/umsicht/soest".into(),
            time: datetime!(2026-03-17 09:00 UTC),
            data: EventData::RoadDamage(RoadDamage {
                class: DamageClass::Pothole,
                score: 0.5,
                position: LatLon { lat: 50.0, lon: 8.0 },
                position_covariance: Covariance::isotropic(0.5),
                heading_degrees: 135.0,
                length_metres: 0.5,
                width_metres: 0.25,
                area_square_metres: 0.125,
                calibrated: true,
                pass: PassTag("00ff".into()),
                frames_seen: 3,
                model: ModelRef {
                    name: "road".into(),
                    version: "0.1.0".into(),
                    sha256: "ab".into(),
                    trial_operation: false,
                },
                simulated: false,
                has_evidence: true,
            }),
        }
    }

    #[test]
    fn json_round_trips() {
        let event = damage();
        assert_eq!(Event::from_json(&event.to_json()), Ok(event));
    }

    #[test]
    fn doubtful_payloads_are_rejected_with_a_reason() {
        let mut json: serde_json::Value = serde_json::from_slice(&damage().to_json()).unwrap();
        json["data"]["position"]["lat"] = 123.0.into();
        let rejected = Event::from_json(json.to_string().as_bytes()).unwrap_err();
        assert_eq!(rejected.to_string(), "payload: position is not on the globe");
        json["type"] = "road.gossip".into();
        assert_eq!(
            Event::from_json(json.to_string().as_bytes()),
            Err(RejectedEvent::UnknownKind("road.gossip".into()))
        );
        assert!(matches!(Event::from_json(b"{"), Err(RejectedEvent::NotACloudEvent(_))));
    }
}
