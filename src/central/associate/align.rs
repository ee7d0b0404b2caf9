//! Assigns the sightings of one pass to the things known so far.
//!
//! Model: a sighting's position = the thing's position + the pass's offset + its own error. The offset is common to the
//! pass; its variance is what all sightings of the pass share ([`SHARED_OFFSET`] of the smallest variance among them),
//! plus the same for the things, whose positions carry the offsets of earlier passes. A hypothesis is a one-to-one
//! partial assignment; its cost is the negative logarithm of its evidence with the offset integrated out (all terms
//! Gaussian), plus [`NEW_THING`] for each sighting left over and penalties for class, size and heading. Offsets are
//! tried as every plausible pair suggests them; the cheapest hypothesis wins. Ties fall to the first in order.

use super::{Group, Observation};
use crate::geo::{Covariance, EastNorth, heading_difference};

/// Share of a pass's smallest position variance that is taken as common to its sightings.
const SHARED_OFFSET: f64 = 0.8;
/// Error that remains between two sightings of one thing in any case: what counts as its middle, one sigma.
const FLOOR_METRES: f64 = 0.2;
/// Cost of a sighting that founds a thing: -ln of the density of damages seen for the first time, per square metre.
const NEW_THING: f64 = 7.2;
/// Two crack types are the same group but not the same class.
const OTHER_CRACK_TYPE: f64 = 0.7;
/// Per factor e of difference in length, up to a factor of e².
const SIZE_PENALTY: f64 = 0.3;
const MAX_SIZE_STEPS: f64 = 2.0;
/// Travel along different axes: up to this much at right angles, nothing for the same or the opposite direction.
const CROSSING_PENALTY: f64 = 1.5;
/// On a one-way section, a turn beyond this means another carriageway.
const OTHER_CARRIAGEWAY_DEGREES: f64 = 100.0;

/// A thing on the street while it is being put together.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    /// (pass, observation); at most one per pass.
    seen: Vec<(usize, Observation)>,
    position: EastNorth,
    covariance: Covariance,
}

impl Thing {
    fn founded(pass: usize, observation: Observation) -> Self {
        let (position, covariance) = (observation.position, observation.covariance);
        Self { seen: vec![(pass, observation)], position, covariance }
    }

    pub(super) fn members(&self) -> Group {
        self.seen.iter().map(|(_, o)| o.index).collect()
    }

    fn refresh(&mut self) {
        if let Some((position, covariance)) = fused(self.seen.iter().map(|(_, o)| (o.position, o.covariance))) {
            self.position = position;
            self.covariance = covariance;
        }
    }
}

/// Mean weighted by inverse covariance, and its covariance; `None` for nothing or for degenerate input.
pub(super) fn fused(parts: impl Iterator<Item = (EastNorth, Covariance)>) -> Option<(EastNorth, Covariance)> {
    let mut information = Covariance { east_east: 0.0, east_north: 0.0, north_north: 0.0 };
    let (mut east, mut north) = (0.0, 0.0);
    for (position, covariance) in parts {
        let weight = covariance.inverse()?;
        let weighted = times(weight, position);
        east += weighted.east_metres;
        north += weighted.north_metres;
        information = information.plus(weight);
    }
    let covariance = information.inverse()?;
    Some((times(covariance, EastNorth::new(east, north)), covariance))
}

/// Removes a pass from all things; things that only it had seen disappear.
pub(super) fn take_out(things: &mut Vec<Thing>, pass: usize) {
    for thing in things.iter_mut() {
        let before = thing.seen.len();
        thing.seen.retain(|(p, _)| *p != pass);
        if thing.seen.len() != before {
            thing.refresh();
        }
    }
    things.retain(|thing| !thing.seen.is_empty());
}

