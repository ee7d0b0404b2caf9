//! `umsicht edge update` and `umsicht edge rollback`: by the hand of a technician, whether the service runs or not.
//!
//! While the service runs it alone may change models, so the wish goes into its inbox; otherwise it is done here.
//!
//! Often done as root, in folders that the service owns: what is written is a new file each time, never one behind a link that
//! lay there. Not kept out: a service that was taken over and swaps a whole folder for a link in the moment of writing.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::edge::config::{EdgeConfig, UpdateConfig};
use crate::edge::update::inbox::{self, BY_HAND, ENDING, ROLL_BACK};
use crate::edge::update::refusal::Refusal;
use crate::edge::update::state::State;
use crate::edge::update::store::{UpdateError, state_of};
use crate::edge::update::trial::TrialLimits;
use crate::edge::update::updater::Updater;
use crate::failure::Failure;

/// A self-test takes seconds on a small board; who waits for one gives up after this.
const PATIENCE: Duration = Duration::from_secs(180);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Device(error) => error.into(),
            other => Self::data(other),
        }
    }
}

/// Returns what happened, for people.
pub fn update(config: &EdgeConfig, bundle: &Path) -> Result<String, Failure> {
    let settings = settings(config)?;
    let bytes = inbox::read(bundle).map_err(|e| Failure::data(format!("{}: {e}", bundle.display())))?;
    match Updater::open(settings, &config.model, TrialLimits::default()) {
        Ok(updater) => {
            let taken = updater.offer(&bytes, &bundle.display().to_string());
            give_to_service(&settings.folder);
            let version = taken?.version;
            Ok(format!(
                "version {version} is in place; unless it has proved itself before, the service tries it when it starts"
            ))
        }
        Err(UpdateError::InUse(_)) => {
            through_inbox(settings, &bytes)?;
            let version = state_of(settings).unwrap_or_default().current.unwrap_or(0);
            Ok(format!("version {version} is in place and on trial; the service goes back by itself if it fails"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns what happened, for people.
pub fn roll_back(config: &EdgeConfig) -> Result<String, Failure> {
    let settings = settings(config)?;
    let before = state_of(settings).unwrap_or_default();
    let Some(from) = before.current else {
        return Err(Failure::usage("the models that came with the program are in use; there is nothing to go back to"));
    };
    match Updater::open(settings, &config.model, TrialLimits::default()) {
        // Opening goes back by itself from models with which the program went down.
        Ok(updater) if updater.state().current == Some(from) => {
            updater.roll_back("somebody asked for it")?;
            give_to_service(&settings.folder);
        }
        Ok(_) => give_to_service(&settings.folder),
        Err(UpdateError::InUse(_)) => ask_for_roll_back(settings)?,
        Err(error) => return Err(error.into()),
    }
    let State { current, .. } = state_of(settings).unwrap_or_default();
    let now =
        current.map_or("the models that came with the program".to_owned(), |version| format!("version {version}"));
    Ok(format!("{now} is in use instead of version {from}, which is not taken again"))
}

fn settings(config: &EdgeConfig) -> Result<&UpdateConfig, Failure> {
    let missing = "models cannot be updated: write a section [update] with folder and public_key_file";
    config.update.as_ref().ok_or_else(|| Failure::usage(missing))
}

/// What root has written belongs to whom the folder above belongs to, else the service could not change it.
fn give_to_service(folder: &Path) {
    let Some(owner) = folder.parent().and_then(|above| above.metadata().ok()) else { return };
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(about) = path.symlink_metadata() else { continue };
        if about.uid() != owner.uid()
            && let Err(error) = lchown(&path, Some(owner.uid()), Some(owner.gid()))
        {
            tracing::warn!("{}: cannot be given to the service: {error}", path.display());
        }
        if about.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
}

fn through_inbox(settings: &UpdateConfig, bytes: &[u8]) -> Result<(), Failure> {
    let path = settings.inbox.join(format!("{BY_HAND}{}{ENDING}", std::process::id()));
    put_in(&path, bytes)?;
    wait_until_taken(&path)?;
    let refused = inbox::refused(&path);
    if !refused.exists() {
        return Ok(());
    }
    let reason = inbox::read_letter(&refused.with_added_extension("txt")).unwrap_or_default();
    let reason = String::from_utf8_lossy(&reason);
    // The technician holds the bundle and reads the reason here.
    let _ = (fs::remove_file(refused.with_added_extension("txt")), fs::remove_file(&refused));
    Err(Failure::data(reason.trim()))
}

fn ask_for_roll_back(settings: &UpdateConfig) -> Result<(), Failure> {
    let path = settings.inbox.join(ROLL_BACK);
    put_in(&path, b"")?;
    wait_until_taken(&path)
}

/// Under another name first, so that nobody sees half of it. Written as root into a folder of the service: through no link.
fn put_in(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let part = path.with_added_extension("part");
    let put = inbox::write_anew(&part, content).and_then(|()| fs::rename(&part, path));
    put.map_err(|e| Failure::unavailable(format!("{}: {e}; may you write into update.inbox?", path.display())))
}

fn wait_until_taken(path: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    while path.exists() {
        if started.elapsed() > PATIENCE {
            let _ = fs::remove_file(path);
            return Err(Failure::unavailable(
                "the service does not take it; it holds the models but is it judging? look at its log",
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_the_inbox_is_written_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join(ROLL_BACK));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("roll-back.part")).unwrap();
        put_in(&path, b"bundle").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read(path).unwrap(), b"bundle");
    }
}
