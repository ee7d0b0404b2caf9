//! `umsicht models drive`

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;

use super::{Point, Report, Task, judge_drive};
use crate::edge::config::EdgeConfig;
use crate::edge::fix::DEFAULT_MAX_GAP_MILLIS;
use crate::failure::Failure;
use crate::models::cli::{BackendArgument, ModelArguments, RuntimeArguments, print_json};

const STRETCH_METRES: RangeInclusive<f64> = 0.5..=1000.0;

const EXAMPLES: &str = "\
Examples:
  umsicht models drive --model road --video drive.mp4 --gnss drive.nmea --boxes boxes.csv
      how many damaged stretches of 5 m get a sighting, and how many sightings lie on damage, by threshold
  umsicht models drive --model road --video drive.mp4 --gnss drive.nmea --boxes boxes.csv --thresholds 0.3,0.5 --json
      the same for two thresholds beside the shipped one, for a script

A stretch is damaged where the ground under a labelled box touches it, up to 15 m ahead of the camera;
a frame without a line in the labels shows nothing damaged, so label the whole drive.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DriveArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The drive: a video, or a folder of pictures.
    #[arg(long, value_name = "FILE|DIR")]
    video: PathBuf,
    /// The log of its GNSS receiver: NMEA or GPX.
    #[arg(long, value_name = "FILE")]
    gnss: PathBuf,
    /// CSV of what is damaged: `still,class,x0,y0,x1,y1`, the frame's number from 0, the class, the box in pixels.
    #[arg(long, value_name = "FILE")]
    boxes: PathBuf,
    /// A device's configuration, for its measured camera and its GNSS; without it a survey camera is assumed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long a stretch of road is.
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    stretch_metres: f64,
    /// Score thresholds to try beside the shipped one, with commas between.
    #[arg(
        long,
        value_name = "0..1,…",
        value_delimiter = ',',
        default_value = "0.2,0.25,0.3,0.35,0.4,0.45,0.5,0.55,0.6"
    )]
    thresholds: Vec<f32>,
    #[arg(long, value_enum, default_value_t = BackendArgument::Auto)]
    backend: BackendArgument,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl DriveArguments {
    pub fn run(self) -> Result<(), Failure> {
        if !STRETCH_METRES.contains(&self.stretch_metres) {
            let (from, to) = (STRETCH_METRES.start(), STRETCH_METRES.end());
            return Err(Failure::usage(format!(
                "--stretch-metres {} must lie between {from} and {to}",
                self.stretch_metres
            )));
        }
        if let Some(wrong) = self.thresholds.iter().find(|threshold| !(**threshold > 0.0 && **threshold <= 1.0)) {
            return Err(Failure::usage(format!("--thresholds: {wrong} must lie above 0 and up to 1")));
        }
        let mut detector = self.model.open(&self.runtime.settings(self.backend.choice()))?;
        let config = self.config.as_deref().map(EdgeConfig::read).transpose()?;
        let task = Task {
            video: self.video,
            gnss: self.gnss,
            max_gap_millis: config.as_ref().map_or(DEFAULT_MAX_GAP_MILLIS, |config| config.gnss.max_gap_millis),
            boxes: self.boxes,
            camera: config.and_then(|config| config.first_camera().mounted),
            stretch_metres: self.stretch_metres,
            thresholds: self.thresholds,
        };
        let report = judge_drive(&mut detector, &task)?;
        if self.json {
            return print_json(&report);
        }
        print_drive(&report);
        Ok(())
    }
}

fn print_drive(report: &Report) {
    println!("{} {} on {}, {} frames", report.model.name, report.model.version, report.backend, report.frames);
    println!(
        "{} of {} stretches of {} m are damaged{}",
        report.damaged_stretches,
        report.stretches,
        report.stretch_metres,
        if report.calibrated { "" } else { "; the camera is assumed, so their places are rough" }
    );
    println!(
        "{:>9} {:>9} {:>18} {:>22} {:>27}",
        "threshold", "sightings", "of them on damage", "damaged with sighting", "all stretches with sighting"
    );
    let row = |point: &Point, note: &str| {
        println!(
            "{:>9.2} {:>9} {:>18} {:>22} {:>27.2}{note}",
            point.threshold,
            point.sightings,
            share_or_none(point.right_share),
            share_or_none(point.found_share),
            point.covered_share
        );
    };
    report.curve.iter().for_each(|point| row(point, ""));
    row(&report.shipped, "  as shipped");
}

fn share_or_none(share: Option<f64>) -> String {
    share.map_or_else(|| "none".into(), |share| format!("{share:.2}"))
}
