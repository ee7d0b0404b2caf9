//! A real Mosquitto on a free loopback port, and a subscriber that keeps what arrives.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

pub struct Mosquitto {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// `None`, said loudly, where it is not installed.
    pub fn start(persistence: bool) -> Option<Self> {
        Self::start_on(free_port(), persistence)
    }

    /// On a port that was told to somebody before.
    pub fn start_on(port: u16, persistence: bool) -> Option<Self> {
        let program = Self::program()?;
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n");
        if persistence {
            let location = folder.path().display();
            text += &format!(
                "persistence true\npersistence_location {location}/\nautosave_on_changes true\nautosave_interval 1\n"
            );
        }
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { folder, port, process: None };
        broker.launch(&program);
        Some(broker)
    }

    /// `None`, said loudly, where it is not installed.
    pub fn program() -> Option<PathBuf> {
        let found =
            ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(PathBuf::from).into_iter().find(|p| p.exists());
        if found.is_none() {
            eprintln!("SKIPPED: mosquitto is not installed, this promise was not tested (apt-get install mosquitto)");
        }
        found
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As a crash does it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn restart(&mut self) {
        let program = Self::program().unwrap();
        self.launch(&program);
    }

    fn launch(&mut self, program: &PathBuf) {
        let process = Command::new(program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A loopback port that nobody uses at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Payloads by topic and in the order of arrival; doubles included.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>);

impl Collected {
    pub fn on(&self, topic: &str) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().get(topic).cloned().unwrap_or_default()
    }

    pub fn topics(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

/// Subscribes to everything, again on each connection, as a service does. Needs a running tokio runtime.
pub fn collect(port: u16) -> Collected {
    let mut options = MqttOptions::new("collector", "127.0.0.1", port);
    let large = ConnectProperties { max_packet_size: Some(1 << 20), ..ConnectProperties::default() };
    options.set_connect_properties(large).set_clean_start(false).set_session_expiry_interval(Some(3600));
    let collected = Collected::default();
    let keep = collected.clone();
    tokio::spawn(async move {
        let (client, mut connection) = AsyncClient::new(options, 10);
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => client.try_subscribe("umsicht/#", QoS::AtLeastOnce).unwrap(),
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                    keep.0.lock().unwrap().entry(topic).or_default().push(message.payload.to_vec());
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    collected
}
