//! Whether the program gets on with its work. Pure: counts in, a verdict out.
//!
//! A timer would certify a decoder that hangs. So a sign of life is only due to progress: since the last one, every part's
//! heart has beaten, and the judge has judged if there was anything to judge. A camera that is away is no reason to start
//! the program anew: its reader's heart beats while it waits and tries again.

use std::collections::BTreeMap;
use std::time::Duration;

/// A camera gets so long to give its first picture before the program counts as started without it.
const FIRST_PICTURE: Duration = Duration::from_secs(15);

/// Counters that only grow while the program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By name, as a person would call it: `the reader of camera front`. Grows with each turn of its loop, also while it
    /// waits for a camera: at least once in a second or two.
    pub heartbeats: BTreeMap<String, u64>,
    /// Frames that were put before the judge.
    pub frames_to_judge: u64,
    /// Frames that the judge has finished with, or taken notice that they were replaced by newer ones.
    pub frames_judged: u64,
    /// Frames that lie before the judge right now.
    pub frames_waiting: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Gets,
    /// What stands still.
    Stuck(String),
}

/// What was seen at the last sign of life.
#[derive(Debug, Default)]
pub struct Progress {
    last: Option<Counts>,
}

impl Progress {
    /// Whether there is a sign of life to give; `Gets` is the new beginning of what follows.
    pub fn see(&mut self, now: &Counts) -> Verdict {
        let stuck = self.last.as_ref().and_then(|last| stuck(last, now));
        match stuck {
            Some(part) => Verdict::Stuck(part),
            None => {
                self.last = Some(now.clone());
                Verdict::Gets
            }
        }
    }

    /// Whether the program has started: the first frame was judged; or every part runs, no camera gives a picture and they
    /// have had their time.
    #[must_use]
    pub fn is_ready(first: &Counts, now: &Counts, running_for: Duration) -> bool {
        let all_run = !now.heartbeats.is_empty() && stuck(first, now).is_none();
        let camera_is_away = now.frames_to_judge == 0 && now.frames_waiting == 0 && running_for >= FIRST_PICTURE;
        now.frames_judged > 0 || (all_run && camera_is_away)
    }
}

/// A part that is new since `last` has begun, and one that is gone has ended in order: neither stands still.
fn stuck(last: &Counts, now: &Counts) -> Option<String> {
    let still = now.heartbeats.iter().find(|(name, beats)| last.heartbeats.get(*name) == Some(beats));
    if let Some((name, _)) = still {
        return Some(name.clone());
    }
    let had_work = now.frames_to_judge != last.frames_to_judge || now.frames_waiting > 0;
    (had_work && now.frames_judged == last.frames_judged).then(|| "the judge".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(beats: &[u64], to_judge: u64, judged: u64) -> Counts {
        let name = |number: usize| format!("reader {number}");
        Counts {
            heartbeats: beats.iter().enumerate().map(|(number, beats)| (name(number), *beats)).collect(),
            frames_to_judge: to_judge,
            frames_judged: judged,
            frames_waiting: 0,
        }
    }

    fn stuck_at(part: &str) -> Verdict {
        Verdict::Stuck(part.into())
    }

    #[test]
    fn each_reader_and_the_judge_must_move() {
        let mut progress = Progress::default();
        assert_eq!(progress.see(&counts(&[1, 1], 5, 5)), Verdict::Gets, "the first look has nothing to compare with");
        assert_eq!(progress.see(&counts(&[2, 1], 6, 6)), stuck_at("reader 1"), "a hung decoder");
        assert_eq!(progress.see(&counts(&[2, 2], 6, 5)), stuck_at("the judge"));
        assert_eq!(progress.see(&counts(&[2, 2], 6, 6)), Verdict::Gets, "it was only slow");
        assert_eq!(progress.see(&counts(&[3, 3], 6, 6)), Verdict::Gets, "no camera gives pictures");
    }

    #[test]
    fn a_frame_that_waits_is_work_even_when_no_other_comes() {
        let mut progress = Progress::default();
        let waiting = |beats| Counts { frames_waiting: 1, ..counts(&[beats], 6, 5) };
        progress.see(&waiting(1));
        assert_eq!(progress.see(&waiting(2)), stuck_at("the judge"));
    }

    #[test]
    fn cameras_that_come_and_go_with_a_reload_are_not_stuck() {
        let mut progress = Progress::default();
        progress.see(&counts(&[1, 1], 0, 0));
        assert_eq!(progress.see(&counts(&[2], 0, 0)), Verdict::Gets);
        assert_eq!(progress.see(&counts(&[3, 0], 0, 0)), Verdict::Gets);
        assert_eq!(progress.see(&counts(&[4, 0], 0, 0)), stuck_at("reader 1"), "it is told after the first look at it");
    }

    #[test]
    fn the_program_has_started_with_the_first_frame_or_without_a_camera_that_is_away() {
        let first = counts(&[0, 0], 0, 0);
        let after = |seconds: u64, now: &Counts| Progress::is_ready(&first, now, Duration::from_secs(seconds));
        assert!(after(1, &counts(&[1, 0], 1, 1)), "a frame was judged");
        assert!(!after(14, &counts(&[9, 9], 0, 0)), "cameras still have time");
        assert!(after(15, &counts(&[9, 9], 0, 0)));
        assert!(!after(99, &counts(&[9, 0], 0, 0)), "a reader never ran");
        assert!(!after(99, &counts(&[9, 9], 1, 0)), "the judge never judged");
        assert!(!after(99, &counts(&[], 0, 0)), "nothing runs yet");
    }

    proptest! {
        /// Whatever happened before: from the moment at which one part stands still, at most one more sign of life is given.
        #[test]
        fn nothing_that_hangs_is_certified(
            steps in prop::collection::vec((any::<[bool; 3]>(), 0_u64..3), 0..30),
            hangs in 0_usize..4,
        ) {
            let mut progress = Progress::default();
            let mut now = counts(&[0, 0, 0], 0, 0);
            let mut fed = 0;
            for (beats, frames) in steps {
                for (number, beats) in beats.into_iter().enumerate() {
                    let part = format!("reader {number}");
                    *now.heartbeats.get_mut(&part).unwrap() += u64::from(beats && number != hangs);
                }
                now.frames_to_judge += frames;
                now.frames_judged += if hangs == 3 { 0 } else { frames };
                let worked = hangs < 3 || frames > 0;
                if progress.see(&now) == Verdict::Gets && worked {
                    fed += 1;
                }
            }
            prop_assert!(fed <= 1, "{fed}");
        }
    }
}
