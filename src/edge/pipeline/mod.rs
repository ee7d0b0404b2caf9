//! The stages in a row: source → fix → detector → judge → reporter → spool.
//!
//! The calling thread judges; one more per camera reads its source. All are plain threads: nothing here waits for the network.

mod drafts;
mod driven;
mod feed;
mod marks;
mod outbox;
mod road;
pub mod sight;
mod slot;

pub use self::driven::IsWet;
pub use self::feed::{CameraCounters, Counters, FixAt, Pace, Playback};
pub use self::outbox::{Outbox, OutboxError};
pub use self::road::{CameraFeed, Live, MayRecord, Observer, PipelineError, RoadPipeline, damage_classes, road_judge};
