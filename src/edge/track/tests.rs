//! Things of known place and size are driven past: each must come out once, where it is.

use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use time::macros::datetime;

use crate::edge::anonymise::RedactedImage;
use crate::edge::camera::{Camera, GroundPoint, Intrinsics, Mounting};
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::fix::Fix;
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::judge::road::{RoadJudge, RoadJudgeConfig, Sighting};
use crate::edge::mask::NoPicture;
use crate::geo::{EastNorth, LatLon, LocalFrame, direction_of, distance_metres};
use crate::schema::DamageClass;

const HOME: LatLon = LatLon { lat: 51.57, lon: 8.1 };

fn camera() -> Camera {
    let mounting = Mounting {
        height_metres: 1.6,
        pitch_degrees: 10.0,
        roll_degrees: 0.5,
        yaw_degrees: -1.0,
        height_sigma_metres: 0.02,
        pitch_sigma_degrees: 0.3,
        roll_sigma_degrees: 0.3,
        yaw_sigma_degrees: 0.3,
    };
    Camera::new(Intrinsics::from_horizontal_fov(1280, 720, 70.0), mounting)
}

struct Thing {
    at: EastNorth,
    length: f64,
    width: f64,
    class: DamageClass,
}

/// Drives along a heading from the origin; boxes have jitter, some detections are missed.
fn drive(things: &[Thing], heading: f64, frames_per_second: f64, seed: u64, drift_metres: f64) -> Vec<Sighting> {
    let camera = camera();
    let mut judge = RoadJudge::new(camera, true, RoadJudgeConfig::default());
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let local = LocalFrame::at(HOME);
    let ahead = direction_of(heading);
    let speed = 11.0;
    // With few views, misses would by chance leave a thing unseen; that is not what is tested.
    let missed_share = if frames_per_second > 10.0 { 0.2 } else { 0.04 };
    let mut found = Vec::new();
    for sequence in 0..(8.0 * frames_per_second) as u64 {
        let elapsed = sequence as f64 / frames_per_second;
        let along = speed * elapsed;
        let at = EastNorth::new(along * ahead.east_metres, along * ahead.north_metres);
        // A receiver's positions wander and jump; its Doppler speed does not.
        let jump = drift_metres * dice.random_range(-0.3..0.3);
        let drifted = EastNorth::new(
            at.east_metres + drift_metres * (elapsed / 8.0) + jump,
            at.north_metres - drift_metres + jump,
        );
        let fix = Fix {
            at: datetime!(2026-05-01 10:00 UTC) + Duration::from_secs_f64(elapsed),
            position: local.latlon_from_local(drifted),
            speed_metres_per_second: speed,
            heading_degrees: heading,
            accuracy_metres: 0.5,
            bridged_millis: 0,
        };
        let detections: Vec<_> =
            things.iter().filter_map(|t| detect(&camera, t, at, heading, missed_share, &mut dice)).collect();
        // The pictures play no part here, and a picture of another size than the camera's is never shown.
        let image = CameraImage::new(image::RgbImage::new(1, 1));
        let frame = Frame {
            sequence,
            captured_at: fix.at,
            stream_time: Duration::from_secs_f64(elapsed),
            fix: Some(fix),
            image,
        };
        found.extend(judge.observe(&frame, &detections, None, &mut |_| Ok(Vec::new())));
    }
    found.extend(judge.finish());
    found
}

fn detect(
    camera: &Camera,
    thing: &Thing,
    at: EastNorth,
    heading: f64,
    missed_share: f64,
    dice: &mut ChaCha8Rng,
) -> Option<(DamageClass, Detection)> {
    let ahead = direction_of(heading);
    let (e, n) = (thing.at.east_metres - at.east_metres, thing.at.north_metres - at.north_metres);
    let centre = GroundPoint {
        forward_metres: e * ahead.east_metres + n * ahead.north_metres,
        left_metres: n * ahead.east_metres - e * ahead.north_metres,
    };
    if !(3.5..18.0).contains(&centre.forward_metres) || dice.random::<f64>() < missed_share {
        return None;
    }
    let boxed = crate::edge::locate::tests::box_of_ellipse(camera, centre, thing.length, thing.width)?;
    let mut jitter = || dice.random_range(-2.0..2.0f32);
    let box_in_image =
        BoundingBox::new(boxed.x0 + jitter(), boxed.y0 + jitter(), boxed.x1 + jitter(), boxed.y1 + jitter())?;
    Some((thing.class, Detection { box_in_image, class: 0, score: 0.8 }))
}

