//! Acceptance on site: a pass along objects that were measured before, and a signed report of how far off the device was.
//!
//! objects (CSV of the technician) + sightings (events of the pass) → compare → report → seal. The numbers hold for this vehicle,
//! this mounting, this model and this day, and the report says which these were.

pub mod cli;
pub mod compare;
pub mod objects;
pub mod report;
pub mod seal;
