//! Coverage: which road was driven, and how much of it could be judged.
//!
//! Metres are counted from look to look and end up in *stretches*: one cell of about 100 m, one direction. A stretch ends where
//! its cell does or where the vehicle turns off. Edges of cells are the same for every vehicle, so where a stretch ends there
//! tells nothing; only turning, and where a pass begins and ends, do. Which section of which street it was is for the town's
//! side to find: there is no street network here. Nor is it known here what a road is paved with, so paving that cannot be
//! graded is no reason that a device gives.
//!
//! Privacy:
//! - Standing ends no stretch, so none tells where somebody stopped.
//! - Where nothing may be recorded (a zone, a switch) nothing is told of the whole cell, before and after, so that the edge of
//!   the zone and the moment of the switch cannot be read out of stretches that end there.
//! - A road that was driven with a blind camera through and through is not told: it would be a mark that follows this
//!   vehicle from cell to cell. That the camera is blind, the device tells by itself.
//! - What was told already within the hour is not told again unless more of it could be judged; this memory is of one hour, in
//!   memory alone.
//!
//! Pure: a state machine over looks, in order of time; what time it is comes with each fix.

mod policy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use time::OffsetDateTime;

pub use self::policy::CoveragePolicy;
use crate::clock::hour_of;
use crate::edge::cell::{Cell, crossings};
use crate::edge::fix::{Fix, STANDSTILL_METRES_PER_SECOND};
use crate::geo::{EastNorth, LatLon, LocalFrame, direction_of, distance_metres, heading_difference, normalise_heading};
use crate::schema::Unusable;

/// Shorter ones are noise of the receiver at a corner of a cell.
pub const MIN_STRETCH_METRES: f64 = 10.0;
/// So far beyond the edge of a cell the vehicle has left it; less is a street along the edge.
const SURELY_BEYOND_METRES: f64 = 15.0;
/// Another direction is another stretch: the straight line between its ends would cut the corner.
const TURN_DEGREES: f64 = 45.0;
/// Two looks within so long say what lies between them, if it is not too far.
const MAX_LOOK_GAP_SECONDS: f64 = 3.0;
/// Looks of several cameras, and of the time when no frame came, are out of order by no more than this.
const LATE_LOOKS: time::Duration = time::Duration::seconds(2);
/// After a longer outage nobody knows which way was taken.
const MAX_OUTAGE_SECONDS: f64 = 30.0;
/// The way between two fixes may differ so much from what their speeds lead to expect, and by so many metres beside it.
const EXPECTED_SHARE: f64 = 0.3;
const EXPECTED_SLACK_METRES: f64 = 10.0;
/// Ends no further apart belong to the same piece of road; less to judge than this is no news.
const SAME_END_METRES: f64 = 25.0;
const MORE_METRES: f64 = 10.0;

/// What was driven within one cell in one direction; exact, and never sent like this (see `edge::report`).
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    pub cell: Cell,
    pub from: LatLon,
    pub to: LatLon,
    /// Of travel, on average.
    pub heading_degrees: f64,
    pub usable_metres: f64,
    pub unusable: BTreeMap<Unusable, f64>,
    /// The worst on the way, one sigma.
    pub accuracy_metres: f64,
    /// When it was driven last, not when it was closed.
    pub driven_at: OffsetDateTime,
}

impl Stretch {
    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.usable_metres + self.unusable.values().sum::<f64>()
    }

    /// Whether nothing was seen and the camera was to blame.
    fn was_blind(&self) -> bool {
        self.usable_metres <= 0.0 && self.unusable.contains_key(&Unusable::Lens)
    }

    /// Whether this one is news to somebody who knows `told`.
    fn adds_to(&self, told: &Self) -> bool {
        let same = self.cell == told.cell
            && heading_difference(self.heading_degrees, told.heading_degrees).abs() < TURN_DEGREES
            && distance_metres(self.from, told.from) < SAME_END_METRES
            && distance_metres(self.to, told.to) < SAME_END_METRES;
        !same || self.usable_metres > told.usable_metres + MORE_METRES
    }
}

/// Part of the way between two looks within one cell.
struct Piece {
    cell: Cell,
    from: LatLon,
    to: LatLon,
    heading_degrees: f64,
    metres: f64,
    usable: Result<(), Unusable>,
    accuracy_metres: f64,
    at: OffsetDateTime,
}

/// A stretch that goes on.
#[derive(Debug)]
struct Open {
    stretch: Stretch,
    /// Sum over the way; its direction is the mean one.
    way: EastNorth,
}

impl Open {
    fn begin(piece: &Piece) -> Self {
        let stretch = Stretch {
            cell: piece.cell,
            from: piece.from,
            to: piece.from,
            heading_degrees: piece.heading_degrees,
            usable_metres: 0.0,
            unusable: BTreeMap::new(),
            accuracy_metres: 0.0,
            driven_at: piece.at,
        };
        let mut open = Self { stretch, way: EastNorth::new(0.0, 0.0) };
        open.add(piece);
        open
    }