fn ahead_of(heading: f64, forward: f64, left: f64) -> EastNorth {
    let d = direction_of(heading);
    EastNorth::new(forward * d.east_metres - left * d.north_metres, forward * d.north_metres + left * d.east_metres)
}

/// Six things on alternating sides of the road.
fn row(heading: f64, spacing: f64) -> Vec<Thing> {
    let thing = |k: u32| Thing {
        at: ahead_of(heading, 15.0 + spacing * f64::from(k), if k.is_multiple_of(2) { 1.2 } else { -1.0 }),
        length: 0.8,
        width: 0.6,
        class: if k.is_multiple_of(3) { DamageClass::Pothole } else { DamageClass::AlligatorCrack },
    };
    (0..6).map(thing).collect()
}

/// Where a fifth of the boxes is missing, a thing is lost now and then; rarely is what is promised.
#[test]
fn hardly_a_thing_is_lost() {
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let (mut found, mut there) = (0, 0);
    for seed in 0..150 {
        let (heading, spacing) = (dice.random_range(0.0..360.0), dice.random_range(3.0..9.0));
        let things = row(heading, spacing);
        found += drive(&things, heading, if seed % 2 == 0 { 5.0 } else { 25.0 }, seed, 0.0).len();
        there += things.len();
    }
    assert!(found <= there && f64::from(found as u32) >= 0.99 * f64::from(there as u32), "{found} of {there}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn each_sighting_is_one_thing_where_it_is(
        heading in 0.0..360.0f64, seed in 0..1000u64, spacing in 3.0..9.0f64,
        frames_per_second in prop::sample::select(vec![5.0, 25.0]),
    ) {
        let things = row(heading, spacing);
        let found = drive(&things, heading, frames_per_second, seed, 0.0);
        prop_assert!(found.len() <= things.len());
        let local = LocalFrame::at(HOME);
        let mut seen = std::collections::BTreeSet::new();
        for sighting in &found {
            let away = |thing: &Thing| distance_metres(sighting.position, local.latlon_from_local(thing.at));
            let (nearest, thing) =
                things.iter().enumerate().min_by(|(_, a), (_, b)| away(a).total_cmp(&away(b))).unwrap();
            prop_assert!(away(thing) < 0.3, "{} m", away(thing));
            prop_assert_eq!(sighting.class, thing.class);
            prop_assert!((sighting.length_metres - thing.length).abs() < 0.35);
            prop_assert!(seen.insert(nearest), "a thing is told twice");
        }
    }

    #[test]
    fn at_two_frames_a_second_nothing_is_told_twice(
        heading in 0.0..360.0f64, seed in 0..1000u64, spacing in 2.5..7.0f64, drift in -3.0..3.0f64,
    ) {
        let things: Vec<Thing> = (0..10).map(|k| Thing {
            at: ahead_of(heading, 12.0 + spacing * f64::from(k), if k % 2 == 0 { 1.2 } else { -1.0 }),
            length: 0.8,
            width: 0.6,
            class: DamageClass::Pothole,
        }).collect();
        // With so few views some things are missed; what is found is found once.
        let found = drive(&things, heading, 2.0, seed, drift);
        prop_assert!(found.len() <= things.len() && found.len() >= 6, "{}", found.len());
    }

    #[test]
    fn drifting_gnss_does_not_multiply_things(seed in 0..1000u64, drift in -3.0..3.0f64) {
        let things: Vec<Thing> = (0..5).map(|k| Thing {
            at: ahead_of(30.0, 15.0 + 5.0 * f64::from(k), 0.5),
            length: 0.7,
            width: 0.7,
            class: DamageClass::Pothole,
        }).collect();
        prop_assert_eq!(drive(&things, 30.0, 25.0, seed, drift).len(), things.len());
    }
}

