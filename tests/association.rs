//! Replay and reordering never multiply defects: the same events give the same defects, however they come.

use std::fmt::Write as _;
use std::process::Command;

use time::macros::datetime;
use umsicht::geo::{Covariance, EastNorth, LatLon, LocalFrame};
use umsicht::schema::event::EventData;
use umsicht::schema::{DamageClass, Event, EventId, ModelRef, PassTag, RoadDamage};

const ORIGIN: LatLon = LatLon { lat: 51.57, lon: 8.11 };

fn event(number: u8, pass: &str, north: f64) -> Event {
    Event {
        id: EventId::from_bytes([number; 16]),
        source: "/umsicht/soest".into(),
        time: datetime!(2026-03-17 09:00 UTC),
        ordinal: None,
        device_tag: None,
        data: EventData::RoadDamage(RoadDamage {
            class: DamageClass::Pothole,
            score: 0.5,
            position: LocalFrame::at(ORIGIN).latlon_from_local(EastNorth::new(0.0, north)),
            position_covariance: Covariance::isotropic(1.8),
            heading_degrees: 0.0,
            length_metres: 0.5,
            width_metres: 0.5,
            area_square_metres: 0.2,
            calibrated: true,
            pass: PassTag(pass.into()),
            frames_seen: 3,
            model: ModelRef {
                name: "road".into(),
                version: "0.1.0".into(),
                sha256: "ab".into(),
                trial_operation: false,
            },
            simulated: false,
            has_evidence: false,
        }),
    }
}

/// Three passes over three potholes 4 m apart, the second displaced by 2 m, the third by -1.5 m.
fn three_passes() -> Vec<String> {
    let mut lines = Vec::new();
    for (pass, (tag, offset)) in [("a", 0.0), ("b", 2.0), ("c", -1.5)].into_iter().enumerate() {
        for index in 0..3_u8 {
            let event = event(1 + 10 * pass as u8 + index, tag, offset + 4.0 * f64::from(index));
            lines.push(String::from_utf8(event.to_json()).unwrap());
        }
    }
    lines
}

fn replay(lines: &[String]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (events, out) = (folder.path().join("events.jsonl"), folder.path().join("defects.geojson"));
    std::fs::write(&events, lines.join("\n")).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_umsicht"))
        .args(["central", "replay", "--events"])
        .arg(&events)
        .arg("--out")
        .arg(&out)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read_to_string(&out).unwrap()
}

#[test]
fn three_displaced_passes_give_three_defects_of_three_sightings() {
    let geojson: serde_json::Value = serde_json::from_str(&replay(&three_passes())).unwrap();
    let features = geojson["features"].as_array().unwrap();
    assert_eq!(features.len(), 3);
    assert!(features.iter().all(|f| f["properties"]["sightings"] == 3), "{geojson}");
}

#[test]
fn order_and_repetition_change_not_a_byte() {
    let lines = three_passes();
    let wanted = replay(&lines);
    let mut turned = lines.clone();
    turned.reverse();
    turned.extend_from_slice(&lines[2..6]);
    assert_eq!(replay(&turned), wanted);
    turned.rotate_left(5);
    assert_eq!(replay(&turned), wanted);
}

#[test]
fn a_bad_line_is_named_and_ends_with_code_65() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let mut text = three_passes().join("\n");
    writeln!(text, "\n{{\"specversion\":\"1.0\"}}").unwrap();
    std::fs::write(&events, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_umsicht"))
        .args(["central", "replay", "--events"])
        .arg(&events)
        .arg("--out")
        .arg(folder.path().join("defects.geojson"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("events.jsonl:10: "));
}
