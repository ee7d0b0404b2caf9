//! Events of version 1 stay readable: those in `fixtures/events-v1.jsonl` were written once and are never changed.

use umsicht::schema::{DamageClass, Event};

const GOLDEN: &str = include_str!("fixtures/events-v1.jsonl");

fn golden() -> Vec<Event> {
    GOLDEN.lines().map(|line| Event::from_json(line.as_bytes()).unwrap()).collect()
}

#[test]
fn golden_events_are_read() {
    let events = golden();
    assert_eq!(events.len(), 5);
    for (event, class) in events.iter().zip(DamageClass::ALL) {
        let damage = event.data.damage();
        assert_eq!(damage.class, class);
        assert_eq!(damage.model.name, "road");
        assert_eq!(event.source, "/umsicht/soest");
    }
}

#[test]
fn what_a_later_version_adds_is_tolerated() {
    for (line, event) in GOLDEN.lines().zip(golden()) {
        let mut json: serde_json::Value = serde_json::from_str(line).unwrap();
        json["subject"] = "later".into();
        json["data"]["depth_metres"] = 0.04.into();
        json["data"]["model"]["licence"] = "EUPL-1.2".into();
        assert_eq!(Event::from_json(json.to_string().as_bytes()), Ok(event));
    }
}

#[test]
fn what_is_read_is_written_the_same() {
    for (line, event) in GOLDEN.lines().zip(golden()) {
        let before: serde_json::Value = serde_json::from_str(line).unwrap();
        let after: serde_json::Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!(after, before);
    }
}
