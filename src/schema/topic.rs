//! MQTT topics as a type; built and parsed only here.
//!
//! Road events travel under the site, never under a device: `umsicht/1/<site>/road/event/<kind>`. Pool, danger and
//! device events name their device, because a person must go there: `umsicht/1/<site>/<device>/event/<kind>`.

use std::fmt;
use std::str::FromStr;

use super::{EventId, EventKind};

const ROOT: &str = "umsicht/1";
const ROAD: &str = "road";

/// A name that may stand in a topic: letters, digits, `-` and `_`, 1 to 64 characters; not the word `road` for a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot stand in a topic; use 1 to 64 letters, digits, '-' or '_', and not the word \"road\"")]
pub struct BadTopicName(pub String);

impl TopicName {
    pub fn new(name: &str) -> Result<Self, BadTopicName> {
        let fine = (1..=64).contains(&name.len())
            && name != ROAD
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fine { Ok(Self(name.to_owned())) } else { Err(BadTopicName(name.to_owned())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    RoadEvent {
        site: TopicName,
        kind: EventKind,
    },
    RoadEvidence {
        site: TopicName,
        event_id: EventId,
    },
    DeviceEvent {
        site: TopicName,
        device: TopicName,
        kind: EventKind,
    },
    DeviceHealth {
        site: TopicName,
        device: TopicName,
    },
    /// Retained; the last will says `offline`.
    DeviceStatus {
        site: TopicName,
        device: TopicName,
    },
    DeviceCommand {
        site: TopicName,
        device: TopicName,
        name: TopicName,
    },
}

impl Topic {
    /// Where an event of this kind travels.
    #[must_use]
    pub fn of_event(site: &TopicName, device: &TopicName, kind: EventKind) -> Self {
        if kind.travels_under_site() {
            Self::RoadEvent { site: site.clone(), kind }
        } else {
            Self::DeviceEvent { site: site.clone(), device: device.clone(), kind }
        }
    }

    /// Subscriptions of a town's central service for one site.
    #[must_use]
    pub fn subscriptions(site: &TopicName) -> Vec<String> {
        ["event/+", "evidence/+", "health", "status"].iter().map(|rest| format!("{ROOT}/{site}/+/{rest}")).collect()
    }

    /// Subscription of a device for the commands to it.
    #[must_use]
    pub fn commands(site: &TopicName, device: &TopicName) -> String {
        format!("{ROOT}/{site}/{device}/command/+")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoadEvent { site, kind } => write!(f, "{ROOT}/{site}/{ROAD}/event/{}", kind.name()),
            Self::RoadEvidence { site, event_id } => write!(f, "{ROOT}/{site}/{ROAD}/evidence/{event_id}"),
            Self::DeviceEvent { site, device, kind } => write!(f, "{ROOT}/{site}/{device}/event/{}", kind.name()),
            Self::DeviceHealth { site, device } => write!(f, "{ROOT}/{site}/{device}/health"),
            Self::DeviceStatus { site, device } => write!(f, "{ROOT}/{site}/{device}/status"),
            Self::DeviceCommand { site, device, name } => write!(f, "{ROOT}/{site}/{device}/command/{name}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic of this system; expected umsicht/1/<site>/road/event/<kind> or a like one")]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Topic> {
    let rest = text.strip_prefix(ROOT)?.strip_prefix('/')?;
    let parts: Vec<&str> = rest.split('/').collect();
    let site = TopicName::new(parts.first()?).ok()?;
    match parts[1..] {
        [ROAD, "event", kind] => {
            let kind = EventKind::from_name(kind).filter(|k| k.travels_under_site())?;
            Some(Topic::RoadEvent { site, kind })
        }
        [ROAD, "evidence", id] => Some(Topic::RoadEvidence { site, event_id: id.parse().ok()? }),
        [device, "event", kind] => {
            let kind = EventKind::from_name(kind).filter(|k| !k.travels_under_site())?;
            Some(Topic::DeviceEvent { site, device: TopicName::new(device).ok()?, kind })
        }
        [device, "health"] => Some(Topic::DeviceHealth { site, device: TopicName::new(device).ok()? }),
        [device, "status"] => Some(Topic::DeviceStatus { site, device: TopicName::new(device).ok()? }),
        [device, "command", name] => {
            Some(Topic::DeviceCommand { site, device: TopicName::new(device).ok()?, name: TopicName::new(name).ok()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = TopicName> {
        "[a-zA-Z0-9_-]{1,20}".prop_filter_map("reserved word", |n| TopicName::new(&n).ok())
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(site in name(), device in name(), name in name(), kind in prop::sample::select(&EventKind::ALL[..])) {
            for topic in [
                Topic::of_event(&site, &device, kind),
                Topic::RoadEvidence { site: site.clone(), event_id: EventId::random() },
                Topic::DeviceStatus { site: site.clone(), device: device.clone() },
                Topic::DeviceCommand { site: site.clone(), device: device.clone(), name: name.clone() },
            ] {
                prop_assert_eq!(topic.to_string().parse::<Topic>(), Ok(topic));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn a_damage_never_travels_under_a_device() {
        assert!("umsicht/1/soest/bus7/event/road.damage".parse::<Topic>().is_err());
        assert!("umsicht/1/soest/road/event/road.damage".parse::<Topic>().is_ok());
    }
}
