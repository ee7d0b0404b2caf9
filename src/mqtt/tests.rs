use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn parsed(text: &str) -> Result<BrokerAddress, String> {
    let read = |root: &Table| BrokerAddress::from_table(&root.table("broker"), None);
    crate::config::parse(Path::new("/etc/umsicht/edge.toml"), text, read).map_err(|e| e.to_string())
}

#[test]
fn the_url_shows_what_was_set() {
    let url = |text: &str| parsed(text).unwrap().to_string();
    assert_eq!(url("[broker]\nhost = \"broker\""), "mqtt://broker:1883");
    assert_eq!(url("[broker]\nhost = \"broker\"\n[broker.tls]"), "mqtts://broker:8883");
    assert_eq!(url("[broker]\nhost = \"::1\"\nwebsocket_path = \"/mqtt\"\nport = 80"), "ws://[::1]:80/mqtt");
    let text = "[broker]\nhost = \"b\"\nport = 443\nwebsocket_path = \"/m\"\n[broker.tls]\nca_file = \"ca.pem\"";
    assert_eq!(url(text), "wss://b:443/m");
    assert_eq!(parsed(text).unwrap().tls.unwrap().ca_file, PathBuf::from("/etc/umsicht/ca.pem"));
}

#[test]
fn what_does_not_fit_together_is_told_with_its_line() {
    let text = "[broker]\nwebsocket_path = \"mqtt\"\npassword_file = \"p\"\n[broker.tls]\nkey_file = \"k\"\nca = \"c\"";
    let error = parsed(text).unwrap_err();
    for part in [
        "edge.toml:1: broker.host: is missing",
        "edge.toml:2: broker.websocket_path: \"mqtt\" is no path",
        "edge.toml:3: broker.password_file: needs a name",
        "edge.toml:5: broker.tls.key_file: needs its certificate",
        "edge.toml:6: broker.tls.ca: unknown key; did you mean `ca_file`?",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(parsed("[broker]\nhost = \"::1\"\n[broker.tls]").unwrap_err().contains("write the broker's name"));
}

#[test]
fn a_password_in_the_open_is_warned_of_except_on_loopback() {
    let login = "user_name = \"a\"\npassword_file = \"p\"";
    let warned = |text: String| parsed(&text).unwrap().warning().is_some();
    assert!(warned(format!("[broker]\nhost = \"broker\"\n{login}")));
    assert!(!warned(format!("[broker]\nhost = \"127.0.0.1\"\n{login}")));
    assert!(!warned(format!("[broker]\nhost = \"broker\"\n{login}\n[broker.tls]")));
    assert!(!warned("[broker]\nhost = \"broker\"".into()));
}

#[test]
fn files_that_cannot_be_used_are_told_by_setting_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["device".into()]).unwrap().self_signed(&key).unwrap().pem();
    let ca_file = write("ca.pem", &certificate);
    let certificate_file = write("device.pem", &certificate);
    let (key_file, other_key) = (write("key.pem", &key.serialize_pem()), write("other.pem", &other.serialize_pem()));
    let junk = write("junk.pem", "-----BEGIN NONSENSE-----");
    let way = |ca_file: &PathBuf, key_file: &PathBuf| {
        let identity = Identity { certificate_file: certificate_file.clone(), key_file: key_file.clone() };
        let tls = Tls { ca_file: ca_file.clone(), identity: Some(identity) };
        let address = BrokerAddress { tls: Some(tls), ..BrokerAddress::plain("broker", 8883) };
        address.way().map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(way(&ca_file, &key_file), Ok(()));
    let told = |result: Result<(), String>, parts: [&str; 3]| {
        let error = result.unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    told(way(&folder.path().join("none"), &key_file), ["broker.tls.ca_file", "none", "cannot be read"]);
    told(way(&junk, &key_file), ["broker.tls.ca_file", "junk.pem", "BEGIN CERTIFICATE"]);
    told(way(&ca_file, &junk), ["broker.tls.key_file", "junk.pem", "PRIVATE KEY"]);
    told(way(&ca_file, &other_key), ["broker.tls.key_file", "other.pem", "does not belong"]);
}

#[test]
fn a_password_file_may_end_with_a_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "se cret \n").unwrap();
    let login = Some(Login { user_name: "bus7".into(), password_file });
    let way = BrokerAddress { login, ..BrokerAddress::plain("broker", 1883) }.way().unwrap();
    assert_eq!(way.user_name_and_password, Some(("bus7".into(), "se cret ".into())));
}
