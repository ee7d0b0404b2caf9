//! The vehicle's way in a frame of its own, for comparing successive frames.
//!
//! A receiver measures speed and course by Doppler shift, far better than the difference of two of its positions: those
//! wander by decimetres from one second to the next. So tracks live in a frame that moves with speed and course alone.
//! It drifts against the earth, slowly; each observation brings its own position, and a track averages the difference.
//! Where speed and positions contradict each other beyond what the stated accuracy explains, positions are believed.

use crate::edge::fix::Fix;
use crate::geo::{EastNorth, LocalFrame, direction_of, heading_difference};

/// Beyond this time between two frames too much may have happened to integrate a speed.
const LONGEST_STEP_SECONDS: f64 = 2.0;
/// The usual difference between both ways is forgotten over this time, so that slow drift is no contradiction.
const DRIFT_MEMORY_SECONDS: f64 = 3.0;

/// Dead reckoning with speed and course.
#[derive(Debug, Default)]
pub struct Motion {
    last: Option<State>,
    /// Speeds of this receiver have contradicted its positions.
    distrusts_speed: bool,
}

#[derive(Debug, Clone, Copy)]
struct State {
    fix: Fix,
    reckoned: EastNorth,
    /// Position minus reckoned, smoothed.
    usual_offset: EastNorth,
}

impl Motion {
    /// Where the antenna is in the reckoned frame, which starts as `frame` does.
    pub fn advance(&mut self, frame: &LocalFrame, fix: &Fix) -> EastNorth {
        let position = frame.local_from_latlon(fix.position);
        let Some(last) = self.last else {
            self.last = Some(State { fix: *fix, reckoned: position, usual_offset: EastNorth::new(0.0, 0.0) });
            return position;
        };
        let by_position = minus(position, frame.local_from_latlon(last.fix.position));
        let seconds = (fix.at - last.fix.at).as_seconds_f64();
        let reckoned = if (0.0..=LONGEST_STEP_SECONDS).contains(&seconds) && !self.distrusts_speed {
            plus(last.reckoned, by_speed(&last.fix, fix, seconds))
        } else {
            plus(last.reckoned, by_position)
        };
        let offset = minus(position, reckoned);
        let surprise = minus(offset, last.usual_offset);
        let believable_metres = 4.0 + 4.0 * fix.accuracy_metres;
        let (reckoned, usual_offset) = if seconds > LONGEST_STEP_SECONDS {
            (reckoned, offset)
        } else if surprise.east_metres.hypot(surprise.north_metres) > believable_metres {
            self.distrusts_speed = true;
            let reckoned = plus(last.reckoned, by_position);
            (reckoned, minus(position, reckoned))
        } else {
            let share = (seconds / DRIFT_MEMORY_SECONDS).clamp(0.0, 1.0);
            (
                reckoned,
                plus(last.usual_offset, EastNorth::new(share * surprise.east_metres, share * surprise.north_metres)),
            )
        };
        self.last = Some(State { fix: *fix, reckoned, usual_offset });
        reckoned
    }
}

fn by_speed(from: &Fix, to: &Fix, seconds: f64) -> EastNorth {
    let turn = heading_difference(from.heading_degrees, to.heading_degrees);
    let ahead = direction_of(from.heading_degrees + 0.5 * turn);
    let metres = 0.5 * (from.speed_metres_per_second + to.speed_metres_per_second) * seconds;
    EastNorth::new(metres * ahead.east_metres, metres * ahead.north_metres)
}

fn plus(a: EastNorth, b: EastNorth) -> EastNorth {
    EastNorth::new(a.east_metres + b.east_metres, a.north_metres + b.north_metres)
}

fn minus(a: EastNorth, b: EastNorth) -> EastNorth {
    EastNorth::new(a.east_metres - b.east_metres, a.north_metres - b.north_metres)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::LatLon;
    use proptest::prelude::*;
    use time::macros::datetime;

    const HOME: LatLon = LatLon { lat: 50.0, lon: 8.7 };

    fn fix(seconds: f64, east: f64, north: f64, speed: f64) -> Fix {
        Fix {
            at: datetime!(2026-05-01 10:00 UTC) + time::Duration::seconds_f64(seconds),
            position: LocalFrame::at(HOME).latlon_from_local(EastNorth::new(east, north)),
            speed_metres_per_second: speed,
            heading_degrees: 90.0,
            accuracy_metres: 1.5,
            bridged_millis: 0,
        }
    }

    proptest! {
        #[test]
        fn wandering_positions_do_not_shake_the_way(wander in proptest::collection::vec(-1.5..1.5f64, 2..60)) {
            let (frame, mut motion) = (LocalFrame::at(HOME), Motion::default());
            let mut first = None;
            for (k, off) in wander.iter().enumerate() {
                let t = 0.2 * k as f64;
                let at = motion.advance(&frame, &fix(t, 10.0 * t + off, *off, 10.0));
                let start = *first.get_or_insert(at);
                prop_assert!((at.east_metres - start.east_metres - 10.0 * t).abs() < 0.01);
                prop_assert!((at.north_metres - start.north_metres).abs() < 0.01);
            }
        }

        #[test]
        fn a_receiver_without_speed_is_followed_by_its_positions(step in 0.04..1.0f64) {
            let (frame, mut motion) = (LocalFrame::at(HOME), Motion::default());
            let mut at = EastNorth::new(0.0, 0.0);
            for k in 0..200 {
                at = motion.advance(&frame, &fix(step * f64::from(k), 10.0 * step * f64::from(k), 0.0, 0.0));
            }
            prop_assert!((at.east_metres - 10.0 * step * 199.0).abs() < 25.0, "{at:?}");
        }
    }
}
