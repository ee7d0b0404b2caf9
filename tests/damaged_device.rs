//! A device whose disk has lost or changed what was written goes on, sends everything else, and says in its health what is gone.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use umsicht::edge::batch::Batching;
use umsicht::edge::health::health;
use umsicht::edge::publish::{BrokerConfig, Publisher, delivered};
use umsicht::edge::spool::Spool;
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::DeviceHealth;
use umsicht::schema::health::SpoolHealth;
use umsicht::schema::topic::TopicName;

use crate::support::device::{HEALTH, ids};
use crate::support::mosquitto::{Mosquitto, collect};
use crate::support::{SMALL_SPOOL, damage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_lost_is_told_and_the_rest_arrives() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let count = 600;
    {
        let (spool, _) = Spool::open(folder.path(), SMALL_SPOOL).unwrap();
        for number in 0..count {
            spool.commit(vec![damage(number, None)]).unwrap();
        }
    }
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.sort();
    assert!(segments.len() > 1, "{segments:?}");
    // A bit in a full segment, garbage in the middle of the open one, and its end cut off.
    let full = OpenOptions::new().read(true).write(true).open(&segments[0]).unwrap();
    let mut byte = [0];
    full.read_exact_at(&mut byte, 5000).unwrap();
    full.write_all_at(&[byte[0] ^ 1], 5000).unwrap();
    let open = OpenOptions::new().write(true).open(segments.last().unwrap()).unwrap();
    let length = open.metadata().unwrap().len();
    open.write_all_at(b"garbage", length / 2).unwrap();
    open.set_len(length - 100).unwrap();

    let collected = collect(broker.port());
    collected.listens().await;
    let (spool, recovery) = Spool::open(folder.path(), SMALL_SPOOL).unwrap();
    assert_eq!(recovery.set_aside.len(), 1, "the open one was read as a whole: {recovery:?}");
    let spool = Arc::new(spool);
    let link = BrokerConfig { address: BrokerAddress::plain("127.0.0.1", broker.port()), client_id: "damaged".into() };
    let name = |text: &str| TopicName::new(text).unwrap();
    let start = || {
        let publisher = Publisher::new(link.clone(), name("soest"), name("bauhof-3"), Arc::clone(&spool))
            .with_health(health(&spool, Batching::Off, &Arc::default()));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        (publisher.stats(), stop, tokio::spawn(publisher.run(stopped)))
    };
    let (mut stats, stop, task) = start();
    tokio::time::timeout(Duration::from_secs(60), delivered(&spool, &mut stats))
        .await
        .expect("all that is left is sent");
    stop.send_replace(true);
    task.await.unwrap();
    let arrived = ids(&collected).len();
    assert!((count as usize - 3..count as usize).contains(&arrived), "{arrived} of {count}");

    // Its state of health is told with each connection.
    let (_stats, _stop, _task) = start();
    let told = |health: &SpoolHealth| health.unreadable == 1 && health.set_aside >= 1 && health.items == 0;
    let started = Instant::now();
    loop {
        let last = collected.on(HEALTH).last().map(|payload| DeviceHealth::from_json(payload).unwrap().spool);
        if last.as_ref().is_some_and(told) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{last:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
