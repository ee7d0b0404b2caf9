//! When a new version has proved itself: pure, time comes as an argument.

use std::time::Duration;

/// How long a version is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialLimits {
    /// Judged so many frames, it has proved itself …
    pub frames: u64,
    /// … or worked for so long.
    pub time: Duration,
    /// While the source gives frames, the first must be judged within this time.
    pub silence: Duration,
    /// After that, the thread that judges must let go of the model within this time.
    pub release: Duration,
}

impl Default for TrialLimits {
    fn default() -> Self {
        Self {
            frames: 100,
            time: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            release: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    GoesOn,
    Passed,
    /// The source gives frames and the version judges none.
    Silent,
}

impl TrialLimits {
    /// `given` frames have come and `judged` were judged since the version was activated, `since` ago. Where no frame comes
    /// none can be judged, which speaks neither for the version nor against it.
    #[must_use]
    pub fn verdict(&self, since: Duration, given: u64, judged: u64) -> Verdict {
        if judged >= self.frames || (judged > 0 && since >= self.time) {
            Verdict::Passed
        } else if judged == 0 && given > 0 && since >= self.silence {
            Verdict::Silent
        } else {
            Verdict::GoesOn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(seconds: u64, given: u64, judged: u64) -> Verdict {
        TrialLimits::default().verdict(Duration::from_secs(seconds), given, judged)
    }

    #[test]
    fn enough_frames_or_enough_time_is_a_pass() {
        assert_eq!([after(3, 99, 99), after(3, 100, 100)], [Verdict::GoesOn, Verdict::Passed]);
        assert_eq!([after(59, 9, 1), after(60, 9, 1)], [Verdict::GoesOn, Verdict::Passed]);
    }

    #[test]
    fn silence_counts_only_while_frames_come() {
        assert_eq!([after(29, 500, 0), after(30, 500, 0)], [Verdict::GoesOn, Verdict::Silent]);
        assert_eq!(after(3600, 0, 0), Verdict::GoesOn, "a camera without pictures proves nothing");
    }

    proptest! {
        #[test]
        fn nothing_passes_that_judged_no_frame(seconds in 0..10_000u64, given in 0..10_000u64) {
            prop_assert_ne!(after(seconds, given, 0), Verdict::Passed);
        }

        #[test]
        fn what_judges_is_never_silent(seconds in 0..10_000u64, given in 0..10_000u64, judged in 1..10_000u64) {
            prop_assert_ne!(after(seconds, given, judged), Verdict::Silent);
        }
    }
}
