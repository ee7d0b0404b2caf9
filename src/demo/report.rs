//! What the demo saw and what the town got, as JSON for scripts and as a table for people.

use serde::Serialize;

use crate::schema::DamageClass;

#[derive(Debug, Serialize)]
pub struct DemoReport {
    /// True when the input was the simulated world; such a result says nothing about real roads.
    pub simulated: bool,
    pub input: String,
    pub commit: &'static str,
    /// SHA-256 of the running binary; empty when it cannot be read.
    pub binary_sha256: String,
    pub backend: String,
    pub frames: u64,
    pub dropped_frames: u64,
    pub sightings: u64,
    pub detections: Vec<ReportDetection>,
    /// Events whose spool commit returned and that the town does not have at the end; must be 0.
    pub lost_events: u64,
    pub defects: Vec<ReportDefect>,
    pub truth: Option<ReportTruth>,
    pub seconds: f64,
    pub peak_memory_mebibytes: Option<f64>,
}

/// One box in one frame.
#[derive(Debug, Clone, Serialize)]
pub struct ReportDetection {
    pub video_time_seconds: f64,
    /// x0, y0, x1, y1 in pixels of the original picture.
    #[serde(rename = "box")]
    pub box_in_image: [f32; 4],
    pub class: String,
    pub score: f32,
}

#[derive(Debug, Clone, Serialize)]
pub struct ReportDefect {
    pub id: String,
    pub class: DamageClass,
    pub lat: f64,
    pub lon: f64,
    pub sigma_metres: f64,
    pub length_metres: f64,
    pub width_metres: f64,
    pub section: Option<String>,
    /// 1 very good to 5 very poor.
    pub grade: f64,
    /// 0 to 100.
    pub priority: f64,
    pub reasons: Vec<String>,
    pub sightings: usize,
    pub calibrated: bool,
}

/// Measured against the simulated world's truth.
#[derive(Debug, Clone, Serialize)]
pub struct ReportTruth {
    pub damages: usize,
    pub f1: f64,
    pub precision: f64,
    pub recall: f64,
    /// Of matched damages that came within 12 m of the camera.
    pub position_error_median_metres: Option<f64>,
    pub gnss: &'static str,
    /// The median error that the injected GNSS noise alone puts on a damage's position, averaged over its passes.
    pub position_error_from_noise_alone_median_metres: Option<f64>,
}

impl DemoReport {
    /// The end of a run as people read it on a terminal.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = vec![format!(
            "{}{}: {} frames ({} dropped), {} detections, {} sightings, {} defects, {} events lost, {:.0} s, {}",
            if self.simulated { "SIMULATED " } else { "" },
            self.input,
            self.frames,
            self.dropped_frames,
            self.detections.len(),
            self.sightings,
            self.defects.len(),
            self.lost_events,
            self.seconds,
            self.backend,
        )];
        if let Some(truth) = &self.truth {
            lines.push(format!(
                "simulated truth ({} GNSS): F1 {:.2} (precision {:.2}, recall {:.2}) over {} damages, median position error \
                 {} ({} from the GNSS noise alone)",
                truth.gnss,
                truth.f1,
                truth.precision,
                truth.recall,
                truth.damages,
                metres(truth.position_error_median_metres),
                metres(truth.position_error_from_noise_alone_median_metres),
            ));
        }
        lines.push(format!(
            "{:>8}  {:<6}  {:>5}  {:<28}  {:>11}  {:>4}  why",
            "priority", "class", "grade", "section", "size", "seen"
        ));
        lines.extend(self.defects.iter().map(|d| {
            format!(
                "{:>8.1}  {:<6}  {:>5.1}  {:<28}  {:>4.1} × {:>3.1} m  {:>4}  {}",
                d.priority,
                d.class.code(),
                d.grade,
                d.section.as_deref().unwrap_or("outside the network"),
                d.length_metres,
                d.width_metres,
                d.sightings,
                d.reasons.first().map_or("", String::as_str),
            )
        }));
        lines.join("\n")
    }
}

fn metres(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".into(), |v| format!("{v:.2} m"))
}

/// Largest resident memory of this process so far, from `/proc/self/status`; `None` off Linux.
#[must_use]
pub fn peak_memory_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}
