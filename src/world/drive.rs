//! A drive along a route: speed by the bends, pose at any time, and what a GNSS receiver would have logged.

use std::time::Duration;

use time::OffsetDateTime;

use crate::edge::fix::Fix;
use crate::geo::{EastNorth, LocalFrame};
use crate::world::dice::Dice;
use crate::world::route::Route;
use crate::world::scene::Pose;

const CRUISE_METRES_PER_SECOND: f64 = 11.0;
const SIDEWAYS_METRES_PER_SECOND_SQUARED: f64 = 2.4;
const BRAKING_METRES_PER_SECOND_SQUARED: f64 = 1.4;
const TABLE_METRES: f64 = 0.5;

/// The antenna's place in vehicle axes, from the point below the camera.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Antenna {
    pub forward_metres: f64,
    pub left_metres: f64,
}

/// How good the positions of a log are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gnss {
    Perfect,
    /// An error that drifts (first-order Gauss–Markov process, each axis by itself), and a time without any fix.
    Noisy {
        seed: u64,
        sigma_metres: f64,
        correlation: Duration,
        outage_at: Duration,
        outage: Duration,
    },
}

impl Gnss {
    /// 1.8 m per axis, a minute's memory, 6 s without a fix from second 35 on.
    #[must_use]
    pub fn noisy(seed: u64) -> Self {
        Self::Noisy {
            seed,
            sigma_metres: 1.8,
            correlation: Duration::from_mins(1),
            outage_at: Duration::from_secs(35),
            outage: Duration::from_secs(6),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Drive {
    route: Route,
    /// Seconds since the start at every [`TABLE_METRES`] of the way.
    seconds: Vec<f64>,
    pub started_at: OffsetDateTime,
    pub duration: Duration,
}

impl Drive {
    /// Starts at the route's first point at cruising speed and goes round until `duration` has passed.
    #[must_use]
    pub fn new(route: &Route, started_at: OffsetDateTime, duration: Duration) -> Self {
        // More way than any drive of that duration needs, and a rest for looking ahead.
        let reach = CRUISE_METRES_PER_SECOND * (duration.as_secs_f64() + 5.0);
        let count = (reach / TABLE_METRES) as usize + 2;
        let mut speed: Vec<f64> = (0..count)
            .map(|k| {
                let bend = route.curvature_at(k as f64 * TABLE_METRES).abs().max(1e-6);
                (SIDEWAYS_METRES_PER_SECOND_SQUARED / bend).sqrt().min(CRUISE_METRES_PER_SECOND)
            })
            .collect();
        let reachable = |from: f64| (from * from + 2.0 * BRAKING_METRES_PER_SECOND_SQUARED * TABLE_METRES).sqrt();
        for k in 1..count {
            speed[k] = speed[k].min(reachable(speed[k - 1]));
        }
        for k in (0..count - 1).rev() {
            speed[k] = speed[k].min(reachable(speed[k + 1]));
        }
        let mut seconds = vec![0.0];
        for k in 1..count {
            seconds.push(seconds[k - 1] + TABLE_METRES / (0.5 * (speed[k - 1] + speed[k])));
        }
        Self { route: route.clone(), seconds, started_at, duration }
    }

    /// Metres driven since the start.
    #[must_use]
    pub fn along_at(&self, elapsed_seconds: f64) -> f64 {
        let k = self.seconds.partition_point(|s| *s <= elapsed_seconds).clamp(1, self.seconds.len() - 1);
        let (a, b) = (self.seconds[k - 1], self.seconds[k]);
        (k as f64 - 1.0 + (elapsed_seconds - a) / (b - a)) * TABLE_METRES
    }

    #[must_use]
    pub fn pose_at(&self, at: OffsetDateTime) -> Pose {
        self.route.at(self.along_at((at - self.started_at).as_seconds_f64()))
    }

    #[must_use]
    pub fn speed_at(&self, at: OffsetDateTime) -> f64 {
        let elapsed = (at - self.started_at).as_seconds_f64();
        (self.along_at(elapsed + 0.05) - self.along_at(elapsed - 0.05)) / 0.1
    }

    /// Fixes of the whole drive, `per_second` of them a second, with one second before and after.
    #[must_use]
    pub fn fixes(&self, frame: &LocalFrame, gnss: Gnss, antenna: Antenna, per_second: u32) -> Vec<Fix> {
        let interval = 1.0 / f64::from(per_second);
        let count = ((self.duration.as_secs_f64() + 2.0) / interval) as i64;
        let mut errors = match gnss {
            Gnss::Perfect => None,
            Gnss::Noisy { seed, sigma_metres, correlation, .. } => {
                Some(Drift::new(sigma_metres, correlation.as_secs_f64(), interval, seed))
            }
        };
        let mut fixes = Vec::new();
        for k in 0..=count {
            let elapsed = k as f64 * interval - 1.0;
            let at = self.started_at + time::Duration::seconds_f64(elapsed);
            let pose = self.pose_at(at);
            let mut place = pose.local_from_vehicle(antenna.forward_metres, antenna.left_metres);
            let (mut heading, mut speed, mut accuracy) = (pose.heading_degrees, self.speed_at(at), 0.02);
            if let (Some(drift), Gnss::Noisy { sigma_metres, outage_at, outage, .. }) = (&mut errors, gnss) {
                let error = drift.next_error();
                place = EastNorth::new(place.east_metres + error.0, place.north_metres + error.1);
                heading = crate::geo::normalise_heading(heading + 0.4 * drift.dice.gauss());
                speed = (speed + 0.05 * drift.dice.gauss()).max(0.0);
                accuracy = sigma_metres;
                if elapsed >= outage_at.as_secs_f64() && elapsed < (outage_at + outage).as_secs_f64() {
                    continue;
                }
            }
            fixes.push(Fix {
                at,
                position: frame.latlon_from_local(place),
                speed_metres_per_second: speed,
                heading_degrees: heading,
                accuracy_metres: accuracy,
                bridged_millis: 0,
            });
        }
        fixes
    }
}

/// First-order Gauss–Markov process on two axes: `x' = a x + sigma sqrt(1 - a²) n`, `a = exp(-interval / correlation)`.
struct Drift {
    sigma: f64,
    keep: f64,
    state: Option<(f64, f64)>,
    dice: Dice,
}

impl Drift {
    fn new(sigma: f64, correlation_seconds: f64, interval_seconds: f64, seed: u64) -> Self {
        Self { sigma, keep: (-interval_seconds / correlation_seconds).exp(), state: None, dice: Dice::new(seed, 40) }
    }

    fn next_error(&mut self) -> (f64, f64) {
        let (east, north) = (self.dice.gauss() * self.sigma, self.dice.gauss() * self.sigma);
        let fresh = (1.0 - self.keep * self.keep).sqrt();
        let next =
            self.state.map_or((east, north), |s| (self.keep * s.0 + fresh * east, self.keep * s.1 + fresh * north));
        self.state = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::split::Split;
    use crate::world::town::Town;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-05-04 08:00 UTC);

    fn errors(seed: u64, seconds: u64) -> Vec<f64> {
        let mut drift = Drift::new(1.8, 60.0, 0.2, seed);
        (0..seconds * 5)
            .flat_map(|_| {
                let e = drift.next_error();
                [e.0, e.1]
            })
            .collect()
    }

    #[test]
    fn noise_has_the_stated_sigma_and_memory() {
        let all: Vec<f64> = (0..400).flat_map(|seed| errors(seed, 60)).collect();
        let sigma = (all.iter().map(|e| e * e).sum::<f64>() / all.len() as f64).sqrt();
        assert!((sigma - 1.8).abs() < 0.09, "{sigma}");
        // After one correlation time 1/e of it is left.
        let (mut product, mut square) = (0.0, 0.0);
        for seed in 0..400 {
            let east: Vec<f64> = errors(seed, 90).into_iter().step_by(2).collect();
            for pair in east.windows(301) {
                product += pair[0] * pair[300];
                square += pair[0] * pair[0];
            }
        }
        assert!((product / square - (-1.0f64).exp()).abs() < 0.08, "{}", product / square);
    }

    #[test]
    fn the_noisy_log_has_an_outage_and_the_perfect_one_lies_on_the_way() {
        let town = Town::generate(3, Split::Test);
        let drive = Drive::new(&town.route, START, Duration::from_secs(60));
        let perfect = drive.fixes(&town.frame, Gnss::Perfect, Antenna::default(), 5);
        for fix in &perfect {
            let off = town.frame.local_from_latlon(fix.position).distance_metres(drive.pose_at(fix.at).position);
            assert!(off < 1e-6, "{off}");
            assert!(fix.speed_metres_per_second > 3.0 && fix.speed_metres_per_second < 14.0, "{fix:?}");
        }
        let noisy = drive.fixes(&town.frame, Gnss::noisy(1), Antenna::default(), 5);
        let longest = noisy.windows(2).map(|w| (w[1].at - w[0].at).as_seconds_f64()).fold(0.0, f64::max);
        assert!((longest - 6.2).abs() < 0.01, "{longest}");
        assert_eq!(perfect.len() - noisy.len(), 30);
    }

    #[test]
    fn the_drive_is_smooth_and_passes_its_start_again() {
        let town = Town::generate(3, Split::Test);
        let drive = Drive::new(&town.route, START, Duration::from_secs(60));
        let mut turned: f64 = 0.0;
        for k in 0..1500 {
            let at = START + time::Duration::seconds_f64(f64::from(k) * 0.04);
            let (a, b) = (drive.pose_at(at), drive.pose_at(at + time::Duration::milliseconds(40)));
            assert!(a.position.distance_metres(b.position) < 0.6);
            turned = turned.max(crate::geo::heading_difference(a.heading_degrees, b.heading_degrees).abs());
        }
        assert!(turned < 2.5, "{turned}° in one frame");
        assert!(drive.along_at(60.0) > town.route.length_metres() + 60.0);
    }
}
