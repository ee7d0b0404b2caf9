//! A simulated town with exact truth. Whatever comes from here is called simulated.
//!
//! dice, noise → split → raster, textures, shape → street, things, look → scene → optics → render → damage (truth) →
//! pictures for training, town and drive for the demo.

pub mod cli;
pub mod damage;
pub mod dice;
pub mod drive;
pub mod look;
pub mod noise;
pub mod optics;
mod paint;
pub mod pictures;
pub mod raster;
pub mod render;
pub mod roadside;
pub mod route;
pub mod scene;
pub mod score;
pub mod shape;
pub mod source;
pub mod split;
pub mod street;
pub mod style;
mod surface;
pub mod textures;
pub mod things;
pub mod town;

pub use drive::Drive;
pub use source::WorldSource;
pub use split::Split;
pub use town::Town;
