//! What the gate lets through.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::geo::{EastNorth, heading_difference};

const START: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);

fn raw(millis: i64, east: f64, north: f64, speed: Option<f64>, course: Option<f64>) -> RawFix {
    let frame = LocalFrame::at(LatLon { lat: 50.0, lon: 8.7 });
    RawFix {
        at: START + Duration::milliseconds(millis),
        position: frame.latlon_from_local(EastNorth::new(east, north)),
        speed_metres_per_second: speed,
        course_degrees: course,
        hdop: Some(0.8),
        stated_accuracy_metres: None,
    }
}

/// A vehicle on its way east at 10 m/s, heard at its own time.
fn drive(gate: &mut Gate, millis: i64, aside_metres: f64) -> Verdict {
    let fix = raw(millis, millis as f64 / 100.0, aside_metres, Some(10.0), Some(90.0));
    gate.judge(&fix, fix.at)
}

fn is_accepted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Accepted { new_start: false, .. })
}

#[test]
fn a_jump_of_100_m_is_refused_and_the_old_way_goes_on() {
    let mut gate = Gate::new(GateSettings::default());
    for second in 0..20 {
        let jumped = (10..13).contains(&second);
        let verdict = drive(&mut gate, second * 1000, if jumped { 100.0 } else { 0.0 });
        if jumped {
            assert_eq!(verdict, Verdict::Refused(Refusal::Jump));
        } else {
            assert!(is_accepted(verdict), "{second} s: {verdict:?}");
        }
    }
}

#[test]
fn a_new_place_is_accepted_when_it_persists() {
    let mut gate = Gate::new(GateSettings::default());
    assert!(is_accepted(drive(&mut gate, 0, 0.0)));
    // Ten fixes a second: five of them are there soon, but three seconds must pass.
    for tenth in 1..31 {
        assert_eq!(drive(&mut gate, tenth * 100, 400.0), Verdict::Refused(Refusal::Jump), "{tenth}");
    }
    assert!(matches!(drive(&mut gate, 3100, 400.0), Verdict::Accepted { new_start: true, .. }));
    assert!(is_accepted(drive(&mut gate, 3200, 400.0)));
}

#[test]
fn places_that_jump_about_confirm_nothing() {
    let mut gate = Gate::new(GateSettings::default());
    assert!(is_accepted(drive(&mut gate, 0, 0.0)));
    for second in 1..5 {
        let verdict = drive(&mut gate, second * 1000, if second % 2 == 0 { 500.0 } else { -500.0 });
        assert_eq!(verdict, Verdict::Refused(Refusal::Jump));
    }
    assert!(is_accepted(drive(&mut gate, 5000, 0.0)), "and the old way is still believed");
}

#[test]
fn time_that_goes_back_or_stands_is_refused_until_it_persists() {
    let mut gate = Gate::new(GateSettings::default());
    for second in 0..10 {
        assert!(is_accepted(drive(&mut gate, second * 1000, 0.0)));
    }
    assert_eq!(drive(&mut gate, 9000, 0.0), Verdict::Refused(Refusal::Repeated));
    assert_eq!(drive(&mut gate, 4000, 0.0), Verdict::Refused(Refusal::Time));
    assert!(is_accepted(drive(&mut gate, 10_000, 0.0)));
    // The receiver has restarted an hour back, and the device's clock with it.
    for second in 0..4 {
        assert_eq!(drive(&mut gate, second * 1000 - 3_600_000, 0.0), Verdict::Refused(Refusal::Time));
    }
    let verdict = drive(&mut gate, 4000 - 3_600_000, 0.0);
    assert!(matches!(verdict, Verdict::Accepted { new_start: true, .. }), "{verdict:?}");
    assert!(is_accepted(drive(&mut gate, 5000 - 3_600_000, 0.0)));
}