/// Adds a pass: each sighting joins one thing or founds its own.
pub(super) fn join(things: &mut Vec<Thing>, pass: usize, observations: &[Observation]) {
    let assigned = best_assignment(things, observations);
    for (observation, thing) in observations.iter().zip(assigned) {
        if let Some(thing) = thing {
            things[thing].seen.push((pass, observation.clone()));
            things[thing].refresh();
        } else {
            things.push(Thing::founded(pass, observation.clone()));
        }
    }
}

/// A possible pair of sighting and thing.
struct Pair {
    observation: usize,
    thing: usize,
    /// Thing minus sighting.
    difference: EastNorth,
    /// Without the common offset.
    own: Covariance,
    penalty: f64,
}

fn best_assignment(things: &[Thing], observations: &[Observation]) -> Vec<Option<usize>> {
    let nothing = vec![None; observations.len()];
    let offset_of_pass = SHARED_OFFSET * smallest_variance(observations.iter().map(|o| o.covariance));
    let offset_of_things = SHARED_OFFSET * smallest_variance(things.iter().map(|t| t.covariance));
    let offset = Covariance::isotropic((offset_of_pass + offset_of_things).sqrt());

    let mut pairs = Vec::new();
    for (o, observation) in observations.iter().enumerate() {
        for (t, thing) in things.iter().enumerate() {
            let Some(penalty) = penalty(observation, thing) else { continue };
            let own = reduced(observation.covariance, offset_of_pass)
                .plus(reduced(thing.covariance, offset_of_things))
                .plus(Covariance::isotropic(FLOOR_METRES));
            let difference = EastNorth::new(
                thing.position.east_metres - observation.position.east_metres,
                thing.position.north_metres - observation.position.north_metres,
            );
            if surprise(own.plus(offset), difference) + penalty < 2.0 * NEW_THING {
                pairs.push(Pair { observation: o, thing: t, difference, own, penalty });
            }
        }
    }

    let mut best = (NEW_THING * observations.len() as f64, nothing);
    for suggestion in &pairs {
        let share = offset_share(offset, suggestion.own);
        let tried = times(share, suggestion.difference);
        let Some(first) = greedy(&pairs, observations.len(), things.len(), tried) else { continue };
        // Once more with the offset that the whole first assignment suggests.
        let settled = likeliest_offset(&pairs, &first, offset);
        let chosen = greedy(&pairs, observations.len(), things.len(), settled).unwrap_or(first);
        let cost = cost_of(&pairs, &chosen, offset, observations.len());
        if cost < best.0 - 1e-9 {
            let mut assigned = vec![None; observations.len()];
            for &pair in &chosen {
                assigned[pairs[pair].observation] = Some(pairs[pair].thing);
            }
            best = (cost, assigned);
        }
    }
    best.1
}

/// `None`: cannot be the same thing whatever the distance.
fn penalty(observation: &Observation, thing: &Thing) -> Option<f64> {
    let mut least: Option<f64> = None;
    for (_, seen) in &thing.seen {
        if !seen.class.same_group(observation.class) {
            return None;
        }
        let turn = heading_difference(seen.heading_degrees, observation.heading_degrees).abs();
        if (seen.one_way || observation.one_way) && turn > OTHER_CARRIAGEWAY_DEGREES {
            return None;
        }
        let class = if seen.class == observation.class { 0.0 } else { OTHER_CRACK_TYPE };
        let ratio = (seen.length_metres.max(0.1) / observation.length_metres.max(0.1)).ln().abs();
        let size = SIZE_PENALTY * ratio.min(MAX_SIZE_STEPS);
        let crossing = CROSSING_PENALTY * turn.to_radians().sin().powi(2);
        let sum = class + size + crossing;
        least = Some(least.map_or(sum, |l| l.min(sum)));
    }
    least
}

