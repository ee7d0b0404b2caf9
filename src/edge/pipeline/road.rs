//! Road judging as one run: every frame of every camera through the detector and its camera's judge, every sighting into
//! the outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::edge::blind::Look;
use crate::edge::config::{MountedCamera, assumed_camera};
use crate::edge::coverage::{CoveragePolicy, Stretch};
use crate::edge::danger::DangerProfile;
use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::fix::Fix;
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::infer::InferError;
use crate::edge::judge::road::{RoadJudge, RoadJudgeConfig, Sighting};
use crate::edge::mask::{Guard, NoPicture};
use crate::edge::pass::Pass;
use crate::edge::pipeline::bounds::Forbidden;
use crate::edge::pipeline::drafts::{coverage_draft, device_draft, drafts, mark_draft};
use crate::edge::pipeline::driven::{Driven, IsWet};
use crate::edge::pipeline::feed::{FixAt, Reader, Step, add, feed};
use crate::edge::pipeline::marks;
use crate::edge::pipeline::sight::Sight;
use crate::edge::pipeline::{Bounds, CameraCounters, Counters, Outbox, OutboxError, Pace, Playback};
use crate::edge::report::Reporter;
use crate::edge::shadow::Shadow;
use crate::edge::source::{FrameSource, SourceError};
use crate::edge::spool::{Draft, SpoolError};
use crate::edge::update::{Models, Updater};
use crate::edge::vehicle::Mark;
use crate::failure::Failure;
use crate::schema::DamageClass;
use crate::schema::topic::TopicName;

/// Sees every frame that was judged, with its detections.
pub type Observer<'o> = Box<dyn FnMut(&Frame, &[(DamageClass, Detection)]) + 'o>;

/// A receiver's interval and its latency are no outage.
const BRIDGED_MILLIS: u32 = 1500;

/// Further apart, the clock and the stream do not tell the same story.
const CLOCK_TOLERANCE: time::Duration = time::Duration::seconds(1);

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
        "the pictures are {width_px}×{height_px} pixels, but [camera.NAME.mounting] describes {camera_width_px}×{camera_height_px}; \
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

/// What a run needs to know beside its cameras.
pub struct RoadPipeline<'o> {
    pub site: TopicName,
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
    pub bounds: Bounds,
    /// `None` for a recording: nobody is told of its cameras and of the way that was driven.
    pub live: Option<Live>,
    pub outbox: Outbox,
    pub observer: Observer<'o>,
    pub counters: Arc<Counters>,
}

/// What belongs to a device in service.
pub struct Live {
    pub clock: Arc<dyn Clock>,
    pub coverage: CoveragePolicy,
    pub is_wet: IsWet,
    /// The driver's; a mark is reported whether or not a camera sees.
    pub marks: mpsc::Receiver<Mark>,
}

/// One camera of a run.
pub struct CameraFeed<'s> {
    pub source: &'s mut dyn FrameSource,
    pub playback: Playback,
    /// `None` assumes a survey camera and reports everything as uncalibrated.
    pub mounted: Option<MountedCamera>,
    /// Each camera has its own: two of them may well see the same damage, as two passes would.
    pub pass: Pass,
    pub counters: Arc<CameraCounters>,
    /// Watches whether it sees; `None` for a recording.
    pub sight: Option<Arc<Sight>>,
}

impl<'s> CameraFeed<'s> {
    fn split(self) -> (Reader<'s>, Eye) {
        let counters = Arc::clone(&self.counters);
        let pace = self.playback.pace;
        let (mounted, pass, sight) = (self.mounted, self.pass, self.sight.clone());
        let eye = Eye { mounted, pass, pace, counters, sight, is_recording: false, judging: None };
        let Self { source, playback, counters, sight, .. } = self;
        (Reader { source, playback, counters, sight }, eye)
    }
}

/// The part of a camera that the judging thread works with.
struct Eye {
    mounted: Option<MountedCamera>,
    pass: Pass,
    pace: Pace,
    counters: Arc<CameraCounters>,
    sight: Option<Arc<Sight>>,
    /// Its last frame was judged, and not left out because nothing may be recorded.
    is_recording: bool,
    /// From its first frame on.
    judging: Option<Judging>,
}

/// A recording of another size is a mistake to be told at once; a camera that changed by itself must not end the others.
fn refuse_size(eye: &Eye, error: PipelineError) -> Result<(), PipelineError> {
    if eye.pace != Pace::Camera {
        return Err(error);
    }
    if eye.counters.frames_of_wrong_size.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::error!("{error}; its frames are not judged");
    }
    Ok(())
}

