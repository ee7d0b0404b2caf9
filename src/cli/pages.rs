//! What belongs beside an installed program: completions for shells, and the manual. Both are made from the command line's
//! own description, so they know what this binary was built with.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::failure::Failure;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Example:
  umsicht completions bash > ~/.local/share/bash-completion/completions/umsicht

The packages install those for bash, zsh and fish.";

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArguments {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "umsicht", &mut script);
        std::io::stdout().write_all(&script).map_err(|e| Failure::unavailable(format!("stdout: {e}")))
    }
}

#[derive(Debug, Args)]
pub struct ManualArguments {
    /// Where the pages go: umsicht.1, umsicht-edge.1, …
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ManualArguments {
    pub(super) fn run(&self) -> Result<(), Failure> {
        write_manual(&self.out).map_err(|e| Failure::unavailable(format!("{}: {e}", self.out.display())))
    }
}

fn write_manual(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
