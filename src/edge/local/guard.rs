//! Keeps web pages out: a browser on the device must not become somebody's hand on the switches.
//!
//! - A page that had its own name resolved to 127.0.0.1 (DNS rebinding) asks with that name as `Host`: only names of loopback
//!   are answered. A tunnel (`ssh -L`) may use any port.
//! - A page may post to an address that it cannot read (cross-site request forgery), but not with a header of its own, which
//!   a browser would have to ask for first: posts need [`HEADER`]. No question of that kind is answered.
//! - Browsers say where a post comes from (`Origin`, `Sec-Fetch-Site`); there is no page here that it could come from.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;

/// Must be there in posts, with any value.
pub const HEADER: &str = "x-umsicht";
const FETCH_SITE: &str = "sec-fetch-site";

pub(super) async fn guard(request: Request, next: Next) -> Response {
    match doubt(request.method(), request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(reason) => super::refusal(StatusCode::FORBIDDEN, reason),
    }
}

/// Why a request is not answered.
fn doubt(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let is_loopback = hosts.next().is_none() && host.is_some_and(is_loopback) && uri.authority().is_none();
    if !is_loopback {
        return Some("only requests to 127.0.0.1, [::1] or localhost are answered");
    }
    let from_page = headers.get(FETCH_SITE).is_some_and(|site| site != "none") || headers.contains_key(ORIGIN);
    if from_page {
        return Some("requests of web pages are not answered");
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    (changes && !headers.contains_key(HEADER))
        .then_some("add the header `X-Umsicht: 1`, which a web page cannot send: curl -X POST -H 'X-Umsicht: 1' …")
}

/// `127.0.0.1`, `[::1]` or `localhost`, with a port or without.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        doubt(&method, &Uri::from_static("/mark"), &map).is_none()
    }

    #[test]
    fn only_names_of_loopback_are_answered() {
        for host in ["127.0.0.1:9110", "localhost", "LOCALHOST:80", "[::1]:9110", "[::1]", "127.0.0.1"] {
            assert!(passes(Method::GET, &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9110",
            "10.0.0.1",
            "",
            "::1",
            "localhost:",
        ] {
            assert!(!passes(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!passes(Method::GET, &[]), "no host at all");
        assert!(!passes(Method::GET, &[("host", "localhost"), ("host", "evil.example")]));
        let headers = HeaderMap::from_iter([(HOST, "localhost".parse().unwrap())]);
        assert!(doubt(&Method::GET, &Uri::from_static("http://evil.example/status"), &headers).is_some());
    }

    #[test]
    fn a_post_needs_the_header_and_comes_from_no_page() {
        let (host, header) = (("host", "127.0.0.1:9110"), (HEADER, "1"));
        assert!(passes(Method::POST, &[host, header]));
        assert!(!passes(Method::POST, &[host]));
        assert!(!passes(Method::POST, &[host, header, ("origin", "http://127.0.0.1:9110")]));
        assert!(!passes(Method::POST, &[host, header, ("origin", "null")]));
        for site in ["cross-site", "same-site", "same-origin"] {
            assert!(!passes(Method::GET, &[host, (FETCH_SITE, site)]), "{site}");
        }
        assert!(passes(Method::GET, &[host, (FETCH_SITE, "none")]), "typed by a person into a browser");
        assert!(!passes(Method::OPTIONS, &[host, ("origin", "http://evil.example")]), "a browser's question");
    }
}
