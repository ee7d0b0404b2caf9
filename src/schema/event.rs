//! Events as CloudEvents 1.0 in structured JSON.
//!
//! Privacy: a road event carries its time rounded to the hour, a random id, and a [`PassTag`] that links sightings of
//! one pass only within one cell of about 100 m, so that no vehicle track can be read out of the stream. Two attributes
//! beside the payload (extension attributes in the terms of CloudEvents) belong to how road events are delivered:
//! [`Ordinal`] (`ordinal`) and [`DeviceTag`] (`devicetag`).
//! Units are in the field names; positions are WGS 84 degrees, covariances square metres in east/north.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DamageClass, DeviceBlind, DeviceRecovered, RoadCoverage, RoadDanger};
use crate::clock::hour_of;
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

impl PassTag {
    /// Of no pass.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:016x}", Uuid::new_v4().as_u64_pair().1))
    }
}

/// Random number that all events of one batch in one cell of about 100 m share; it tells nothing about any other cell.
///
/// Within an hour the order of events is unknown on purpose. A vehicle that sees a hole on the way out and drives over it
/// unseeing on the way back has not shown that the hole is gone; see [`Event::may_speak_against`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u32);

/// Names the device to whoever holds both shares of its secret, and to nobody else: 16 bytes in lower-case hexadecimal, the
/// start of HMAC-SHA-256(key of the device for the event's day, event id). It differs with every event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceTag(pub String);

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
    /// Rounded to the hour for road events, exact for those of a device.
    pub time: OffsetDateTime,
    pub ordinal: Option<Ordinal>,
    pub device_tag: Option<DeviceTag>,
    pub data: EventData,
}

/// The payloads that this version reads and writes; each belongs to one [`EventKind`].
#[derive(Debug, Clone, PartialEq)]
pub enum EventData {
    RoadDamage(RoadDamage),
    /// Told at once.
    RoadDanger(RoadDanger),
    RoadCoverage(RoadCoverage),
    DeviceBlind(DeviceBlind),
    DeviceRecovered(DeviceRecovered),
}

impl EventData {
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::RoadDamage(_) => EventKind::RoadDamage,
            Self::RoadDanger(_) => EventKind::RoadDanger,
            Self::RoadCoverage(_) => EventKind::RoadCoverage,
            Self::DeviceBlind(_) => EventKind::DeviceBlind,
            Self::DeviceRecovered(_) => EventKind::DeviceRecovered,
        }
    }

    /// The damage that was seen, whether or not it is a danger.
    #[must_use]
    pub fn damage(&self) -> Option<&RoadDamage> {
        match self {
            Self::RoadDamage(damage) => Some(damage),
            Self::RoadDanger(danger) => danger.damage(),
            Self::RoadCoverage(_) | Self::DeviceBlind(_) | Self::DeviceRecovered(_) => None,
        }
    }

    pub fn damage_mut(&mut self) -> Option<&mut RoadDamage> {
        match self {
            Self::RoadDamage(damage) => Some(damage),
            Self::RoadDanger(danger) => danger.damage_mut(),
            Self::RoadCoverage(_) | Self::DeviceBlind(_) | Self::DeviceRecovered(_) => None,
        }
    }

    fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::RoadDamage(damage) => serde_json::to_value(damage),
            Self::RoadDanger(danger) => danger.to_value(),
            Self::RoadCoverage(coverage) => serde_json::to_value(coverage),
            Self::DeviceBlind(blind) => serde_json::to_value(blind),
            Self::DeviceRecovered(recovered) => serde_json::to_value(recovered),
        }
    }

    fn from_value(kind: EventKind, value: serde_json::Value) -> Result<Self, RejectedEvent> {
        match kind {
            EventKind::RoadDamage => RoadDamage::from_value(value).map(Self::RoadDamage),
            EventKind::RoadDanger => RoadDanger::from_value(value).map(Self::RoadDanger),
            EventKind::RoadCoverage => RoadCoverage::from_value(value).map(Self::RoadCoverage),
            EventKind::DeviceBlind => DeviceBlind::from_value(value).map(Self::DeviceBlind),
            EventKind::DeviceRecovered => DeviceRecovered::from_value(value).map(Self::DeviceRecovered),
            EventKind::PoolAttention | EventKind::PoolAlarm | EventKind::PoolCleared | EventKind::PoolOccupancy => {
                Err(RejectedEvent::NotHandled(kind.name()))
            }
        }
    }
}

impl Event {
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.data.kind()
    }

    /// Whether "nothing was seen" of one event may count against "something was seen" of another at the same place: not
    /// within one hour of one batch, where the order in time is unknown and the eyes were the same.
    #[must_use]
    pub fn may_speak_against(&self, other: &Self) -> bool {
        let same_batch = self.ordinal.is_some() && self.ordinal == other.ordinal;
        !(same_batch && hour_of(self.time) == hour_of(other.time))
    }

    /// # Panics
    /// Never: the payloads hold only values that JSON can express.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let envelope = Envelope {
            specversion: "1.0".into(),
            id: self.id,
            source: self.source.clone(),
            r#type: self.kind().name().into(),
            time: self.time,
            ordinal: self.ordinal,
            devicetag: self.device_tag.clone(),
            datacontenttype: Some("application/json".into()),
            data: self.data.to_value().expect("payloads are plain JSON values"),
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
        let Some(kind) = EventKind::from_name(&envelope.r#type) else {
            return Err(RejectedEvent::UnknownKind(envelope.r#type));
        };
        let data = EventData::from_value(kind, envelope.data)?;
        if let Some(tag) = &envelope.devicetag {
            tag.check()?;
        }
        let (ordinal, device_tag) = (envelope.ordinal, envelope.devicetag);
        Ok(Self { id: envelope.id, source: envelope.source, time: envelope.time, ordinal, device_tag, data })
    }
}

impl DeviceTag {
    fn check(&self) -> Result<(), RejectedEvent> {
        let fine = self.0.len() == 32 && self.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if fine {
            Ok(())
        } else {
            Err(RejectedEvent::Payload("devicetag is not 32 lower-case hexadecimal digits".into()))
        }
    }
}

impl RoadDamage {
    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, RejectedEvent> {
        let damage: Self = serde_json::from_value(value).map_err(|e| RejectedEvent::Payload(e.to_string()))?;
        damage.check()?;
        Ok(damage)
    }

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
    ordinal: Option<Ordinal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devicetag: Option<DeviceTag>,
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
            ordinal: Some(Ordinal(17)),
            device_tag: Some(DeviceTag("0123456789abcdef0123456789abcdef".into())),
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
    fn within_an_hour_of_a_batch_nothing_speaks_against_anything() {
        let seen = damage();
        let unseen = Event { id: EventId::from_bytes([8; 16]), ..damage() };
        assert!(!unseen.may_speak_against(&seen));
        assert!(Event { ordinal: Some(Ordinal(18)), ..unseen.clone() }.may_speak_against(&seen), "another vehicle");
        assert!(Event { time: datetime!(2026-03-17 10:00 UTC), ..unseen.clone() }.may_speak_against(&seen), "later");
        let (old_seen, old_unseen) = (Event { ordinal: None, ..seen }, Event { ordinal: None, ..unseen });
        assert!(old_unseen.may_speak_against(&old_seen), "events of before ordinals existed");
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
