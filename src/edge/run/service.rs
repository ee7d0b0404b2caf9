//! One run of the service, with one configuration.
//!
//! The publisher starts before anything else, so that a device whose camera fails still sends what it had seen. At the end open
//! tracks are judged and committed, the spool is written down, the broker told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::edge::blind::Reference;
use crate::edge::config::{CameraConfig, EdgeConfig};
use crate::edge::device_clock::DeviceClock;
use crate::edge::fix::Positions;
use crate::edge::health::{CameraPart, Health, Inputs, Parts, Rate};
use crate::edge::judge::road::RoadJudgeConfig;
use crate::edge::local::{Local, LocalParts};
use crate::edge::machine::FlashMeter;
use crate::edge::pass::Pass;
use crate::edge::pipeline::sight::Sight;
use crate::edge::pipeline::{
    Bounds, CameraCounters, CameraFeed, Counters, Live, Outbox, Pace, PipelineError, Playback, RoadPipeline,
};
use crate::edge::publish::{Command, PublishStats, Publisher, delivered};
use crate::edge::report::PassId;
use crate::edge::run::looks::Looks;
use crate::edge::run::pulse::{Pulse, Watched};
use crate::edge::run::wish::{Wish, Wishes, ask};
use crate::edge::shadow::Shadow;
use crate::edge::source::state::CameraState;
use crate::edge::source::{FrameSource, SourceConfig, open_live};
use crate::edge::spool::{Recovery, Spool, SpoolError, SpoolSettings};
use crate::edge::update::{self, Updater, Watch, service};
use crate::edge::vehicle::{Ignition, Level, Mark, Marks, Recording, Vehicle};
use crate::edge::watchdog::Watchdog;
use crate::edge::zones::Zones;
use crate::failure::Failure;

/// What is left when a run fails is given so long to be sent; the rest goes at the next start.
const FAREWELL: Duration = Duration::from_secs(8);
/// Who is told to stop, by a signal or the ignition, has ten seconds for all of it.
const SHORT_FAREWELL: Duration = Duration::from_secs(4);
/// Commands that may wait while one is carried out. Each may be a bundle of models, in memory.
const COMMANDS: usize = 2;
const MARKS: usize = 16;
/// What is being answered at the end may be finished for so long.
const LOCAL_FAREWELL: Duration = Duration::from_millis(1500);
const SPOOL_IN_USE: Duration = Duration::from_secs(3);

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        Self::unavailable(error)
    }
}

/// One camera that was opened.
struct Opened<'c> {
    config: &'c CameraConfig,
    source: Box<dyn FrameSource>,
    state: Arc<CameraState>,
    counters: Arc<CameraCounters>,
    sight: Arc<Sight>,
    view_file: PathBuf,
}

/// Everything around the judging that lives as long as one run.
struct Surroundings {
    health: Arc<Health>,
    parts: Arc<Parts>,
    clock: Arc<DeviceClock>,
    recording: Arc<Recording>,
    vehicle: Vehicle,
    stop: Arc<AtomicBool>,
    local: Option<JoinHandle<()>>,
}

/// What outlives a run.
#[derive(Default)]
pub(super) struct Kept {
    /// A person has switched recording off, and the disk could not keep that.
    pub is_off: bool,
    pub ignition: Option<Ignition>,
}

/// What people ask of one run while it goes on.
struct Asked {
    commands: Option<mpsc::Receiver<Command>>,
    marks: mpsc::Receiver<Mark>,
}

