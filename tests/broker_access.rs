//! Who may talk to whom: certificates on both sides, a login, a WebSocket. What is refused is told with a remedy, and the
//! device goes on trying and keeps everything.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use umsicht::central::config::CheckedConfig;
use umsicht::central::serve;
use umsicht::clock::SystemClock;
use umsicht::edge::check::Verdict;
use umsicht::mqtt::{BrokerAddress, Identity, Login, Tls};
use umsicht::schema::topic::TopicName;

use crate::support::authority::{Authority, server_config};
use crate::support::device::{Device, arrive, checked, failure};
use crate::support::mosquitto::{Mosquitto, collect, free_port};
use crate::support::websocket::websocket;

/// A broker with an encrypted listener, and a plain one for the collector.
struct Encrypted {
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
    plain_port: u16,
    _broker: Mosquitto,
}

impl Encrypted {
    fn start(asks_for_certificate: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "town");
        let broker = authority.certify(folder.path(), "broker");
        let (port, plain_port) = (free_port(), free_port());
        let text = format!(
            "allow_anonymous true\nlistener {plain_port} 127.0.0.1\nlistener {port} 127.0.0.1\ncafile {}\n\
             certfile {}\nkeyfile {}\nrequire_certificate {asks_for_certificate}\n",
            authority.ca_file.display(),
            broker.certificate_file.display(),
            broker.key_file.display(),
        );
        let broker = Mosquitto::configured(port, |_| text)?;
        Some(Self { folder, authority, port, plain_port, _broker: broker })
    }

    fn address(&self, ca_file: &Path, identity: Option<Identity>) -> BrokerAddress {
        let tls = Tls { ca_file: ca_file.to_owned(), identity };
        BrokerAddress { tls: Some(tls), ..BrokerAddress::plain("localhost", self.port) }
    }
}

async fn delivers(address: BrokerAddress, collector_port: u16) {
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(collector_port);
    let encrypted = address.is_encrypted();
    let mut device = Device::start(folder.path(), address);
    let expected = device.commit(0..20);
    arrive(&collected, &expected).await;
    device.delivered().await;
    assert_eq!(device.stats.borrow().encrypted, encrypted);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_authority_is_refused() {
    let Some(broker) = Encrypted::start(false) else { return };
    let stranger = Authority::new(broker.folder.path(), "stranger");
    let address = broker.address(&stranger.ca_file, None);
    let words = failure(&address).await;
    assert!(words.contains("not signed by") && words.contains("stranger.pem"), "{words}");
    assert!(words.contains("broker.tls.ca_file"), "{words}");

    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), address);
    device.commit(0..3);
    device.is_kept_out(3).await;
    device.stop().await;
    delivers(broker.address(&broker.authority.ca_file, None), broker.plain_port).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_refused() {
    let Some(broker) = Encrypted::start(false) else { return };
    let address = BrokerAddress { host: "127.0.0.1".into(), ..broker.address(&broker.authority.ca_file, None) };
    let words = failure(&address).await;
    assert!(words.contains("for another name") && words.contains("broker.host"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_for_a_certificate_gets_one_or_nothing() {
    let Some(broker) = Encrypted::start(true) else { return };
    let ca_file = &broker.authority.ca_file;
    let without = broker.address(ca_file, None);
    let words = failure(&without).await;
    assert!(words.contains("broker.tls.certificate_file"), "{words}");

    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), without);
    device.commit(0..3);
    device.is_kept_out(3).await;
    device.stop().await;

    let identity = broker.authority.certify(broker.folder.path(), "bauhof-3");
    let with = broker.address(ca_file, Some(identity));
    assert!(matches!(checked(&with).await, Verdict::Ok(words) if words.contains("MQTT 5, encrypted")));
    delivers(with, broker.plain_port).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_town_takes_events_from_the_same_broker() {
    let Some(broker) = Encrypted::start(true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = |name: &str| {
        let identity = broker.authority.certify(broker.folder.path(), name);
        broker.address(&broker.authority.ca_file, Some(identity))
    };
    let config = CheckedConfig {
        site: TopicName::new("soest").unwrap(),
        town_name: "Soest".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        broker: address("central"),
        database: folder.path().join("central.sqlite"),
        network: None,
        profile: None,
    };
    let (stop, mut stopping) = watch::channel(false);
    let shutdown = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let town = serve(config, Arc::new(SystemClock), shutdown).await.unwrap();
    let device = Device::start(&folder.path().join("spool"), address("bauhof-3"));
    let events = device.commit(0..5).len() as u64;
    let started = Instant::now();
    while town.store.counts().await.unwrap().sightings < events {
        assert!(started.elapsed() < Duration::from_secs(30), "the town does not get the events");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    device.stop().await;
    stop.send_replace(true);
    town.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_repaired_counts_without_a_restart() {
    if Mosquitto::program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (port, plain_port) = (free_port(), free_port());
    let passwords = folder.path().join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["bus7", "right"]).status();
    assert!(made.unwrap().success());
    let text = format!(
        "per_listener_settings true\nlistener {plain_port} 127.0.0.1\nallow_anonymous true\nlistener {port} 127.0.0.1\n\
         allow_anonymous false\npassword_file {}\n",
        passwords.display()
    );
    let Some(_broker) = Mosquitto::configured(port, |_| text) else { return };
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "wrong\n").unwrap();
    let login = Login { user_name: "bus7".into(), password_file: password_file.clone() };
    let address = BrokerAddress { login: Some(login), ..BrokerAddress::plain("127.0.0.1", port) };
    let words = failure(&address).await;
    assert!(words.contains("broker.user_name and broker.password_file"), "{words}");

    let spool = tempfile::tempdir().unwrap();
    let collected = collect(plain_port);
    let device = Device::start(spool.path(), address);
    let expected = device.commit(0..3);
    device.is_kept_out(3).await;
    std::fs::write(&password_file, "right\n").unwrap();
    arrive(&collected, &expected).await;
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_through_a_websocket() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let port = websocket(broker.port(), None).await;
    let path = Some("/mqtt".into());
    delivers(BrokerAddress { websocket_path: path, ..BrokerAddress::plain("127.0.0.1", port) }, broker.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_through_an_encrypted_websocket() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "town");
    let config = server_config(&authority.certify(folder.path(), "broker"));
    let tls = Some(Tls { ca_file: authority.ca_file, identity: None });
    let port = websocket(broker.port(), Some(config)).await;
    let path = Some("/mqtt".into());
    delivers(BrokerAddress { websocket_path: path, tls, ..BrokerAddress::plain("localhost", port) }, broker.port())
        .await;
}
