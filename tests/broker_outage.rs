//! A broker that is killed while events flow loses nothing that the spool had taken, with and without persistence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use umsicht::edge::publish::{BrokerConfig, PublishStats, Publisher, delivered};
use umsicht::edge::spool::Spool;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{Event, EventId};

use crate::support::mosquitto::{Collected, Mosquitto, collect};
use crate::support::{SMALL_SPOOL, damage, picture};

const EVENTS: &str = "umsicht/1/soest/road/event/road.damage";
const STATUS: &str = "umsicht/1/soest/bauhof-3/status";

struct Edge {
    spool: Arc<Spool>,
    stats: watch::Receiver<PublishStats>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Edge {
    fn start(folder: &std::path::Path, port: u16) -> Self {
        let spool = Arc::new(Spool::open(folder, SMALL_SPOOL).unwrap().0);
        let broker = BrokerConfig { host: "127.0.0.1".into(), port, client_id: "edge".into() };
        let name = |n: &str| TopicName::new(n).unwrap();
        let publisher = Publisher::new(broker, name("soest"), name("bauhof-3"), Arc::clone(&spool));
        let (stop, stopped) = watch::channel(false);
        Self { spool, stats: publisher.stats(), stop, task: tokio::spawn(publisher.run(stopped)) }
    }

    async fn delivered(&mut self) {
        let all = delivered(&self.spool, &mut self.stats);
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("everything is sent in time");
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it stops in time").unwrap();
    }
}

fn ids(collected: &Collected) -> BTreeSet<EventId> {
    collected.on(EVENTS).iter().map(|payload| Event::from_json(payload).unwrap().id).collect()
}

async fn arrive(collected: &Collected, expected: &BTreeSet<EventId>) {
    let started = Instant::now();
    while ids(collected) != *expected {
        let missing = expected.difference(&ids(collected)).count();
        assert!(started.elapsed() < Duration::from_secs(60), "{missing} of {} events did not arrive", expected.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn kills_while_events_flow(persistence: bool) {
    let Some(mut broker) = Mosquitto::start(persistence) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let edge = Edge::start(folder.path(), broker.port());
    let mut committed = BTreeSet::new();
    for number in 0..400 {
        committed.extend(edge.spool.commit(vec![damage(number, None)]).unwrap());
        if number % 100 == 50 {
            broker.kill();
        }
        if number % 100 == 80 {
            broker.restart();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    arrive(&collected, &committed).await;
    assert!(edge.stats.borrow().connections > 1, "the broker was really away");
    edge.stop().await;
    let (left, _) = Spool::open(folder.path(), SMALL_SPOOL).unwrap();
    assert!(left.is_empty(), "what arrived is not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_without_persistence_loses_nothing() {
    kills_while_events_flow(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_with_persistence_loses_nothing() {
    kills_while_events_flow(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_follow_their_events_and_the_status_tells_the_end() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(broker.port());
    let mut edge = Edge::start(folder.path(), broker.port());
    let picture = picture();
    let id = edge.spool.commit(vec![damage(1, Some(picture.clone()))]).unwrap()[0];
    arrive(&collected, &BTreeSet::from([id])).await;
    edge.delivered().await;
    edge.stop().await;
    let started = Instant::now();
    let evidence = format!("umsicht/1/soest/road/evidence/{id}");
    while collected.on(&evidence).is_empty() || collected.on(STATUS).len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(10), "only these arrived: {:?}", collected.topics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(Some(&collected.on(&evidence)[0]), picture.to_jpeg().as_ref());
    assert_eq!(collected.on(STATUS), [b"online".to_vec(), b"offline".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_hears_is_said_again() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut edge = Edge::start(folder.path(), broker.port());
    let id = edge.spool.commit(vec![damage(1, None)]).unwrap()[0];
    edge.stats.wait_for(|stats| stats.unheard > 0).await.unwrap();
    assert!(!edge.spool.is_empty());
    let collected = collect(broker.port());
    arrive(&collected, &BTreeSet::from([id])).await;
    edge.stop().await;
}
