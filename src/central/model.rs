//! The words of the town's side: sighting, danger, defect, section, reason.
//!
//! A *sighting* is what one pass reported about one object. A *danger* is what was told at once, for a person to look
//! at now: a sighting, which also comes by itself, later and under another id, or a place that the driver marked. A danger is
//! joined with nothing.
//! A *defect* is the thing on the street that one or more sightings describe. A *section* is a piece of street of about
//! 100 m. Units are in the names; positions are WGS 84.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::geo::{Covariance, LatLon};
use crate::schema::{DamageClass, DeviceTag, EventId, ModelRef, Ordinal, RoadCoverage, RoadDamage};

/// A road event as it is kept: its identity, its hour, its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    pub id: EventId,
    /// Road events carry no finer time.
    pub hour: OffsetDateTime,
    pub device_tag: Option<DeviceTag>,
    pub damage: RoadDamage,
}

/// What a vehicle told at once. It names neither the device nor the pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Danger {
    pub id: EventId,
    pub hour: OffsetDateTime,
    pub position: LatLon,
    /// One standard deviation of the position.
    pub sigma_metres: f64,
    pub heading_degrees: f64,
    pub simulated: bool,
    pub told_by: Teller,
    pub device_tag: Option<DeviceTag>,
    /// Whether a person has said that it was seen.
    pub acknowledged: bool,
}

impl Danger {
    /// What a model says of it; `None` for a mark.
    #[must_use]
    pub fn seen(&self) -> Option<&SeenDanger> {
        match &self.told_by {
            Teller::Model(seen) => Some(seen),
            Teller::Driver => None,
        }
    }

    /// As the store and the interface write it; `None` when nobody marked it.
    #[must_use]
    pub fn marked_by(&self) -> Option<&'static str> {
        match self.told_by {
            Teller::Model(_) => None,
            Teller::Driver => Some("driver"),
        }
    }
}

/// Who says that it is a danger.
#[derive(Debug, Clone, PartialEq)]
pub enum Teller {
    Model(SeenDanger),
    /// The driver pressed a button and said neither what it is nor how large.
    Driver,
}

/// What a model says of a danger.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenDanger {
    pub class: DamageClass,
    pub score: f32,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    pub calibrated: bool,
    pub model: ModelRef,
}

/// A stretch of road that a vehicle drove, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct DrivenStretch {
    pub id: EventId,
    pub hour: OffsetDateTime,
    pub ordinal: Option<Ordinal>,
    pub device_tag: Option<DeviceTag>,
    pub coverage: RoadCoverage,
}

/// Identity of a defect; stays the same while sightings join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DefectId(Uuid);

