//! What the link is asked to do: speak the version that the broker speaks, hold back what costs, bring commands, tell how
//! the device is.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use umsicht::edge::check::Verdict;
use umsicht::edge::link::Version;
use umsicht::edge::link::policy::{LinkPolicy, Pictures};
use umsicht::edge::publish::Command;
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::DeviceHealth;

use crate::support::device::{Device, HEALTH, STATUS, arrive, checked};
use crate::support::mosquitto::{Mosquitto, collect, say};
use crate::support::old_broker::{Refusal, old_broker};
use crate::support::{damage, picture};

const COMMANDS: &str = "umsicht/1/soest/bauhof-3/command";

fn plain(port: u16) -> BrokerAddress {
    BrokerAddress::plain("127.0.0.1", port)
}

async fn next(commands: &mut mpsc::Receiver<Command>) -> Command {
    tokio::time::timeout(Duration::from_secs(10), commands.recv()).await.expect("the command comes in time").unwrap()
}

async fn is_spoken_to_in_311(refusal: Refusal) {
    let Some(broker) = Mosquitto::start(false) else { return };
    let address = plain(old_broker(broker.port(), refusal).await);
    let verdict = checked(&address).await;
    assert!(matches!(&verdict, Verdict::Warn(words) if words.contains("MQTT 3.1.1")), "{verdict:?}");

    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    collected.listens().await;
    let (sender, mut commands) = mpsc::channel(4);
    let mut device = Device::with(folder.path(), address, |publisher| publisher.with_commands(sender));
    let expected = device.commit(0..50);
    arrive(&collected, &expected).await;
    device.delivered().await;
    assert_eq!(device.stats.borrow().mqtt, Some(Version::V311));
    device.counts(|stats| stats.listening).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    say(broker.port(), &format!("{COMMANDS}/models"), b"bundle").await;
    let Command { name, payload } = next(&mut commands).await;
    assert_eq!((name.as_str(), payload.as_slice()), ("models", b"bundle".as_slice()));
    device.stop().await;
    assert_eq!(collected.comes(STATUS, 2).await, [b"online".to_vec(), b"offline".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_five_is_spoken_to_in_311() {
    is_spoken_to_in_311(Refusal::InFive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_never_heard_of_five_is_spoken_to_in_311() {
    is_spoken_to_in_311(Refusal::InThree).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_up_on_five_is_spoken_to_in_311() {
    is_spoken_to_in_311(Refusal::Silent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_that_are_held_keep_no_event() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let policy = LinkPolicy { pictures: Pictures::Never, ..LinkPolicy::default() };
    let mut device = Device::with(folder.path(), plain(broker.port()), |publisher| publisher.with_policy(policy));
    let mut expected: std::collections::BTreeSet<_> = device
        .spool
        .commit(vec![damage(0, Some(picture())), damage(1, Some(picture()))])
        .unwrap()
        .into_iter()
        .collect();
    arrive(&collected, &expected).await;
    expected.extend(device.commit(2..5));
    arrive(&collected, &expected).await;
    device.delivered().await;
    device.counts(|stats| stats.held_pictures == 2).await;
    assert!(!collected.topics().iter().any(|topic| topic.contains("evidence")), "{:?}", collected.topics());
    assert!(device.spool.len() >= 2);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_link_is_not_overrun() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    collected.listens().await;
    let policy = LinkPolicy { max_bytes_per_second: Some(2000), ..LinkPolicy::default() };
    let mut device = Device::with(folder.path(), plain(broker.port()), |publisher| publisher.with_policy(policy));
    device.counts(|stats| stats.connected).await;
    let started = Instant::now();
    let expected = device.commit(0..16);
    arrive(&collected, &expected).await;
    let bytes: usize = collected.on(crate::support::device::EVENTS).iter().map(Vec::len).sum();
    let seconds = bytes as f64 / 2000.0;
    // What one second gives may leave at once, and the last item on credit.
    assert!(started.elapsed().as_secs_f64() > seconds - 1.6, "{bytes} bytes in {:?}", started.elapsed());
    assert!(seconds > 2.0, "{bytes} bytes are too few to tell anything");
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_nobody_carries_out_stop_nothing() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let (sender, mut commands) = mpsc::channel(1);
    let mut device = Device::with(folder.path(), plain(broker.port()), |p| p.with_commands(sender));
    device.counts(|stats| stats.listening).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let large = vec![7; 2 << 20];
    say(broker.port(), &format!("{COMMANDS}/models"), &large).await;
    for _ in 0..3 {
        say(broker.port(), &format!("{COMMANDS}/again"), b"").await;
    }
    let expected = device.commit(0..5);
    arrive(&collected, &expected).await;
    assert_eq!(next(&mut commands).await.payload, large, "megabytes come through");
    assert!(commands.try_recv().is_err(), "what did not fit is dropped");
    assert_eq!(device.stats.borrow().connections, 1);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_tells_how_it_is() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    collected.listens().await;
    let health = || DeviceHealth { program: "0.1".into(), ..DeviceHealth::default() };
    let device = Device::with(folder.path(), plain(broker.port()), |p| p.with_health(Box::new(health)));
    let said = DeviceHealth::from_json(&collected.comes(HEALTH, 1).await[0]).unwrap();
    assert_eq!((said.program.as_str(), said.link.mqtt.as_str(), said.link.connections), ("0.1", "5", 1));
    assert!(!said.link.encrypted);
    device.stop().await;
}
