//! Takes messages from the broker into the store, and news of the devices into memory.
//!
//! Two tasks: one polls the connection and hands messages on, the other commits them in batches and acknowledges only
//! then. What cannot be read is stored as rejected with its reason and acknowledged too, or it would come for ever. An
//! acknowledgement belongs to the connection that brought the message: after a reconnect the broker sends again what it
//! had not been told about, and the store knows it already.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event as MqttEvent, EventLoop, MqttOptions};
use tokio::sync::{mpsc, watch};

use super::devices::Devices;
use super::message::{self, Message};
use super::store::{Change, Incoming, Store};
use crate::clock::Clock;
use crate::mqtt::{BrokerAddress, BrokerFileError, advice};
use crate::schema::Topic;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::topic::TopicName;

/// Larger packets the broker must not send; the largest proper ones are pictures.
const MAX_PACKET_BYTES: u32 = MAX_EVIDENCE_BYTES as u32 + 16 * 1024;
/// Unacknowledged messages that the broker may have on the way.
const RECEIVE_MAXIMUM: u16 = 500;
const BATCH: usize = 500;
/// More than `RECEIVE_MAXIMUM`, so that the polling task never waits for the committing one.
const QUEUE: usize = 2048;
/// The broker keeps what arrives while this service is away.
const SESSION_EXPIRY_SECONDS: u32 = 7 * 24 * 3600;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LAST_ROUND: Duration = Duration::from_millis(150);

/// How the connection does, for the status page.
#[derive(Debug, Default)]
pub struct IngestHealth {
    connected: AtomicBool,
    received: AtomicU64,
    repeated: AtomicU64,
}

impl IngestHealth {
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Events, pictures and messages that could not be read, since the start; what is known already counts too. News of devices
    /// do not: they come at a steady pace, so their number over time tells how many vehicles are on duty.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that were known already.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }
}

struct Arrived {
    publish: Publish,
    connection: u64,
}

/// Starts both tasks. They end when `stop` becomes true; what was committed is acknowledged first.
pub fn start(
    broker: &BrokerAddress,
    site: &TopicName,
    store: Store,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(Arc<IngestHealth>, tokio::task::JoinHandle<()>), BrokerFileError> {
    if let Some(warning) = broker.warning() {
        tracing::warn!("{warning}");
    }
    let way = broker.way()?;
    let mut options = MqttOptions::new(format!("umsicht-central-{site}"), way.host, way.port);
    options.set_transport(way.transport);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(SESSION_EXPIRY_SECONDS));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_max_packet_size(Some(MAX_PACKET_BYTES));
    options.set_manual_acks(true);
    if let Some((user_name, password)) = way.user_name_and_password {
        options.set_credentials(user_name, password);
    }
    let (client, connection) = AsyncClient::new(options, QUEUE);
    let health = Arc::new(IngestHealth::default());
    let current = Arc::new(AtomicU64::new(0));
    let (queue, arrivals) = mpsc::channel(QUEUE);
    let filters: Vec<Filter> =
        Topic::subscriptions(site).into_iter().map(|path| Filter::new(path, QoS::AtLeastOnce)).collect();
    let poller = Poller {
        address: broker.clone(),
        client: client.clone(),
        filters,
        queue,
        health: Arc::clone(&health),
        current: Arc::clone(&current),
    };
    let committer =
        Committer { site: site.clone(), client, store, devices, clock, health: Arc::clone(&health), current };
    let task = tokio::spawn(async move {
        let polling = tokio::spawn(poller.run(connection, stop.clone()));
        committer.run(arrivals, stop).await;
        let _ = polling.await;
    });
    Ok((health, task))
}

struct Poller {
    address: BrokerAddress,
    client: AsyncClient,
    filters: Vec<Filter>,
    queue: mpsc::Sender<Arrived>,
    health: Arc<IngestHealth>,
    current: Arc<AtomicU64>,
}

