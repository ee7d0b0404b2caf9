//! Zones from GeoJSON (RFC 7946), with errors that name the feature.

use std::path::Path;

use geojson::{Feature, GeoJson, GeometryValue, JsonValue, Position};

use super::ring::Ring;
use super::{Zone, ZoneError};
use crate::geo::LatLon;

/// Middle Europe, where this is used: south-west and north-east. A place outside that would lie inside with its coordinates
/// swapped was written the wrong way round; the real places there are in the sea between Somalia and Yemen.
const AT_HOME: (LatLon, LatLon) = (LatLon { lat: 45.0, lon: 5.0 }, LatLon { lat: 56.0, lon: 17.5 });
/// A larger one is a mistake of the unit.
const LARGEST_RADIUS_METRES: f64 = 50_000.0;

pub(super) fn zones(path: &Path, text: &str) -> Result<Vec<Zone>, ZoneError> {
    let not_geojson = |reason: String| ZoneError::NotGeoJson { path: path.to_owned(), reason };
    let features = match text.parse::<GeoJson>().map_err(|error| not_geojson(error.to_string()))? {
        GeoJson::FeatureCollection(collection) => collection.features,
        GeoJson::Feature(feature) => vec![feature],
        GeoJson::Geometry(geometry) => vec![Feature { geometry: Some(geometry), ..Feature::default() }],
    };
    let mut zones = Vec::new();
    for (index, feature) in features.iter().enumerate() {
        zones.extend(zones_of(feature).map_err(|reason| ZoneError::BadFeature {
            path: path.to_owned(),
            feature: name_of(feature, index + 1),
            reason,
        })?);
    }
    if zones.is_empty() {
        return Err(ZoneError::Empty { path: path.to_owned() });
    }
    Ok(zones)
}

fn name_of(feature: &Feature, number: usize) -> String {
    match feature.property("name").and_then(JsonValue::as_str) {
        Some(name) => format!("feature {number} ({name:?})"),
        None => format!("feature {number}"),
    }
}

fn zones_of(feature: &Feature) -> Result<Vec<Zone>, String> {
    let radius = match feature.property("radius_metres") {
        None | Some(JsonValue::Null) => None,
        Some(value) => match value.as_f64().filter(|metres| *metres > 0.0 && *metres <= LARGEST_RADIUS_METRES) {
            Some(metres) => Some(metres),
            None => {
                return Err(format!(
                    "radius_metres is {value}; write a number of metres up to {LARGEST_RADIUS_METRES}"
                ));
            }
        },
    };
    let points = |positions: &[&Position]| {
        let radius = radius.ok_or("is a point without an extent; give it the property radius_metres")?;
        positions.iter().map(|position| Ok(Zone::point(place(position)?, radius))).collect()
    };
    let margin = radius.unwrap_or(0.0);
    match feature.geometry.as_ref().map(|geometry| &geometry.value) {
        Some(GeometryValue::Polygon { coordinates }) => Ok(vec![polygon(coordinates, margin)?]),
        Some(GeometryValue::MultiPolygon { coordinates }) if coordinates.is_empty() => {
            Err("is empty; give it a polygon, or remove it".into())
        }
        Some(GeometryValue::MultiPolygon { coordinates }) => {
            coordinates.iter().map(|rings| polygon(rings, margin)).collect()
        }
        Some(GeometryValue::Point { coordinates }) => points(&[coordinates]),
        Some(GeometryValue::MultiPoint { coordinates }) if coordinates.is_empty() => {
            Err("is empty; give it a point, or remove it".into())
        }
        Some(GeometryValue::MultiPoint { coordinates }) => points(&coordinates.iter().collect::<Vec<_>>()),
        Some(other) => Err(format!("is a {}; a zone is a Polygon, MultiPolygon or Point", other.type_name())),
        None => Err("has no geometry; give it one, or remove it".into()),
    }
}

fn polygon(rings: &[Vec<Position>], margin_metres: f64) -> Result<Zone, String> {
    let mut rings = rings.iter().enumerate().map(|(index, positions)| {
        let which = if index == 0 { "its outline".to_owned() } else { format!("its hole {index}") };
        let corners = positions.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        Ring::new(corners).map_err(|reason| format!("{which} {reason}"))
    });
    let outline = rings.next().ok_or("is empty; give it an outline, or remove it")??;
    Ok(Zone::polygon(outline, rings.collect::<Result<_, _>>()?, margin_metres))
}

fn place(position: &Position) -> Result<LatLon, String> {
    let [lon, lat, ..] = position.as_slice() else {
        return Err("a position needs longitude and latitude".into());
    };
    let place = LatLon::new(*lat, *lon);
    let swapped = LatLon::new(*lon, *lat);
    if !place.is_some_and(is_at_home) && swapped.is_some_and(is_at_home) {
        return Err(format!("[{lon}, {lat}] has latitude and longitude swapped; GeoJSON wants [longitude, latitude]"));
    }
    place.ok_or_else(|| format!("[{lon}, {lat}] is not on the globe; GeoJSON wants [longitude, latitude]"))
}

fn is_at_home(place: LatLon) -> bool {
    let (south_west, north_east) = AT_HOME;
    (south_west.lat..=north_east.lat).contains(&place.lat) && (south_west.lon..=north_east.lon).contains(&place.lon)
}
