//! One message of the broker as it is understood: something to commit, news of a device, or rejected with its reason.
//!
//! The device's name in the topic goes no further than [`News`], which lives in memory alone: beside an event or a rejected
//! message it would say who was on duty when. Of a rejected message no value goes further either: it may be a sound event of
//! a kind that is not known here, with a time to the second and a place.

use super::devices::News;
use super::model::{Danger, DrivenStretch, SeenDanger, Sighting, Teller};
use super::store::{Incoming, Rejection};
use crate::clock::hour_of;
use crate::schema::event::EventData;
use crate::schema::topic::TopicName;
use crate::schema::{
    DeviceHealth, DriverMark, Event, EventKind, Evidence, RejectedEvent, RoadDamage, RoadDanger, Topic,
};

/// A state of health is a few hundred bytes.
const MAX_HEALTH_BYTES: usize = 16 * 1024;
/// So many names of fields of a rejected message are kept, each so long.
const MAX_FIELDS: usize = 60;
const MAX_FIELD_CHARACTERS: usize = 40;

#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Keep(Incoming),
    Device { name: TopicName, news: News },
}

#[must_use]
pub fn read(site: &TopicName, topic: &str, payload: &[u8]) -> Message {
    understood(site, topic, payload).unwrap_or_else(|reason| {
        let topic = without_device(topic);
        Message::Keep(Incoming::Rejected(Rejection {
            topic,
            reason,
            fields: fields(payload),
            payload_bytes: payload.len() as u64,
        }))
    })
}

fn understood(site: &TopicName, topic: &str, payload: &[u8]) -> Result<Message, String> {
    let parsed: Topic = topic.parse().map_err(|_| "no topic of this system".to_owned())?;
    match parsed {
        Topic::RoadEvent { site: of, kind } if of == *site => {
            kept(event(kind, payload)?).map(Message::Keep).ok_or_else(|| not_read(site))
        }
        Topic::RoadEvidence { site: of, event_id } if of == *site => {
            let evidence = Evidence::from_payload(event_id, payload.to_vec()).map_err(|e| e.to_string())?;
            Ok(Message::Keep(Incoming::Evidence(evidence)))
        }
        Topic::DeviceEvent { site: of, kind, device } if of == *site => {
            let event = event(kind, payload)?;
            Ok(match event.data {
                EventData::DeviceBlind(blind) => Message::Device { name: device, news: News::Blind(blind) },
                EventData::DeviceRecovered(recovered) => {
                    Message::Device { name: device, news: News::Recovered(recovered) }
                }
                _ => Message::Keep(kept(event).ok_or_else(|| not_read(site))?),
            })
        }
        Topic::DeviceHealth { site: of, device } if of == *site => {
            let health = Some(payload).filter(|p| p.len() <= MAX_HEALTH_BYTES).and_then(DeviceHealth::from_json);
            let news = health.map_or(News::Unreadable, |health| News::Health(Box::new(health)));
            Ok(Message::Device { name: device, news })
        }
        Topic::DeviceStatus { site: of, device } if of == *site => {
            let news = match payload {
                b"online" => News::Online(true),
                b"offline" => News::Online(false),
                // How MQTT clears what was retained.
                b"" => News::Gone,
                _ => News::Unreadable,
            };
            Ok(Message::Device { name: device, news })
        }
        _ => Err(not_read(site)),
    }
}

fn not_read(site: &TopicName) -> String {
    format!("not a topic that is read here for site {site}")
}

/// The topic with `+` for the device, whether or not it is one that can be read.
fn without_device(topic: &str) -> String {
    let mut parts: Vec<&str> = topic.split('/').collect();
    if let [_, _, _, device, ..] = &mut parts[..]
        && *device != "road"
    {
        *device = "+";
    }
    parts.join("/")
}

/// What a technician needs to see what kind of thing it was: the names in a JSON object and in its `data`.
fn fields(payload: &[u8]) -> Vec<String> {
    let Ok(serde_json::Value::Object(top)) = serde_json::from_slice(payload) else { return Vec::new() };
    let data = top.get("data").and_then(|data| data.as_object());
    let names =
        top.keys().cloned().chain(data.into_iter().flat_map(|data| data.keys().map(|key| format!("data.{key}"))));
    names.take(MAX_FIELDS).map(|name| name.chars().take(MAX_FIELD_CHARACTERS).map(letter_of_a_name).collect()).collect()
}

/// A name may be a value as well: `{"09:47:11": …}`.
fn letter_of_a_name(character: char) -> char {
    if character.is_alphabetic() || matches!(character, '_' | '-' | '.') { character } else { '#' }
}

