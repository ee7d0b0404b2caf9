//! A closed way through the streets, in the right lane, with smooth corners.

use crate::geo::{EastNorth, normalise_heading};
use crate::world::roadside;
use crate::world::scene::Pose;
use crate::world::street::Street;

/// Before and after a corner's crossing the way leaves its lane by this much.
const CORNER_METRES: f64 = 14.0;
const STEP_METRES: f64 = 0.25;

/// Points every quarter of a metre; the last one meets the first.
#[derive(Debug, Clone)]
pub struct Route {
    points: Vec<EastNorth>,
    /// Of each point, from the first; one more for the closing step.
    along: Vec<f64>,
}

impl Route {
    /// `streets` in the order of the drive, each running in its direction and crossing the next.
    #[must_use]
    pub fn around_the_block(streets: &[Street]) -> Self {
        // Between two corners the way is the lane; around a corner it is a cubic curve with the lanes' directions.
        let lanes: Vec<Vec<Pose>> = (0..streets.len())
            .map(|k| {
                let previous = &streets[(k + streets.len() - 1) % streets.len()];
                let next = &streets[(k + 1) % streets.len()];
                let from = crossing_along(&streets[k], previous) + CORNER_METRES;
                let to = crossing_along(&streets[k], next) - CORNER_METRES;
                let lane = -0.5 * f64::from(streets[k].half_width_metres);
                let count = ((to - from) / STEP_METRES) as usize;
                (0..=count)
                    .map(|i| roadside::on_street(&streets[k], from + (to - from) * i as f64 / count as f64, lane))
                    .collect()
            })
            .collect();
        let mut points = Vec::new();
        for (k, lane) in lanes.iter().enumerate() {
            points.extend(lane.iter().map(|p| p.position));
            let (Some(end), Some(start)) = (lane.last(), lanes[(k + 1) % lanes.len()].first()) else { continue };
            points.extend(corner(*end, *start));
        }
        Self::through(smoothed(&points))
    }

    fn through(points: Vec<EastNorth>) -> Self {
        let mut along = vec![0.0];
        for (k, p) in points.iter().enumerate() {
            along.push(along[k] + p.distance_metres(points[(k + 1) % points.len()]));
        }
        Self { points, along }
    }

    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.along.last().copied().unwrap_or_default()
    }

    /// Place and direction; the way repeats after its length.
    #[must_use]
    pub fn at(&self, along_metres: f64) -> Pose {
        let position = self.position_at(along_metres);
        let (behind, ahead) = (self.position_at(along_metres - 0.5), self.position_at(along_metres + 0.5));
        let (de, dn) = (ahead.east_metres - behind.east_metres, ahead.north_metres - behind.north_metres);
        Pose { position, heading_degrees: normalise_heading(de.atan2(dn).to_degrees()) }
    }

    fn position_at(&self, along_metres: f64) -> EastNorth {
        let along = along_metres.rem_euclid(self.length_metres());
        let k = self.along.partition_point(|a| *a <= along).saturating_sub(1).min(self.points.len() - 1);
        let (a, b) = (self.points[k], self.points[(k + 1) % self.points.len()]);
        let share = (along - self.along[k]) / (self.along[k + 1] - self.along[k]).max(1e-9);
        EastNorth::new(
            a.east_metres + share * (b.east_metres - a.east_metres),
            a.north_metres + share * (b.north_metres - a.north_metres),
        )
    }

    pub fn every(&self, step_metres: f64) -> impl Iterator<Item = Pose> + '_ {
        (0..(self.length_metres() / step_metres) as usize).map(move |k| self.at(k as f64 * step_metres))
    }

    /// Change of direction per metre, radians.
    #[must_use]
    pub fn curvature_at(&self, along_metres: f64) -> f64 {
        let turn = crate::geo::heading_difference(
            self.at(along_metres - 1.0).heading_degrees,
            self.at(along_metres + 1.0).heading_degrees,
        );
        turn.to_radians() / 2.0
    }
}

/// Where on `street`, in metres from its start, its centreline comes nearest to `other`'s.
fn crossing_along(street: &Street, other: &Street) -> f64 {
    let length = street.length_metres();
    let far = |along: f64| {
        let place = roadside::on_street(street, along, 0.0).position;
        let index = other.points.windows(2).map(|p| distance_to(place, p[0], p[1]));
        index.fold(f64::MAX, f64::min)
    };
    (0..=(length / 0.25) as usize).map(|k| k as f64 * 0.25).min_by(|a, b| far(*a).total_cmp(&far(*b))).unwrap_or(0.0)
}

fn distance_to(p: EastNorth, a: EastNorth, b: EastNorth) -> f64 {
    let (de, dn) = (b.east_metres - a.east_metres, b.north_metres - a.north_metres);
    let (pe, pn) = (p.east_metres - a.east_metres, p.north_metres - a.north_metres);
    let share = ((pe * de + pn * dn) / (de * de + dn * dn)).clamp(0.0, 1.0);
    (pe - share * de).hypot(pn - share * dn)
}

/// Cubic Bézier curve from one lane's end to the next one's start, without both.
fn corner(from: Pose, to: Pose) -> Vec<EastNorth> {
    let reach = 0.40 * from.position.distance_metres(to.position);
    let (a, d) = (from.position, to.position);
    let (b, c) = (from.local_from_vehicle(reach, 0.0), to.local_from_vehicle(-reach, 0.0));
    let count = (2.6 * reach / STEP_METRES) as usize;
    (1..count)
        .map(|k| {
            let t = k as f64 / count as f64;
            let u = 1.0 - t;
            let weights = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
            let mix = |of: fn(EastNorth) -> f64| [a, b, c, d].iter().zip(weights).map(|(p, w)| w * of(*p)).sum();
            EastNorth::new(mix(|p| p.east_metres), mix(|p| p.north_metres))
        })
        .collect()
}

/// Mean over about two metres: nobody turns the wheel in jerks.
fn smoothed(points: &[EastNorth]) -> Vec<EastNorth> {
    const REACH: usize = 4;
    let count = points.len();
    (0..count)
        .map(|k| {
            let near = (0..=2 * REACH).map(|i| points[(k + count + i - REACH) % count]);
            let sum = near.fold((0.0, 0.0), |s, p| (s.0 + p.east_metres, s.1 + p.north_metres));
            let weight = (2 * REACH + 1) as f64;
            EastNorth::new(sum.0 / weight, sum.1 / weight)
        })
        .collect()
}
