//! Where the vehicle was: fixes from GNSS and their interpolation to a frame's capture time.

use time::OffsetDateTime;

use crate::geo::LatLon;

/// Position and course of the antenna at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    pub at: OffsetDateTime,
    pub position: LatLon,
    pub speed_metres_per_second: f64,
    /// Course over ground, degrees clockwise from north; held at standstill.
    pub heading_degrees: f64,
    /// One sigma, horizontal, per axis.
    pub accuracy_metres: f64,
}