#[test]
fn what_is_inaccurate_or_old_is_refused() {
    let mut gate = Gate::new(GateSettings::default());
    let good = raw(0, 0.0, 0.0, Some(0.0), Some(90.0));
    for hdop in [20.0, f64::NAN, f64::INFINITY, -1.0] {
        let verdict = gate.judge(&RawFix { hdop: Some(hdop), ..good }, START);
        assert_eq!(verdict, Verdict::Refused(Refusal::Accuracy), "{hdop}");
    }
    for seconds in [-6, 6] {
        assert_eq!(gate.judge(&good, START + Duration::seconds(seconds)), Verdict::Refused(Refusal::Age));
    }
    assert!(is_accepted(gate.judge(&good, START + Duration::seconds(1))));
}

#[test]
fn the_heading_is_held_at_standstill_and_taken_from_the_way_where_no_course_is_said() {
    let mut gate = Gate::new(GateSettings::default());
    let mut judge = |fix: RawFix| match gate.judge(&fix, fix.at) {
        Verdict::Accepted { fix, heading_known, .. } => (fix.heading_degrees, heading_known),
        refused @ Verdict::Refused(_) => panic!("{refused:?}"),
    };
    assert_eq!(judge(raw(0, 0.0, 0.0, Some(0.0), None)), (0.0, false));
    let (heading, known) = judge(raw(1000, 5.0, 0.0, Some(5.0), None));
    assert!(known && heading_difference(heading, 90.0).abs() < 1e-6, "{heading}");
    assert_eq!(judge(raw(2000, 10.0, 0.0, Some(5.0), Some(120.0))), (120.0, true));
    assert_eq!(judge(raw(3000, 10.0, 0.0, Some(0.1), Some(271.0))), (120.0, true));
}

proptest! {
    /// Whatever comes: no place is believed that cannot have been reached, and no time that goes back, unless at least
    /// four others had said the same before.
    #[test]
    fn nothing_impossible_is_believed_unless_confirmed(
        fixes in proptest::collection::vec(
            (
                prop_oneof![4 => 100i64..3000, 1 => -20_000i64..20_000],
                prop_oneof![4 => -30.0..30.0f64, 1 => -2000.0..2000.0f64],
                proptest::option::of(0.0..80.0f64),
                0.5..30.0f64,
            ),
            1..80,
        ),
    ) {
        let settings = GateSettings::default();
        let mut gate = Gate::new(settings);
        let (mut millis, mut east, mut last, mut doubted) = (0i64, 0.0, None::<Fix>, 0);
        for (passed, moved, speed, hdop) in fixes {
            millis += passed;
            east += moved;
            let fix = RawFix { hdop: Some(hdop), ..raw(millis, east, 0.0, speed, None) };
            match gate.judge(&fix, fix.at) {
                Verdict::Accepted { fix, new_start, .. } => {
                    prop_assert!(fix.accuracy_metres <= settings.max_accuracy_metres);
                    prop_assert!(!new_start || doubted >= 4);
                    if let (Some(last), false) = (last, new_start) {
                        let seconds = (fix.at - last.at).as_seconds_f64();
                        let error = SIGMAS * fix.accuracy_metres.hypot(last.accuracy_metres);
                        let way = distance_metres(last.position, fix.position) - error;
                        prop_assert!(seconds > 0.0);
                        prop_assert!(way <= settings.max_speed_metres_per_second * seconds + 1e-6);
                    }
                    (last, doubted) = (Some(fix), 0);
                }
                Verdict::Refused(Refusal::Jump | Refusal::Time) => doubted += 1,
                Verdict::Refused(_) => {}
            }
        }
    }

    #[test]
    fn a_vehicle_in_traffic_is_never_refused(
        gains in proptest::collection::vec(-3.0..2.5f64, 1..200), noise in proptest::collection::vec(-2.0..2.0f64, 200),
    ) {
        let mut gate = Gate::new(GateSettings::default());
        let (mut east, mut speed) = (0.0, 0.0);
        for (second, (gain, noise)) in gains.into_iter().zip(noise).enumerate() {
            speed = f64::clamp(speed + gain, 0.0, 40.0);
            east += speed;
            let fix = raw(second as i64 * 1000, east + noise, 0.0, Some(speed), Some(90.0));
            prop_assert!(is_accepted(gate.judge(&fix, fix.at)), "{second} s at {speed} m/s");
        }
    }
}
