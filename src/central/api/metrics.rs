//! Prometheus' text format.
//!
//! Privacy: whoever scrapes this keeps a history. So it tells how many devices have which trouble, but neither which
//! device nor how many are switched on: over time that would be a record of who was on duty when. That is also why no
//! counter counts the states of health, which come once a minute from each device.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::Api;
use super::error::ApiError;
use crate::central::devices::{Concern, PROBLEMS};

pub(super) async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, ApiError> {
    let counts = api.inner.store.counts().await?;
    let (ingest, devices) = (&api.inner.ingest, &api.inner.devices);
    let last = counts.last_event_at.map_or(0, time::OffsetDateTime::unix_timestamp);
    let rows = [
        ("umsicht_defects", "gauge", "Defects in the store.", counts.defects),
        ("umsicht_sightings", "gauge", "Sightings in the store.", counts.sightings),
        ("umsicht_dangers", "gauge", "Dangers in the store.", counts.dangers),
        ("umsicht_dangers_open", "gauge", "Dangers that nobody has acknowledged yet.", counts.open_dangers),
        ("umsicht_evidence", "gauge", "Pictures in the store.", counts.evidence),
        ("umsicht_rejected", "gauge", "Unreadable messages kept.", counts.rejected),
        ("umsicht_sections", "gauge", "Sections of the street network.", counts.sections),
        (
            "umsicht_messages_received_total",
            "counter",
            "Events, pictures and unreadable messages from the broker, without what devices tell of themselves.",
            ingest.received(),
        ),
        ("umsicht_messages_repeated_total", "counter", "Messages that were known already.", ingest.repeated()),
        ("umsicht_broker_connected", "gauge", "1 while connected to the broker.", u64::from(ingest.is_connected())),
        (
            "umsicht_last_event_timestamp_seconds",
            "gauge",
            "Start of the hour in which an event was last taken in, seconds since 1970; 0 for never.",
            u64::try_from(last).unwrap_or_default(),
        ),
        (
            "umsicht_devices",
            "gauge",
            "Devices that have spoken since the start, online or not.",
            devices.counts().known,
        ),
        (
            "umsicht_device_messages_unreadable_total",
            "counter",
            "Messages about a device's state that could not be read.",
            devices.unreadable(),
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    let troubles: Vec<Concern> = devices.all().iter().flat_map(crate::central::devices::Device::concerns).collect();
    let name = "umsicht_devices_with_problem";
    let _ = writeln!(text, "# HELP {name} Devices that last told of this trouble, online or not.\n# TYPE {name} gauge");
    for problem in PROBLEMS {
        let count = troubles.iter().filter(|concern| concern.problem == problem).count();
        let _ = writeln!(text, "{name}{{problem=\"{}\"}} {count}", problem.code());
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
