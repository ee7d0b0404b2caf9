//! `umsicht edge bench`: how much processor time a frame takes, against the least that it could take.
//!
//! The limit is what nobody can avoid: decoding and scaling the video to the network's input, and the network itself, each
//! measured alone. What the whole pipeline takes above their sum is our own work: times, positions, boxes, tracks, judging.
//! Pictures of damages are left out: they are made once per damage, not per frame.
//!
//! Each part runs in a process of its own and counts its processor time over all threads, so that other work on the machine
//! does not count. The first frames fill caches and are left out.

pub mod cli;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge::detector::Detector;
use crate::edge::fix::FixLog;
use crate::edge::infer::model::Model;
use crate::edge::infer::{BackendSettings, InferError, Tensor, open_backend};
use crate::edge::judge::road::RoadJudgeConfig;
use crate::edge::machine::cpu_time;
use crate::edge::mask::Guard;
use crate::edge::pass::Pass;
use crate::edge::pipeline::{Bounds, CameraFeed, Counters, Outbox, PipelineError, Playback, RoadPipeline};
use crate::edge::report::PassId;
use crate::edge::source::{self, SourceConfig};
use crate::failure::Failure;
use crate::schema::topic::TopicName;

/// Frames before the count begins.
const WARM_UP: u64 = 10;

/// What is measured: a recorded drive through one model.
#[derive(Debug, Clone)]
pub struct Job {
    pub video: PathBuf,
    pub gnss: PathBuf,
    pub models: PathBuf,
    pub model: String,
    pub backend: BackendSettings,
    /// Of the video; all when it has fewer.
    pub frames: u64,
    /// Each part is measured so often and the least counts, since whatever disturbs only adds.
    pub rounds: u32,
}

/// One part, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Part {
    /// The whole pipeline, as in service, but without pictures of damages.
    Pipeline,
    /// Decoding and scaling to the network's input, pictures thrown away.
    Decode,
    /// The network, on an input that is there already.
    Network,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Decode => "decode",
            Self::Network => "network",
        }
    }
}

/// Processor time of one part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub frames: u64,
    pub cpu_milliseconds_per_frame: f64,
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub frames: u64,
    pub rounds: u32,
    pub pipeline_milliseconds: f64,
    pub decode_and_scale_milliseconds: f64,
    pub network_milliseconds: f64,
    /// The pipeline over the sum of the other two; 1 would mean that our own work costs nothing.
    pub cpu_ratio_to_limit: f64,
    pub commit: &'static str,
}

impl Comparison {
    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "processor time per frame, least of {} rounds of {} frames:\n  whole pipeline     {:7.2} ms\n  decode and scale   \
             {:7.2} ms\n  network            {:7.2} ms\nratio to the limit   {:7.3}",
            self.rounds,
            self.frames,
            self.pipeline_milliseconds,
            self.decode_and_scale_milliseconds,
            self.network_milliseconds,
            self.cpu_ratio_to_limit
        )
    }
}

/// Measures the parts in turn, each in a child process of `program`, which is umsicht.
pub fn bench(job: &Job, program: &Path) -> Result<Comparison, Failure> {
    let mut least = [Part::Pipeline, Part::Decode, Part::Network].map(|part| (part, f64::INFINITY));
    let mut frames = job.frames;
    for round in 1..=job.rounds {
        eprintln!("  round {round} of {}", job.rounds);
        for (part, best) in &mut least {
            let measured = in_child(job, *part, program)?;
            *best = best.min(measured.cpu_milliseconds_per_frame);
            if *part == Part::Pipeline {
                frames = measured.frames;
            }
        }
    }
    let [pipeline, decode, network] = least.map(|(_, best)| best);
    Ok(Comparison {
        frames,
        rounds: job.rounds,
        pipeline_milliseconds: pipeline,
        decode_and_scale_milliseconds: decode,
        network_milliseconds: network,
        cpu_ratio_to_limit: pipeline / (decode + network),
        commit: crate::COMMIT,
    })
}

fn in_child(job: &Job, part: Part, program: &Path) -> Result<Measured, Failure> {
    let (frames, threads) = (job.frames.to_string(), job.backend.intra_threads.to_string());
    let mut arguments: Vec<OsString> = ["edge", "bench", "--json", "--part", part.word()].map(Into::into).into();
    for (name, path) in [("--video", &job.video), ("--gnss", &job.gnss), ("--models", &job.models)] {
        arguments.extend([name.into(), path.clone().into()]);
    }
    arguments.extend(["--model", &job.model, "--frames", &frames, "--threads", &threads].map(OsString::from));
    if let Some(library) = &job.backend.onnxruntime {
        arguments.extend(["--onnxruntime".into(), library.clone().into()]);
    }
    let failed = |reason: String| Failure::data(format!("measuring the {} failed: {reason}", part.word()));
    let output = Command::new(program).args(arguments).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(format!("its result cannot be read: {e}")))
}

