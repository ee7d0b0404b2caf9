//! The report of an acceptance: what was measured with what, as JSON to sign and as text to read.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::edge::camera::{Intrinsics, Mounting};
use crate::edge::commission::compare::{Found, Limits, Summary};
use crate::edge::commission::objects::ReferenceObject;
use crate::schema::ModelRef;

/// With what it was measured, by whom and when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Circumstances {
    pub site: String,
    pub device: String,
    /// Who measured the objects and drove.
    pub who: String,
    /// RFC 3339, UTC.
    pub made_at: String,
    pub program: String,
    /// SHA-256 of each file, lower-case hexadecimal.
    pub configuration_sha256: String,
    pub objects_sha256: String,
    pub events_sha256: String,
    /// As the events name them.
    pub models: Vec<ModelRef>,
    /// `None`: the camera was assumed, not measured.
    pub camera: Option<(Intrinsics, Mounting)>,
    /// The events come from a simulated world.
    pub simulated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub circumstances: Circumstances,
    pub limits: Limits,
    pub summary: Summary,
    pub objects: Vec<(ReferenceObject, Option<Found>)>,
    /// Why it is not accepted; empty when it is.
    pub objections: Vec<String>,
    /// What weakens it, without being a reason to refuse it.
    pub notes: Vec<String>,
}

/// What weakens an acceptance.
#[must_use]
pub fn notes(circumstances: &Circumstances, summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if circumstances.simulated {
        notes.push("the pass is simulated: this says nothing about a device on a road".into());
    }
    if circumstances.camera.is_none() {
        notes.push("the camera is assumed, not measured: calibrate it first, see `umsicht edge calibrate`".into());
    }
    if summary.strip_metres < 150.0 {
        notes.push(format!(
            "the objects span {:.0} m; about 200 m show more of the receiver's drift",
            summary.strip_metres
        ));
    }
    if circumstances.models.len() > 1 {
        notes.push("more than one model has judged; drive once with one".into());
    }
    if circumstances.models.iter().any(|model| model.trial_operation) {
        notes.push(
            "the model is in trial operation: it was not shown to see well enough through a camera it does not know"
                .into(),
        );
    }
    notes
}

impl Report {
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.objections.is_empty()
    }

    /// Lengths to the millimetre, places to the centimetre: more was not measured.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let objects: Map<String, Value> = self
            .objects
            .iter()
            .map(|(object, found)| {
                let value = json!({
                    "lat": object.position.lat,
                    "lon": object.position.lon,
                    "length_metres": object.length_metres,
                    "width_metres": object.width_metres,
                    "class": object.class.map(crate::schema::DamageClass::code),
                    "found": found,
                });
                (object.name.clone(), value)
            })
            .collect();
        let circumstances = serde_json::to_value(&self.circumstances).unwrap_or_default();
        let mut report = json!({
            "kind": "umsicht commissioning report, version 1",
            "accepted": self.is_accepted(),
            "objections": self.objections,
            "notes": self.notes,
            "limits": self.limits,
            "summary": self.summary,
            "circumstances": circumstances,
            "objects": objects,
        });
        round(&mut report, "");
        report
    }

    /// Markdown, for people and for the file of the site.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let c = &self.circumstances;
        let s = &self.summary;
        let mut text = String::new();
        // Writing into a String cannot fail.
        let verdict = if self.is_accepted() { "accepted" } else { "NOT accepted" };
        let _ = writeln!(text, "# Acceptance of {} / {}: {verdict}\n", c.site, c.device);
        let _ = writeln!(text, "By {} on {}, with umsicht {}.\n", c.who, c.made_at, c.program);
        for objection in &self.objections {
            let _ = writeln!(text, "- **{objection}**");
        }
        for note in &self.notes {
            let _ = writeln!(text, "- Note: {note}");
        }
        let metres = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.2} m"));
        let l = &self.limits;
        let _ = writeln!(text, "\n| | measured | limit |\n|---|---|---|");
        let _ = writeln!(
            text,
            "| objects found | {} of {} ({:.0} %) | ≥ {:.0} % |",
            s.found,
            s.objects,
            100.0 * s.found_share,
            100.0 * l.min_found_share
        );
        let _ = writeln!(
            text,
            "| position error, median | {} | ≤ {:.2} m |\n| position error, 95th percentile | {} | ≤ {:.2} m |",
            metres(s.median_metres),
            l.max_median_metres,
            metres(s.percentile_95_metres),
            l.max_percentile_95_metres
        );
        let bias = s.scale_bias.map_or("–".into(), |b| format!("{:+.0} %", 100.0 * b));
        let _ = writeln!(text, "| sizes, median error | {bias} | ± {:.0} % |", 100.0 * l.max_scale_bias);
        let _ = writeln!(
            text,
            "| along the way, median | {} | |\n| to the left, median | {} | |\n| other events | {} | |",
            metres(s.along_bias_metres),
            metres(s.left_bias_metres),
            s.other_events
        );
        let _ = writeln!(
            text,
            "\n| object | along | left | length: reported / measured | width: reported / measured |\n|---|---|---|---|---|"
        );
        for (object, found) in &self.objects {
            let _ = match found {
                Some(f) => writeln!(
                    text,
                    "| {} | {:+.2} m | {:+.2} m | {:.2} / {:.2} m | {:.2} / {:.2} m |",
                    object.name,
                    f.along_metres,
                    f.left_metres,
                    f.reported_length_metres,
                    object.length_metres,
                    f.reported_width_metres,
                    object.width_metres
                ),
                None => writeln!(text, "| {} | not found | | | |", object.name),
            };
        }
        let camera = c.camera.map_or("assumed".into(), |(i, m)| {
            format!(
                "{}×{} px, focal length {:.0} px, {:.2} m high, pitch {:.1}°, roll {:.1}°, yaw {:.1}°",
                i.width_px, i.height_px, i.focal_x_px, m.height_metres, m.pitch_degrees, m.roll_degrees, m.yaw_degrees
            )
        });
        let _ = writeln!(text, "\nCamera: {camera}.  ");
        for model in &c.models {
            let _ = writeln!(text, "Model: {} {}, sha256 {}.  ", model.name, model.version, model.sha256);
        }
        let _ = writeln!(text, "Configuration: sha256 {}.  ", c.configuration_sha256);
        let _ = writeln!(text, "Signed is the JSON beside this text; `umsicht edge commission --verify` checks it.");
        text
    }
}

fn round(value: &mut Value, key: &str) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let scale = if matches!(key, "lat" | "lon") { 1e7 } else { 1e3 };
            let rounded = number.as_f64().map(|n| (n * scale).round() / scale);
            *value = rounded.map_or(Value::Null, Value::from);
        }
        Value::Array(list) => list.iter_mut().for_each(|item| round(item, key)),
        // What the configuration says is not a measurement and keeps its digits.
        Value::Object(map) => {
            map.iter_mut().filter(|(key, _)| *key != "camera").for_each(|(key, item)| round(item, key));
        }
        _ => {}
    }
}
