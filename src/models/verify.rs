//! Are the models of a folder what they should be? Manifest, hashes, cards, data and licences; a graph that takes and gives what
//! the manifest says; both backends agreeing on a test input; and the golden picture.

use std::path::Path;

use serde::Serialize;

use crate::edge::detector::Detector;
use crate::edge::golden::{Golden, GoldenError};
use crate::edge::infer::model::{Manifest, Model, ModelError, ModelSpec};
use crate::edge::infer::{BackendChoice, BackendSettings, InferError, Tensor, open_backend};
use crate::models::parity;

/// What was found about one model; `problems` is empty when it is fine.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub name: String,
    pub version: String,
    pub licence: String,
    pub sha256: String,
    pub problems: Vec<String>,
    /// Whether the model is in trial operation (see `ModelSpec::is_on_trial`).
    pub on_trial: bool,
    /// Why there is no golden picture to compare with, or where it was not looked at.
    pub not_looked: Option<String>,
    /// Why the backends were not compared, if they were not.
    pub not_compared: Option<String>,
    pub worst_difference: Option<f32>,
}

#[derive(Debug, Serialize)]
pub struct Findings {
    pub models: Vec<Finding>,
    /// What no entry of the manifest accounts for.
    pub problems: Vec<String>,
}

impl Findings {
    #[must_use]
    pub fn problems(&self) -> usize {
        self.problems.len() + self.models.iter().map(|model| model.problems.len()).sum::<usize>()
    }
}

pub fn verify(folder: &Path, settings: &BackendSettings) -> Result<Findings, ModelError> {
    let manifest = Manifest::read(folder)?;
    let models = manifest.models.iter().map(|spec| examine(folder, spec, settings)).collect();
    Ok(Findings { models, problems: strangers(folder, &manifest) })
}

fn examine(folder: &Path, spec: &ModelSpec, settings: &BackendSettings) -> Finding {
    let mut finding = Finding {
        name: spec.name.clone(),
        version: spec.version.clone(),
        licence: spec.licence.clone(),
        sha256: spec.sha256.clone(),
        problems: Vec::new(),
        on_trial: spec.is_on_trial(),
        not_looked: None,
        not_compared: None,
        worst_difference: None,
    };
    if spec.licence.trim().is_empty() {
        finding.problems.push("the manifest names no licence; nobody may pass the model on".into());
    }
    finding.problems.extend(card_problem(folder, spec));
    finding.problems.extend(data_problems(spec));
    match Model::from_spec(folder, spec.clone()) {
        Ok(model) => {
            look_at_golden(&model, settings, &mut finding);
            run_both(&model, settings, &mut finding);
        }
        Err(error) => finding.problems.push(error.to_string()),
    }
    finding
}

fn card_problem(folder: &Path, spec: &ModelSpec) -> Option<String> {
    let path = folder.join(&spec.card);
    match std::fs::read_to_string(&path) {
        Ok(card) if card.contains(&spec.version) => None,
        Ok(_) => Some(format!("{} does not speak of version {}", path.display(), spec.version)),
        Err(error) => Some(format!("{}: {error}; each model needs its card", path.display())),
    }
}

fn data_problems(spec: &ModelSpec) -> Vec<String> {
    if spec.data.is_empty() {
        let what = "the manifest does not say what it learned from; write a section [[model.data]] with name, licence and \
                    attribution";
        return vec![what.into()];
    }
    let silent = |text: &String| text.trim().is_empty();
    let incomplete =
        spec.data.iter().filter(|data| [&data.name, &data.licence, &data.attribution].into_iter().any(silent));
    incomplete.map(|data| format!("the data {:?} need a name, a licence and an attribution", data.name)).collect()
}

/// Also refuses a model whose answer does not fit its manifest: the detector tries it out.
fn look_at_golden(model: &Model, settings: &BackendSettings, finding: &mut Finding) {
    let Some(name) = &model.spec.golden else {
        finding.not_looked = Some("the manifest names no golden picture".into());
        finding.problems.extend(Detector::from_model(model, settings).err().map(|error| error.to_string()));
        return;
    };
    let look = || -> Result<Vec<String>, GoldenError> {
        let golden = Golden::read(&model.folder.join(name))?;
        let mut detector = Detector::from_model(model, settings)?;
        let (found, longer_px) = golden.look(&model.folder, &mut detector)?;
        Ok(golden.differences(&found, longer_px))
    };
    match look() {
        Ok(differences) => finding.problems.extend(differences),
        Err(error) => finding.problems.push(error.to_string()),
    }
}

/// Writes what each model finds in its golden picture now.
pub fn renew_golden(folder: &Path, settings: &BackendSettings) -> Result<Vec<String>, GoldenError> {
    let manifest = Manifest::read(folder).map_err(InferError::from)?;
    let mut renewed = Vec::new();
    for spec in &manifest.models {
        let Some(name) = &spec.golden else { continue };
        let path = folder.join(name);
        let mut golden = Golden::read(&path)?;
        let mut detector = Detector::open_with(folder, &spec.name, settings)?;
        golden.detections = golden.look(folder, &mut detector)?.0;
        golden.write(&path)?;
        renewed.push(format!("{}: {} detections in {}", spec.name, golden.detections.len(), golden.picture));
    }
    Ok(renewed)
}

fn run_both(model: &Model, settings: &BackendSettings, finding: &mut Finding) {
    // A golden picture that cannot be read was told already.
    let input = parity::input_of(model).unwrap_or_else(|_| parity::test_input(&model.spec));
    let run = |choice| -> Result<Vec<Tensor>, InferError> {
        let mut backend = open_backend(model, &BackendSettings { choice, ..settings.clone() })?;
        let mut outputs = Vec::new();
        backend.run(&input, &mut outputs)?;
        Ok(outputs)
    };
    let mut taken = Vec::new();
    for choice in [BackendChoice::Ort, BackendChoice::Tract] {
        match run(choice) {
            Ok(outputs) => taken.push(outputs),
            Err(error @ InferError::BackendUnavailable { .. }) => finding.not_compared = Some(error.to_string()),
            Err(error) => finding.problems.push(error.to_string()),
        }
    }
    let [from_ort, from_tract] = &taken[..] else {
        if taken.is_empty() {
            finding.problems.push("no backend could run it".into());
        }
        return;
    };
    match parity::worst_difference(&model.spec, from_ort, from_tract) {
        Some(worst) => {
            finding.worst_difference = Some(worst);
            if worst > parity::TOLERANCE {
                finding
                    .problems
                    .push(format!("the backends differ by {worst}; at most {} is right", parity::TOLERANCE));
            }
        }
        None => {
            finding.problems.push("the backends' outputs differ in shape, or hold values that are not finite".into());
        }
    }
}

/// Model files that the manifest does not know.
fn strangers(folder: &Path, manifest: &Manifest) -> Vec<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "onnx"));
    let mut unknown: Vec<String> = names.filter(|name| !manifest.models.iter().any(|m| m.file == *name)).collect();
    unknown.sort();
    unknown.into_iter().map(|name| format!("{name} stands in no entry of the manifest")).collect()
}
