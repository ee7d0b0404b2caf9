//! The command line: names the subcommands, sets up logging, and turns a [`Failure`] into an exit code.
//!
//! Each subcommand's options and behaviour live in its own module (`edge::cli`, `central::cli`, …), which gives a `Command`
//! and a `run`. Logs and messages go to stderr; stdout carries results only.

mod pages;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

pub use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  umsicht edge check --config /etc/umsicht/edge.toml
      is everything in place: camera, position, model, spool, broker?
  umsicht edge replay --video drive.mp4 --gnss drive.nmea --out events.jsonl
      judge a recorded drive, without a broker
  umsicht edge run --config /etc/umsicht/edge.toml
      the service on the vehicle

Exit codes: 0 fine, 64 bad usage or configuration, 65 bad data, 69 a needed service is missing, 70 a bug.";

/// Watches roads from municipal vehicles, on the device, and tells people only what they need to act.
#[derive(Debug, Parser)]
#[command(name = "umsicht", version = crate::VERSION, after_help = EXAMPLES, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// How much to log to stderr; without it `RUST_LOG` decides, else `info`.
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log: Option<LogLevel>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The device: sees, judges, locates, reports.
    #[cfg(feature = "edge")]
    #[command(subcommand)]
    Edge(crate::edge::cli::Command),
    /// The models: are they what they should be, how fast, how good?
    #[cfg(feature = "edge")]
    #[command(subcommand)]
    Models(crate::models::cli::Command),
    /// The town's service: damage map, priorities, interface.
    #[cfg(feature = "central")]
    #[command(subcommand)]
    Central(crate::central::cli::Command),
    /// The simulated world: pictures with exact truth.
    #[cfg(feature = "edge")]
    #[command(subcommand)]
    Simulate(crate::world::cli::Command),
    /// Everything at once, to see it work: a drive, a device, a broker, a town's damage map.
    #[cfg(all(feature = "edge", feature = "central"))]
    Demo(crate::demo::Command),
    /// Prints what a shell needs to complete these commands.
    #[command(after_help = pages::COMPLETIONS_EXAMPLES)]
    Completions(pages::CompletionsArguments),
    /// Writes the manual: a page for `man` for each command.
    Manual(pages::ManualArguments),
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(command) => command.run(),
            #[cfg(feature = "edge")]
            Self::Models(command) => command.run(),
            #[cfg(feature = "central")]
            Self::Central(command) => command.run(),
            #[cfg(feature = "edge")]
            Self::Simulate(command) => command.run(),
            #[cfg(all(feature = "edge", feature = "central"))]
            Self::Demo(command) => command.run(),
            Self::Completions(arguments) => arguments.run(),
            Self::Manual(arguments) => arguments.run(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Everything `main` does.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_error) => {
            let wrong = help_or_error.use_stderr();
            // A closed stdout or stderr leaves nobody to tell.
            let _ = help_or_error.print();
            return ExitCode::from(if wrong { Failure::usage("").code } else { 0 });
        }
    };
    #[cfg(feature = "edge")]
    if let Err(error) = crate::edge::infer::telemetry::refuse() {
        eprintln!("umsicht: cannot start anew without telemetry of ONNX Runtime: {error}; set ORT_DISABLE_TELEMETRY=1");
        return ExitCode::from(Failure::unavailable("").code);
    }
    start_logging(cli.log);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("umsicht: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn start_logging(level: Option<LogLevel>) {
    let filter = match level {
        Some(level) => EnvFilter::new(match level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "warn,umsicht=info",
            LogLevel::Debug => "info,umsicht=debug",
            LogLevel::Trace => "debug,umsicht=trace",
        }),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,umsicht=info")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
