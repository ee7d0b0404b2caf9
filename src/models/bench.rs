//! How long a frame takes, per backend and number of threads: whole (resize, run, decode) and the network alone; and how much memory.
//!
//! Each combination is measured in a process of its own: what one backend keeps would otherwise count against the next, and a
//! process can load ONNX Runtime only once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::model::{Manifest, Model};
use crate::edge::infer::provider::Provider;
use crate::edge::infer::{BackendChoice, BackendSettings, InferError, open_backend};
use crate::models::parity;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub model: String,
    pub backend: String,
    /// Set when the backend could not run; the numbers are then absent.
    pub unavailable: Option<String>,
    pub frames: usize,
    pub threads: usize,
    pub frame_milliseconds: Option<Spread>,
    pub network_milliseconds: Option<Spread>,
    /// Most resident memory of a process that does nothing else, program and libraries included; Linux only.
    pub peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub p95: f64,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Job {
    pub folder: PathBuf,
    /// Only this model.
    pub model: Option<String>,
    pub frames: usize,
    /// For ONNX Runtime; tract runs on one.
    pub threads: Vec<usize>,
    /// Of ONNX Runtime, each for itself.
    pub providers: Vec<Provider>,
    pub onnxruntime: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("{}: {reason}", program.display())]
    Child { program: PathBuf, reason: String },
}

/// Times each model of a folder (or one) on a picture of 1280×720; `program` is umsicht, which measures one combination at a time.
pub fn bench(job: &Job, program: &Path) -> Result<Vec<Timing>, BenchError> {
    let manifest = Manifest::read(&job.folder).map_err(InferError::from)?;
    if let Some(name) = &job.model {
        manifest.model(name).map_err(InferError::from)?;
    }
    let asked = |name: &str| job.model.as_ref().is_none_or(|only| only == name);
    let mut timings = Vec::new();
    for spec in manifest.models.iter().filter(|spec| asked(&spec.name)) {
        for provider in &job.providers {
            for threads in &job.threads {
                timings.push(in_child(job, program, &spec.name, Some(*provider), *threads)?);
            }
        }
        timings.push(in_child(job, program, &spec.name, None, 1)?);
    }
    Ok(timings)
}

/// Without a provider: tract.
fn in_child(
    job: &Job,
    program: &Path,
    model: &str,
    provider: Option<Provider>,
    threads: usize,
) -> Result<Timing, BenchError> {
    let failed = |reason: String| BenchError::Child { program: program.to_owned(), reason };
    let backend = if provider.is_some() { "ort" } else { "tract" };
    let (frames, threads) = (job.frames.to_string(), threads.to_string());
    let mut arguments: Vec<OsString> =
        ["models", "bench", "--json", "--here", backend, "--models"].map(Into::into).into();
    arguments.push(job.folder.clone().into());
    arguments.extend(["--model", model, "--frames", &frames, "--threads", &threads].map(OsString::from));
    if let Some(provider) = provider {
        arguments.extend(["--providers", provider.word()].map(OsString::from));
    }
    if let Some(library) = &job.onnxruntime {
        arguments.extend(["--onnxruntime".into(), library.clone().into()]);
    }
    let output = Command::new(program).args(arguments).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(format!("its measurement cannot be read: {e}")))
}

/// Measures one model with one backend in this process.
pub fn here(folder: &Path, name: &str, frames: usize, settings: &BackendSettings) -> Result<Timing, InferError> {
    let model = Model::read(folder, name)?;
    let asked = match settings.choice {
        BackendChoice::Tract => "tract",
        _ => settings.providers.first().copied().unwrap_or(Provider::Cpu).backend_name(),
    };
    let mut timing = Timing {
        model: name.to_owned(),
        backend: asked.to_owned(),
        unavailable: None,
        frames,
        threads: settings.intra_threads,
        frame_milliseconds: None,
        network_milliseconds: None,
        peak_memory_bytes: None,
    };
    match time(&model, frames, settings) {
        Ok((ran, _, _)) if ran != asked => {
            timing.unavailable = Some(format!("ONNX Runtime skipped it and took {ran}; the notice above says why"));
        }
        Ok((_, frame, network)) => {
            timing.frame_milliseconds = Some(frame);
            timing.network_milliseconds = Some(network);
            timing.peak_memory_bytes = peak_memory_bytes();
        }
        Err(error @ InferError::BackendUnavailable { .. }) => timing.unavailable = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    Ok(timing)
}

/// As the kernel counts it for this process.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}

/// What ran, and how long it took: whole frames, the network alone.
fn time(
    model: &Model,
    frames: usize,
    settings: &BackendSettings,
) -> Result<(&'static str, Spread, Spread), InferError> {
    let picture = CameraImage::new(RgbImage::from_fn(1280, 720, |x, y| {
        Rgb([(x % 251) as u8, (y % 241) as u8, ((x / 7 + y / 5) % 239) as u8])
    }));
    let mut detector = Detector::from_model(model, settings)?;
    let whole = measure(frames, || detector.detect(&picture).map(drop))?;
    let mut backend = open_backend(model, settings)?;
    let (input, mut outputs) = (parity::test_input(&model.spec), Vec::new());
    let network = measure(frames, || backend.run(&input, &mut outputs))?;
    Ok((backend.name(), whole, network))
}

fn measure(frames: usize, mut once: impl FnMut() -> Result<(), InferError>) -> Result<Spread, InferError> {
    // The first runs fill caches and memory pools.
    for _ in 0..3 {
        once()?;
    }
    let mut milliseconds = Vec::with_capacity(frames);
    for _ in 0..frames {
        let started = Instant::now();
        once()?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(spread(&mut milliseconds))
}

/// Nearest-rank quantiles; at least one value.
fn spread(values: &mut [f64]) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values[((part * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1];
    Spread { median: at(0.5), p95: at(0.95) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_what_the_process_holds() {
        let held = vec![1u8; 64 << 20];
        let peak = peak_memory_bytes().unwrap();
        assert!(held.len() as u64 <= peak, "{peak}");
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(spread(&mut values), Spread { median: 50.0, p95: 95.0 });
        assert_eq!(spread(&mut [3.0]), Spread { median: 3.0, p95: 3.0 });
    }
}
