//! `umsicht edge run`: the service on the device.
//!
//! The publisher starts before anything else, so that a device whose camera fails still sends what it had seen. SIGTERM and
//! SIGINT end the run in order: open tracks are judged and committed, the spool is written down, the broker told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::edge::config::EdgeConfig;
use crate::edge::health::{Parts, health};
use crate::edge::judge::road::RoadJudgeConfig;
use crate::edge::pass::Pass;
use crate::edge::pipeline::{CameraFeed, Counters, Outbox, PipelineError, Playback, RoadPipeline};
use crate::edge::publish::{Command, Publisher, delivered};
use crate::edge::replay::read_fixes;
use crate::edge::report::PassId;
use crate::edge::shadow::Shadow;
use crate::edge::source;
use crate::edge::spool::{Spool, SpoolError};
use crate::edge::update::{self, Updater, Watch, service};
use crate::failure::Failure;

/// What is left when a run fails or is stopped is given so long to be sent; the rest goes at the next start.
const FAREWELL: Duration = Duration::from_secs(8);
/// Commands that may wait while one is carried out. Each may be a bundle of models, in memory.
const COMMANDS: usize = 2;

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        Self::unavailable(error)
    }
}

/// Runs until the source ends or the process is told to stop.
pub fn run(config: &EdgeConfig, pass_id: Option<PassId>) -> Result<(), Failure> {
    // A card that fails to read once must not end the device for good, as wrong usage does.
    let settings = config.spool.settings().map_err(Failure::unavailable)?;
    let (spool, recovery) = Spool::open(&config.spool.folder, settings)?;
    if recovery.items > 0 {
        tracing::info!(items = recovery.items, "the spool holds items of an earlier run; they are sent now");
    }
    for path in &recovery.set_aside {
        tracing::error!("a damaged part of the spool was set aside: {}; what was sound in it is kept", path.display());
    }
    let spool = Arc::new(spool);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable(format!("cannot start the network's thread: {e}")))?;
    let parts = Arc::new(Parts::default());
    let publisher =
        Publisher::new(config.broker.clone(), config.site.clone(), config.device.clone(), Arc::clone(&spool))
            .with_policy(config.link.clone())
            .with_health(health(&spool, config.spool.batching, &parts));
    // Whoever takes no updates needs no commands.
    let (publisher, commands) = if config.update.is_some() {
        let (to_carry_out, commands) = mpsc::channel(COMMANDS);
        (publisher.with_commands(to_carry_out), Some(commands))
    } else {
        (publisher, None)
    };
    let mut stats = publisher.stats();
    let (end, ended) = watch::channel(false);
    let publishing = runtime.spawn(publisher.run(ended));
    let (stop, mut stopped) = watch::channel(false);
    let stop_judging = Arc::new(AtomicBool::new(false));
    runtime.spawn(stop_on_signal(stop, Arc::clone(&stop_judging)));

    let judged = judge(config, pass_id, &spool, &parts, commands, &stop_judging);
    runtime.block_on(async {
        let failed = judged.is_err();
        tokio::select! {
            () = delivered(&spool, &mut stats) => {}
            () = tokio::time::sleep(FAREWELL), if failed => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        end.send_replace(true);
        if tokio::time::timeout(FAREWELL, publishing).await.is_err() {
            tracing::warn!("the broker does not answer; what is left is sent at the next start");
        }
        let waiting = spool.waiting();
        if waiting > 0 {
            tracing::info!(
                waiting,
                "events wait for their batch ([spool] batch_minutes); they leave when the device runs again"
            );
        }
    });
    judged
}

fn judge(
    config: &EdgeConfig,
    pass_id: Option<PassId>,
    spool: &Arc<Spool>,
    parts: &Parts,
    commands: Option<mpsc::Receiver<Command>>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let fixes = read_fixes(&config.gnss.file, config.gnss.max_gap_millis)?;
    let mut sources = Vec::with_capacity(config.cameras.len());
    for camera in &config.cameras {
        let starts_at = camera.starts_at.or(fixes.first_at());
        let starts_at =
            starts_at.ok_or_else(|| Failure::data(format!("{}: holds no fix", config.gnss.file.display())))?;
        sources.push(source::open(&camera.source, starts_at).map_err(PipelineError::from)?);
    }
    let (models, updates) = service::start(config)?;
    let _watch = updates.as_ref().map(|updates| Watch::start(updates, end_stuck));
    let shadow = config.shadow.as_ref().and_then(|shadow| Shadow::open(shadow, &config.model.backend));
    // Set once in a run, here.
    let _ = parts.models.set(models.in_use());
    if let Some(shadow) = &shadow {
        let _ = parts.shadow.set(shadow.counts());
    }
    if let Some(updater) = &updates {
        let _ = parts.updater.set(Arc::clone(updater));
        commands.into_iter().for_each(|commands| carry_out(commands, Arc::clone(updater)));
    }
    let counters = Arc::new(Counters::default());
    let cameras = config.cameras.iter().zip(&mut sources).map(|(camera, source)| CameraFeed {
        source: source.as_mut(),
        playback: Playback::of(camera.frames),
        mounted: camera.mounted,
        pass: Pass::kept_in(&config.spool.folder, &camera.name, pass_id.clone()),
        counters: Arc::default(),
    });
    let cameras = cameras.collect();
    let result = RoadPipeline {
        site: config.site.clone(),
        judge: RoadJudgeConfig::default(),
        danger: Some(config.danger),
        simulated: false,
        detector: models.detector,
        guard: models.guard,
        updates: updates.clone(),
        shadow,
        may_record: Box::new(|_| true),
        outbox: Outbox::spool(Arc::clone(spool)),
        observer: Box::new(|_, _| {}),
        counters: Arc::clone(&counters),
    }
    .run(cameras, &|at| fixes.at(at), stop);
    tracing::info!(
        frames = counters.frames.load(Ordering::Relaxed),
        dropped_frames = counters.dropped_frames.load(Ordering::Relaxed),
        frames_without_fix = counters.frames_without_fix.load(Ordering::Relaxed),
        detections = counters.detections.load(Ordering::Relaxed),
        events = counters.events.load(Ordering::Relaxed),
        pictures_with_somebody = counters.pictures_with_somebody.load(Ordering::Relaxed),
        pictures_nobody_looked_at = counters.pictures_nobody_looked_at.load(Ordering::Relaxed),
        "the source has ended"
    );
    Ok(result?)
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

async fn stop_on_signal(stop: watch::Sender<bool>, stop_judging: Arc<AtomicBool>) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signals cannot be caught; stopping will not be in order");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop_judging.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    // The sender lives on, so that a wait for it does not end for another reason.
    std::future::pending::<()>().await;
}
