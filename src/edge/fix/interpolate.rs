//! The fix at any moment from the fixes around it.
//!
//! Between two fixes no further apart than the gap limit the position runs linearly and the heading by the shorter turn.
//! Longer outages are bridged from their last fix at constant velocity for as long as the limit. Whatever is not at a
//! fix becomes less certain with time from the nearest one, as unknown braking or steering of
//! [`UNKNOWN_ACCELERATION`] would make it.

use time::{Duration, OffsetDateTime};

use super::Fix;
use crate::geo::{EastNorth, LocalFrame, direction_of, heading_difference, normalise_heading};

/// One sigma of what a vehicle in town may do unnoticed between two fixes, m/s².
const UNKNOWN_ACCELERATION: f64 = 1.0;

/// `fixes` are in order of time.
pub(super) fn at(fixes: &[Fix], at: OffsetDateTime, max_gap: Duration) -> Option<Fix> {
    let after = fixes.partition_point(|fix| fix.at <= at);
    let before = fixes.get(after.checked_sub(1)?)?;
    match fixes.get(after) {
        Some(next) if next.at - before.at <= max_gap => Some(between(before, next, at)),
        _ if at - before.at <= max_gap => Some(beyond(before, at)),
        _ => None,
    }
}

fn between(a: &Fix, b: &Fix, at: OffsetDateTime) -> Fix {
    let whole = (b.at - a.at).as_seconds_f64();
    let share = (at - a.at).as_seconds_f64() / whole;
    let mix = |from: f64, to: f64| from + share * (to - from);
    let frame = LocalFrame::at(a.position);
    let way = frame.local_from_latlon(b.position);
    let turn = heading_difference(a.heading_degrees, b.heading_degrees);
    Fix {
        at,
        position: frame.latlon_from_local(EastNorth::new(share * way.east_metres, share * way.north_metres)),
        speed_metres_per_second: mix(a.speed_metres_per_second, b.speed_metres_per_second),
        heading_degrees: normalise_heading(a.heading_degrees + share * turn),
        accuracy_metres: mix(a.accuracy_metres, b.accuracy_metres).hypot(drift(whole * share.min(1.0 - share))),
        bridged_millis: 0,
    }
}

fn beyond(last: &Fix, at: OffsetDateTime) -> Fix {
    let seconds = (at - last.at).as_seconds_f64();
    let ahead = direction_of(last.heading_degrees);
    let metres = seconds * last.speed_metres_per_second;
    let frame = LocalFrame::at(last.position);
    Fix {
        at,
        position: frame.latlon_from_local(EastNorth::new(metres * ahead.east_metres, metres * ahead.north_metres)),
        accuracy_metres: last.accuracy_metres.hypot(drift(seconds)),
        bridged_millis: u32::try_from((at - last.at).whole_milliseconds()).unwrap_or(u32::MAX),
        ..*last
    }
}

fn drift(seconds: f64) -> f64 {
    0.5 * UNKNOWN_ACCELERATION * seconds * seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{LatLon, distance_metres};
    use proptest::prelude::*;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);

    fn fix(millis: i64, metres_east: f64, heading_degrees: f64) -> Fix {
        let frame = LocalFrame::at(LatLon { lat: 50.0, lon: 8.7 });
        Fix {
            at: START + Duration::milliseconds(millis),
            position: frame.latlon_from_local(EastNorth::new(metres_east, 0.0)),
            speed_metres_per_second: 10.0,
            heading_degrees,
            accuracy_metres: 1.5,
            bridged_millis: 0,
        }
    }

    #[test]
    fn the_heading_takes_the_shorter_turn() {
        let fixes = [fix(0, 0.0, 350.0), fix(1000, 10.0, 20.0)];
        let half = at(&fixes, START + Duration::milliseconds(500), Duration::seconds(3)).unwrap();
        assert!(heading_difference(half.heading_degrees, 5.0).abs() < 1e-9);
    }

    #[test]
    fn an_outage_is_bridged_at_constant_velocity_and_then_given_up() {
        let fixes = [fix(0, 0.0, 90.0), fix(6000, 60.0, 90.0)];
        let two = at(&fixes, START + Duration::seconds(2), Duration::seconds(3)).unwrap();
        assert!((distance_metres(fixes[0].position, two.position) - 20.0).abs() < 1e-3);
        assert!(two.accuracy_metres > fixes[0].accuracy_metres + 0.5);
        assert_eq!((two.bridged_millis, at(&fixes, START, Duration::seconds(3)).unwrap().bridged_millis), (2000, 0));
        assert_eq!(at(&fixes, START + Duration::seconds(4), Duration::seconds(3)), None);
        assert_eq!(at(&fixes, START - Duration::seconds(1), Duration::seconds(3)), None);
        assert!(at(&fixes, START + Duration::seconds(8), Duration::seconds(3)).is_some());
        assert_eq!(at(&fixes, START + Duration::seconds(10), Duration::seconds(3)), None);
    }

    proptest! {
        #[test]
        fn between_two_fixes_the_place_is_on_the_way(
            gap in 100i64..3000, share in 0.0..1.0f64, metres in 0.0..60.0f64, h0 in 0.0..360.0f64, h1 in 0.0..360.0f64,
        ) {
            let fixes = [fix(0, 0.0, h0), fix(gap, metres, h1)];
            let when = START + Duration::milliseconds(gap) * share;
            let got = at(&fixes, when, Duration::seconds(3)).unwrap();
            let (d0, d1) =
                (distance_metres(fixes[0].position, got.position), distance_metres(got.position, fixes[1].position));
            prop_assert!((d0 + d1 - metres).abs() < 1e-3);
            prop_assert!((0.0..360.0).contains(&got.heading_degrees));
            prop_assert!(got.accuracy_metres >= 1.5);
            let (turned, whole) = (heading_difference(h0, got.heading_degrees), heading_difference(h0, h1));
            prop_assert!(turned.abs() <= whole.abs() + 1e-6);
        }

        #[test]
        fn at_a_fix_the_log_says_that_fix(i in 0usize..10, millis in 100i64..1000) {
            let fixes: Vec<Fix> = (0..10).map(|k| fix(k * millis, 2.0 * k as f64, 90.0)).collect();
            let got = at(&fixes, fixes[i].at, Duration::seconds(3)).unwrap();
            prop_assert!(distance_metres(got.position, fixes[i].position) < 1e-6);
            prop_assert!((got.accuracy_metres - 1.5).abs() < 1e-9);
        }
    }
}
