//! What travels between device and town: the events, their evidence and the topics they travel under.
//!
//! This is the only vocabulary that `edge` and `central` share. A payload becomes a typed event or a rejected one
//! with its reason; nothing half-read goes further.

pub mod blind;
pub mod coverage;
pub mod damage;
pub mod danger;
pub mod device_tag;
pub mod event;
pub mod evidence;
pub mod health;
pub mod sight;
pub mod topic;

pub use blind::BlindReason;
pub use coverage::{RoadCoverage, Unusable};
pub use damage::DamageClass;
pub use danger::{DriverMark, RoadDanger};
pub use device_tag::DeviceSecret;
pub use event::{DeviceTag, Event, EventId, EventKind, ModelRef, Ordinal, PassTag, RejectedEvent, RoadDamage};
pub use evidence::Evidence;
pub use health::DeviceHealth;
pub use sight::{DeviceBlind, DeviceRecovered};
pub use topic::Topic;
