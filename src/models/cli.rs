//! `umsicht models …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::edge::infer::model::Model;
use crate::edge::infer::{InferError, probe};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tries ONNX Runtime in this process; started by umsicht itself.
    #[command(hide = true)]
    Probe(ProbeArguments),
}

#[derive(Debug, Args)]
pub struct ProbeArguments {
    #[arg(long)]
    library: PathBuf,
    #[arg(long)]
    models: PathBuf,
    #[arg(long)]
    model: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Probe(arguments) => arguments.run(),
        }
    }
}

impl ProbeArguments {
    fn run(self) -> Result<(), Failure> {
        let model = Model::read(&self.models, &self.model).map_err(InferError::from)?;
        probe::run(&probe::Job { library: &self.library, model: &model, intra_threads: self.threads })?;
        println!("{}", probe::WORD);
        Ok(())
    }
}
