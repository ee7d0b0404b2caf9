//! Coverage: which road was driven when, and how much of it could be judged.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::IntoParams;

use super::Api;
use super::error::{ApiError, ErrorBody};
use crate::central::export::coverage_geojson;
use crate::central::store::{Bounds, CoverageFilter};

/// A day of ten vehicles in one quarter of a town.
const MAX_STRETCHES: u32 = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CoverageQuery {
    /// West, south, east, north in degrees: `8.05,51.55,8.15,51.60`. Without it, everywhere.
    bbox: Option<String>,
    /// The first hour, as in `2026-03-17T06:00:00Z`.
    from: Option<String>,
    /// Up to this moment, without the hour that begins then.
    to: Option<String>,
    /// 1 … 10000, without it 10000.
    limit: Option<u32>,
}

impl CoverageQuery {
    fn checked(self) -> Result<CoverageFilter, ApiError> {
        let bad = |message: String| ApiError::BadRequest(message);
        let bounds = self.bbox.as_deref().map(bounds).transpose().map_err(bad)?;
        let from = self.from.as_deref().map(|text| moment("from", text)).transpose().map_err(bad)?;
        let until = self.to.as_deref().map(|text| moment("to", text)).transpose().map_err(bad)?;
        match self.limit.unwrap_or(MAX_STRETCHES) {
            limit @ 1..=MAX_STRETCHES => Ok(CoverageFilter { bounds, from, until, limit }),
            _ => Err(bad(format!("limit must be from 1 to {MAX_STRETCHES}"))),
        }
    }
}

/// The newest hour first, as a GeoJSON FeatureCollection of lines: hour, length_metres, usable_metres and, in `unusable`, why
/// the rest could not be judged. `truncated` says that there is more than the limit lets through.
#[utoipa::path(get, path = "/api/v1/coverage", params(CoverageQuery),
    responses((status = 200, body = serde_json::Value, content_type = "application/geo+json"),
        (status = 400, body = ErrorBody)))]
pub(super) async fn coverage(
    State(api): State<Api>,
    query: Result<Query<CoverageQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::BadRequest(e.body_text()))?;
    let filter = query.checked()?;
    let wanted = filter.limit as usize;
    let mut driven = api.inner.store.coverage(&CoverageFilter { limit: filter.limit + 1, ..filter }).await?;
    let truncated = driven.len() > wanted;
    driven.truncate(wanted);
    let mut collection = coverage_geojson(&driven);
    collection.foreign_members = Some(std::iter::once(("truncated".to_owned(), truncated.into())).collect());
    Ok(([(CONTENT_TYPE, "application/geo+json")], collection.to_string()).into_response())
}

fn bounds(text: &str) -> Result<Bounds, String> {
    let degrees: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let bounds = degrees.and_then(|degrees| Bounds::try_from(degrees).ok());
    let is_area = |[west, south, east, north]: &Bounds| {
        (-180.0..=180.0).contains(west)
            && west <= east
            && *east <= 180.0
            && (-90.0..=90.0).contains(south)
            && south <= north
    };
    bounds
        .filter(is_area)
        .ok_or_else(|| "bbox must be west,south,east,north in degrees: 8.05,51.55,8.15,51.60".to_owned())
}

fn moment(key: &str, text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| format!("{key} must be a time like 2026-03-17T06:00:00Z"))
}
