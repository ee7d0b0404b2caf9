//! Does the camera see? Each picture leaves a [`Look`]; [`BlindWatch`] judges from looks and time alone.
//!
//! look → scene (dark, glare, covered), still (frozen), focus (defocused), moved → watch. A camera is judged against its
//! own history wherever it can be: what is plain for one camera is a covered lens for another.

mod dwell;
mod focus;
mod look;
mod moved;
mod policy;
mod scene;
mod still;
#[cfg(test)]
mod tests;
mod watch;

pub use look::{Edges, Look};
pub use moved::{Reference, Shift, UnreadableReference};
pub use policy::{BlindPolicy, Place};
pub use watch::{BlindWatch, Change};
