//! `umsicht demo`: device, broker and town in one process, on the code paths of the service.
//!
//! A private Mosquitto, the edge pipeline with its spool and publisher, and the central service with its store and web
//! interface; nothing is short-cut, so an event of the demo went through everything that an event of a vehicle goes through.

mod broker;
mod input;
mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::watch;

use crate::central::config::CheckedConfig;
use crate::central::model::Defect;
use crate::central::serve::{Serving, serve};
use crate::central::store::{DefectFilter, Store};
use crate::clock::SystemClock;
use crate::edge::batch::Batching;
use crate::edge::danger::DangerProfile;
use crate::edge::detector::Detector;
use crate::edge::health::health;
use crate::edge::infer::BackendSettings;
use crate::edge::judge::road::RoadJudgeConfig;
use crate::edge::mask::Guard;
use crate::edge::pass::Pass;
use crate::edge::pipeline::{CameraFeed, Counters, Outbox, Playback, RoadPipeline};
use crate::edge::publish::{BrokerConfig, Publisher};
use crate::edge::report::PassId;
use crate::edge::source::settings::FramePolicy;
use crate::edge::spool::{Spool, SpoolSettings};
use crate::failure::Failure;
use crate::mqtt::BrokerAddress;
use crate::schema::topic::TopicName;

use broker::{BrokerError, PrivateBroker};
use input::{Input, SimulatedGnss};
use report::{DemoReport, ReportDefect, ReportDetection};

/// Without batches: a demo has nobody to protect, and nobody who watches it wants to wait an hour.
const SPOOL: SpoolSettings = SpoolSettings { quota_bytes: 256 * 1024 * 1024, batching: Batching::Off, secret: None };
const SIMULATED_DURATION: Duration = Duration::from_secs(60);
/// How long the town may take at the end to show all that was committed.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_PORT: u16 = 8787;

const EXAMPLES: &str = "\
Examples:
  umsicht demo --loop
      drive through a simulated town again and again; watch the map in a browser
  umsicht demo --video drive.mp4 --gnss drive.nmea --network town.osm.pbf
      a recorded drive on the streets of its town
  umsicht demo --headless --for 60s --report report.json
      without a page to look at, for scripts";

/// Everything at once, to see it work: a drive, a device, a broker, a town's damage map.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// A recorded drive; without it a simulated town is driven through, and called simulated.
    #[arg(long, value_name = "FILE", requires = "gnss")]
    video: Option<PathBuf>,
    /// The GNSS log of the video (NMEA or GPX); the video starts at its first fix.
    #[arg(long, value_name = "FILE", requires = "video")]
    gnss: Option<PathBuf>,
    /// Streets (.osm.pbf or GeoJSON); without it, looked for beside the video and in ../osm.
    #[arg(long, value_name = "FILE", requires = "video")]
    network: Option<PathBuf>,
    /// Folder of the models.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Do not ask anybody to look at a page.
    #[arg(long)]
    headless: bool,
    /// Stop after this time at the latest, like 60s or 2m; without it, when the input ends.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    at_most: Option<Duration>,
    /// Drive again and again until stopped.
    #[arg(long = "loop")]
    again: bool,
    /// Write what was seen and found as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Port of the page; 0 takes a free one, which is also what --headless does.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Which simulated town.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "video")]
    seed: u64,
    /// How good the simulated positions are.
    #[arg(long, value_enum, default_value_t = SimulatedGnss::Perfect, conflicts_with = "video")]
    simulated_gnss: SimulatedGnss,
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unavailable)?;
        runtime.block_on(demo(self))
    }
}

