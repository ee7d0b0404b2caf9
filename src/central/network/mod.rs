//! The town's streets: read from OpenStreetMap or GeoJSON, cut into sections of about 100 m, and matched to sightings.
//!
//! A sighting belongs to the section that is nearest to it, where a section driven in another direction counts as
//! farther away: one metre per [`DEGREES_PER_METRE`] degrees beyond [`FREE_TURN_DEGREES`]. On a one-way section the
//! direction counts fully, so the two carriageways of a divided road stay apart; on others travel in both directions
//! fits. Service roads, which often run beside a street, count as [`SERVICE_PENALTY_METRES`] farther away.

mod cut;
mod geojson;
mod osm;

use std::path::{Path, PathBuf};

use rstar::{AABB, PointDistance, RTree, RTreeObject};

use super::model::{RoadClass, Section, SectionId};
use crate::geo::{EastNorth, LatLon, LocalFrame, heading_difference};

/// Farther than this from every section, a sighting lies on no known street.
const MAX_DISTANCE_METRES: f64 = 25.0;
const FREE_TURN_DEGREES: f64 = 25.0;
const DEGREES_PER_METRE: f64 = 10.0;
const SERVICE_PENALTY_METRES: f64 = 3.0;

/// Why a street network could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot read the street network {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a readable OpenStreetMap PBF file: {why}; download it again")]
    Pbf { path: PathBuf, why: String },
    #[error("{path} is not readable GeoJSON: {why}")]
    GeoJson { path: PathBuf, why: String },
    #[error("{path} holds no driveable street (lines with a `highway` value such as residential or primary)")]
    Empty { path: PathBuf },
    #[error("{path}: give the street network as .osm.pbf, .pbf, .geojson or .json")]
    UnknownFormat { path: PathBuf },
}

/// A street as it stands in the source, before cutting: between two junctions, or a whole line of GeoJSON.
#[derive(Debug, Clone, PartialEq)]
struct Street {
    name: Option<String>,
    road_class: RoadClass,
    one_way: bool,
    line: Vec<LatLon>,
}

/// Reads a street network by the file's ending and cuts it into sections, sorted by id.
pub fn read_sections(path: &Path) -> Result<Vec<Section>, NetworkError> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let streets = match ending.as_deref() {
        Some("pbf") => osm::read(path)?,
        Some("geojson" | "json") => geojson::read(path)?,
        _ => return Err(NetworkError::UnknownFormat { path: path.to_owned() }),
    };
    let sections = cut::sections_of(&streets);
    if sections.is_empty() { Err(NetworkError::Empty { path: path.to_owned() }) } else { Ok(sections) }
}

/// The sections with an index over their straight pieces.
#[derive(Debug, Default)]
pub struct Network {
    sections: Vec<Section>,
    pieces: RTree<Piece>,
    frame: Option<LocalFrame>,
}

/// One straight piece of a section, in metres of the network's frame.
#[derive(Debug, Clone, Copy)]
struct Piece {
    section: usize,
    from: EastNorth,
    to: EastNorth,
}

impl RTreeObject for Piece {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners([self.from.east_metres, self.from.north_metres], [self.to.east_metres, self.to.north_metres])
    }
}

impl PointDistance for Piece {
    fn distance_2(&self, point: &[f64; 2]) -> f64 {
        distance_to_piece(EastNorth::new(point[0], point[1]), self.from, self.to).powi(2)
    }
}

impl Network {
    #[must_use]
    pub fn new(mut sections: Vec<Section>) -> Self {
        sections.sort_by(|a, b| a.id.cmp(&b.id));
        let frame = centre(&sections).map(LocalFrame::at);
        let mut pieces = Vec::new();
        if let Some(frame) = frame {
            for (index, section) in sections.iter().enumerate() {
                let local: Vec<EastNorth> = section.line.iter().map(|p| frame.local_from_latlon(*p)).collect();
                pieces.extend(local.windows(2).map(|ends| Piece { section: index, from: ends[0], to: ends[1] }));
            }
        }
        Self { sections, pieces: RTree::bulk_load(pieces), frame }
    }

    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    #[must_use]
    pub fn section(&self, id: &SectionId) -> Option<&Section> {
        self.sections.binary_search_by(|s| s.id.cmp(id)).ok().map(|index| &self.sections[index])
    }

    /// West, south, east, north in degrees; `None` without sections.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 4]> {
        let mut points = self.sections.iter().flat_map(|s| &s.line);
        let first = points.next()?;
        let start = [first.lon, first.lat, first.lon, first.lat];
        Some(points.fold(start, |b, p| [b[0].min(p.lon), b[1].min(p.lat), b[2].max(p.lon), b[3].max(p.lat)]))
    }

    /// The section that a sighting at `position`, seen when driving towards `heading_degrees`, lies on.
    #[must_use]
    pub fn section_at(&self, position: LatLon, heading_degrees: f64) -> Option<&Section> {
        let here = self.frame?.local_from_latlon(position);
        let around =
            self.pieces.locate_within_distance([here.east_metres, here.north_metres], MAX_DISTANCE_METRES.powi(2));
        let cost = |piece: &Piece| {
            let section = &self.sections[piece.section];
            distance_to_piece(here, piece.from, piece.to)
                + turn_penalty_metres(piece, section.one_way, heading_degrees)
                + if section.road_class == RoadClass::Service { SERVICE_PENALTY_METRES } else { 0.0 }
        };
        around
            .map(|piece| (cost(piece), piece.section))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, section)| &self.sections[section])
    }
}

fn turn_penalty_metres(piece: &Piece, one_way: bool, heading_degrees: f64) -> f64 {
    let (east, north) =
        (piece.to.east_metres - piece.from.east_metres, piece.to.north_metres - piece.from.north_metres);
    let turn = heading_difference(east.atan2(north).to_degrees(), heading_degrees).abs();
    let turn = if one_way { turn } else { turn.min(180.0 - turn) };
    (turn - FREE_TURN_DEGREES).max(0.0) / DEGREES_PER_METRE
}

fn distance_to_piece(point: EastNorth, from: EastNorth, to: EastNorth) -> f64 {
    let (dx, dy) = (to.east_metres - from.east_metres, to.north_metres - from.north_metres);
    let length_squared = dx * dx + dy * dy;
    let along = if length_squared > 0.0 {
        ((point.east_metres - from.east_metres) * dx + (point.north_metres - from.north_metres) * dy) / length_squared
    } else {
        0.0
    };
    let along = along.clamp(0.0, 1.0);
    point.distance_metres(EastNorth::new(from.east_metres + along * dx, from.north_metres + along * dy))
}

fn centre(sections: &[Section]) -> Option<LatLon> {
    let (mut lat, mut lon, mut count) = (0.0, 0.0, 0_u32);
    for point in sections.iter().flat_map(|s| &s.line) {
        lat += point.lat;
        lon += point.lon;
        count += 1;
    }
    (count > 0).then(|| LatLon { lat: lat / f64::from(count), lon: lon / f64::from(count) })
}

#[cfg(test)]
mod tests;