/// The same without digits in what comes from the payload: a parser quotes what it did not expect.
fn without_values(error: RejectedEvent) -> RejectedEvent {
    let blank = |text: String| text.replace(char::is_numeric, "#");
    match error {
        RejectedEvent::NotACloudEvent(text) => RejectedEvent::NotACloudEvent(blank(text)),
        RejectedEvent::Version(text) => RejectedEvent::Version(blank(text)),
        RejectedEvent::UnknownKind(text) => RejectedEvent::UnknownKind(blank(text)),
        RejectedEvent::Payload(text) => RejectedEvent::Payload(blank(text)),
        known @ RejectedEvent::NotHandled(_) => known,
    }
}

fn event(kind: EventKind, payload: &[u8]) -> Result<Event, String> {
    let event = Event::from_json(payload).map_err(|e| without_values(e).to_string())?;
    if event.kind() != kind {
        return Err(format!("the topic says {} but the event says {}", kind.name(), event.kind().name()));
    }
    Ok(event)
}

/// What is kept of an event; `None` for what a device tells of itself.
fn kept(event: Event) -> Option<Incoming> {
    let (id, hour, ordinal, device_tag) = (event.id, hour_of(event.time), event.ordinal, event.device_tag);
    Some(match event.data {
        EventData::DeviceBlind(_) | EventData::DeviceRecovered(_) => return None,
        EventData::RoadCoverage(coverage) => {
            Incoming::Coverage(Box::new(DrivenStretch { id, hour, ordinal, device_tag, coverage }))
        }
        EventData::RoadDamage(damage) => Incoming::Sighting(Box::new(Sighting { id, hour, device_tag, damage })),
        EventData::RoadDanger(told) => {
            let (position, covariance, heading_degrees, simulated, told_by) = match told {
                RoadDanger::MarkedByDriver(DriverMark {
                    position,
                    position_covariance,
                    heading_degrees,
                    simulated,
                }) => (position, position_covariance, heading_degrees, simulated, Teller::Driver),
                RoadDanger::Seen(seen) => {
                    let (place, covariance) = (seen.position, seen.position_covariance);
                    (place, covariance, seen.heading_degrees, seen.simulated, Teller::Model(seen_danger(seen)))
                }
            };
            let sigma_metres = covariance.sigma_metres();
            let acknowledged = false;
            Incoming::Danger(Box::new(Danger {
                id,
                hour,
                position,
                sigma_metres,
                heading_degrees,
                simulated,
                told_by,
                device_tag,
                acknowledged,
            }))
        }
    })
}

fn seen_danger(damage: RoadDamage) -> SeenDanger {
    SeenDanger {
        class: damage.class,
        score: damage.score,
        length_metres: damage.length_metres,
        width_metres: damage.width_metres,
        area_square_metres: damage.area_square_metres,
        calibrated: damage.calibrated,
        model: damage.model,
    }
}