impl DefectId {
    /// The id of a defect that a sighting founds: derived, so that a replay gives the same ids. `attempt` counts from 0
    /// and tells apart the rare second defect that the same sighting founds after a split.
    #[must_use]
    pub fn founded_by(sighting: EventId, attempt: u32) -> Self {
        let digest = Sha256::new()
            .chain_update(b"umsicht defect")
            .chain_update(sighting.as_bytes())
            .chain_update(attempt.to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
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

impl fmt::Display for DefectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DefectId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Where a defect stands in its life. People move it on; sightings only found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectStatus {
    New,
    Confirmed,
    Scheduled,
    Repaired,
    Verified,
    Rejected,
}

impl DefectStatus {
    pub const ALL: [Self; 6] =
        [Self::New, Self::Confirmed, Self::Scheduled, Self::Repaired, Self::Verified, Self::Rejected];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Confirmed => "confirmed",
            Self::Scheduled => "scheduled",
            Self::Repaired => "repaired",
            Self::Verified => "verified",
            Self::Rejected => "rejected",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Class of a street in the vocabulary of OpenStreetMap's `highway` key, driveable ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoadClass {
    Motorway,
    Trunk,
    Primary,
    Secondary,
    Tertiary,
    Unclassified,
    Residential,
    LivingStreet,
    Service,
}

impl RoadClass {
    pub const ALL: [Self; 9] = [
        Self::Motorway,
        Self::Trunk,
        Self::Primary,
        Self::Secondary,
        Self::Tertiary,
        Self::Unclassified,
        Self::Residential,
        Self::LivingStreet,
        Self::Service,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Motorway => "motorway",
            Self::Trunk => "trunk",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Tertiary => "tertiary",
            Self::Unclassified => "unclassified",
            Self::Residential => "residential",
            Self::LivingStreet => "living_street",
            Self::Service => "service",
        }
    }

    /// Reads a `highway` value; slip roads count as the class they belong to. `None`: not a street for vehicles.
    #[must_use]
    pub fn from_highway(value: &str) -> Option<Self> {
        let base = value.strip_suffix("_link").unwrap_or(value);
        if base == "road" {
            return Some(Self::Unclassified);
        }
        Self::ALL.into_iter().find(|class| class.name() == base)
    }
}

/// Identity of a section: derived from its geometry, so that importing again, in any order, gives the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SectionId(pub String);

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A piece of street of about 100 m, never across a junction.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub id: SectionId,
    pub name: Option<String>,
    pub road_class: RoadClass,
    /// True: driven in the direction of `line` only. Both carriageways of a divided road are such sections.
    pub one_way: bool,
    pub line: Vec<LatLon>,
    pub length_metres: f64,
}

/// What a defect or a sighting needs to know of its section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionRef {
    pub id: SectionId,
    pub name: Option<String>,
    pub road_class: RoadClass,
}

impl Section {
    #[must_use]
    pub fn reference(&self) -> SectionRef {
        SectionRef { id: self.id.clone(), name: self.name.clone(), road_class: self.road_class }
    }
}

/// A text in both languages of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub de: String,
    pub en: String,
}

/// One summand of a priority, or a remark with zero points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    /// Rounded to a tenth; the points of all reasons sum to the priority.
    pub points: f64,
    pub text: Text,
}

/// What a group of sightings says together about one thing on the street.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub class: DamageClass,
    pub position: LatLon,
    /// Square metres, east/north.
    pub covariance: Covariance,
    pub heading_degrees: f64,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    /// Highest score of its sightings.
    pub best_score: f32,
    /// True when at least one sighting came from a calibrated camera.
    pub calibrated: bool,
    /// True when any sighting came from a simulated world.
    pub simulated: bool,
    pub sightings: usize,
    pub first_seen: OffsetDateTime,
    pub last_seen: OffsetDateTime,
}

/// A thing on the street that somebody may have to repair.
#[derive(Debug, Clone, PartialEq)]
pub struct Defect {
    pub id: DefectId,
    pub status: DefectStatus,
    pub summary: Summary,
    pub section: Option<SectionRef>,
    /// 1 very good … 5 very poor, to a tenth.
    pub grade: f64,
    /// 0 … 100, to a tenth.
    pub priority: f64,
    pub reasons: Vec<Reason>,
    /// The sighting whose picture shows it best.
    pub evidence: Option<EventId>,
}

/// Rounds to a tenth: the precision of grades and points.
#[must_use]
pub fn to_tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for class in RoadClass::ALL {
            assert_eq!(RoadClass::from_highway(class.name()), Some(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("{:?}", class.name()));
        }
        for status in DefectStatus::ALL {
            assert_eq!(DefectStatus::from_name(status.name()), Some(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("{:?}", status.name()));
        }
        assert_eq!(RoadClass::from_highway("primary_link"), Some(RoadClass::Primary));
        assert_eq!(RoadClass::from_highway("footway"), None);
    }

    #[test]
    fn a_defect_id_depends_on_its_founder_alone() {
        let (a, b) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
        assert_eq!(DefectId::founded_by(a, 0), DefectId::founded_by(a, 0));
        assert_ne!(DefectId::founded_by(a, 0), DefectId::founded_by(b, 0));
    }
}
