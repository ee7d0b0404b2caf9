//! Puts the town's service together and runs it until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::{Api, guard};
use super::config::CheckedConfig;
use super::devices::Devices;
use super::ingest::{self, IngestHealth};
use super::network::{NetworkError, read_sections};
use super::profile::Profile;
use super::store::{Store, StoreError};
use super::ui;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::mqtt::BrokerFileError;
use crate::schema::device_tag::hex;

/// How long running requests may take to finish after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Broker(#[from] BrokerFileError),
    #[error("cannot listen on {address}: {source}; is another program there? Set [http] listen to a free port")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the web server ended: {0}")]
    Http(std::io::Error),
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Config(e) => e.into(),
            ServeError::Broker(_) => Self::usage(error),
            ServeError::Store(StoreError::Corrupt(_) | StoreError::Migration { .. }) | ServeError::Network(_) => {
                Self::data(error)
            }
            ServeError::Store(_) | ServeError::Listen { .. } | ServeError::Http(_) => Self::unavailable(error),
        }
    }
}

/// A running service.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens; tells the port when 0 was asked for.
    pub address: SocketAddr,
    pub store: Store,
    pub ingest: Arc<IngestHealth>,
    pub devices: Arc<Devices>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Serving {
    /// Waits for the end.
    pub async fn finished(self) -> Result<(), ServeError> {
        match self.task.await {
            Ok(result) => result,
            Err(panic) => Err(ServeError::Http(std::io::Error::other(panic))),
        }
    }
}

/// Opens the store, takes the network in when it is new, listens, connects to the broker. Returns when all of that is
/// done but the last: a broker that is away is tried again and does not keep the map from being shown.
pub async fn serve(
    config: CheckedConfig,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Serving, ServeError> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let address = listener.local_addr().map_err(ServeError::Http)?;
    let store = open_store(&config).await?;
    if let Some(file) = &config.network {
        import_network(&store, file, false).await?;
    }

    let (stop, stopping) = watch::channel(false);
    let devices = Arc::new(Devices::default());
    let (health, ingesting) =
        ingest::start(&config.broker, &config.site, store.clone(), Arc::clone(&devices), clock, stopping.clone())?;
    let api = Api::new(
        config.site.to_string(),
        config.town_name.clone(),
        store.clone(),
        Arc::clone(&health),
        Arc::clone(&devices),
        stopping.clone(),
    );
    let app = api.router().fallback(ui::file).layer(axum::middleware::map_response(guard));
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "this address is open to the network and there is no login yet: put a proxy before it");
    }
    tracing::info!(%address, "map and interface at http://{address}/ (no login yet)");

    let kept = store.clone();
    let task = tokio::spawn(async move {
        let mut http_stop = stopping.clone();
        let graceful = async move {
            let _ = http_stop.wait_for(|stop| *stop).await;
        };
        let mut http = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(graceful).await });
        let early = tokio::select! {
            () = shutdown => None,
            ended = &mut http => Some(ended),
        };
        let _ = stop.send(true);
        let ended = match early {
            Some(ended) => ended,
            None => match tokio::time::timeout(GRACE, &mut http).await {
                Ok(ended) => ended,
                Err(_) => {
                    http.abort();
                    Ok(Ok(()))
                }
            },
        };
        let _ = ingesting.await;
        kept.close().await;
        match ended {
            Ok(result) => result.map_err(ServeError::Http),
            Err(panic) => Err(ServeError::Http(std::io::Error::other(panic))),
        }
    });
    Ok(Serving { address, store, ingest: health, devices, task })
}

/// The store of a configuration, with its profile.
pub async fn open_store(config: &CheckedConfig) -> Result<Store, ServeError> {
    Ok(Store::open(&config.database, profile_of(config.profile.as_deref())?).await?)
}

pub fn profile_of(path: Option<&Path>) -> Result<Profile, ConfigError> {
    path.map_or_else(Profile::standard, Profile::read)
}

/// Takes a street network in unless it is the one that is there; `again` does so in any case. Returns how many sections.
pub async fn import_network(store: &Store, file: &Path, again: bool) -> Result<usize, ServeError> {
    let path: PathBuf = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&path).map_err(|source| NetworkError::Io { path: path.clone(), source })?;
        Ok::<_, NetworkError>(hex(&Sha256::digest(&bytes)))
    });
    let digest = joined(read.await)?;
    if !again && store.network_source().await?.as_deref() == Some(&digest) {
        return Ok(store.network().sections().len());
    }
    let path: PathBuf = file.to_owned();
    let sections = joined(tokio::task::spawn_blocking(move || read_sections(&path)).await)?;
    let count = sections.len();
    // Extracts of OpenStreetMap come under the ODbL, which asks for this line.
    let openstreetmap = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("pbf"));
    let attribution = openstreetmap.then_some("© OpenStreetMap contributors (ODbL)");
    store.replace_network(sections, &digest, attribution).await?;
    tracing::info!(file = %file.display(), sections = count, "street network taken in");
    Ok(count)
}

fn joined<T>(result: Result<Result<T, NetworkError>, tokio::task::JoinError>) -> Result<T, ServeError> {
    match result {
        Ok(result) => Ok(result?),
        Err(panic) => Err(ServeError::Http(std::io::Error::other(panic))),
    }
}
