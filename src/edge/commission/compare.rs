//! Measured objects against what the device has reported: which were found, how far off, how large.
//!
//! Each event counts for one object and each object for one event; pairs are taken in the order of their distance. Errors are
//! event less object, in the direction in which the vehicle travelled when it saw the object.

use serde::Serialize;

use crate::edge::commission::objects::ReferenceObject;
use crate::geo::{LocalFrame, direction_of};
use crate::schema::RoadDamage;

/// What is still accepted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// Of all objects, 0 to 1.
    pub min_found_share: f64,
    pub max_median_metres: f64,
    pub max_percentile_95_metres: f64,
    /// Of the median of reported ÷ measured sizes from 1.
    pub max_scale_bias: f64,
    /// An event further away is another thing.
    pub match_metres: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min_found_share: 0.8,
            max_median_metres: 2.0,
            max_percentile_95_metres: 5.0,
            max_scale_bias: 0.2,
            match_metres: 8.0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Positive: reported too far ahead.
    pub along_metres: f64,
    /// Positive: reported too far left.
    pub left_metres: f64,
    pub off_metres: f64,
    pub length_ratio: f64,
    pub width_ratio: f64,
    pub reported_length_metres: f64,
    pub reported_width_metres: f64,
    pub reported_class: String,
    pub heading_degrees: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub objects: usize,
    pub found: usize,
    pub found_share: f64,
    /// Events at no object: other things on the road, or false ones. For information.
    pub other_events: usize,
    /// `None` when nothing was found.
    pub median_metres: Option<f64>,
    pub percentile_95_metres: Option<f64>,
    /// Medians: what a constant error in pitch, in time or in the antenna's place looks like.
    pub along_bias_metres: Option<f64>,
    pub left_bias_metres: Option<f64>,
    /// Median of reported ÷ measured, lengths and widths together, less 1.
    pub scale_bias: Option<f64>,
    /// Between the objects that lie furthest apart.
    pub strip_metres: f64,
}

