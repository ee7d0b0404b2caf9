//! Between rows and the words of the model.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::StoreError;
use crate::central::model::{
    Danger, Defect, DefectId, DefectStatus, RoadClass, Section, SectionId, SectionRef, SeenDanger, Sighting, Summary,
    Teller,
};
use crate::geo::{Covariance, LatLon};
use crate::schema::device_tag::{bytes_from_hex, hex};
use crate::schema::{DamageClass, DeviceTag, EventId, ModelRef, PassTag, RoadDamage};

/// A sighting as it stands in the store.
#[derive(Debug, Clone)]
pub(super) struct StoredSighting {
    pub seq: i64,
    pub sighting: Sighting,
    pub defect: Option<DefectId>,
}

macro_rules! sighting_columns {
    () => {
        "s.seq, s.id, s.hour, s.class, s.score, s.lat, s.lon, s.east_east, s.east_north, s.north_north, s.heading, \
         s.length, s.width, s.area, s.calibrated, s.simulated, s.has_evidence, s.pass, s.frames_seen, s.defect, \
         s.device_tag, m.name AS model_name, m.version AS model_version, m.sha256 AS model_sha256, \
         m.trial AS model_trial"
    };
}
pub(super) use sighting_columns;

pub(super) fn sighting(row: &SqliteRow) -> Result<StoredSighting, StoreError> {
    let damage = RoadDamage {
        class: class(row.try_get("class")?)?,
        score: row.try_get::<f64, _>("score")? as f32,
        position: LatLon { lat: row.try_get("lat")?, lon: row.try_get("lon")? },
        position_covariance: covariance(row)?,
        heading_degrees: row.try_get("heading")?,
        length_metres: row.try_get("length")?,
        width_metres: row.try_get("width")?,
        area_square_metres: row.try_get("area")?,
        calibrated: row.try_get("calibrated")?,
        pass: PassTag(row.try_get("pass")?),
        frames_seen: row.try_get("frames_seen")?,
        model: model(row)?,
        simulated: row.try_get("simulated")?,
        has_evidence: row.try_get("has_evidence")?,
    };
    let sighting = Sighting {
        id: EventId::from_bytes(bytes(row.try_get("id")?)?),
        hour: at(row.try_get("hour")?)?,
        device_tag: device_tag(row)?,
        damage,
    };
    let defect = row.try_get::<Option<&[u8]>, _>("defect")?.map(bytes).transpose()?.map(DefectId::from_bytes);
    Ok(StoredSighting { seq: row.try_get("seq")?, sighting, defect })
}

pub(super) const DANGERS: &str = "SELECT d.*, m.name AS model_name, m.version AS model_version, \
     m.sha256 AS model_sha256, m.trial AS model_trial FROM dangers d LEFT JOIN models m ON m.id = d.model";

pub(super) fn danger(row: &SqliteRow) -> Result<Danger, StoreError> {
    let told_by = match row.try_get::<Option<&str>, _>("marked_by")? {
        Some(_) => Teller::Driver,
        None => Teller::Model(seen_danger(row)?),
    };
    Ok(Danger {
        id: EventId::from_bytes(bytes(row.try_get("id")?)?),
        hour: at(row.try_get("hour")?)?,
        position: LatLon { lat: row.try_get("lat")?, lon: row.try_get("lon")? },
        sigma_metres: row.try_get("sigma")?,
        heading_degrees: row.try_get("heading")?,
        simulated: row.try_get("simulated")?,
        told_by,
        device_tag: device_tag(row)?,
        acknowledged: row.try_get("acknowledged")?,
    })
}

fn seen_danger(row: &SqliteRow) -> Result<SeenDanger, StoreError> {
    Ok(SeenDanger {
        class: class(row.try_get("class")?)?,
        score: row.try_get::<f64, _>("score")? as f32,
        length_metres: row.try_get("length")?,
        width_metres: row.try_get("width")?,
        area_square_metres: row.try_get("area")?,
        calibrated: row.try_get("calibrated")?,
        model: model(row)?,
    })
}

pub(super) fn model(row: &SqliteRow) -> Result<ModelRef, StoreError> {
    Ok(ModelRef {
        name: row.try_get("model_name")?,
        version: row.try_get("model_version")?,
        sha256: row.try_get("model_sha256")?,
        trial_operation: row.try_get("model_trial")?,
    })
}