async fn demo(command: Command) -> Result<(), Failure> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("umsicht-demo-").tempdir().map_err(Failure::unavailable)?;
    let mut input = match (&command.video, &command.gnss) {
        (Some(video), Some(gnss)) => Input::recorded(video, gnss, command.network.clone())?,
        _ => {
            let duration = command.at_most.map_or(SIMULATED_DURATION, |d| d.min(SIMULATED_DURATION));
            Input::simulated(command.seed, command.simulated_gnss, duration, folder.path())?
        }
    };
    let detector = Detector::open_with(&command.models, "road", &BackendSettings::default())?;
    let backend = detector.backend_name().to_owned();
    let broker = PrivateBroker::start(folder.path())?;
    let (stop, stopping) = watch::channel(false);
    let town = open_town(&command, &input, &broker, folder.path(), stopping.clone()).await?;
    let spool = Spool::open(&folder.path().join("spool"), SPOOL).map_err(Failure::unavailable)?.0;
    let spool = Arc::new(spool);
    let publisher = Publisher::new(device_link(&broker), name("demo")?, name("vehicle")?, Arc::clone(&spool))
        .with_health(health(&spool, SPOOL.batching, &Arc::default()));
    let publishing = tokio::spawn(publisher.run(stopping));

    say_hello(&command, &input, town.address, &backend);
    let seen: Arc<Mutex<Vec<ReportDetection>>> = Arc::default();
    let counters = Arc::new(Counters::default());
    let end = Arc::new(AtomicBool::new(false));
    tokio::spawn(end_when_told(command.at_most, Arc::clone(&end)));
    let mut detector = Some(detector);
    loop {
        let detector = match detector.take() {
            Some(first) => first,
            None => Detector::open_with(&command.models, "road", &BackendSettings::default())?,
        };
        let mut source = input.open()?;
        let guard = Guard::open(&command.models, &BackendSettings::default());
        let (site, fixes, mounted, simulated) = (name("demo")?, input.fixes(), input.camera(), input.is_simulated());
        let (spool, seen) = (Arc::clone(&spool), Arc::clone(&seen));
        let (counters, end_flag) = (Arc::clone(&counters), Arc::clone(&end));
        tokio::task::spawn_blocking(move || {
            let pipeline = RoadPipeline {
                site,
                judge: RoadJudgeConfig::default(),
                danger: Some(DangerProfile::default()),
                simulated,
                detector,
                guard,
                updates: None,
                shadow: None,
                may_record: Box::new(|_| true),
                live: None,
                outbox: Outbox::spool(spool),
                observer: observer(seen),
                counters,
            };
            let camera = CameraFeed {
                source: source.as_mut(),
                playback: Playback::of(FramePolicy::Latest),
                mounted,
                pass: Pass::OfOneRun(PassId::random()),
                counters: Arc::default(),
                sight: None,
            };
            pipeline.run(vec![camera], &|at| fixes.at(at), &end_flag)
        })
        .await
        .map_err(Failure::bug)??;
        if !command.again || end.load(Ordering::Relaxed) {
            break;
        }
    }

    let events = counters.events.load(Ordering::Relaxed);
    let arrived = wait_for_delivery(&town.store, &spool, events).await?;
    let defects = defects_of(&town.store).await?;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let report = DemoReport {
        simulated: input.is_simulated(),
        input: input.name(),
        commit: crate::COMMIT,
        binary_sha256: binary_sha256(),
        backend,
        frames: count(&counters.frames),
        dropped_frames: count(&counters.dropped_frames),
        sightings: count(&counters.sightings),
        detections: std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)),
        lost_events: events.saturating_sub(arrived),
        truth: input.truth(&defects),
        defects,
        seconds: started.elapsed().as_secs_f64(),
        peak_memory_mebibytes: report::peak_memory_mebibytes(),
    };
    // The receivers end with their tasks; a failed send means they have ended already.
    let _ = stop.send(true);
    let _ = publishing.await;
    town.finished().await?;
    println!("{}", report.summary());
    match &command.report {
        Some(path) => write_report(path, &report),
        None => Ok(()),
    }
}

async fn open_town(
    command: &Command,
    input: &Input,
    broker: &PrivateBroker,
    folder: &Path,
    mut stopping: watch::Receiver<bool>,
) -> Result<Serving, Failure> {
    let port = command.port.unwrap_or(if command.headless { 0 } else { DEFAULT_PORT });
    let config = CheckedConfig {
        site: name("demo")?,
        town_name: if input.is_simulated() { "Simulierte Stadt".into() } else { "Demo".into() },
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        broker: address_of(broker),
        database: folder.join("central.sqlite"),
        network: input.network().map(Path::to_owned),
        profile: None,
    };
    let shutdown = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let town = serve(config, Arc::new(SystemClock), shutdown).await?;
    // The publisher keeps what nobody listens to, but a demo should begin with everybody in their places.
    let started = Instant::now();
    while !town.ingest.is_connected() && started.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(town)
}

