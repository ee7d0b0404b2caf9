//! The sending half of a device: a spool and a publisher on the way to a broker, and what arrives at the other end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use umsicht::edge::check::{Verdict, broker_verdict};
use umsicht::edge::publish::{BrokerConfig, PublishStats, Publisher, delivered};
use umsicht::edge::spool::Spool;
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{Event, EventId};

use crate::support::mosquitto::Collected;
use crate::support::{SMALL_SPOOL, damage};

pub const EVENTS: &str = "umsicht/1/soest/road/event/road.damage";
pub const STATUS: &str = "umsicht/1/soest/bauhof-3/status";
pub const HEALTH: &str = "umsicht/1/soest/bauhof-3/health";

pub struct Device {
    pub spool: Arc<Spool>,
    pub stats: watch::Receiver<PublishStats>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Device {
    pub fn start(folder: &Path, address: BrokerAddress) -> Self {
        Self::with(folder, address, |publisher| publisher)
    }

    pub fn with(folder: &Path, address: BrokerAddress, also: impl FnOnce(Publisher) -> Publisher) -> Self {
        // A test that fails shows what the publisher logged; only the first device of a process sets it up.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let spool = Arc::new(Spool::open(folder, SMALL_SPOOL).unwrap().0);
        let name = |n: &str| TopicName::new(n).unwrap();
        let broker = BrokerConfig { address, client_id: "edge".into() };
        let publisher = also(Publisher::new(broker, name("soest"), name("bauhof-3"), Arc::clone(&spool)));
        let (stop, stopped) = watch::channel(false);
        Self { spool, stats: publisher.stats(), stop, task: tokio::spawn(publisher.run(stopped)) }
    }

    /// Commits damages without pictures.
    pub fn commit(&self, numbers: std::ops::Range<u32>) -> BTreeSet<EventId> {
        numbers.flat_map(|number| self.spool.commit(vec![damage(number, None)]).unwrap()).collect()
    }

    pub async fn delivered(&mut self) {
        let all = delivered(&self.spool, &mut self.stats);
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("everything is sent in time");
    }

    /// Waits until the counts are as wanted.
    pub async fn counts(&mut self, wanted: impl FnMut(&PublishStats) -> bool) -> PublishStats {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.stats.wait_for(wanted)).await;
        let reached = reached.map(|stats| *stats.expect("the publisher runs"));
        let now = *self.stats.borrow();
        reached.unwrap_or_else(|_| panic!("the counts stay at {now:?}"))
    }

    /// For some time: no connection, nothing lost, and still trying.
    pub async fn is_kept_out(&self, items: usize) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(self.stats.borrow().connections, 0);
        assert_eq!(self.spool.len(), items, "everything is kept");
        assert!(!self.task.is_finished(), "it goes on trying");
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it stops in time").unwrap();
    }
}

/// What `umsicht edge check` says of this broker.
pub async fn checked(address: &BrokerAddress) -> Verdict {
    let broker = BrokerConfig { address: address.clone(), client_id: "edge".into() };
    tokio::task::spawn_blocking(move || broker_verdict(&broker)).await.unwrap()
}

/// The words of a check that failed.
pub async fn failure(address: &BrokerAddress) -> String {
    match checked(address).await {
        Verdict::Fail(words) => words,
        other => panic!("{other:?}"),
    }
}

pub fn ids(collected: &Collected) -> BTreeSet<EventId> {
    collected.on(EVENTS).iter().map(|payload| Event::from_json(payload).unwrap().id).collect()
}

/// Waits until exactly these events have arrived.
pub async fn arrive(collected: &Collected, expected: &BTreeSet<EventId>) {
    let started = Instant::now();
    while ids(collected) != *expected {
        let missing = expected.difference(&ids(collected)).count();
        assert!(started.elapsed() < Duration::from_secs(60), "{missing} of {} events did not arrive", expected.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
