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

    #[must_use]
    pub fn with_refused(&self, why: &str) -> Self {
        Self { refused: self.refused + 1, last_refusal: Some(why.to_owned()), ..self.clone() }
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
