//! `umsicht edge replay`: a recorded drive through the same stages as in service, as fast as possible, without a broker.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::edge::config::{EdgeConfig, MountedCamera};
use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::fix::{DEFAULT_MAX_GAP_MILLIS, FixError, FixLog};
use crate::edge::frame::Frame;
use crate::edge::infer::BackendSettings;
use crate::edge::judge::road::RoadJudgeConfig;
use crate::edge::mask::{Guard, NoPicture};
use crate::edge::pass::Pass;
use crate::edge::pipeline::{Bounds, CameraFeed, Counters, Outbox, OutboxError, PipelineError, Playback, RoadPipeline};
use crate::edge::report::PassId;
use crate::edge::source::images::Timing;
use crate::edge::source::{self, SourceConfig};
use crate::edge::update::models_folder;
use crate::failure::Failure;
use crate::schema::DamageClass;
use crate::schema::topic::TopicName;

const DEFAULT_INTERVAL: Duration = Duration::from_millis(40);

/// What to replay, and to where.
#[derive(Debug, Clone)]
pub struct Replay {
    pub config: Option<PathBuf>,
    pub models: PathBuf,
    pub video: PathBuf,
    pub gnss: PathBuf,
    pub out: PathBuf,
    pub detections: Option<PathBuf>,
    pub pass_id: Option<PassId>,
}

/// What the configuration says, or what is assumed without one.
struct Setting {
    site: TopicName,
    camera: Option<MountedCamera>,
    max_gap_millis: u64,
    models: PathBuf,
    model: String,
    backend: BackendSettings,
}

/// One box in one frame, as a line of JSON.
#[derive(Serialize)]
struct DetectionLine {
    video_time_seconds: f64,
    #[serde(rename = "box")]
    box_in_image: [f32; 4],
    class: &'static str,
    score: f32,
}

impl Replay {
    /// Returns a summary for people.
    pub fn run(&self) -> Result<String, Failure> {
        let setting = self.setting()?;
        let fixes = read_fixes(&self.gnss, setting.max_gap_millis)?;
        let starts_at =
            fixes.first_at().ok_or_else(|| Failure::data(format!("{}: holds no fix", self.gnss.display())))?;
        let mut source = source::open(&source_of(&self.video), starts_at).map_err(PipelineError::from)?;
        let detector = Detector::open_with(&setting.models, &setting.model, &setting.backend)?;
        let counters = Arc::new(Counters::default());
        let detections = self.detections.as_deref().map(LineFile::create).transpose()?.map(RefCell::new);
        let started = Instant::now();
        let mut shown = Instant::now();
        let observer = |frame: &Frame, found: &[(DamageClass, Detection)]| {
            if let Some(file) = &detections {
                file.borrow_mut().write(frame, found);
            }
            if shown.elapsed() > Duration::from_secs(2) {
                shown = Instant::now();
                let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                eprintln!(
                    "  {:.0} s of video, {} frames, {} detections, {} sightings",
                    frame.stream_time.as_secs_f64(),
                    count(&counters.frames),
                    count(&counters.detections),
                    count(&counters.sightings)
                );
            }
        };
        let backend = detector.backend_name();
        let camera = CameraFeed {
            source: source.as_mut(),
            playback: Playback::EVERY_FRAME,
            mounted: setting.camera,
            pass: Pass::OfOneRun(self.pass_id.clone().unwrap_or_else(PassId::random)),
            counters: Arc::default(),
            sight: None,
        };
        RoadPipeline {
            site: setting.site,
            judge: RoadJudgeConfig::default(),
            danger: None,
            simulated: false,
            detector,
            guard: Guard::open(&setting.models, &setting.backend),
            updates: None,
            shadow: None,
            bounds: Bounds::none(),
            live: None,
            outbox: Outbox::lines(&self.out).map_err(PipelineError::from)?,
            observer: Box::new(observer),
            counters: Arc::clone(&counters),
        }
        .run(vec![camera], &|at| fixes.at(at), &AtomicBool::new(false))?;
        if let Some(file) = detections {
            file.into_inner().finish()?;
        }
        Ok(self.summary(&counters, started.elapsed(), backend, setting.camera.is_some()))
    }

