//! Events of version 1 stay readable: those in `fixtures/events-v1*.jsonl` were written once and are never changed.

use proptest::prelude::*;
use umsicht::schema::event::EventData;
use umsicht::schema::{DamageClass, Event, RoadDanger, Unusable};

const GOLDEN: &str = include_str!("fixtures/events-v1.jsonl");
const OPERATION: &str = include_str!("fixtures/events-v1-operation.jsonl");
const DANGERS: &str = include_str!("fixtures/events-v1-dangers.jsonl");

fn lines() -> impl Iterator<Item = &'static str> {
    GOLDEN.lines().chain(OPERATION.lines()).chain(DANGERS.lines())
}

fn read(line: &str) -> Event {
    Event::from_json(line.as_bytes()).unwrap()
}

#[test]
fn golden_events_are_read() {
    let events: Vec<Event> = GOLDEN.lines().map(read).collect();
    assert_eq!(events.len(), 5);
    for (event, class) in events.iter().zip(DamageClass::ALL) {
        let damage = event.data.damage().unwrap();
        assert_eq!(damage.class, class);
        assert_eq!(damage.model.name, "road");
        assert_eq!(event.source, "/umsicht/soest");
    }
    let data: Vec<EventData> = OPERATION.lines().map(|line| read(line).data).collect();
    let [EventData::RoadCoverage(coverage), EventData::DeviceBlind(blind), EventData::DeviceRecovered(recovered)] =
        &data[..]
    else {
        panic!("{data:?}");
    };
    assert!(coverage.unusable.keys().eq(&Unusable::ALL));
    assert_eq!((blind.reason, blind.since.millisecond()), (recovered.reason, 500));
    let dangers: Vec<EventData> = DANGERS.lines().map(|line| read(line).data).collect();
    let [EventData::RoadDanger(RoadDanger::Seen(seen)), EventData::RoadDanger(RoadDanger::MarkedByDriver(mark))] =
        &dangers[..]
    else {
        panic!("{dangers:?}");
    };
    assert_eq!((seen.class, seen.position), (DamageClass::Pothole, mark.position));
}

#[test]
fn what_a_later_version_adds_is_tolerated() {
    for line in lines() {
        let mut json: serde_json::Value = serde_json::from_str(line).unwrap();
        json["subject"] = "later".into();
        json["data"]["depth_metres"] = 0.04.into();
        if json["data"]["model"].is_object() {
            json["data"]["model"]["licence"] = "EUPL-1.2".into();
        }
        assert_eq!(Event::from_json(json.to_string().as_bytes()), Ok(read(line)));
    }
}

#[test]
fn what_is_read_is_written_the_same() {
    for line in lines() {
        let before: serde_json::Value = serde_json::from_str(line).unwrap();
        let after: serde_json::Value = serde_json::from_slice(&read(line).to_json()).unwrap();
        assert_eq!(after, before);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Event::from_json(&bytes);
    }

    /// One value of a sound event becomes something else: it is refused, or what is read can be written and read again.
    #[test]
    fn a_changed_event_is_read_or_refused(
        line in 0..10usize, at in any::<prop::sample::Index>(), steps in any::<i32>(), kind in 0..6,
    ) {
        // A whole number of quarters: JSON writes and reads it exactly.
        let number = f64::from(steps) / 4.0;
        let mut json: serde_json::Value = serde_json::from_str(lines().nth(line).unwrap()).unwrap();
        let mut values = Vec::new();
        places(&json, String::new(), &mut values);
        let place = &values[at.index(values.len())];
        *json.pointer_mut(place).unwrap() = match kind {
            0 => number.into(),
            1 => (number as i64).into(),
            2 => "1e400".into(),
            3 => serde_json::json!([number]),
            4 => serde_json::json!({"speed": number}),
            _ => serde_json::Value::Null,
        };
        if let Ok(event) = Event::from_json(json.to_string().as_bytes()) {
            prop_assert_eq!(Event::from_json(&event.to_json()), Ok(event));
        }
    }
}

/// JSON pointers to all values of an object but itself.
fn places(json: &serde_json::Value, at: String, found: &mut Vec<String>) {
    for (key, value) in json.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        places(value, at.clone(), found);
        found.push(at);
    }
}
