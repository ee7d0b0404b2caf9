//! The ways to a receiver: a TCP connection made or taken, a serial port.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::serial::Port;
use super::{NAP, Shared, Stop, gpsd};
use crate::edge::fix::settings::GnssSource;

/// On the device or in the vehicle's own network an answer takes milliseconds.
const CONNECT: Duration = Duration::from_millis(900);
/// A read waits so long, then looks whether to stop.
const WAIT: Duration = Duration::from_millis(200);

/// Where to knock; kept from one connection to the next.
pub(super) enum Door {
    Connect { host: String, port: u16, greeting: Option<String> },
    Listen { address: SocketAddr, listener: Option<TcpListener> },
    Serial { device: PathBuf, baud: u32 },
}

pub(super) enum Wire {
    Tcp(TcpStream),
    /// Whoever connects last is heard: a phone that lost its network comes back before the old connection is known dead.
    Taken {
        stream: TcpStream,
        listener: TcpListener,
    },
    Serial(Port),
}

impl Door {
    /// `None` for a recording.
    pub(super) fn to(source: &GnssSource) -> Option<Self> {
        match source.clone() {
            GnssSource::Gpsd { host, port, device } => {
                Some(Self::Connect { host, port, greeting: Some(gpsd::watch(device.as_deref())) })
            }
            GnssSource::Tcp { host, port } => Some(Self::Connect { host, port, greeting: None }),
            GnssSource::Listen { address } => Some(Self::Listen { address, listener: None }),
            GnssSource::Serial { device, baud } => Some(Self::Serial { device, baud }),
            GnssSource::File { .. } => None,
        }
    }

    /// Whether others knock here, who need not be spared.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Listen { .. })
    }

    /// Waits where somebody is to connect to us, and tries once elsewhere. `Err` says what to do.
    pub(super) fn open(&mut self, shared: &Shared, stop: &Stop) -> Result<Wire, String> {
        match self {
            Self::Connect { host, port, greeting } => connect(host, *port, greeting.as_deref()).map(Wire::Tcp),
            Self::Listen { address, listener } => {
                let open = match listener.take() {
                    Some(open) => open,
                    None => bind(*address)?,
                };
                let kept = listener.insert(open);
                shared.lost(format!("nobody has connected to {address} yet; set the phone's app to send there"));
                while !stop.is_set() {
                    match accept(kept) {
                        Some(stream) => {
                            let listener = kept.try_clone().map_err(|error| error.to_string())?;
                            return Ok(Wire::Taken { stream, listener });
                        }
                        None => stop.sleep(NAP),
                    }
                }
                Err("stopped".into())
            }
            Self::Serial { device, baud } => Port::open(device, *baud).map(Wire::Serial),
        }
    }
}

impl Wire {
    /// 0 when nothing came for a while; `Err` says how the connection ended.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<usize, String> {
        match self {
            Self::Tcp(stream) => read(stream, bytes),
            Self::Taken { stream, listener } => {
                if let Some(newer) = accept(listener) {
                    *stream = newer;
                }
                read(stream, bytes)
            }
            Self::Serial(port) => port.read(bytes),
        }
    }
}

fn connect(host: &str, port: u16, greeting: Option<&str>) -> Result<TcpStream, String> {
    let wrong = |reason: String| match greeting {
        Some(_) => format!("gpsd does not answer at {host}:{port}: {reason}; is gpsd installed and started?"),
        None => format!("nobody answers at {host}:{port}: {reason}; is the phone in this network, its app started?"),
    };
    let addresses = (host, port).to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        let opened = TcpStream::connect_timeout(&address, CONNECT).and_then(|mut stream| {
            prepare(&stream)?;
            stream.write_all(greeting.unwrap_or_default().as_bytes())?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(wrong(reason))
}

fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| format!("cannot listen at {address}: {error}; write another `listen` under [gnss]"))
}

/// `None` while nobody knocks.
fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).and_then(|()| prepare(&stream)).ok()?;
    Some(stream)
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(CONNECT))
}

fn read(stream: &mut TcpStream, bytes: &mut [u8]) -> Result<usize, String> {
    match stream.read(bytes) {
        Ok(0) => Err("the other side has closed the connection".into()),
        Ok(count) => Ok(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
            Ok(0)
        }
        Err(error) => Err(error.to_string()),
    }
}
