//! New models for a device in the field: taken by itself, tried, and taken back by itself.
//!
//! A [`bundle`] is checked in this order: signature, then form, then version, then what is in it, by a self-test on this device
//! with this device's backend. What passes is activated and on [`trial`] until it has judged enough frames; until then the
//! device goes back by itself when the model fails, is silent, or takes the program down with it. A version that was
//! activated once is never taken again.
//!
//! Invariant: at each moment, power cuts included, the [`store`] names a complete set of models, the old or the new one.

pub mod bundle;
mod contents;
mod disk;
pub mod hand;
mod inbox;
pub mod key;
mod models;
mod refusal;
mod selftest;
pub mod service;
mod state;
mod store;
mod trial;
mod updater;
mod watch;

pub use self::contents::files_of;
pub use self::inbox::ENDING;
pub use self::models::Models;
pub use self::refusal::Refusal;
pub use self::state::State;
pub use self::store::{UpdateError, models_folder, state_of};
pub use self::trial::TrialLimits;
pub use self::updater::{Activated, Tick, Updater};
pub use self::watch::Watch;

/// The command whose payload is a bundle.
pub const COMMAND: &str = "update-models";

/// What the device does with a command that came over the broker; `false` when it is not for this module. What becomes of a
/// bundle stands in the log and in the device's state of health. Takes as long as the self-test: call it on a thread of its own.
pub fn on_command(updater: &Updater, name: &str, payload: &[u8]) -> bool {
    if name != COMMAND {
        return false;
    }
    // Told in the log and counted by the updater.
    let _ = updater.offer(payload, "the broker");
    true
}
