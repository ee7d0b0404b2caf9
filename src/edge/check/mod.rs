//! `umsicht edge check`: is everything in place? Each check says what it found, or what to do.

pub mod machine;
pub mod permissions;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::machine::{SYNCHRONISED, clock_verdict, disk_verdict, temperature_verdict};
use self::permissions::{Need, permissions_verdict};
use crate::edge::batch::Batching;
use crate::edge::config::{EdgeConfig, SpoolConfig};
use crate::edge::detector::Detector;
use crate::edge::fix::FixLog;
use crate::edge::frame::CameraImage;
use crate::edge::link::{self, LinkError, LinkEvent, Settings, Version, VersionDoubt};
use crate::edge::machine::Roots;
use crate::edge::mask::privacy_model;
use crate::edge::publish::BrokerConfig;
use crate::edge::source::{self, SourceError};
use crate::edge::update::key::PublicKey;
use crate::edge::update::{models_folder, state_of};
use crate::mqtt::{BrokerFileError, advice};

const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Ok(String),
    /// It works, but not as well as it could.
    Warn(String),
    Fail(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
}

impl Finding {
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fail(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.verdict {
            Verdict::Ok(text) => ("ok  ", text),
            Verdict::Warn(text) => ("warn", text),
            Verdict::Fail(text) => ("FAIL", text),
        };
        write!(f, "{word}  {:<9} {text}", self.check)
    }
}

