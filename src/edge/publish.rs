//! Sends what the spool holds to the broker, and owns the delivery: an item leaves the spool on its PUBACK, and only then.
//!
//! A PUBACK is not taken at more than it says:
//! - "no matching subscribers" means that nobody got the item: it stays in the spool and is sent again every few seconds
//!   until the town's service listens;
//! - a broker that dies takes with it what it has acknowledged and not yet passed on. So an acknowledged item leaves the
//!   spool only when the broker has shown signs of life [`SETTLE`] later; if the connection breaks before, it is sent again.
//!
//! The client library forgets what is in flight when the broker has lost the session, so nothing is left to it: every
//! connection starts clean with a client of its own, and what was not acknowledged on the last one is sent again under
//! the same id. Receivers tell doubles by the id. One task polls; items go into the client's queue without waiting, at most
//! [`WINDOW`] of them, so neither side can block the other.
//!
//! Matching: the client sends in the order of its queue and says the packet id of each publish when it sends it; the
//! order gives the item, the packet id gives the acknowledgement.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rumqttc::Outgoing as Sent;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectProperties, LastWill, Packet, PubAck, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::watch;

use crate::edge::spool::{Outgoing, Part, Spool, SpoolError, Ticket};
use crate::schema::Topic;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::topic::TopicName;

/// Items in flight; below the 20 that Mosquitto takes by default.
const WINDOW: usize = 16;
/// A picture, its topic and its packet's head fit; the same limit both ways.
const MAX_PACKET_BYTES: u32 = MAX_EVIDENCE_BYTES as u32 + 8 * 1024;
const PACKET_HEAD_BYTES: usize = 16;
/// Also the longest time without a sign of life from the broker.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the broker is given to pass an item on before the spool forgets it.
const SETTLE: Duration = Duration::from_secs(3);
/// When to try again what nobody listened to.
const UNHEARD_PAUSE: Duration = Duration::from_secs(2);
/// A broker that takes items and acknowledges none for so long is as good as gone.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    pub host: String,
    pub port: u16,
    /// Unique at the broker: a second client of the same id throws out the first.
    pub client_id: String,
}

/// What the publisher did, for health and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishStats {
    pub connected: bool,
    /// Connections made so far.
    pub connections: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Sent while nobody listened; they are sent again.
    pub unheard: u64,
    /// The broker has everything of so many commits, see [`delivered`].
    pub delivered_commits: u64,
    /// Items that the broker refuses or that are too large for it; they stay in the spool and are tried on the next connection.
    pub refused: u64,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connection(#[from] Box<ConnectionError>),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the broker has acknowledged nothing for {} s", ACK_TIMEOUT.as_secs())]
    Silent,
}

pub struct Publisher {
    broker: BrokerConfig,
    site: TopicName,
    device: TopicName,
    spool: Arc<Spool>,
    stats: watch::Sender<PublishStats>,
}

/// One connection's bookkeeping.
struct Delivery {
    client: AsyncClient,
    /// In the client's queue, in order; `None` is a status message.
    queued: VecDeque<Option<Ticket>>,
    /// Sent and not yet acknowledged, by packet id.
    sent: HashMap<u16, Option<Ticket>>,
    /// Acknowledged, oldest first, and since when.
    settling: VecDeque<(Instant, Ticket)>,
    /// Nobody listened, oldest first, and when that was.
    unheard: VecDeque<(Instant, Ticket)>,
    max_packet_bytes: usize,
    last_progress: Instant,
    connected: bool,
}

impl Publisher {
    #[must_use]
    pub fn new(broker: BrokerConfig, site: TopicName, device: TopicName, spool: Arc<Spool>) -> Self {
        Self { broker, site, device, spool, stats: watch::Sender::default() }
    }

    #[must_use]
    pub fn stats(&self) -> watch::Receiver<PublishStats> {
        self.stats.subscribe()
    }

