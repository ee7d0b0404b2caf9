//! Which pictures of a steady stream are taken so that there are not more than so many a second. Pure.

use std::time::Duration;

/// Cameras jitter: a picture that comes a little early is still the one that was waited for.
const EARLY: f64 = 0.25;

#[derive(Debug, Clone)]
pub struct Pace {
    /// `None`: all are taken.
    interval: Option<Duration>,
    due: Duration,
}

impl Pace {
    #[must_use]
    pub fn new(max_frames_per_second: Option<f64>) -> Self {
        Self { interval: max_frames_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate)), due: Duration::ZERO }
    }

    /// Whether the picture at this stream time is taken.
    pub fn takes(&mut self, at: Duration) -> bool {
        let Some(interval) = self.interval else { return true };
        if at + interval.mul_f64(EARLY) < self.due {
            return false;
        }
        // The grid holds the mean rate; after a gap it starts anew, so that nothing is caught up in a burst.
        self.due += interval;
        if self.due < at {
            self.due = at + interval;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(rate: Option<f64>, times_millis: impl Iterator<Item = u64>) -> usize {
        let mut pace = Pace::new(rate);
        times_millis.filter(|at| pace.takes(Duration::from_millis(*at))).count()
    }

    #[test]
    fn a_steady_stream_is_thinned_to_the_rate() {
        assert_eq!(taken(Some(10.0), (0..100).map(|i| i * 40)), 40, "25 → 10 a second, in 4 s");
        assert_eq!(taken(None, (0..100).map(|i| i * 40)), 100);
    }

    #[test]
    fn jitter_does_not_halve_a_stream_that_has_just_the_rate() {
        let jitter = [0, 3, -4, 5, -5, 1, -2].map(|millis: i64| millis);
        let times = (0..100_i64).map(|i| (i * 40 + 10 + jitter[usize::try_from(i).unwrap() % 7]).unsigned_abs());
        assert_eq!(taken(Some(25.0), times), 100);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate(gaps in proptest::collection::vec(1_u64..200, 2..300), rate in 1.0_f64..30.0) {
            let times: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let seconds = (times[times.len() - 1] - times[0]) as f64 / 1000.0;
            let count = taken(Some(rate), times.into_iter());
            prop_assert!(count as f64 <= seconds * rate + 2.5, "{} in {} s at {}", count, seconds, rate);
        }
    }
}