/// The cheapest pairs first, one-to-one, each cheaper than a new thing. `None` when no pair is.
fn greedy(pairs: &[Pair], observations: usize, things: usize, offset: EastNorth) -> Option<Vec<usize>> {
    let mut costs: Vec<(f64, usize)> = pairs
        .iter()
        .enumerate()
        .map(|(index, pair)| (surprise(pair.own, minus(pair.difference, offset)) + pair.penalty, index))
        .filter(|(cost, _)| *cost < NEW_THING)
        .collect();
    costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut observation_taken, mut thing_taken) = (vec![false; observations], vec![false; things]);
    let mut chosen = Vec::new();
    for (_, index) in costs {
        let pair = &pairs[index];
        if !observation_taken[pair.observation] && !thing_taken[pair.thing] {
            observation_taken[pair.observation] = true;
            thing_taken[pair.thing] = true;
            chosen.push(index);
        }
    }
    (!chosen.is_empty()).then_some(chosen)
}

/// The offset of largest posterior density given an assignment.
fn likeliest_offset(pairs: &[Pair], chosen: &[usize], offset: Covariance) -> EastNorth {
    let prior = (EastNorth::new(0.0, 0.0), offset);
    let parts = chosen.iter().map(|&index| (pairs[index].difference, pairs[index].own));
    fused(std::iter::once(prior).chain(parts)).map_or(prior.0, |(position, _)| position)
}

/// Negative log evidence of an assignment with the offset integrated out, plus the price of what is left over.
fn cost_of(pairs: &[Pair], chosen: &[usize], offset: Covariance, observations: usize) -> f64 {
    let settled = likeliest_offset(pairs, chosen, offset);
    let mut information = offset.inverse().unwrap_or(offset);
    let mut cost = NEW_THING * (observations - chosen.len()) as f64;
    cost += 0.5 * offset.mahalanobis_squared(settled) + 0.5 * offset.determinant().ln();
    for &index in chosen {
        let pair = &pairs[index];
        cost += surprise(pair.own, minus(pair.difference, settled)) + pair.penalty;
        information = pair.own.inverse().map_or(information, |i| information.plus(i));
    }
    cost + 0.5 * information.determinant().ln()
}

/// Negative log density of a Gaussian.
fn surprise(covariance: Covariance, offset: EastNorth) -> f64 {
    0.5 * covariance.mahalanobis_squared(offset) + std::f64::consts::TAU.ln() + 0.5 * covariance.determinant().ln()
}

/// Gain of the offset's estimate from one pair: offset · (offset + own)⁻¹.
fn offset_share(offset: Covariance, own: Covariance) -> Covariance {
    // The offset's covariance is isotropic, so the product stays symmetric.
    let variance = offset.east_east;
    offset.plus(own).inverse().map_or(Covariance { east_east: 0.0, east_north: 0.0, north_north: 0.0 }, |i| {
        Covariance {
            east_east: variance * i.east_east,
            east_north: variance * i.east_north,
            north_north: variance * i.north_north,
        }
    })
}

fn smallest_variance(covariances: impl Iterator<Item = Covariance>) -> f64 {
    let smallest = covariances
        .map(|c| {
            let mean = 0.5 * (c.east_east + c.north_north);
            let spread = (0.25 * (c.east_east - c.north_north).powi(2) + c.east_north * c.east_north).sqrt();
            (mean - spread).max(0.0)
        })
        .fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest.max(1e-4) } else { 1e-4 }
}

fn reduced(covariance: Covariance, variance: f64) -> Covariance {
    Covariance {
        east_east: covariance.east_east - variance,
        east_north: covariance.east_north,
        north_north: covariance.north_north - variance,
    }
}

fn times(matrix: Covariance, vector: EastNorth) -> EastNorth {
    EastNorth::new(
        matrix.east_east * vector.east_metres + matrix.east_north * vector.north_metres,
        matrix.east_north * vector.east_metres + matrix.north_north * vector.north_metres,
    )
}

fn minus(a: EastNorth, b: EastNorth) -> EastNorth {
    EastNorth::new(a.east_metres - b.east_metres, a.north_metres - b.north_metres)
}
