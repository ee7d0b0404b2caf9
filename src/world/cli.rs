//! `umsicht simulate …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::world::pictures::{self, PicturesJob};
use crate::world::split::{Split, UnknownSplit};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes simulated pictures with labels, for training and trying a road model.
    Pictures(PicturesArguments),
}

#[derive(Debug, Args)]
pub struct PicturesArguments {
    /// Which family of textures, light and damage shapes: train, validation or test.
    #[arg(long, value_name = "SPLIT", value_parser = parse_split)]
    split: Split,
    /// How many pictures.
    #[arg(long, value_name = "N")]
    count: u32,
    /// The same seed gives the same pictures.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Gets images/, labels/ and classes.txt.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_name = "PIXELS", default_value_t = 640, value_parser = clap::value_parser!(u32).range(64..=4096))]
    width: u32,
    #[arg(long, value_name = "PIXELS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(64..=4096))]
    height: u32,
}

fn parse_split(name: &str) -> Result<Split, UnknownSplit> {
    name.parse()
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Pictures(arguments) => arguments.run(),
        }
    }
}

impl PicturesArguments {
    fn run(self) -> Result<(), Failure> {
        let count = self.count;
        let job = PicturesJob {
            split: self.split,
            count,
            seed: self.seed,
            out: self.out,
            width_px: self.width,
            height_px: self.height,
        };
        let summary = pictures::run(&job, |done| {
            if done.pictures % 50 == 0 || done.pictures == count {
                eprint!("\r{} of {count} pictures, {} boxes", done.pictures, done.boxes);
            }
        })
        .map_err(Failure::unavailable)?;
        eprintln!();
        println!(
            "{}: {} simulated pictures ({} without damage), {} boxes",
            job.out.display(),
            summary.pictures,
            summary.without_damage,
            summary.boxes
        );
        Ok(())
    }
}
