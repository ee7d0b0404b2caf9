//! Streets from an OpenStreetMap PBF extract, split where streets meet.
//!
//! Ways with a driveable `highway` value are taken, areas and private construction left out. A way is split at every
//! node that it shares with another driveable way or visits twice. Ways that leave the extract are kept up to its edge.

use std::collections::HashMap;
use std::path::Path;

use osmpbf::{Element, ElementReader, Way};

use super::{NetworkError, Street};
use crate::central::model::RoadClass;
use crate::geo::LatLon;

struct RawWay {
    id: i64,
    nodes: Vec<i64>,
    name: Option<String>,
    road_class: RoadClass,
    one_way: bool,
}

pub(super) fn read(path: &Path) -> Result<Vec<Street>, NetworkError> {
    let unreadable = |error: osmpbf::Error| NetworkError::Pbf { path: path.to_owned(), why: error.to_string() };
    std::fs::File::open(path).map_err(|source| NetworkError::Io { path: path.to_owned(), source })?;

    let mut ways = Vec::new();
    let reader = ElementReader::from_path(path).map_err(unreadable)?;
    reader
        .for_each(|element| {
            if let Element::Way(way) = element {
                ways.extend(driveable(&way));
            }
        })
        .map_err(unreadable)?;
    ways.sort_by_key(|way| way.id);

    let mut uses: HashMap<i64, u32> = HashMap::new();
    for node in ways.iter().flat_map(|way| &way.nodes) {
        *uses.entry(*node).or_default() += 1;
    }
    let mut places: HashMap<i64, LatLon> = HashMap::with_capacity(uses.len());
    let reader = ElementReader::from_path(path).map_err(unreadable)?;
    reader
        .for_each(|element| {
            let (id, lat, lon) = match element {
                Element::Node(node) => (node.id(), node.lat(), node.lon()),
                Element::DenseNode(node) => (node.id(), node.lat(), node.lon()),
                _ => return,
            };
            if uses.contains_key(&id) {
                places.extend(LatLon::new(lat, lon).map(|place| (id, place)));
            }
        })
        .map_err(unreadable)?;

    Ok(ways.iter().flat_map(|way| split(way, &uses, &places)).collect())
}

fn driveable(way: &Way<'_>) -> Option<RawWay> {
    let (mut highway, mut name, mut reference, mut one_way, mut area, mut roundabout) =
        (None, None, None, None, false, false);
    for (key, value) in way.tags() {
        match key {
            "highway" => highway = Some(value),
            "name" => name = Some(value.to_owned()),
            "ref" => reference = Some(value.to_owned()),
            "oneway" => one_way = Some(value),
            "area" => area = value == "yes",
            "junction" => roundabout = value == "roundabout" || value == "circular",
            _ => {}
        }
    }
    let road_class = RoadClass::from_highway(highway?)?;
    if area {
        return None;
    }
    let mut nodes: Vec<i64> = way.refs().collect();
    if one_way == Some("-1") {
        nodes.reverse();
    }
    let one_way = match one_way {
        Some("yes" | "true" | "1" | "-1") => true,
        Some("no") => false,
        _ => roundabout || road_class == RoadClass::Motorway,
    };
    Some(RawWay { id: way.id(), nodes, name: name.or(reference), road_class, one_way })
}

fn split(way: &RawWay, uses: &HashMap<i64, u32>, places: &HashMap<i64, LatLon>) -> Vec<Street> {
    let mut streets = Vec::new();
    let mut line: Vec<LatLon> = Vec::new();
    let mut finish = |line: &mut Vec<LatLon>| {
        let line = std::mem::take(line);
        if line.len() >= 2 {
            streets.push(Street { name: way.name.clone(), road_class: way.road_class, one_way: way.one_way, line });
        }
    };
    for node in &way.nodes {
        let Some(place) = places.get(node) else {
            finish(&mut line);
            continue;
        };
        line.push(*place);
        if uses.get(node).is_some_and(|count| *count > 1) {
            finish(&mut line);
            line.push(*place);
        }
    }
    finish(&mut line);
    streets
}
