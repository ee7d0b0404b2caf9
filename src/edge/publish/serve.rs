//! One connection, from the greeting to the goodbye or the break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::delivery::Delivery;
use super::{Broken, Memory, Publisher, stopped};
use crate::edge::link::{self, LinkEvent, Receiver, Settings, Verdict};
use crate::edge::spool::{Outgoing, Part, Priority, SpoolError, Ticket};
use crate::schema::evidence::MAX_EVIDENCE_BYTES;
use crate::schema::{DeviceHealth, Topic};

/// Items in flight; below the 20 that Mosquitto takes by default.
const WINDOW: usize = 16;
/// A picture, its topic and its packet's head fit.
const MAX_OUTGOING_BYTES: u32 = MAX_EVIDENCE_BYTES as u32 + 8 * 1024;
/// Acknowledgements are all that comes.
const MAX_INCOMING_BYTES: u32 = 64 * 1024;
const PACKET_HEAD_BYTES: usize = 16;
/// Also the longest time without a sign of life from the broker.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the broker is given to pass an item on before the spool forgets it.
const SETTLE: Duration = Duration::from_secs(3);
/// A broker that takes items and acknowledges none for so long is as good as gone.
pub(super) const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

/// One connection while it lasts.
struct Talk {
    delivery: Delivery,
    connected: bool,
    max_packet_bytes: usize,
    pictures_go: bool,
    /// The next item may not leave before; `None`: nothing waits for the throttle.
    not_before: Option<Instant>,
    next_health: Instant,
}

impl Publisher {
    /// One connection, until it breaks or `stop` comes.
    pub(super) async fn serve(&self, memory: &mut Memory, stop: &mut watch::Receiver<bool>) -> Result<(), Broken> {
        let settings = Settings {
            client_id: &self.broker.client_id,
            keep_alive: KEEP_ALIVE,
            connect_timeout: CONNECT_TIMEOUT,
            max_incoming_bytes: MAX_INCOMING_BYTES,
            max_outgoing_bytes: MAX_OUTGOING_BYTES,
            last_will: Some((self.status_topic(), "offline")),
            // The items, and what the device says of itself.
            queue: WINDOW + 8,
        };
        let (client, mut connection) = link::open(memory.choice.version(), self.broker.address.way()?, &settings);
        let mut talk = Talk {
            delivery: Delivery::new(client),
            connected: false,
            max_packet_bytes: MAX_OUTGOING_BYTES as usize,
            pictures_go: self.policy.lets_pictures_out(),
            not_before: None,
            next_health: Instant::now(),
        };
        // What an earlier connection has left open is tried again on this one, but not what breaks connections.
        self.spool.give_back_all();
        memory.suspects.aside().for_each(|ticket| self.spool.hold(ticket));
        let result = self.converse(memory, &mut talk, &mut connection, stop).await;
        if result.is_err() && talk.connected {
            let again = talk.delivery.to_be_sent_again();
            self.stats.send_modify(|stats| stats.sent_again += again);
            if let Some(ticket) = memory.suspects.broke(&talk.delivery.unanswered(), Instant::now()) {
                self.refused(memory, ticket, "the connection breaks whenever it is sent; is it too large?");
            }
        }
        result
    }

