//! What a service starts with. Trouble with updates is never a reason not to judge.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::edge::config::EdgeConfig;
use crate::edge::infer::InferError;
use crate::edge::update::models::Models;
use crate::edge::update::store::{UpdateError, models_folder};
use crate::edge::update::trial::TrialLimits;
use crate::edge::update::updater::Updater;

/// A technician's program may be trying models in this moment.
const IN_USE_FOR: Duration = Duration::from_secs(30);

/// The models in use, and who changes them; `None` where updates are not wanted or not possible.
pub fn start(config: &EdgeConfig) -> Result<(Models, Option<Arc<Updater>>), InferError> {
    if let Some(updater) = updater(config) {
        return Ok((updater.first_models()?, Some(Arc::new(updater))));
    }
    let folder = models_folder(config);
    let models = Models::open(&folder, &config.model).or_else(|error| {
        if folder == config.model.folder {
            return Err(error);
        }
        tracing::error!("{error}; the models that came with the program judge instead");
        Models::open(&config.model.folder, &config.model)
    });
    Ok((models?, None))
}

fn updater(config: &EdgeConfig) -> Option<Updater> {
    let update = config.update.as_ref()?;
    let started = Instant::now();
    loop {
        match Updater::open(update, &config.model, TrialLimits::default()) {
            Ok(updater) => return Some(updater),
            Err(UpdateError::InUse(_)) if started.elapsed() < IN_USE_FOR => thread::sleep(Duration::from_millis(100)),
            Err(error) => {
                tracing::error!("no updates are taken: {error}");
                return None;
            }
        }
    }
}