    fn setting(&self) -> Result<Setting, Failure> {
        let Some(path) = &self.config else {
            return Ok(Setting {
                site: TopicName::new("replay").map_err(Failure::bug)?,
                camera: None,
                max_gap_millis: DEFAULT_MAX_GAP_MILLIS,
                models: self.models.clone(),
                model: "road".into(),
                backend: BackendSettings::default(),
            });
        };
        let config = EdgeConfig::read(path)?;
        let models = models_folder(&config);
        Ok(Setting {
            camera: config.first_camera().mounted,
            site: config.site,
            max_gap_millis: config.gnss.max_gap_millis,
            models,
            model: config.model.name,
            backend: config.model.backend,
        })
    }

    fn summary(&self, counters: &Counters, took: Duration, backend: &str, calibrated: bool) -> String {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let frames = count(&counters.frames);
        let mut text = format!(
            "{frames} frames in {:.1} s ({:.0} per second, {backend}), {} detections, {} sightings → {}",
            took.as_secs_f64(),
            frames as f64 / took.as_secs_f64().max(1e-3),
            count(&counters.detections),
            count(&counters.events),
            self.out.display()
        );
        for (counter, why) in [
            (&counters.pictures_with_somebody, NoPicture::SomebodyInIt),
            (&counters.pictures_nobody_looked_at, NoPicture::NobodyLooked),
        ] {
            if count(counter) > 0 {
                text.push_str(&format!("\n{} sightings go without a picture: {why}", count(counter)));
            }
        }
        let without_fix = count(&counters.frames_without_fix);
        if without_fix > 0 {
            let without = format!("\n{without_fix} frames had no position: nothing in them could be reported");
            text.push_str(&without);
        }
        if !calibrated {
            text += "\nThe camera is assumed, not measured: positions and sizes are indications only.";
        }
        text
    }
}

/// Reads a log and says what in it could not be used.
pub fn read_fixes(path: &Path, max_gap_millis: u64) -> Result<FixLog, Failure> {
    let fixes = FixLog::read(path).map_err(|error: FixError| Failure::data(error))?;
    if let Some(complaint) = fixes.report().complaint() {
        tracing::warn!("{}: {complaint}", path.display());
    }
    Ok(fixes.with_max_gap_millis(max_gap_millis))
}

/// A file is a video, a folder is a sequence of pictures: timed by `times.csv` in it, else 25 per second.
pub fn source_of(video: &Path) -> SourceConfig {
    if !video.is_dir() {
        return SourceConfig::File { path: video.to_owned() };
    }
    let table = video.join("times.csv");
    let timing = if table.exists() { Timing::Table(table) } else { Timing::Interval(DEFAULT_INTERVAL) };
    SourceConfig::Images { folder: video.to_owned(), timing }
}

/// Lines of JSON; the first error is kept until the end.
struct LineFile {
    path: PathBuf,
    file: BufWriter<File>,
    result: std::io::Result<()>,
}

impl LineFile {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|source| lines_failed(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), result: Ok(()) })
    }

    fn write(&mut self, frame: &Frame, found: &[(DamageClass, Detection)]) {
        for (class, detection) in found {
            let b = detection.box_in_image;
            let line = DetectionLine {
                video_time_seconds: frame.stream_time.as_secs_f64(),
                box_in_image: [b.x0, b.y0, b.x1, b.y1],
                class: class.code(),
                score: detection.score,
            };
            if self.result.is_ok() {
                self.result = serde_json::to_writer(&mut self.file, &line)
                    .map_err(std::io::Error::from)
                    .and_then(|()| self.file.write_all(b"\n"));
            }
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.result.and_then(|()| self.file.flush()).map_err(|source| lines_failed(&self.path, source))
    }
}

fn lines_failed(path: &Path, source: std::io::Error) -> Failure {
    PipelineError::from(OutboxError::Lines { path: path.to_owned(), source }).into()
}
