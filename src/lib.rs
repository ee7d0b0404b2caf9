//! Umsicht: watches roads from municipal vehicles and water from pool cameras, on the device.
//!
//! The module order is the flow of an event, and also the import order: a module uses only what stands
//! above it in this list. `edge` and `central` never use each other; they meet in `schema` alone.

pub mod clock;
pub mod config;
pub mod failure;
pub mod geo;
pub mod schema;

#[cfg(any(feature = "edge", feature = "central"))]
pub mod mqtt;

#[cfg(feature = "edge")]
pub mod edge;

#[cfg(feature = "edge")]
pub mod models;

#[cfg(feature = "edge")]
pub mod world;

#[cfg(feature = "central")]
pub mod central;

#[cfg(all(feature = "edge", feature = "central"))]
pub mod demo;

pub mod cli;

/// The commit this was built from; reports carry it.
pub const COMMIT: &str = env!("UMSICHT_COMMIT");
/// Version and commit, as `umsicht --version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("UMSICHT_COMMIT"), ")");
