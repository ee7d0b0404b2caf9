//! What to do about a connection that is refused. The client library's errors say what happened in its own words; on the
//! way through it the cause is kept as text only, so the text is what is looked at.

use super::BrokerAddress;

/// The remedy for the commonest causes; `error` as the library tells it.
#[must_use]
pub fn advice(address: &BrokerAddress, error: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let authority = address.tls.as_ref().map(|tls| tls.ca_file.display().to_string()).unwrap_or_default();
    let identity = address.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
    if has(&["UnknownIssuer", "BadSignature"]) {
        format!(
            "the broker's certificate is not signed by {authority}; set broker.tls.ca_file to the authority that did"
        )
    } else if has(&["NotValidForName", "not valid for name"]) {
        "the broker's certificate is for another name; broker.host must be a name that stands in it".into()
    } else if has(&["Expired", "expired", "NotValidYet", "not valid yet"]) {
        "the broker's certificate is not valid today; renew it, and check this computer's clock".into()
    } else if has(&["CaUsedAsEndEntity"]) {
        "the broker shows the authority's certificate as its own; give it one that the authority signed".into()
    } else if has(&["CertificateRequired", "certificate required"]) && !identity {
        "the broker asks for a certificate; set broker.tls.certificate_file and broker.tls.key_file".into()
    } else if has(&["received fatal alert"]) {
        "the broker refuses the encrypted connection; does it trust the authority of broker.tls.certificate_file?"
            .into()
    } else if has(&["BadUserNamePassword", "NotAuthorized"]) {
        "the broker does not take the login; check broker.user_name and broker.password_file".into()
    } else if has(&["corrupt message", "InvalidContentType"]) {
        "what answers there does not speak TLS; is broker.port right, or is the [broker.tls] section not wanted?".into()
    } else if has(&["Websocket", "websocket", "ubprotocol"]) {
        "what answers there is no MQTT over WebSocket; are broker.port and broker.websocket_path right?".into()
    } else if has(&["lookup", "resolve"]) {
        "the name is not known; is broker.host right, and does this computer find names?".into()
    } else if address.is_encrypted() || address.websocket_path.is_some() {
        "is it running, is the port open, are broker.host and broker.port right?".into()
    } else {
        "is it running, is the port open, are broker.host and broker.port right, does it ask for TLS?".into()
    }
}
