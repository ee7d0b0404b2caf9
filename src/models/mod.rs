//! Judging the models themselves: are the files what they should be, how fast are they, how well do they find things?

pub mod bench;
pub mod cli;
pub mod eval;
pub mod labels;
pub mod matching;
pub mod metrics;
pub mod parity;
pub mod verify;
