//! Which pass a run belongs to: its own, or on a device the one that a restart has interrupted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use crate::edge::report::{ABSENCE, Memory, PassId, Reporter};
use crate::schema::ModelRef;

/// Between two writes while nothing is reported; with a kill in between, a restart has so much less time to go on.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// Where a pass begins and ends.
#[derive(Debug)]
pub enum Pass {
    /// With its run: a replay, a demo.
    OfOneRun(PassId),
    /// A device's: a run that starts soon after the last frame of the one before goes on with its pass.
    Kept(KeptPass),
}

/// A pass whose memory lies on the device.
#[derive(Debug)]
pub struct KeptPass {
    path: PathBuf,
    named: Option<PassId>,
    kept_at: Option<OffsetDateTime>,
}

#[derive(Debug, thiserror::Error)]
#[error("{}: the pass cannot be kept: {source}", path.display())]
pub struct PassError {
    path: PathBuf,
    source: io::Error,
}

impl Pass {
    /// Keeps the memory of this camera in `folder`. A `named` pass goes on only with one of the same name.
    #[must_use]
    pub fn kept_in(folder: &Path, camera: &str, named: Option<PassId>) -> Self {
        Self::Kept(KeptPass { path: folder.join(format!("pass-{camera}.json")), named, kept_at: None })
    }

    /// The reporter of a run whose first frame was taken at `first_frame_at`.
    pub(in crate::edge) fn reporter(
        &self,
        first_frame_at: OffsetDateTime,
        model: ModelRef,
        simulated: bool,
    ) -> Reporter {
        match self {
            Self::OfOneRun(id) => Reporter::new(id.clone(), model, simulated),
            Self::Kept(kept) => match kept.memory() {
                Some(memory) if kept.is_of_this_name(&memory) && memory.goes_on_at(first_frame_at) => {
                    tracing::info!("the last frame is less than {} s ago: the pass goes on", ABSENCE.as_secs());
                    Reporter::resume(memory, model, simulated)
                }
                memory => {
                    let id = kept.named.clone().unwrap_or_else(PassId::random);
                    let reporter = Reporter::new(id, model, simulated);
                    match memory.filter(|memory| memory.is_of_the_hour(first_frame_at)) {
                        Some(memory) => reporter.in_batch_of(memory),
                        None => reporter,
                    }
                }
            },
        }
    }

    /// Keeps what the next run must know, after the frame of `frame_at`; at once when something was `reported`.
    pub(in crate::edge) fn keep(
        &mut self,
        reporter: &Reporter,
        frame_at: OffsetDateTime,
        reported: bool,
    ) -> Result<(), PassError> {
        let Self::Kept(kept) = self else { return Ok(()) };
        if !reported && kept.kept_at.is_some_and(|kept_at| frame_at - kept_at < KEEP_EVERY) {
            return Ok(());
        }
        kept.kept_at = Some(frame_at);
        kept.write(&reporter.memory(frame_at)).map_err(|source| PassError { path: kept.path.clone(), source })
    }
}

impl KeptPass {
    /// What cannot be read counts as nothing: a new pass is always right, if only less exact.
    fn memory(&self) -> Option<Memory> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    fn is_of_this_name(&self, memory: &Memory) -> bool {
        self.named.as_ref().is_none_or(|named| named == memory.pass_id())
    }

    /// Replaced as a whole.
    fn write(&self, memory: &Memory) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(memory)?)?;
        file.sync_all()?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-05-01 10:00 UTC);

    fn model() -> ModelRef {
        ModelRef { name: "road".into(), version: "1".into(), sha256: "00".into(), trial_operation: false }
    }

    fn pass_id_of_run(folder: &Path, named: Option<&str>, first_frame_at: OffsetDateTime) -> PassId {
        let mut pass = Pass::kept_in(folder, "front", named.and_then(PassId::from_text));
        let reporter = pass.reporter(first_frame_at, model(), false);
        pass.keep(&reporter, first_frame_at, false).unwrap();
        reporter.memory(first_frame_at).pass_id().clone()
    }

    #[test]
    fn a_pass_outlives_a_short_pause_and_no_long_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = pass_id_of_run(folder.path(), None, START);
        let soon = START + Duration::from_secs(25);
        assert_eq!(pass_id_of_run(folder.path(), None, soon), first);
        let late = soon + Duration::from_secs(31);
        assert_ne!(pass_id_of_run(folder.path(), None, late), first);
        assert_eq!(pass_id_of_run(folder.path(), Some("other"), late), PassId::from_text("other").unwrap());
    }

    #[test]
    fn a_file_that_cannot_be_read_begins_a_new_pass() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pass-front.json"), "{\"pass_id\":").unwrap();
        let first = pass_id_of_run(folder.path(), None, START);
        assert_eq!(pass_id_of_run(folder.path(), None, START), first, "it was replaced");
    }

    #[test]
    fn while_nothing_is_reported_it_is_written_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut pass = Pass::kept_in(folder.path(), "front", None);
        let reporter = pass.reporter(START, model(), false);
        let mut written = |seconds, reported| {
            let path = folder.path().join("pass-front.json");
            let _ = fs::remove_file(&path);
            pass.keep(&reporter, START + Duration::from_secs(seconds), reported).unwrap();
            path.exists()
        };
        assert_eq!([0, 5, 10, 11].map(|seconds| written(seconds, false)), [true, false, true, false]);
        assert!(written(12, true));
    }
}
