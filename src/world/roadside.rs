//! Places what stands beside a street, the shadows it throws, and what lies in the street without being damage.

use std::sync::Arc;

use crate::geo::EastNorth;
use crate::world::dice::Dice;
use crate::world::look::Look;
use crate::world::scene::{Decal, Pose};
use crate::world::shape::decoy::{self, Decoy};
use crate::world::street::{Street, StreetIndex};
use crate::world::things::{self, Thing};

/// A place on a street's centreline, turned to its direction; clamped to its ends.
#[must_use]
pub fn on_street(street: &Street, along_metres: f64, left_metres: f64) -> Pose {
    let mut rest = along_metres.max(0.0);
    let last = street.points.len().saturating_sub(2);
    for (k, pair) in street.points.windows(2).enumerate() {
        let length = pair[0].distance_metres(pair[1]);
        if rest <= length || k == last {
            let (de, dn) = (pair[1].east_metres - pair[0].east_metres, pair[1].north_metres - pair[0].north_metres);
            let heading_degrees = crate::geo::normalise_heading(de.atan2(dn).to_degrees());
            let share = (rest / length).min(1.0);
            let start = Pose {
                position: EastNorth::new(pair[0].east_metres + share * de, pair[0].north_metres + share * dn),
                heading_degrees,
            };
            return Pose { position: start.local_from_vehicle(0.0, left_metres), heading_degrees };
        }
        rest -= length;
    }
    Pose { position: street.points[0], heading_degrees: 0.0 }
}

fn lay(decoy: Decoy, pose: Pose) -> Decal {
    Decal { pose, length_metres: decoy.length_metres, width_metres: decoy.width_metres, raster: Arc::new(decoy.raster) }
}

/// Covers, drains and stains on a street, about one every `spacing_metres`, only where `free` allows them.
pub fn decoys(
    street: &Street,
    span: (f64, f64),
    spacing_metres: f64,
    dice: &mut Dice,
    free: impl Fn(EastNorth, f64) -> bool,
) -> Vec<Decal> {
    let half = f64::from(street.half_width_metres);
    let mut found = Vec::new();
    let mut along = span.0 + dice.between(0.0, spacing_metres);
    while along < span.1 {
        let (decoy, left) = match dice.index(5) {
            0 | 1 => (decoy::manhole(dice), dice.between(-half + 0.6, half - 0.6)),
            2 => (decoy::drain(dice), dice.sign() * (half - 0.35)),
            _ => (decoy::stain(dice), dice.between(-half + 0.8, half - 0.8)),
        };
        let pose = on_street(street, along, left);
        if free(pose.position, 0.5 * f64::from(decoy.length_metres)) {
            found.push(lay(decoy, pose));
        }
        along += dice.between(0.4, 1.6) * spacing_metres;
    }
    found
}

/// Houses, trees, poles, parked cars and people along a street, with their shadows; nothing within a vehicle's width of the
/// places in `keep_clear`.
pub fn furnish(
    street: &Street,
    span: (f64, f64),
    town: bool,
    look: &Look,
    index: &StreetIndex,
    keep_clear: &[EastNorth],
    dice: &mut Dice,
) -> (Vec<Thing>, Vec<Decal>) {
    let half = f64::from(street.half_width_metres);
    let (mut standing, mut shadows) = (Vec::new(), Vec::new());
    // The same side of the street throws its shadow on it all along.
    let azimuth = f64::from(look.shadow_azimuth_degrees);
    for side in [-1.0, 1.0] {
        let mut along = span.0 + dice.between(0.0, 8.0);
        while along < span.1 {
            let kind = dice.index(if town { 12 } else { 7 });
            let (beyond, step) = match kind {
                0..=2 => (dice.between(2.6, 5.5), dice.between(4.0, 10.0)),
                3 => (dice.between(0.6, 1.2), dice.between(5.0, 14.0)),
                4..=6 => (dice.between(2.5, 9.0), dice.between(3.0, 12.0)),
                7..=9 => (dice.between(8.5, 12.0), dice.between(13.0, 18.0)),
                10 => (dice.between(0.8, 2.0), dice.between(3.0, 9.0)),
                _ => (-0.4, dice.between(7.0, 22.0)),
            };
            let pose = on_street(street, along, side * (half + beyond));
            along += step;
            if kind == 11 && (!town || half < 2.9) {
                continue;
            }
            let (thing, height, width) = match kind {
                0..=2 => (things::tree(pose, dice), 6.0, 4.0),
                3 => (things::pole(pose, dice), 5.0, 0.12),
                4..=6 if town || dice.chance(0.6) => (things::hedge(pose, dice), 0.0, 0.0),
                4..=6 => (things::tree(pose, dice), 6.0, 4.5),
                7..=9 => (things::house(pose, dice), 6.0, 12.0),
                10 => (
                    things::person(
                        Pose { heading_degrees: pose.heading_degrees + dice.between(-180.0, 180.0), ..pose },
                        dice,
                    ),
                    1.7,
                    0.4,
                ),
                _ => (
                    things::car(
                        Pose { heading_degrees: pose.heading_degrees + if side > 0.0 { 180.0 } else { 0.0 }, ..pose },
                        dice,
                    ),
                    1.4,
                    4.2,
                ),
            };
            let reach = 1.6 + f64::from(thing.footprint_metres.0.min(thing.footprint_metres.1));
            if keep_clear.iter().any(|p| p.distance_metres(thing.pose.position) < reach) {
                continue;
            }
            if !has_room(&thing, index, if kind == 11 { None } else { Some(0.5) }) {
                continue;
            }
            // A far or faint shadow is not worth a table.
            if height > 0.0 && look.shadow_depth > 0.06 {
                shadows.extend(shadow(&thing, kind, height, width, side, azimuth, look.shadow_depth, pose, dice));
            }
            standing.push(thing);
        }
    }
    (standing, shadows)
}

