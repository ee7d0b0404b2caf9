//! Commands for this device, over a connection of their own.
//!
//! A bundle of models is megabytes. On a mobile link it takes longer than the delivery's connection may be silent, and whatever
//! waits behind it (acknowledgements, answers to pings) would take that connection for broken, again and again if the bundle
//! is retained. Here nothing waits behind it: silence may last minutes, and no event depends on it.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Broken, BrokerConfig, Command, PublishStats, pause_of, stopped};
use crate::edge::link::{self, LinkEvent, Settings, Version};
use crate::schema::Topic;
use crate::schema::topic::TopicName;

/// Longer than the largest command takes at 0.5 Mbit/s.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A bundle of models, its topic and its packet's head.
const MAX_INCOMING_BYTES: u32 = 16 * 1024 * 1024 + 1024;
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Nobody waits for a command as for an alarm.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

pub(super) struct Commands {
    pub broker: BrokerConfig,
    pub site: TopicName,
    pub device: TopicName,
    pub to: mpsc::Sender<Command>,
    pub stats: watch::Sender<PublishStats>,
}

impl Commands {
    /// Listens until `stop` is true. Which version the broker speaks, the delivery finds out.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut delivery, mut backoff) = (self.stats.subscribe(), FIRST_BACKOFF);
        loop {
            let version = tokio::select! {
                connected = delivery.wait_for(|stats| stats.connected) => connected.ok().and_then(|stats| stats.mqtt),
                () = stopped(&mut stop) => return,
            };
            let broken = tokio::select! {
                broken = self.listen(version.unwrap_or(Version::V5)) => broken,
                () = stopped(&mut stop) => return,
            };
            let mut listened = false;
            self.stats.send_modify(|stats| listened = std::mem::take(&mut stats.listening));
            if listened {
                backoff = FIRST_BACKOFF;
            }
            let pause = pause_of(backoff);
            tracing::debug!("no connection for commands: {broken}; next try in {} s", pause.as_secs());
            backoff = (backoff * 2).min(MAX_BACKOFF);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// One connection, until it breaks.
    async fn listen(&self, version: Version) -> Broken {
        let settings = Settings {
            client_id: &format!("{}-commands", self.broker.client_id),
            keep_alive: KEEP_ALIVE,
            connect_timeout: CONNECT_TIMEOUT,
            max_incoming_bytes: MAX_INCOMING_BYTES,
            max_outgoing_bytes: 1024,
            last_will: None,
            queue: 4,
        };
        let way = match self.broker.address.way() {
            Ok(way) => way,
            Err(error) => return error.into(),
        };
        let (client, mut connection) = link::open(version, way, &settings);
        loop {
            match connection.next().await {
                Ok(LinkEvent::Connected { .. }) => {
                    // A new session has no subscriptions.
                    if !client.subscribe(Topic::commands(&self.site, &self.device)) {
                        tracing::error!("this device cannot ask for its commands");
                    }
                    self.stats.send_modify(|stats| stats.listening = true);
                }
                Ok(LinkEvent::Incoming { topic, payload }) => self.take(&topic, payload),
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
    }

    fn take(&self, topic: &str, payload: Vec<u8>) {
        let name = match topic.parse() {
            Ok(Topic::DeviceCommand { site, device, name }) if site == self.site && device == self.device => name,
            _ => return tracing::warn!(topic, "a message that is no command for this device is dropped"),
        };
        // The connection must not wait for whoever carries commands out.
        if self.to.try_send(Command { name, payload }).is_err() {
            tracing::error!(topic, "a command is dropped: those before it are still being carried out");
        }
    }
}
