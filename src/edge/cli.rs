//! `umsicht edge …`
use crate::failure::Failure;

#[derive(Debug, clap::Subcommand)]
pub enum Command {}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {}
    }
}
