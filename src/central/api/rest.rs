//! The resources.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::error::{ApiError, ErrorBody};
use super::view;
use crate::central::export::sections_geojson;
use crate::central::grade::section_grade;
use crate::central::model::{DefectStatus, SectionId};
use crate::central::store::DefectFilter;
use crate::schema::DamageClass;

const DEFAULT_LIMIT: u32 = 200;
const MAX_LIMIT: u32 = 1000;

pub(super) async fn status_of(api: &Api) -> Result<view::Status, ApiError> {
    let inner = &api.inner;
    let counts = inner.store.counts().await?;
    Ok(view::Status {
        site: inner.site.clone(),
        town: view::Town { name: inner.town_name.clone() },
        version: env!("CARGO_PKG_VERSION"),
        simulated: counts.simulated,
        trial_operation: counts.trial_operation,
        defects: counts.defects,
        sightings: counts.sightings,
        dangers: counts.open_dangers,
        rejected: counts.rejected,
        sections: counts.sections,
        last_event_at: counts.last_event_at,
        bounds: inner.store.network().bounds(),
        broker_connected: inner.ingest.is_connected(),
        devices: view::DeviceCounts::of(&inner.devices),
    })
}

/// What is there.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = view::Status)))]
pub(super) async fn status(State(api): State<Api>) -> Result<Json<view::Status>, ApiError> {
    status_of(&api).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DefectsQuery {
    /// 1 … 1000, without it 200.
    limit: Option<u32>,
    /// 0 … 100.
    min_priority: Option<f64>,
    /// D00, D10, D20, D40 or Repair.
    class: Option<String>,
    /// new, confirmed, scheduled, repaired, verified or rejected.
    status: Option<String>,
}

impl DefectsQuery {
    fn checked(self) -> Result<DefectFilter, ApiError> {
        let bad = |message: String| ApiError::BadRequest(message);
        if self.min_priority.is_some_and(|p| !(0.0..=100.0).contains(&p)) {
            return Err(bad("min_priority must be from 0 to 100".to_owned()));
        }
        let class = self.class.map(|c| c.parse::<DamageClass>()).transpose().map_err(|e| bad(e.to_string()))?;
        let status = match self.status {
            Some(name) => Some(DefectStatus::from_name(&name).ok_or_else(|| bad(format!("unknown status {name:?}")))?),
            None => None,
        };
        Ok(DefectFilter { min_priority: self.min_priority, class, status, limit: Some(checked_limit(self.limit)?) })
    }
}

pub(super) fn checked_limit(limit: Option<u32>) -> Result<u32, ApiError> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(ApiError::BadRequest(format!("limit must be from 1 to {MAX_LIMIT}"))),
    }
}

/// Defects by priority, highest first.
#[utoipa::path(get, path = "/api/v1/defects", params(DefectsQuery),
    responses((status = 200, body = view::Defects), (status = 400, body = ErrorBody)))]
pub(super) async fn defects(
    State(api): State<Api>,
    query: Result<Query<DefectsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<view::Defects>, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::BadRequest(e.body_text()))?;
    let (defects, total) = api.inner.store.defects(&query.checked()?).await?;
    Ok(Json(view::Defects { defects: defects.into_iter().map(Into::into).collect(), total }))
}

/// One defect with its sightings.
#[utoipa::path(get, path = "/api/v1/defects/{id}", params(("id" = String, Path)),
    responses((status = 200, body = view::DefectDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn defect(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<view::DefectDetail>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::NotFound("such defect"))?;
    let (defect, sightings) = api.inner.store.defect(id).await?.ok_or(ApiError::NotFound("such defect"))?;
    Ok(Json(view::DefectDetail {
        defect: defect.into(),
        sightings_detail: sightings.into_iter().map(Into::into).collect(),
    }))
}

/// The street network as a GeoJSON FeatureCollection: id, name, road_class, grade and number of defects per section.
#[utoipa::path(get, path = "/api/v1/network",
    responses((status = 200, body = serde_json::Value, content_type = "application/geo+json")))]
pub(super) async fn network(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let etag = api.etag().await?;
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let store = &api.inner.store;
    let mut by_section: HashMap<SectionId, Vec<(DamageClass, f64)>> = HashMap::new();
    for (section, class, grade) in store.grades_by_section().await? {
        by_section.entry(section).or_default().push((class, grade));
    }
    let network = store.network();
    let mut collection = sections_geojson(network.sections().iter(), |section| {
        let defects = by_section.get(&section.id).map_or(&[][..], Vec::as_slice);
        (section_grade(defects, store.profile()), defects.len())
    });
    collection.foreign_members = store.network_attribution().await?.map(|attribution| {
        std::iter::once(("attribution".to_owned(), serde_json::Value::String(attribution))).collect()
    });
    let headers = [(CONTENT_TYPE, "application/geo+json".to_owned()), (ETAG, etag), (CACHE_CONTROL, "no-cache".into())];
    Ok((headers, collection.to_string()).into_response())
}

/// The redacted picture of a sighting.
#[utoipa::path(get, path = "/api/v1/evidence/{event_id}", params(("event_id" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 404, body = ErrorBody)))]
pub(super) async fn evidence(State(api): State<Api>, Path(event_id): Path<String>) -> Result<Response, ApiError> {
    let id = event_id.parse().map_err(|_| ApiError::NotFound("such picture"))?;
    let jpeg = api.inner.store.evidence(id).await?.ok_or(ApiError::NotFound("such picture"))?;
    // A picture never changes, but a proxy must not keep it after it was deleted here.
    Ok(([(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "private, max-age=3600")], jpeg).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RejectedQuery {
    /// 1 … 1000, without it 200.
    limit: Option<u32>,
}

/// Messages that could not be read, the newest first.
#[utoipa::path(get, path = "/api/v1/rejected", params(RejectedQuery),
    responses((status = 200, body = Vec<view::Rejected>), (status = 400, body = ErrorBody)))]
pub(super) async fn rejected(
    State(api): State<Api>,
    query: Result<Query<RejectedQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<view::Rejected>>, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::BadRequest(e.body_text()))?;
    let rejected = api.inner.store.rejected(checked_limit(query.limit)?).await?;
    Ok(Json(rejected.into_iter().map(Into::into).collect()))
}
