//! The driver's marks on their way into the stream: each is placed where the vehicle was when she saw what she marked.
//!
//! She presses a moment after she saw it. How long that takes is an assumption, not a measurement: [`REACTION`] looks back from
//! the press, and [`REACTION_SIGMA`] of way at the present speed is the uncertainty along it. Beside or before the vehicle is
//! not told apart: a mark says "here", and a person goes to look.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::edge::fix::Fix;
use crate::edge::vehicle::Mark;
use crate::geo::Covariance;
use crate::schema::DriverMark;

/// From seeing something over finding the button to pressing it.
const REACTION: Duration = Duration::from_millis(1500);
/// One sigma of it, in time.
const REACTION_SIGMA: Duration = Duration::from_secs(1);
/// No receiver is better, and a covariance without extent is none.
const LEAST_SIGMA_METRES: f64 = 0.5;

/// Why a mark is not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReported {
    #[error("there is no fix for that moment")]
    NoFix,
    #[error("nothing may be recorded there or then")]
    NotRecorded,
}

/// The marks that were made since the last look. Nobody waits for any.
pub(super) fn made(marks: &mut mpsc::Receiver<Mark>) -> impl Iterator<Item = Mark> {
    std::iter::from_fn(|| marks.try_recv().ok())
}

/// Where the mark belongs. What lies in a place where nothing may be recorded is not reported, and neither is what was pressed
/// in one.
pub(super) fn place(
    mark: Mark,
    fix_at: impl Fn(OffsetDateTime) -> Option<Fix>,
    may_record: impl Fn(Option<&Fix>) -> bool,
    simulated: bool,
) -> Result<DriverMark, NotReported> {
    let seen = fix_at(mark.at - REACTION);
    if !may_record(seen.as_ref()) || !may_record(fix_at(mark.at).as_ref()) {
        return Err(NotReported::NotRecorded);
    }
    let fix = seen.filter(|fix| fix.accuracy_metres.is_finite()).ok_or(NotReported::NoFix)?;
    Ok(DriverMark {
        position: fix.position,
        position_covariance: covariance(&fix),
        heading_degrees: fix.heading_degrees,
        simulated,
    })
}

/// That of the fix in every direction, and that of the reaction along the way.
fn covariance(fix: &Fix) -> Covariance {
    let along_metres = fix.speed_metres_per_second * REACTION_SIGMA.as_secs_f64();
    let (sine, cosine) = fix.heading_degrees.to_radians().sin_cos();
    let (east, north) = (along_metres * sine, along_metres * cosine);
    let along = Covariance { east_east: east * east, east_north: east * north, north_north: north * north };
    Covariance::isotropic(fix.accuracy_metres.max(LEAST_SIGMA_METRES)).plus(along)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::geo::{EastNorth, LatLon, LocalFrame};

    const PRESSED: OffsetDateTime = datetime!(2026-05-01 10:20 UTC);
    const DEPOT: LatLon = LatLon { lat: 50.0, lon: 8.0 };

    /// A vehicle that is at the depot when the button is pressed.
    fn drive(speed: f64, heading_degrees: f64, accuracy_metres: f64) -> impl Fn(OffsetDateTime) -> Option<Fix> {
        move |at| {
            let metres = (at - PRESSED).as_seconds_f64() * speed;
            let (east, north) = heading_degrees.to_radians().sin_cos();
            Some(Fix {
                at,
                position: LocalFrame::at(DEPOT).latlon_from_local(EastNorth::new(east * metres, north * metres)),
                speed_metres_per_second: speed,
                heading_degrees,
                accuracy_metres,
                bridged_millis: 0,
            })
        }
    }

    #[test]
    fn a_mark_lies_where_it_was_seen_and_is_uncertain_along_the_way() {
        let mark = place(Mark { at: PRESSED }, drive(10.0, 90.0, 2.0), |_| true, false).unwrap();
        let seen = LocalFrame::at(DEPOT).local_from_latlon(mark.position);
        assert!((seen.east_metres + 15.0).abs() < 0.01 && seen.north_metres.abs() < 0.01, "{seen:?}");
        let sigma = mark.position_covariance;
        assert!((sigma.east_east - 104.0).abs() < 1e-6 && (sigma.north_north - 4.0).abs() < 1e-6, "{sigma:?}");
        assert!(sigma.east_north.abs() < 1e-6);
    }

    #[test]
    fn without_a_fix_and_where_nothing_is_recorded_nothing_is_reported() {
        let mark = Mark { at: PRESSED };
        assert_eq!(place(mark, |_| None, |_| true, false), Err(NotReported::NoFix));
        let vague = drive(10.0, 0.0, f64::INFINITY);
        assert_eq!(place(mark, vague, |_| true, false), Err(NotReported::NoFix));
        let drive = drive(10.0, 0.0, 2.0);
        assert_eq!(place(mark, &drive, |_| false, false), Err(NotReported::NotRecorded));
        for within in [PRESSED, PRESSED - REACTION] {
            let outside = |fix: Option<&Fix>| fix.is_some_and(|fix| fix.at != within);
            assert_eq!(place(mark, &drive, outside, false), Err(NotReported::NotRecorded), "a zone at {within}");
        }
    }

    proptest! {
        #[test]
        fn its_covariance_is_one(speed in 0.0..60.0_f64, heading in 0.0..360.0_f64, accuracy in 0.0..50.0_f64) {
            let mark = place(Mark { at: PRESSED }, drive(speed, heading, accuracy), |_| true, true).unwrap();
            prop_assert!(mark.position_covariance.inverse().is_some());
            let (east, north) = heading.to_radians().sin_cos();
            let along = EastNorth::new(east * speed, north * speed);
            // One sigma along the way is at least what the reaction adds.
            prop_assert!(mark.position_covariance.mahalanobis_squared(along) <= 1.0);
        }
    }
}
