//! `umsicht edge bench`

use std::path::PathBuf;

use clap::Args;

use crate::edge::bench::{Job, Part, bench, here};
use crate::edge::config::EdgeConfig;
use crate::edge::fix::settings::GnssSource;
use crate::edge::infer::BackendSettings;
use crate::edge::source::SourceConfig;
use crate::edge::update::models_folder;
use crate::failure::Failure;

pub const EXAMPLES: &str = "\
Examples:
  umsicht edge bench --video drive.mp4 --gnss drive.nmea
      how much processor time a frame takes, and what part of it is our own work
  umsicht edge bench --config /etc/umsicht/edge.toml --video drive.mp4 --gnss drive.nmea --json
      with the models and the backend of this device

The limit is what cannot be avoided: decoding and scaling the video, and running the network, each measured alone in the
same run. cpu_ratio_to_limit is the whole pipeline over their sum; pictures of damages, made once per damage, are left out.";

#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Takes model and backend from it, and its first camera's video where no other is given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A recorded drive.
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// The NMEA or GPX log of that drive.
    #[arg(long, value_name = "FILE")]
    gnss: Option<PathBuf>,
    /// Folder with manifest.toml and the model files; otherwise the configuration's, or models.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[arg(long, value_name = "NAME", default_value = "road")]
    model: String,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Each part is measured so often; the least counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of ONNX Runtime; otherwise the configuration's, or 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// The library of ONNX Runtime, or a folder that holds it; else `ORT_DYLIB_PATH` or the usual places.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    /// Measures one part in this process; started by umsicht itself.
    #[arg(long, hide = true, value_enum)]
    part: Option<Part>,
}

impl BenchArguments {
    pub fn run(self) -> Result<(), Failure> {
        let (part, json) = (self.part, self.json);
        let job = self.job()?;
        if let Some(part) = part {
            println!("{}", serde_json::to_string(&here(&job, part)?).map_err(Failure::bug)?);
            return Ok(());
        }
        let program = std::env::current_exe().map_err(Failure::bug)?;
        let result = bench(&job, &program)?;
        if json {
            println!("{}", serde_json::to_string_pretty(&result).map_err(Failure::bug)?);
        } else {
            println!("{}", result.describe());
        }
        Ok(())
    }

    fn job(self) -> Result<Job, Failure> {
        let config = self.config.as_deref().map(EdgeConfig::read).transpose()?;
        let configured = config.as_ref().and_then(|config| match &config.first_camera().settings.source {
            SourceConfig::File { path } => Some(path.clone()),
            _ => None,
        });
        let video = self.video.or(configured);
        let video = video.ok_or_else(|| Failure::usage("which video is to be judged? write --video drive.mp4"))?;
        let gnss = self.gnss.or(config.as_ref().and_then(|config| match &config.gnss.source {
            GnssSource::File { path } => Some(path.clone()),
            _ => None,
        }));
        let gnss = gnss.ok_or_else(|| Failure::usage("which log belongs to it? write --gnss drive.nmea"))?;
        let backend = config.as_ref().map_or_else(BackendSettings::default, |config| config.model.backend.clone());
        Ok(Job {
            video,
            gnss,
            models: self.models.or(config.as_ref().map(models_folder)).unwrap_or_else(|| "models".into()),
            model: self.model,
            backend: BackendSettings {
                intra_threads: self.threads.map_or(backend.intra_threads, usize::from),
                onnxruntime: self.onnxruntime.or(backend.onnxruntime.clone()),
                ..backend
            },
            frames: self.frames,
            rounds: self.rounds,
        })
    }
}
