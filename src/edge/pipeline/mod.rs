//! The stages in a row: source → fix → detector → judge → reporter → spool.
//!
//! The calling thread judges; a second one reads the source. Both are plain threads: nothing here waits for the network.

mod drafts;
mod feed;
mod outbox;
mod road;
mod slot;

pub use self::feed::{Counters, Playback};
pub use self::outbox::{Outbox, OutboxError};
pub use self::road::{Observer, PipelineError, RoadPipeline, damage_classes, road_judge};
