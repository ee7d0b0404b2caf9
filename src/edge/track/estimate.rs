//! The extent of a tracked thing, estimated from its four edges over all frames of a pass.
//!
//! Axes: *along* the heading at the first observation, *left* of it; metres from that observation's centre. Each edge is
//! the inverse-variance mean of the frames in which the picture did not cut it off; where it always did, the outermost one
//! counts. An edge that is seen well outside the estimate starts anew there, because a crack field may go on; one that is
//! seen well inside is a partial box and is left out, unless such boxes become the majority.

use crate::edge::locate::{Edge, LocatedBox};
use crate::geo::{Covariance, EastNorth, direction_of};

use super::View;

/// An edge farther off than this many sigmas and this many metres is no longer the same observation.
const OUTLIER_SIGMAS: f64 = 3.0;
const OUTLIER_METRES: f64 = 0.3;

/// A rectangle in the track's axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    pub near: f64,
    pub far: f64,
    pub right: f64,
    pub left: f64,
}

impl Extent {
    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.far - self.near
    }

    #[must_use]
    pub fn width_metres(&self) -> f64 {
        self.left - self.right
    }

    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        Self {
            near: self.near.min(other.near),
            far: self.far.max(other.far),
            right: self.right.min(other.right),
            left: self.left.max(other.left),
        }
    }

    /// Shared area as a share of the area both cover together, 0..1.
    #[must_use]
    pub fn overlap_of_both(&self, other: &Self) -> f64 {
        let shared = self.shared_area(other);
        let all = self.area() + other.area() - shared;
        if all > 0.0 { shared / all } else { 0.0 }
    }

    #[must_use]
    pub fn area(&self) -> f64 {
        self.length_metres() * self.width_metres()
    }

    fn shared_area(&self, other: &Self) -> f64 {
        let along = (self.far.min(other.far) - self.near.max(other.near)).max(0.0);
        let across = (self.left.min(other.left) - self.right.max(other.right)).max(0.0);
        along * across
    }

    /// Shared area as a share of the smaller one, 0..1.
    #[must_use]
    pub fn overlap_of_smaller(&self, other: &Self) -> f64 {
        let smaller = self.area().min(other.area());
        if smaller > 0.0 { self.shared_area(other) / smaller } else { 0.0 }
    }
}

/// One edge over many frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EdgeEstimate {
    /// +1 where larger is farther out, −1 where smaller is.
    outwards: f64,
    weight: f64,
    weighted_sum: f64,
    /// Σ (weight × sigma)² of the boxes alone.
    box_sum: f64,
    /// Σ weight × sigma of the mounting.
    mounting_sum: f64,
    used: u32,
    outside_in_a_row: u32,
    inside: u32,
    /// Outermost observation of those that the picture cut off, or that an absorbed track brought.
    at_least: Option<f64>,
}

impl EdgeEstimate {
    fn new(outwards: f64) -> Self {
        Self {
            outwards,
            weight: 0.0,
            weighted_sum: 0.0,
            box_sum: 0.0,
            mounting_sum: 0.0,
            used: 0,
            outside_in_a_row: 0,
            inside: 0,
            at_least: None,
        }
    }

    fn add(&mut self, at: f64, edge: &Edge) {
        if self.weight == 0.0 {
            if edge.cut {
                self.reach(at);
            } else {
                self.start(at, edge);
            }
            return;
        }
        let outside = (at - self.weighted_sum / self.weight) * self.outwards;
        let (own_box, own_mounting) = self.sigmas_metres();
        let sigma = edge.box_sigma_metres.hypot(own_box).hypot(edge.mounting_sigma_metres - own_mounting);
        let surprising = outside.abs() > OUTLIER_METRES + OUTLIER_SIGMAS * sigma;
        match (surprising, outside > 0.0) {
            (true, true) => {
                self.outside_in_a_row += 1;
                // At few frames a second the first such view may be the only one.
                if self.used <= 2 || self.outside_in_a_row >= 2 {
                    self.start(at, edge);
                }
            }
            (true, false) if !edge.cut => {
                self.inside += 1;
                if self.inside > self.used {
                    self.start(at, edge);
                }
            }
            (false, _) if !edge.cut => {
                self.outside_in_a_row = 0;
                self.take(at, edge);
            }
            _ => {}
        }
    }

