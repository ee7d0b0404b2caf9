//! Judging the models themselves: are the files what they should be, how fast are they, how well do they find things?

pub mod bench;
pub mod binomial;
pub mod bootstrap;
pub mod cli;
pub mod confusion;
pub mod cover;
pub mod drive;
pub mod eval;
pub mod extent;
pub mod groups;
pub mod labels;
pub mod mask;
pub mod matching;
pub mod metrics;
pub mod parity;
pub mod sign;
pub mod verify;
