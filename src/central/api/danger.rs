//! Dangers: what vehicles told at once, and a person's answer that it was seen.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::rest::checked_limit;
use super::{Api, view};
use crate::central::model::{self, Section};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Danger {
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    hour: OffsetDateTime,
    /// `driver`: a person in the vehicle pressed a button and said neither what it is nor how large, so that everything from
    /// `class` to `model` is null. Null: a model saw it.
    marked_by: Option<&'static str>,
    /// D00, D10, D20, D40 or Repair.
    class: Option<&'static str>,
    score: Option<f32>,
    length_metres: Option<f64>,
    width_metres: Option<f64>,
    area_square_metres: Option<f64>,
    calibrated: Option<bool>,
    model: Option<view::Model>,
    position: view::Position,
    /// One standard deviation of the position.
    sigma_metres: f64,
    heading_degrees: f64,
    simulated: bool,
    /// The section of street that it lies on.
    section: Option<view::Section>,
    /// Whether a person has said that it was seen.
    acknowledged: bool,
}

impl Danger {
    pub(super) fn of(danger: model::Danger, api: &Api) -> Self {
        let network = api.inner.store.network();
        let section = network.section_at(danger.position, danger.heading_degrees).map(Section::reference);
        let seen = danger.seen();
        Self {
            id: danger.id.to_string(),
            hour: danger.hour,
            marked_by: danger.marked_by(),
            class: seen.map(|seen| seen.class.code()),
            score: seen.map(|seen| seen.score),
            length_metres: seen.map(|seen| seen.length_metres),
            width_metres: seen.map(|seen| seen.width_metres),
            area_square_metres: seen.map(|seen| seen.area_square_metres),
            calibrated: seen.map(|seen| seen.calibrated),
            model: seen.map(|seen| seen.model.clone().into()),
            position: danger.position.into(),
            sigma_metres: danger.sigma_metres,
            heading_degrees: danger.heading_degrees,
            simulated: danger.simulated,
            section: section.map(Into::into),
            acknowledged: danger.acknowledged,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DangersQuery {
    /// 1 … 1000, without it 200.
    limit: Option<u32>,
    /// Without it, both.
    acknowledged: Option<bool>,
}

/// Dangers, those of the newest hour first.
#[utoipa::path(get, path = "/api/v1/dangers", params(DangersQuery),
    responses((status = 200, body = Vec<Danger>), (status = 400, body = ErrorBody)))]
pub(super) async fn dangers(
    State(api): State<Api>,
    query: Result<Query<DangersQuery>, QueryRejection>,
) -> Result<Json<Vec<Danger>>, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::BadRequest(e.body_text()))?;
    let dangers = api.inner.store.dangers(query.acknowledged, checked_limit(query.limit)?).await?;
    Ok(Json(dangers.into_iter().map(|danger| Danger::of(danger, &api)).collect()))
}

/// A person has seen this danger; what happens next is the person's to decide. Saying so again changes nothing.
#[utoipa::path(post, path = "/api/v1/dangers/{id}/acknowledge", params(("id" = String, Path)),
    responses((status = 200, body = Danger), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Danger>, ApiError> {
    if is_from_elsewhere(&headers) {
        return Err(ApiError::FromElsewhere);
    }
    let id = id.parse().map_err(|_| ApiError::NotFound("such danger"))?;
    let danger = api.inner.store.acknowledge(id).await?.ok_or(ApiError::NotFound("such danger"))?;
    Ok(Json(Danger::of(danger, &api)))
}

/// Whether a browser sends this on behalf of a page that is not ours. Programs that are no browsers do not say.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}
