//! What the publisher counts, for health and tests.

use tokio::sync::watch;

use crate::edge::link::Version;
use crate::edge::spool::Spool;
use crate::schema::health::LinkHealth;

/// Counts since the start of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishStats {
    pub connected: bool,
    /// Of the present connection, or of the last one.
    pub mqtt: Option<Version>,
    pub encrypted: bool,
    pub connections: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Sent again because a connection broke before the broker had proved that it keeps them.
    pub sent_again: u64,
    /// Sent while nobody listened; they are sent again.
    pub unheard: u64,
    /// Items that the broker refuses, in words or by breaking the connection again and again; they stay in the spool and
    /// are tried later. Each counts once.
    pub refused: u64,
    /// Larger than the broker takes; they stay in the spool.
    pub too_large: u64,
    /// Pictures in the spool that the link policy does not let out at the moment.
    pub held_pictures: u64,
    /// Commands may come.
    pub listening: bool,
    /// The broker has everything of so many commits but what is held, see [`delivered`].
    pub delivered_commits: u64,
}

impl From<PublishStats> for LinkHealth {
    fn from(stats: PublishStats) -> Self {
        Self {
            mqtt: stats.mqtt.map_or("", Version::name).to_owned(),
            encrypted: stats.encrypted,
            connections: stats.connections,
            acknowledged: stats.acknowledged,
            sent_again: stats.sent_again,
            unheard: stats.unheard,
            refused: stats.refused,
            too_large: stats.too_large,
            held_pictures: stats.held_pictures,
        }
    }
}

/// Resolves when the broker has acknowledged everything that was committed before the call and may leave.
pub async fn delivered(spool: &Spool, stats: &mut watch::Receiver<PublishStats>) {
    let commits = spool.commits();
    // A publisher that has ended delivers nothing more; waiting on would be for ever.
    let _ = stats.wait_for(|stats| stats.delivered_commits >= commits).await;
}
