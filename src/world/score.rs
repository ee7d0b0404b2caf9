//! How well found defects agree with the truth of a drive.
//!
//! Rule: the nearest pair of a found defect and a true damage of the same group is matched first (all crack types are one
//! group), each at most once, up to [`MATCH_METRES`]. F1 is over unique defects. True damages count when the drive showed
//! them within 12 m; what is found of the others is neither right nor wrong.
//!
//! With a noisy position log a damage is looked for where the log puts it, and its error is measured to where it is: a cut
//! at [`MATCH_METRES`] around the true place would leave out the large errors and flatter the median.

use time::OffsetDateTime;

use crate::edge::fix::Fix;
use crate::geo::{EastNorth, LatLon, LocalFrame, distance_metres};
use crate::schema::damage::DamageClass;

pub const MATCH_METRES: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    pub class: DamageClass,
    pub position: LatLon,
}

/// A true damage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    pub placed: Placed,
    /// Where the position log of the drive puts it.
    pub logged: LatLon,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub f1: f64,
    pub precision: f64,
    pub recall: f64,
    /// Index of the found one, index of the true one, metres between them.
    pub matches: Vec<(usize, usize, f64)>,
    pub position_error_median_metres: Option<f64>,
}

/// `wanted` must be found; finding one of `tolerated` (seen from further away only) costs nothing.
#[must_use]
pub fn judge(found: &[Placed], wanted: &[Truth], tolerated: &[Truth]) -> Score {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (f, one) in found.iter().enumerate() {
        for (t, other) in wanted.iter().chain(tolerated).enumerate() {
            let apart = distance_metres(one.position, other.logged);
            if one.class.same_group(other.placed.class) && apart <= MATCH_METRES {
                pairs.push((apart, f, t));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut used_found, mut used_truth) = (vec![false; found.len()], vec![false; wanted.len() + tolerated.len()]);
    let (mut matches, mut forgiven) = (Vec::new(), 0);
    for (_, f, t) in pairs {
        if !used_found[f] && !used_truth[t] {
            (used_found[f], used_truth[t]) = (true, true);
            if t < wanted.len() {
                matches.push((f, t, distance_metres(found[f].position, wanted[t].placed.position)));
            } else {
                forgiven += 1;
            }
        }
    }
    let right = matches.len() as f64;
    let share = |of: usize| if of == 0 { 0.0 } else { right / of as f64 };
    let (precision, recall) = (share(found.len() - forgiven), share(wanted.len()));
    let f1 = if right > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    let position_error_median_metres = median(matches.iter().map(|m| m.2).collect());
    Score { f1, precision, recall, matches, position_error_median_metres }
}

/// The error that the positions' noise alone causes: median over damages of how far the noisy log lies from the perfect one
/// on average while a damage was shown (`shown_at`: one list of times per damage). Between two fixes both logs are taken as
/// straight, also across an outage.
#[must_use]
pub fn noise_alone_median_metres(perfect: &[Fix], noisy: &[Fix], shown_at: &[&[OffsetDateTime]]) -> Option<f64> {
    let of_one = |times: &&[OffsetDateTime]| {
        let error = mean_error(perfect, noisy, times)?;
        Some(error.east_metres.hypot(error.north_metres))
    };
    median(shown_at.iter().filter_map(of_one).collect())
}

/// How far the noisy log lies from the perfect one on average at `times`.
#[must_use]
pub fn mean_error(perfect: &[Fix], noisy: &[Fix], times: &[OffsetDateTime]) -> Option<EastNorth> {
    let frame = LocalFrame::at(perfect.first()?.position);
    let error_at = |at: OffsetDateTime| {
        let (truth, logged) = (place_at(perfect, &frame, at)?, place_at(noisy, &frame, at)?);
        Some((logged.east_metres - truth.east_metres, logged.north_metres - truth.north_metres))
    };
    let errors: Vec<(f64, f64)> = times.iter().filter_map(|at| error_at(*at)).collect();
    let sum = errors.iter().fold((0.0, 0.0), |s, e| (s.0 + e.0, s.1 + e.1));
    let count = errors.len() as f64;
    (!errors.is_empty()).then(|| EastNorth::new(sum.0 / count, sum.1 / count))
}

fn place_at(fixes: &[Fix], frame: &LocalFrame, at: OffsetDateTime) -> Option<EastNorth> {
    let next = fixes.partition_point(|f| f.at <= at);
    let (a, b) = (fixes.get(next.checked_sub(1)?)?, fixes.get(next)?);
    let share = (at - a.at).as_seconds_f64() / (b.at - a.at).as_seconds_f64();
    let (from, to) = (frame.local_from_latlon(a.position), frame.local_from_latlon(b.position));
    Some(EastNorth::new(
        from.east_metres + share * (to.east_metres - from.east_metres),
        from.north_metres + share * (to.north_metres - from.north_metres),
    ))
}

/// `None` of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(0.5 * (values[low] + values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(class: DamageClass, east: f64, north: f64) -> Placed {
        let frame = LocalFrame::at(LatLon { lat: 50.0, lon: 9.0 });
        Placed { class, position: frame.latlon_from_local(EastNorth::new(east, north)) }
    }

    fn truth(class: DamageClass, east: f64, north: f64) -> Truth {
        let placed = at(class, east, north);
        Truth { placed, logged: placed.position }
    }

    #[test]
    fn a_damage_is_looked_for_where_the_log_puts_it_and_its_error_is_to_where_it_is() {
        let shifted =
            Truth { logged: at(DamageClass::Pothole, 5.0, 0.0).position, ..truth(DamageClass::Pothole, 0.0, 0.0) };
        let score = judge(&[at(DamageClass::Pothole, 5.5, 0.0)], &[shifted], &[]);
        assert!((score.f1 - 1.0).abs() < 1e-9);
        assert!((score.position_error_median_metres.unwrap() - 5.5).abs() < 1e-3);
    }

    #[test]
    fn crack_types_match_each_other_but_not_potholes() {
        let truth = [truth(DamageClass::LongitudinalCrack, 0.0, 0.0), truth(DamageClass::Pothole, 10.0, 0.0)];
        let found = [at(DamageClass::AlligatorCrack, 0.5, 0.0), at(DamageClass::Repair, 10.0, 0.0)];
        let score = judge(&found, &truth, &[]);
        assert!(
            (score.precision - 0.5).abs() < 1e-9 && (score.recall - 0.5).abs() < 1e-9 && (score.f1 - 0.5).abs() < 1e-9
        );
        assert!((score.position_error_median_metres.unwrap() - 0.5).abs() < 1e-3);
    }

    #[test]
    fn one_damage_found_twice_is_one_right_and_one_wrong() {
        let truth = [truth(DamageClass::Pothole, 0.0, 0.0)];
        let found = [at(DamageClass::Pothole, 0.4, 0.0), at(DamageClass::Pothole, 0.2, 0.0)];
        let score = judge(&found, &truth, &[]);
        assert!((score.precision - 0.5).abs() < 1e-9 && (score.recall - 1.0).abs() < 1e-9);
        assert_eq!(score.matches[0].0, 1);
    }

    #[test]
    fn a_log_shifted_by_three_and_four_metres_is_five_off() {
        let frame = LocalFrame::at(LatLon { lat: 50.0, lon: 9.0 });
        let log = |east: f64, north: f64| -> Vec<Fix> {
            (0..10)
                .map(|k| Fix {
                    at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(k),
                    position: frame.latlon_from_local(EastNorth::new(east + 10.0 * k as f64, north)),
                    speed_metres_per_second: 10.0,
                    heading_degrees: 90.0,
                    accuracy_metres: 1.0,
                    bridged_millis: 0,
                })
                .collect()
        };
        let times: Vec<OffsetDateTime> =
            (1..20).map(|k| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(400 * k)).collect();
        let off = noise_alone_median_metres(&log(0.0, 0.0), &log(3.0, 4.0), &[&times, &times[3..5]]);
        assert!((off.unwrap() - 5.0).abs() < 1e-3, "{off:?}");
        assert_eq!(noise_alone_median_metres(&log(0.0, 0.0), &log(3.0, 4.0), &[]), None);
    }

    #[test]
    fn what_was_seen_from_afar_only_counts_for_nothing() {
        let score = judge(&[at(DamageClass::Pothole, 0.0, 0.0)], &[], &[truth(DamageClass::Pothole, 0.3, 0.0)]);
        assert_eq!((score.f1, score.matches.len()), (0.0, 0));
        let both = [at(DamageClass::Pothole, 0.0, 0.0), at(DamageClass::Pothole, 9.0, 0.0)];
        let [far, near] = both.map(|placed| Truth { placed, logged: placed.position });
        let score = judge(&both, &[near], &[far]);
        assert!((score.f1 - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn finding_all_exactly_is_perfect(places in proptest::collection::vec((0..5usize, 0..40i32), 1..20)) {
            let all: Vec<Truth> = places.iter().enumerate().map(|(k, (c, n))| truth(DamageClass::ALL[*c], 5.0 * k as f64, f64::from(*n))).collect();
            let found: Vec<Placed> = all.iter().map(|t| t.placed).collect();
            let score = judge(&found, &all, &[]);
            prop_assert!((score.f1 - 1.0).abs() < 1e-9);
            prop_assert!(score.position_error_median_metres.unwrap() < 1e-6);
        }
    }
}