/// The finding of each object, in their order, and the summary.
#[must_use]
pub fn compare(objects: &[ReferenceObject], events: &[RoadDamage], limits: &Limits) -> (Vec<Option<Found>>, Summary) {
    let mut pairs = Vec::new();
    for (o, object) in objects.iter().enumerate() {
        for (e, event) in events.iter().enumerate() {
            let fits = object.class.is_none_or(|class| class.same_group(event.class));
            let off_metres = crate::geo::distance_metres(object.position, event.position);
            if fits && off_metres <= limits.match_metres {
                pairs.push((off_metres, o, e));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut findings: Vec<Option<Found>> = vec![None; objects.len()];
    let mut taken = vec![false; events.len()];
    for (_, o, e) in pairs {
        if findings[o].is_none() && !taken[e] {
            taken[e] = true;
            findings[o] = Some(found(&objects[o], &events[e]));
        }
    }
    let other_events = taken.iter().filter(|taken| !**taken).count();
    let summary = summary(objects, &findings, other_events);
    (findings, summary)
}

fn found(object: &ReferenceObject, event: &RoadDamage) -> Found {
    let way = LocalFrame::at(object.position).local_from_latlon(event.position);
    let ahead = direction_of(event.heading_degrees);
    Found {
        along_metres: way.east_metres * ahead.east_metres + way.north_metres * ahead.north_metres,
        left_metres: way.north_metres * ahead.east_metres - way.east_metres * ahead.north_metres,
        off_metres: way.east_metres.hypot(way.north_metres),
        length_ratio: event.length_metres / object.length_metres,
        width_ratio: event.width_metres / object.width_metres,
        reported_length_metres: event.length_metres,
        reported_width_metres: event.width_metres,
        reported_class: event.class.code().to_owned(),
        heading_degrees: event.heading_degrees,
    }
}

fn summary(objects: &[ReferenceObject], findings: &[Option<Found>], other_events: usize) -> Summary {
    let found: Vec<&Found> = findings.iter().flatten().collect();
    let of = |value: fn(&Found) -> f64| found.iter().map(|f| value(f)).collect::<Vec<f64>>();
    let ratios = found.iter().flat_map(|f| [f.length_ratio, f.width_ratio]).collect();
    let strip_metres = objects
        .iter()
        .flat_map(|a| objects.iter().map(|b| crate::geo::distance_metres(a.position, b.position)))
        .fold(0.0, f64::max);
    Summary {
        objects: objects.len(),
        found: found.len(),
        found_share: found.len() as f64 / objects.len().max(1) as f64,
        other_events,
        median_metres: percentile(of(|f| f.off_metres), 0.5),
        percentile_95_metres: percentile(of(|f| f.off_metres), 0.95),
        along_bias_metres: percentile(of(|f| f.along_metres), 0.5),
        left_bias_metres: percentile(of(|f| f.left_metres), 0.5),
        scale_bias: percentile(ratios, 0.5).map(|ratio| ratio - 1.0),
        strip_metres,
    }
}

/// Between the two nearest values; `None` of nothing.
fn percentile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = share * values.len().checked_sub(1)? as f64;
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    Some(low + (high - low) * rank.fract())
}

/// What is not accepted, for people; empty when all is.
#[must_use]
pub fn objections(summary: &Summary, limits: &Limits) -> Vec<String> {
    let mut told = Vec::new();
    if summary.found_share < limits.min_found_share {
        told.push(format!(
            "found {} of {} objects, at least {:.0} % are wanted: is the model fit for this road and light?",
            summary.found,
            summary.objects,
            100.0 * limits.min_found_share
        ));
    }
    let too_far = |value: Option<f64>, limit: f64| value.is_some_and(|v| v > limit);
    let along = summary.along_bias_metres.unwrap_or(0.0);
    if too_far(summary.median_metres, limits.max_median_metres) {
        told.push(format!(
            "the median position error is {:.2} m, at most {:.2} m are wanted; along the way it is {along:+.2} m: look at pitch, height, \
             the antenna's place and the clock",
            summary.median_metres.unwrap_or(0.0),
            limits.max_median_metres
        ));
    }
    if too_far(summary.percentile_95_metres, limits.max_percentile_95_metres) {
        told.push(format!(
            "the position error at the 95th percentile is {:.2} m, at most {:.2} m are wanted: look at the receiver's sky",
            summary.percentile_95_metres.unwrap_or(0.0),
            limits.max_percentile_95_metres
        ));
    }
    if summary.scale_bias.is_some_and(|bias| bias.abs() > limits.max_scale_bias) {
        told.push(format!(
            "sizes are off by {:+.0} % in the median, at most {:.0} % are wanted: look at height and focal length",
            100.0 * summary.scale_bias.unwrap_or(0.0),
            100.0 * limits.max_scale_bias
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Covariance, EastNorth, LatLon};
    use crate::schema::{DamageClass, ModelRef, PassTag};
    use proptest::prelude::*;

    const START: LatLon = LatLon { lat: 50.02, lon: 8.69 };

    fn at(along: f64, left: f64, heading: f64) -> LatLon {
        let ahead = direction_of(heading);
        LocalFrame::at(START).latlon_from_local(EastNorth::new(
            along * ahead.east_metres - left * ahead.north_metres,
            along * ahead.north_metres + left * ahead.east_metres,
        ))
    }

    fn object(number: usize, heading: f64) -> ReferenceObject {
        let position = at(25.0 * number as f64, 0.0, heading);
        ReferenceObject { name: format!("hole-{number}"), position, length_metres: 0.8, width_metres: 0.5, class: None }
    }

    fn event(position: LatLon, heading_degrees: f64, scale: f64) -> RoadDamage {
        RoadDamage {
            class: DamageClass::Pothole,
            score: 0.6,
            position,
            position_covariance: Covariance::isotropic(1.0),
            heading_degrees,
            length_metres: 0.8 * scale,
            width_metres: 0.5 * scale,
            area_square_metres: 0.4,
            calibrated: true,
            pass: PassTag("a".into()),
            frames_seen: 5,
            model: ModelRef { name: "road".into(), version: "1".into(), sha256: "ab".into(), trial_operation: false },
            simulated: true,
            has_evidence: false,
        }
    }

    proptest! {
        #[test]
        fn a_shift_in_the_direction_of_travel_is_named_as_such(
            heading in 0.0..360.0_f64, along in -3.0..3.0_f64, left in -2.0..2.0_f64, scale in 0.6..1.6_f64,
        ) {
            let objects: Vec<ReferenceObject> = (0..9).map(|k| object(k, heading)).collect();
            let events: Vec<RoadDamage> =
                (0..9).map(|k| event(at(25.0 * f64::from(k) + along, left, heading), heading, scale)).collect();
            let (findings, summary) = compare(&objects, &events, &Limits::default());
            prop_assert!(findings.iter().flatten().all(|f| (f.along_metres - along).abs() < 0.01), "{findings:?}");
            prop_assert!((summary.left_bias_metres.unwrap() - left).abs() < 0.01, "{summary:?}");
            prop_assert!((summary.median_metres.unwrap() - along.hypot(left)).abs() < 0.01);
            prop_assert!((summary.scale_bias.unwrap() - (scale - 1.0)).abs() < 1e-9);
            prop_assert!((summary.strip_metres - 200.0).abs() < 0.1);
            prop_assert_eq!(objections(&summary, &Limits::default()).is_empty(), along.hypot(left) <= 2.0 && (scale - 1.0).abs() <= 0.2);
        }
    }

    #[test]
    fn an_event_counts_once_and_what_is_far_or_of_another_class_not_at_all() {
        let mut objects: Vec<ReferenceObject> = (0..3).map(|k| object(k, 90.0)).collect();
        objects[1].position = at(1.0, 0.0, 90.0);
        objects[2].class = Some(DamageClass::Repair);
        let events = [event(at(0.2, 0.0, 90.0), 90.0, 1.0), event(at(50.0, 0.0, 90.0), 90.0, 1.0)];
        let (findings, summary) = compare(&objects, &events, &Limits::default());
        assert!(findings[0].is_some() && findings[1].is_none() && findings[2].is_none(), "{findings:?}");
        assert_eq!((summary.found, summary.other_events), (1, 1));
        let told = objections(&summary, &Limits::default());
        assert!(told.len() == 1 && told[0].contains("1 of 3"), "{told:?}");
        let (_, nothing) = compare(&objects, &[], &Limits::default());
        assert_eq!((nothing.found, nothing.median_metres, nothing.scale_bias), (0, None, None));
    }
}
