//! A broker that is killed while events flow loses nothing that the spool had taken: with persistence, without, and with
//! a disk on which it cannot write any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use umsicht::edge::spool::Spool;
use umsicht::mqtt::BrokerAddress;

use crate::support::device::{Device, STATUS, arrive};
use crate::support::mosquitto::{Mosquitto, collect, free_port, persistence_in};
use crate::support::{SMALL_SPOOL, damage, picture};

fn plain(port: u16) -> BrokerAddress {
    BrokerAddress::plain("127.0.0.1", port)
}

async fn kills_while_events_flow(mut broker: Mosquitto) {
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let device = Device::start(folder.path(), plain(broker.port()));
    let mut committed = BTreeSet::new();
    for number in 0..400 {
        committed.extend(device.commit(number..number + 1));
        if number % 100 == 50 {
            broker.kill();
        }
        if number % 100 == 80 {
            broker.restart();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    arrive(&collected, &committed).await;
    let stats = *device.stats.borrow();
    assert!(stats.connections > 1, "the broker was really away");
    assert!(stats.sent_again > 0, "what was on the way when it died is counted: {stats:?}");
    device.stop().await;
    let (left, _) = Spool::open(folder.path(), SMALL_SPOOL).unwrap();
    assert!(left.is_empty(), "what arrived is not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_without_persistence_loses_nothing() {
    let Some(broker) = Mosquitto::start(false) else { return };
    kills_while_events_flow(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_with_persistence_loses_nothing() {
    let Some(broker) = Mosquitto::start(true) else { return };
    kills_while_events_flow(broker).await;
}

/// A file system of its own, so small that it can be filled; unmounted with the test.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: only root may mount a small disk; a broker with a full disk was not tested");
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_with_a_full_disk_loses_nothing() {
    let Some(disk) = TinyDisk::mount() else { return };
    let port = free_port();
    let persistence = persistence_in(disk.path());
    let configuration =
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n{persistence}");
    let Some(broker) = Mosquitto::configured(port, |_| configuration) else { return };
    let filler = disk.path().join("filler");
    let filled = std::fs::write(&filler, vec![0; 1 << 20]);
    assert!(filled.is_err(), "the disk is full");
    kills_while_events_flow(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_follow_their_events_and_the_status_tells_the_end() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let mut device = Device::start(folder.path(), plain(broker.port()));
    let picture = picture();
    let id = device.spool.commit(vec![damage(1, Some(picture.clone()))]).unwrap()[0];
    arrive(&collected, &BTreeSet::from([id])).await;
    device.delivered().await;
    device.stop().await;
    let evidence = collected.comes(&format!("umsicht/1/soest/road/evidence/{id}"), 1).await;
    assert_eq!(Some(&evidence[0]), picture.to_jpeg().as_ref());
    assert_eq!(collected.comes(STATUS, 2).await, [b"online".to_vec(), b"offline".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_hears_is_said_again() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path(), plain(broker.port()));
    let expected = device.commit(1..2);
    device.counts(|stats| stats.unheard > 0).await;
    assert!(!device.spool.is_empty());
    let collected = collect(broker.port());
    arrive(&collected, &expected).await;
    device.stop().await;
}
