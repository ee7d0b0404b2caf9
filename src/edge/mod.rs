//! The device: sees, judges, locates, anonymises, reports.
//!
//! Flow, and import order:
//! source → frame (+ fix, captured_at) → preprocess → infer → postprocess → track → judge → locate → anonymise →
//! report → spool → publish.

pub mod camera;
pub mod cli;
pub mod config;
pub mod detection;
pub mod detector;
pub mod fix;
pub mod frame;
pub mod infer;
pub mod postprocess;
pub mod preprocess;
pub mod publish;
pub mod source;
pub mod spool;
