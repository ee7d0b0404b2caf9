//! The models that a pipeline judges with, from one folder.

use std::collections::BTreeMap;
use std::path::Path;

use crate::edge::config::ModelConfig;
use crate::edge::detector::Detector;
use crate::edge::infer::InferError;
use crate::edge::mask::Guard;

/// A road model and who looks for what must not be seen.
pub struct Models {
    pub detector: Detector,
    pub guard: Guard,
}

impl Models {
    /// A privacy model that cannot be opened costs pictures, never events; see `edge::mask`.
    pub fn open(folder: &Path, config: &ModelConfig) -> Result<Self, InferError> {
        let detector = Detector::open_with(folder, &config.name, &config.backend)?;
        Ok(Self { detector, guard: Guard::open(folder, &config.backend) })
    }

    /// Name and version of each.
    #[must_use]
    pub fn in_use(&self) -> BTreeMap<String, String> {
        let spec = |detector: &Detector| (detector.spec().name.clone(), detector.spec().version.clone());
        let privacy = match &self.guard {
            Guard::Model(detector) => Some(spec(detector)),
            Guard::AllowListOnly | Guard::Broken => None,
        };
        std::iter::once(spec(&self.detector)).chain(privacy).collect()
    }
}
