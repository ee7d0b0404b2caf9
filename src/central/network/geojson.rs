//! Streets from GeoJSON: LineStrings with the properties `highway` (OpenStreetMap's values), `name` and `oneway`.

use std::path::Path;

use geojson::{Feature, GeoJson, GeometryValue, JsonValue, Position};

use super::{NetworkError, Street};
use crate::central::model::RoadClass;
use crate::geo::LatLon;

pub(super) fn read(path: &Path) -> Result<Vec<Street>, NetworkError> {
    let text = std::fs::read_to_string(path).map_err(|source| NetworkError::Io { path: path.to_owned(), source })?;
    let bad = |why: String| NetworkError::GeoJson { path: path.to_owned(), why };
    match text.parse::<GeoJson>().map_err(|e| bad(e.to_string()))? {
        GeoJson::FeatureCollection(collection) => {
            let mut streets = Vec::new();
            for (index, feature) in collection.features.into_iter().enumerate() {
                streets.extend(streets_of(&feature).map_err(|why| bad(format!("feature {index}: {why}")))?);
            }
            Ok(streets)
        }
        _ => Err(bad("expected a FeatureCollection of LineStrings".to_owned())),
    }
}

fn streets_of(feature: &Feature) -> Result<Vec<Street>, String> {
    let text = |key: &str| feature.property(key).and_then(JsonValue::as_str);
    let Some(road_class) = text("highway").and_then(RoadClass::from_highway) else { return Ok(Vec::new()) };
    let (one_way, reversed) = match feature.property("oneway") {
        Some(JsonValue::Bool(value)) => (*value, false),
        Some(JsonValue::String(value)) if value == "-1" => (true, true),
        Some(JsonValue::String(value)) => (matches!(value.as_str(), "yes" | "true" | "1"), false),
        _ => (false, false),
    };
    let lines: Vec<&Vec<Position>> = match feature.geometry.as_ref().map(|g| &g.value) {
        Some(GeometryValue::LineString { coordinates }) => vec![coordinates],
        Some(GeometryValue::MultiLineString { coordinates }) => coordinates.iter().collect(),
        _ => return Ok(Vec::new()),
    };
    let mut streets = Vec::new();
    for coordinates in lines {
        let mut line = coordinates
            .iter()
            .map(|p| match p.as_slice() {
                [lon, lat, ..] => LatLon::new(*lat, *lon).ok_or_else(|| format!("[{lon}, {lat}] is not on the globe")),
                _ => Err("a position needs longitude and latitude".to_owned()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if reversed {
            line.reverse();
        }
        streets.push(Street { name: text("name").map(str::to_owned), road_class, one_way, line });
    }
    Ok(streets)
}
