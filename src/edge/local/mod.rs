//! HTTP on loopback: metrics for Prometheus, the status for a technician, the driver's mark button, the recording switch.
//!
//! | request | answer |
//! |---|---|
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /status` | [`DeviceStatus`] as JSON |
//! | `GET /recording` | `{"on": true}`, or `{"on": false, "why_off": "…"}` |
//! | `POST /recording/off`, `POST /recording/on` | as above; 503 when it could not be kept |
//! | `POST /mark` | 202 with the time of the mark; 409 while recording is off |
//!
//! Every program on the device may ask, and post with a header that web pages cannot send, see [`guard`]. Nothing here tells
//! where the device is, and nothing here logs in anywhere.

mod guard;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::watch;

pub use self::guard::HEADER;

use crate::config::Table;
use crate::edge::status::{DeviceStatus, RecordingStatus, StatusSource};
use crate::edge::vehicle::{MarkError, Marks, Recording};

const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9110);
/// Gathering a status takes no time unless something hangs.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whoever hangs must not be asked by more and more threads.
const GATHERERS: usize = 4;
/// What is being answered at the end may be finished for so long.
const FAREWELL: Duration = Duration::from_secs(1);

/// The `[local]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalConfig {
    /// Of loopback; port 0 takes one that is free.
    pub listen: SocketAddr,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { listen: DEFAULT_ADDRESS }
    }
}

impl LocalConfig {
    pub fn from_table(table: &Table) -> Option<Self> {
        let listen = table.parsed("listen", "\"127.0.0.1:9110\"", |text| match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            Ok(address) => Err(format!(
                "{address} can be reached from outside, and nobody has to log in here; write an address of this device alone: \
                 \"127.0.0.1:9110\""
            )),
            Err(_) => Err(format!("{text:?} is no address with a port; write \"127.0.0.1:9110\"")),
        });
        Some(Self { listen: listen.or(DEFAULT_ADDRESS)? })
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; another program may have this port (`ss -ltnp` shows which): set [local] listen, \
     or stop that program"
)]
pub struct LocalError {
    address: SocketAddr,
    source: io::Error,
}

/// What can be asked and done.
#[derive(Clone)]
pub struct LocalParts {
    pub status: StatusSource,
    pub recording: Arc<Recording>,
    pub marks: Arc<Marks>,
}

/// A server that has its port and does not answer yet.
pub struct Local {
    listener: TcpListener,
    address: SocketAddr,
}

impl Local {
    pub async fn bind(config: LocalConfig) -> Result<Self, LocalError> {
        let error = |source| LocalError { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `ended` says true, or nobody is left to say it.
    pub async fn serve(self, parts: LocalParts, mut ended: watch::Receiver<bool>) {
        let (closing, closed) = (ended.clone(), async move { drop(ended.wait_for(|ended| *ended).await) });
        let serving = axum::serve(self.listener, router(parts)).with_graceful_shutdown(closed);
        let overdue = async move {
            let mut closing = closing;
            let _ = closing.wait_for(|ended| *ended).await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            result = serving.into_future() => {
                if let Err(error) = result {
                    tracing::error!("metrics and status are no longer told: {error}");
                }
            }
            () = overdue => {}
        }
    }
}

#[derive(Clone)]
struct Shared {
    parts: LocalParts,
    gatherers: Arc<Semaphore>,
}

fn router(parts: LocalParts) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/recording", get(recording))
        .route("/recording/off", post(recording_off))
        .route("/recording/on", post(recording_on))
        .route("/mark", post(mark))
        .layer(axum::middleware::from_fn(guard::guard))
        .with_state(Shared { parts, gatherers: Arc::new(Semaphore::new(GATHERERS)) })
}

async fn status(State(shared): State<Shared>) -> Result<Json<DeviceStatus>, Response> {
    shared.gather().await.map(Json)
}

async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, Response> {
    let status = shared.gather().await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::text(&status)))
}

async fn recording(State(shared): State<Shared>) -> Json<RecordingStatus> {
    Json(shared.recording())
}

async fn recording_off(State(shared): State<Shared>) -> Response {
    let recording = Arc::clone(&shared.parts.recording);
    shared.switch(move || recording.switch_off()).await
}

async fn recording_on(State(shared): State<Shared>) -> Response {
    let recording = Arc::clone(&shared.parts.recording);
    shared.switch(move || recording.switch_on()).await
}

async fn mark(State(shared): State<Shared>) -> Response {
    match shared.parts.marks.press() {
        Ok(mark) => (StatusCode::ACCEPTED, Json(json!({ "at": rfc3339(mark.at) }))).into_response(),
        Err(error @ MarkError::RecordingOff) => refusal(StatusCode::CONFLICT, error),
        Err(error @ MarkError::NotReady) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

impl Shared {
    /// On a thread of its own: what hangs must not hold up the one that talks to the broker.
    async fn gather(&self) -> Result<DeviceStatus, Response> {
        let hangs = || {
            let error = "a part of the program does not answer; the watchdog starts it anew, or: systemctl restart umsicht-edge";
            refusal(StatusCode::SERVICE_UNAVAILABLE, error)
        };
        let permit = Arc::clone(&self.gatherers).try_acquire_owned().map_err(|_| hangs())?;
        let source = Arc::clone(&self.parts.status);
        let gathering = tokio::task::spawn_blocking(move || {
            let status = source();
            drop(permit);
            status
        });
        match tokio::time::timeout(PATIENCE, gathering).await {
            Ok(Ok(status)) => Ok(status.without_secrets()),
            Ok(Err(_)) | Err(_) => Err(hangs()),
        }
    }

    fn recording(&self) -> RecordingStatus {
        let why_off = self.parts.recording.why_off().map(str::to_owned);
        RecordingStatus { on: self.parts.recording.is_on(), why_off }
    }

    /// It writes to the disk.
    async fn switch<E: std::fmt::Display + Send + 'static>(
        &self,
        switch: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Response {
        match tokio::task::spawn_blocking(switch).await {
            Ok(Ok(())) => Json(self.recording()).into_response(),
            Ok(Err(error)) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
            Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the switch failed, a bug"),
        }
    }
}

fn refusal(code: StatusCode, message: impl std::fmt::Display) -> Response {
    (code, Json(json!({ "error": message.to_string() }))).into_response()
}

fn rfc3339(at: time::OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<LocalConfig, crate::config::ConfigError> {
        crate::config::parse(Path::new("edge.toml"), text, |root| LocalConfig::from_table(&root.table("local")))
    }

    #[test]
    fn only_addresses_of_this_device_are_taken() {
        assert_eq!(read("").unwrap().listen.to_string(), "127.0.0.1:9110");
        assert_eq!(read("[local]\nlisten = \"[::1]:0\"").unwrap().listen.to_string(), "[::1]:0");
        for (address, why) in [
            ("0.0.0.0:9110", "can be reached from outside"),
            ("192.168.1.7:80", "can be reached from outside"),
            ("localhost", "is no address with a port"),
        ] {
            let error = read(&format!("[local]\nlisten = \"{address}\"")).unwrap_err().to_string();
            assert!(error.contains("edge.toml:2: local.listen") && error.contains(why), "{error}");
        }
    }
}