/// Measures one part in this process.
pub fn here(job: &Job, part: Part) -> Result<Measured, Failure> {
    match part {
        Part::Pipeline => pipeline(job),
        Part::Decode => decode(job),
        Part::Network => Ok(network(job)?),
    }
}

/// Counts frames, and the processor time from the end of the warm-up on.
struct Meter {
    seen: u64,
    begun_at: Duration,
    at: Duration,
}

impl Meter {
    fn new() -> Self {
        Self { seen: 0, begun_at: Duration::ZERO, at: Duration::ZERO }
    }

    fn count(&mut self) {
        self.seen += 1;
        self.at = cpu_time();
        if self.seen == WARM_UP {
            self.begun_at = self.at;
        }
    }

    fn result(&self) -> Result<Measured, Failure> {
        let frames = self.seen.saturating_sub(WARM_UP);
        if frames == 0 {
            return Err(Failure::data(format!(
                "the video has {} frames; at least {} are needed",
                self.seen,
                WARM_UP + 1
            )));
        }
        let took = self.at.saturating_sub(self.begun_at);
        Ok(Measured { frames, cpu_milliseconds_per_frame: took.as_secs_f64() * 1e3 / frames as f64 })
    }
}

fn pipeline(job: &Job) -> Result<Measured, Failure> {
    let fixes = FixLog::read(&job.gnss).map_err(Failure::data)?;
    let starts_at = fixes.first_at().ok_or_else(|| Failure::data(format!("{}: holds no fix", job.gnss.display())))?;
    let mut source = source::open(&SourceConfig::File { path: job.video.clone() }, starts_at).map_err(Failure::data)?;
    let detector = Detector::open_with(&job.models, &job.model, &job.backend)?;
    let (mut meter, stop) = (Meter::new(), AtomicBool::new(false));
    let out = tempfile::NamedTempFile::new().map_err(Failure::unavailable)?;
    RoadPipeline {
        site: TopicName::new("bench").map_err(Failure::bug)?,
        judge: RoadJudgeConfig { pictures: false, ..RoadJudgeConfig::default() },
        danger: None,
        simulated: false,
        detector,
        guard: Guard::AllowListOnly,
        updates: None,
        shadow: None,
        bounds: Bounds::none(),
        live: None,
        outbox: Outbox::lines(out.path()).map_err(PipelineError::from)?,
        observer: Box::new(|_, _| {
            meter.count();
            if meter.seen >= WARM_UP + job.frames {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }),
        counters: Arc::new(Counters::default()),
    }
    .run(
        vec![CameraFeed {
            source: source.as_mut(),
            playback: Playback::EVERY_FRAME,
            mounted: None,
            pass: Pass::OfOneRun(PassId::random()),
            counters: Arc::default(),
            sight: None,
        }],
        &|at| fixes.at(at),
        &stop,
    )?;
    meter.result()
}

#[cfg(feature = "gstreamer")]
fn decode(job: &Job) -> Result<Measured, Failure> {
    let input = Model::read(&job.models, &job.model).map_err(InferError::from)?.spec.input;
    let size_px = (input.width as u32, input.height as u32);
    let mut scaled = source::gstreamer::bare::BareDecoder::open(&job.video, size_px).map_err(Failure::data)?;
    let mut meter = Meter::new();
    while meter.seen < WARM_UP + job.frames && scaled.pull().map_err(Failure::data)? {
        meter.count();
    }
    meter.result()
}

#[cfg(not(feature = "gstreamer"))]
fn decode(_: &Job) -> Result<Measured, Failure> {
    Err(Failure::unavailable("this program was built without GStreamer, so it cannot decode video"))
}

fn network(job: &Job) -> Result<Measured, Failure> {
    let model = Model::read(&job.models, &job.model).map_err(InferError::from)?;
    let mut backend = open_backend(&model, &job.backend)?;
    let (input, mut outputs) = (Tensor::filled(&model.spec.input_shape(), 0.5), Vec::new());
    let mut meter = Meter::new();
    for _ in 0..WARM_UP + job.frames {
        backend.run(&input, &mut outputs)?;
        meter.count();
    }
    meter.result()
}
