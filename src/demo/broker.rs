//! A private Mosquitto for the demo: free loopback port, its own configuration and folder, gone with the demo.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(5);
/// Debian puts the daemon where the path of an ordinary user does not lead.
const WELL_KNOWN: [&str; 3] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"];

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the MQTT broker Mosquitto is not installed; on Debian: apt-get install mosquitto")]
    NotInstalled,
    #[error("{action}: {source}")]
    Io { action: String, source: std::io::Error },
    #[error("Mosquitto did not start within {} s; it said:\n{said}", START_TIMEOUT.as_secs())]
    DidNotStart { said: String },
}

/// A running broker; dropped, it is stopped.
#[derive(Debug)]
pub struct PrivateBroker {
    process: Child,
    port: u16,
}

impl PrivateBroker {
    /// Starts a broker whose files lie in `folder`.
    pub fn start(folder: &Path) -> Result<Self, BrokerError> {
        let program = find_mosquitto().ok_or(BrokerError::NotInstalled)?;
        let io = |action: &str| {
            let action = action.to_owned();
            move |source| BrokerError::Io { action, source }
        };
        let port = free_port().map_err(io("finding a free loopback port"))?;
        let configuration = folder.join("mosquitto.conf");
        let log = folder.join("mosquitto.log");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        fs::write(&configuration, text).map_err(io("writing the broker's configuration"))?;
        let log_file = fs::File::create(&log).map_err(io("creating the broker's log"))?;
        let process = Command::new(program)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(io("starting Mosquitto"))?;
        let mut broker = Self { process, port };
        if broker.answers() {
            Ok(broker)
        } else {
            Err(BrokerError::DidNotStart { said: fs::read_to_string(log).unwrap_or_default() })
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn answers(&mut self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return true;
            }
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        // Both fail only when the broker has already ended, which is what is wanted here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find_mosquitto() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).map(|folder| folder.join("mosquitto")).collect::<Vec<_>>());
    on_path.chain(WELL_KNOWN.iter().map(PathBuf::from)).find(|candidate| candidate.is_file())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_broker_answers_and_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let broker = match PrivateBroker::start(folder.path()) {
            Ok(broker) => broker,
            Err(BrokerError::NotInstalled) => {
                eprintln!("SKIPPED a_private_broker_answers_and_ends_with_its_owner: mosquitto is not installed");
                return;
            }
            Err(other) => panic!("{other}"),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, broker.port()));
        assert!(TcpStream::connect(address).is_ok());
        drop(broker);
        assert!(TcpStream::connect(address).is_err());
    }
}
