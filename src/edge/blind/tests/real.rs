//! The watch on real videos, where there are any: `shared/data` beside the checkout, or in a folder above it. They are short, so
//! they are played to and fro; what is wrong with a camera is done to their pictures. Pictures are halved for speed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use image::RgbImage;
use time::macros::datetime;

use super::super::*;
use crate::edge::frame::CameraImage;
use crate::edge::source::{self, SourceConfig};
use crate::schema::blind::BlindReason;

const STEP: Duration = Duration::from_millis(500);

fn data() -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|folder| Some(folder.join("shared/data")).filter(|data| data.is_dir()));
    if found.is_none() {
        eprintln!("SKIPPED: there is no shared/data, blind detection was not tried on real videos");
    }
    found
}

/// At most two pictures a second.
fn pictures(video: &Path) -> Vec<RgbImage> {
    let config = SourceConfig::File { path: video.to_owned() };
    let mut source = source::open(&config, datetime!(2026-03-17 09:00 UTC)).unwrap();
    let (mut pictures, mut last) = (Vec::new(), None);
    while let Some(next) = source.next_image().unwrap() {
        if last.is_some_and(|last| next.stream_time < last + Duration::from_millis(480)) {
            continue;
        }
        last = Some(next.stream_time);
        let pixels = next.image.unredacted();
        pictures.push(image::imageops::thumbnail(pixels, pixels.width() / 2, pixels.height() / 2));
    }
    pictures
}

fn looks(pictures: &[RgbImage], harm: impl Fn(&RgbImage) -> RgbImage) -> Vec<Look> {
    pictures.iter().map(|picture| Look::of(&CameraImage::new(harm(picture)))).collect()
}

/// To and fro, without showing the turning points twice. The changes, and how long it took.
fn play(watch: &mut BlindWatch, from: Duration, seconds: u32, looks: &[Look]) -> Vec<(Change, Duration)> {
    let mut changes = Vec::new();
    let round = 2 * (looks.len() - 1);
    for number in 0..2 * seconds {
        let k = number as usize % round;
        let after = STEP * (number + 1);
        let change = watch.see(&looks[k.min(round - k)], from + after);
        changes.extend(change.or_else(|| watch.tick(from + after)).map(|change| (change, after)));
    }
    changes
}

fn check(video: &str, place: Place) {
    let Some(video) = data().map(|data| data.join(video)) else { return };
    let pictures = pictures(&video);
    let seen = looks(&pictures, RgbImage::clone);
    let mut watch = BlindWatch::new(BlindPolicy::new(place));
    // Long enough for a reference.
    let warm_up = 180;
    let changes = play(&mut watch, Duration::ZERO, warm_up, &seen);
    assert!(changes.is_empty(), "{}: {changes:?}", video.display());
    assert!(watch.reference().is_some() || place == Place::Pool, "{} taught no reference", video.display());
    let at = Duration::from_secs(u64::from(warm_up));
    let found = |harmed: Vec<Look>, seconds: u32| {
        let changes = play(&mut watch.clone(), at, seconds, &harmed);
        changes.first().map(|(change, after)| match change {
            Change::Blind { reason, .. } => (*reason, after.as_secs_f32()),
            Change::Recovered { .. } => panic!("{change:?} of a camera that was not blind"),
        })
    };
    let tone = |luma: u8| {
        move |picture: &RgbImage| {
            RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
                let grain = picture.get_pixel(x, y).0[1] % 3;
                image::Rgb([luma + grain + (y * 30 / picture.height()) as u8; 3])
            })
        }
    };
    let covered = found(looks(&pictures[..pictures.len().min(12)], tone(90)), 5);
    let soft = |picture: &RgbImage| image::imageops::fast_blur(picture, picture.width() as f32 / 160.0);
    let defocused = found(looks(&pictures[..pictures.len().min(24)], soft), 30);
    eprintln!("{}: {} pictures, covered {covered:?}, defocused {defocused:?}", video.display(), pictures.len());
    assert!(matches!(covered, Some((BlindReason::Covered, _))), "{covered:?}");
    let bright = seen.iter().filter(|look| look.mean_luma >= 45.0).count() * 2 > seen.len();
    if bright {
        assert!(matches!(defocused, Some((BlindReason::Defocused, _))), "{defocused:?}");
        // Three degrees where 65° are seen across a picture of 16:9.
        let lower = |picture: &RgbImage| {
            let by = picture.height() * 73 / 1000;
            RgbImage::from_fn(picture.width(), picture.height(), |x, y| *picture.get_pixel(x, y.saturating_sub(by)))
        };
        let moved = found(looks(&pictures, lower), 30);
        eprintln!("{}: moved {moved:?}", video.display());
        assert!(matches!(moved, Some((BlindReason::Moved, _))), "{moved:?}");
    }
}

#[test]
fn a_dash_camera() {
    check("video/udacity_solidWhiteRight.mp4", Place::Road);
}

#[test]
fn a_survey_vehicles_drive() {
    check("drives/drive_a.mp4", Place::Road);
}

#[test]
fn another_drive() {
    check("drives/drive_b.mp4", Place::Road);
}

#[test]
fn a_camera_under_water() {
    check("video/randhana_both2.mp4", Place::Pool);
}

#[test]
fn another_clip_under_water() {
    check("video/randhana_notdrowning.mp4", Place::Pool);
}