    async fn converse(
        &self,
        memory: &mut Memory,
        talk: &mut Talk,
        connection: &mut Receiver,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        let mut stopping = false;
        let mut patience = tokio::time::interval(Duration::from_secs(1));
        loop {
            let event = {
                // Must not be dropped half-way: it would lose a packet that it counts as sent.
                let next = connection.next();
                tokio::pin!(next);
                loop {
                    let changed = self.spool.changed();
                    if talk.connected && !stopping {
                        self.fill(memory, talk)?;
                    }
                    // With a full window nothing can leave, due or not.
                    let open = talk.delivery.outstanding() < memory.suspects.window(WINDOW);
                    let next_due = open.then(|| self.spool.next_due()).flatten().map(|wait| Instant::now() + wait);
                    tokio::select! {
                        event = &mut next => break event?,
                        () = changed => {}
                        () = until(talk.not_before), if talk.connected && !stopping => {}
                        () = until(next_due), if talk.connected && !stopping => {}
                        _ = patience.tick() => self.look_after(memory, talk, stopping)?,
                        () = stopped(stop), if !stopping => {
                            if !talk.connected {
                                return Ok(());
                            }
                            stopping = true;
                            talk.delivery.say(self.status_topic(), true, b"offline".to_vec());
                        }
                    }
                }
            };
            if event.is_sign_of_life() {
                talk.delivery.settle(&self.spool, SETTLE);
            }
            match event {
                LinkEvent::Connected { max_packet_bytes } => self.connected(memory, talk, max_packet_bytes),
                LinkEvent::Acked(packet_id, verdict) => self.acknowledged(memory, talk, packet_id, verdict),
                LinkEvent::Sent(packet_id) => talk.delivery.was_sent(packet_id),
                // Nothing was asked for on this connection.
                LinkEvent::Incoming { .. } | LinkEvent::SignOfLife | LinkEvent::Disconnected | LinkEvent::Other => {}
            }
            self.count_delivered(talk);
            if stopping && talk.delivery.outstanding() == 0 {
                talk.delivery.settle(&self.spool, Duration::ZERO);
                self.stats.send_modify(|stats| stats.connected = false);
                goodbye(talk, connection).await;
                return Ok(());
            }
        }
    }