    /// Runs until `stop` is true (or its sender is gone) and says goodbye then. Reconnects for ever, with growing pauses.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let connections = self.stats.borrow().connections;
            let broken = match self.serve(&mut stop).await {
                Ok(()) => break,
                Err(broken) => broken,
            };
            self.stats.send_modify(|stats| stats.connected = false);
            if self.stats.borrow().connections > connections {
                backoff = FIRST_BACKOFF;
            }
            // Between half and all of it, so that a fleet does not return at once after an outage.
            let pause = backoff.mul_f64(rand::rng().random_range(0.5..=1.0));
            let address = format!("{}:{}", self.broker.host, self.broker.port);
            tracing::warn!(broker = address, "no connection: {broken}; next try in {} ms", pause.as_millis());
            backoff = (backoff * 2).min(MAX_BACKOFF);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => break,
            }
        }
        if let Err(error) = self.spool.flush() {
            tracing::warn!("what was acknowledged may be sent once more: {error}");
        }
    }

    /// One connection, until it breaks or `stop` comes.
    async fn serve(&self, stop: &mut watch::Receiver<bool>) -> Result<(), Broken> {
        let (client, mut connection) = AsyncClient::new(self.options(), WINDOW + 4);
        let mut delivery = Delivery {
            client,
            queued: VecDeque::new(),
            sent: HashMap::new(),
            settling: VecDeque::new(),
            unheard: VecDeque::new(),
            max_packet_bytes: MAX_PACKET_BYTES as usize,
            last_progress: Instant::now(),
            connected: false,
        };
        // Whatever was on its way on an earlier connection, or refused there, is tried again on this one.
        self.spool.give_back_all();
        let mut stopping = false;
        let mut patience = tokio::time::interval(Duration::from_secs(1));
        loop {
            let event = {
                // `poll` must not be dropped half-way: it would lose a packet that it counts as sent.
                let poll = connection.poll();
                tokio::pin!(poll);
                loop {
                    let changed = self.spool.changed();
                    if delivery.connected && !stopping {
                        self.fill(&mut delivery)?;
                    }
                    tokio::select! {
                        event = &mut poll => break event.map_err(Box::new)?,
                        () = changed => {}
                        _ = patience.tick() => {
                            delivery.retry_unheard(&self.spool);
                            if !delivery.sent.is_empty() && delivery.last_progress.elapsed() > ACK_TIMEOUT {
                                return Err(Broken::Silent);
                            }
                        }
                        () = stopped(stop), if !stopping => {
                            if !delivery.connected {
                                return Ok(());
                            }
                            stopping = true;
                            delivery.publish_status(&self.status_topic(), "offline");
                        }
                    }
                }
            };
            if matches!(event, Event::Incoming(_)) {
                delivery.settle(&self.spool, SETTLE);
            }
            match event {
                Event::Incoming(Packet::ConnAck(answer)) => self.connected(&mut delivery, &answer),
                Event::Incoming(Packet::PubAck(answer)) => self.acknowledged(&mut delivery, &answer),
                Event::Outgoing(Sent::Publish(packet_id)) => delivery.was_sent(packet_id),
                _ => {}
            }
            let outstanding = !delivery.queued.is_empty() || !delivery.sent.is_empty();
            let commits = self.spool.commits();
            if !outstanding && self.spool.outstanding(true) == delivery.settling.len() {
                self.stats.send_if_modified(|s| std::mem::replace(&mut s.delivered_commits, commits) != commits);
            }
            if stopping && !outstanding {
                delivery.settle(&self.spool, Duration::ZERO);
                self.stats.send_modify(|stats| stats.connected = false);
                return goodbye(&delivery.client, &mut connection).await;
            }
        }
    }

    fn options(&self) -> MqttOptions {
        let mut options = MqttOptions::new(&self.broker.client_id, &self.broker.host, self.broker.port);
        let properties = ConnectProperties { max_packet_size: Some(MAX_PACKET_BYTES), ..ConnectProperties::default() };
        let will = LastWill::new(self.status_topic(), "offline", QoS::AtLeastOnce, true, None);
        options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_connect_properties(properties).set_last_will(will);
        options
    }

    fn status_topic(&self) -> String {
        Topic::DeviceStatus { site: self.site.clone(), device: self.device.clone() }.to_string()
    }

    fn connected(&self, delivery: &mut Delivery, answer: &ConnAck) {
        let limit = answer.properties.as_ref().and_then(|p| p.max_packet_size);
        delivery.max_packet_bytes = limit.map_or(MAX_PACKET_BYTES, |l| l.min(MAX_PACKET_BYTES)) as usize;
        delivery.connected = true;
        delivery.last_progress = Instant::now();
        delivery.publish_status(&self.status_topic(), "online");
        self.stats.send_modify(|stats| {
            stats.connected = true;
            stats.connections += 1;
        });
        tracing::info!(broker = self.broker.host, port = self.broker.port, "connected");
    }

    /// Hands items to the client as long as the window is open.
    fn fill(&self, delivery: &mut Delivery) -> Result<(), SpoolError> {
        while delivery.queued.len() + delivery.sent.len() < WINDOW {
            let Some(item) = self.spool.take_next(true)? else { break };
            let topic = self.topic_of(&item).to_string();
            if topic.len() + item.payload.len() + PACKET_HEAD_BYTES > delivery.max_packet_bytes {
                self.refused(&item.id.to_string(), "it is larger than the broker takes; raise its max_packet_size");
                continue;
            }
            if delivery.client.try_publish(topic, QoS::AtLeastOnce, false, item.payload).is_err() {
                // The queue is longer than the window, so this is a queue that nobody reads any more.
                self.spool.give_back(item.ticket);
                break;
            }
            delivery.queued.push_back(Some(item.ticket));
        }
        Ok(())
    }

    fn topic_of(&self, item: &Outgoing) -> Topic {
        match item.part {
            Part::Event => Topic::of_event(&self.site, &self.device, item.kind),
            Part::Evidence => Topic::RoadEvidence { site: self.site.clone(), event_id: item.id },
        }
    }

    fn acknowledged(&self, delivery: &mut Delivery, answer: &PubAck) {
        delivery.last_progress = Instant::now();
        let Some(Some(ticket)) = delivery.sent.remove(&answer.pkid) else { return };
        match answer.reason {
            PubAckReason::Success => {
                delivery.settling.push_back((Instant::now(), ticket));
                self.stats.send_modify(|stats| stats.acknowledged += 1);
            }
            PubAckReason::NoMatchingSubscribers => {
                if delivery.unheard.is_empty() {
                    tracing::warn!(
                        "nobody listens at the broker: is the town's service running, with this site's name?"
                    );
                }
                delivery.unheard.push_back((Instant::now(), ticket));
                self.stats.send_modify(|stats| stats.unheard += 1);
            }
            reason => self.refused(&format!("{ticket:?}"), &format!("the broker answered {reason:?}")),
        }
    }

    fn refused(&self, item: &str, why: &str) {
        tracing::error!(item, "the broker does not take an item, it stays in the spool: {why}");
        self.stats.send_modify(|stats| stats.refused += 1);
    }
}

