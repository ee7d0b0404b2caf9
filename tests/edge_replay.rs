//! A clip gives the same events whenever and wherever it is replayed: the golden ones.
//!
//! The clip is made by the test and its time is the clip's own, so nothing depends on data, on the day or on the shipped
//! model. Ids are random by design; all else of an event is compared, rounded to what matters on a road.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use umsicht::edge::infer::library;
use umsicht::schema::DamageClass;
use umsicht::schema::Event;

use crate::support::clip::{self, Clip, Patch};
use crate::support::umsicht;

const METRES_PER_SECOND: f64 = 8.0;

fn patch(class: DamageClass, along_metres: f64, left_metres: f64, length_metres: f64, width_metres: f64) -> Patch {
    Patch { class, along_metres, left_metres, length_metres, width_metres }
}

fn drive() -> Clip {
    let patches = vec![
        patch(DamageClass::Pothole, 20.0, 0.4, 0.8, 0.6),
        patch(DamageClass::LongitudinalCrack, 26.0, -0.9, 4.0, 0.3),
        patch(DamageClass::AlligatorCrack, 45.0, 1.2, 2.0, 1.5),
        patch(DamageClass::Pothole, 60.0, -0.5, 0.5, 0.5),
    ];
    Clip { patches, along_at: |seconds| METRES_PER_SECOND * seconds, duration: Duration::from_secs(9) }
}

/// The events of one replay through the real program.
fn replayed(folder: &Path, pictures: &Path, log: &Path, backend: &str) -> Vec<Event> {
    let config = clip::write_config(folder, backend);
    let out = folder.join("events.jsonl");
    let output = umsicht()
        .args(["edge", "replay", "--pass-id", "golden", "--config"])
        .arg(&config)
        .arg("--video")
        .arg(pictures)
        .arg("--gnss")
        .arg(log)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = fs::read_to_string(out).unwrap();
    lines.lines().map(|line| Event::from_json(line.as_bytes()).unwrap()).collect()
}

/// As JSON without the random id; degrees to about 0.1 m, all other numbers to two decimals.
fn rounded(events: &[Event]) -> Vec<Value> {
    events
        .iter()
        .map(|event| {
            let mut json: Value = serde_json::from_slice(&event.to_json()).unwrap();
            json.as_object_mut().unwrap().remove("id");
            round(&mut json, "");
            json
        })
        .collect()
}

fn round(value: &mut Value, key: &str) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let scale = if matches!(key, "lat" | "lon") { 1e6 } else { 1e2 };
            *value = ((number.as_f64().unwrap() * scale).round() / scale).into();
        }
        Value::Array(list) => list.iter_mut().for_each(|item| round(item, key)),
        Value::Object(map) => map.iter_mut().for_each(|(key, item)| round(item, key)),
        _ => {}
    }
}

#[test]
fn a_clip_gives_the_golden_events_twice_and_on_both_backends() {
    let folder = tempfile::tempdir().unwrap();
    let clip = drive();
    let (pictures, log) =
        (clip.write_pictures(folder.path(), Duration::ZERO, clip.duration), clip.write_log(folder.path()));
    let events = replayed(folder.path(), &pictures, &log, "tract");

    // The golden events are worth keeping only if they are right.
    assert_eq!(events.len(), clip.patches.len());
    for (event, patch) in events.iter().zip(&clip.patches) {
        let damage = event.data.damage().unwrap();
        let off_metres = umsicht::geo::distance_metres(damage.position, patch.position());
        assert_eq!(damage.class, patch.class);
        assert!(off_metres < 0.3, "{} is {off_metres:.2} m off", patch.class);
        assert!((damage.length_metres - patch.length_metres).abs() < 0.5, "{damage:?}");
        assert!((damage.width_metres - patch.width_metres).abs() < 0.3, "{damage:?}");
    }

    let golden = rounded(&events);
    insta::assert_snapshot!("golden", serde_json::to_string_pretty(&golden).unwrap());
    let again = replayed(folder.path(), &pictures, &log, "tract");
    assert_eq!(rounded(&again), golden, "the same clip gives the same events");
    assert!(events.iter().zip(&again).all(|(a, b)| a.id != b.id), "an id is never used twice");
    match library::find(None) {
        Ok(_) => assert_eq!(rounded(&replayed(folder.path(), &pictures, &log, "ort")), golden, "ort sees the same"),
        Err(missing) => eprintln!("SKIPPED: the golden events were not compared with ort: {missing}"),
    }
}
