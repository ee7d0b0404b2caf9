//! Drives over the flat neighbourhood of a corner of four cells.

use proptest::prelude::*;
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::geo::LocalFrame;

const START: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);
/// The south-western corner of a cell.
const CORNER: LatLon = LatLon { lat: 50.0, lon: 8.001 };

fn at(east: f64, north: f64) -> LatLon {
    LocalFrame::at(CORNER).latlon_from_local(EastNorth::new(east, north))
}

/// Drives with looks ten times a second.
struct Drive {
    coverage: Coverage,
    east: f64,
    north: f64,
    now: OffsetDateTime,
    told: Vec<Stretch>,
    usable: Result<(), Unusable>,
}

impl Drive {
    fn from(east: f64, north: f64) -> Self {
        let coverage = Coverage::new(CoveragePolicy::default());
        Self { coverage, east, north, now: START, told: Vec::new(), usable: Ok(()) }
    }

    fn fix(&self, heading_degrees: f64, speed: f64) -> Fix {
        Fix {
            at: self.now,
            position: at(self.east, self.north),
            speed_metres_per_second: speed,
            heading_degrees,
            accuracy_metres: 1.5,
            bridged_millis: 0,
        }
    }

    fn step(&mut self, heading_degrees: f64, speed: f64, has_fix: bool) {
        let ahead = direction_of(heading_degrees);
        self.now += Duration::milliseconds(100);
        self.east += 0.1 * speed * ahead.east_metres;
        self.north += 0.1 * speed * ahead.north_metres;
        let fix = self.fix(heading_degrees, speed);
        self.told.extend(self.coverage.see(has_fix.then_some(&fix), self.usable));
    }

    fn go(&mut self, heading_degrees: f64, metres: f64) -> &mut Self {
        self.go_at(10.0, heading_degrees, metres, true)
    }

    fn go_at(&mut self, speed: f64, heading_degrees: f64, metres: f64, has_fix: bool) -> &mut Self {
        for _ in 0..(metres / (0.1 * speed)).round() as usize {
            self.step(heading_degrees, speed, has_fix);
        }
        self
    }

    fn end(&mut self) -> Vec<Stretch> {
        self.told.extend(self.coverage.finish());
        std::mem::take(&mut self.told)
    }
}

fn metres(stretches: &[Stretch]) -> f64 {
    stretches.iter().map(Stretch::length_metres).sum()
}

fn reasons(stretches: &[Stretch]) -> BTreeMap<Unusable, f64> {
    let mut all = BTreeMap::new();
    for (why, metres) in stretches.iter().flat_map(|stretch| &stretch.unusable) {
        *all.entry(*why).or_default() += metres;
    }
    all
}

#[test]
fn a_straight_drive_gives_one_stretch_per_cell_and_all_its_metres() {
    let told = Drive::from(-50.0, 30.0).go(90.0, 300.0).end();
    assert_eq!(told.len(), 4, "half a cell, two whole ones, and what is left");
    assert!((metres(&told) - 299.0).abs() < 2.0, "{}", metres(&told));
    for stretch in &told {
        assert_eq!(Cell::of(at_middle(stretch)), stretch.cell);
        assert!(heading_difference(stretch.heading_degrees, 90.0).abs() < 0.5);
        assert!(stretch.unusable.is_empty());
    }
    assert!(distance_metres(told[0].to, told[1].from) < 0.1, "cut at the edge, exactly");
}

fn at_middle(stretch: &Stretch) -> LatLon {
    let (a, b) = (stretch.from, stretch.to);
    LatLon { lat: 0.5 * (a.lat + b.lat), lon: 0.5 * (a.lon + b.lon) }
}

#[test]
fn a_turn_begins_another_stretch() {
    let told = Drive::from(20.0, 20.0).go(90.0, 40.0).go(0.0, 40.0).end();
    assert_eq!(told.len(), 2);
    assert!((told[0].length_metres() - 39.0).abs() < 2.0 && (told[1].length_metres() - 40.0).abs() < 2.0);
    assert!(heading_difference(told[1].heading_degrees, 0.0).abs() < 1.0);
}

