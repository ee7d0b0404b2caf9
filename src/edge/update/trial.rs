//! When a new version has proved itself: pure, time comes as an argument.

use std::time::{Duration, Instant};

/// How long a version is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialLimits {
    /// Judged so many frames, it has proved itself …
    pub frames: u64,
    /// … or worked for so long, and still does.
    pub time: Duration,
    /// Each frame must be judged within this time.
    pub silence: Duration,
    /// After that, the thread that judges must let go of the model within this time.
    pub release: Duration,
    /// Before all that: the self-test must end within this time; less than a technician waits for it.
    pub self_test: Duration,
    /// A file in the inbox must have been at rest for so long: a copy over a bad link pauses.
    pub at_rest: Duration,
}

impl Default for TrialLimits {
    fn default() -> Self {
        Self {
            frames: 100,
            time: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            release: Duration::from_secs(10),
            self_test: Duration::from_secs(120),
            at_rest: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    GoesOn,
    Passed,
    /// The version was given a frame and does not come back from it.
    Silent,
}

impl TrialLimits {
    /// The version was activated `since` ago and has judged so many frames; the oldest frame without an answer has waited for
    /// `unanswered`, zero when there is none. Where no frame comes none can be judged, which speaks neither for the version
    /// nor against it.
    #[must_use]
    pub fn verdict(&self, since: Duration, unanswered: Duration, judged: u64) -> Verdict {
        let works = judged > 0 && since >= self.time && unanswered < self.silence / 2;
        if unanswered >= self.silence {
            Verdict::Silent
        } else if judged >= self.frames || works {
            Verdict::Passed
        } else {
            Verdict::GoesOn
        }
    }
}

/// The trial of a version in this run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub version: u64,
    since: Instant,
    judged: u64,
    /// When it got the oldest frame that it has not answered.
    waiting_since: Option<Instant>,
}

impl Running {
    #[must_use]
    pub fn new(version: u64, now: Instant) -> Self {
        Self { version, since: now, judged: 0, waiting_since: None }
    }

    /// It gets a frame.
    pub fn begin(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// It has judged the frame.
    pub fn answer(&mut self) {
        self.judged += 1;
        self.waiting_since = None;
    }

    #[must_use]
    pub fn verdict(&self, limits: &TrialLimits, now: Instant) -> Verdict {
        let unanswered = self.waiting_since.map_or(Duration::ZERO, |since| now - since);
        limits.verdict(now - self.since, unanswered, self.judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(seconds: u64, unanswered: u64, judged: u64) -> Verdict {
        TrialLimits::default().verdict(Duration::from_secs(seconds), Duration::from_secs(unanswered), judged)
    }

    /// The verdict after `seconds` for a version that got each of its frames at `frames` and answered the first `answered`
    /// at once.
    fn of_run(frames: &[u64], answered: usize, seconds: u64) -> Verdict {
        let started = Instant::now();
        let mut running = Running::new(12, started);
        for (number, at) in frames.iter().enumerate() {
            running.begin(started + Duration::from_secs(*at));
            if number < answered {
                running.answer();
            }
        }
        running.verdict(&TrialLimits::default(), started + Duration::from_secs(seconds))
    }

    #[test]
    fn enough_frames_or_enough_time_is_a_pass() {
        assert_eq!([after(3, 0, 99), after(3, 0, 100)], [Verdict::GoesOn, Verdict::Passed]);
        assert_eq!([after(59, 0, 1), after(60, 0, 1)], [Verdict::GoesOn, Verdict::Passed]);
    }

    #[test]
    fn a_camera_without_pictures_proves_nothing() {
        assert_eq!(of_run(&[], 0, 3600), Verdict::GoesOn);
    }

    #[test]
    fn a_first_frame_that_comes_late_is_not_held_against_the_models() {
        assert_eq!([of_run(&[50], 0, 79), of_run(&[50], 0, 80)], [Verdict::GoesOn, Verdict::Silent]);
    }

    #[test]
    fn a_version_that_judges_one_frame_and_then_hangs_is_silent() {
        let hung = |seconds| of_run(&[0, 31], 1, seconds);
        assert_eq!([hung(60), hung(61)], [Verdict::GoesOn, Verdict::Silent], "and does not pass before");
    }

    proptest! {
        #[test]
        fn nothing_passes_that_judged_no_frame(seconds in 0..10_000u64, unanswered in 0..10_000u64) {
            prop_assert_ne!(after(seconds, unanswered, 0), Verdict::Passed);
        }

        #[test]
        fn who_does_not_answer_is_silent_whatever_it_judged_before(
            seconds in 0..10_000u64, unanswered in 30..10_000u64, judged in 0..10_000u64
        ) {
            prop_assert_eq!(after(seconds, unanswered, judged), Verdict::Silent);
        }

        #[test]
        fn who_answers_each_frame_in_time_is_never_silent(
            seconds in 0..10_000u64, unanswered in 0..30u64, judged in 0..10_000u64
        ) {
            prop_assert_ne!(after(seconds, unanswered, judged), Verdict::Silent);
        }
    }
}
