//! The way that a vehicle drove, measured in metres since its first position: its chainage.

use crate::edge::fix::{Fix, STANDSTILL_METRES_PER_SECOND};
use crate::geo::{EastNorth, LatLon, LocalFrame, direction_of};

/// Ground this far behind a position may still belong to it.
const BEHIND_METRES: f64 = 5.0;

/// Corners of the way with their chainages; it goes straight on at both ends.
#[derive(Debug, Clone)]
pub struct Way {
    frame: LocalFrame,
    corners: Vec<(EastNorth, f64)>,
    /// Of each fix it was made from.
    chainages_metres: Vec<f64>,
    beyond_metres: f64,
}

impl Way {
    /// Positions wander at standstill and jump back after a bridged outage; neither is way. `beyond_metres` is how far ahead of a
    /// position something may lie. `None` without a fix.
    #[must_use]
    pub fn driven(fixes: &[Fix], beyond_metres: f64) -> Option<Self> {
        let (first, last) = (fixes.first()?, fixes.last()?);
        let frame = LocalFrame::at(first.position);
        let straight_on = |from: EastNorth, heading_degrees: f64, metres: f64| {
            let ahead = direction_of(heading_degrees);
            EastNorth::new(
                from.east_metres + metres * ahead.east_metres,
                from.north_metres + metres * ahead.north_metres,
            )
        };
        let (mut here, mut chainage) = (frame.local_from_latlon(first.position), 0.0);
        let mut corners =
            vec![(straight_on(here, first.heading_degrees, -beyond_metres), -beyond_metres), (here, chainage)];
        let mut chainages_metres = Vec::with_capacity(fixes.len());
        for fix in fixes {
            let there = frame.local_from_latlon(fix.position);
            let ahead = direction_of(fix.heading_degrees);
            let forward = (there.east_metres - here.east_metres) * ahead.east_metres
                + (there.north_metres - here.north_metres) * ahead.north_metres;
            if fix.speed_metres_per_second >= STANDSTILL_METRES_PER_SECOND && forward > 0.0 {
                chainage += here.distance_metres(there);
                here = there;
                corners.push((here, chainage));
            }
            chainages_metres.push(chainage);
        }
        corners.push((straight_on(here, last.heading_degrees, beyond_metres), chainage + beyond_metres));
        Some(Self { frame, corners, chainages_metres, beyond_metres })
    }

    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.chainages_metres.last().copied().unwrap_or_default()
    }

    /// Where each fix was, in their order.
    #[must_use]
    pub fn chainages_metres(&self) -> &[f64] {
        &self.chainages_metres
    }

    /// Chainage of the way's point nearest to a place that was seen from about `around_metres`: where a street is driven twice, or
    /// turns back, another piece of the way may lie nearer.
    #[must_use]
    pub fn chainage_near(&self, place: LatLon, around_metres: f64) -> f64 {
        let here = self.frame.local_from_latlon(place);
        let (from, to) = (around_metres - BEHIND_METRES, around_metres + self.beyond_metres);
        let pieces = self.corners.windows(2).filter(|piece| piece[1].1 >= from && piece[0].1 <= to);
        let along = |piece: &[(EastNorth, f64)]| {
            let ((a, chainage), (b, _)) = (piece[0], piece[1]);
            let (east, north) = (b.east_metres - a.east_metres, b.north_metres - a.north_metres);
            let length = east.hypot(north);
            let way = (here.east_metres - a.east_metres) * east + (here.north_metres - a.north_metres) * north;
            let share = if length > 0.0 { (way / (length * length)).clamp(0.0, 1.0) } else { 0.0 };
            let nearest = EastNorth::new(a.east_metres + share * east, a.north_metres + share * north);
            (nearest.distance_metres(here), chainage + share * length)
        };
        pieces.map(along).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(around_metres, |(_, chainage)| chainage)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use time::macros::datetime;

    use super::*;

    const HOME: LatLon = LatLon { lat: 50.0, lon: 8.7 };

    pub fn at(east: f64, north: f64) -> LatLon {
        LocalFrame::at(HOME).latlon_from_local(EastNorth::new(east, north))
    }

    pub fn fix(east: f64, north: f64, heading_degrees: f64, speed_metres_per_second: f64) -> Fix {
        Fix {
            at: datetime!(2026-03-17 09:00 UTC),
            position: at(east, north),
            speed_metres_per_second,
            heading_degrees,
            accuracy_metres: 1.0,
            bridged_millis: 0,
        }
    }

    /// 50 m north, then 50 m east, a fix every 5 m.
    pub fn corner() -> Vec<Fix> {
        let north = (0..=10).map(|k| fix(0.0, 5.0 * f64::from(k), 0.0, 10.0));
        north.chain((1..=10).map(|k| fix(5.0 * f64::from(k), 50.0, 90.0, 10.0))).collect()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.01, "{found}, not {expected}");
    }

    #[test]
    fn chainage_follows_the_way_around_the_corner_and_straight_on_at_both_ends() {
        let way = Way::driven(&corner(), 30.0).unwrap();
        close(way.length_metres(), 100.0);
        for (place, around, chainage) in [
            (at(1.5, 12.0), 5.0, 12.0),
            (at(-2.0, -3.0), 0.0, -3.0),
            (at(23.0, 48.5), 60.0, 73.0),
            (at(58.0, 51.0), 100.0, 108.0),
        ] {
            close(way.chainage_near(place, around), chainage);
        }
    }

    #[test]
    fn a_street_driven_there_and_back_has_two_chainages_for_one_place() {
        let there = (0..=10).map(|k| fix(0.0, 5.0 * f64::from(k), 0.0, 10.0));
        let back = (0..=9).rev().map(|k| fix(3.0, 5.0 * f64::from(k), 180.0, 10.0));
        let way = Way::driven(&there.chain(back).collect::<Vec<_>>(), 30.0).unwrap();
        close(way.chainage_near(at(1.0, 20.0), 10.0), 20.0);
        let turned = way.chainage_near(at(1.0, 20.0), 70.0);
        assert!((75.0..90.0).contains(&turned), "{turned}");
    }

    #[test]
    fn standing_and_jumping_back_is_no_way() {
        let mut fixes = vec![fix(0.0, 0.0, 0.0, 8.0), fix(0.0, 10.0, 0.0, 8.0)];
        fixes.extend((0..100).map(|k| fix(0.4 * f64::from(k % 3), 10.0 + 0.3 * f64::from(k % 2), 0.0, 0.2)));
        fixes.extend([fix(0.0, 8.0, 0.0, 8.0), fix(0.0, 20.0, 0.0, 8.0)]);
        let way = Way::driven(&fixes, 30.0).unwrap();
        close(way.length_metres(), 20.0);
        assert_eq!(way.chainages_metres().len(), fixes.len());
        assert!(Way::driven(&[], 30.0).is_none());
    }
}
