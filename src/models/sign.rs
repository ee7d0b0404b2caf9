//! `umsicht models keygen` and `umsicht models sign`: models on their way to devices; `edge::update` is the other end.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::clock::{Clock, SystemClock};
use crate::edge::infer::{BackendChoice, InferError};
use crate::edge::update::bundle::{About, Bundle};
use crate::edge::update::files_of;
use crate::edge::update::key::{self, KeyError, PrivateKey};
use crate::failure::Failure;
use crate::models::cli::RuntimeArguments;
use crate::models::verify;

pub const KEYGEN_EXAMPLES: &str = "\
Example:
  umsicht models keygen --private models.private --public models.public

The private key signs bundles: keep it off the devices and off the server, with a copy in a safe place. The public key
goes to each device, where update.public_key_file names it. Neither file is ever overwritten.";

pub const SIGN_EXAMPLES: &str = "\
Example:
  umsicht models sign --models models --key models.private --bundle-version 12 --out models-12.umsicht-models

The models are verified first, as `umsicht models verify` does, and each must have a golden picture. A device takes a
bundle only when its version is higher than any that was ever activated on it.";

#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// Where the private key goes; only its owner can read it.
    #[arg(long, value_name = "FILE")]
    private: PathBuf,
    /// Where the public key goes.
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
}

impl KeygenArguments {
    pub fn run(self) -> Result<(), Failure> {
        key::generate(&self.private, &self.public).map_err(|error| match error {
            KeyError::Exists(_) => Failure::usage(error),
            _ => Failure::unavailable(error),
        })
    }
}

#[derive(Debug, Args)]
pub struct SignArguments {
    /// Folder with manifest.toml and the model files.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// The private key, see `umsicht models keygen`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Higher than that of each bundle before.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=999_999_999))]
    bundle_version: u64,
    /// What is new, for people.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Where the bundle goes; devices take files that end in .umsicht-models.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl SignArguments {
    pub fn run(self) -> Result<(), Failure> {
        let key = PrivateKey::read(&self.key).map_err(Failure::usage)?;
        let settings = self.runtime.settings(BackendChoice::Auto);
        let findings = verify::verify(&self.models, &settings).map_err(InferError::from)?;
        let of_models = findings.models.iter().flat_map(|model| &model.problems);
        let problems: Vec<&str> = of_models.chain(&findings.problems).map(String::as_str).collect();
        if !problems.is_empty() {
            let told = problems.join("\n  ");
            return Err(Failure::data(format!("{} is not signed:\n  {told}", self.models.display())));
        }
        let about = About { version: self.bundle_version, made_at: SystemClock.now(), note: self.note };
        let bundle = Bundle::seal(&about, contents(&self.models)?, &key)?;
        fs::write(&self.out, &bundle).map_err(|e| Failure::unavailable(format!("{}: {e}", self.out.display())))?;
        println!("{}: version {}, {} bytes", self.out.display(), about.version, bundle.len());
        Ok(())
    }
}

/// The files that belong to the models, by name.
fn contents(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let read = |name: String| {
        let path = folder.join(&name);
        let content = fs::read(&path).map_err(|e| Failure::data(format!("{}: {e}", path.display())))?;
        Ok((name, content))
    };
    files_of(folder)?.into_iter().map(read).collect()
}
