//! Which fixes of a receiver are believed. Pure: the present is an argument.
//!
//! A fix is refused when its accuracy is worse than the limit; when it is older, or further in the future, than the age
//! limit; when its time is not after the last one's; and when the place cannot have been reached: further away than the
//! faster of both speeds, an acceleration of [`ACCELERATION`] and three sigma of both accuracies explain, or faster than
//! the speed limit whatever the receiver says of its speed. A vehicle that stands still is thus held within about 15 m.
//!
//! Refused places and times may be the truth: after a tunnel, after a receiver has restarted. [`CONFIRMATIONS`] fixes
//! that follow each other in time and in reach over [`CONFIRMED_OVER`], with none in between that fits the old way, are
//! accepted as a new start.

use time::{Duration, OffsetDateTime};

use super::{Fix, RawFix, STANDSTILL_METRES_PER_SECOND};
use crate::geo::{LatLon, LocalFrame, distance_metres, normalise_heading};

/// What a vehicle in traffic gains at most, m/s².
const ACCELERATION: f64 = 4.0;
const SIGMAS: f64 = 3.0;
const CONFIRMATIONS: u32 = 5;
const CONFIRMED_OVER: Duration = Duration::seconds(3);
/// Fixes further apart do not confirm each other.
const CONFIRMED_WITHIN: Duration = Duration::seconds(10);
/// A speed is taken from the way between two fixes when they are no further apart.
const SPEED_OVER: Duration = Duration::seconds(5);

pub const DEFAULT_MAX_ACCURACY_METRES: f64 = 15.0;
pub const DEFAULT_MAX_AGE_MILLIS: u64 = 5000;
pub const DEFAULT_MAX_SPEED_METRES_PER_SECOND: f64 = 50.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// One sigma per axis.
    pub max_accuracy_metres: f64,
    pub max_age_millis: u64,
    pub max_speed_metres_per_second: f64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            max_accuracy_metres: DEFAULT_MAX_ACCURACY_METRES,
            max_age_millis: DEFAULT_MAX_AGE_MILLIS,
            max_speed_metres_per_second: DEFAULT_MAX_SPEED_METRES_PER_SECOND,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Accuracy,
    Age,
    /// Before the last fix.
    Time,
    /// The last fix's time again.
    Repeated,
    Jump,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Accepted {
        fix: Fix,
        /// What came before does not lead here.
        new_start: bool,
        /// False before the vehicle has moved: then the fix says where, but not whereto.
        heading_known: bool,
    },
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Gate {
    settings: GateSettings,
    last: Option<Place>,
    heading_degrees: Option<f64>,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: OffsetDateTime,
    position: LatLon,
    speed_metres_per_second: Option<f64>,
    accuracy_metres: f64,
}

/// A new start that is not confirmed yet.
#[derive(Debug)]
struct Candidate {
    since: OffsetDateTime,
    last: Place,
    count: u32,
}

impl Gate {
    pub(super) fn new(settings: GateSettings) -> Self {
        Self { settings, last: None, heading_degrees: None, candidate: None }
    }

    /// `now` is the present in GNSS time.
    pub(super) fn judge(&mut self, raw: &RawFix, now: OffsetDateTime) -> Verdict {
        let place = Place {
            at: raw.at,
            position: raw.position,
            speed_metres_per_second: raw.speed_metres_per_second.filter(|speed| speed.is_finite() && *speed >= 0.0),
            accuracy_metres: raw.accuracy_metres(),
        };
        // Written so that an accuracy that is no number is refused.
        let accurate = (0.0..=self.settings.max_accuracy_metres).contains(&place.accuracy_metres);
        if !accurate {
            return Verdict::Refused(Refusal::Accuracy);
        }
        let max_age = Duration::milliseconds(i64::try_from(self.settings.max_age_millis).unwrap_or(i64::MAX));
        if (now - raw.at).abs() > max_age {
            return Verdict::Refused(Refusal::Age);
        }
        let doubt = self.last.and_then(|last| match raw.at.cmp(&last.at) {
            std::cmp::Ordering::Equal => Some(Refusal::Repeated),
            std::cmp::Ordering::Less => Some(Refusal::Time),
            std::cmp::Ordering::Greater if self.reaches(&last, &place) => None,
            std::cmp::Ordering::Greater => Some(Refusal::Jump),
        });
        match doubt {
            None => self.accept(raw, place, false),
            Some(Refusal::Repeated) => Verdict::Refused(Refusal::Repeated),
            Some(_) if self.confirms(place) => self.accept(raw, place, true),
            Some(refusal) => Verdict::Refused(refusal),
        }
    }

    fn reaches(&self, from: &Place, to: &Place) -> bool {
        let seconds = (to.at - from.at).as_seconds_f64();
        let fastest = match (from.speed_metres_per_second, to.speed_metres_per_second) {
            (Some(a), Some(b)) => a.max(b) + 0.5 * ACCELERATION * seconds,
            _ => f64::INFINITY,
        };
        let way = fastest.min(self.settings.max_speed_metres_per_second) * seconds;
        let error = SIGMAS * from.accuracy_metres.hypot(to.accuracy_metres);
        distance_metres(from.position, to.position) <= way + error
    }

    /// Takes a doubtful place as one more step of a new way; true when there are enough.
    fn confirms(&mut self, place: Place) -> bool {
        let (since, count) = match &self.candidate {
            Some(candidate)
                if place.at > candidate.last.at
                    && place.at - candidate.last.at <= CONFIRMED_WITHIN
                    && self.reaches(&candidate.last, &place) =>
            {
                (candidate.since, candidate.count + 1)
            }
            _ => (place.at, 1),
        };
        self.candidate = Some(Candidate { since, last: place, count });
        count >= CONFIRMATIONS && place.at - since >= CONFIRMED_OVER
    }

    fn accept(&mut self, raw: &RawFix, place: Place, new_start: bool) -> Verdict {
        let before = self.last.filter(|last| !new_start && place.at - last.at <= SPEED_OVER);
        let way = before.map(|before| {
            let moved = LocalFrame::at(before.position).local_from_latlon(place.position);
            let metres = moved.east_metres.hypot(moved.north_metres);
            let course = normalise_heading(moved.east_metres.atan2(moved.north_metres).to_degrees());
            (metres / (place.at - before.at).as_seconds_f64(), course)
        });
        let speed = place.speed_metres_per_second.or(way.map(|(speed, _)| speed)).unwrap_or(0.0);
        let stated = raw.course_degrees.filter(|course| course.is_finite()).map(normalise_heading);
        if speed >= STANDSTILL_METRES_PER_SECOND {
            self.heading_degrees = stated.or(way.map(|(_, course)| course)).or(self.heading_degrees);
        }
        // A receiver that says a course at standstill before anything moved knows it from before it was asked.
        let heading = self.heading_degrees.or(stated);
        self.last = Some(place);
        self.candidate = None;
        let fix = Fix {
            at: place.at,
            position: place.position,
            speed_metres_per_second: speed.min(self.settings.max_speed_metres_per_second),
            heading_degrees: heading.unwrap_or(0.0),
            accuracy_metres: place.accuracy_metres,
            bridged_millis: 0,
        };
        Verdict::Accepted { fix, new_start, heading_known: heading.is_some() }
    }
}

#[cfg(test)]
mod tests;