/// The sighting in one CloudEvent, for replays; `None` for a danger, whose sighting comes by itself, and for whatever else is
/// no sighting.
pub fn sighting_from_json(payload: &[u8]) -> Result<Option<Sighting>, RejectedEvent> {
    match kept(Event::from_json(payload)?) {
        Some(Incoming::Sighting(sighting)) => Ok(Some(*sighting)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::coverage::tests::coverage;
    use crate::schema::danger::tests::mark;
    use crate::schema::event::tests::damage;
    use crate::schema::{BlindReason, DeviceBlind};

    fn site() -> TopicName {
        TopicName::new("soest").unwrap()
    }

    fn rejection(topic: &str, payload: &[u8]) -> Rejection {
        match read(&site(), topic, payload) {
            Message::Keep(Incoming::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    }

    fn rejected(topic: &str, payload: &[u8]) -> (String, String) {
        let Rejection { topic, reason, .. } = rejection(topic, payload);
        (topic, reason)
    }

    #[test]
    fn what_cannot_be_read_is_rejected_with_its_reason() {
        let reason = |topic: &str, payload: &[u8]| rejected(topic, payload).1;
        assert!(reason("umsicht/1/soest/road/event/road.damage", b"{").contains("not a CloudEvents"));
        assert!(reason("umsicht/1/soest/road/gossip", b"").contains("no topic"));
        assert!(reason("umsicht/1/unna/road/event/road.damage", b"{}").contains("site soest"));
        let id = crate::schema::EventId::random();
        assert!(reason(&format!("umsicht/1/soest/road/evidence/{id}"), b"png").contains("JPEG"));
        let topic = "umsicht/1/soest/bus7/event/road.danger";
        assert!(reason(topic, &damage().to_json()).contains("but the event says road.damage"));
    }

    #[test]
    fn of_a_sound_event_of_an_unknown_kind_only_the_names_of_its_fields_are_kept() {
        let payload = br#"{"specversion":"1.0","id":"9f0c","type":"road.gossip","time":"2026-03-17T09:47:11Z",
            "data":{"position":{"lat":51.57123,"lon":8.11},"9:47":true}}"#;
        let topic = "umsicht/1/soest/road/event/road.damage";
        let kept = rejection(topic, payload);
        assert_eq!(kept.payload_bytes, payload.len() as u64);
        // As the map of JSON orders them.
        let mut fields = kept.fields.clone();
        fields.sort();
        assert_eq!(fields, ["data", "data.####", "data.position", "id", "specversion", "time", "type"]);
        let all = format!("{kept:?}");
        assert!(!all.contains("47") && !all.contains("51.57"), "{all}");
        // The parser quotes what it finds; a place as a text is no place.
        let odd = String::from_utf8(damage().to_json()).unwrap().replace("135.0", "\"at 09:47:11, 51.57123\"");
        let reason = rejected(topic, odd.as_bytes()).1;
        assert!(reason.starts_with("payload: ") && !reason.contains("47") && !reason.contains("57"), "{reason}");
    }

    #[test]
    fn no_rejected_message_names_its_device() {
        for rest in ["event/road.danger", "event/road.damage", "event/gossip", "command/x", "x"] {
            let (topic, reason) = rejected(&format!("umsicht/1/soest/bus7/{rest}"), b"{");
            assert_eq!(topic, format!("umsicht/1/soest/+/{rest}"));
            assert!(!reason.contains("bus7"), "{reason}");
        }
        assert_eq!(rejected("umsicht/1/soest/road/event/x", b"{").0, "umsicht/1/soest/road/event/x");
    }

    #[test]
    fn a_danger_is_a_danger_and_its_time_the_utc_hour() {
        let EventData::RoadDamage(seen) = damage().data else { unreachable!("it is made as one") };
        let time = time::macros::datetime!(2026-03-17 09:47:11 +05:30);
        let event = Event { time, data: EventData::RoadDanger(RoadDanger::Seen(seen)), ..damage() };
        match read(&site(), "umsicht/1/soest/bus7/event/road.danger", &event.to_json()) {
            Message::Keep(Incoming::Danger(danger)) => {
                assert_eq!(danger.hour, time::macros::datetime!(2026-03-17 04:00 UTC));
                assert_eq!((danger.id, danger.device_tag), (event.id, event.device_tag.clone()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sighting_from_json(&event.to_json()), Ok(None));
    }

    #[test]
    fn a_drivers_mark_is_a_danger_that_no_model_saw() {
        let marked = mark();
        let data = EventData::RoadDanger(RoadDanger::MarkedByDriver(marked.clone()));
        let event = Event { ordinal: None, data, ..damage() };
        match read(&site(), "umsicht/1/soest/bus7/event/road.danger", &event.to_json()) {
            Message::Keep(Incoming::Danger(danger)) => {
                assert_eq!((danger.told_by, danger.position), (Teller::Driver, marked.position));
                assert!((danger.sigma_metres - 52.0_f64.sqrt()).abs() < 1e-9);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sighting_from_json(&event.to_json()), Ok(None), "it stands for no damage");
    }

    #[test]
    fn coverage_is_kept_and_a_blind_camera_is_news() {
        let event = Event { data: EventData::RoadCoverage(coverage()), ..damage() };
        match read(&site(), "umsicht/1/soest/road/event/road.coverage", &event.to_json()) {
            Message::Keep(Incoming::Coverage(driven)) => {
                assert_eq!((driven.id, driven.ordinal, &driven.coverage), (event.id, event.ordinal, &coverage()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sighting_from_json(&event.to_json()), Ok(None));
        let since = time::macros::datetime!(2026-03-17 09:47:11 UTC);
        let blind = DeviceBlind { camera: "front".into(), reason: BlindReason::Covered, since };
        let event = Event { time: since, data: EventData::DeviceBlind(blind.clone()), ..damage() };
        let message = read(&site(), "umsicht/1/soest/bus7/event/device.blind", &event.to_json());
        assert_eq!(message, Message::Device { name: TopicName::new("bus7").unwrap(), news: News::Blind(blind) });
        assert_eq!(sighting_from_json(&event.to_json()), Ok(None));
        let (topic, reason) = rejected("umsicht/1/soest/bus7/event/device.recovered", &event.to_json());
        assert!(topic.contains("/+/") && reason.contains("but the event says device.blind"), "{topic}: {reason}");
    }

    #[test]
    fn devices_say_how_they_are() {
        let news = |rest: &str, payload: &[u8]| match read(&site(), &format!("umsicht/1/soest/bus7/{rest}"), payload) {
            Message::Device { name, news } if name.as_str() == "bus7" => news,
            other => panic!("{other:?}"),
        };
        assert_eq!(news("status", b"online"), News::Online(true));
        assert_eq!(news("status", b"offline"), News::Online(false));
        assert_eq!(news("status", b""), News::Gone);
        assert_eq!(news("status", b"perhaps"), News::Unreadable);
        assert!(matches!(news("health", b"{}"), News::Health(_)));
        assert_eq!(news("health", b"{"), News::Unreadable);
        assert_eq!(news("health", &[b' '; MAX_HEALTH_BYTES + 1]), News::Unreadable);
    }
}
