//! One connection to the broker, in MQTT 5 or 3.1.1, behind one vocabulary. The client library has a client for each, with
//! types of their own; nothing outside this folder sees them.
//!
//! What differs and cannot be hidden: in 3.1.1 a broker says neither that nobody listens, nor that it refuses an item, nor
//! how large a packet may be. There an acknowledgement means less, and whoever relies on it should know.
//!
//! Beside the connection: which version to ask for ([`choice`]), and what may leave over it ([`policy`], [`throttle`]).

pub mod choice;
mod five;
pub mod policy;
mod three;
pub mod throttle;

use std::time::Duration;

use crate::mqtt::Way;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V5,
    V311,
}

impl Version {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

/// How a connection is to be made.
pub struct Settings<'s> {
    pub client_id: &'s str,
    pub keep_alive: Duration,
    pub connect_timeout: Duration,
    /// Larger ones the broker must not send.
    pub max_incoming_bytes: u32,
    /// Larger ones are not sent, whatever the broker takes.
    pub max_outgoing_bytes: u32,
    /// Topic and text that the broker publishes, retained, when this side is gone without a goodbye.
    pub last_will: Option<(String, &'static str)>,
    /// Requests that wait to be sent.
    pub queue: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    Connected {
        /// The largest packet that the broker takes, where it says so.
        max_packet_bytes: Option<u32>,
    },
    /// The oldest publish of the queue has left, with this packet id.
    Sent(u16),
    Acked(u16, Verdict),
    Incoming {
        topic: String,
        payload: Vec<u8>,
    },
    /// Something else from the broker.
    SignOfLife,
    /// The goodbye has left.
    Disconnected,
    Other,
}

impl LinkEvent {
    /// Whether the broker must be alive for this to happen.
    #[must_use]
    pub fn is_sign_of_life(&self) -> bool {
        !matches!(self, Self::Sent(_) | Self::Disconnected | Self::Other)
    }
}

/// What an acknowledgement says about the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// Nobody has subscribed to the topic. Only MQTT 5 tells.
    Unheard,
    /// With the broker's reason. Only MQTT 5 tells.
    Refused(String),
}

/// Why a connection was not made, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct LinkError {
    pub text: String,
    /// Whether the broker may mean the version.
    pub version: VersionDoubt,
}

/// What an error says about the version that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionDoubt {
    None,
    /// The broker closed the connection, or answered nonsense, when it was greeted.
    Possible,
    /// The broker said so.
    Said,
}

/// Puts requests into the connection's queue; never waits. The answers come out of the [`Receiver`].
#[derive(Clone)]
pub enum Sender {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// Drives the connection.
pub struct Receiver {
    connection: Connection,
    /// It is over; told when everything that came before is told.
    ended: Option<LinkError>,
}

enum Connection {
    V5(Box<rumqttc::v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// A connection is made by the first [`Receiver::next`]. Sessions always start clean.
#[must_use]
pub fn open(version: Version, way: Way, settings: &Settings) -> (Sender, Receiver) {
    let (sender, connection) = match version {
        Version::V5 => {
            let (client, connection) = five::open(way, settings);
            (Sender::V5(client), Connection::V5(Box::new(connection)))
        }
        Version::V311 => {
            let (client, connection) = three::open(way, settings);
            (Sender::V311(client), Connection::V311(Box::new(connection)))
        }
    };
    (sender, Receiver { connection, ended: None })
}

impl Sender {
    /// With QoS 1; false when the queue is full or nobody drives the connection any more.
    #[must_use]
    pub fn publish(&self, topic: String, retain: bool, payload: Vec<u8>) -> bool {
        match self {
            Self::V5(client) => client.try_publish(topic, five::QOS, retain, payload).is_ok(),
            Self::V311(client) => client.try_publish(topic, three::QOS, retain, payload).is_ok(),
        }
    }

    #[must_use]
    pub fn subscribe(&self, filter: String) -> bool {
        match self {
            Self::V5(client) => client.try_subscribe(filter, five::QOS).is_ok(),
            Self::V311(client) => client.try_subscribe(filter, three::QOS).is_ok(),
        }
    }

    /// Asks for a goodbye, so that the broker does not publish the last will.
    #[must_use]
    pub fn disconnect(&self) -> bool {
        match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V311(client) => client.try_disconnect().is_ok(),
        }
    }
}

impl Receiver {
    /// The next event; after an error only what had come before it. Must not be dropped half-way: that would lose a packet
    /// that the library counts as sent.
    ///
    /// The library reads packets in bulk and, when one of them breaks the connection, tells the error before the packets
    /// that came first. Here they come in their order: who blames an item for the break must know the answers before it.
    pub async fn next(&mut self) -> Result<LinkEvent, LinkError> {
        if self.ended.is_none() {
            let event = match &mut self.connection {
                Connection::V5(connection) => connection.poll().await.map(five::event).map_err(|e| five::error(&e)),
                Connection::V311(connection) => connection.poll().await.map(three::event).map_err(|e| three::error(&e)),
            };
            match event {
                Ok(event) => return Ok(event),
                Err(error) => self.ended = Some(error),
            }
        }
        let before = match &mut self.connection {
            Connection::V5(connection) => connection.state.events.pop_front().map(five::event),
            Connection::V311(connection) => connection.state.events.pop_front().map(three::event),
        };
        match (before, &self.ended) {
            (Some(event), _) => Ok(event),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(LinkEvent::Other),
        }
    }
}
