//! Labelled boxes of two real drives, tracked with the camera that nobody has measured: one damage is one sighting, and
//! it lies on the street ahead of the camera's place. No metric accuracy is claimed or tested on these drives.
//!
//! Needs real data that is no part of this project: `shared/data` beside the checkout, or in a folder above it.

use std::path::Path;
use std::time::Duration;

use umsicht::edge::config::assumed_camera;
use umsicht::edge::detection::Detection;
use umsicht::edge::fix::FixLog;
use umsicht::edge::frame::{CameraImage, Frame};
use umsicht::edge::judge::road::{RoadJudge, RoadJudgeConfig, Sighting};
use umsicht::geo::{EastNorth, LatLon, LocalFrame};
use umsicht::models::drive::{LabelledBox, read_boxes};
use umsicht::schema::DamageClass;

use crate::support::real_data;

const WIDTH_PX: u32 = 1024;
const HEIGHT_PX: u32 = 630;

struct Still {
    at_seconds: f64,
    place: LatLon,
    heading_degrees: f64,
    boxes: Vec<(DamageClass, Detection)>,
}

fn read(folder: &Path, drive: &str) -> Vec<Still> {
    let truth = std::fs::read_to_string(folder.join(format!("{drive}.truth.csv"))).unwrap();
    let still = |line: &str| {
        let row: Vec<&str> = line.split(',').collect();
        Still {
            at_seconds: row[1].parse().unwrap(),
            place: LatLon::new(row[3].parse().unwrap(), row[4].parse().unwrap()).unwrap(),
            heading_degrees: row[5].parse().unwrap(),
            boxes: Vec::new(),
        }
    };
    let mut stills: Vec<Still> = truth.lines().skip(1).map(still).collect();
    for (still, labelled) in read_boxes(&folder.join(format!("{drive}.boxes.csv"))).unwrap() {
        for LabelledBox { class, box_in_image } in labelled {
            stills[still as usize].boxes.push((class, Detection { box_in_image, class: 0, score: 0.6 }));
        }
    }
    stills
}

fn sightings(folder: &Path, drive: &str, log: &str) -> Vec<Sighting> {
    let fixes = FixLog::read(&folder.join(log)).unwrap();
    let start = fixes.first_at().unwrap();
    let mut judge = RoadJudge::new(assumed_camera(WIDTH_PX, HEIGHT_PX), false, RoadJudgeConfig::default());
    let mut found = Vec::new();
    for (sequence, still) in (0..).zip(read(folder, drive)) {
        let stream_time = Duration::from_secs_f64(still.at_seconds);
        let captured_at = start + stream_time;
        // Without pixels there are no pictures; they play no part here.
        let image = CameraImage::new(image::RgbImage::new(1, 1));
        let frame = Frame { sequence, captured_at, stream_time, fix: fixes.at(captured_at), image };
        found.extend(judge.observe(&frame, &still.boxes, None, &mut |_| Ok(Vec::new())));
    }
    found.extend(judge.finish());
    found
}

/// Metres left of the nearest piece of the camera's true way.
fn beside_the_way(stills: &[Still], place: LatLon) -> f64 {
    let frame = LocalFrame::at(place);
    let here = EastNorth::new(0.0, 0.0);
    let nearest = stills
        .iter()
        .map(|still| (frame.local_from_latlon(still.place), still.heading_degrees))
        .min_by(|a, b| a.0.distance_metres(here).total_cmp(&b.0.distance_metres(here)))
        .unwrap();
    let ahead = umsicht::geo::direction_of(nearest.1);
    -nearest.0.north_metres * ahead.east_metres + nearest.0.east_metres * ahead.north_metres
}

fn overlaps(a: &Sighting, b: &Sighting) -> bool {
    let frame = LocalFrame::at(a.position);
    let way = frame.local_from_latlon(b.position);
    let ahead = umsicht::geo::direction_of(a.heading_degrees);
    let along = way.east_metres * ahead.east_metres + way.north_metres * ahead.north_metres;
    let left = way.north_metres * ahead.east_metres - way.east_metres * ahead.north_metres;
    let shared = |distance: f64, x: f64, y: f64| (0.5 * (x + y) - distance.abs()).min(x).min(y).max(0.0);
    let area = shared(along, a.length_metres, b.length_metres) * shared(left, a.width_metres, b.width_metres);
    let smaller = (a.length_metres * a.width_metres).min(b.length_metres * b.width_metres);
    a.class.same_group(b.class) && area > 0.5 * smaller
}

fn check(drive: &str, log: &str) {
    let Some(folder) = real_data().map(|data| data.join("drives")) else { return };
    let stills = read(&folder, drive);
    let boxes: usize = stills.iter().map(|still| still.boxes.len()).sum();
    let found = sightings(&folder, drive, log);
    let twice = found.iter().enumerate().filter(|(i, a)| found[..*i].iter().any(|b| overlaps(a, b))).count();
    let aside = found.iter().filter(|s| beside_the_way(&stills, s.position).abs() > 6.0).count();
    let once = found.iter().filter(|s| s.frames_seen == 1).count();
    eprintln!("{log}: {boxes} boxes, {} sightings, {once} seen once, {twice} overlap, {aside} aside", found.len());
    // Labels of successive stills differ, and many things are labelled in one still only.
    assert!(found.len() * 3 < boxes * 2 && found.len() * 8 > boxes, "{} of {boxes} boxes", found.len());
    assert!(twice * 20 <= found.len(), "{twice} of {} overlap", found.len());
    assert!(aside * 20 <= found.len(), "{aside} of {} lie beside the street", found.len());
}

#[test]
fn drive_a() {
    check("drive_a", "drive_a.nmea");
}

#[test]
fn drive_a_with_drifting_gnss() {
    check("drive_a", "drive_a.noisy.nmea");
}

#[test]
fn drive_b() {
    check("drive_b", "drive_b.nmea");
}
