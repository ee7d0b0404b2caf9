//! What a group of sightings says together.
//!
//! Position: mean weighted by inverse covariance. Sizes: median, of calibrated sightings where there are any. Class:
//! the one with the largest sum of scores. Heading: that of the most certain sighting, since along and across refer to it.

use super::align::fused;
use crate::central::model::{Sighting, Summary};
use crate::geo::LocalFrame;
use crate::schema::{DamageClass, RoadDamage};

/// `None` for an empty group. The order of the group does not matter.
#[must_use]
pub fn summarise(group: &[&Sighting]) -> Option<Summary> {
    let mut group: Vec<&Sighting> = group.to_vec();
    group.sort_by_key(|s| (s.hour, s.id));
    let (first, last) = (group.first()?, group.last()?);
    let best = group.iter().copied().max_by(|a, b| a.damage.score.total_cmp(&b.damage.score))?;
    let frame = LocalFrame::at(first.damage.position);
    let parts = group.iter().map(|s| (frame.local_from_latlon(s.damage.position), s.damage.position_covariance));
    let (position, mut covariance) = fused(parts)?;
    // A negative zero would not come back from a store.
    covariance.east_north += 0.0;
    let calibrated = group.iter().any(|s| s.damage.calibrated);
    let sized: Vec<&RoadDamage> = group.iter().map(|s| &s.damage).filter(|d| d.calibrated || !calibrated).collect();
    Some(Summary {
        class: likeliest_class(&group),
        position: frame.latlon_from_local(position),
        covariance,
        heading_degrees: best.damage.heading_degrees,
        length_metres: median(&sized, |d| d.length_metres),
        width_metres: median(&sized, |d| d.width_metres),
        area_square_metres: median(&sized, |d| d.area_square_metres),
        best_score: best.damage.score,
        calibrated,
        simulated: group.iter().any(|s| s.damage.simulated),
        sightings: group.len(),
        first_seen: first.hour,
        last_seen: last.hour,
    })
}

fn likeliest_class(group: &[&Sighting]) -> DamageClass {
    let sum = |class: DamageClass| -> f64 {
        group.iter().filter(|s| s.damage.class == class).map(|s| f64::from(s.damage.score)).sum()
    };
    let candidates = DamageClass::ALL.into_iter().filter(|c| group.iter().any(|s| s.damage.class == *c));
    candidates.max_by(|a, b| sum(*a).total_cmp(&sum(*b)).then(b.cmp(a))).unwrap_or(DamageClass::Pothole)
}

fn median(damages: &[&RoadDamage], size: impl Fn(&RoadDamage) -> f64) -> f64 {
    let mut values: Vec<f64> = damages.iter().map(|d| size(d)).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}