/// What is known of a camera from its first frame on.
struct Judging {
    judge: RoadJudge,
    reporter: Reporter,
    last_frame_at: OffsetDateTime,
    last_stream_time: Duration,
    picture_size_px: (u32, u32),
}

impl Judging {
    /// Whether the frame's time says something else than the stream's, which nobody can set.
    fn clock_leapt(&self, frame: &Frame) -> bool {
        let by_clock = frame.captured_at - self.last_frame_at;
        let by_stream = time::Duration::try_from(frame.stream_time.saturating_sub(self.last_stream_time));
        by_stream.is_ok_and(|by_stream| (by_clock - by_stream).abs() > CLOCK_TOLERANCE)
    }
}

/// What a frame of this size is to its camera.
enum Size {
    AsBefore,
    /// Nothing was judged yet, or the camera was not measured: a judge is made for it.
    New,
    /// The mounting was measured for another one.
    Wrong(PipelineError),
}

impl Eye {
    fn size_of(&self, frame: &Frame) -> Size {
        let size = (frame.image.width_px(), frame.image.height_px());
        if self.judging.as_ref().is_some_and(|judging| judging.picture_size_px == size) {
            return Size::AsBefore;
        }
        match measured_for(self.mounted, size) {
            Ok(()) => Size::New,
            Err(error) => Size::Wrong(error),
        }
    }
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
    measured_for(Some(mounted), (width_px, height_px))?;
    Ok(RoadJudge::new(mounted.camera(), true, RoadJudgeConfig { antenna: mounted.antenna(), ..config.clone() }))
}

fn measured_for(mounted: Option<MountedCamera>, size_px: (u32, u32)) -> Result<(), PipelineError> {
    let Some(MountedCamera { intrinsics, .. }) = mounted else { return Ok(()) };
    let (camera_width_px, camera_height_px) = (intrinsics.width_px, intrinsics.height_px);
    let (width_px, height_px) = size_px;
    if size_px == (camera_width_px, camera_height_px) {
        return Ok(());
    }
    Err(PipelineError::PictureSize { width_px, height_px, camera_width_px, camera_height_px })
}

