//! How many bytes may leave each second: a bucket that fills with time and is emptied by what is sent. Pure; time is an
//! argument.
//!
//! An item may leave as soon as there is anything in the bucket, and takes all that it needs, if need be on credit: so an
//! item larger than the bucket passes too, and those after it wait longer. Over any time `t` at most `rate · (t + 1 s)` bytes
//! leave and one item more. What cannot wait is taken without asking; the rest pays for it.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    bytes_per_second: f64,
    /// Negative: on credit.
    bytes_left: f64,
    at: Instant,
}

impl Throttle {
    /// Starts with what one second gives. A rate of 0 counts as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64, now: Instant) -> Self {
        let bytes_per_second = bytes_per_second.max(1) as f64;
        Self { bytes_per_second, bytes_left: bytes_per_second, at: now }
    }

    /// How long an item has to wait; zero: none.
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        if self.bytes_left > 0.0 {
            return Duration::ZERO;
        }
        // One byte more than nothing, so that the wait ends with something in the bucket.
        Duration::from_secs_f64((1.0 - self.bytes_left) / self.bytes_per_second)
    }

    /// So much has left.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        self.fill(now);
        self.bytes_left -= bytes as f64;
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.bytes_left = (self.bytes_left + seconds * self.bytes_per_second).min(self.bytes_per_second);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_never_stuck(
            rate in 1_u64..200_000,
            steps in prop::collection::vec((0_u64..3_000, 1_usize..70_000), 1..200),
        ) {
            let start = Instant::now();
            let mut throttle = Throttle::new(rate, start);
            let (mut now, mut sent, mut largest) = (start, 0_usize, 0_usize);
            for (millis, bytes) in steps {
                now += Duration::from_millis(millis);
                let wait = throttle.wait(now);
                if wait.is_zero() {
                    throttle.took(bytes, now);
                    sent += bytes;
                    largest = largest.max(bytes);
                } else {
                    let mut later = throttle;
                    prop_assert!(later.wait(now + wait).is_zero(), "the wait that was asked for is long enough");
                }
                let allowed = rate as f64 * ((now - start).as_secs_f64() + 1.0) + largest as f64;
                prop_assert!(sent as f64 <= allowed + 1.0, "{sent} bytes of {allowed}");
            }
        }
    }

    #[test]
    fn what_is_saved_is_no_more_than_a_second() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1000, start);
        let later = start + Duration::from_secs(3600);
        throttle.took(1500, later);
        assert!(throttle.wait(later) > Duration::from_millis(450));
        assert!(throttle.wait(later + Duration::from_millis(600)).is_zero());
    }
}