/// Runs until all recordings have ended or something else is wished.
pub(super) fn run(
    runtime: &Runtime,
    config: &EdgeConfig,
    pass_id: Option<&PassId>,
    wishes: &Wishes,
    watchdog: &Arc<Watchdog>,
    pulse: &Pulse,
    kept: &mut Kept,
) -> Result<(), Failure> {
    // A card that fails to read once must not end the device for good, as wrong usage does.
    let settings = config.spool.settings().map_err(Failure::unavailable)?;
    let zones = config.recording.privacy_zones_file.as_deref().map(Zones::read).transpose()?.unwrap_or_default();
    let (spool, recovery) = open_spool(config, &settings)?;
    if recovery.items > 0 {
        tracing::info!(items = recovery.items, "the spool holds items of an earlier run; they are sent now");
    }
    for path in &recovery.set_aside {
        tracing::error!("a damaged part of the spool was set aside: {}; what was sound in it is kept", path.display());
    }
    let spool = Arc::new(spool);
    let parts = Arc::new(Parts::default());
    let health = Arc::new(Health {
        site: config.site.to_string(),
        device: config.device.to_string(),
        spool: Arc::clone(&spool),
        batching: config.spool.batching,
        started: Instant::now(),
        parts: Arc::clone(&parts),
        seen: Mutex::default(),
    });
    let publisher =
        Publisher::new(config.broker.clone(), config.site.clone(), config.device.clone(), Arc::clone(&spool))
            .with_policy(config.link.clone())
            .with_health(health.source());
    // Whoever takes no updates needs no commands.
    let (publisher, commands) = if config.update.is_some() {
        let (to_carry_out, commands) = mpsc::channel(COMMANDS);
        (publisher.with_commands(to_carry_out), Some(commands))
    } else {
        (publisher, None)
    };
    let mut stats = publisher.stats();
    let (end, ended) = watch::channel(false);
    let publishing = runtime.spawn(publisher.run(ended.clone()));

    let (mut around, marks) = surround(runtime, config, &health, wishes, &stats, &ended, kept);
    if kept.is_off
        && let Err(error) = around.recording.switch_off()
    {
        tracing::error!("{error}");
    }
    set(&parts.watchdog, Arc::clone(watchdog));
    set(&parts.last_reload, wishes.last_reload());
    let judged = judge(config, pass_id, &spool, &around, &zones, Asked { commands, marks }, pulse);
    pulse.waits();
    // Nobody looks any more: whoever asks gets what is true then.
    health.forget();
    around.stop.store(true, Ordering::Relaxed);
    let mut told = wishes.subscribe();
    runtime.block_on(async {
        let failed = judged.is_err();
        tokio::select! {
            () = delivered(&spool, &mut stats) => {}
            () = tokio::time::sleep(FAREWELL), if failed => {}
            _ = told.wait_for(|wish| *wish != Wish::Go) => {}
        }
        // From here on all is bounded.
        pulse.starts();
        let farewell = if *told.borrow() == Wish::Go { FAREWELL } else { SHORT_FAREWELL };
        end.send_replace(true);
        let mut publishing = publishing;
        if tokio::time::timeout(farewell, &mut publishing).await.is_err() {
            tracing::warn!("the broker does not answer; what is left is sent at the next start");
            // Else it would hold the spool and keep the next run from it.
            publishing.abort();
            let _ = tokio::time::timeout(LOCAL_FAREWELL, publishing).await;
        }
        if let Some(mut local) = around.local.take()
            && tokio::time::timeout(LOCAL_FAREWELL, &mut local).await.is_err()
        {
            local.abort();
        }
        let waiting = spool.waiting();
        if waiting > 0 {
            tracing::info!(
                waiting,
                "events wait for their batch ([spool] batch_minutes); they leave when the device runs again"
            );
        }
    });
    if let Some(meter) = parts.machine.get().and_then(|meter| meter.try_lock().ok()) {
        meter.keep();
    }
    kept.is_off = around.recording.off_is_not_kept();
    judged
}

/// Starts what tells, listens and is switched; none of it keeps the device from judging when it fails.
fn surround(
    runtime: &Runtime,
    config: &EdgeConfig,
    health: &Arc<Health>,
    wishes: &Wishes,
    stats: &watch::Receiver<PublishStats>,
    ended: &watch::Receiver<bool>,
    kept: &Kept,
) -> (Surroundings, mpsc::Receiver<Mark>) {
    let _within = runtime.enter();
    let parts = Arc::clone(&health.parts);
    let clock = Arc::new(DeviceClock::start(config.gnss.clock));
    let recording = Arc::new(Recording::kept_in(&config.spool.folder, config.vehicle.recording.as_ref()));
    let (to_report, marks_made) = mpsc::channel(MARKS);
    let marks = Arc::new(Marks::new(to_report, Arc::clone(&recording), clock.clone()));
    let vehicle = Vehicle::watch(&config.vehicle, &recording, &marks);
    let ignition = kept.ignition.as_ref().map(|ignition| ignition.level.clone());
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(stop_when_wished(wishes.subscribe(), Arc::clone(&stop)));
    if let Some(ignition) = ignition.clone() {
        runtime.spawn(park_when_off(ignition, wishes.sender()));
    }
    set(&parts.clock, Arc::clone(&clock));
    set(&parts.link, stats.clone());
    set(&parts.machine, Mutex::new(FlashMeter::kept_in(&config.spool.folder)));
    set(&parts.inputs, Inputs { recording: Arc::clone(&recording), marks: Arc::clone(&marks), ignition });
    let local = match runtime.block_on(Local::bind(config.local)) {
        Ok(local) => {
            // Whoever keeps a connection open must not keep the spool from the next run.
            let asked = Arc::downgrade(health);
            let status = move || asked.upgrade().map(|health| health.status().without_secrets()).unwrap_or_default();
            let parts = LocalParts { status: Arc::new(status), recording: Arc::clone(&recording), marks };
            Some(runtime.spawn(local.serve(parts, ended.clone())))
        }
        Err(error) => {
            tracing::error!("status, metrics and marks are not to be had: {error}");
            None
        }
    };
    let health = Arc::clone(health);
    (Surroundings { health, parts, clock, recording, vehicle, stop, local }, marks_made)
}