/// All checks, in the order of the flow; none stops the others.
#[must_use]
pub fn check(config: &EdgeConfig) -> Vec<Finding> {
    let gnss = FixLog::read(&config.gnss.file);
    let starts_at = config.first_camera().starts_at.or(gnss.as_ref().ok().and_then(FixLog::first_at));
    let first = first_picture(config, starts_at.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    let verdicts = [
        ("source", source_verdict(&first)),
        ("gnss", gnss_verdict(&gnss, config.first_camera().starts_at)),
        ("camera", camera_verdict(config, first.as_ref().ok())),
        ("model", model_verdict(config, first.as_ref().ok())),
        ("bundle", bundle_verdict(config)),
        ("privacy", privacy_verdict(config, first.as_ref().ok())),
        ("spool", spool_verdict(&config.spool.folder)),
        ("disk", disk_verdict(&config.spool.folder, config.spool.quota_bytes)),
        ("delivery", delivery_verdict(&config.spool)),
        ("broker", broker_verdict(&config.broker)),
        ("clock", clock_verdict(OffsetDateTime::now_utc(), Path::new(SYNCHRONISED).exists(), None)),
        ("heat", temperature_verdict(&Roots::default())),
        ("rights", permissions_verdict(&config.spool.folder, &needs(config))),
    ];
    verdicts.into_iter().map(|(check, verdict)| Finding { check, verdict }).collect()
}

/// The files that the service opens. What systemd hands over lies where only a running service can see it.
fn needs(config: &EdgeConfig) -> Vec<Need> {
    let mut needs = vec![Need::to_read("gnss.file", &config.gnss.file)];
    needs.push(Need::to_read("model.folder", models_folder(config).join("manifest.toml")));
    needs.extend(config.update.as_ref().map(|update| Need::to_read("update.public_key_file", &update.public_key_file)));
    needs
}

fn first_picture(config: &EdgeConfig, starts_at: OffsetDateTime) -> Result<CameraImage, SourceError> {
    let none = || SourceError::Unusable { input: "the source".into(), reason: "gives no picture".into() };
    source::open(&config.first_camera().source, starts_at)?
        .next_image()?
        .map(|captured| captured.image)
        .ok_or_else(none)
}

fn source_verdict(first: &Result<CameraImage, SourceError>) -> Verdict {
    match first {
        Ok(image) => Verdict::Ok(format!("gives pictures of {}×{} pixels", image.width_px(), image.height_px())),
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

fn gnss_verdict(gnss: &Result<FixLog, crate::edge::fix::FixError>, starts_at: Option<OffsetDateTime>) -> Verdict {
    let log = match gnss {
        Ok(log) => log,
        Err(error) => return Verdict::Fail(error.to_string()),
    };
    let span = match (log.first_at(), log.last_at()) {
        (Some(first), Some(last)) => format!("{} fixes, {first} to {last}", log.fixes().len()),
        _ => return Verdict::Fail("holds no fix".into()),
    };
    if starts_at.is_some_and(|at| log.at(at).is_none()) {
        return Verdict::Warn(format!("{span}; none at starts_at of the camera: are both in UTC?"));
    }
    let report = log.report();
    if report.skipped > 0 {
        return Verdict::Warn(format!(
            "{span}; {} of {} lines cannot be used: {}",
            report.skipped,
            report.read,
            report.describe("line")
        ));
    }
    Verdict::Ok(span)
}

fn camera_verdict(config: &EdgeConfig, first: Option<&CameraImage>) -> Verdict {
    let Some(camera) = &config.first_camera().mounted else {
        return Verdict::Warn(
            "not measured: positions and sizes are indications; write a section [camera.NAME.mounting]".into(),
        );
    };
    let (width, height) = (camera.intrinsics.width_px, camera.intrinsics.height_px);
    match first {
        Some(image) if (image.width_px(), image.height_px()) != (width, height) => Verdict::Fail(format!(
            "[camera.NAME.mounting] describes {width}×{height} pixels, the source gives {}×{}; measure it at that size",
            image.width_px(),
            image.height_px()
        )),
        _ => Verdict::Ok(format!("measured at {width}×{height} pixels")),
    }
}

fn model_verdict(config: &EdgeConfig, first: Option<&CameraImage>) -> Verdict {
    let model = &config.model;
    match Detector::open_with(&models_folder(config), &model.name, &model.backend) {
        Ok(detector) => {
            let on_trial = detector.model_ref().trial_operation;
            speed_verdict(detector, on_trial, first)
        }
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

/// Which models are in use, and what became of the last attempt to change them.
fn bundle_verdict(config: &EdgeConfig) -> Verdict {
    let Some(update) = &config.update else {
        return Verdict::Ok("no updates are taken: there is no section [update]".into());
    };
    if let Err(error) = PublicKey::read(&update.public_key_file) {
        return Verdict::Fail(error.to_string());
    }
    let state = state_of(update).unwrap_or_default();
    let text = match state.current {
        Some(version) if state.trial.is_some() => format!("version {version}, on trial"),
        Some(version) => format!("version {version}"),
        None => "the models that came with the program".into(),
    };
    match state.last_refusal {
        Some(reason) => Verdict::Warn(format!("{text}; the last bundle that was not kept: {reason}")),
        None => Verdict::Ok(text),
    }
}

fn privacy_verdict(config: &EdgeConfig, first: Option<&CameraImage>) -> Verdict {
    match privacy_model(&models_folder(config), &config.model.backend) {
        Ok(Some(detector)) => speed_verdict(detector, false, first),
        Ok(None) => Verdict::Warn("there is no privacy model: pictures rest on the allow-list alone".into()),
        Err(error) => Verdict::Fail(format!("{error}; until then no event gets a picture")),
    }
}

/// What the model is and how long it takes. A model that reports damage may be on trial.
fn speed_verdict(mut detector: Detector, on_trial: bool, first: Option<&CameraImage>) -> Verdict {
    let reference = detector.model_ref();
    let text =
        format!("{} {}, its hash is right, runs on {}", reference.name, reference.version, detector.backend_name());
    let verdict = |text: String| {
        if on_trial {
            Verdict::Warn(format!(
                "{text}; in trial operation: not shown to reach F1 0.40 on a camera it never saw, so people must check \
                 everything it reports"
            ))
        } else {
            Verdict::Ok(text)
        }
    };
    let Some(image) = first else { return verdict(text) };
    // The first run prepares memory; the second is what a frame costs.
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let started = Instant::now();
        if let Err(error) = detector.detect(image) {
            return Verdict::Fail(error.to_string());
        }
        took = started.elapsed();
    }
    verdict(format!("{text}, one picture in {} ms", took.as_millis()))
}

fn delivery_verdict(spool: &SpoolConfig) -> Verdict {
    let minutes = match spool.batching {
        Batching::Off => {
            return Verdict::Warn(
                "events go at once: whoever reads the stream sees who drove where; set spool.batch_minutes = 60".into(),
            );
        }
        batching => batching.minutes(),
    };
    match spool.settings().map(|settings| settings.secret) {
        Err(error) => Verdict::Fail(error.to_string()),
        Ok(None) => Verdict::Warn(format!(
            "batches of {minutes} minutes; without a secret in spool.device_secret_file nobody can remove what this device \
             sends, should it be faulty (`umsicht central enrol` makes the file)"
        )),
        Ok(Some(_)) => Verdict::Ok(format!("batches of {minutes} minutes, events carry the device's tag")),
    }
}

/// A folder that the check had to make does not stay: as root's it would be in the service's way.
fn spool_verdict(folder: &Path) -> Verdict {
    let was_there = folder.exists();
    let probe = folder.join("check");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&probe)?;
        file.write_all(&vec![0; 64 * 1024])?;
        file.sync_all()?;
        std::fs::remove_file(&probe)
    };
    let started = Instant::now();
    let written = write();
    let took = started.elapsed().as_millis();
    if !was_there {
        // Only when nothing else has come to lie there.
        let _ = std::fs::remove_dir(folder);
    }
    match written {
        Ok(()) => Verdict::Ok(format!("{} takes 64 KiB, synced, in {took} ms", folder.display())),
        Err(error) => Verdict::Fail(format!("{} cannot be written: {error}; set spool.folder", folder.display())),
    }
}

/// Connects as the service would, in MQTT 5 and, where the broker does not speak that, in 3.1.1.
#[must_use]
pub fn broker_verdict(broker: &BrokerConfig) -> Verdict {
    let address = &broker.address;
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Verdict::Fail("the network's thread does not start".into());
    };
    let answer = runtime.block_on(reach(broker));
    let how = |version: Version| {
        let encrypted = if address.is_encrypted() { "encrypted" } else { "not encrypted" };
        format!("{address} answers, MQTT {}, {encrypted}", version.name())
    };
    match answer {
        Ok(Ok(version)) => match (version, address.warning()) {
            (Version::V311, _) => Verdict::Warn(format!(
                "{}; in this version a broker cannot tell that nobody listens or that it refuses an event",
                how(version)
            )),
            (_, Some(warning)) => Verdict::Warn(format!("{}; {warning}", how(version))),
            (_, None) => Verdict::Ok(how(version)),
        },
        Ok(Err(error)) => Verdict::Fail(format!("{address}: {error}; {}", advice(address, &error.text))),
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

/// The version in which the broker answers.
async fn reach(broker: &BrokerConfig) -> Result<Result<Version, LinkError>, BrokerFileError> {
    let error = match greet(broker, Version::V5).await? {
        Ok(()) => return Ok(Ok(Version::V5)),
        Err(error) => error,
    };
    if error.version == VersionDoubt::None {
        return Ok(Err(error));
    }
    // When the older version does not work either, it was not the version: the first error is the one to tell.
    Ok(greet(broker, Version::V311).await?.map(|()| Version::V311).map_err(|_| error))
}

/// Outer error: the settings' files; inner one: the broker.
async fn greet(broker: &BrokerConfig, version: Version) -> Result<Result<(), LinkError>, BrokerFileError> {
    let settings = Settings {
        // Its own name: the same would throw out the service that may be running.
        client_id: &format!("{}-check", broker.client_id),
        keep_alive: BROKER_TIMEOUT,
        connect_timeout: BROKER_TIMEOUT,
        max_incoming_bytes: 1024,
        max_outgoing_bytes: 1024,
        last_will: None,
        queue: 1,
    };
    let (_client, mut connection) = link::open(version, broker.address.way()?, &settings);
    loop {
        match connection.next().await {
            Ok(LinkEvent::Connected { .. }) => return Ok(Ok(())),
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}
