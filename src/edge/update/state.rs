//! Which models a device uses and what became of the attempts to change them: pure, each change gives a new state.

use serde::{Deserialize, Serialize};

/// Kept on the device as `state.json`, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// `None`: the models of `[model] folder`, which came with the program.
    pub current: Option<u64>,
    /// What a roll-back goes to; `None`: the models that came with the program.
    pub previous: Option<u64>,
    /// Of all versions that were ever activated; this one and older ones are not taken again.
    pub highest: u64,
    /// There while the current version has not proved itself.
    pub trial: Option<Trial>,
    pub activated: u64,
    pub refused: u64,
    pub rolled_back: u64,
    pub last_refusal: Option<String>,
    /// There while a version is being looked at, and after a look that came to no end.
    pub trying: Option<Trying>,
}

/// So often may a version take the program down before it is refused unseen: once may have been a power cut.
pub const MOST_TRIES: u32 = 2;

/// The mark of a version that is being looked at: on the disk before anything of it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trying {
    pub version: u64,
    pub times: u32,
}

/// The mark of a version that has not proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// So many runs of the program have begun to use it and not come to an orderly end.
    pub starts: u32,
}

impl State {
    /// `in_service`: a running program uses it from now on.
    #[must_use]
    pub fn with_activated(&self, version: u64, in_service: bool) -> Self {
        // A version that has not proved itself is nothing to go back to.
        let proved = if self.trial.is_some() { self.previous } else { self.current };
        Self {
            current: Some(version),
            previous: proved,
            highest: self.highest.max(version),
            trial: Some(Trial { starts: u32::from(in_service) }),
            activated: self.activated + 1,
            trying: None,
            ..self.clone()
        }
    }

    /// Back to what was before; the version stays burnt, since `highest` does not fall.
    #[must_use]
    pub fn with_taken_back(&self, why: &str) -> Self {
        Self {
            current: self.previous,
            previous: None,
            trial: None,
            rolled_back: self.rolled_back + 1,
            last_refusal: Some(why.to_owned()),
            ..self.clone()
        }
    }

    /// The same again is no news: a bundle that the broker retains comes with each connection.
    #[must_use]
    pub fn with_refused(&self, why: &str) -> Self {
        if self.last_refusal.as_deref() == Some(why) {
            return self.clone();
        }
        Self { refused: self.refused + 1, last_refusal: Some(why.to_owned()), ..self.clone() }
    }

    /// A look at `version` begins.
    #[must_use]
    pub fn with_try(&self, version: u64) -> Self {
        let times = self.tries(version) + 1;
        Self { trying: Some(Trying { version, times }), ..self.clone() }
    }

    /// The look came to an end, whatever it found.
    #[must_use]
    pub fn with_try_ended(&self) -> Self {
        Self { trying: None, ..self.clone() }
    }

    /// The program ends in order in the middle of a look: that one does not count.
    #[must_use]
    pub fn with_try_put_off(&self) -> Self {
        let fewer = |trying: Trying| Trying { times: trying.times.saturating_sub(1), ..trying };
        Self { trying: self.trying.map(fewer).filter(|trying| trying.times > 0), ..self.clone() }
    }

    /// So many looks at `version` have begun and come to no end.
    #[must_use]
    pub fn tries(&self, version: u64) -> u32 {
        self.trying.filter(|trying| trying.version == version).map_or(0, |trying| trying.times)
    }

    /// A program begins to use the current version.
    #[must_use]
    pub fn with_start(&self) -> Self {
        Self { trial: self.trial.map(|trial| Trial { starts: trial.starts + 1 }), ..self.clone() }
    }

    /// The program ends in order: whatever the version does next, it did not bring the program down.
    #[must_use]
    pub fn with_orderly_end(&self) -> Self {
        Self { trial: self.trial.map(|_| Trial { starts: 0 }), ..self.clone() }
    }

    #[must_use]
    pub fn with_trial_passed(&self) -> Self {
        Self { trial: None, ..self.clone() }
    }

    /// A program was using the version on trial and came to no orderly end.
    #[must_use]
    pub fn went_down_on_trial(&self) -> bool {
        self.trial.is_some_and(|trial| trial.starts >= 1)
    }

    #[must_use]
    pub fn uses(&self, version: u64) -> bool {
        [self.current, self.previous].contains(&Some(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_goes_through_its_trial_or_back() {
        let proved = State::default().with_activated(3, true).with_trial_passed();
        assert_eq!((proved.current, proved.previous, proved.highest), (Some(3), None, 3));
        let on_trial = proved.with_activated(5, true);
        assert_eq!((on_trial.current, on_trial.previous, on_trial.highest), (Some(5), Some(3), 5));
        assert!(on_trial.went_down_on_trial());
        let back = on_trial.with_taken_back("it was silent");
        assert_eq!((back.current, back.previous, back.highest, back.rolled_back), (Some(3), None, 5, 1));
        assert_eq!((back.trial, back.last_refusal.as_deref()), (None, Some("it was silent")));
        assert_eq!(back.with_taken_back("by hand").current, None, "further back is what came with the program");
    }

    #[test]
    fn a_version_on_trial_is_nothing_to_go_back_to() {
        let proved = State::default().with_activated(3, true).with_trial_passed();
        let twice = proved.with_activated(5, true).with_activated(6, true);
        assert_eq!((twice.current, twice.previous), (Some(6), Some(3)));
    }

    #[test]
    fn looks_that_came_to_no_end_are_counted_by_version() {
        let twice = State::default().with_try(5).with_try(5);
        assert_eq!((twice.tries(5), twice.tries(6)), (2, 0));
        assert_eq!(twice.with_refused("another bundle").tries(5), 2, "what is said of others changes nothing");
        assert_eq!([twice.with_try_ended().trying, twice.with_activated(5, true).trying], [None, None]);
        assert_eq!((twice.with_try_put_off().tries(5), twice.with_try(6).tries(6)), (1, 1));
        assert_eq!(twice.with_try_put_off().with_try_put_off().trying, None);
    }

    #[test]
    fn the_same_refusal_again_is_not_counted_again() {
        let once = State::default().with_refused("too old");
        assert_eq!(once.with_refused("too old"), once);
        assert_eq!(once.with_refused("too large").refused, 2);
    }

    #[test]
    fn an_orderly_end_is_no_crash_and_a_second_start_without_one_is() {
        let waiting = State::default().with_activated(3, false);
        assert!(!waiting.went_down_on_trial(), "nothing has used it yet");
        let used = waiting.with_start();
        assert!(used.went_down_on_trial());
        assert!(!used.with_orderly_end().went_down_on_trial());
        assert!(used.with_orderly_end().trial.is_some(), "the trial goes on at the next start");
        assert_eq!(State::default().with_start().with_orderly_end().trial, None);
    }
}