#[test]
fn a_street_along_the_edge_of_a_cell_stays_one_piece() {
    let mut drive = Drive::from(5.0, 0.0);
    for swing in 0..12 {
        drive.north = if swing % 2 == 0 { 1.5 } else { -1.5 };
        drive.go(90.0, 8.0);
    }
    let told = drive.end();
    assert_eq!(told.len(), 1);
    assert!(metres(&told) > 90.0, "{}", metres(&told));
}

#[test]
fn standing_adds_nothing_and_ends_nothing() {
    let mut drive = Drive::from(10.0, 30.0);
    drive.go(90.0, 30.0);
    for second in 0..600 {
        let wander = 3.0 * f64::from(second % 7) / 7.0;
        (drive.east, drive.north) = (40.0 + wander, 30.0 - wander);
        drive.step(90.0, 0.1, true);
    }
    (drive.east, drive.north) = (40.0, 30.0);
    let told = drive.go(90.0, 30.0).end();
    assert_eq!(told.len(), 1);
    assert!((metres(&told) - 59.0).abs() < 3.0, "{}", metres(&told));
}

#[test]
fn why_it_was_unusable_is_told_in_metres() {
    let mut drive = Drive::from(5.0, 30.0);
    drive.go(90.0, 30.0);
    drive.usable = Err(Unusable::Wet);
    drive.go(90.0, 20.0);
    drive.usable = Ok(());
    let told = drive.go_at(25.0, 90.0, 25.0, true).end();
    assert_eq!(told.len(), 1);
    let why = reasons(&told);
    assert!((why[&Unusable::Wet] - 20.0).abs() < 1e-3 && (why[&Unusable::Speed] - 25.0).abs() < 1e-3, "{why:?}");
    assert!((told[0].usable_metres - 29.0).abs() < 1e-3);
}

#[test]
fn looks_too_far_apart_show_no_road_between_them() {
    let mut drive = Drive::from(5.0, 30.0);
    for _ in 0..6 {
        drive.now += Duration::milliseconds(1400);
        drive.east += 14.0;
        let fix = drive.fix(90.0, 10.0);
        drive.told.extend(drive.coverage.see(Some(&fix), Ok(())));
    }
    let why = reasons(&drive.end());
    assert_eq!(why.keys().collect::<Vec<_>>(), [&Unusable::Speed]);
}

#[test]
fn a_straight_outage_is_told_as_such_and_a_long_one_not_at_all() {
    let told = Drive::from(5.0, 30.0).go(90.0, 100.0).go_at(10.0, 90.0, 150.0, false).go(90.0, 60.0).end();
    let why = reasons(&told);
    assert!((why[&Unusable::NoFix] - 151.0).abs() < 2.0, "{why:?}");
    let told = Drive::from(5.0, 30.0).go(90.0, 100.0).go_at(10.0, 90.0, 400.0, false).go(90.0, 60.0).end();
    assert!(reasons(&told).is_empty() && (metres(&told) - 158.0).abs() < 3.0, "{told:?}");
    // Round a block, as far as anybody knows.
    let mut drive = Drive::from(5.0, 30.0);
    drive.go(90.0, 60.0).go_at(10.0, 90.0, 70.0, false).go_at(10.0, 180.0, 60.0, false);
    assert!(reasons(&drive.go(180.0, 60.0).end()).is_empty());
}

#[test]
fn a_jump_is_not_driven_and_a_clock_that_leaps_ends_the_stretch() {
    let mut drive = Drive::from(5.0, 30.0);
    drive.go(90.0, 50.0);
    drive.east += 60.0;
    drive.go(90.0, 50.0);
    drive.now -= Duration::hours(3);
    let told = drive.go(90.0, 50.0).end();
    assert!((metres(&told) - 147.0).abs() < 4.0, "{}", metres(&told));
}

