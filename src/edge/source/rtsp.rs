//! An RTSP camera as the configuration says, and whether anybody listens at its address.
//!
//! The password stands in a file of its own and is read at each connection, so that a new one needs no restart. Addresses
//! may carry secrets in their path or query as well; messages name host and port alone.

use std::fmt;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_PORT: u16 = 554;
const DEFAULT_TLS_PORT: u16 = 322;
/// A camera in the same network answers within milliseconds; a mobile link within a second or two.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtspConfig {
    pub url: RtspUrl,
    /// `None`: the camera wants none.
    pub login: Option<Login>,
    pub transport: Transport,
    /// What the jitter buffer holds; packets that come later are lost.
    pub jitter: Duration,
    pub certificate: Certificate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user_name: String,
    pub password_file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Nothing is lost on the way; a bad link shows as delay.
    Tcp,
    /// A bad link shows as broken pictures.
    Udp,
    /// UDP first, TCP when no packet comes.
    Auto,
}

/// Of an `rtsps` camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Must be signed by an authority that the system trusts.
    Verified,
    /// Any will do: what is sent is hidden from listeners, but the camera may be another.
    Any,
}

/// `rtsp://host[:port]/path` or `rtsps://…`, without credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    text: String,
    host: String,
    port: u16,
    tls: bool,
}

impl RtspUrl {
    /// The error says what to write instead and repeats no credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "write e.g. \"rtsp://192.168.1.64/stream1\"";
        let (tls, rest) = match text.split_once("://") {
            Some(("rtsp", rest)) => (false, rest),
            Some(("rtsps", rest)) => (true, rest),
            _ => return Err(format!("does not start with rtsp:// or rtsps://; {example}")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // Passwords may hold a slash; what then looks like a host ends before the @.
        if authority.contains('@') || rest.split('?').next().is_some_and(|path| path.contains('@')) {
            return Err(format!(
                "holds a user name or password; {example} and set user_name = \"…\" and password_file = \"…\" beside it"
            ));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("holds a space; {example}"));
        }
        let default_port = if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        // An IPv6 address stands in brackets and is full of colons.
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("has no port behind its colon; {example}"))?),
            None => (authority, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(format!("names no host; {example}"));
        }
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port, tls })
    }

    /// Whole, for the connection alone.
    pub fn location(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether somebody listens there. GStreamer says "Generic error" to all of this, and builds a pipeline to find out.
    /// Blocks for as long as the name's resolution takes, and a few seconds more.
    pub fn reach(&self) -> Result<(), String> {
        let unknown = |_| format!("{self}: the name is unknown; check the host in url, or write its address");
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs().map_err(unknown)?.collect();
        let mut refusal = format!("{self}: the name has no address; check the host in url");
        for address in addresses {
            match TcpStream::connect_timeout(&address, ANSWER_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
                    refusal =
                        format!("{self}: nothing listens there; is the camera started, and is RTSP switched on in it?");
                }
                Err(e) => {
                    refusal = format!("{self}: does not answer ({e}); check power, cable and the address in url");
                }
            }
        }
        Err(refusal)
    }
}

/// Host and port alone: the path may hold a secret.
impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspUrl({self})")
    }
}

impl Login {
    /// The file's text without the line's end.
    pub fn password(&self) -> Result<String, String> {
        let path = self.password_file.display();
        let text = std::fs::read_to_string(&self.password_file)
            .map_err(|e| format!("password_file {path} cannot be read ({e}); write the password into it"))?;
        let password = text.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(format!("password_file {path} is empty; write the password into it"));
        }
        Ok(password.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, shown, tls) in [
            ("rtsp://192.168.1.64/stream1", "192.168.1.64:554", false),
            ("rtsp://cam.local:8554/a?b=c:d@e", "cam.local:8554", false),
            ("rtsps://cam.local", "cam.local:322", true),
            ("rtsp://[fe80::1]:8554/a", "fe80::1:8554", false),
            ("rtsp://[fe80::1]/a", "fe80::1:554", false),
        ] {
            let url = RtspUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.is_tls(), url.location()), (shown, tls, text));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice_and_without_its_secret() {
        for (text, part) in [
            ("http://cam/", "does not start with rtsp://"),
            ("rtsp:///stream", "names no host"),
            ("rtsp://cam:x/", "has no port"),
            ("rtsp://cam/a b", "holds a space"),
            ("rtsp://admin:geheim7@cam/a", "set user_name"),
            ("rtsp://admin:geh/eim7@cam/a", "set user_name"),
        ] {
            let error = RtspUrl::parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("geh"), "{text}: {error}");
        }
    }

    #[test]
    fn a_port_without_a_listener_and_an_unknown_name_are_told_apart() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = RtspUrl::parse(&format!("rtsp://{free}/geheim7")).unwrap().reach().unwrap_err();
        assert!(refused.contains("nothing listens there") && !refused.contains("geheim7"), "{refused}");
        let unknown = RtspUrl::parse("rtsp://kamera.invalid/a").unwrap().reach().unwrap_err();
        assert!(unknown.contains("kamera.invalid:554: the name"), "{unknown}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "(rtsps?://)?\\PC*") {
            if let Ok(url) = RtspUrl::parse(&text) {
                prop_assert!(!url.host.contains('@'));
            }
        }
    }
}
