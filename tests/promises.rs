//! One binary for all promises: each module is named after what must be true.

// A test that cannot go on fails; that is what unwrap does.
#![allow(clippy::unwrap_used)]

mod architecture;
mod association;
mod backend_parity;
mod bad_input;
mod blind;
mod broker_access;
mod broker_link;
mod broker_outage;
mod broker_refusal;
mod browser;
mod calibration;
mod cameras;
mod central_coverage;
mod central_devices;
mod central_privacy;
mod central_purge;
mod central_service;
mod cli_help;
mod coco_parity;
mod config_errors;
mod damaged_device;
mod device_service;
mod edge_replay;
mod end_to_end;
mod foreign_model;
mod linking;
mod local_http;
mod marks;
mod model_update;
mod models_drive;
mod models_eval;
mod openapi;
mod own_model;
mod pass_restart;
mod position;
mod privacy;
mod real_drives;
mod schema_compat;
mod shadow;
mod spool_crash;
mod support;
mod systemd;
