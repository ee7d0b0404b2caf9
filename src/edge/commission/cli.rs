//! `umsicht edge commission`: compares a pass with measured objects, and checks reports that were signed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;

use crate::clock::{Clock, SystemClock};
use crate::edge::commission::compare::{Limits, compare, objections};
use crate::edge::commission::objects;
use crate::edge::commission::report::{Circumstances, Report, notes};
use crate::edge::commission::seal::{SealError, hex, seal, verify};
use crate::edge::config::EdgeConfig;
use crate::edge::replay::Replay;
use crate::edge::update::key::{PrivateKey, PublicKey};
use crate::failure::Failure;
use crate::schema::event::EventData;
use crate::schema::{Event, ModelRef, RoadDamage};

pub const EXAMPLES: &str = "\
Examples:
  umsicht edge commission --config edge-road.toml --objects objects.csv --events events.jsonl --who 'A. Meier' \\
      --key acceptance.private --report acceptance.json
      compares a pass that `umsicht edge replay --out events.jsonl` has judged; acceptance.md is the same for people
  umsicht edge commission --config edge-road.toml --objects objects.csv --video pass.mp4 --gnss pass.nmea --who 'A. Meier' \\
      --key acceptance.private --report acceptance.json
      judges the recorded pass first
  umsicht edge commission --verify acceptance.json --public-key acceptance.public
      tells whether a report is whole, and what was changed

objects.csv: name,lat,lon,length_metres,width_metres,class — at least 5 things along about 200 m, their middles by RTK, their
sizes by tape; class (D00, D10, D20, D40, Repair) may be empty. `umsicht models keygen` makes the pair of keys.
Exit codes: 0 accepted or whole, 65 not accepted (the report is written) or changed.";

#[derive(Debug, Args)]
pub struct CommissionArguments {
    /// The device's settings, as in service.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    config: Option<PathBuf>,
    /// The measured objects.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    objects: Option<PathBuf>,
    /// The events of the pass, one CloudEvent per line.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["verify", "video"], conflicts_with = "video")]
    events: Option<PathBuf>,
    /// The recorded pass instead: a video file, or a folder of pictures …
    #[arg(long, value_name = "PATH", requires = "gnss")]
    video: Option<PathBuf>,
    /// … and where the vehicle was: NMEA 0183 or GPX.
    #[arg(long, value_name = "FILE", requires = "video")]
    gnss: Option<PathBuf>,
    /// Who answers for the measurement; stands in the report.
    #[arg(long, value_name = "NAME", required_unless_present = "verify")]
    who: Option<String>,
    /// The private key that signs, see `umsicht models keygen`.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    key: Option<PathBuf>,
    /// Where the signed report goes, as JSON; the same with the ending .md for people.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    report: Option<PathBuf>,
    /// Of the objects, this share must be found.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().min_found_share)]
    min_found_share: f64,
    /// Largest median of the position errors.
    #[arg(long, value_name = "METRES", default_value_t = Limits::default().max_median_metres)]
    max_median_metres: f64,
    /// Largest 95th percentile of the position errors.
    #[arg(long, value_name = "METRES", default_value_t = Limits::default().max_percentile_95_metres)]
    max_percentile_95_metres: f64,
    /// Largest median error of the sizes, as a share.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().max_scale_bias)]
    max_scale_bias: f64,
    /// An event further than this from an object is another thing.
    #[arg(long, value_name = "METRES", default_value_t = Limits::default().match_metres)]
    match_metres: f64,
    /// Checks a signed report instead.
    #[arg(long, value_name = "REPORT", requires = "public_key", conflicts_with_all = ["config", "objects", "events", "video", "report", "key"])]
    verify: Option<PathBuf>,
    /// The public key of who has signed it.
    #[arg(long, value_name = "FILE", requires = "verify")]
    public_key: Option<PathBuf>,
}

impl CommissionArguments {
    pub fn run(self) -> Result<(), Failure> {
        match (&self.verify, &self.public_key) {
            (Some(report), Some(key)) => verified(report, key),
            _ => self.commission(),
        }
    }