impl RoadPipeline<'_> {
    /// Runs until all cameras have ended or `stop` is set; what is still open then is judged and committed.
    ///
    /// A source that breaks off is an error, but only after everything that it and the others have shown was judged and
    /// committed.
    pub fn run(
        mut self,
        cameras: Vec<CameraFeed<'_>>,
        fix_at: &FixAt<'_>,
        stop: &AtomicBool,
    ) -> Result<(), PipelineError> {
        let mut classes = damage_classes(&self.detector)?;
        let (mut readers, mut eyes): (Vec<_>, Vec<_>) = cameras.into_iter().map(CameraFeed::split).unzip();
        let counters = Arc::clone(&self.counters);
        let (clock, mut driven, mut made) = match self.live.take() {
            Some(Live { clock, coverage, is_wet, marks }) => {
                (Some(clock), Some(Driven::new(coverage, is_wet)), Some(marks))
            }
            None => (None, None, None),
        };
        let read = feed(&mut readers, fix_at, &counters, stop, |step| {
            let stretches = match step {
                Step::Judge(place, frame) => self.judge(&mut eyes, place, &frame, &mut classes, driven.as_mut())?,
                Step::LookAround => match (&clock, &mut driven) {
                    (Some(clock), Some(driven)) => {
                        let may_record = |fix: Option<&Fix>| self.bounds.may_record(fix);
                        driven.pass_time(Instant::now(), || fix_at(clock.now()), may_record)
                    }
                    _ => Vec::new(),
                },
            };
            self.report_coverage(&mut eyes, &stretches)?;
            self.report_marks(made.as_mut(), fix_at)?;
            self.report_sight(&eyes, clock.as_deref(), fix_at)
        })?;
        for eye in &mut eyes {
            self.finish(eye)?;
        }
        let stretches = driven.map(|mut driven| driven.finish()).unwrap_or_default();
        self.report_coverage(&mut eyes, &stretches)?;
        self.report_marks(made.as_mut(), fix_at)?;
        self.report_sight(&eyes, clock.as_deref(), fix_at)?;
        add(&counters.events, self.outbox.finish()?.len() as u64);
        Ok(read.into_iter().collect::<Result<(), _>>()?)
    }

    /// Gives the stretches of road that ended with this frame.
    fn judge(
        &mut self,
        eyes: &mut [Eye],
        place: usize,
        frame: &Frame,
        classes: &mut Vec<DamageClass>,
        mut driven: Option<&mut Driven>,
    ) -> Result<Vec<Stretch>, PipelineError> {
        if let Some(forbidden) = self.bounds.forbids(frame.fix.as_ref()) {
            add(&self.counters.frames_not_recorded, 1);
            if forbidden == Forbidden::Here {
                self.lay_down(&mut eyes[place])?;
            }
            driven.into_iter().for_each(|driven| driven.not_recorded(Instant::now()));
            return Ok(Vec::new());
        }
        match eyes[place].size_of(frame) {
            Size::AsBefore => {}
            Size::New => self.start_anew(&mut eyes[place], frame)?,
            Size::Wrong(error) => return refuse_size(&eyes[place], error).map(|()| Vec::new()),
        }
        if let Some(models) = self.updates.as_ref().and_then(|updates| updates.between_frames()) {
            // What was driven until here belongs to the models before.
            let stretches = driven.as_mut().map(|driven| driven.finish()).unwrap_or_default();
            self.report_coverage(eyes, &stretches)?;
            *classes = self.go_on_with(models, eyes)?;
        }
        if let Some(updates) = &self.updates {
            updates.count_begun();
        }
        let detections = match self.detector.detect(&frame.image) {
            Ok(detections) => detections,
            Err(error) => {
                let instead = self.updates.as_ref().and_then(|updates| updates.instead_of_failed(&error));
                *classes = self.go_on_with(instead.ok_or(error)?, eyes)?;
                self.detector.detect(&frame.image)?
            }
        };
        let eye = &mut eyes[place];
        if eye.judging.as_ref().is_some_and(|judging| judging.clock_leapt(frame)) {
            tracing::warn!("the clock was set: what was in sight is reported as it was seen until then");
            add(&self.counters.clock_leaps, 1);
            self.start_anew(eye, frame)?;
        }
        eye.is_recording = true;
        let Some(judging) = &mut eye.judging else { return Ok(Vec::new()) };
        judging.last_stream_time = frame.stream_time;
        let detections: Vec<_> = detections.into_iter().map(|d| (classes[d.class], d)).collect();
        let sightings = {
            let look = &mut |image: &CameraImage| self.guard.masks(image);
            judging.judge.observe(frame, &detections, self.detector.extent(), look)
        };
        (self.observer)(frame, &detections);
        if let Some(shadow) = &mut self.shadow {
            shadow.look(&frame.image, &detections);
        }
        if let Some(updates) = &self.updates {
            updates.count_judged();
        }
        add(&eye.counters.frames, 1);
        add(&self.counters.frames, 1);
        add(&self.counters.frames_without_fix, u64::from(frame.fix.is_none()));
        add(&self.counters.frames_bridged, u64::from(frame.fix.is_some_and(|fix| fix.bridged_millis > BRIDGED_MILLIS)));
        add(&self.counters.detections, detections.len() as u64);
        self.report(eye, sightings, frame.captured_at)?;
        let Some(driven) = driven else { return Ok(Vec::new()) };
        let seen = match &eye.sight {
            Some(sight) => sight.now(),
            // A recording's camera is not watched, but its pictures may be too dark all the same.
            None => (None, f64::from(Look::of(&frame.image).mean_luma)),
        };
        Ok(driven.see(place, frame.fix.as_ref(), seen, Instant::now()))
    }

    /// The first frame tells what camera it is and which pass; so does the first one after something has changed.
    fn start_anew(&mut self, eye: &mut Eye, frame: &Frame) -> Result<(), PipelineError> {
        self.finish(eye)?;
        let reporter = match &eye.judging {
            Some(judging) => {
                let memory = judging.reporter.memory(judging.last_frame_at);
                Reporter::resume(memory, self.detector.model_ref(), self.simulated)
            }
            None => eye.pass.reporter(frame.captured_at, self.detector.model_ref(), self.simulated),
        };
        let picture_size_px = (frame.image.width_px(), frame.image.height_px());
        eye.judging = Some(Judging {
            judge: road_judge(eye.mounted, &self.judge, picture_size_px.0, picture_size_px.1)?,
            reporter,
            last_frame_at: frame.captured_at,
            last_stream_time: frame.stream_time,
            picture_size_px,
        });
        Ok(())
    }

    /// What was in sight until now is reported, and is not reported again should it still be there later.
    fn lay_down(&mut self, eye: &mut Eye) -> Result<(), PipelineError> {
        if !std::mem::take(&mut eye.is_recording) {
            return Ok(());
        }
        self.finish(eye)?;
        if let Some(judging) = &mut eye.judging {
            let memory = judging.reporter.memory(judging.last_frame_at);
            judging.reporter = Reporter::resume(memory, self.detector.model_ref(), self.simulated);
        }
        Ok(())
    }

    /// Judges and reports what is still open; the judge may go on.
    fn finish(&mut self, eye: &mut Eye) -> Result<(), PipelineError> {
        let Some(judging) = &mut eye.judging else { return Ok(()) };
        let (open, last_frame_at) = (judging.judge.finish(), judging.last_frame_at);
        self.report(eye, open, last_frame_at)
    }

    /// Other models judge from here on. As at a restart, what the models before have seen is reported in their name, and
    /// what is still in sight is not reported again.
    fn go_on_with(&mut self, models: Models, eyes: &mut [Eye]) -> Result<Vec<DamageClass>, PipelineError> {
        let classes = damage_classes(&models.detector)?;
        for eye in eyes {
            self.finish(eye)?;
            let Some(judging) = &mut eye.judging else { continue };
            let (width_px, height_px) = judging.picture_size_px;
            judging.judge = road_judge(eye.mounted, &self.judge, width_px, height_px)?;
            let memory = judging.reporter.memory(judging.last_frame_at);
            judging.reporter = Reporter::resume(memory, models.detector.model_ref(), self.simulated);
        }
        Models { detector: self.detector, guard: self.guard } = models;
        Ok(classes)
    }

    /// Cameras that have gone blind or see again: at once, and exactly timed. What a disk did not take before is tried again.
    fn report_sight(
        &mut self,
        eyes: &[Eye],
        clock: Option<&dyn Clock>,
        fix_at: &FixAt<'_>,
    ) -> Result<(), PipelineError> {
        let Some(clock) = clock else { return Ok(()) };
        let now = clock.now();
        let may_tell = self.bounds.may_tell_of_itself(|| fix_at(now), Instant::now());
        let news = eyes.iter().filter_map(|eye| eye.sight.as_ref()?.pass_time(may_tell));
        let drafts: Vec<Draft> = news.map(|data| device_draft(&self.site, data, now)).collect();
        if !drafts.is_empty() || !self.outbox.is_empty() {
            add(&self.counters.events, self.outbox.commit(drafts)?.len() as u64);
        }
        Ok(())
    }

    /// What the driver has marked: at once.
    fn report_marks(
        &mut self,
        made: Option<&mut mpsc::Receiver<Mark>>,
        fix_at: &FixAt<'_>,
    ) -> Result<(), PipelineError> {
        let Some(made) = made else { return Ok(()) };
        let mut drafts = Vec::new();
        for mark in marks::made(made) {
            match marks::place(mark, fix_at, |fix| self.bounds.may_record(fix), self.simulated) {
                Ok(placed) => drafts.push(mark_draft(&self.site, placed, mark.at)),
                Err(why) => {
                    tracing::warn!("a mark of the driver is not reported: {why}");
                    add(&self.counters.marks_not_reported, 1);
                }
            }
        }
        if !drafts.is_empty() {
            add(&self.counters.marks, drafts.len() as u64);
            add(&self.counters.events, self.outbox.commit(drafts)?.len() as u64);
        }
        Ok(())
    }

    /// In the name of the first camera that has judged anything: a pass that has seen nothing has nothing to tell.
    fn report_coverage(&mut self, eyes: &mut [Eye], stretches: &[Stretch]) -> Result<(), PipelineError> {
        let Some(eye) = eyes.iter_mut().find(|eye| eye.judging.is_some()) else { return Ok(()) };
        let Some(judging) = eye.judging.as_mut().filter(|_| !stretches.is_empty()) else { return Ok(()) };
        let calibrated = eye.mounted.is_some();
        let drafts = stretches
            .iter()
            .map(|stretch| coverage_draft(&self.site, &mut judging.reporter, stretch, calibrated))
            .collect();
        add(&self.counters.events, self.outbox.commit(drafts)?.len() as u64);
        Ok(())
    }

    /// Commits what became sightings with the frame of `frame_at`.
    fn report(
        &mut self,
        eye: &mut Eye,
        sightings: Vec<Sighting>,
        frame_at: OffsetDateTime,
    ) -> Result<(), PipelineError> {
        let Some(judging) = &mut eye.judging else { return Ok(()) };
        judging.last_frame_at = frame_at;
        let may_tell = |sighting: &Sighting| self.bounds.may_tell_of(sighting.position, &sighting.position_covariance);
        let sightings: Vec<Sighting> = sightings.into_iter().filter(may_tell).collect();
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
            && let Err(error) = eye.pass.keep(&judging.reporter, frame_at, reported)
        {
            // A restart then begins a new pass; that is no reason to stop seeing.
            tracing::warn!("{error}");
        }
        Ok(())
    }
}
