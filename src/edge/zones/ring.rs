//! A closed line of corners: what lies inside, how near it is, and whether it crosses itself.

use crate::geo::{EastNorth, LatLon, LocalFrame};

/// Less than a parking lot; what is smaller was drawn by accident.
const LEAST_AREA_SQUARE_METRES: f64 = 1.0;
const ORIGIN: EastNorth = EastNorth { east_metres: 0.0, north_metres: 0.0 };

/// Three corners or more; the last leads back to the first, which is not repeated.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    corners: Vec<LatLon>,
}

impl Ring {
    /// From GeoJSON's positions, of which the last repeats the first. `Err` says what is wrong with it.
    pub(super) fn new(mut corners: Vec<LatLon>) -> Result<Self, String> {
        if corners.is_empty() {
            return Err("is empty; give it at least four positions, the last like the first".into());
        }
        if corners.len() < 4 {
            return Err("has fewer than four positions; give it at least four, the last like the first".into());
        }
        if corners.first() != corners.last() {
            return Err("does not end where it starts; make its last position like its first".into());
        }
        corners.pop();
        corners.dedup();
        let ring = Self { corners };
        if ring.corners.len() < 3 || ring.spread_square_metres() < LEAST_AREA_SQUARE_METRES {
            return Err("has no area; give it corners that enclose something".into());
        }
        match ring.crossing() {
            Some(at) => Err(format!(
                "crosses itself near latitude {:.5}, longitude {:.5}; draw its outline without a knot",
                at.lat, at.lon
            )),
            None => Ok(ring),
        }
    }

    pub(super) fn corners(&self) -> &[LatLon] {
        &self.corners
    }

    fn sides(&self) -> impl Iterator<Item = (LatLon, LatLon)> + '_ {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().copied().zip(next.copied())
    }

    /// Even-odd rule: a ray to the east crosses the outline an odd number of times.
    pub(super) fn surrounds(&self, point: LatLon) -> bool {
        let crossed = self.sides().filter(|(a, b)| {
            (a.lat > point.lat) != (b.lat > point.lat)
                && point.lon < a.lon + (b.lon - a.lon) * (point.lat - a.lat) / (b.lat - a.lat)
        });
        crossed.count() % 2 == 1
    }

    /// Whether a side comes within `metres` of the frame's origin.
    pub(super) fn is_within(&self, frame: &LocalFrame, metres: f64) -> bool {
        self.sides().any(|(a, b)| {
            let (a, b) = (frame.local_from_latlon(a), frame.local_from_latlon(b));
            let along = EastNorth::new(b.east_metres - a.east_metres, b.north_metres - a.north_metres);
            let length_squared = along.east_metres.powi(2) + along.north_metres.powi(2);
            let towards = -(a.east_metres * along.east_metres + a.north_metres * along.north_metres);
            let share = if length_squared > 0.0 { (towards / length_squared).clamp(0.0, 1.0) } else { 0.0 };
            let nearest =
                EastNorth::new(a.east_metres + share * along.east_metres, a.north_metres + share * along.north_metres);
            nearest.distance_metres(ORIGIN) <= metres
        })
    }

    /// The triangles from the first corner to each side, those of the other turn as well, so that a knot does not cancel
    /// itself out: nothing only where all corners lie on a line.
    fn spread_square_metres(&self) -> f64 {
        let frame = LocalFrame::at(self.corners[0]);
        let twice: f64 = self
            .sides()
            .map(|(a, b)| (frame.local_from_latlon(a), frame.local_from_latlon(b)))
            .map(|(a, b)| a.east_metres * b.north_metres - b.east_metres * a.north_metres)
            .map(f64::abs)
            .sum();
        0.5 * twice
    }

    /// A place where two sides that are no neighbours meet. Sides are compared only where their longitudes overlap.
    fn crossing(&self) -> Option<LatLon> {
        let mut sides: Vec<(usize, LatLon, LatLon)> = self.sides().enumerate().map(|(i, (a, b))| (i, a, b)).collect();
        let count = sides.len();
        sides.sort_by(|(_, a, b), (_, c, d)| a.lon.min(b.lon).total_cmp(&c.lon.min(d.lon)));
        for (k, (i, a, b)) in sides.iter().enumerate() {
            let east = a.lon.max(b.lon);
            for (j, c, d) in sides[k + 1..].iter().take_while(|(_, c, d)| c.lon.min(d.lon) <= east) {
                let neighbours = (i + 1) % count == *j || (j + 1) % count == *i;
                if (!neighbours && meet(*a, *b, *c, *d)) || (neighbours && turns_back(*a, *b, *c, *d)) {
                    return Some(*c);
                }
            }
        }
        None
    }
}

/// Which side of the line from `a` to `b` the point lies on; 0 on it.
fn side(a: LatLon, b: LatLon, point: LatLon) -> f64 {
    (b.lon - a.lon) * (point.lat - a.lat) - (b.lat - a.lat) * (point.lon - a.lon)
}

fn meet(a: LatLon, b: LatLon, c: LatLon, d: LatLon) -> bool {
    let between = |from: LatLon, to: LatLon, point: LatLon| {
        (from.lon.min(to.lon)..=from.lon.max(to.lon)).contains(&point.lon)
            && (from.lat.min(to.lat)..=from.lat.max(to.lat)).contains(&point.lat)
    };
    let (to_c, to_d, to_a, to_b) = (side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b));
    (to_c * to_d < 0.0 && to_a * to_b < 0.0)
        || (to_c == 0.0 && between(a, b, c))
        || (to_d == 0.0 && between(a, b, d))
        || (to_a == 0.0 && between(c, d, a))
        || (to_b == 0.0 && between(c, d, b))
}

/// Neighbours share a corner; they may not run over each other.
fn turns_back(a: LatLon, b: LatLon, c: LatLon, d: LatLon) -> bool {
    let (corner, one, other) = if b == c {
        (b, a, d)
    } else if a == d {
        (a, b, c)
    } else {
        return false;
    };
    let ahead = (one.lon - corner.lon) * (other.lon - corner.lon) + (one.lat - corner.lat) * (other.lat - corner.lat);
    side(one, corner, other) == 0.0 && ahead > 0.0
}
