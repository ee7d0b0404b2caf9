//! Every error of the interface, and its mapping to HTTP.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::central::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("there is no {0}")]
    NotFound(&'static str),
    #[error("a page from elsewhere must not change anything here")]
    FromElsewhere,
    #[error("too many pages follow the changes; try again later")]
    TooMany,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// `{"error": {"code": …, "message": …}}`
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    pub code: &'static str,
    pub message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = match &self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request", self.to_string()),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", self.to_string()),
            Self::FromElsewhere => (StatusCode::FORBIDDEN, "from_elsewhere", self.to_string()),
            Self::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "too_many", self.to_string()),
            Self::Store(error) => {
                tracing::error!(%error, "a request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "store", "the store does not answer; see the log".to_owned())
            }
        };
        (status, Json(ErrorBody { error: ErrorDetail { code, message } })).into_response()
    }
}

pub(super) async fn no_such_resource() -> ApiError {
    ApiError::NotFound("such resource; see /api/v1/openapi.json")
}