#[test]
fn driven_again_within_the_hour_is_told_once_unless_more_was_seen() {
    let round = |drive: &mut Drive| {
        drive.go(90.0, 90.0);
        (drive.east, drive.north) = (-2000.0, 30.0);
        drive.go(90.0, 1.0);
        (drive.east, drive.north) = (5.0, 30.0);
        drive.go(90.0, 1.0);
    };
    let mut drive = Drive::from(5.0, 30.0);
    drive.usable = Err(Unusable::Wet);
    round(&mut drive);
    drive.usable = Ok(());
    round(&mut drive);
    round(&mut drive);
    drive.go(90.0, 90.0);
    let told = drive.end();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].usable_metres < 2.0 && told[1].usable_metres > 80.0);
    drive.now += Duration::hours(1);
    (drive.east, drive.north) = (5.0, 30.0);
    assert_eq!(drive.go(90.0, 90.0).end().len(), 1, "another hour");
}

#[test]
fn there_and_back_are_two_roads() {
    let told = Drive::from(5.0, 30.0).go(90.0, 90.0).go(270.0, 90.0).end();
    assert_eq!(told.len(), 2);
}

#[test]
fn where_nothing_is_recorded_the_whole_cell_is_missing() {
    let mut drive = Drive::from(-150.0, 30.0);
    drive.go(90.0, 180.0);
    drive.coverage.not_recorded();
    drive.east += 40.0;
    let told = drive.go(90.0, 200.0).end();
    let silent = Cell::of(at(30.0, 30.0));
    assert!(told.len() >= 3 && told.iter().all(|stretch| stretch.cell != silent), "{told:?}");
}

#[test]
fn a_road_driven_blind_is_no_mark_of_this_vehicle() {
    let mut drive = Drive::from(-50.0, 30.0);
    drive.usable = Err(Unusable::Lens);
    drive.go(90.0, 300.0);
    drive.usable = Ok(());
    let told = drive.go(90.0, 60.0).end();
    assert!(told.iter().all(|stretch| stretch.usable_metres > 0.0) && !told.is_empty());
}

#[test]
fn a_fix_that_says_too_little_is_none() {
    let mut coverage = Coverage::new(CoveragePolicy::default());
    let mut drive = Drive::from(5.0, 30.0);
    let mut told = Vec::new();
    for _ in 0..90 {
        drive.east += 1.0;
        drive.now += Duration::milliseconds(100);
        let fix = Fix { accuracy_metres: 12.0, ..drive.fix(90.0, 10.0) };
        told.extend(coverage.see(Some(&fix), Ok(())));
    }
    told.extend(coverage.finish());
    assert_eq!(told, []);
}

proptest! {
    /// However the vehicle drives: no metre is told twice, each stretch lies by its cell, and none is longer than was driven.
    #[test]
    fn nothing_is_invented(turns in prop::collection::vec((0.0..360.0f64, 1.0..80.0f64, any::<bool>()), 1..20)) {
        let mut drive = Drive::from(0.0, 0.0);
        let mut driven = 0.0;
        for (heading, metres, has_fix) in turns {
            drive.go_at(10.0, heading, metres, has_fix);
            driven += metres + 1.0;
        }
        let told = drive.end();
        prop_assert!(metres(&told) <= driven + 1.0);
        for stretch in &told {
            prop_assert!(stretch.length_metres() >= MIN_STRETCH_METRES);
            let middle = at_middle(stretch);
            prop_assert!(distance_metres(middle, stretch.cell.square_at(middle)) < SURELY_BEYOND_METRES + 4.0);
            prop_assert!((0.0..360.0).contains(&stretch.heading_degrees));
        }
    }

    /// Fixes as they may come from a broken receiver.
    #[test]
    fn any_fixes_are_survived(
        looks in prop::collection::vec((-90.0..90.0f64, -180.0..180.0f64, 0.0..1e3f64, -1e4..1e4f64, 0.0..20.0f64), 0..50),
    ) {
        let mut coverage = Coverage::new(CoveragePolicy::default());
        for (lat, lon, speed, seconds, accuracy_metres) in looks {
            let fix = Fix {
                at: START + Duration::seconds_f64(seconds),
                position: LatLon { lat, lon },
                speed_metres_per_second: speed,
                heading_degrees: 90.0,
                accuracy_metres,
                bridged_millis: 0,
            };
            coverage.see(Some(&fix), Ok(()));
        }
        coverage.finish();
    }
}
