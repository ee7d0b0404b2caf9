//! Items that the broker does not take, and how to find them when it does not say so. Pure; time is an argument.
//!
//! Some refusals come without words: a broker in MQTT 3.1.1 hangs up on a packet that is too large for it, and an answer
//! that the client library does not know (such as "packet too large" on an acknowledgement) breaks the connection from this
//! side. Sent again on each new connection, the item would keep everything else from leaving. What else was on the way at
//! that moment is without an answer too, so a break with several unanswered items blames none of them; but from then on
//! items are sent one by one for a while, and an item that was alone when the connection broke [`BREAKS`] times in a row is
//! taken to be the cause.
//!
//! It then stands aside for [`FIRST_ASIDE`], and twice as long each time that it happens again; so does an item that was
//! refused in words, since there are brokers that hang up after saying so. A picture too large for a bad mobile network
//! shows the same signs, and standing aside is right for it too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::edge::spool::Ticket;

const BREAKS: u32 = 3;
/// Answers without a break after which items are sent together again.
const CAREFUL: u32 = 32;
/// Short: it may be an alarm, and the network was at fault.
const FIRST_ASIDE: Duration = Duration::from_secs(30);
const LONGEST_ASIDE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Suspects<Item = Ticket> {
    /// At which item the last connections broke, and how many of them.
    last: Option<(Item, u32)>,
    /// So many answers more, items are sent one by one.
    careful: u32,
    /// Until when.
    aside: BTreeMap<Item, Instant>,
    /// How long each that ever stood aside did so the last time.
    spans: BTreeMap<Item, Duration>,
}

impl<Item> Default for Suspects<Item> {
    fn default() -> Self {
        Self { last: None, careful: 0, aside: BTreeMap::new(), spans: BTreeMap::new() }
    }
}

impl<Item: Copy + Ord> Suspects<Item> {
    /// How many items may be on the way, where `window` may in good times.
    pub fn window(&self, window: usize) -> usize {
        if self.careful > 0 { 1 } else { window }
    }

    /// A connection broke while these had no answer. Tells the item that stands aside from now on.
    pub fn broke(&mut self, unanswered: &[Item], now: Instant) -> Option<Item> {
        // Nothing unanswered: the break had another cause.
        let [item] = *unanswered else {
            if !unanswered.is_empty() {
                self.careful = CAREFUL;
            }
            return None;
        };
        self.careful = CAREFUL;
        let breaks = match self.last {
            Some((last, breaks)) if last == item => breaks + 1,
            _ => 1,
        };
        self.last = Some((item, breaks));
        if breaks < BREAKS {
            return None;
        }
        self.stand_aside(item, now);
        Some(item)
    }

    /// The broker has answered, whatever it said.
    pub fn answered(&mut self, item: Item) {
        self.careful = self.careful.saturating_sub(1);
        self.last = self.last.filter(|(last, _)| *last != item);
    }

    pub fn stand_aside(&mut self, item: Item, now: Instant) {
        self.last = self.last.filter(|(last, _)| *last != item);
        let span = self.spans.get(&item).map_or(FIRST_ASIDE, |span| (*span * 2).min(LONGEST_ASIDE));
        self.spans.insert(item, span);
        self.aside.insert(item, now + span);
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
    use proptest::prelude::*;

    #[test]
    fn three_breaks_in_a_row_at_one_item_set_it_aside_for_a_while() {
        let now = Instant::now();
        let mut suspects = Suspects::default();
        assert_eq!(
            [suspects.broke(&[7], now), suspects.broke(&[7], now), suspects.broke(&[7], now)],
            [None, None, Some(7)]
        );
        assert_eq!(suspects.aside().collect::<Vec<_>>(), [7]);
        assert!(suspects.pardon(now + FIRST_ASIDE / 2).is_empty());
        assert_eq!(suspects.pardon(now + FIRST_ASIDE), [7]);
        assert_eq!(suspects.aside().count(), 0);
        for _ in 0..3 {
            suspects.broke(&[7], now);
        }
        assert!(suspects.pardon(now + FIRST_ASIDE).is_empty(), "the second time it is longer");
        assert_eq!(suspects.pardon(now + 2 * FIRST_ASIDE), [7]);
    }

    #[test]
    fn several_are_not_blamed_but_sent_one_by_one_for_a_while() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.window(16), 16);
        for _ in 0..5 {
            assert_eq!(suspects.broke(&[1, 2], Instant::now()), None);
        }
        for item in 0..CAREFUL {
            assert_eq!(suspects.window(16), 1);
            suspects.answered(item);
        }
        assert_eq!(suspects.window(16), 16);
    }

    #[test]
    fn an_answer_clears_its_item() {
        let now = Instant::now();
        let mut suspects = Suspects::default();
        suspects.broke(&[1], now);
        suspects.broke(&[1], now);
        suspects.answered(1);
        assert_eq!(suspects.broke(&[1], now), None);
        assert_eq!(suspects.broke(&[], now), None);
    }

    proptest! {
        /// A broker that hangs up on some items, whatever it had answered by then: all the others arrive.
        #[test]
        fn the_culprits_are_found_and_nobody_else(
            bad in prop::collection::btree_set(0_u32..24, 0..4),
            answers_lost in prop::collection::vec(0_usize..16, 200),
        ) {
            let now = Instant::now();
            let mut suspects = Suspects::default();
            let mut left: Vec<u32> = (0..24).collect();
            for lost in answers_lost {
                // One connection: batches of the window's size, until one holds a bad item.
                loop {
                    let aside: Vec<u32> = suspects.aside().collect();
                    let batch: Vec<u32> =
                        left.iter().copied().filter(|i| !aside.contains(i)).take(suspects.window(16)).collect();
                    let Some(place) = batch.iter().position(|item| bad.contains(item)) else {
                        batch.iter().for_each(|item| suspects.answered(*item));
                        left.retain(|item| !batch.contains(item));
                        if batch.is_empty() { break } else { continue }
                    };
                    let answered = &batch[..place.saturating_sub(lost)];
                    answered.iter().for_each(|item| suspects.answered(*item));
                    left.retain(|item| !answered.contains(item));
                    suspects.broke(&batch[answered.len()..], now);
                    break;
                }
            }
            prop_assert_eq!(suspects.aside().collect::<Vec<_>>(), bad.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(left, bad.into_iter().collect::<Vec<_>>());
        }
    }
}
