//! Prometheus' text format.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::Api;
use super::error::ApiError;

pub(super) async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, ApiError> {
    let counts = api.inner.store.counts().await?;
    let ingest = &api.inner.ingest;
    let last = counts.last_event_at.map_or(0, time::OffsetDateTime::unix_timestamp);
    let rows = [
        ("umsicht_defects", "gauge", "Defects in the store.", counts.defects),
        ("umsicht_sightings", "gauge", "Sightings in the store.", counts.sightings),
        ("umsicht_evidence", "gauge", "Pictures in the store.", counts.evidence),
        ("umsicht_rejected", "gauge", "Unreadable messages kept.", counts.rejected),
        ("umsicht_sections", "gauge", "Sections of the street network.", counts.sections),
        ("umsicht_messages_received_total", "counter", "Messages from the broker.", ingest.received()),
        ("umsicht_messages_repeated_total", "counter", "Messages that were known already.", ingest.repeated()),
        ("umsicht_broker_connected", "gauge", "1 while connected to the broker.", u64::from(ingest.is_connected())),
        (
            "umsicht_last_event_timestamp_seconds",
            "gauge",
            "When an event was last taken in, seconds since 1970; 0 for never.",
            u64::try_from(last).unwrap_or_default(),
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
