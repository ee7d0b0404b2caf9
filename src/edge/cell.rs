//! Cells of about 100 m: what belongs together in the eyes of the town ends at their edges.
//!
//! The grid is the same on every device, so the edges tell nothing about who drove.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::geo::LatLon;

/// About 111 m × 107 m at 50° north.
const CELL_LAT_DEGREES: f64 = 0.001;
const CELL_LON_DEGREES: f64 = 0.0015;
/// A cell has so many squares in each direction: 5.6 m × 5.3 m at 50° north.
const SQUARES: f64 = 20.0;

/// Rows count northwards, columns eastwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell(i32, i32);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.0, self.1)
    }
}

impl Cell {
    #[must_use]
    pub fn of(position: LatLon) -> Self {
        let index = |value: f64, step: f64| (value / step).floor() as i32;
        Self(index(position.lat, CELL_LAT_DEGREES), index(position.lon, CELL_LON_DEGREES))
    }

    /// The centre of the square of this cell that is next to `position`, so never on the cell's edge.
    #[must_use]
    pub fn square_at(self, position: LatLon) -> LatLon {
        let centre = |value: f64, index: i32, step: f64| {
            let square = ((value / step - f64::from(index)) * SQUARES).floor().clamp(0.0, SQUARES - 1.0);
            let degrees = (f64::from(index) + (square + 0.5) / SQUARES) * step;
            // Seven digits are a centimetre; more would only be the noise of the division.
            (degrees * 1e7).round() / 1e7
        };
        LatLon {
            lat: centre(position.lat, self.0, CELL_LAT_DEGREES),
            lon: centre(position.lon, self.1, CELL_LON_DEGREES),
        }
    }
}

/// Where the straight way between two points crosses edges of cells, as shares of the way in order, each in 0..1.
#[must_use]
pub fn crossings(from: LatLon, to: LatLon) -> Vec<f64> {
    let edges = |a: f64, b: f64, step: f64| {
        let (low, high) = (a.min(b) / step, a.max(b) / step);
        let (first, last) = (low.floor() as i64 + 1, high.ceil() as i64 - 1);
        (first..=last).map(move |edge| (edge as f64 * step - a) / (b - a)).collect::<Vec<f64>>()
    };
    let mut shares = edges(from.lat, to.lat, CELL_LAT_DEGREES);
    shares.extend(edges(from.lon, to.lon, CELL_LON_DEGREES));
    shares.sort_by(f64::total_cmp);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::distance_metres;
    use proptest::prelude::*;

    fn point(around: f64) -> impl Strategy<Value = LatLon> {
        (50.0 - around..50.0 + around, 8.0 - around..8.0 + around).prop_map(|(lat, lon)| LatLon { lat, lon })
    }

    proptest! {
        #[test]
        fn a_square_lies_within_its_cell_and_near_its_point(position in point(1.0)) {
            let cell = Cell::of(position);
            let square = cell.square_at(position);
            prop_assert_eq!(Cell::of(square), cell);
            prop_assert!(distance_metres(position, square) < 4.0);
        }

        #[test]
        fn a_point_beside_the_cell_is_drawn_into_it(position in point(0.001), beside in point(0.001)) {
            let cell = Cell::of(position);
            prop_assert_eq!(Cell::of(cell.square_at(beside)), cell);
        }

        #[test]
        fn between_two_crossings_the_way_stays_in_one_cell(from in point(0.005), to in point(0.005), at in 0.01..0.99f64) {
            let mut ends = vec![0.0];
            ends.extend(crossings(from, to));
            ends.push(1.0);
            prop_assert!(ends.is_sorted() && ends.iter().all(|share| (0.0..=1.0).contains(share)));
            let cell_at = |share: f64| {
                let mix = |a: f64, b: f64| a + share * (b - a);
                Cell::of(LatLon { lat: mix(from.lat, to.lat), lon: mix(from.lon, to.lon) })
            };
            for pair in ends.windows(2).filter(|pair| pair[1] - pair[0] > 1e-6) {
                let inside = |share: f64| cell_at(pair[0] + share * (pair[1] - pair[0]));
                prop_assert_eq!(inside(at), inside(0.5));
            }
        }
    }
}
