//! The user interface, embedded from `ui/dist`; without it, a page that says how to build it.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Files;

const ABSENT: &str = "<!doctype html><html lang=\"de\"><meta charset=\"utf-8\"><title>Umsicht</title>\
<h1>Umsicht</h1>\
<p>Die Bedienoberfläche ist in diesem Programm nicht enthalten. <code>make build</code> baut sie mit ein.</p>\
<p lang=\"en\">This program was built without its user interface. <code>make build</code> builds it in.</p>\
<p><a href=\"/api/v1/status\">/api/v1/status</a> · <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a></p></html>";

/// Serves the file of that name; the start page for `/`.
pub async fn file(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    match Files::get(path) {
        Some(file) => {
            // The names of assets hold a hash of their content; the start page changes with every release.
            let keep = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
            let kind = file.metadata.mimetype().to_owned();
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, keep.to_owned())], file.data).into_response()
        }
        None if path == "index.html" => Html(ABSENT).into_response(),
        None => (StatusCode::NOT_FOUND, "404").into_response(),
    }
}