    fn commission(self) -> Result<(), Failure> {
        let limits = Limits {
            min_found_share: self.min_found_share,
            max_median_metres: self.max_median_metres,
            max_percentile_95_metres: self.max_percentile_95_metres,
            max_scale_bias: self.max_scale_bias,
            match_metres: self.match_metres,
        };
        let (Some(config_path), Some(objects_path), Some(who), Some(key), Some(out)) =
            (self.config, self.objects, self.who, self.key, self.report)
        else {
            return Err(Failure::usage("give --config, --objects, --who, --key and --report; see --help"));
        };
        // Whatever can be wrong is found before a pass is judged for minutes.
        let config = EdgeConfig::read(&config_path)?;
        let key = PrivateKey::read(&key).map_err(Failure::usage)?;
        let objects = objects::read(&objects_path).map_err(Failure::data)?;
        // Judged here, the events are not kept: the report names their digest and all that was taken from them.
        let scratch = tempfile::tempdir().map_err(|e| Failure::unavailable(format!("no temporary folder: {e}")))?;
        let events_path = match (self.events, self.video, self.gnss) {
            (Some(events), _, _) => events,
            (None, Some(video), Some(gnss)) => {
                let events = scratch.path().join("events.jsonl");
                judge(&config_path, video, gnss, events.clone())?;
                events
            }
            _ => return Err(Failure::usage("give --events, or --video and --gnss")),
        };
        let (events, simulated) = read_events(&events_path)?;
        let (found, summary) = compare(&objects, &events, &limits);
        let mut models: Vec<ModelRef> = Vec::new();
        for event in &events {
            if !models.contains(&event.model) {
                models.push(event.model.clone());
            }
        }
        let circumstances = Circumstances {
            site: config.site.to_string(),
            device: config.device.to_string(),
            who,
            made_at: SystemClock
                .now()
                .replace_nanosecond(0)
                .map_err(Failure::bug)?
                .format(&Rfc3339)
                .map_err(Failure::bug)?,
            program: crate::VERSION.to_owned(),
            configuration_sha256: sha256_of(&config_path)?,
            objects_sha256: sha256_of(&objects_path)?,
            events_sha256: sha256_of(&events_path)?,
            models,
            camera: config.first_camera().mounted.as_ref().map(|camera| (camera.intrinsics, camera.mounting)),
            simulated,
        };
        let report = Report {
            objections: objections(&summary, &limits),
            notes: notes(&circumstances, &summary),
            circumstances,
            limits,
            summary,
            objects: objects.into_iter().zip(found).collect(),
        };
        let sealed = serde_json::to_string_pretty(&seal(&report.to_json(), &key)).map_err(Failure::bug)?;
        let text = report.to_markdown();
        write(&out, &sealed)?;
        write(&out.with_extension("md"), &text)?;
        println!("{text}");
        if report.is_accepted() {
            Ok(())
        } else {
            Err(Failure::data(format!("not accepted:\n  {}", report.objections.join("\n  "))))
        }
    }
}

fn judge(config: &Path, video: PathBuf, gnss: PathBuf, out: PathBuf) -> Result<(), Failure> {
    let models = PathBuf::from("models");
    let replay = Replay { config: Some(config.to_owned()), models, video, gnss, out, detections: None, pass_id: None };
    eprintln!("{}", replay.run()?);
    Ok(())
}

/// The damages of a pass; dangers come as damages too. The second is whether they are simulated.
fn read_events(path: &Path) -> Result<(Vec<RoadDamage>, bool), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::data(format!("{}: {e}; `umsicht edge replay --out` writes events", path.display())))?;
    let mut damages = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let event = Event::from_json(line.as_bytes())
            .map_err(|e| Failure::data(format!("{}:{number}: {e}", path.display())))?;
        if let EventData::RoadDamage(damage) = event.data {
            damages.push(damage);
        }
    }
    let simulated = damages.iter().any(|damage| damage.simulated);
    Ok((damages, simulated))
}

fn verified(path: &Path, key: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::data(format!("{}: {e}", path.display())))?;
    let key = PublicKey::read(key).map_err(Failure::usage)?;
    match verify(&text, &key) {
        Ok(report) => {
            let said = |name: &str| report["circumstances"][name].as_str().unwrap_or("?").to_owned();
            let verdict = if report["accepted"] == Value::Bool(true) { "accepted" } else { "not accepted" };
            println!(
                "{}: whole and signed with this key: {} / {}, {verdict}, by {} on {}",
                path.display(),
                said("site"),
                said("device"),
                said("who"),
                said("made_at")
            );
            Ok(())
        }
        Err(error) => {
            let more = match &error {
                SealError::ForeignSignature { changed } if !changed.is_empty() => {
                    format!("; besides, these parts do not fit their digests: {}", changed.join(", "))
                }
                _ => String::new(),
            };
            Err(Failure::data(format!("{}: {error}{more}", path.display())))
        }
    }
}

fn sha256_of(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::data(format!("{}: {e}", path.display())))?;
    Ok(hex(&Sha256::digest(&bytes)))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}
