//! The watch as a whole, on made-up pictures; simulated operation is tried in `tests/blind.rs`.

#[cfg(feature = "gstreamer")]
mod real;

use std::time::Duration;

use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::edge::blind::look::{COLUMNS, Look, ROWS};
use crate::edge::frame::CameraImage;
use crate::schema::blind::BlindReason;

const STEP: Duration = Duration::from_millis(250);

fn look(pixel: impl Fn(u32, u32) -> u8) -> Look {
    Look::of(&CameraImage::new(RgbImage::from_fn(192, 108, |x, y| Rgb([pixel(x, y); 3]))))
}

/// Poles, kerbs and leaves, moved along and with a little noise.
fn scene(moved: u32) -> Look {
    look(|x, y| textured(x + 7 * moved, y, moved))
}

fn textured(x: u32, y: u32, noise: u32) -> u8 {
    let tile = (x / 9).wrapping_mul(2_654_435_761) ^ (y / 7).wrapping_mul(40_503) ^ 77;
    let grain = (x ^ y.wrapping_mul(31) ^ noise.wrapping_mul(7)) % 3;
    (60 + (tile >> 7) % 130 + grain) as u8
}

/// Plays looks every quarter of a second from `from` on; the changes and the time after.
fn play(
    watch: &mut BlindWatch,
    from: Duration,
    seconds: u32,
    look: impl Fn(u32) -> Option<Look>,
) -> (Vec<Change>, Duration) {
    let mut at = from;
    let mut changes = Vec::new();
    for number in 0..4 * seconds {
        at += STEP;
        changes.extend(watch.tick(at));
        if let Some(look) = look(number) {
            changes.extend(watch.see(&look, at));
        }
    }
    (changes, at)
}

fn reason(changes: &[Change]) -> BlindReason {
    match changes {
        [Change::Blind { reason, .. }] => *reason,
        other => panic!("{other:?}"),
    }
}

fn seeing(seconds: u32) -> (BlindWatch, Duration) {
    let mut watch = BlindWatch::new(BlindPolicy::new(Place::Road));
    let (changes, at) = play(&mut watch, Duration::ZERO, seconds, |k| Some(scene(k)));
    assert_eq!(changes, []);
    (watch, at)
}

#[test]
fn a_camera_may_take_its_time_to_start() {
    let mut watch = BlindWatch::new(BlindPolicy::new(Place::Road));
    assert_eq!(watch.tick(Duration::from_secs(29)), None);
    let blind = Change::Blind { reason: BlindReason::NoFrames, since: Duration::ZERO };
    assert_eq!(watch.tick(Duration::from_secs(30)), Some(blind));
    assert_eq!(watch.tick(Duration::from_secs(31)), None, "it is told once");
}

#[test]
fn frames_that_stop_are_told_and_so_is_their_return() {
    let (mut watch, at) = seeing(10);
    let (changes, later) = play(&mut watch, at, 5, |_| None);
    assert_eq!(changes, [Change::Blind { reason: BlindReason::NoFrames, since: at }]);
    let (changes, _) = play(&mut watch, later, 5, |k| Some(scene(k)));
    assert!(matches!(changes[..], [Change::Recovered { after }] if after > Duration::from_secs(7)), "{changes:?}");
    assert_eq!(watch.current(), None);
}

#[test]
fn one_frame_now_and_then_is_no_recovery() {
    let (mut watch, at) = seeing(10);
    let (changes, _) = play(&mut watch, at, 60, |k| (k % 40 == 39).then(|| scene(k)));
    assert_eq!(reason(&changes), BlindReason::NoFrames);
}

#[test]
fn a_picture_that_repeats_is_frozen() {
    let (mut watch, at) = seeing(10);
    let (changes, later) = play(&mut watch, at, 5, |_| Some(scene(3)));
    assert_eq!(reason(&changes), BlindReason::Frozen);
    assert!(matches!(play(&mut watch, later, 5, |k| Some(scene(k))).0[..], [Change::Recovered { .. }]));
}

#[test]
fn a_camera_that_repeats_by_habit_is_given_more_time() {
    let (mut watch, at) = seeing(10);
    // Three seconds each picture.
    let (changes, at) = play(&mut watch, at, 60, |k| Some(scene(k / 12)));
    assert_eq!(changes, []);
    assert_eq!(play(&mut watch, at, 5, |_| Some(scene(3))).0, []);
}

#[test]
fn covers_and_glare_are_told_within_five_seconds() {
    let cover =
        |luma: u8| move |k: u32| Some(look(move |x, y| luma.saturating_add(((x ^ y ^ k) % 2) as u8 + (y / 8) as u8)));
    for (luma, expected) in [(90, BlindReason::Covered), (2, BlindReason::Covered), (242, BlindReason::Glare)] {
        let (mut watch, at) = seeing(20);
        let (changes, later) = play(&mut watch, at, 5, cover(luma));
        assert_eq!(reason(&changes), expected, "{luma}");
        assert!(matches!(play(&mut watch, later, 5, |k| Some(scene(k))).0[..], [Change::Recovered { .. }]));
    }
}

#[test]
fn a_bridge_is_no_event_and_nightfall_is_dark() {
    let (mut watch, at) = seeing(20);
    let black = |k: u32| Some(look(move |x, y| ((x ^ y ^ k) % 2) as u8));
    let (changes, at) = play(&mut watch, at, 3, black);
    assert_eq!(changes, []);
    let (changes, at) = play(&mut watch, at, 20, |k| Some(scene(k)));
    assert_eq!(changes, []);
    // Over a minute to black.
    let dusk =
        |k: u32| Some(look(move |x, y| (u32::from(textured(x + 7 * k, y, k)) * 240_u32.saturating_sub(k) / 240) as u8));
    let (changes, _) = play(&mut watch, at, 70, dusk);
    assert_eq!(reason(&changes), BlindReason::Dark);
}

