//! How long a frame takes, per backend: whole (resize, run, decode) and the network alone.

use std::path::Path;
use std::time::Instant;

use image::{Rgb, RgbImage};
use serde::Serialize;

use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::model::{Manifest, Model};
use crate::edge::infer::{BackendChoice, BackendSettings, InferError, open_backend};
use crate::models::parity;

#[derive(Debug, Serialize)]
pub struct Timing {
    pub model: String,
    pub backend: &'static str,
    /// Set when the backend could not run; the numbers are then absent.
    pub unavailable: Option<String>,
    pub frames: usize,
    pub threads: usize,
    pub frame_milliseconds: Option<Spread>,
    pub network_milliseconds: Option<Spread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub p95: f64,
}

/// Times each model of a folder (or one) on a picture of 1280×720.
pub fn bench(
    folder: &Path,
    only: Option<&str>,
    frames: usize,
    settings: &BackendSettings,
) -> Result<Vec<Timing>, InferError> {
    let manifest = Manifest::read(folder)?;
    if let Some(name) = only {
        manifest.model(name)?;
    }
    let mut timings = Vec::new();
    for spec in manifest.models.iter().filter(|spec| only.is_none_or(|name| spec.name == name)) {
        let model = Model::from_spec(folder, spec.clone())?;
        for (choice, backend) in [(BackendChoice::Ort, "ort"), (BackendChoice::Tract, "tract")] {
            let settings = BackendSettings { choice, ..settings.clone() };
            let mut timing = Timing {
                model: spec.name.clone(),
                backend,
                unavailable: None,
                frames,
                threads: settings.intra_threads,
                frame_milliseconds: None,
                network_milliseconds: None,
            };
            match time(&model, frames, &settings) {
                Ok((frame, network)) => {
                    timing.frame_milliseconds = Some(frame);
                    timing.network_milliseconds = Some(network);
                }
                Err(error @ InferError::BackendUnavailable { .. }) => timing.unavailable = Some(error.to_string()),
                Err(error) => return Err(error),
            }
            timings.push(timing);
        }
    }
    Ok(timings)
}

fn time(model: &Model, frames: usize, settings: &BackendSettings) -> Result<(Spread, Spread), InferError> {
    let picture = CameraImage::new(RgbImage::from_fn(1280, 720, |x, y| {
        Rgb([(x % 251) as u8, (y % 241) as u8, ((x / 7 + y / 5) % 239) as u8])
    }));
    let mut detector = Detector::from_model(model, settings)?;
    let whole = measure(frames, || detector.detect(&picture).map(drop))?;
    let mut backend = open_backend(model, settings)?;
    let (input, mut outputs) = (parity::test_input(&model.spec), Vec::new());
    let network = measure(frames, || backend.run(&input, &mut outputs))?;
    Ok((whole, network))
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
    fn quantiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(spread(&mut values), Spread { median: 50.0, p95: 95.0 });
        assert_eq!(spread(&mut [3.0]), Spread { median: 3.0, p95: 3.0 });
    }
}