    fn add(&mut self, piece: &Piece) {
        let stretch = &mut self.stretch;
        match piece.usable {
            Ok(()) => stretch.usable_metres += piece.metres,
            Err(why) => *stretch.unusable.entry(why).or_default() += piece.metres,
        }
        let ahead = direction_of(piece.heading_degrees);
        self.way.east_metres += piece.metres * ahead.east_metres;
        self.way.north_metres += piece.metres * ahead.north_metres;
        stretch.heading_degrees = heading_of(self.way);
        stretch.to = piece.to;
        stretch.accuracy_metres = stretch.accuracy_metres.max(piece.accuracy_metres);
        stretch.driven_at = piece.at;
    }

    /// What was driven just beyond the edge counts here after all.
    fn absorb(&mut self, beyond: Self) {
        let (stretch, other) = (&mut self.stretch, beyond.stretch);
        stretch.usable_metres += other.usable_metres;
        for (why, metres) in other.unusable {
            *stretch.unusable.entry(why).or_default() += metres;
        }
        self.way.east_metres += beyond.way.east_metres;
        self.way.north_metres += beyond.way.north_metres;
        stretch.heading_degrees = heading_of(self.way);
        stretch.to = other.to;
        stretch.accuracy_metres = stretch.accuracy_metres.max(other.accuracy_metres);
        stretch.driven_at = other.driven_at;
    }

    fn turns_off(&self, piece: &Piece) -> bool {
        heading_difference(self.stretch.heading_degrees, piece.heading_degrees).abs() > TURN_DEGREES
    }
}

fn heading_of(way: EastNorth) -> f64 {
    normalise_heading(way.east_metres.atan2(way.north_metres).to_degrees())
}

/// Whether the cell in which the vehicle is may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    None,
    /// Nothing is recorded; what comes next lies in a cell of which nothing is told.
    UntilNextFix,
    In(Cell),
}

/// Follows one vehicle.
#[derive(Debug)]
pub struct Coverage {
    policy: CoveragePolicy,
    last: Option<Fix>,
    /// A look since the last fix had none.
    was_lost: bool,
    open: Option<Open>,
    /// The vehicle may have left the open stretch's cell for this one, or drive along the edge.
    beyond: Option<Open>,
    silence: Silence,
    /// Within the hour of the last of them.
    told: Vec<Stretch>,
}

impl Coverage {
    #[must_use]
    pub fn new(policy: CoveragePolicy) -> Self {
        let (last, open, beyond, told) = (None, None, None, Vec::new());
        Self { policy, last, was_lost: false, open, beyond, silence: Silence::None, told }
    }

    /// One look at the road: where the vehicle was and whether the picture could be judged, as [`CoveragePolicy::usable`] says.
    /// Comes with each frame that was judged, and about once a second while no frame comes. Gives the stretches that are
    /// complete.
    pub fn see(&mut self, fix: Option<&Fix>, usable: Result<(), Unusable>) -> Vec<Stretch> {
        let Some(fix) = fix.filter(|fix| fix.accuracy_metres <= self.policy.max_accuracy_metres) else {
            self.was_lost = true;
            return Vec::new();
        };
        if self.silence == Silence::UntilNextFix {
            self.silence = Silence::In(Cell::of(fix.position));
        }
        let mut done = Vec::new();
        let was_lost = std::mem::take(&mut self.was_lost);
        match self.last {
            // Cameras differ in latency: a look of a little before adds nothing to what was looked at since.
            Some(last) if fix.at <= last.at && last.at - fix.at <= LATE_LOOKS => return done,
            Some(last) if is_standing(&last, fix) => {
                // The receiver wanders, the vehicle does not.
                self.last = Some(Fix { position: last.position, ..*fix });
                return done;
            }
            Some(last) if is_plausible(&last, fix) => {
                let usable = self.between(&last, fix, usable, was_lost);
                for piece in pieces(&last, fix, usable) {
                    self.add(&piece, &mut done);
                }
            }
            // A jump, an outage of which nobody knows where it led, or a clock that leaped.
            Some(_) => self.close(&mut done),
            None => {}
        }
        self.last = Some(*fix);
        done
    }

    /// Nothing may be recorded at this moment: of the cell it began in nothing is told either.
    pub fn not_recorded(&mut self) {
        (self.last, self.open, self.beyond, self.was_lost) = (None, None, None, false);
        self.silence = Silence::UntilNextFix;
    }

    /// The pass ends.
    pub fn finish(&mut self) -> Vec<Stretch> {
        let mut done = Vec::new();
        self.close(&mut done);
        (self.last, self.was_lost) = (None, false);
        done
    }

