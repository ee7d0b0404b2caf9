//! Road judging as one run: every frame through detector and judge, every sighting into the outbox.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use time::OffsetDateTime;

use crate::edge::config::{MountedCamera, assumed_camera};
use crate::edge::danger::DangerProfile;
use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::fix::FixLog;
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::infer::InferError;
use crate::edge::judge::road::{RoadJudge, RoadJudgeConfig, Sighting};
use crate::edge::mask::{Guard, NoPicture};
use crate::edge::pass::Pass;
use crate::edge::pipeline::drafts::drafts;
use crate::edge::pipeline::feed::{add, feed};
use crate::edge::pipeline::{Counters, Outbox, OutboxError, Playback};
use crate::edge::report::Reporter;
use crate::edge::shadow::Shadow;
use crate::edge::source::{FrameSource, SourceError};
use crate::edge::spool::{Draft, SpoolError};
use crate::edge::update::{Models, Updater};
use crate::failure::Failure;
use crate::schema::DamageClass;
use crate::schema::topic::TopicName;

/// Sees every frame that was judged, with its detections.
pub type Observer<'o> = Box<dyn FnMut(&Frame, &[(DamageClass, Detection)]) + 'o>;

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("the model has the class {0:?}, which is no road damage; take a road model (D00, D10, D20, D40, Repair)")]
    ForeignClass(String),
    #[error(
        "the pictures are {width_px}×{height_px} pixels, but [camera] describes {camera_width_px}×{camera_height_px}; \
         measure the camera at the size it delivers"
    )]
    PictureSize { width_px: u32, height_px: u32, camera_width_px: u32, camera_height_px: u32 },
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Infer(error) => error.into(),
            PipelineError::PictureSize { .. } | PipelineError::ForeignClass(_) => Self::usage(error),
            PipelineError::Source(_) => Self::data(error),
            PipelineError::Outbox(OutboxError::Spool(SpoolError::EvidenceTooLarge(_))) => Self::bug(error),
            PipelineError::Outbox(_) => Self::unavailable(error),
        }
    }
}

/// What a run needs to know beside its source.
pub struct RoadPipeline<'o> {
    pub site: TopicName,
    pub pass: Pass,
    pub fixes: FixLog,
    /// `None` assumes a survey camera and reports everything as uncalibrated.
    pub camera: Option<MountedCamera>,
    pub judge: RoadJudgeConfig,
    /// What is told at once; `None` where nobody is there to be warned.
    pub danger: Option<DangerProfile>,
    /// The input is a simulated world.
    pub simulated: bool,
    pub detector: Detector,
    /// Looks at every frame of which a picture is about to be made.
    pub guard: Guard,
    /// Gives other models between two frames; `None`: these models judge the whole run.
    pub updates: Option<Arc<Updater>>,
    /// Sees some frames too and only counts.
    pub shadow: Option<Shadow>,
    pub outbox: Outbox,
    pub observer: Observer<'o>,
    pub counters: Arc<Counters>,
}

/// What a run knows from its first frame on.
struct Judging {
    judge: RoadJudge,
    reporter: Reporter,
    last_frame_at: OffsetDateTime,
    picture_size_px: (u32, u32),
}

/// What a road model's classes stand for.
pub fn damage_classes(detector: &Detector) -> Result<Vec<DamageClass>, PipelineError> {
    let class = |name: &String| name.parse().map_err(|_| PipelineError::ForeignClass(name.clone()));
    detector.classes().iter().map(class).collect()
}

/// The judge of one camera's pictures; `None` assumes a survey camera. A measured camera's geometry holds for one size of
/// picture only.
pub fn road_judge(
    mounted: Option<MountedCamera>,
    config: &RoadJudgeConfig,
    width_px: u32,
    height_px: u32,
) -> Result<RoadJudge, PipelineError> {
    let Some(mounted) = mounted else {
        return Ok(RoadJudge::new(assumed_camera(width_px, height_px), false, config.clone()));
    };
    let camera = mounted.camera();
    let (camera_width_px, camera_height_px) = (camera.intrinsics.width_px, camera.intrinsics.height_px);
    if (width_px, height_px) != (camera_width_px, camera_height_px) {
        return Err(PipelineError::PictureSize { width_px, height_px, camera_width_px, camera_height_px });
    }
    Ok(RoadJudge::new(camera, true, RoadJudgeConfig { antenna: mounted.antenna(), ..config.clone() }))
}

