//! Items at which the connection breaks, again and again. Pure; time is an argument.
//!
//! Some refusals come without words: a broker in MQTT 3.1.1 closes the connection on a packet that is too large for it, and
//! an answer that the client library does not know (such as "packet too large" on an acknowledgement) breaks it from this
//! side. Brokers answer in order, so it is the oldest unanswered item that did it. Sent first on each new connection, it
//! would keep everything else from leaving; so after [`BREAKS`] breaks in a row it stands aside for
//! [`FIRST_ASIDE`], and twice as long each time that it happens again.
//!
//! A picture too large for a bad mobile network shows the same signs, and standing aside is right for it too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::edge::spool::Ticket;

const BREAKS: u32 = 3;
/// Short: it may be an alarm, and the network was at fault.
const FIRST_ASIDE: Duration = Duration::from_secs(30);
const LONGEST_ASIDE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Suspects<Item = Ticket> {
    /// At which item the last connections broke, and how many of them.
    last: Option<(Item, u32)>,
    /// Until when.
    aside: BTreeMap<Item, Instant>,
    /// How long each that ever stood aside did so the last time.
    spans: BTreeMap<Item, Duration>,
}

impl<Item> Default for Suspects<Item> {
    fn default() -> Self {
        Self { last: None, aside: BTreeMap::new(), spans: BTreeMap::new() }
    }
}

impl<Item: Copy + Ord> Suspects<Item> {
    /// A connection broke while this item was the oldest without an answer. True when it stands aside from now on.
    pub fn broke_at(&mut self, oldest: Option<Item>, now: Instant) -> bool {
        // Nothing unanswered: the break had another cause.
        let Some(item) = oldest else { return false };
        let breaks = match self.last {
            Some((last, breaks)) if last == item => breaks + 1,
            _ => 1,
        };
        if breaks < BREAKS {
            self.last = Some((item, breaks));
            return false;
        }
        self.last = None;
        let span = self.spans.get(&item).map_or(FIRST_ASIDE, |span| (*span * 2).min(LONGEST_ASIDE));
        self.spans.insert(item, span);
        self.aside.insert(item, now + span);
        true
    }

    /// Those that stand aside.
    pub fn aside(&self) -> impl Iterator<Item = Item> {
        self.aside.keys().copied()
    }

    /// Takes out those that have stood aside long enough.
    pub fn pardon(&mut self, now: Instant) -> Vec<Item> {
        let pardoned = self.aside.iter().filter(|(_, until)| **until <= now);
        let pardoned: Vec<Item> = pardoned.map(|(item, _)| *item).collect();
        self.aside.retain(|item, _| !pardoned.contains(item));
        pardoned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_breaks_in_a_row_at_one_item_set_it_aside_for_a_while() {
        let now = Instant::now();
        let mut suspects = Suspects::default();
        assert!(!suspects.broke_at(Some(7), now) && !suspects.broke_at(Some(7), now));
        assert!(suspects.broke_at(Some(7), now));
        assert_eq!(suspects.aside().collect::<Vec<_>>(), [7]);
        assert!(suspects.pardon(now + FIRST_ASIDE / 2).is_empty());
        assert_eq!(suspects.pardon(now + FIRST_ASIDE), [7]);
        assert_eq!(suspects.aside().count(), 0);
        for _ in 0..3 {
            suspects.broke_at(Some(7), now);
        }
        assert!(suspects.pardon(now + FIRST_ASIDE).is_empty(), "the second time it is longer");
        assert_eq!(suspects.pardon(now + 2 * FIRST_ASIDE), [7]);
    }

    #[test]
    fn breaks_at_different_items_or_at_none_blame_nobody() {
        let mut suspects = Suspects::default();
        for item in [Some(1), Some(2), Some(1), None, Some(2), Some(1), None] {
            assert!(!suspects.broke_at(item, Instant::now()));
        }
    }
}
