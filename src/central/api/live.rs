//! Changes as server-sent events: `defect` (new or changed), `gone` (merged away), `danger` (new or acknowledged), `status`.
//!
//! A page that is too slow loses its stream; it reconnects and reads the list anew, as after any break.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::error::{ApiError, ErrorBody};
use super::rest::status_of;
use super::{Api, view};
use crate::central::store::Change;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Counts are told at most this often.
const STATUS_PAUSE: Duration = Duration::from_millis(500);

/// Changes as they happen.
#[utoipa::path(get, path = "/api/v1/events",
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 503, body = ErrorBody)))]
pub(super) async fn events(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let permit = api.inner.live.clone().try_acquire_owned().map_err(|_| ApiError::TooMany)?;
    let changes = api.inner.store.changes();
    let (page, stream) = mpsc::channel(64);
    tokio::spawn(async move {
        follow(&api, changes, &page).await;
        drop(permit);
    });
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

type Page = mpsc::Sender<Result<Event, Infallible>>;

async fn follow(api: &Api, mut changes: broadcast::Receiver<Change>, page: &Page) {
    let mut stop = api.inner.stop.clone();
    let mut status_due = true;
    let mut connected = api.inner.ingest.is_connected();
    let mut tick = tokio::time::interval(STATUS_PAUSE);
    loop {
        let told = tokio::select! {
            change = changes.recv() => match change {
                Ok(Change::Defect(defect)) => tell(page, "defect", &view::Defect::from(*defect)).await,
                Ok(Change::Gone(id)) => tell(page, "gone", &view::Gone { id: id.to_string() }).await,
                Ok(Change::Danger(danger)) => tell(page, "danger", &super::danger::Danger::of(*danger, api)).await,
                Ok(Change::Status) => {
                    status_due = true;
                    true
                }
                Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => false,
            },
            _ = tick.tick() => {
                let now = api.inner.ingest.is_connected();
                status_due |= std::mem::replace(&mut connected, now) != now;
                !std::mem::take(&mut status_due) || tell_status(api, page).await
            }
            () = page.closed() => false,
            () = stopped(&mut stop) => false,
        };
        if !told {
            return;
        }
    }
}

async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn tell_status(api: &Api, page: &Page) -> bool {
    match status_of(api).await {
        Ok(status) => tell(page, "status", &status).await,
        Err(error) => {
            tracing::error!(%error, "cannot tell the status");
            false
        }
    }
}

/// False when nobody listens any more.
async fn tell(page: &Page, name: &str, data: &impl serde::Serialize) -> bool {
    match Event::default().event(name).json_data(data) {
        Ok(event) => page.send(Ok(event)).await.is_ok(),
        Err(_) => false,
    }
}
