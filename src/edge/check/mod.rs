//! `umsicht edge check`: is everything in place? Each check says what it found, or what to do.

mod camera;
pub mod machine;
pub mod permissions;
mod position;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::machine::{SYNCHRONISED, clock_verdict, disk_verdict, local_verdict, temperature_verdict};
use self::permissions::{Need, permissions_verdict};
use crate::edge::batch::Batching;
use crate::edge::config::{EdgeConfig, SpoolConfig};
use crate::edge::detector::Detector;
use crate::edge::fix::settings::GnssSource;
use crate::edge::frame::CameraImage;
use crate::edge::link::{self, LinkError, LinkEvent, Settings, Version, VersionDoubt};
use crate::edge::machine::Roots;
use crate::edge::mask::privacy_model;
use crate::edge::publish::BrokerConfig;
use crate::edge::source::SourceConfig;
use crate::edge::update::key::PublicKey;
use crate::edge::update::{models_folder, state_of};
use crate::edge::zones::Zones;
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
    pub check: String,
    pub verdict: Verdict,
}

impl Finding {
    fn new(check: impl Into<String>, verdict: Verdict) -> Self {
        Self { check: check.into(), verdict }
    }

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
        write!(f, "{word}  {:<14} {text}", self.check)
    }
}

/// All checks, in the order of the flow; none stops the others.
#[must_use]
pub fn check(config: &EdgeConfig) -> Vec<Finding> {
    let starts_at = config.first_camera().settings.starts_at;
    let position = position::look(&config.gnss, starts_at);
    let mut findings = Vec::new();
    let mut picture = None;
    for one in &config.cameras {
        let starts_at = one.settings.starts_at.or(position.first_at).unwrap_or_else(OffsetDateTime::now_utc);
        let first = camera::first(one, starts_at);
        findings.push(Finding::new(format!("camera {}", one.name), camera::source_verdict(&first)));
        let first = first.ok().map(|first| first.image);
        let mounting = camera::mounting_verdict(one, first.as_ref(), starts_at);
        findings.push(Finding::new(format!("mounting {}", one.name), mounting));
        picture = picture.or(first);
    }
    let picture = picture.as_ref();
    let verdicts = [
        ("gnss", position.verdict),
        ("model", model_verdict(config, picture)),
        ("bundle", bundle_verdict(config)),
        ("privacy", privacy_verdict(config, picture)),
        ("zones", zones_verdict(config.recording.privacy_zones_file.as_deref())),
        ("spool", spool_verdict(&config.spool.folder)),
        ("disk", disk_verdict(&config.spool.folder, config.spool.quota_bytes)),
        ("delivery", delivery_verdict(&config.spool)),
        ("broker", broker_verdict(&config.broker)),
        (
            "clock",
            clock_verdict(OffsetDateTime::now_utc(), Path::new(SYNCHRONISED).exists(), position.gnss_ahead_seconds),
        ),
        ("heat", temperature_verdict(&Roots::default())),
        ("status", local_verdict(config.local)),
        ("rights", permissions_verdict(&config.spool.folder, &needs(config))),
    ];
    findings.extend(verdicts.into_iter().map(|(check, verdict)| Finding::new(check, verdict)));
    findings
}

/// The files that the service opens. What systemd hands over lies where only a running service can see it.
fn needs(config: &EdgeConfig) -> Vec<Need> {
    let mut needs = Vec::new();
    match &config.gnss.source {
        GnssSource::File { path } => needs.push(Need::to_read("gnss.file", path)),
        GnssSource::Serial { device, .. } => needs.push(Need::to_write("gnss.device", device)),
        GnssSource::Gpsd { .. } | GnssSource::Tcp { .. } | GnssSource::Listen { .. } => {}
    }
    for camera in &config.cameras {
        let key = |key: &str| format!("camera.{}.{key}", camera.name);
        match &camera.settings.source {
            SourceConfig::V4l2(v4l2) => needs.push(Need::to_write(key("device"), &v4l2.device)),
            SourceConfig::Rtsp(rtsp) => {
                needs.extend(rtsp.login.iter().map(|login| Need::to_read(key("password_file"), &login.password_file)));
            }
            SourceConfig::File { path } => needs.push(Need::to_read(key("path"), path)),
            SourceConfig::Images { folder, .. } => needs.push(Need::to_read(key("folder"), folder)),
        }
    }
    needs.extend(config.vehicle.inputs().map(|(key, path)| Need::to_read(key, path)));
    let zones = config.recording.privacy_zones_file.as_ref();
    needs.extend(zones.map(|path| Need::to_read("recording.privacy_zones_file", path)));
    needs.push(Need::to_read("model.folder", models_folder(config).join("manifest.toml")));
    needs.extend(config.update.as_ref().map(|update| Need::to_read("update.public_key_file", &update.public_key_file)));
    needs
}

fn zones_verdict(file: Option<&Path>) -> Verdict {
    match file.map(Zones::read) {
        None => Verdict::Ok("there are no privacy zones: recording everywhere".into()),
        Some(Ok(zones)) => Verdict::Ok(format!("{} privacy zones: nothing is recorded there", zones.len())),
        Some(Err(error)) => Verdict::Fail(error.to_string()),
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
