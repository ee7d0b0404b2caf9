//! The way to a broker: where it is, over what, encrypted or not, and who asks. One `[broker]` section for the device's
//! file and the town's, read, checked and explained here alone.
//!
//! Files (password, certificates, key) are read when a connection is made, not when the settings are: a renewed
//! certificate counts from the next connection on, without a restart.

mod advice;
mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rumqttc::{TlsConfiguration, Transport};

use crate::config::Table;
pub use advice::advice;
pub use tls::{Identity, Tls};

const PLAIN_PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// Where the broker is and how to get there; the names of files, not what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    pub host: String,
    pub port: u16,
    /// `Some`: MQTT inside a WebSocket, for networks that let nothing else through.
    pub websocket_path: Option<String>,
    /// `Some`: encrypted.
    pub tls: Option<Tls>,
    pub login: Option<Login>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user_name: String,
    /// One line; a line end at its end does not count.
    pub password_file: PathBuf,
}

/// An address with its files read: what the client library needs.
pub struct Way {
    /// A host name, or a URL for a WebSocket.
    pub host: String,
    pub port: u16,
    pub transport: Transport,
    pub user_name_and_password: Option<(String, String)>,
}

/// A file of the `[broker]` section cannot be used. Each message says which setting, which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BrokerFileError {
    #[error("{setting}: {} cannot be read: {source}; name a file that this program's user may read", path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("{setting}: {} holds no {what}; it must be a PEM file with a line -----BEGIN {begin}-----", path.display())]
    NotPem { setting: &'static str, path: PathBuf, what: &'static str, begin: &'static str },
    #[error(
        "broker.tls.key_file: {} does not belong to the certificate in {}; name the key that the certificate was made for",
        key.display(), certificate.display()
    )]
    KeyMismatch { key: PathBuf, certificate: PathBuf },
    #[error("broker.tls: {}: {source}; name another file", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
}

impl BrokerAddress {
    /// Unencrypted and without a login, as on loopback.
    #[must_use]
    pub fn plain(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, websocket_path: None, tls: None, login: None }
    }

    /// Reads a `[broker]` section; without `default_host` the host must be given.
    pub fn from_table(table: &Table, default_host: Option<&str>) -> Option<Self> {
        let host = table.text("host");
        let host = match default_host {
            Some(default) => host.or(default.to_owned()),
            None => host.required("host = \"broker.example.org\""),
        };
        let tls = Tls::from_table(&table.table("tls"));
        let encrypted = !matches!(tls, Some(None));
        let port = table.integer("port", 1..=65_535_u16).or(if encrypted { TLS_PORT } else { PLAIN_PORT });
        let websocket_path = table
            .parsed("websocket_path", "\"/mqtt\"", |text| {
                let fine = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
                if fine { Ok(text.to_owned()) } else { Err(format!("{text:?} is no path; write e.g. \"/mqtt\"")) }
            })
            .optional();
        let login = login(table);
        if encrypted && host.as_ref().is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()) {
            table.wrong("host", "an IPv6 address cannot be compared with a certificate here; write the broker's name");
            return None;
        }
        Some(Self { host: host?, port: port?, websocket_path: websocket_path?, tls: tls?, login: login? })
    }

    /// Reads the files.
    pub fn way(&self) -> Result<Way, BrokerFileError> {
        let tls = self.tls.as_ref().map(|tls| tls.client_config().map(TlsConfiguration::Rustls)).transpose()?;
        let host = match &self.websocket_path {
            Some(_) => self.to_string(),
            None => bracketed(&self.host),
        };
        let transport = match (tls, self.websocket_path.is_some()) {
            (None, false) => Transport::Tcp,
            (None, true) => Transport::Ws,
            (Some(tls), false) => Transport::Tls(tls),
            (Some(tls), true) => Transport::Wss(tls),
        };
        let user_name_and_password = match &self.login {
            None => None,
            Some(login) => {
                let password = read("broker.password_file", &login.password_file)?;
                let password = String::from_utf8_lossy(&password);
                Some((login.user_name.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
            }
        };
        Ok(Way { host, port: self.port, transport, user_name_and_password })
    }

    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// What works but should not be left so.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let exposed = self.login.is_some() && !self.is_encrypted() && !self.is_loopback();
        exposed.then(|| {
            format!(
                "the password for {self} travels unencrypted, everybody on the way can read it; write a [broker.tls] section"
            )
        })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// As a URL, the way people write addresses of brokers.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (bracketed(&self.host), self.port);
        match (&self.websocket_path, self.is_encrypted()) {
            (None, false) => write!(f, "mqtt://{host}:{port}"),
            (None, true) => write!(f, "mqtts://{host}:{port}"),
            (Some(path), false) => write!(f, "ws://{host}:{port}{path}"),
            (Some(path), true) => write!(f, "wss://{host}:{port}{path}"),
        }
    }
}

/// An IPv6 address needs brackets before a port.
fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent login")]
fn login(table: &Table) -> Option<Option<Login>> {
    let user_name = table.text("user_name").optional();
    let password_file = table.path("password_file").optional();
    match (user_name?, password_file?) {
        (Some(user_name), Some(password_file)) => Some(Some(Login { user_name, password_file })),
        (None, None) => Some(None),
        (Some(_), None) => {
            table.wrong("user_name", "needs a password; write password_file = \"…\" beside it");
            None
        }
        (None, Some(_)) => {
            table.wrong("password_file", "needs a name; write user_name = \"…\" beside it");
            None
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, BrokerFileError> {
    std::fs::read(path).map_err(|source| BrokerFileError::Unreadable { setting, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
