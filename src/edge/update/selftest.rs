//! Does a folder of models work on this device? Each model opens with the device's backend and finds in its golden picture what
//! it found when it was signed; the road model speaks of road damage.

use std::path::Path;

use crate::edge::config::ModelConfig;
use crate::edge::detector::Detector;
use crate::edge::golden::Golden;
use crate::edge::infer::model::{Manifest, Model, ModelSpec, Task};
use crate::edge::mask::Guard;
use crate::edge::update::models::Models;
use crate::edge::update::refusal::Refusal;
use crate::schema::DamageClass;

/// The models, opened; what was tried is what will run.
pub fn self_test(folder: &Path, config: &ModelConfig, needs_privacy: bool) -> Result<Models, Refusal> {
    let manifest = Manifest::read(folder)?;
    road_classes(manifest.model(&config.name)?)?;
    let mut road = None;
    let mut guard = Guard::AllowListOnly;
    for spec in &manifest.models {
        let detector = tried(folder, spec, config)?;
        if spec.name == config.name {
            road = Some(detector);
        } else if spec.task == Task::Privacy && matches!(guard, Guard::AllowListOnly) {
            guard = Guard::Model(Box::new(detector));
        }
    }
    if needs_privacy && matches!(guard, Guard::AllowListOnly) {
        return Err(Refusal::NoPrivacyModel);
    }
    // The manifest has the model, so the loop has met it.
    let detector = road.ok_or_else(|| Refusal::Missing(config.name.clone()))?;
    Ok(Models { detector, guard })
}

fn road_classes(spec: &ModelSpec) -> Result<(), Refusal> {
    match spec.classes.iter().find(|class| class.parse::<DamageClass>().is_err()) {
        Some(class) => Err(Refusal::ForeignClass { model: spec.name.clone(), class: class.clone() }),
        None => Ok(()),
    }
}

fn tried(folder: &Path, spec: &ModelSpec, config: &ModelConfig) -> Result<Detector, Refusal> {
    let name = &spec.name;
    let model = Model::from_spec(folder, spec.clone())?;
    let mut detector = Detector::from_model(&model, &config.backend)
        .map_err(|source| Refusal::DoesNotRun { model: name.clone(), source })?;
    let golden = spec.golden.as_ref().ok_or_else(|| Refusal::NoGolden(name.clone()))?;
    let golden = Golden::read(&folder.join(golden));
    let look = golden.and_then(|golden| {
        let (found, longer_px) = golden.look(folder, &mut detector)?;
        Ok(golden.differences(&found, longer_px))
    });
    let differences = look.map_err(|source| Refusal::Golden { model: name.clone(), source })?;
    match differences.into_iter().next() {
        Some(difference) => Err(Refusal::FindsOtherThings { model: name.clone(), difference }),
        None => Ok(detector),
    }
}
