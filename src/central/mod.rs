//! The town's service: takes events, keeps the damage map, explains the order, serves API and UI.

pub mod api;
pub mod assess;
pub mod associate;
pub mod cli;
pub mod config;
pub mod devices;
pub mod enrol;
pub mod export;
pub mod grade;
pub mod ingest;
pub mod message;
pub mod model;
pub mod network;
pub mod prioritise;
pub mod profile;
pub mod purge;
pub mod replay;
pub mod serve;
pub mod shares;
pub mod store;
pub mod training;
pub mod ui;

#[cfg(test)]
mod testing;

pub use serve::{Serving, serve};
