//! A model at work: picture in, detections out, in pixels of that picture.

use std::path::Path;

use image::{Rgb, RgbImage};

use crate::edge::detection::Detection;
use crate::edge::extent::ExtentMask;
use crate::edge::frame::CameraImage;
use crate::edge::infer::model::{Model, ModelSpec};
use crate::edge::infer::{self, Backend, BackendChoice, BackendSettings, InferError, Tensor};
use crate::edge::postprocess::Postprocessor;
use crate::edge::preprocess::Preprocessor;
use crate::schema::ModelRef;

pub struct Detector {
    spec: ModelSpec,
    backend: Box<dyn Backend>,
    preprocessor: Preprocessor,
    outputs: Vec<Tensor>,
    postprocessor: Postprocessor,
    extent: Option<ExtentMask>,
}

impl Detector {
    /// Reads the model `name` of a folder, checks its hash and loads it.
    pub fn open(models_dir: &Path, name: &str, backend: BackendChoice) -> Result<Self, InferError> {
        Self::open_with(models_dir, name, &BackendSettings::with_choice(backend))
    }

    pub fn open_with(models_dir: &Path, name: &str, settings: &BackendSettings) -> Result<Self, InferError> {
        Self::from_model(&Model::read(models_dir, name)?, settings)
    }

    pub fn from_model(model: &Model, settings: &BackendSettings) -> Result<Self, InferError> {
        let backend = infer::open_backend(model, settings)?;
        tracing::info!(model = model.spec.name, version = model.spec.version, backend = backend.name(), "model loaded");
        let mut detector = Self {
            preprocessor: Preprocessor::new(model.spec.input.clone()),
            postprocessor: Postprocessor::new(&model.spec, backend.output_names())?,
            spec: model.spec.clone(),
            backend,
            outputs: Vec::new(),
            extent: None,
        };
        detector.try_out()?;
        Ok(detector)
    }

    /// One run on a grey picture: a model whose answer does not fit its manifest is refused before the first frame.
    fn try_out(&mut self) -> Result<(), InferError> {
        let (width, height) = (self.spec.input.width as u32, self.spec.input.height as u32);
        let grey = CameraImage::new(RgbImage::from_pixel(width, height, Rgb([114; 3])));
        self.detect(&grey).map(drop)
    }

    /// What the model finds at the threshold it ships with, best first.
    pub fn detect(&mut self, image: &CameraImage) -> Result<Vec<Detection>, InferError> {
        self.detect_above(image, self.spec.score_threshold)
    }

    /// What the model finds at another threshold, best first.
    pub fn detect_above(&mut self, image: &CameraImage, score_threshold: f32) -> Result<Vec<Detection>, InferError> {
        let (input, letterbox) = self.preprocessor.prepare(image)?;
        self.backend.run(input, &mut self.outputs)?;
        let detections = self.postprocessor.detections(&self.outputs, &letterbox, score_threshold)?;
        self.extent = ExtentMask::read(&self.spec, &self.outputs, letterbox)?;
        Ok(detections)
    }

    /// The extent mask of the picture that was looked at last; `None` for a model without one.
    #[must_use]
    pub fn extent(&self) -> Option<&ExtentMask> {
        self.extent.as_ref()
    }

    #[must_use]
    pub fn model_ref(&self) -> ModelRef {
        self.spec.model_ref()
    }

    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Names by the index that a [`Detection`] carries.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.spec.classes
    }

    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }
}
