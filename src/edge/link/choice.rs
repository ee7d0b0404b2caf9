//! Which version of MQTT to ask for: 5, and 3.1.1 where the broker does not speak it. Pure.
//!
//! 5 is worth some trying: only there a broker says that nobody listens. So one connection that was closed at the greeting
//! does not count as a refusal (brokers restart, and tunnels break), and a broker that has spoken 5 before is believed to
//! have forgotten it only when it says so. While 3.1.1 is spoken, every [`TRY_AGAIN_EVERY`]th connection asks for 5 again.

use super::{Version, VersionDoubt};

/// Connections in 3.1.1 after which 5 is tried again: the broker may have been renewed.
const TRY_AGAIN_EVERY: u32 = 5;
/// Greetings in a row that the broker must break off before that is taken for an answer.
const DOUBTS: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    next: Version,
    five_worked: bool,
    doubts: u32,
    /// Connections in 3.1.1 since 5 was last tried.
    connections_in_311: u32,
}

impl Default for Choice {
    fn default() -> Self {
        Self { next: Version::V5, five_worked: false, doubts: 0, connections_in_311: 0 }
    }
}

impl Choice {
    /// What to ask for now.
    #[must_use]
    pub fn version(&self) -> Version {
        self.next
    }

    /// The broker has said yes.
    pub fn connected(&mut self) {
        match self.next {
            Version::V5 => *self = Self { five_worked: true, ..Self::default() },
            Version::V311 => self.connections_in_311 += 1,
        }
    }

    /// The attempt has failed, or what was connected is broken.
    pub fn failed(&mut self, doubt: VersionDoubt, was_connected: bool) {
        match (self.next, doubt) {
            (Version::V5, _) if was_connected => {}
            (Version::V5, VersionDoubt::Said) => self.fall_back(),
            (Version::V5, VersionDoubt::Possible) if !self.five_worked => {
                self.doubts += 1;
                // Not the first time that 3.1.1 is what works: no need to be asked twice.
                if self.doubts >= DOUBTS || self.connections_in_311 > 0 {
                    self.fall_back();
                }
            }
            (Version::V5, _) => {}
            (Version::V311, _) if was_connected => {
                if self.connections_in_311.is_multiple_of(TRY_AGAIN_EVERY) {
                    self.next = Version::V5;
                }
            }
            // Neither works; so it is not the version.
            (Version::V311, _) => (self.next, self.doubts) = (Version::V5, 0),
        }
    }

    fn fall_back(&mut self) {
        (self.next, self.doubts) = (Version::V311, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_broker_that_says_no_is_asked_for_the_older_version_at_once() {
        let mut choice = Choice::default();
        choice.failed(VersionDoubt::Said, false);
        assert_eq!(choice.version(), Version::V311);
    }

    #[test]
    fn one_broken_greeting_is_no_answer_and_two_are() {
        let mut choice = Choice::default();
        choice.failed(VersionDoubt::Possible, false);
        assert_eq!(choice.version(), Version::V5);
        choice.failed(VersionDoubt::Possible, false);
        assert_eq!(choice.version(), Version::V311);
    }

    #[test]
    fn a_broker_that_has_spoken_five_is_only_doubted_when_it_says_so() {
        let mut choice = Choice::default();
        choice.connected();
        for was_connected in [true, false, false, false] {
            choice.failed(VersionDoubt::Possible, was_connected);
            assert_eq!(choice.version(), Version::V5);
        }
        choice.failed(VersionDoubt::Said, false);
        assert_eq!(choice.version(), Version::V311);
    }

    #[test]
    fn five_is_tried_again_after_some_connections() {
        let mut choice = Choice::default();
        choice.failed(VersionDoubt::Said, false);
        let mut asked = Vec::new();
        for _ in 0..2 * TRY_AGAIN_EVERY + 1 {
            asked.push(choice.version());
            match choice.version() {
                Version::V5 => choice.failed(VersionDoubt::Possible, false),
                Version::V311 => {
                    choice.connected();
                    choice.failed(VersionDoubt::None, true);
                }
            }
        }
        let fives: Vec<usize> = (0..asked.len()).filter(|i| asked[*i] == Version::V5).collect();
        assert_eq!(fives, [5], "{asked:?}");
    }

    proptest! {
        /// Whatever happens, a broker that speaks only one of the two is reached in a few attempts.
        #[test]
        fn no_history_shuts_a_broker_out(history in prop::collection::vec((0..3_u8, any::<bool>()), 0..40), five in any::<bool>()) {
            let mut choice = Choice::default();
            for (doubt, connected) in history {
                if connected {
                    choice.connected();
                }
                let doubt = [VersionDoubt::None, VersionDoubt::Possible, VersionDoubt::Said][doubt as usize];
                choice.failed(doubt, connected);
            }
            let reached = (0..4).any(|_| {
                let spoken = if five { Version::V5 } else { Version::V311 };
                let reached = choice.version() == spoken;
                if !reached {
                    choice.failed(VersionDoubt::Said, false);
                }
                reached
            });
            prop_assert!(reached);
        }
    }
}