impl Delivery {
    fn publish_status(&mut self, topic: &str, status: &str) {
        if self.client.try_publish(topic, QoS::AtLeastOnce, true, status.to_owned()).is_ok() {
            self.queued.push_back(None);
        }
    }

    /// Lets the spool forget what was acknowledged at least `age` ago; to be called on a sign of life.
    fn settle(&mut self, spool: &Spool, age: Duration) {
        while let Some((since, ticket)) = self.settling.front().copied()
            && since.elapsed() >= age
        {
            self.settling.pop_front();
            spool.acknowledge(ticket);
        }
    }

    fn retry_unheard(&mut self, spool: &Spool) {
        while let Some((since, ticket)) = self.unheard.front().copied()
            && since.elapsed() >= UNHEARD_PAUSE
        {
            self.unheard.pop_front();
            spool.give_back(ticket);
        }
    }

    fn was_sent(&mut self, packet_id: u16) {
        if self.sent.is_empty() {
            self.last_progress = Instant::now();
        }
        if let Some(item) = self.queued.pop_front() {
            self.sent.insert(packet_id, item);
        }
    }
}

/// Resolves when the broker has acknowledged everything that was committed before the call.
pub async fn delivered(spool: &Spool, stats: &mut watch::Receiver<PublishStats>) {
    let commits = spool.commits();
    // A publisher that has ended delivers nothing more; waiting on would be for ever.
    let _ = stats.wait_for(|stats| stats.delivered_commits >= commits).await;
}

/// Disconnects properly, so that the broker does not publish the last will.
async fn goodbye(client: &AsyncClient, connection: &mut EventLoop) -> Result<(), Broken> {
    if client.try_disconnect().is_ok() {
        let farewell =
            async { while !matches!(connection.poll().await, Ok(Event::Outgoing(Sent::Disconnect)) | Err(_)) {} };
        // A broker that does not listen any more needs no goodbye.
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
    Ok(())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
