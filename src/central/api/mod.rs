//! REST and server-sent events of the town's service, described by OpenAPI at `/api/v1/openapi.json`.
//!
//! Everything here reads, but for the acknowledgement of a danger. There is no login yet, so the address is loopback unless
//! the configuration says otherwise.

mod coverage;
mod danger;
mod device;
mod error;
mod live;
mod metrics;
mod rest;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::error::ApiError;
use super::devices::Devices;
use super::ingest::IngestHealth;
use super::store::Store;

/// So many pages may follow the changes at once.
const MAX_LIVE: usize = 256;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    site: String,
    town_name: String,
    store: Store,
    ingest: Arc<IngestHealth>,
    devices: Arc<Devices>,
    live: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    /// Part of every ETag: revisions count anew in each process.
    process: String,
}

impl Api {
    #[must_use]
    pub fn new(
        site: String,
        town_name: String,
        store: Store,
        ingest: Arc<IngestHealth>,
        devices: Arc<Devices>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let process = crate::schema::EventId::random().to_string();
        let live = Arc::new(Semaphore::new(MAX_LIVE));
        Self { inner: Arc::new(Inner { site, town_name, store, ingest, devices, live, stop, process }) }
    }

    /// All routes but the user interface.
    pub fn router(self) -> Router {
        let (router, document) = described().split_for_parts();
        let document = Arc::new(document);
        router
            .route(
                "/api/v1/openapi.json",
                get(move || {
                    let document = Arc::clone(&document);
                    async move { axum::Json((*document).clone()) }
                }),
            )
            .route("/metrics", get(metrics::metrics))
            .route("/api/{*rest}", get(error::no_such_resource))
            .with_state(self)
    }

    /// Revisions do not see what another process does with the file; of those only a purge may remove what is shown.
    async fn etag(&self) -> Result<String, ApiError> {
        let (store, process) = (&self.inner.store, &self.inner.process);
        let purges = store.purges().await?.len();
        Ok(format!("\"{process}-{}-{purges}\"", store.revision()))
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Umsicht central",
    description = "Road damage of a town, in order of urgency. Positions are WGS 84 degrees, sizes metres. All times are rounded to the hour.",
))]
struct Document;

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(rest::status))
        .routes(routes!(rest::defects))
        .routes(routes!(rest::defect))
        .routes(routes!(rest::network))
        .routes(routes!(rest::evidence))
        .routes(routes!(rest::rejected))
        .routes(routes!(danger::dangers))
        .routes(routes!(danger::acknowledge))
        .routes(routes!(coverage::coverage))
        .routes(routes!(device::devices))
        .routes(routes!(live::events))
}

/// The description of this interface.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().split_for_parts().1
}

/// Headers that every answer carries. The page needs nothing inline, no blobs and nothing from elsewhere.
pub async fn guard(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