/// A pothole ahead of a standing vehicle, in frames of the camera's size; it stands out more and more.
fn frames_of_a_pothole() -> Vec<(Frame, [(DamageClass, Detection); 1])> {
    let fix = Fix {
        at: datetime!(2026-05-01 10:00 UTC),
        position: HOME,
        speed_metres_per_second: 0.0,
        heading_degrees: 0.0,
        accuracy_metres: 0.5,
        bridged_millis: 0,
    };
    let ahead = GroundPoint { forward_metres: 7.0, left_metres: 0.0 };
    let box_in_image = crate::edge::locate::tests::box_of_ellipse(&camera(), ahead, 0.8, 0.6).unwrap();
    let frame = |sequence: u64| Frame {
        sequence,
        captured_at: fix.at,
        stream_time: Duration::from_millis(40 * sequence),
        fix: Some(fix),
        image: CameraImage::new(image::RgbImage::new(1280, 720)),
    };
    let seen = |score| [(DamageClass::Pothole, Detection { box_in_image, class: 3, score })];
    vec![(frame(0), seen(0.4)), (frame(1), seen(0.6)), (frame(2), seen(0.9))]
}

/// The one sighting's picture, and how often somebody looked.
fn picture_when(
    mut look: impl FnMut(u32) -> Result<Vec<BoundingBox>, NoPicture>,
) -> (Result<RedactedImage, NoPicture>, u32) {
    let mut judge = RoadJudge::new(camera(), true, RoadJudgeConfig::default());
    let mut looked = 0;
    for (frame, detections) in frames_of_a_pothole() {
        judge.observe(&frame, &detections, None, &mut |_| {
            looked += 1;
            look(looked)
        });
    }
    let mut sightings = judge.finish();
    assert_eq!(sightings.len(), 1, "an event goes with or without a picture");
    (sightings.remove(0).picture, looked)
}

#[test]
fn somebody_on_the_damage_or_nobody_to_look_means_no_picture() {
    let whole = BoundingBox::new(0.0, 0.0, 1280.0, 720.0).unwrap();
    let (picture, looked) = picture_when(|_| Ok(Vec::new()));
    assert!(picture.is_ok());
    assert_eq!(looked, 3, "once for each view that is worth a picture");
    assert_eq!(picture_when(|_| Ok(vec![whole])).0, Err(NoPicture::SomebodyInIt));
    assert_eq!(picture_when(|_| Err(NoPicture::NobodyLooked)).0, Err(NoPicture::NobodyLooked));
}

#[test]
fn who_steps_into_a_better_view_does_not_take_the_earlier_picture() {
    let whole = BoundingBox::new(0.0, 0.0, 1280.0, 720.0).unwrap();
    assert!(picture_when(|looked| Ok(if looked > 1 { vec![whole] } else { Vec::new() })).0.is_ok());
    assert!(picture_when(|looked| Ok(if looked == 1 { vec![whole] } else { Vec::new() })).0.is_ok());
}

#[test]
fn what_is_seen_once_and_dimly_is_no_sighting() {
    let mut judge = RoadJudge::new(camera(), true, RoadJudgeConfig::default());
    let fix = Fix {
        at: datetime!(2026-05-01 10:00 UTC),
        position: HOME,
        speed_metres_per_second: 10.0,
        heading_degrees: 0.0,
        accuracy_metres: 0.5,
        bridged_millis: 0,
    };
    let frame = Frame {
        sequence: 0,
        captured_at: fix.at,
        stream_time: Duration::ZERO,
        fix: Some(fix),
        image: CameraImage::new(image::RgbImage::new(1, 1)),
    };
    let seen = |score| {
        let box_in_image = BoundingBox::new(600.0, 500.0, 700.0, 540.0).unwrap();
        [(DamageClass::Pothole, Detection { box_in_image, class: 3, score })]
    };
    judge.observe(&frame, &seen(0.4), None, &mut |_| Ok(Vec::new()));
    assert!(judge.finish().is_empty());
    judge.observe(&frame, &seen(0.8), None, &mut |_| Ok(Vec::new()));
    assert_eq!(judge.finish().len(), 1);
}
