//! The extent of a tracked thing, estimated from its four edges over all frames of a pass.
//!
//! Axes: *along* the heading at the first observation, *left* of it; metres from that observation's centre. Each edge is
//! the inverse-variance mean of the frames in which the picture did not cut it off. Where it always did, or where the
//! observations of an edge wander by more than [`WANDERING_METRES`] (a crack field that goes on), the outermost one counts.

use crate::edge::locate::{Edge, LocatedBox};
use crate::geo::{Covariance, EastNorth, direction_of};

use super::View;

const WANDERING_METRES: f64 = 3.0;

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

    /// Shared area as a share of the smaller one, 0..1.
    #[must_use]
    pub fn overlap_of_smaller(&self, other: &Self) -> f64 {
        let along = (self.far.min(other.far) - self.near.max(other.near)).max(0.0);
        let across = (self.left.min(other.left) - self.right.max(other.right)).max(0.0);
        let smaller = (self.length_metres() * self.width_metres()).min(other.length_metres() * other.width_metres());
        if smaller > 0.0 { along * across / smaller } else { 0.0 }
    }
}

/// One edge over many frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EdgeEstimate {
    weight: f64,
    weighted_sum: f64,
    mounting_sigma_metres: f64,
    lowest: f64,
    highest: f64,
    lowest_whole: f64,
    highest_whole: f64,
    outwards: f64,
}

impl EdgeEstimate {
    fn new(outwards: f64) -> Self {
        Self {
            weight: 0.0,
            weighted_sum: 0.0,
            mounting_sigma_metres: f64::INFINITY,
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
            lowest_whole: f64::INFINITY,
            highest_whole: f64::NEG_INFINITY,
            outwards,
        }
    }

    fn add(&mut self, at: f64, edge: &Edge) {
        self.lowest = self.lowest.min(at);
        self.highest = self.highest.max(at);
        self.mounting_sigma_metres = self.mounting_sigma_metres.min(edge.mounting_sigma_metres);
        if !edge.cut {
            let weight = 1.0 / edge.sigma_metres().max(0.01).powi(2);
            self.weight += weight;
            self.weighted_sum += weight * at;
            self.lowest_whole = self.lowest_whole.min(at);
            self.highest_whole = self.highest_whole.max(at);
        }
    }

    fn metres(&self) -> f64 {
        let outermost = if self.outwards > 0.0 { self.highest } else { self.lowest };
        let wanders = self.highest_whole - self.lowest_whole > WANDERING_METRES;
        if self.weight > 0.0 && !wanders { self.weighted_sum / self.weight } else { outermost }
    }

    fn sigma_metres(&self) -> f64 {
        let from_boxes = if self.weight > 0.0 { self.weight.sqrt().recip() } else { 0.5 };
        from_boxes.hypot(if self.mounting_sigma_metres.is_finite() { self.mounting_sigma_metres } else { 0.0 })
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

    #[must_use]
    pub fn sigma_along_metres(&self) -> f64 {
        0.5 * (self.near.sigma_metres() + self.far.sigma_metres())
    }

    #[must_use]
    pub fn sigma_left_metres(&self) -> f64 {
        0.5 * (self.right.sigma_metres() + self.left.sigma_metres())
    }

    /// Of the centre, east/north: boxes and mounting, without GNSS and heading.
    #[must_use]
    pub fn covariance(&self) -> Covariance {
        let along = self.sigma_along_metres().powi(2);
        let left = self.sigma_left_metres().powi(2);
        let in_axes = Covariance { east_east: along, east_north: 0.0, north_north: left };
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

/// Edges estimated from different frames may cross by a few centimetres on very small things.
fn ordered(low: f64, high: f64) -> (f64, f64) {
    if low <= high { (low, high) } else { (0.5 * (low + high) - 0.01, 0.5 * (low + high) + 0.01) }
}
