//! The town's service: takes events, keeps the damage map, explains the order, serves API and UI.

pub mod model;
pub mod network;