impl Poller {
    async fn run(self, mut connection: EventLoop, mut stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let mut complained = false;
        loop {
            let event = tokio::select! {
                event = connection.poll() => event,
                () = stopped(&mut stop) => break,
            };
            match event {
                Ok(MqttEvent::Incoming(Packet::ConnAck(_))) => {
                    tracing::info!(broker = %self.address, "connected to the broker");
                    self.current.fetch_add(1, Ordering::AcqRel);
                    self.health.connected.store(true, Ordering::Relaxed);
                    (pause, complained) = (FIRST_PAUSE, false);
                    // A new session has no subscriptions; an old one does not mind being told again.
                    if let Err(error) = self.client.try_subscribe_many(self.filters.clone()) {
                        tracing::error!(%error, "cannot subscribe");
                    }
                }
                Ok(MqttEvent::Incoming(Packet::Publish(publish))) => {
                    let arrived = Arrived { publish, connection: self.current.load(Ordering::Acquire) };
                    if self.queue.send(arrived).await.is_err() {
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.health.connected.store(false, Ordering::Relaxed);
                    if !std::mem::replace(&mut complained, true) {
                        let advice = advice(&self.address, &error.to_string());
                        tracing::warn!(broker = %self.address, %error, "no connection; trying again ({advice})");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stopped(&mut stop) => break,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.health.connected.store(false, Ordering::Relaxed);
        // The committer ends when the queue is closed and empty; its last acknowledgements leave in a last round.
        drop(self.queue);
        for last in [false, true] {
            if last && self.client.try_disconnect().is_err() {
                break;
            }
            let round = async { while connection.poll().await.is_ok() {} };
            let _ = tokio::time::timeout(LAST_ROUND, round).await;
        }
    }
}

struct Committer {
    site: TopicName,
    client: AsyncClient,
    store: Store,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
    health: Arc<IngestHealth>,
    current: Arc<AtomicU64>,
}

impl Committer {
    async fn run(self, mut arrivals: mpsc::Receiver<Arrived>, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        while arrivals.recv_many(&mut batch, BATCH).await > 0 {
            let messages: Vec<Incoming> = batch.iter().filter_map(|a| self.read(&a.publish)).collect();
            if !self.commit(&messages, &mut stop).await {
                return;
            }
            let connection = self.current.load(Ordering::Acquire);
            for arrived in batch.drain(..).filter(|a| a.connection == connection) {
                if let Err(error) = self.client.try_ack(&arrived.publish) {
                    // Not lost: the broker sends the message again, and the store knows it.
                    tracing::warn!(%error, "an acknowledgement could not be queued");
                }
            }
        }
    }

    /// False when the service stops before the store took the batch; the broker then keeps the messages.
    async fn commit(&self, messages: &[Incoming], stop: &mut watch::Receiver<bool>) -> bool {
        if messages.is_empty() {
            return true;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.commit(messages, self.clock.now()).await {
                Ok(committed) => {
                    self.health.received.fetch_add(messages.len() as u64, Ordering::Relaxed);
                    self.health.repeated.fetch_add(committed.repeated as u64, Ordering::Relaxed);
                    if committed.rejected > 0 {
                        tracing::warn!(count = committed.rejected, "messages rejected; see /api/v1/rejected");
                    }
                    return true;
                }
                Err(error) if error.is_transient() => tracing::warn!(%error, "the store cannot write; trying again"),
                Err(error) => tracing::error!(%error, "the store does not take messages; nothing is acknowledged"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(stop) => return false,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is to be committed; news of a device are taken on the way.
    fn read(&self, publish: &Publish) -> Option<Incoming> {
        let topic = String::from_utf8_lossy(&publish.topic);
        match message::read(&self.site, &topic, &publish.payload) {
            Message::Keep(incoming) => Some(incoming),
            Message::Device { name, news } => {
                if self.devices.take(&name, news) {
                    self.store.announce(Change::Status);
                }
                None
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