impl RoadPipeline<'_> {
    /// Runs until the source ends or `stop` is set; what is still open then is judged and committed.
    ///
    /// A source that breaks off is an error, but only after everything that it has shown was judged and committed.
    pub fn run(
        mut self,
        source: &mut dyn FrameSource,
        playback: Playback,
        stop: &AtomicBool,
    ) -> Result<(), PipelineError> {
        let mut classes = damage_classes(&self.detector)?;
        let mut judging: Option<Judging> = None;
        let counters = Arc::clone(&self.counters);
        let fixes = std::mem::replace(&mut self.fixes, FixLog::from_fixes(Vec::new()));
        let read = feed(source, &fixes, playback, &counters, stop, |frame| {
            if let Some(models) = self.updates.as_ref().and_then(|updates| updates.between_frames()) {
                classes = self.go_on_with(models, judging.as_mut())?;
            }
            if let Some(updates) = &self.updates {
                updates.count_begun();
            }
            let detections = match self.detector.detect(&frame.image) {
                Ok(detections) => detections,
                Err(error) => {
                    let instead = self.updates.as_ref().and_then(|updates| updates.instead_of_failed(&error));
                    classes = self.go_on_with(instead.ok_or(error)?, judging.as_mut())?;
                    self.detector.detect(&frame.image)?
                }
            };
            let judging = match &mut judging {
                Some(judging) => judging,
                None => judging.insert(self.start(&frame)?),
            };
            let detections: Vec<_> = detections.into_iter().map(|d| (classes[d.class], d)).collect();
            let sightings = {
                let look = &mut |image: &CameraImage| self.guard.masks(image);
                judging.judge.observe(&frame, &detections, self.detector.extent(), look)
            };
            (self.observer)(&frame, &detections);
            if let Some(shadow) = &mut self.shadow {
                shadow.look(&frame.image, &detections);
            }
            if let Some(updates) = &self.updates {
                updates.count_judged();
            }
            add(&counters.frames, 1);
            add(&counters.frames_without_fix, u64::from(frame.fix.is_none()));
            add(&counters.detections, detections.len() as u64);
            self.report(judging, sightings, frame.captured_at)
        })?;
        if let Some(mut judging) = judging {
            let (open, last_frame_at) = (judging.judge.finish(), judging.last_frame_at);
            self.report(&mut judging, open, last_frame_at)?;
        }
        add(&counters.events, self.outbox.finish()?.len() as u64);
        Ok(read?)
    }

    /// The first frame tells what camera it is and which pass.
    fn start(&self, frame: &Frame) -> Result<Judging, PipelineError> {
        let reporter = self.pass.reporter(frame.captured_at, self.detector.model_ref(), self.simulated);
        let (width_px, height_px) = (frame.image.width_px(), frame.image.height_px());
        let judge = road_judge(self.camera, &self.judge, width_px, height_px)?;
        Ok(Judging { judge, reporter, last_frame_at: frame.captured_at, picture_size_px: (width_px, height_px) })
    }

    /// Other models judge from here on. As at a restart, what the models before have seen is reported in their name, and
    /// what is still in sight is not reported again.
    fn go_on_with(&mut self, models: Models, judging: Option<&mut Judging>) -> Result<Vec<DamageClass>, PipelineError> {
        let classes = damage_classes(&models.detector)?;
        if let Some(judging) = judging {
            let (open, last_frame_at) = (judging.judge.finish(), judging.last_frame_at);
            self.report(judging, open, last_frame_at)?;
            let (width_px, height_px) = judging.picture_size_px;
            judging.judge = road_judge(self.camera, &self.judge, width_px, height_px)?;
            let memory = judging.reporter.memory(last_frame_at);
            judging.reporter = Reporter::resume(memory, models.detector.model_ref(), self.simulated);
        }
        Models { detector: self.detector, guard: self.guard } = models;
        Ok(classes)
    }

    /// Commits what became sightings with the frame of `frame_at`.
    fn report(
        &mut self,
        judging: &mut Judging,
        sightings: Vec<Sighting>,
        frame_at: OffsetDateTime,
    ) -> Result<(), PipelineError> {
        judging.last_frame_at = frame_at;
        add(&self.counters.sightings, sightings.len() as u64);
        let without =
            |why| sightings.iter().filter(|sighting| sighting.picture.as_ref().err() == Some(&why)).count() as u64;
        add(&self.counters.pictures_with_somebody, without(NoPicture::SomebodyInIt));
        add(&self.counters.pictures_nobody_looked_at, without(NoPicture::NobodyLooked));
        let drafts: Vec<Draft> = sightings
            .into_iter()
            .flat_map(|sighting| drafts(&self.site, self.danger, &mut judging.reporter, sighting, frame_at))
            .collect();
        let reported = !drafts.is_empty();
        let ids = self.outbox.commit(drafts)?;
        add(&self.counters.events, ids.len() as u64);
        // After the commit: a crash in between may report something twice, but loses nothing.
        if self.outbox.is_empty()
            && let Err(error) = self.pass.keep(&judging.reporter, frame_at, reported)
        {
            // A restart then begins a new pass; that is no reason to stop seeing.
            tracing::warn!("{error}");
        }
        Ok(())
    }
}
