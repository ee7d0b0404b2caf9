//! One connection's bookkeeping: what is in the client's queue, what is sent, what is acknowledged and not yet sure.
//!
//! Matching: the client sends in the order of its queue and says the packet id of each publish when it sends it; the
//! order gives the item, the packet id gives the acknowledgement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::edge::link::Sender;
use crate::edge::spool::{Spool, Ticket};

/// When to try again what nobody listened to.
const UNHEARD_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Delivery {
    pub client: Sender,
    /// In the client's queue, in order; `None` is a message about the device itself, which is no item of the spool.
    queued: VecDeque<Option<Ticket>>,
    /// Sent and not yet acknowledged, by packet id, in the order of sending.
    sent: VecDeque<(u16, Option<Ticket>)>,
    /// Acknowledged, oldest first, and since when.
    settling: VecDeque<(Instant, Ticket)>,
    /// Nobody listened, oldest first, and when that was.
    unheard: VecDeque<(Instant, Ticket)>,
    last_progress: Instant,
}

impl Delivery {
    pub fn new(client: Sender) -> Self {
        Self {
            client,
            queued: VecDeque::new(),
            sent: VecDeque::new(),
            settling: VecDeque::new(),
            unheard: VecDeque::new(),
            last_progress: Instant::now(),
        }
    }

    /// Queues a message about the device itself.
    pub fn say(&mut self, topic: String, retain: bool, payload: Vec<u8>) {
        if self.client.publish(topic, retain, payload) {
            self.queued.push_back(None);
        }
    }

    /// Queues an item; false when the queue is full.
    pub fn send(&mut self, ticket: Ticket, topic: String, payload: Vec<u8>) -> bool {
        let queued = self.client.publish(topic, false, payload);
        if queued {
            self.queued.push_back(Some(ticket));
        }
        queued
    }

    /// Queued or sent, and not acknowledged.
    pub fn outstanding(&self) -> usize {
        self.queued.len() + self.sent.len()
    }

    pub fn settling(&self) -> usize {
        self.settling.len()
    }

    pub fn was_sent(&mut self, packet_id: u16) {
        if self.sent.is_empty() {
            self.last_progress = Instant::now();
        }
        if let Some(item) = self.queued.pop_front() {
            self.sent.push_back((packet_id, item));
        }
    }

    /// The item of an acknowledgement.
    pub fn acknowledged(&mut self, packet_id: u16) -> Option<Ticket> {
        self.last_progress = Instant::now();
        let place = self.sent.iter().position(|(id, _)| *id == packet_id)?;
        self.sent.remove(place)?.1
    }

    /// The broker says that it has it; whether it keeps it is to be seen.
    pub fn settles(&mut self, ticket: Ticket) {
        self.settling.push_back((Instant::now(), ticket));
    }

    /// Lets the spool forget what was acknowledged at least `age` ago; to be called on a sign of life.
    pub fn settle(&mut self, spool: &Spool, age: Duration) {
        while let Some((since, ticket)) = self.settling.front().copied()
            && since.elapsed() >= age
        {
            self.settling.pop_front();
            spool.acknowledge(ticket);
        }
    }

    /// Nobody listened. True when this is the first such item of late.
    pub fn is_unheard(&mut self, ticket: Ticket) -> bool {
        self.unheard.push_back((Instant::now(), ticket));
        self.unheard.len() == 1
    }

    pub fn retry_unheard(&mut self, spool: &Spool) {
        while let Some((since, ticket)) = self.unheard.front().copied()
            && since.elapsed() >= UNHEARD_PAUSE
        {
            self.unheard.pop_front();
            spool.give_back(ticket);
        }
    }

    /// For how long the broker has taken items and acknowledged none.
    pub fn silence(&self) -> Duration {
        if self.sent.is_empty() { Duration::ZERO } else { self.last_progress.elapsed() }
    }

    /// Items that were sent and that the broker has not answered.
    pub fn unanswered(&self) -> Vec<Ticket> {
        self.sent.iter().filter_map(|(_, item)| *item).collect()
    }

    /// Items that were sent on this connection and must be sent again on the next.
    pub fn to_be_sent_again(&self) -> u64 {
        (self.unanswered().len() + self.settling.len()) as u64
    }
}
