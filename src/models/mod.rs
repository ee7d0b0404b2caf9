//! Judging the models themselves: are the files what they should be, how fast are they, how well do they find things?

pub mod cli;
