//! Runs a model: one float tensor in, float tensors out.
//!
//! Two backends: ONNX Runtime where a `libonnxruntime` exists and works on this machine, tract everywhere. Both get the model's
//! bytes after their hash was checked, so that what was checked is what runs.

pub mod layout;
pub mod library;
pub(in crate::edge) mod manifest;
pub mod model;
#[cfg(feature = "ort")]
mod ort;
pub mod probe;
pub mod provider;
#[cfg(any(feature = "ort", feature = "tract"))]
mod signature;
pub mod telemetry;
#[cfg(feature = "tract")]
mod tract;

use std::path::PathBuf;

use self::model::{Model, ModelError};
use self::provider::Provider;
use crate::failure::Failure;

/// Floats in row-major order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Tensor {
    #[must_use]
    pub fn filled(shape: &[usize], value: f32) -> Self {
        Self { shape: shape.to_vec(), data: vec![value; shape.iter().product()] }
    }

    /// Takes over shape and values, keeping its memory.
    pub fn copy_from(&mut self, shape: impl Iterator<Item = usize>, data: &[f32]) {
        self.shape.clear();
        self.shape.extend(shape);
        self.data.clear();
        self.data.extend_from_slice(data);
    }
}

/// A loaded model.
pub trait Backend: Send {
    /// `tract`, `ort`, or `ort+` and the provider that computes.
    fn name(&self) -> &'static str;

    /// Names of the graph's outputs, in its order.
    fn output_names(&self) -> &[String];

    /// `outputs` are in the order of the model's graph; their memory is kept from call to call.
    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), InferError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// ONNX Runtime where it is found and works, else tract with a warning that says why.
    #[default]
    Auto,
    Ort,
    Tract,
}

/// How to run models on this machine; the default suits a device whose packages are installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSettings {
    pub choice: BackendChoice,
    /// Of ONNX Runtime, in order of preference; the processor stands behind them all.
    pub providers: Vec<Provider>,
    /// More than one pays only on a machine with idle cores.
    pub intra_threads: usize,
    /// `libonnxruntime`, or a folder that holds it; `None` looks in the usual places.
    pub onnxruntime: Option<PathBuf>,
    /// The `umsicht` binary that tries the library in a process of its own; `None` is the running program, if it is umsicht.
    pub probe_program: Option<PathBuf>,
}

impl Default for BackendSettings {
    fn default() -> Self {
        Self {
            choice: BackendChoice::Auto,
            providers: Vec::new(),
            intra_threads: 1,
            onnxruntime: None,
            probe_program: None,
        }
    }
}

impl BackendSettings {
    #[must_use]
    pub fn with_choice(choice: BackendChoice) -> Self {
        Self { choice, ..Self::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InferError {
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Another backend may work.
    #[error("the backend {backend} cannot be used: {reason}")]
    BackendUnavailable { backend: &'static str, reason: String },
    #[error("{}: {backend} cannot load this model: {reason}", path.display())]
    Load { backend: &'static str, path: PathBuf, reason: String },
    #[error("{backend} failed while running the model: {reason}")]
    Run { backend: &'static str, reason: String },
    #[error(
        "the layout {layout:?} with {classes} classes wants output of the shape {wanted}, the model answers with {found}{}",
        likely.map_or_else(String::new, |name| format!("; that would fit the layout {name:?}"))
    )]
    OutputShape { layout: &'static str, classes: usize, wanted: String, found: String, likely: Option<&'static str> },
    #[error("the extent mask wants a second output of the shape {wanted:?}, the model answers with {found:?}")]
    ExtentShape { wanted: [usize; 4], found: Vec<usize> },
    #[error("the manifest names the output {wanted:?}, the model's graph has {}", found.join(", "))]
    OutputName { wanted: String, found: Vec<String> },
    #[error("the manifest describes an input of {wanted:?}, the model's graph takes {found}")]
    Input { wanted: [usize; 4], found: String },
    #[error(
        "the model's output holds a value that is not finite (number {index}); nothing it says of this picture counts"
    )]
    NotFinite { index: usize },
    #[error("the layout {layout:?} found a score of {found}; scores are 0 to 1: does the network answer logits?")]
    NotAScore { layout: &'static str, found: f32 },
    #[error("the model answers with the class number {found}; the manifest names {classes} classes")]
    ClassNumber { found: f32, classes: usize },
    #[error("a picture of {width_px}×{height_px} pixels cannot be judged")]
    Picture { width_px: u32, height_px: u32 },
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        match &error {
            InferError::Model(ModelError::Unknown { .. }) => Self::usage(error),
            InferError::BackendUnavailable { .. } => Self::unavailable(error),
            _ => Self::data(error),
        }
    }
}

/// Loads `model` with the chosen backend; the one place that knows which backends were built in.
pub fn open_backend(model: &Model, settings: &BackendSettings) -> Result<Box<dyn Backend>, InferError> {
    match settings.choice {
        BackendChoice::Tract => open_tract(model),
        BackendChoice::Ort => open_ort(model, settings),
        BackendChoice::Auto => match open_ort(model, settings) {
            Ok(backend) => Ok(backend),
            Err(reason) => {
                if cfg!(feature = "tract") {
                    tracing::warn!(
                        model = model.spec.name,
                        "{reason}; tract runs the model instead, which takes several times as long"
                    );
                }
                open_tract(model)
            }
        },
    }
}

#[cfg(feature = "ort")]
fn open_ort(model: &Model, settings: &BackendSettings) -> Result<Box<dyn Backend>, InferError> {
    let unavailable = |reason: String| InferError::BackendUnavailable { backend: "ort", reason };
    let library = library::find(settings.onnxruntime.as_deref()).map_err(|e| unavailable(e.to_string()))?;
    let job =
        probe::Job { library: &library, model, providers: &settings.providers, intra_threads: settings.intra_threads };
    probe::in_child(&job, settings.probe_program.as_deref()).map_err(|e| unavailable(e.to_string()))?;
    ort::open(model, &library, &settings.providers, settings.intra_threads)
}

#[cfg(not(feature = "ort"))]
fn open_ort(_: &Model, _: &BackendSettings) -> Result<Box<dyn Backend>, InferError> {
    Err(InferError::BackendUnavailable { backend: "ort", reason: "this program was built without it".into() })
}

/// Loads and runs once without a child process in between: what the child itself does.
#[cfg(feature = "ort")]
fn open_ort_unprobed(
    model: &Model,
    library: &std::path::Path,
    providers: &[Provider],
    intra_threads: usize,
) -> Result<Box<dyn Backend>, InferError> {
    ort::open(model, library, providers, intra_threads)
}

#[cfg(not(feature = "ort"))]
fn open_ort_unprobed(_: &Model, _: &std::path::Path, _: &[Provider], _: usize) -> Result<Box<dyn Backend>, InferError> {
    Err(InferError::BackendUnavailable { backend: "ort", reason: "this program was built without it".into() })
}

#[cfg(feature = "tract")]
fn open_tract(model: &Model) -> Result<Box<dyn Backend>, InferError> {
    tract::open(model)
}

#[cfg(not(feature = "tract"))]
fn open_tract(_: &Model) -> Result<Box<dyn Backend>, InferError> {
    Err(InferError::BackendUnavailable { backend: "tract", reason: "this program was built without it".into() })
}
