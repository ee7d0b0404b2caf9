//! Privacy zones: places where nothing is recorded, from a GeoJSON file.
//!
//! A zone is a Polygon or MultiPolygon (its holes do not belong to it), or a Point or MultiPoint with the property
//! `radius_metres`; on a polygon that property widens it. Coordinates are WGS 84, longitude first; a third one is read
//! over. A file with a mistake is refused as a whole: a zone that is silently not there would be worse than no device.
//!
//! A fix counts as inside when its circle of [`CIRCLE_SIGMAS`] sigma touches a zone.

mod read;
mod ring;

use std::path::{Path, PathBuf};

use self::ring::Ring;
use crate::config::Table;
use crate::edge::fix::Fix;
use crate::geo::{EastNorth, LatLon, LocalFrame};

/// The circle in which the vehicle was with 95 % (a Rayleigh distribution).
pub const CIRCLE_SIGMAS: f64 = 2.45;
/// So many metres a degree of latitude has at least, anywhere: a little too wide a first look loses nothing.
const LEAST_METRES_PER_DEGREE: f64 = 110_500.0;

/// `privacy_zones_file` under `[recording]`; the outer `None` is a noted problem, the inner one an absent key.
#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent key")]
pub fn file_from_table(recording: &Table) -> Option<Option<PathBuf>> {
    recording.path("privacy_zones_file").optional()
}

#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: is no GeoJSON: {reason}", path.display())]
    NotGeoJson { path: PathBuf, reason: String },
    #[error("{}: holds no zone; give a FeatureCollection with polygons, or leave `privacy_zones_file` out", path.display())]
    Empty { path: PathBuf },
    #[error("{}: {feature}: {reason}", path.display())]
    BadFeature {
        path: PathBuf,
        /// Its number, counted from 1, and its name where it has one.
        feature: String,
        reason: String,
    },
}

impl From<ZoneError> for crate::failure::Failure {
    fn from(error: ZoneError) -> Self {
        match &error {
            // A card that fails to read once must not end the device for good, as wrong usage does.
            ZoneError::Unreadable { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                Self::unavailable(error)
            }
            _ => Self::usage(error),
        }
    }
}

/// Where nothing is recorded. Without any zone, everything may be.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    zones: Vec<Zone>,
}

#[derive(Debug, Clone)]
struct Zone {
    bounds: Bounds,
    shape: Shape,
    /// Belongs to the zone all around its shape.
    margin_metres: f64,
}

#[derive(Debug, Clone)]
enum Shape {
    Point(LatLon),
    Polygon { outline: Ring, holes: Vec<Ring> },
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    south_west: LatLon,
    north_east: LatLon,
}

impl Zones {
    pub fn read(path: &Path) -> Result<Self, ZoneError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ZoneError::Unreadable { path: path.to_owned(), source })?;
        read::zones(path, &text).map(|zones| Self { zones })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    #[must_use]
    pub fn contains(&self, position: LatLon) -> bool {
        self.touch(position, 0.0)
    }

    /// Whether a circle around a position touches a zone.
    #[must_use]
    pub fn touch(&self, position: LatLon, radius_metres: f64) -> bool {
        self.zones.iter().any(|zone| zone.touches(position, radius_metres))
    }

    /// Where there are zones, nothing is recorded in one of them, nor while nobody knows where the vehicle is.
    #[must_use]
    pub fn may_record(&self, fix: Option<&Fix>) -> bool {
        if self.is_empty() {
            return true;
        }
        fix.is_some_and(|fix| {
            fix.accuracy_metres.is_finite() && !self.touch(fix.position, CIRCLE_SIGMAS * fix.accuracy_metres)
        })
    }
}

impl Zone {
    fn point(centre: LatLon, radius_metres: f64) -> Self {
        let bounds = Bounds { south_west: centre, north_east: centre };
        Self { bounds, shape: Shape::Point(centre), margin_metres: radius_metres }
    }

    fn polygon(outline: Ring, holes: Vec<Ring>, margin_metres: f64) -> Self {
        Self { bounds: Bounds::around(outline.corners()), shape: Shape::Polygon { outline, holes }, margin_metres }
    }

    fn touches(&self, position: LatLon, radius_metres: f64) -> bool {
        let reach_metres = self.margin_metres + radius_metres;
        if !self.bounds.are_within(position, reach_metres) {
            return false;
        }
        let frame = LocalFrame::at(position);
        match &self.shape {
            Shape::Point(centre) => {
                frame.local_from_latlon(*centre).distance_metres(EastNorth::new(0.0, 0.0)) <= reach_metres
            }
            Shape::Polygon { outline, holes } => {
                let inside = outline.surrounds(position) && !holes.iter().any(|hole| hole.surrounds(position));
                let mut rings = std::iter::once(outline).chain(holes);
                inside || rings.any(|ring| ring.is_within(&frame, reach_metres))
            }
        }
    }
}

impl Bounds {
    fn around(corners: &[LatLon]) -> Self {
        let all = |pick: fn(&LatLon) -> f64, choose: fn(f64, f64) -> f64, start: f64| {
            corners.iter().map(pick).fold(start, choose)
        };
        Self {
            south_west: LatLon {
                lat: all(|c| c.lat, f64::min, f64::INFINITY),
                lon: all(|c| c.lon, f64::min, f64::INFINITY),
            },
            north_east: LatLon {
                lat: all(|c| c.lat, f64::max, f64::NEG_INFINITY),
                lon: all(|c| c.lon, f64::max, f64::NEG_INFINITY),
            },
        }
    }

    fn are_within(&self, position: LatLon, metres: f64) -> bool {
        let degrees_lat = metres / LEAST_METRES_PER_DEGREE;
        // Near a pole every longitude is near.
        let shrink = (position.lat.abs() + degrees_lat).min(89.9).to_radians().cos();
        let degrees_lon = degrees_lat / shrink;
        (self.south_west.lat - degrees_lat..=self.north_east.lat + degrees_lat).contains(&position.lat)
            && (self.south_west.lon - degrees_lon..=self.north_east.lon + degrees_lon).contains(&position.lon)
    }
}

#[cfg(test)]
mod tests;
