//! Sends what the spool holds to the broker, and owns the delivery: an item leaves the spool on its PUBACK, and only then.
//!
//! A PUBACK is not taken at more than it says:
//! - "no matching subscribers" means that nobody got the item: it stays in the spool and is sent again every few seconds
//!   until the town's service listens. Brokers say it in MQTT 5 only; in 3.1.1 an item that nobody hears is gone;
//! - a broker that dies takes with it what it has acknowledged and not yet passed on. So an acknowledged item leaves the
//!   spool only when the broker has shown signs of life `SETTLE` later; if the connection breaks before, it is sent again.
//!
//! The client library forgets what is in flight when the broker has lost the session, so nothing is left to it: every
//! connection starts clean with a client of its own, and what was not acknowledged on the last one is sent again under
//! the same id. Receivers tell doubles by the id. One task polls; items go into the client's queue without waiting, at most
//! `WINDOW` of them, so neither side can block the other.
//!
//! The same connection takes the device's state of health once a minute, which is not spooled. Commands come over one of
//! their own, see `commands`.

mod commands;
mod delivery;
mod quiet;
mod serve;
mod stats;
mod suspects;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::{mpsc, watch};

use self::commands::Commands;
use self::quiet::Quiet;
use self::serve::ACK_TIMEOUT;
pub use self::stats::{PublishStats, delivered};
use self::suspects::Suspects;
use crate::edge::link::choice::Choice;
use crate::edge::link::policy::LinkPolicy;
use crate::edge::link::throttle::Throttle;
use crate::edge::link::{LinkError, VersionDoubt};
use crate::edge::spool::{Spool, SpoolError, Ticket};
use crate::mqtt::{BrokerAddress, BrokerFileError, advice};
use crate::schema::DeviceHealth;
use crate::schema::topic::TopicName;

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    pub address: BrokerAddress,
    /// Unique at the broker: a second client of the same id throws out the first.
    pub client_id: String,
}

/// What the town asks of this device: the last part of the topic, and what came with it, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub name: TopicName,
    pub payload: Vec<u8>,
}

/// Gives the device's state of health; what it says of the link is overwritten.
pub type HealthSource = Box<dyn Fn() -> DeviceHealth + Send + Sync>;

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Files(#[from] BrokerFileError),
    #[error(transparent)]
    Connection(#[from] LinkError),
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
    policy: LinkPolicy,
    commands: Option<mpsc::Sender<Command>>,
    health: Option<HealthSource>,
    stats: watch::Sender<PublishStats>,
}

/// What is remembered from one connection to the next.
struct Memory {
    choice: Choice,
    suspects: Suspects,
    throttle: Option<Throttle>,
    quiet: Quiet,
    /// Items that the broker refused or that are too large for it; they are tried again now and then.
    not_taken: BTreeSet<Ticket>,
}

impl Publisher {
    #[must_use]
    pub fn new(broker: BrokerConfig, site: TopicName, device: TopicName, spool: Arc<Spool>) -> Self {
        let (policy, stats) = (LinkPolicy::default(), watch::Sender::default());
        Self { broker, site, device, spool, policy, commands: None, health: None, stats }
    }

    /// What may leave over this link; without it, everything.
    #[must_use]
    pub fn with_policy(mut self, policy: LinkPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where commands go; without it, none are asked for. What does not fit into the channel is dropped with a word in the
    /// log: whoever sends commands hears by the device's health what came of them.
    #[must_use]
    pub fn with_commands(mut self, commands: mpsc::Sender<Command>) -> Self {
        self.commands = Some(commands);
        self
    }

    /// Asked on each connection and once a minute. It runs between two packets, so it must be quick.
    #[must_use]
    pub fn with_health(mut self, health: HealthSource) -> Self {
        self.health = Some(health);
        self
    }

    #[must_use]
    pub fn stats(&self) -> watch::Receiver<PublishStats> {
        self.stats.subscribe()
    }

    /// Runs until `stop` is true (or its sender is gone) and says goodbye then. Reconnects for ever, with growing pauses.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let listening = self.commands.take().map(|to| {
            let (broker, site, device) = (self.broker.clone(), self.site.clone(), self.device.clone());
            let stats = self.stats.clone();
            tokio::spawn(Commands { broker, site, device, to, stats }.run(stop.clone()))
        });
        if let Some(warning) = self.broker.address.warning() {
            tracing::warn!("{warning}");
        }
        let mut memory = Memory {
            choice: Choice::default(),
            suspects: Suspects::default(),
            throttle: self.policy.throttle(Instant::now()),
            quiet: Quiet::default(),
            not_taken: BTreeSet::new(),
        };
        let mut backoff = FIRST_BACKOFF;
        loop {
            let connections = self.stats.borrow().connections;
            let broken = match self.serve(&mut memory, &mut stop).await {
                Ok(()) => break,
                Err(broken) => broken,
            };
            let was_connected = self.stats.borrow().connections > connections;
            self.stats.send_modify(|stats| stats.connected = false);
            if was_connected {
                backoff = FIRST_BACKOFF;
            }
            let pause = pause_of(backoff);
            self.complain(&broken, memory.choice, pause);
            let doubt = if let Broken::Connection(e) = &broken { e.version } else { VersionDoubt::None };
            memory.choice.failed(doubt, was_connected);
            backoff = (backoff * 2).min(MAX_BACKOFF);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => break,
            }
        }
        if let Some(listening) = listening {
            // A command that is half here is no command.
            listening.abort();
        }
        if let Err(error) = self.spool.flush() {
            tracing::warn!("what was acknowledged may be sent once more: {error}");
        }
    }

    fn complain(&self, broken: &Broken, choice: Choice, pause: Duration) {
        let address = &self.broker.address;
        let advice = match broken {
            Broken::Connection(error) => format!(" ({})", advice(address, &error.text)),
            _ => String::new(),
        };
        let (mqtt, millis) = (choice.version().name(), pause.as_millis());
        tracing::warn!(broker = %address, mqtt, "no connection: {broken}{advice}; next try in {millis} ms");
    }
}

/// Between half and all of it, so that a fleet does not return at once after an outage.
fn pause_of(backoff: Duration) -> Duration {
    backoff.mul_f64(rand::rng().random_range(0.5..=1.0))
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