fn device_link(broker: &PrivateBroker) -> BrokerConfig {
    BrokerConfig { address: address_of(broker), client_id: "umsicht-demo-vehicle".into() }
}

fn address_of(broker: &PrivateBroker) -> BrokerAddress {
    BrokerAddress::plain(&Ipv4Addr::LOCALHOST.to_string(), broker.port())
}

fn say_hello(command: &Command, input: &Input, address: SocketAddr, backend: &str) {
    let kind = if input.is_simulated() { "SIMULATED: " } else { "" };
    eprintln!("{kind}{}; model runs on {backend}", input.name());
    match input.network() {
        Some(network) if !input.is_simulated() => eprintln!("streets: {}", network.display()),
        None => eprintln!("no street network found: defects have no street; give one with --network"),
        Some(_) => {}
    }
    eprintln!("batching is off: each event goes at once, as no device of a town should send it");
    if !command.headless {
        eprintln!("\n  map: http://{address}/   (stop with Ctrl-C)\n");
    }
}

fn observer(seen: Arc<Mutex<Vec<ReportDetection>>>) -> crate::edge::pipeline::Observer<'static> {
    Box::new(move |frame, detections| {
        let video_time_seconds = frame.stream_time.as_secs_f64();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(detections.iter().map(|(class, detection)| {
            let b = detection.box_in_image;
            ReportDetection {
                video_time_seconds,
                box_in_image: [b.x0, b.y0, b.x1, b.y1],
                class: class.code().into(),
                score: detection.score,
            }
        }));
    })
}

async fn end_when_told(at_most: Option<Duration>, end: Arc<AtomicBool>) {
    let time_is_up = async {
        match at_most {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time_is_up => {}
        _ = tokio::signal::ctrl_c() => eprintln!("stopping; a second Ctrl-C stops at once"),
    }
    end.store(true, Ordering::Relaxed);
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

/// Waits until the town has everything that was committed, pictures too; returns how many events it has.
async fn wait_for_delivery(store: &Store, spool: &Spool, events: u64) -> Result<u64, Failure> {
    let started = Instant::now();
    loop {
        let counts = store.counts().await.map_err(Failure::unavailable)?;
        let arrived = counts.sightings + counts.dangers;
        if (arrived >= events && spool.is_empty()) || started.elapsed() > DELIVERY_TIMEOUT {
            return Ok(arrived);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn defects_of(store: &Store) -> Result<Vec<ReportDefect>, Failure> {
    let (defects, _) = store.defects(&DefectFilter::default()).await.map_err(Failure::unavailable)?;
    Ok(defects.iter().map(report_defect).collect())
}

fn report_defect(defect: &Defect) -> ReportDefect {
    let summary = &defect.summary;
    ReportDefect {
        id: defect.id.to_string(),
        class: summary.class,
        lat: summary.position.lat,
        lon: summary.position.lon,
        sigma_metres: summary.covariance.sigma_metres(),
        length_metres: summary.length_metres,
        width_metres: summary.width_metres,
        section: defect.section.as_ref().map(|s| s.name.clone().unwrap_or_else(|| "(unnamed street)".into())),
        grade: defect.grade,
        priority: defect.priority,
        reasons: defect.reasons.iter().map(|r| format!("{:+.1} {}", r.points, r.text.en)).collect(),
        sightings: summary.sightings,
        calibrated: summary.calibrated,
    }
}

fn write_report(path: &Path, report: &DemoReport) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report).map_err(Failure::bug)?;
    std::fs::write(path, text + "\n")
        .map_err(|e| Failure::unavailable(format!("{}: cannot be written: {e}", path.display())))
}

fn binary_sha256() -> String {
    use sha2::{Digest, Sha256};
    let bytes = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
    if bytes.is_empty() { String::new() } else { Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect() }
}

fn name(text: &str) -> Result<TopicName, Failure> {
    TopicName::new(text).map_err(Failure::bug)
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write for example 60s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match &text[digits.len()..] {
        "" | "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err(wrong()),
    };
    if seconds == 0 { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("0s").is_err() && duration("soon").is_err() && duration("5 parsecs").is_err());
    }
}