/// Set once in a run.
fn set<T>(part: &std::sync::OnceLock<T>, value: T) {
    let _ = part.set(value);
}

fn judge(
    config: &EdgeConfig,
    pass_id: Option<&PassId>,
    spool: &Arc<Spool>,
    around: &Surroundings,
    zones: &Zones,
    asked: Asked,
    pulse: &Pulse,
) -> Result<(), Failure> {
    let parts = &around.parts;
    let positions = Positions::open(&config.gnss, &around.clock, &around.stop).map_err(Failure::data)?;
    if let Positions::Log(log) = &positions
        && let Some(complaint) = log.report().complaint()
    {
        tracing::warn!("{}: {complaint}", config.gnss.source.describe());
    }
    let positions = Arc::new(positions);
    set(&parts.position, Arc::clone(&positions));
    let mut cameras = Vec::with_capacity(config.cameras.len());
    for camera in &config.cameras {
        cameras.push(open(config, camera, &positions, around)?);
    }
    set(&parts.cameras, cameras.iter().map(Opened::part).collect());
    let (models, updates) = service::start(config)?;
    let _watch = updates.as_ref().map(|updates| Watch::start(updates, end_stuck));
    let shadow = config.shadow.as_ref().and_then(|shadow| Shadow::open(shadow, &config.model.backend));
    set(&parts.models, models.in_use());
    if let Some(shadow) = &shadow {
        set(&parts.shadow, shadow.counts());
    }
    if let Some(updater) = &updates {
        set(&parts.updater, Arc::clone(updater));
        asked.commands.into_iter().for_each(|commands| carry_out(commands, Arc::clone(updater)));
    }
    let counters = Arc::new(Counters::default());
    set(&parts.counters, Arc::clone(&counters));
    pulse.judges(cameras.iter().map(Opened::watched).collect(), Arc::clone(&counters));
    let views: Vec<(PathBuf, Arc<Sight>)> =
        cameras.iter().map(|camera| (camera.view_file.clone(), Arc::clone(&camera.sight))).collect();
    let looks = Looks::start(&around.health, views);
    let feeds = cameras.iter_mut().map(|camera| camera.feed(config, pass_id)).collect();
    let (is_wet, recording) = (around.vehicle.wet.clone(), Arc::clone(&around.recording));
    let pipeline = RoadPipeline {
        site: config.site.clone(),
        judge: RoadJudgeConfig::default(),
        danger: Some(config.danger),
        simulated: false,
        detector: models.detector,
        guard: models.guard,
        updates: updates.clone(),
        shadow,
        bounds: Bounds::new(move || recording.is_on(), zones.clone()),
        live: Some(Live {
            clock: around.clock.clone(),
            coverage: config.coverage.clone(),
            is_wet: Box::new(move || is_wet.borrow().is_some_and(|level| level.on)),
            marks: asked.marks,
        }),
        outbox: Outbox::spool(Arc::clone(spool)),
        observer: Box::new(|_, _| {}),
        counters: Arc::clone(&counters),
    };
    let result = pipeline.run(feeds, &|at| positions.at(at), &around.stop);
    drop(looks);
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    tracing::info!(
        frames = count(&counters.frames),
        dropped_frames = count(&counters.dropped_frames),
        frames_without_fix = count(&counters.frames_without_fix),
        frames_not_recorded = count(&counters.frames_not_recorded),
        detections = count(&counters.detections),
        marks = count(&counters.marks),
        marks_not_reported = count(&counters.marks_not_reported),
        events = count(&counters.events),
        pictures_with_somebody = count(&counters.pictures_with_somebody),
        pictures_nobody_looked_at = count(&counters.pictures_nobody_looked_at),
        "the cameras have ended"
    );
    Ok(result?)
}

