//! Everything that a simulated camera can see: streets, things drawn on them, things standing beside them, light.

use std::sync::Arc;

use crate::geo::{EastNorth, direction_of};
use crate::world::look::Look;
use crate::world::raster::Raster;
use crate::world::street::{Street, StreetIndex};
use crate::world::textures::Textures;
use crate::world::things::Thing;

/// Where the camera's foot point is and where the vehicle heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    pub position: EastNorth,
    /// Degrees clockwise from north.
    pub heading_degrees: f64,
}

impl Pose {
    /// Vehicle axes (forward, left) of a place, metres.
    #[must_use]
    pub fn vehicle_from_local(&self, place: EastNorth) -> (f64, f64) {
        let ahead = direction_of(self.heading_degrees);
        let (de, dn) = (place.east_metres - self.position.east_metres, place.north_metres - self.position.north_metres);
        (de * ahead.east_metres + dn * ahead.north_metres, -de * ahead.north_metres + dn * ahead.east_metres)
    }

    #[must_use]
    pub fn local_from_vehicle(&self, forward: f64, left: f64) -> EastNorth {
        let ahead = direction_of(self.heading_degrees);
        EastNorth::new(
            self.position.east_metres + forward * ahead.east_metres - left * ahead.north_metres,
            self.position.north_metres + forward * ahead.north_metres + left * ahead.east_metres,
        )
    }
}

/// A drawing that lies on the ground.
#[derive(Debug, Clone)]
pub struct Decal {
    /// Its middle and the direction of its length.
    pub pose: Pose,
    pub length_metres: f32,
    pub width_metres: f32,
    pub raster: Arc<Raster>,
}

#[derive(Debug)]
pub struct Scene {
    pub streets: Vec<Street>,
    pub index: StreetIndex,
    /// In the order of painting: later ones lie on top.
    pub decals: Vec<Decal>,
    pub things: Vec<Thing>,
    pub look: Look,
    pub textures: Arc<Textures>,
}
