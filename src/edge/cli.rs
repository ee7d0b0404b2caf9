//! `umsicht edge …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::edge::bench::cli::{BenchArguments, EXAMPLES as BENCH_EXAMPLES};
use crate::edge::calibrate::cli::{self as calibrate, CalibrateArguments};
use crate::edge::check::check;
use crate::edge::commission::cli::{self as commission, CommissionArguments};
use crate::edge::config::EdgeConfig;
use crate::edge::replay::Replay;
use crate::edge::report::PassId;
use crate::edge::run::run;
use crate::edge::status_cli::{self, StatusArguments};
use crate::edge::update::hand;
use crate::failure::Failure;

const RUN_EXAMPLES: &str = "\
Example:
  umsicht edge run --config /etc/umsicht/edge.toml

Stops in order on SIGTERM; what was committed and not sent waits in the spool for the next start.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  umsicht edge replay --video drive.mp4 --gnss drive.nmea --out events.jsonl
      one CloudEvent per line; the camera is assumed, so positions are indications
  umsicht edge replay --config edge-road.toml --video pictures/ --gnss drive.gpx --out events.jsonl
      a folder of pictures, with the measured camera; pictures/times.csv may give their times
  umsicht edge replay --video drive.mp4 --gnss drive.nmea --out events.jsonl --detections boxes.jsonl
      also every box of every frame

The first picture is taken to be of the time of the first fix.";

const CHECK_EXAMPLES: &str = "\
Example:
  umsicht edge check --config /etc/umsicht/edge.toml

Exit codes: 0 all is in place (there may be warnings), 64 the configuration is wrong, 69 something is missing.";

const UPDATE_EXAMPLES: &str = "\
Example:
  umsicht edge update --config /etc/umsicht/edge.toml --bundle models-12.umsicht-models

Needs the section [update] of the configuration. The models are tried on this device before they are used; while the
service runs it goes on judging and takes them between two frames. New models are on trial until they have judged 100
frames or worked for a minute, and the device goes back by itself when they fail in that time.
`umsicht models sign` makes bundles.";

const ROLLBACK_EXAMPLES: &str = "\
Example:
  umsicht edge rollback --config /etc/umsicht/edge.toml

Goes to the models before, or to those that came with the program. The version that was in use is not taken again.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The service: judges what the camera sees and reports it to the broker.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Looks whether everything is in place, and says what to do about what is not.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Asks the running service how it is, and prints one page: what is wrong first, each with what to do.
    #[command(after_help = status_cli::EXAMPLES)]
    Status(StatusArguments),
    /// Judges a recorded drive without a broker, as fast as possible, and writes the events to a file.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArguments),
    /// How much processor time a frame takes on this device, against the least that it could take.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArguments),
    /// Measures how the camera is mounted, from what it sees.
    #[command(after_help = calibrate::EXAMPLES)]
    Calibrate(CalibrateArguments),
    /// Accepts a device on site: compares a pass with measured objects, and signs the report.
    #[command(after_help = commission::EXAMPLES)]
    Commission(CommissionArguments),
    /// Takes new models from a signed bundle, whether the service runs or not.
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(UpdateArguments),
    /// Goes back to the models before the last update.
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArguments),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Run(arguments) => arguments.run(),
            Self::Check(arguments) => arguments.run(),
            Self::Status(arguments) => arguments.run(),
            Self::Replay(arguments) => arguments.run(),
            Self::Bench(arguments) => arguments.run(),
            Self::Calibrate(arguments) => arguments.run(),
            Self::Commission(arguments) => arguments.run(),
            Self::Update(arguments) => arguments.run(),
            Self::Rollback(arguments) => arguments.run(),
        }
    }
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// The device's settings; config/edge-road.toml is a commented example.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Names the pass, for tests; else it is random.
    #[arg(long, value_name = "ID", value_parser = pass_id)]
    pass_id: Option<PassId>,
}

impl RunArguments {
    fn run(self) -> Result<(), Failure> {
        run(&self.config, self.pass_id.as_ref())
    }
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The device's settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl CheckArguments {
    fn run(self) -> Result<(), Failure> {
        let config = EdgeConfig::read(&self.config)?;
        println!("ok    config         {}", self.config.display());
        let findings = check(&config);
        for finding in &findings {
            println!("{finding}");
        }
        let failed: Vec<&str> = findings.iter().filter(|f| f.failed()).map(|f| f.check.as_str()).collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Failure::unavailable(format!("not in place: {}", failed.join(", "))))
        }
    }
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Camera, model and site as on a device; without it a survey camera is assumed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder with manifest.toml, when there is no configuration.
    #[arg(long, value_name = "DIR", default_value = "models", conflicts_with = "config")]
    models: PathBuf,
    /// A video file, or a folder of pictures.
    #[arg(long, value_name = "PATH")]
    video: PathBuf,
    /// Where the vehicle was: NMEA 0183 (RMC and GGA) or GPX.
    #[arg(long, value_name = "FILE")]
    gnss: PathBuf,
    /// Where the events go, one CloudEvent per line.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where every box of every frame goes, one per line.
    #[arg(long, value_name = "FILE")]
    detections: Option<PathBuf>,
    /// Names the pass: the same drive twice under different names is two passes. Else it is random.
    #[arg(long, value_name = "ID", value_parser = pass_id)]
    pass_id: Option<PassId>,
}

impl ReplayArguments {
    fn run(self) -> Result<(), Failure> {
        let Self { config, models, video, gnss, out, detections, pass_id } = self;
        eprintln!("{}", Replay { config, models, video, gnss, out, detections, pass_id }.run()?);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// The device's settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The signed models.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
}

impl UpdateArguments {
    fn run(self) -> Result<(), Failure> {
        println!("{}", hand::update(&EdgeConfig::read(&self.config)?, &self.bundle)?);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The device's settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl RollbackArguments {
    fn run(self) -> Result<(), Failure> {
        println!("{}", hand::roll_back(&EdgeConfig::read(&self.config)?)?);
        Ok(())
    }
}

fn pass_id(text: &str) -> Result<PassId, String> {
    PassId::from_text(text).ok_or_else(|| "is empty; write any name".into())
}