    fn start(&mut self, at: f64, edge: &Edge) {
        *self = Self { at_least: None, ..Self::new(self.outwards) };
        self.take(at, edge);
    }

    fn take(&mut self, at: f64, edge: &Edge) {
        let weight = edge.sigma_metres().max(0.01).powi(-2);
        self.weight += weight;
        self.weighted_sum += weight * at;
        self.box_sum += (weight * edge.box_sigma_metres).powi(2);
        self.mounting_sum += weight * edge.mounting_sigma_metres;
        self.used += 1;
    }

    fn reach(&mut self, at: f64) {
        let outermost = self.at_least.map_or(at, |old| if (at - old) * self.outwards > 0.0 { at } else { old });
        self.at_least = Some(outermost);
    }

    fn metres(&self) -> f64 {
        let mean = (self.weight > 0.0).then(|| self.weighted_sum / self.weight);
        match (mean, self.at_least) {
            (Some(mean), Some(least)) if (least - mean) * self.outwards > 0.0 => least,
            (Some(mean), _) => mean,
            (None, least) => least.unwrap_or(0.0),
        }
    }

    /// From the boxes and from the mounting; an edge that was always cut off is known to half a metre at best.
    fn sigmas_metres(&self) -> (f64, f64) {
        if self.weight > 0.0 {
            (self.box_sum.sqrt() / self.weight, self.mounting_sum / self.weight)
        } else {
            (0.5, 0.0)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackEstimate {
    origin: EastNorth,
    heading_degrees: f64,
    near: EdgeEstimate,
    far: EdgeEstimate,
    right: EdgeEstimate,
    left: EdgeEstimate,
}

impl TrackEstimate {
    /// An empty estimate whose axes are those of this observation.
    #[must_use]
    pub fn new(view: &View, first: &LocatedBox) -> Self {
        Self {
            origin: view.local_from_ground(first.footprint.centre()),
            heading_degrees: view.heading_degrees,
            near: EdgeEstimate::new(-1.0),
            far: EdgeEstimate::new(1.0),
            right: EdgeEstimate::new(-1.0),
            left: EdgeEstimate::new(1.0),
        }
    }

    pub fn add(&mut self, located: &LocatedBox, view: &View) {
        let seen = self.extent_in_track_axes(located, view);
        self.near.add(seen.near, &located.near);
        self.far.add(seen.far, &located.far);
        self.right.add(seen.right, &located.right);
        self.left.add(seen.left, &located.left);
    }

    /// A footprint of the present frame in this track's axes. Its centre is turned exactly; its sides keep their lengths.
    #[must_use]
    pub fn extent_in_track_axes(&self, located: &LocatedBox, view: &View) -> Extent {
        let (along, left) = self.axes_from_local(view.local_from_ground(located.footprint.centre()));
        let (half_length, half_width) =
            (0.5 * located.footprint.length_metres(), 0.5 * located.footprint.width_metres());
        Extent {
            near: along - half_length,
            far: along + half_length,
            right: left - half_width,
            left: left + half_width,
        }
    }

    #[must_use]
    pub fn extent(&self) -> Extent {
        let (near, far) = ordered(self.near.metres(), self.far.metres());
        let (right, left) = ordered(self.right.metres(), self.left.metres());
        Extent { near, far, right, left }
    }

    /// Differences of centres, along and left.
    #[must_use]
    pub fn centre_difference(&self, seen: &Extent) -> (f64, f64) {
        let own = self.extent();
        let centre = |e: &Extent| (0.5 * (e.near + e.far), 0.5 * (e.right + e.left));
        let (a, b) = (centre(&own), centre(seen));
        (b.0 - a.0, b.1 - a.1)
    }

    #[must_use]
    pub fn centre(&self) -> EastNorth {
        let e = self.extent();
        self.local_from_axes(0.5 * (e.near + e.far), 0.5 * (e.right + e.left))
    }

    #[must_use]
    pub fn corners(&self) -> [EastNorth; 4] {
        let e = self.extent();
        [(e.near, e.right), (e.far, e.right), (e.far, e.left), (e.near, e.left)]
            .map(|(a, l)| self.local_from_axes(a, l))
    }

    /// Sigmas of the edges along, the larger of both: from the boxes and from the mounting.
    #[must_use]
    pub fn sigmas_along_metres(&self) -> (f64, f64) {
        larger(self.near.sigmas_metres(), self.far.sigmas_metres())
    }

    /// As above, across.
    #[must_use]
    pub fn sigmas_left_metres(&self) -> (f64, f64) {
        larger(self.right.sigmas_metres(), self.left.sigmas_metres())
    }

    #[must_use]
    pub fn area(&self) -> f64 {
        self.extent().area()
    }

    /// Another track's extent in these axes. Its centre is turned exactly; its sides keep their lengths.
    #[must_use]
    pub fn extent_of(&self, other: &Self) -> Extent {
        let theirs = other.extent();
        let (along, left) = self.axes_from_local(other.centre());
        let (half_length, half_width) = (0.5 * theirs.length_metres(), 0.5 * theirs.width_metres());
        Extent {
            near: along - half_length,
            far: along + half_length,
            right: left - half_width,
            left: left + half_width,
        }
    }

    /// Reaches out to where the other one ends.
    pub fn absorb(&mut self, other: &Self) {
        let theirs = self.extent_of(other);
        self.near.reach(theirs.near);
        self.far.reach(theirs.far);
        self.right.reach(theirs.right);
        self.left.reach(theirs.left);
    }

    /// Of the centre, east/north: boxes and mounting, without GNSS and heading.
    #[must_use]
    pub fn covariance(&self) -> Covariance {
        // Errors of boxes are independent on both sides, those of the mounting move both sides alike.
        let variance = |a: (f64, f64), b: (f64, f64)| 0.25 * (a.0 * a.0 + b.0 * b.0) + (0.5 * (a.1 + b.1)).powi(2);
        let in_axes = Covariance {
            east_east: variance(self.near.sigmas_metres(), self.far.sigmas_metres()),
            east_north: 0.0,
            north_north: variance(self.right.sigmas_metres(), self.left.sigmas_metres()),
        };
        crate::edge::locate::turned_to_world(in_axes, self.heading_degrees)
    }

    #[must_use]
    pub fn heading_degrees(&self) -> f64 {
        self.heading_degrees
    }

    fn axes_from_local(&self, point: EastNorth) -> (f64, f64) {
        let d = direction_of(self.heading_degrees);
        let (e, n) = (point.east_metres - self.origin.east_metres, point.north_metres - self.origin.north_metres);
        (e * d.east_metres + n * d.north_metres, n * d.east_metres - e * d.north_metres)
    }

    fn local_from_axes(&self, along: f64, left: f64) -> EastNorth {
        let d = direction_of(self.heading_degrees);
        EastNorth::new(
            self.origin.east_metres + along * d.east_metres - left * d.north_metres,
            self.origin.north_metres + along * d.north_metres + left * d.east_metres,
        )
    }
}

fn larger(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0.max(b.0), a.1.max(b.1))
}

/// Edges estimated from different frames may cross by a few centimetres on very small things.
fn ordered(low: f64, high: f64) -> (f64, f64) {
    if low <= high { (low, high) } else { (0.5 * (low + high) - 0.01, 0.5 * (low + high) + 0.01) }
}