#[test]
fn what_lamps_light_at_night_is_enough() {
    let (mut watch, at) = seeing(30);
    let lit =
        |k: u32| Some(look(move |x, y| if y > 60 && x.abs_diff(96) < 60 { textured(x + 7 * k, y, k) / 2 } else { 3 }));
    assert_eq!(play(&mut watch, at, 120, lit).0, []);
}

#[test]
fn soft_edges_are_out_of_focus_within_thirty_seconds() {
    let (mut watch, at) = seeing(60);
    let soft = |k: u32| {
        let sharp = RgbImage::from_fn(192, 108, |x, y| Rgb([textured(x + 7 * (k % 8), y, k); 3]));
        Some(Look::of(&CameraImage::new(image::imageops::blur(&sharp, 1.2))))
    };
    let soft: Vec<Look> = (0..8).filter_map(soft).collect();
    let (changes, _) = play(&mut watch, at, 30, |k| Some(soft[k as usize % 8].clone()));
    assert_eq!(reason(&changes), BlindReason::Defocused);
}

#[test]
fn the_gravest_reason_is_told_and_the_lesser_after_it() {
    let (mut watch, at) = seeing(20);
    let flat = |k: u32| Some(look(move |x, y| 90 + ((x ^ y ^ k) % 2) as u8));
    let (changes, at) = play(&mut watch, at, 5, flat);
    assert_eq!(reason(&changes), BlindReason::Covered);
    let (changes, at) = play(&mut watch, at, 5, |_| None);
    assert_eq!(reason(&changes), BlindReason::NoFrames);
    let (changes, _) = play(&mut watch, at, 5, flat);
    assert_eq!(reason(&changes), BlindReason::Covered, "not recovered: it is still covered");
}

#[test]
fn what_is_off_is_not_told() {
    let policy = BlindPolicy { off: vec![BlindReason::NoFrames, BlindReason::Frozen], ..BlindPolicy::new(Place::Pool) };
    let mut watch = BlindWatch::new(policy);
    let (changes, at) = play(&mut watch, Duration::ZERO, 20, |_| Some(scene(1)));
    assert_eq!(changes, []);
    assert_eq!(play(&mut watch, at, 60, |_| None).0, []);
}

#[test]
fn a_turned_camera_is_found_against_a_reference_from_before_the_restart() {
    // A fixed camera; the content moves by 9 of 108 rows.
    let view = |down: u32| move |k: u32| Some(look(move |x, y| textured(x, y + 200 - down, k)));
    let mut watch = BlindWatch::new(BlindPolicy::new(Place::Pool));
    assert_eq!(watch.reference(), None);
    assert_eq!(play(&mut watch, Duration::ZERO, 60, view(0)).0, []);
    let kept = Reference::from_bytes(&watch.reference().unwrap().to_bytes()).unwrap();
    let mut restarted = BlindWatch::with_reference(BlindPolicy::new(Place::Pool), Some(&kept));
    let (changes, at) = play(&mut restarted, Duration::ZERO, 30, view(9));
    assert_eq!(reason(&changes), BlindReason::Moved);
    let shift = restarted.shift().unwrap();
    assert!((shift.down_share - 9.0 / 108.0).abs() < 0.01 && shift.right_share.abs() < 0.01, "{shift:?}");
    restarted.relearn_view();
    assert!(matches!(play(&mut restarted, at, 60, view(9)).0[..], [Change::Recovered { .. }]));
    assert!(restarted.reference().unwrap().shift_from(&kept).is_certain());
}

#[test]
fn a_reference_that_is_none_says_so() {
    for bytes in [
        &b"{"[..],
        br#"{"version": 9, "seconds": 1.0, "cells": []}"#,
        br#"{"version": 1, "seconds": 1.0, "cells": [1]}"#,
    ] {
        let error = Reference::from_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains("remove the file"), "{error}");
    }
}

#[test]
fn pictures_of_any_size_give_a_look() {
    for (width, height) in [(0, 0), (1, 1), (3, 200), (1920, 2)] {
        let look = Look::of(&CameraImage::new(RgbImage::new(width, height)));
        assert_eq!((look.cells.len(), look.mean_luma), (COLUMNS * ROWS, 0.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever comes: changes alternate as they should, and nothing is told twice.
    #[test]
    fn changes_make_sense(kinds in proptest::collection::vec((0..5_u32, 1..7_u32), 1..8)) {
        let mut watch = BlindWatch::new(BlindPolicy::new(Place::Road));
        let (mut at, mut told) = (Duration::ZERO, None);
        for (kind, seconds) in kinds {
            let (changes, later) = play(&mut watch, at, seconds, |k| match kind {
                0 => None,
                1 => Some(scene(k)),
                2 => Some(scene(0)),
                3 => Some(look(move |x, y| ((x ^ y ^ k) % 2) as u8)),
                _ => Some(look(move |x, y| 254 + ((x ^ y ^ k) % 2) as u8)),
            });
            for change in changes {
                match change {
                    Change::Blind { reason, since } => {
                        prop_assert!(told != Some(reason) && since <= later);
                        told = Some(reason);
                    }
                    Change::Recovered { after } => {
                        prop_assert!(told.is_some() && after <= later);
                        told = None;
                    }
                }
            }
            at = later;
            prop_assert_eq!(watch.current(), told);
        }
    }
}
