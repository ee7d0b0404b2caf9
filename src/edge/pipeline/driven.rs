//! How much of the road that is driven could be judged, by whichever camera sees best.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::edge::coverage::{Coverage, CoveragePolicy, Stretch};
use crate::edge::fix::Fix;
use crate::schema::{BlindReason, Unusable};

/// While one camera has shown the road within so long, another that did not says nothing.
const SEEN_RECENTLY: Duration = Duration::from_secs(1);
/// Without any frame the way goes on: so often it is asked where the vehicle is.
const WITHOUT_FRAMES: Duration = Duration::from_secs(1);

/// Whether the road is wet, as the vehicle says.
pub type IsWet = Box<dyn Fn() -> bool + Send>;

pub(super) struct Driven {
    policy: CoveragePolicy,
    is_wet: IsWet,
    coverage: Coverage,
    /// Which camera has shown the road last, and when.
    shown: Option<(usize, Instant)>,
    looked_at: Instant,
}

impl Driven {
    pub fn new(policy: CoveragePolicy, is_wet: IsWet) -> Self {
        Self { coverage: Coverage::new(policy.clone()), policy, is_wet, shown: None, looked_at: Instant::now() }
    }

    /// A frame of the camera `place` was judged.
    pub fn see(
        &mut self,
        place: usize,
        fix: Option<&Fix>,
        (blind, mean_luma): (Option<BlindReason>, f64),
        now: Instant,
    ) -> Vec<Stretch> {
        self.looked_at = now;
        let usable = self.policy.usable(mean_luma, (self.is_wet)(), blind);
        if usable.is_ok() {
            self.shown = Some((place, now));
        } else if self.shown.is_some_and(|(other, at)| other != place && now.duration_since(at) < SEEN_RECENTLY) {
            return Vec::new();
        }
        self.coverage.see(fix, usable)
    }

    /// No frame waits; `fix_at` says where the vehicle is now.
    pub fn pass_time(
        &mut self,
        at: OffsetDateTime,
        fix_at: &dyn Fn(OffsetDateTime) -> Option<Fix>,
        now: Instant,
    ) -> Vec<Stretch> {
        if now.duration_since(self.looked_at) < WITHOUT_FRAMES {
            return Vec::new();
        }
        self.looked_at = now;
        self.coverage.see(fix_at(at).as_ref(), Err(Unusable::Lens))
    }

    pub fn not_recorded(&mut self, now: Instant) {
        self.looked_at = now;
        self.coverage.not_recorded();
    }

    pub fn finish(&mut self) -> Vec<Stretch> {
        self.coverage.finish()
    }
}
