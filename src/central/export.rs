//! Defects and sections as GeoJSON (RFC 7946): WGS 84, longitude first.

use geojson::{Feature, FeatureCollection, GeometryValue, JsonObject, JsonValue};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::model::{Defect, DrivenStretch, Section};
use crate::geo::LatLon;

#[must_use]
pub fn defects_geojson(defects: &[Defect]) -> FeatureCollection {
    collection(defects.iter().map(|defect| {
        let summary = &defect.summary;
        let hour = |at: time::OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        let properties = json!({
            "id": defect.id,
            "class": summary.class,
            "status": defect.status,
            "grade": defect.grade,
            "priority": defect.priority,
            "reasons": defect.reasons,
            "section": defect.section,
            "sightings": summary.sightings,
            "first_seen": hour(summary.first_seen),
            "last_seen": hour(summary.last_seen),
            "sigma_metres": summary.covariance.sigma_metres(),
            "heading_degrees": summary.heading_degrees,
            "length_metres": summary.length_metres,
            "width_metres": summary.width_metres,
            "area_square_metres": summary.area_square_metres,
            "calibrated": summary.calibrated,
            "simulated": summary.simulated,
        });
        feature(defect.id.to_string(), GeometryValue::new_point(lon_lat(summary.position)), properties)
    }))
}

/// `graded` gives the properties that are not the section's own.
#[must_use]
pub fn sections_geojson<'s>(
    sections: impl Iterator<Item = &'s Section>,
    graded: impl Fn(&Section) -> (Option<f64>, usize),
) -> FeatureCollection {
    collection(sections.map(|section| {
        let (grade, defects) = graded(section);
        let properties = json!({
            "id": section.id,
            "name": section.name,
            "road_class": section.road_class,
            "grade": grade,
            "defects": defects,
        });
        let line = GeometryValue::new_line_string(section.line.iter().map(|p| lon_lat(*p)));
        feature(section.id.to_string(), line, properties)
    }))
}

/// Neither tags nor ids of passes: who drove is nobody's business here.
#[must_use]
pub fn coverage_geojson(driven: &[DrivenStretch]) -> FeatureCollection {
    collection(driven.iter().map(|driven| {
        let coverage = &driven.coverage;
        let properties = json!({
            "id": driven.id.to_string(),
            "hour": driven.hour.format(&Rfc3339).unwrap_or_default(),
            "accuracy_metres": coverage.accuracy_metres,
            "heading_degrees": coverage.heading_degrees,
            "length_metres": coverage.length_metres,
            "usable_metres": coverage.usable_metres,
            "unusable": coverage.unusable,
            "calibrated": coverage.calibrated,
            "simulated": coverage.simulated,
            "model": coverage.model,
        });
        let line = GeometryValue::new_line_string([coverage.from, coverage.to].map(lon_lat));
        feature(driven.id.to_string(), line, properties)
    }))
}

fn collection(features: impl Iterator<Item = Feature>) -> FeatureCollection {
    FeatureCollection { bbox: None, features: features.collect(), foreign_members: None }
}

fn feature(id: String, geometry: GeometryValue, properties: JsonValue) -> Feature {
    let properties: Option<JsonObject> = match properties {
        JsonValue::Object(map) => Some(map),
        _ => None,
    };
    Feature {
        bbox: None,
        geometry: Some(geojson::Geometry::new(geometry)),
        id: Some(geojson::feature::Id::String(id)),
        properties,
        foreign_members: None,
    }
}

/// To 1e-7 degrees, about a centimetre.
fn lon_lat(point: LatLon) -> [f64; 2] {
    let round = |degrees: f64| (degrees * 1e7).round() / 1e7;
    [round(point.lon), round(point.lat)]
}