    /// What is due with time, whether or not anything happens.
    fn look_after(&self, memory: &mut Memory, talk: &mut Talk, stopping: bool) -> Result<(), Broken> {
        talk.delivery.retry_unheard(&self.spool);
        for ticket in memory.suspects.pardon(Instant::now()) {
            self.spool.give_back(ticket);
        }
        let pictures_go = self.policy.lets_pictures_out();
        if pictures_go && !talk.pictures_go && talk.connected {
            // A day's pictures in one burst would tell what belongs together.
            self.spool.spread_overdue();
        }
        talk.pictures_go = pictures_go;
        if self.spool.much_is_done() {
            let spool = Arc::clone(&self.spool);
            // Not here: a slow disk must not keep the connection waiting.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = spool.flush() {
                    tracing::warn!("what was acknowledged may be sent once more: {error}");
                }
            });
        }
        self.count_delivered(talk);
        if talk.connected && !stopping {
            self.say_health(memory, talk);
        }
        if talk.delivery.silence() > ACK_TIMEOUT { Err(Broken::Silent) } else { Ok(()) }
    }

    fn connected(&self, memory: &mut Memory, talk: &mut Talk, limit: Option<u32>) {
        memory.choice.connected();
        talk.max_packet_bytes = limit.map_or(MAX_OUTGOING_BYTES, |l| l.min(MAX_OUTGOING_BYTES)) as usize;
        talk.connected = true;
        let (version, address) = (memory.choice.version(), &self.broker.address);
        self.stats.send_modify(|stats| {
            stats.connected = true;
            stats.mqtt = Some(version);
            stats.encrypted = address.is_encrypted();
            stats.connections += 1;
        });
        tracing::info!(broker = %address, mqtt = version.name(), "connected");
        talk.delivery.say(self.status_topic(), true, b"online".to_vec());
        self.say_health(memory, talk);
        self.spool.spread_overdue();
    }

    /// Hands items to the client as long as the window is open. The one place that chooses what leaves.
    fn fill(&self, memory: &mut Memory, talk: &mut Talk) -> Result<(), SpoolError> {
        talk.not_before = None;
        while talk.delivery.outstanding() < memory.suspects.window(WINDOW) {
            let Some(item) = self.spool.take_next(talk.pictures_go)? else { break };
            let topic = self.topic_of(&item).to_string();
            let bytes = topic.len() + item.payload.len() + PACKET_HEAD_BYTES;
            if bytes > talk.max_packet_bytes {
                // It stays taken, so that it is not tried again on this connection.
                self.too_large(memory, &item, talk.max_packet_bytes);
                continue;
            }
            let now = Instant::now();
            if let Some(throttle) = &mut memory.throttle {
                let wait = throttle.wait(now);
                if !wait.is_zero() && !is_urgent(&item) {
                    talk.not_before = Some(now + wait);
                    self.spool.give_back(item.ticket);
                    break;
                }
            }
            if !talk.delivery.send(item.ticket, topic, item.payload) {
                // The queue is longer than the window, so this is a queue that nobody reads any more.
                self.spool.give_back(item.ticket);
                break;
            }
            if let Some(throttle) = &mut memory.throttle {
                throttle.took(bytes, now);
            }
        }
        Ok(())
    }

    fn acknowledged(&self, memory: &mut Memory, talk: &mut Talk, packet_id: u16, verdict: Verdict) {
        let delivery = &mut talk.delivery;
        let Some(ticket) = delivery.acknowledged(packet_id) else { return };
        memory.suspects.answered(ticket);
        match verdict {
            Verdict::Taken => {
                delivery.settles(ticket);
                self.stats.send_modify(|stats| stats.acknowledged += 1);
            }
            Verdict::Unheard => {
                if delivery.is_unheard(ticket) {
                    tracing::warn!(
                        "nobody listens at the broker: is the town's service running, with this site's name?"
                    );
                }
                self.stats.send_modify(|stats| stats.unheard += 1);
            }
            Verdict::Refused(reason) => {
                memory.suspects.stand_aside(ticket, Instant::now());
                self.refused(memory, ticket, &format!("the broker answered {reason}"));
            }
        }
    }

    /// Items are counted once, however often they are tried.
    fn refused(&self, memory: &mut Memory, ticket: Ticket, why: &str) {
        if memory.not_taken.insert(ticket) {
            tracing::error!(?ticket, "the broker does not take an item, it stays in the spool: {why}");
            self.stats.send_modify(|stats| stats.refused += 1);
        }
    }

    fn too_large(&self, memory: &mut Memory, item: &Outgoing, limit_bytes: usize) {
        if memory.not_taken.insert(item.ticket) {
            let bytes = item.payload.len();
            tracing::error!(
                item = %item.id,
                "an item of {bytes} bytes stays in the spool: the broker takes packets up to {limit_bytes}; raise its limit"
            );
            self.stats.send_modify(|stats| stats.too_large += 1);
        }
    }

    fn say_health(&self, memory: &mut Memory, talk: &mut Talk) {
        let now = Instant::now();
        let Some(health) = self.health.as_ref().filter(|_| talk.next_health <= now) else { return };
        talk.next_health = now + HEALTH_INTERVAL;
        let health = DeviceHealth { link: (*self.stats.borrow()).into(), ..health() };
        let health = memory.quiet.hush(health, OffsetDateTime::now_utc());
        let topic = Topic::DeviceHealth { site: self.site.clone(), device: self.device.clone() };
        talk.delivery.say(topic.to_string(), false, health.to_json());
    }

    fn count_delivered(&self, talk: &Talk) {
        let held = if talk.pictures_go { 0 } else { self.spool.ready_pictures() };
        let commits = self.spool.commits();
        let all =
            talk.delivery.outstanding() == 0 && self.spool.outstanding(talk.pictures_go) == talk.delivery.settling();
        self.stats.send_if_modified(|stats| {
            let before = *stats;
            stats.held_pictures = held as u64;
            if all && talk.connected {
                stats.delivered_commits = commits;
            }
            *stats != before
        });
    }

    fn topic_of(&self, item: &Outgoing) -> Topic {
        match item.part {
            Part::Event => Topic::of_event(&self.site, &self.device, item.kind),
            Part::Evidence => Topic::RoadEvidence { site: self.site.clone(), event_id: item.id },
        }
    }

    fn status_topic(&self) -> String {
        Topic::DeviceStatus { site: self.site.clone(), device: self.device.clone() }.to_string()
    }
}

/// Whether a person must act on it: such items do not wait for the throttle.
fn is_urgent(item: &Outgoing) -> bool {
    item.part == Part::Event && Priority::of(item.kind) <= Priority::Danger
}

/// Disconnects properly, so that the broker does not publish the last will.
async fn goodbye(talk: &Talk, connection: &mut Receiver) {
    if talk.delivery.client.disconnect() {
        let farewell = async { while !matches!(connection.next().await, Ok(LinkEvent::Disconnected) | Err(_)) {} };
        // A broker that does not listen any more needs no goodbye.
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
