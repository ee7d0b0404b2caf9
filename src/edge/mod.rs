//! The device: sees, judges, locates, anonymises, reports.
//!
//! Flow, and import order:
//! source → frame (+ fix, captured_at) → preprocess → infer → postprocess, extent → locate → anonymise → track → judge →
//! coverage → report → pass → batch → spool → link → publish.

pub mod anonymise;
pub mod batch;
pub mod bench;
pub mod blind;
pub mod calibrate;
pub mod camera;
pub mod cell;
pub mod check;
pub mod cli;
pub mod commission;
pub mod config;
pub mod coverage;
pub mod danger;
pub mod detection;
pub mod detector;
pub mod device_clock;
pub mod extent;
pub mod fix;
pub mod frame;
pub mod golden;
pub mod health;
pub mod infer;
pub mod judge;
pub mod link;
pub mod local;
pub mod locate;
pub mod machine;
pub mod mask;
pub mod pass;
pub mod pipeline;
pub mod postprocess;
pub mod preprocess;
pub mod publish;
pub mod reload;
pub mod replay;
pub mod report;
pub mod run;
pub mod shadow;
pub mod source;
pub mod spool;
pub mod status;
pub mod status_cli;
pub mod track;
pub mod update;
pub mod vehicle;
pub mod watchdog;
pub mod yuv;
pub mod zones;
