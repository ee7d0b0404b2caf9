//! How much of the road that is driven could be judged, by whichever camera sees best.

use std::time::{Duration, Instant};

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

    /// No frame waits: where the vehicle is by now it sees nothing.
    pub fn pass_time(
        &mut self,
        now: Instant,
        fix: impl FnOnce() -> Option<Fix>,
        may_record: impl FnOnce(Option<&Fix>) -> bool,
    ) -> Vec<Stretch> {
        if now.duration_since(self.looked_at) < WITHOUT_FRAMES {
            return Vec::new();
        }
        self.looked_at = now;
        let fix = fix();
        if !may_record(fix.as_ref()) {
            self.coverage.not_recorded();
            return Vec::new();
        }
        self.coverage.see(fix.as_ref(), Err(Unusable::Lens))
    }

    pub fn not_recorded(&mut self, now: Instant) {
        self.looked_at = now;
        self.coverage.not_recorded();
    }

    pub fn finish(&mut self) -> Vec<Stretch> {
        self.coverage.finish()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::geo::{EastNorth, LatLon, LocalFrame};

    const BRIGHT: (Option<BlindReason>, f64) = (None, 120.0);
    const BLIND: (Option<BlindReason>, f64) = (Some(BlindReason::Covered), 90.0);

    /// So many metres north of the middle of a cell's southern edge, at 10 m/s.
    fn fix(metres: f64) -> Fix {
        let frame = LocalFrame::at(LatLon { lat: 50.0001, lon: 8.7 });
        Fix {
            at: datetime!(2026-03-17 09:30 UTC) + Duration::from_secs_f64(metres / 10.0),
            position: frame.latlon_from_local(EastNorth::new(0.0, metres)),
            speed_metres_per_second: 10.0,
            heading_degrees: 0.0,
            accuracy_metres: 1.5,
            bridged_millis: 0,
        }
    }

    /// What a drive of 400 m leaves; `look` says what the cameras show at each 5 m.
    fn drive(mut look: impl FnMut(&mut Driven, f64, Instant) -> Vec<Stretch>) -> Vec<Stretch> {
        let mut driven = Driven::new(CoveragePolicy::default(), Box::new(|| false));
        let start = Instant::now();
        let mut told = Vec::new();
        for k in 0..80 {
            let now = start + Duration::from_millis(500) * k;
            told.extend(look(&mut driven, 5.0 * f64::from(k), now));
        }
        told.extend(driven.finish());
        told
    }

    fn usable(stretches: &[Stretch]) -> (f64, f64) {
        let all: f64 = stretches.iter().map(Stretch::length_metres).sum();
        (stretches.iter().map(|stretch| stretch.usable_metres).sum(), all)
    }

    #[test]
    fn a_blind_camera_costs_nothing_while_another_sees() {
        let told = drive(|driven, metres, now| {
            let mut told = driven.see(0, Some(&fix(metres)), BLIND, now);
            told.extend(driven.see(1, Some(&fix(metres)), BRIGHT, now));
            told
        });
        let (usable, all) = usable(&told);
        assert!(all > 300.0 && usable > all - 20.0, "{usable} of {all}");
    }

    #[test]
    fn without_frames_the_way_goes_on_unseen_and_where_nothing_may_be_recorded_nothing_is_told() {
        let half = |may_record: bool| {
            drive(move |driven, metres, now| {
                if metres < 150.0 {
                    return driven.see(0, Some(&fix(metres)), BRIGHT, now);
                }
                driven.pass_time(now, || Some(fix(metres)), |_| may_record)
            })
        };
        let (seen, all) = usable(&half(true));
        assert!(seen < 160.0 && all > seen, "{seen} of {all}");
        let (seen, all) = usable(&half(false));
        assert!((all - seen).abs() < 1.0 && all < 150.0, "{seen} of {all}");
    }
}