    /// Whether what lies between two looks could be judged.
    fn between(&self, last: &Fix, fix: &Fix, usable: Result<(), Unusable>, was_lost: bool) -> Result<(), Unusable> {
        let far = distance_metres(last.position, fix.position) > self.policy.max_metres_between_looks;
        if far && was_lost {
            return Err(Unusable::NoFix);
        }
        usable?;
        let fast = fix.speed_metres_per_second * 3.6 > self.policy.max_kilometres_per_hour;
        if far || fast { Err(Unusable::Speed) } else { Ok(()) }
    }

    fn add(&mut self, piece: &Piece, done: &mut Vec<Stretch>) {
        let Some(open) = &mut self.open else {
            self.open = Some(Open::begin(piece));
            return;
        };
        if open.turns_off(piece) {
            self.close(done);
            self.open = Some(Open::begin(piece));
            return;
        }
        match self.beyond.take() {
            Some(beyond) if open.stretch.cell == piece.cell => {
                open.absorb(beyond);
                open.add(piece);
            }
            None if open.stretch.cell == piece.cell => open.add(piece),
            Some(mut beyond) if beyond.stretch.cell == piece.cell => {
                beyond.add(piece);
                self.beyond = Some(beyond);
            }
            Some(corner) => {
                open.absorb(corner);
                self.beyond = Some(Open::begin(piece));
            }
            None => self.beyond = Some(Open::begin(piece)),
        }
        if self.beyond.as_ref().is_some_and(|beyond| beyond.stretch.length_metres() >= SURELY_BEYOND_METRES)
            && let Some(left) = std::mem::replace(&mut self.open, self.beyond.take())
        {
            self.tell(left, done);
        }
    }

    fn close(&mut self, done: &mut Vec<Stretch>) {
        let Some(mut open) = self.open.take() else { return };
        if let Some(beyond) = self.beyond.take() {
            open.absorb(beyond);
        }
        self.tell(open, done);
    }

    fn tell(&mut self, open: Open, done: &mut Vec<Stretch>) {
        let stretch = open.stretch;
        match self.silence {
            Silence::In(cell) if cell == stretch.cell => return,
            Silence::In(_) => self.silence = Silence::None,
            Silence::None | Silence::UntilNextFix => {}
        }
        if stretch.length_metres() < MIN_STRETCH_METRES || stretch.was_blind() {
            return;
        }
        let hour = hour_of(stretch.driven_at);
        self.told.retain(|told| hour_of(told.driven_at) == hour);
        if self.told.iter().all(|told| stretch.adds_to(told)) {
            self.told.push(stretch.clone());
            done.push(stretch);
        }
    }
}

fn is_standing(last: &Fix, fix: &Fix) -> bool {
    let seconds = (fix.at - last.at).as_seconds_f64();
    fix.speed_metres_per_second < STANDSTILL_METRES_PER_SECOND && (0.0..=MAX_LOOK_GAP_SECONDS).contains(&seconds)
}

/// Whether the straight way from one fix to the next is the one that was driven.
fn is_plausible(last: &Fix, fix: &Fix) -> bool {
    let seconds = (fix.at - last.at).as_seconds_f64();
    if !(0.0..=MAX_OUTAGE_SECONDS).contains(&seconds) {
        return false;
    }
    let metres = distance_metres(last.position, fix.position);
    let expected = 0.5 * (last.speed_metres_per_second + fix.speed_metres_per_second) * seconds;
    let slack = EXPECTED_SHARE * expected + EXPECTED_SLACK_METRES;
    metres <= expected + slack
        && (seconds <= MAX_LOOK_GAP_SECONDS || metres >= expected - slack && is_straight(last, fix))
}

/// Whether the vehicle drove towards the next fix before and after.
fn is_straight(last: &Fix, fix: &Fix) -> bool {
    let way = LocalFrame::at(last.position).local_from_latlon(fix.position);
    [last, fix].iter().all(|fix| heading_difference(heading_of(way), fix.heading_degrees).abs() <= TURN_DEGREES)
}

fn pieces(last: &Fix, fix: &Fix, usable: Result<(), Unusable>) -> Vec<Piece> {
    let (from, to) = (last.position, fix.position);
    let whole_metres = distance_metres(from, to);
    let at = |share: f64| {
        let mix = |a: f64, b: f64| a + share * (b - a);
        LatLon { lat: mix(from.lat, to.lat), lon: mix(from.lon, to.lon) }
    };
    let mut ends = vec![0.0];
    ends.extend(crossings(from, to));
    ends.push(1.0);
    let piece = |pair: &[f64]| Piece {
        cell: Cell::of(at(0.5 * (pair[0] + pair[1]))),
        from: at(pair[0]),
        to: at(pair[1]),
        heading_degrees: fix.heading_degrees,
        metres: (pair[1] - pair[0]) * whole_metres,
        usable,
        accuracy_metres: last.accuracy_metres.max(fix.accuracy_metres),
        at: fix.at,
    };
    ends.windows(2).map(piece).filter(|piece| piece.metres > 0.0).collect()
}