fn open<'c>(
    config: &EdgeConfig,
    camera: &'c CameraConfig,
    positions: &Positions,
    around: &Surroundings,
) -> Result<Opened<'c>, Failure> {
    let clock: Arc<dyn Clock> = around.clock.clone();
    // A recording without a beginning of its own begins with its log of positions.
    let starts_at = camera.settings.starts_at.or(positions.first_at()).unwrap_or_else(|| clock.now());
    let (source, state) =
        open_live(&camera.name, &camera.settings, starts_at, Arc::clone(&clock), Arc::clone(&around.stop))
            .map_err(PipelineError::from)?;
    let view_file = config.spool.folder.join(view_name(camera));
    let view = std::fs::read(&view_file).ok().and_then(|bytes| Reference::from_bytes(&bytes).ok());
    let sight = Arc::new(Sight::new(&camera.name, camera.blind.clone(), view.as_ref(), clock));
    Ok(Opened { config: camera, source, state, counters: Arc::default(), sight, view_file })
}

/// A camera that was mounted or measured anew looks elsewhere: its view is learned anew.
fn view_name(camera: &CameraConfig) -> String {
    let mounted = Sha256::digest(format!("{:?}", camera.mounted));
    format!("view-{}-{:02x}{:02x}{:02x}{:02x}", camera.name, mounted[0], mounted[1], mounted[2], mounted[3])
}

/// The publisher or a reader of the status of the run before may take a moment to let go of it.
fn open_spool(config: &EdgeConfig, settings: &SpoolSettings) -> Result<(Spool, Recovery), SpoolError> {
    let since = Instant::now();
    loop {
        match Spool::open(&config.spool.folder, settings.clone()) {
            Err(SpoolError::InUse(_)) if since.elapsed() < SPOOL_IN_USE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return opened,
        }
    }
}

impl Opened<'_> {
    fn is_live(&self) -> bool {
        matches!(self.config.settings.source, SourceConfig::Rtsp(_) | SourceConfig::V4l2(_))
    }

    fn part(&self) -> CameraPart {
        CameraPart {
            name: self.config.name.clone(),
            state: Arc::clone(&self.state),
            counters: Arc::clone(&self.counters),
            sight: Some(Arc::clone(&self.sight)),
            rate: Rate::default(),
        }
    }

    fn watched(&self) -> Watched {
        let (state, counters) = (Arc::clone(&self.state), Arc::clone(&self.counters));
        Watched { name: self.config.name.clone(), is_live: self.is_live(), state, counters }
    }

    fn feed(&mut self, config: &EdgeConfig, pass_id: Option<&PassId>) -> CameraFeed<'_> {
        let frames = self.config.settings.policy.frames;
        let playback = if self.is_live() { Playback { frames, pace: Pace::Camera } } else { Playback::of(frames) };
        // A recording is not watched: nobody can clean its lens.
        let sight = self.is_live().then(|| Arc::clone(&self.sight));
        CameraFeed {
            source: self.source.as_mut(),
            playback,
            mounted: self.config.mounted,
            pass: Pass::kept_in(&config.spool.folder, &self.config.name, pass_id.cloned()),
            counters: Arc::clone(&self.counters),
            sight,
        }
    }
}

/// On a thread of its own: trying new models takes its time, and frames and packets go on.
fn carry_out(mut commands: mpsc::Receiver<Command>, updater: Arc<Updater>) {
    std::thread::spawn(move || {
        while let Some(Command { name, payload }) = commands.blocking_recv() {
            if !update::on_command(&updater, name.as_str(), &payload) {
                tracing::warn!(command = name.as_str(), "a command that this program does not know is left undone");
            }
        }
    });
}

/// A model that hangs holds the thread that judges for good. The old models are in place by now and every committed event is
/// on the disk, so an end, which the service answers with a new start, is the way out.
fn end_stuck() {
    tracing::error!(
        "models were taken back, but the ones that failed do not let go of the program: it ends to start anew"
    );
    std::process::exit(69);
}

async fn stop_when_wished(mut told: watch::Receiver<Wish>, stop: Arc<AtomicBool>) {
    if told.wait_for(|wish| *wish != Wish::Go).await.is_ok() {
        stop.store(true, Ordering::Relaxed);
    }
}

async fn park_when_off(mut ignition: watch::Receiver<Option<Level>>, wish: watch::Sender<Wish>) {
    if ignition.wait_for(|level| level.is_some_and(|level| !level.on)).await.is_ok() {
        tracing::info!("the ignition is off: stopping");
        ask(&wish, Wish::Park);
    }
}
