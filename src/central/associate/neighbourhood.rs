//! Which sightings can influence one another: a reach around each, and the connected components of overlapping reaches.
//!
//! A reach depends on its sighting alone, so a store can index it and find the same links as [`neighbourhoods`].

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};

use super::{Placed, canonical};
use crate::geo::{EastNorth, LocalFrame};
use crate::schema::RoadDamage;

/// Two sightings of one thing lie within this many sigmas of each, apart from extremely rare cases.
const REACH_SIGMAS: f64 = 2.2;
const REACH_EXTENT_SHARE: f64 = 0.3;
const MIN_REACH_METRES: f64 = 0.75;
const MAX_REACH_METRES: f64 = 20.0;

/// A box in degrees around a sighting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    pub west: f64,
    pub south: f64,
    pub east: f64,
    pub north: f64,
}

impl Reach {
    #[must_use]
    pub fn of(damage: &RoadDamage) -> Self {
        let extent = damage.length_metres.max(damage.width_metres);
        let metres = (REACH_SIGMAS * damage.position_covariance.sigma_metres() + REACH_EXTENT_SHARE * extent)
            .clamp(MIN_REACH_METRES, MAX_REACH_METRES);
        let frame = LocalFrame::at(damage.position);
        let south_west = frame.latlon_from_local(EastNorth::new(-metres, -metres));
        let north_east = frame.latlon_from_local(EastNorth::new(metres, metres));
        Self { west: south_west.lon, south: south_west.lat, east: north_east.lon, north: north_east.lat }
    }

    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.west <= other.east && other.west <= self.east && self.south <= other.north && other.south <= self.north
    }
}

/// The connected components of overlapping reaches, members in canonical order.
#[must_use]
pub fn neighbourhoods(sightings: &[Placed]) -> Vec<Vec<usize>> {
    let boxes: Vec<GeomWithData<Rectangle<[f64; 2]>, usize>> = sightings
        .iter()
        .enumerate()
        .map(|(index, placed)| {
            let reach = Reach::of(&placed.sighting.damage);
            let corners = ([reach.west, reach.south], [reach.east, reach.north]);
            GeomWithData::new(Rectangle::from_corners(corners.0, corners.1), index)
        })
        .collect();
    let tree = RTree::bulk_load(boxes.clone());
    let mut seen = vec![false; sightings.len()];
    let mut all = Vec::new();
    for start in 0..sightings.len() {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut members = vec![start];
        let mut next = 0;
        while let Some(&index) = members.get(next) {
            let rectangle = boxes[index].geom();
            let envelope = AABB::from_corners(rectangle.lower(), rectangle.upper());
            for near in tree.locate_in_envelope_intersecting(&envelope) {
                if !std::mem::replace(&mut seen[near.data], true) {
                    members.push(near.data);
                }
            }
            next += 1;
        }
        members.sort_by_key(|&i| canonical(&sightings[i]));
        all.push(members);
    }
    all
}