/// Kept as 16 bytes; events carry them as digits.
pub(super) fn device_tag(row: &SqliteRow) -> Result<Option<DeviceTag>, StoreError> {
    let tag = row.try_get::<Option<&[u8]>, _>("device_tag")?.map(bytes).transpose()?;
    Ok(tag.map(|bytes| DeviceTag(hex(&bytes))))
}

/// Events are checked when they are read, so a tag that is none never comes here.
pub(super) fn device_tag_bytes(tag: Option<&DeviceTag>) -> Option<Vec<u8>> {
    tag.and_then(|tag| bytes_from_hex::<16>(&tag.0)).map(|bytes| bytes.to_vec())
}

pub(super) fn defect(row: &SqliteRow) -> Result<Defect, StoreError> {
    let status: &str = row.try_get("status")?;
    let reasons: &str = row.try_get("reasons")?;
    let section: Option<String> = row.try_get("section")?;
    let section = match section {
        Some(id) => Some(SectionRef {
            id: SectionId(id),
            name: row.try_get("section_name")?,
            road_class: road_class(row.try_get("road_class")?)?,
        }),
        None => None,
    };
    let summary = Summary {
        class: class(row.try_get("class")?)?,
        position: LatLon { lat: row.try_get("lat")?, lon: row.try_get("lon")? },
        covariance: covariance(row)?,
        heading_degrees: row.try_get("heading")?,
        length_metres: row.try_get("length")?,
        width_metres: row.try_get("width")?,
        area_square_metres: row.try_get("area")?,
        best_score: row.try_get::<f64, _>("best_score")? as f32,
        calibrated: row.try_get("calibrated")?,
        simulated: row.try_get("simulated")?,
        sightings: usize::try_from(row.try_get::<i64, _>("sightings")?).unwrap_or_default(),
        first_seen: at(row.try_get("first_seen")?)?,
        last_seen: at(row.try_get("last_seen")?)?,
    };
    Ok(Defect {
        id: DefectId::from_bytes(bytes(row.try_get("id")?)?),
        status: DefectStatus::from_name(status).ok_or_else(|| StoreError::Corrupt(format!("status {status:?}")))?,
        summary,
        section,
        grade: row.try_get("grade")?,
        priority: row.try_get("priority")?,
        reasons: serde_json::from_str(reasons).map_err(|e| StoreError::Corrupt(format!("reasons: {e}")))?,
        evidence: row.try_get::<Option<&[u8]>, _>("evidence")?.map(bytes).transpose()?.map(EventId::from_bytes),
    })
}

pub(super) fn section(row: &SqliteRow) -> Result<Section, StoreError> {
    let line: Vec<[f64; 2]> = serde_json::from_str(row.try_get("line")?)
        .map_err(|e| StoreError::Corrupt(format!("the line of a section: {e}")))?;
    Ok(Section {
        id: SectionId(row.try_get("id")?),
        name: row.try_get("name")?,
        road_class: road_class(row.try_get("road_class")?)?,
        one_way: row.try_get("one_way")?,
        length_metres: row.try_get("length_metres")?,
        line: line.into_iter().map(|[lon, lat]| LatLon { lat, lon }).collect(),
    })
}

pub(super) fn class(code: &str) -> Result<DamageClass, StoreError> {
    code.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))
}

fn road_class(name: &str) -> Result<RoadClass, StoreError> {
    RoadClass::from_highway(name).ok_or_else(|| StoreError::Corrupt(format!("road class {name:?}")))
}

pub(super) fn bytes(blob: &[u8]) -> Result<[u8; 16], StoreError> {
    blob.try_into().map_err(|_| StoreError::Corrupt(format!("an id of {} bytes", blob.len())))
}

pub(super) fn at(seconds: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| StoreError::Corrupt(e.to_string()))
}

fn covariance(row: &SqliteRow) -> Result<Covariance, StoreError> {
    Ok(Covariance {
        east_east: row.try_get("east_east")?,
        east_north: row.try_get("east_north")?,
        north_north: row.try_get("north_north")?,
    })
}
