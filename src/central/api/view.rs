//! The shapes that the interface speaks: snake_case, units in the names.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::central::devices::Devices;
use crate::central::model;
use crate::central::store::{RejectedMessage, Rejection, SightingWithPicture};
use crate::geo::LatLon;
use crate::schema::{EventId, ModelRef};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Town {
    pub name: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Status {
    pub site: String,
    pub town: Town,
    pub version: &'static str,
    /// True when any sighting came from a simulated world.
    pub simulated: bool,
    /// True when any model that has reported is in trial operation: people must check what it says.
    pub trial_operation: bool,
    pub defects: u64,
    pub sightings: u64,
    /// Dangers that nobody has acknowledged yet.
    pub dangers: u64,
    pub rejected: u64,
    pub sections: u64,
    /// The hour in which an event was last taken in.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_event_at: Option<OffsetDateTime>,
    /// West, south, east, north of the street network.
    #[schema(value_type = Option<Vec<f64>>)]
    pub bounds: Option<[f64; 4]>,
    /// Whether the service has its connection to the broker right now.
    pub broker_connected: bool,
    pub devices: DeviceCounts,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceCounts {
    pub known: u64,
    pub online: u64,
    /// Devices that something is wrong with.
    pub with_concerns: u64,
    /// Devices with a camera that sees nothing.
    pub blind: u64,
    /// Online devices whose events go at once, so that who drove where can be read from the stream.
    pub unbatched: u64,
    /// Another number than before: the list of devices has changed.
    pub revision: u64,
}

impl DeviceCounts {
    pub(super) fn of(devices: &Devices) -> Self {
        // Before the counts, so that a change in between is seen as one later.
        let revision = devices.revision();
        let counts = devices.counts();
        Self {
            known: counts.known,
            online: counts.online,
            with_concerns: counts.with_concerns,
            blind: counts.blind,
            unbatched: counts.unbatched,
            revision,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Position {
    pub lat: f64,
    pub lon: f64,
}

impl From<LatLon> for Position {
    fn from(point: LatLon) -> Self {
        Self { lat: point.lat, lon: point.lon }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Section {
    pub id: String,
    pub name: Option<String>,
    /// As OpenStreetMap's `highway`.
    pub road_class: &'static str,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Text {
    pub de: String,
    pub en: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reason {
    pub code: String,
    /// The points of all reasons sum to the priority.
    pub points: f64,
    pub text: Text,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Defect {
    pub id: String,
    /// D00, D10, D20, D40 or Repair.
    pub class: &'static str,
    /// new, confirmed, scheduled, repaired, verified or rejected.
    pub status: &'static str,
    pub position: Position,
    /// One standard deviation of the position.
    pub sigma_metres: f64,
    pub heading_degrees: f64,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    pub calibrated: bool,
    pub simulated: bool,
    pub sightings: usize,
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    pub section: Option<Section>,
    /// 1 very good … 5 very poor.
    pub grade: f64,
    /// 0 … 100.
    pub priority: f64,
    pub reasons: Vec<Reason>,
    pub evidence_url: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Defects {
    /// By priority, highest first.
    pub defects: Vec<Defect>,
    /// How many the filter lets through in all.
    pub total: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Model {
    pub name: String,
    pub version: String,
    pub sha256: String,
    /// True when it was not shown to see well enough through a camera it does not know.
    pub trial_operation: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Sighting {
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub hour: OffsetDateTime,
    pub class: &'static str,
    pub score: f32,
    pub position: Position,
    pub sigma_metres: f64,
    pub heading_degrees: f64,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    pub frames_seen: u32,
    pub model: Model,
    pub calibrated: bool,
    pub simulated: bool,
    pub evidence_url: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DefectDetail {
    #[serde(flatten)]
    pub defect: Defect,
    /// The newest first.
    pub sightings_detail: Vec<Sighting>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Gone {
    pub id: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Rejected {
    /// The hour.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// With `+` where a device was named.
    pub topic: String,
    pub reason: String,
    /// The names that the payload gives to its values, if it is JSON, those under `data` as `data.<name>`. The values are not kept.
    pub payload_fields: Vec<String>,
    pub payload_bytes: u64,
}

impl From<model::SectionRef> for Section {
    fn from(section: model::SectionRef) -> Self {
        Self { id: section.id.0, name: section.name, road_class: section.road_class.name() }
    }
}

impl From<model::Text> for Text {
    fn from(text: model::Text) -> Self {
        Self { de: text.de, en: text.en }
    }
}

impl From<ModelRef> for Model {
    fn from(model: ModelRef) -> Self {
        Self { name: model.name, version: model.version, sha256: model.sha256, trial_operation: model.trial_operation }
    }
}

impl From<RejectedMessage> for Rejected {
    fn from(message: RejectedMessage) -> Self {
        let Rejection { topic, reason, fields, payload_bytes } = message.rejection;
        Self { received_at: message.received_at, topic, reason, payload_fields: fields, payload_bytes }
    }
}

impl From<model::Defect> for Defect {
    fn from(defect: model::Defect) -> Self {
        let summary = defect.summary;
        Self {
            id: defect.id.to_string(),
            class: summary.class.code(),
            status: defect.status.name(),
            position: summary.position.into(),
            sigma_metres: summary.covariance.sigma_metres(),
            heading_degrees: summary.heading_degrees,
            length_metres: summary.length_metres,
            width_metres: summary.width_metres,
            area_square_metres: summary.area_square_metres,
            calibrated: summary.calibrated,
            simulated: summary.simulated,
            sightings: summary.sightings,
            first_seen: summary.first_seen,
            last_seen: summary.last_seen,
            section: defect.section.map(Into::into),
            grade: defect.grade,
            priority: defect.priority,
            reasons: defect
                .reasons
                .into_iter()
                .map(|r| Reason { code: r.code, points: r.points, text: r.text.into() })
                .collect(),
            evidence_url: defect.evidence.map(evidence_url),
        }
    }
}

impl From<SightingWithPicture> for Sighting {
    fn from(kept: SightingWithPicture) -> Self {
        let sighting = kept.sighting;
        let damage = sighting.damage;
        Self {
            id: sighting.id.to_string(),
            hour: sighting.hour,
            class: damage.class.code(),
            score: damage.score,
            position: damage.position.into(),
            sigma_metres: damage.position_covariance.sigma_metres(),
            heading_degrees: damage.heading_degrees,
            length_metres: damage.length_metres,
            width_metres: damage.width_metres,
            area_square_metres: damage.area_square_metres,
            frames_seen: damage.frames_seen,
            model: damage.model.into(),
            calibrated: damage.calibrated,
            simulated: damage.simulated,
            evidence_url: kept.has_picture.then(|| evidence_url(sighting.id)),
        }
    }
}

fn evidence_url(event: EventId) -> String {
    format!("/api/v1/evidence/{event}")
}
