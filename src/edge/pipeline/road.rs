//! Road judging as one run: every frame through detector and judge, every sighting into the outbox.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::clock::hour_of;
use crate::edge::config::{MountedCamera, assumed_camera};
use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::fix::FixLog;
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::infer::InferError;
use crate::edge::judge::road::{RoadJudge, RoadJudgeConfig, Sighting};
use crate::edge::locate::AntennaOffset;
use crate::edge::mask::{Guard, NoPicture};
use crate::edge::pipeline::feed::{add, feed};
use crate::edge::pipeline::{Counters, Outbox, OutboxError, Playback};
use crate::edge::report::{PassId, Reporter};
use crate::edge::source::{FrameSource, SourceError};
use crate::edge::spool::{Draft, SpoolError};
use crate::failure::Failure;
use crate::schema::DamageClass;
use crate::schema::event::EventData;
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
    pub pass_id: PassId,
    pub fixes: FixLog,
    /// `None` assumes a survey camera and reports everything as uncalibrated.
    pub camera: Option<MountedCamera>,
    pub judge: RoadJudgeConfig,
    /// The input is a simulated world.
    pub simulated: bool,
    pub detector: Detector,
    /// Looks at every frame of which a picture is about to be made.
    pub guard: Guard,
    pub outbox: Outbox,
    pub observer: Observer<'o>,
    pub counters: Arc<Counters>,
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
        let classes = self.damage_classes()?;
        let mut reporter = Reporter::new(self.pass_id.clone(), self.detector.model_ref(), self.simulated);
        let mut judge = None;
        let counters = Arc::clone(&self.counters);
        let fixes = std::mem::replace(&mut self.fixes, FixLog::from_fixes(Vec::new()));
        let read = feed(source, &fixes, playback, &counters, stop, |frame| {
            let judge = match &mut judge {
                Some(judge) => judge,
                None => judge.insert(self.judge_for(&frame)?),
            };
            let detections = self.detector.detect(&frame.image)?;
            let detections: Vec<_> = detections.into_iter().map(|d| (classes[d.class], d)).collect();
            let sightings = {
                let look = &mut |image: &CameraImage| self.guard.masks(image);
                judge.observe(&frame, &detections, self.detector.extent(), look)
            };
            (self.observer)(&frame, &detections);
            add(&counters.frames, 1);
            add(&counters.frames_without_fix, u64::from(frame.fix.is_none()));
            add(&counters.detections, detections.len() as u64);
            self.report(&mut reporter, sightings)
        })?;
        if let Some(mut judge) = judge {
            self.report(&mut reporter, judge.finish())?;
        }
        Ok(read?)
    }

    fn damage_classes(&self) -> Result<Vec<DamageClass>, PipelineError> {
        let class = |name: &String| name.parse().map_err(|_| PipelineError::ForeignClass(name.clone()));
        self.detector.classes().iter().map(class).collect()
    }

    /// The camera's geometry holds for one size of picture only.
    fn judge_for(&self, frame: &Frame) -> Result<RoadJudge, PipelineError> {
        let (width_px, height_px) = (frame.image.width_px(), frame.image.height_px());
        let Some(mounted) = self.camera else {
            return Ok(RoadJudge::new(assumed_camera(width_px, height_px), false, self.judge.clone()));
        };
        let camera = mounted.camera();
        let (camera_width_px, camera_height_px) = (camera.intrinsics.width_px, camera.intrinsics.height_px);
        if (width_px, height_px) != (camera_width_px, camera_height_px) {
            return Err(PipelineError::PictureSize { width_px, height_px, camera_width_px, camera_height_px });
        }
        let antenna =
            AntennaOffset { forward_metres: mounted.antenna_forward_metres, left_metres: mounted.antenna_left_metres };
        Ok(RoadJudge::new(camera, true, RoadJudgeConfig { antenna, ..self.judge.clone() }))
    }

    fn report(&mut self, reporter: &mut Reporter, sightings: Vec<Sighting>) -> Result<(), PipelineError> {
        if sightings.is_empty() {
            return Ok(());
        }
        add(&self.counters.sightings, sightings.len() as u64);
        let without =
            |why| sightings.iter().filter(|sighting| sighting.picture.as_ref().err() == Some(&why)).count() as u64;
        add(&self.counters.pictures_with_somebody, without(NoPicture::SomebodyInIt));
        add(&self.counters.pictures_nobody_looked_at, without(NoPicture::NobodyLooked));
        let drafts = sightings
            .into_iter()
            .map(|sighting| Draft {
                source: format!("/umsicht/{}", self.site),
                time: hour_of(sighting.best_seen_at),
                data: EventData::RoadDamage(reporter.draft(&sighting)),
                picture: sighting.picture.ok(),
            })
            .collect();
        let ids = self.outbox.commit(drafts)?;
        add(&self.counters.events, ids.len() as u64);
        Ok(())
    }
}
