//! The town's service: takes events, keeps the damage map, explains the order, serves API and UI.

pub mod associate;
pub mod grade;
pub mod model;
pub mod network;
pub mod prioritise;
pub mod profile;

#[cfg(test)]
mod testing;
