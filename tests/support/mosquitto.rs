//! A real Mosquitto on a free loopback port, and a subscriber that keeps what arrives.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
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
        Self::configured(port, |folder| {
            let mut text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n");
            if persistence {
                text += &persistence_in(folder);
            }
            text
        })
    }

    /// With a configuration that puts a listener on `port`; `text` gets the folder that the broker has to itself.
    pub fn configured(port: u16, text: impl FnOnce(&Path) -> String) -> Option<Self> {
        let program = Self::program()?;
        let folder = tempfile::tempdir().unwrap();
        let text = format!("user root\n{}", text(folder.path()));
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

/// The lines that make a broker keep its sessions in `folder`.
pub fn persistence_in(folder: &Path) -> String {
    let location = folder.display();
    format!("persistence true\npersistence_location {location}/\nautosave_on_changes true\nautosave_interval 1\n")
}

/// A loopback port that nobody uses at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Payloads by topic and in the order of arrival; doubles included.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>, Arc<AtomicBool>);

impl Collected {
    pub fn on(&self, topic: &str) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().get(topic).cloned().unwrap_or_default()
    }

    /// Waits until the broker knows that somebody listens.
    pub async fn listens(&self) {
        let started = Instant::now();
        while !self.1.load(Ordering::Relaxed) {
            assert!(started.elapsed() < Duration::from_secs(10), "no subscription");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until `count` messages have come under a topic.
    pub async fn comes(&self, topic: &str, count: usize) -> Vec<Vec<u8>> {
        let started = Instant::now();
        while self.on(topic).len() < count {
            assert!(started.elapsed() < Duration::from_secs(30), "only these arrived: {:?}", self.topics());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.on(topic)
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
                Ok(Event::Incoming(Packet::SubAck(_))) => keep.1.store(true, Ordering::Relaxed),
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

/// Says something once, as another client, and waits for the acknowledgement.
pub async fn say(port: u16, topic: &str, payload: &[u8]) {
    let (client, mut connection) = AsyncClient::new(MqttOptions::new("speaker", "127.0.0.1", port), 10);
    client.try_publish(topic, QoS::AtLeastOnce, false, payload.to_vec()).unwrap();
    while !matches!(connection.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
}