/// Whether a thing stands at least `beside_metres` beside every carriageway, or (`None`) on one street and clear of the others.
fn has_room(thing: &Thing, index: &StreetIndex, beside_metres: Option<f32>) -> bool {
    let (a, b) = (f64::from(thing.footprint_metres.0), f64::from(thing.footprint_metres.1));
    let (steps_along, steps_across) = ((a / 1.0).ceil() as i32, (b / 1.0).ceil() as i32);
    (-steps_along..=steps_along).all(|i| {
        (-steps_across..=steps_across).all(|j| {
            let at = thing.pose.local_from_vehicle(
                a * f64::from(i) / f64::from(steps_along),
                b * f64::from(j) / f64::from(steps_across),
            );
            match (index.place(at.east_metres as f32, at.north_metres as f32), beside_metres) {
                (Some(place), Some(margin)) => place.beyond > margin,
                (Some(place), None) => !place.junction,
                (None, _) => true,
            }
        })
    })
}

#[allow(clippy::too_many_arguments)]
fn shadow(
    thing: &Thing,
    kind: usize,
    height: f64,
    width: f64,
    side: f64,
    azimuth: f64,
    depth: f32,
    pose: Pose,
    dice: &mut Dice,
) -> Option<Decal> {
    let length = height * 1.1;
    // Shadows fall to the left of the street's direction; things on the right side reach the carriageway.
    let direction = Pose { heading_degrees: pose.heading_degrees - azimuth, ..pose };
    match kind {
        0..=2 | 4..=6 if thing.radius_metres > 1.0 => {
            let middle = direction.local_from_vehicle(0.75 * length, 0.0);
            Some(lay(
                decoy::crown_shadow(length as f32, width as f32, depth, dice),
                Pose { position: middle, ..direction },
            ))
        }
        3 => {
            let middle = direction.local_from_vehicle(0.5 * length, 0.0);
            Some(lay(decoy::plain_shadow(length as f32, width as f32, depth), Pose { position: middle, ..direction }))
        }
        7..=9 if side < 0.0 => {
            // The wall's shadow: along the street, as far as the sun throws it across.
            let across = (length * azimuth.to_radians().sin()).max(2.0);
            let position = pose.local_from_vehicle(length * azimuth.to_radians().cos(), 4.0 + 0.5 * across);
            Some(lay(decoy::plain_shadow(width as f32, across as f32 + 2.0, depth), Pose { position, ..pose }))
        }
        11 => Some(lay(decoy::plain_shadow(width as f32 + 0.3, 2.1, 0.25 + depth), pose)),
        10 => Some(lay(decoy::plain_shadow(0.7, 0.5, 0.2 + 0.5 * depth), pose)),
        _ => None,
    }
}

/// The dark under a car that stands at `pose`.
#[must_use]
pub fn under_car(pose: Pose, depth: f32) -> Decal {
    lay(decoy::plain_shadow(4.5, 2.1, 0.25 + depth), pose)
}
