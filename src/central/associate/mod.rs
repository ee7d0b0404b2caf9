//! From a set of sightings to defects: which sightings are the same thing on the street.
//!
//! Pure, and a function of the *set*: arrival order, repetition and replay change nothing. Sightings whose reaches
//! overlap are linked; only linked sightings can influence one another, so each connected neighbourhood is solved by
//! itself, and a new sighting changes its own neighbourhood alone.
//!
//! Within a neighbourhood the passes are taken one after the other, in an order that depends on their contents. A pass
//! shares one unknown offset (the drift of satellite positioning changes slowly, so sightings of one pass are displaced
//! together), and its sightings are assigned to the things known so far one-to-one: two sightings of one pass are
//! never the same thing. See [`align`] for the costs. Afterwards each pass is taken out and assigned again until
//! nothing changes, so that the first pass has no privilege.

mod align;
mod fuse;
mod identity;
mod neighbourhood;

use std::collections::BTreeMap;

pub use fuse::summarise;
pub use identity::{Identified, keep_identities};
pub use neighbourhood::{Reach, neighbourhoods};

use super::model::Sighting;
use crate::geo::{Covariance, EastNorth, LocalFrame};
use crate::schema::{DamageClass, PassTag};

const MAX_ROUNDS: usize = 4;

/// A sighting together with what the street network says about its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    pub sighting: Sighting,
    /// True on a section driven in one direction only: traffic in the other direction is on another carriageway.
    pub one_way: bool,
}

/// The sightings of one thing, as indices into the input, in canonical order.
pub type Group = Vec<usize>;

/// Groups all sightings. Each sighting is in exactly one group; groups come in canonical order.
#[must_use]
pub fn associate(sightings: &[Placed]) -> Vec<Group> {
    let mut groups: Vec<Group> = neighbourhoods(sightings).iter().flat_map(|n| solve(sightings, n)).collect();
    groups.sort_by_key(|group| group.first().map(|&i| canonical(&sightings[i])));
    groups
}

/// What the alignment needs of a sighting, in metres of a local frame.
#[derive(Debug, Clone)]
struct Observation {
    index: usize,
    class: DamageClass,
    position: EastNorth,
    /// Position and, for extended objects, the freedom of what counts as their centre.
    covariance: Covariance,
    heading_degrees: f64,
    length_metres: f64,
    one_way: bool,
}

fn canonical(placed: &Placed) -> (time::OffsetDateTime, crate::schema::EventId) {
    (placed.sighting.hour, placed.sighting.id)
}

fn solve(sightings: &[Placed], neighbourhood: &[usize]) -> Vec<Group> {
    let Some(&first) = neighbourhood.first() else { return Vec::new() };
    let frame = LocalFrame::at(sightings[first].sighting.damage.position);
    let mut by_tag: BTreeMap<&PassTag, Vec<Observation>> = BTreeMap::new();
    for &index in neighbourhood {
        let placed = &sightings[index];
        by_tag.entry(&placed.sighting.damage.pass).or_default().push(observation(index, placed, &frame));
    }
    let mut passes: Vec<Vec<Observation>> = by_tag.into_values().collect();
    // The fullest pass first: it tells neighbours apart best. Then by time and identity, as a tie-break.
    passes.sort_by_key(|pass| (std::cmp::Reverse(pass.len()), pass.first().map(|o| canonical(&sightings[o.index]))));

    let mut things: Vec<align::Thing> = Vec::new();
    for (pass, observations) in passes.iter().enumerate() {
        align::join(&mut things, pass, observations);
    }
    if passes.len() > 2 {
        for _ in 0..MAX_ROUNDS {
            let before = memberships(&things);
            for (pass, observations) in passes.iter().enumerate() {
                align::take_out(&mut things, pass);
                align::join(&mut things, pass, observations);
            }
            if memberships(&things) == before {
                break;
            }
        }
    }
    let mut groups: Vec<Group> = things.iter().map(align::Thing::members).collect();
    for group in &mut groups {
        group.sort_by_key(|&i| canonical(&sightings[i]));
    }
    groups
}

fn memberships(things: &[align::Thing]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = things.iter().map(align::Thing::members).collect();
    for members in &mut all {
        members.sort_unstable();
    }
    all.sort();
    all
}

/// A crack field may be framed now more, now less: its centre is free by this share of its size, one sigma.
const CENTRE_FREEDOM: f64 = 0.15;

fn observation(index: usize, placed: &Placed, frame: &LocalFrame) -> Observation {
    let damage = &placed.sighting.damage;
    let along = (CENTRE_FREEDOM * damage.length_metres).powi(2);
    let across = (CENTRE_FREEDOM * damage.width_metres).powi(2);
    let (sin, cos) = damage.heading_degrees.to_radians().sin_cos();
    let extent = Covariance {
        east_east: along * sin * sin + across * cos * cos,
        east_north: (along - across) * sin * cos,
        north_north: along * cos * cos + across * sin * sin,
    };
    Observation {
        index,
        class: damage.class,
        position: frame.local_from_latlon(damage.position),
        covariance: damage.position_covariance.plus(extent),
        heading_degrees: damage.heading_degrees,
        length_metres: damage.length_metres,
        one_way: placed.one_way,
    }
}

#[cfg(test)]
mod tests;
