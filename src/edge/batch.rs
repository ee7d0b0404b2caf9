//! When a road event may leave the device, so that the stream tells nobody who drove where.
//!
//! Damages and coverage wait until the batch in which they were seen has ended, and leave at a random moment of the next one.
//! Batches begin at the same moments everywhere (a batch of an hour at each full hour, UTC), so the events of all vehicles
//! of a site leave mixed with one another, in random order and evenly over the time. What was seen one after the other is no
//! longer sent one after the other. One vehicle that is alone on the road cannot be hidden among others.
//!
//! Pure: time and dice come as arguments. Waiting is a length of time, to be measured by a clock that does not leap; a wrong
//! calendar shifts the boundaries and can make nothing wait longer than two batches.

use std::time::Duration;

use rand::{Rng, RngExt};
use time::OffsetDateTime;

/// Shorter batches would be batches in name only.
pub const MIN_BATCH: Duration = Duration::from_secs(1);
pub const DEFAULT_BATCH: Duration = Duration::from_secs(3600);

/// Whether and for how long road events wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Events go at once: for demos and tests, where there is nobody to protect.
    Off,
    Every(Duration),
}

impl Batching {
    /// `None` for lengths under [`MIN_BATCH`].
    #[must_use]
    pub fn every(length: Duration) -> Option<Self> {
        (length >= MIN_BATCH).then_some(Self::Every(length))
    }

    #[must_use]
    pub fn minutes(self) -> u32 {
        match self {
            Self::Off => 0,
            // A batch of seconds is a batch all the same.
            Self::Every(length) => u32::try_from(length.as_secs().div_ceil(60)).unwrap_or(u32::MAX),
        }
    }

    /// How long something seen at `now` waits; `None` when batching is off.
    #[must_use]
    pub fn wait(self, now: OffsetDateTime, dice: &mut impl Rng) -> Option<Duration> {
        let Self::Every(length) = self else { return None };
        let length_millis = i128::try_from(length.as_millis()).ok()?;
        let now_millis = now.unix_timestamp_nanos() / 1_000_000;
        let left_millis = u64::try_from(length_millis - now_millis.rem_euclid(length_millis)).ok()?;
        let moment_millis = dice.random_range(0..u64::try_from(length_millis).ok()?);
        Some(Duration::from_millis(left_millis + moment_millis))
    }

    /// How long something waits that became due while there was no connection: any moment of a quarter of a batch. Shorter
    /// than a batch, so that a vehicle that is connected for some minutes a day still gets rid of its events, a part each time.
    #[must_use]
    pub fn catch_up(self, dice: &mut impl Rng) -> Option<Duration> {
        let Self::Every(length) = self else { return None };
        let quarter_millis = u64::try_from(length.as_millis() / 4).ok()?.max(1);
        Some(Duration::from_millis(dice.random_range(0..quarter_millis)))
    }

    /// Whether the batch of `seen` has ended at `now`.
    #[must_use]
    pub fn has_ended(self, seen: OffsetDateTime, now: OffsetDateTime) -> bool {
        let Self::Every(length) = self else { return false };
        let Ok(length_nanos) = i128::try_from(length.as_nanos()) else { return false };
        let batch = |at: OffsetDateTime| at.unix_timestamp_nanos().div_euclid(length_nanos);
        batch(seen) < batch(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        /// Whatever the calendar says.
        #[test]
        fn it_leaves_in_the_next_batch(now_millis in -4_000_000_000_000..9_000_000_000_000i64, minutes in 1..600u32, seed: u64) {
            let length = Duration::from_secs(60) * minutes;
            let now = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(now_millis);
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let wait = Batching::every(length).unwrap().wait(now, &mut dice).unwrap();
            let leaves_millis = now_millis + i64::try_from(wait.as_millis()).unwrap();
            let batch = |millis: i64| millis.div_euclid(i64::try_from(length.as_millis()).unwrap());
            prop_assert_eq!(batch(leaves_millis), batch(now_millis) + 1);
        }
    }

    #[test]
    fn moments_are_even_and_say_nothing_about_the_order() {
        let batching = Batching::every(DEFAULT_BATCH).unwrap();
        let mut dice = ChaCha8Rng::seed_from_u64(1);
        let start = time::macros::datetime!(2026-03-17 09:00 UTC);
        let mut later_first = 0;
        let mut by_quarter = [0; 4];
        for _ in 0..4000 {
            let first = start + batching.wait(start, &mut dice).unwrap();
            let later = start + Duration::from_secs(1800);
            let second = later + batching.wait(later, &mut dice).unwrap();
            later_first += u32::from(second < first);
            by_quarter[usize::from(second.minute() / 15)] += 1;
        }
        assert!((1900..2100).contains(&later_first), "{later_first}");
        assert!(by_quarter.iter().all(|count| (900..1100).contains(count)), "{by_quarter:?}");
    }

    #[test]
    fn a_batch_has_ended_when_the_next_has_begun() {
        let hourly = Batching::every(DEFAULT_BATCH).unwrap();
        let at = |minutes: u64| time::macros::datetime!(2026-03-17 09:00 UTC) + Duration::from_secs(60 * minutes);
        assert!(!hourly.has_ended(at(5), at(59)) && hourly.has_ended(at(59), at(60)));
        assert!(!hourly.has_ended(at(60), at(5)), "a clock that was wrong");
    }

    #[test]
    fn off_means_at_once_and_a_batch_has_a_length() {
        let mut dice = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(Batching::Off.wait(OffsetDateTime::UNIX_EPOCH, &mut dice), None);
        assert_eq!(Batching::every(Duration::from_millis(10)), None);
        assert_eq!((Batching::Off.minutes(), Batching::every(DEFAULT_BATCH).unwrap().minutes()), (0, 60));
    }
}
