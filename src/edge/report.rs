//! From a sighting to what the town may know of it.
//!
//! Privacy: the payload names no time finer than the hour and no vehicle. A [`PassTag`] tells the town which sightings
//! belong to one pass, because two sightings of one pass are never the same damage; it does so only within one cell of
//! about 100 m, so that tags of neighbouring cells cannot be joined into a track. The tag is the start of
//! SHA-256(pass id ‖ cell ‖ start of the visit); whoever does not know the device's pass id can neither compute nor link tags.
//!
//! Coverage is told in the same cells under the same tags, see [`Reporter::coverage`].
//!
//! Sizes, scores, directions and covariances are rounded to what matters on a road: further digits would be a fingerprint of
//! this vehicle's camera and receiver. What vehicles of a town have in common cannot tell them apart; one with another camera or
//! another model can be told from the others by it.
//!
//! A restart in the middle of a pass, at a traffic light perhaps, shows again what stands before the vehicle. [`Memory`] is
//! what the next run must know so that this stays one pass and is not reported twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::clock::hour_of;
use crate::edge::cell::Cell;
use crate::edge::coverage::Stretch;
use crate::edge::judge::road::{Sighting, accuracy_class_metres};
use crate::geo::{Covariance, EastNorth, LatLon, LocalFrame, distance_metres, normalise_heading};
use crate::schema::{DamageClass, ModelRef, Ordinal, PassTag, RoadCoverage, RoadDamage};

/// Random secret of one pass of a device, which is one run of it unless a restart interrupts the pass; kept on the device,
/// never sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassId(String);

impl PassId {
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Any text that is not empty: replays name their passes.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| Self(text.trim().to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not printed: logs are kept longer than passes.
impl fmt::Debug for PassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassId(…)")
    }
}

/// Coming back to a cell after so long is another visit, and running again after so long another pass.
pub const ABSENCE: Duration = Duration::from_secs(30);
/// Longer than anything that was seen in a cell waits to be told.
const VISITS_KEPT: time::Duration = time::Duration::minutes(10);
/// For so long after a restart the vehicle may still stand before what was reported until then.
const STILL_THERE: Duration = Duration::from_secs(120);
/// So far apart may two runs place the same thing, beyond half its length.
const SAME_PLACE_METRES: f64 = 1.5;

/// Secret of a device for the ordinals of one batch; see [`Ordinal`]. Kept with the pass, so that a run that begins in the
/// same hour goes on with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct BatchSecret(String);

impl BatchSecret {
    /// Of the first pass of its hour: as secret as that, and the same when a recording is read again.
    fn of(pass_id: &PassId) -> Self {
        let digest = Sha256::digest(format!("batch|{}", pass_id.0).as_bytes());
        Self(digest.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}")))
    }

    /// The same for all that lies in one cell and one hour.
    fn ordinal(&self, cell: Cell, at: OffsetDateTime) -> Ordinal {
        let secret = format!("{}|{cell}|{}", self.0, hour_of(at).unix_timestamp());
        let digest = Sha256::digest(secret.as_bytes());
        Ordinal(u32::from_be_bytes(std::array::from_fn(|k| digest[k])))
    }
}

/// Not printed, like a pass's id.
impl fmt::Debug for BatchSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchSecret(…)")
    }
}

/// Rounded to a multiple of `step`: digits that mean nothing on a road would be a fingerprint of camera and receiver.
fn to_step(value: f64, step: f64) -> f64 {
    let steps = (value / step).round();
    // Divided by a whole number where there is one, so that 0.07 is written as 0.07.
    steps / (1.0 / step)
}

/// Metres of coverage are told in steps of so much.
const COVERAGE_STEP_METRES: f64 = 5.0;
/// So far, at most, an end of a stretch is moved in each direction before it is rounded: where on the width of the road a
/// receiver places its vehicle is its own for minutes, and would lead from one stretch to the next.
const END_BLUR_METRES: f64 = 4.0;
/// One sigma of blur and rounding together: two uniform errors, of ±4 m and of ±2.8 m.
const END_SIGMA_METRES: f64 = 2.8;

/// The covariance in steps of 0.05 m², never smaller than it was: the variances go up, the correlation towards none.
fn coarse(covariance: Covariance) -> Covariance {
    let up = |value: f64| (value * 20.0).ceil() / 20.0;
    Covariance {
        east_east: up(covariance.east_east),
        // Never minus nought.
        east_north: (covariance.east_north * 20.0).trunc() / 20.0 + 0.0,
        north_north: up(covariance.north_north),
    }
}

/// What a run leaves to the next one: it reaches back no further than [`STILL_THERE`], so it is no track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pass_id: PassId,
    batch_secret: BatchSecret,
    #[serde(with = "time::serde::rfc3339")]
    last_frame_at: OffsetDateTime,
    visits: Vec<(Cell, Visit)>,
    reported: Vec<Reported>,
}

impl Memory {
    #[must_use]
    pub fn pass_id(&self) -> &PassId {
        &self.pass_id
    }

    /// Whether a frame of this time belongs to the same pass. One of an earlier time does not: its drive is another one.
    #[must_use]
    pub fn goes_on_at(&self, frame_at: OffsetDateTime) -> bool {
        let away = frame_at - self.last_frame_at;
        !away.is_negative() && away < ABSENCE
    }

    /// Whether a frame of this time is of the same hour.
    #[must_use]
    pub fn is_of_the_hour(&self, frame_at: OffsetDateTime) -> bool {
        hour_of(self.last_frame_at) == hour_of(frame_at)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Visit {
    #[serde(with = "time::serde::rfc3339")]
    began_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_at: OffsetDateTime,
}

/// A sighting that was reported, as far as it takes to know it again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reported {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    class: DamageClass,
    position: LatLon,
    length_metres: f64,
}

impl Reported {
    fn is_same_thing(&self, sighting: &Sighting) -> bool {
        let reach_metres = SAME_PLACE_METRES + 0.5 * self.length_metres.max(sighting.length_metres);
        self.class.same_group(sighting.class) && distance_metres(self.position, sighting.position) <= reach_metres
    }
}

/// Turns the sightings of one run into payloads.
#[derive(Debug)]
pub struct Reporter {
    pass_id: PassId,
    batch_secret: BatchSecret,
    model: ModelRef,
    simulated: bool,
    visits: HashMap<Cell, Visit>,
    /// Of this run.
    reported: Vec<Reported>,
    /// Of the runs before it; each is met again once at most.
    reported_before: Vec<Reported>,
}

impl Reporter {
    #[must_use]
    pub fn new(pass_id: PassId, model: ModelRef, simulated: bool) -> Self {
        let (visits, reported, reported_before) = (HashMap::new(), Vec::new(), Vec::new());
        let batch_secret = BatchSecret::of(&pass_id);
        Self { pass_id, batch_secret, model, simulated, visits, reported, reported_before }
    }

    /// Goes on with the pass of an earlier run.
    #[must_use]
    pub fn resume(memory: Memory, model: ModelRef, simulated: bool) -> Self {
        Self {
            visits: memory.visits.into_iter().collect(),
            reported_before: memory.reported,
            batch_secret: memory.batch_secret,
            ..Self::new(memory.pass_id, model, simulated)
        }
    }

    /// Another pass, but in the same hour as the one that `memory` is of: what both see in one cell has the same ordinal.
    #[must_use]
    pub fn in_batch_of(self, memory: Memory) -> Self {
        Self { batch_secret: memory.batch_secret, ..self }
    }

    /// See [`Ordinal`].
    #[must_use]
    pub fn ordinal(&self, position: LatLon, at: OffsetDateTime) -> Ordinal {
        self.batch_secret.ordinal(Cell::of(position), at)
    }

    /// What the next run must know when this one ends after the frame of `last_frame_at`.
    #[must_use]
    pub fn memory(&self, last_frame_at: OffsetDateTime) -> Memory {
        let lately = |at: OffsetDateTime| last_frame_at - at < ABSENCE;
        let mut visits: Vec<(Cell, Visit)> = self
            .visits
            .iter()
            .filter(|(_, visit)| lately(visit.last_at))
            .map(|(cell, visit)| (*cell, *visit))
            .collect();
        visits.sort_by_key(|(cell, _)| *cell);
        let still_there = self.reported_before.iter().filter(|reported| last_frame_at - reported.at < STILL_THERE);
        let reported =
            still_there.chain(self.reported.iter().filter(|reported| lately(reported.at))).copied().collect();
        let (pass_id, batch_secret) = (self.pass_id.clone(), self.batch_secret.clone());
        Memory { pass_id, batch_secret, last_frame_at, visits, reported }
    }

    /// The payload of a sighting that was completed at `now`; `None` when an earlier run of this pass has reported it.
    /// Sightings come in the order in which the vehicle passed them.
    pub fn draft(&mut self, sighting: &Sighting, now: OffsetDateTime) -> Option<RoadDamage> {
        self.reported_before.retain(|reported| now - reported.at < STILL_THERE);
        if let Some(known) = self.reported_before.iter().position(|reported| reported.is_same_thing(sighting)) {
            self.reported_before.remove(known);
            return None;
        }
        let (class, position, length_metres) = (sighting.class, sighting.position, sighting.length_metres);
        self.reported.retain(|reported| now - reported.at < ABSENCE);
        self.reported.push(Reported { at: now, class, position, length_metres });
        Some(RoadDamage {
            class,
            score: to_step(f64::from(sighting.score.clamp(0.0, 1.0)), 0.01) as f32,
            position,
            position_covariance: coarse(sighting.position_covariance),
            heading_degrees: to_step(sighting.heading_degrees, 1.0),
            length_metres: to_step(length_metres, 0.01),
            width_metres: to_step(sighting.width_metres, 0.01),
            area_square_metres: to_step(sighting.area_square_metres, 0.01),
            calibrated: sighting.calibrated,
            pass: self.tag(Cell::of(position), sighting.best_seen_at),
            frames_seen: sighting.frames_seen,
            model: self.model.clone(),
            simulated: self.simulated,
            has_evidence: sighting.picture.is_ok(),
        })
    }

    /// The payload of a stretch: its ends are blurred and drawn into squares of its cell, its lengths rounded.
    pub fn coverage(&mut self, stretch: &Stretch, calibrated: bool) -> RoadCoverage {
        let steps = |metres: f64| to_step(metres, COVERAGE_STEP_METRES);
        let mut unusable: BTreeMap<_, _> =
            stretch.unusable.iter().map(|(why, metres)| (*why, steps(*metres))).collect();
        unusable.retain(|_, metres| *metres > 0.0);
        let usable_metres = steps(stretch.usable_metres);
        let accuracy_metres = accuracy_class_metres(stretch.accuracy_metres).hypot(END_SIGMA_METRES);
        RoadCoverage {
            from: self.blurred(stretch, stretch.from, "from"),
            to: self.blurred(stretch, stretch.to, "to"),
            accuracy_metres: to_step(accuracy_metres, 0.5),
            heading_degrees: normalise_heading(to_step(stretch.heading_degrees, 5.0)),
            length_metres: usable_metres + unusable.values().sum::<f64>(),
            usable_metres,
            unusable,
            calibrated,
            model: self.model.clone(),
            simulated: self.simulated,
            pass: self.tag(stretch.cell, stretch.driven_at),
        }
    }

    /// By dice that only the pass knows: another time at the same place is moved another way.
    fn blurred(&self, stretch: &Stretch, position: LatLon, end: &str) -> LatLon {
        let driven_at = stretch.driven_at.unix_timestamp_nanos();
        let secret = format!("{end}|{}|{}|{driven_at}", self.pass_id.as_str(), stretch.cell);
        let digest = Sha256::digest(secret.as_bytes());
        let moved = |at: usize| {
            let share = f64::from(u16::from_be_bytes([digest[at], digest[at + 1]])) / f64::from(u16::MAX);
            (2.0 * share - 1.0) * END_BLUR_METRES
        };
        let frame = LocalFrame::at(position);
        stretch.cell.square_at(frame.latlon_from_local(EastNorth::new(moved(0), moved(2))))
    }

    fn tag(&mut self, cell: Cell, at: OffsetDateTime) -> PassTag {
        // All cells of a pass with their times would be a track.
        let newest = self.visits.values().map(|visit| visit.last_at).fold(at, OffsetDateTime::max);
        self.visits.retain(|_, visit| newest - visit.last_at < VISITS_KEPT);
        let visit = self.visits.entry(cell).or_insert(Visit { began_at: at, last_at: at });
        if at - visit.last_at >= ABSENCE {
            visit.began_at = at;
        }
        visit.last_at = visit.last_at.max(at);
        let began_at = visit.began_at.unix_timestamp_nanos();
        let secret = format!("{}|{cell}|{began_at}", self.pass_id.as_str());
        let digest = Sha256::digest(secret.as_bytes());
        PassTag(format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|k| digest[k]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::mask::NoPicture;
    use crate::geo::Covariance;
    use crate::schema::{DamageClass, Unusable};
    use time::macros::datetime;

    fn sighting(lat: f64, at: OffsetDateTime) -> Sighting {
        Sighting {
            class: DamageClass::Pothole,
            score: 0.7,
            position: LatLon { lat, lon: 8.00075 },
            position_covariance: Covariance::isotropic(1.0),
            heading_degrees: 0.0,
            length_metres: 1.0,
            width_metres: 1.0,
            area_square_metres: 0.8,
            calibrated: true,
            frames_seen: 3,
            best_seen_at: at,
            picture: Err(NoPicture::NotInSight),
        }
    }

    fn reporter(pass: &str) -> Reporter {
        let model = ModelRef { name: "road".into(), version: "1".into(), sha256: "00".into(), trial_operation: false };
        Reporter::new(PassId::from_text(pass).unwrap(), model, false)
    }

    fn tag(reporter: &mut Reporter, lat: f64, at: OffsetDateTime) -> PassTag {
        reporter.draft(&sighting(lat, at), at).expect("not reported before").pass
    }

    const START: OffsetDateTime = datetime!(2026-05-01 10:00 UTC);

    #[test]
    fn a_pass_is_linked_within_a_cell_and_nowhere_else() {
        let mut one = reporter("a");
        let first = tag(&mut one, 50.0002, START);
        assert_eq!(first, tag(&mut one, 50.0008, START + Duration::from_secs(8)));
        assert_ne!(first, tag(&mut one, 50.0012, START + Duration::from_secs(12)), "another cell");
        assert_ne!(first, tag(&mut one, 50.0002, START + Duration::from_secs(300)), "another visit");
        assert_ne!(first, tag(&mut reporter("b"), 50.0002, START), "another run");
        assert_eq!(first, tag(&mut reporter("a"), 50.0002, START), "the same run read again");
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_pass_and_reports_nothing_twice() {
        let mut before = reporter("a");
        let first = tag(&mut before, 50.0002, START);
        let memory = before.memory(START);
        let json = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&json).unwrap(), memory);
        let mut after = Reporter::resume(memory, before.model.clone(), false);
        let later = START + Duration::from_secs(20);
        let again = sighting(50.000_205, later);
        assert_eq!(after.draft(&again, later), None, "half a metre beside it is the same thing");
        let other = sighting(50.0003, later);
        assert_eq!(after.draft(&other, later).unwrap().pass, first, "the next thing on the same visit");
        assert!(after.draft(&again, later).is_some(), "a second thing there is another one");
    }

    #[test]
    fn what_is_rounded_stays_a_covariance_and_never_claims_more() {
        let before = Covariance { east_east: 0.101, east_north: -0.249, north_north: 0.62 };
        let after = coarse(before);
        assert_eq!((after.east_east, after.east_north, after.north_north), (0.15, -0.2, 0.65));
        assert!(after.inverse().is_some() && before.inverse().is_some());
        assert_eq!((to_step(0.0732, 0.01), to_step(359.7, 1.0)), (0.07, 360.0));
    }

    #[test]
    fn an_ordinal_holds_for_one_cell_and_one_hour() {
        let one = reporter("a");
        let at =
            |lat: f64, seconds: u64| one.ordinal(LatLon { lat, lon: 8.00075 }, START + Duration::from_secs(seconds));
        assert_eq!(at(50.0002, 0), at(50.0008, 1800), "two visits of one batch");
        assert_ne!(at(50.0002, 0), at(50.0012, 0), "another cell");
        assert_ne!(at(50.0002, 0), at(50.0002, 3600), "another hour");
        let pass_after = reporter("b").in_batch_of(one.memory(START));
        assert_eq!(pass_after.ordinal(LatLon { lat: 50.0002, lon: 8.00075 }, START), at(50.0002, 0));
        assert_ne!(reporter("b").ordinal(LatLon { lat: 50.0002, lon: 8.00075 }, START), at(50.0002, 0));
    }

    fn stretch(lat: f64, at: OffsetDateTime) -> Stretch {
        let from = LatLon { lat, lon: 8.0001 };
        Stretch {
            cell: Cell::of(from),
            from,
            to: LatLon { lon: 8.0014, ..from },
            heading_degrees: 88.7,
            usable_metres: 61.3,
            unusable: BTreeMap::from([(Unusable::Wet, 31.9), (Unusable::Speed, 1.2)]),
            accuracy_metres: 1.3,
            driven_at: at,
        }
    }

    #[test]
    fn coverage_says_no_more_than_it_must_and_its_parts_are_the_whole() {
        let told = reporter("a").coverage(&stretch(50.0005, START), true);
        assert_eq!((told.usable_metres, told.length_metres, told.heading_degrees), (60.0, 90.0, 90.0));
        assert_eq!(told.unusable, BTreeMap::from([(Unusable::Wet, 30.0)]));
        assert_eq!(told.accuracy_metres, 3.5);
        let cell = Cell::of(told.from);
        assert_eq!((cell, cell.square_at(told.to)), (Cell::of(told.to), told.to));
        assert!(distance_metres(told.from, stretch(50.0005, START).from) < 10.0);
        let ends: std::collections::BTreeSet<String> = (0..50)
            .map(|second| reporter("a").coverage(&stretch(50.0005, START + Duration::from_secs(second)), true))
            .map(|told| told.from.lat.to_string())
            .collect();
        assert!(ends.len() > 1, "always at the same side of the road");
    }

    #[test]
    fn coverage_of_a_pass_is_linked_within_its_cell_alone() {
        let mut one = reporter("a");
        let damage = tag(&mut one, 50.0002, START);
        let later = START + Duration::from_secs(8);
        assert_eq!(one.coverage(&stretch(50.0005, later), true).pass, damage);
        assert_ne!(one.coverage(&stretch(50.0015, later), true).pass, damage);
    }

    #[test]
    fn a_memory_goes_on_for_a_while_and_never_backwards() {
        let memory = reporter("a").memory(START);
        assert!(memory.goes_on_at(START) && memory.goes_on_at(START + Duration::from_secs(29)));
        assert!(!memory.goes_on_at(START + ABSENCE) && !memory.goes_on_at(START - Duration::from_secs(1)));
    }

    #[test]
    fn a_memory_is_no_track() {
        let mut driven = reporter("a");
        for second in 0..600 {
            let at = START + Duration::from_secs(second);
            tag(&mut driven, 50.0 + 0.0001 * second as f64, at);
        }
        let memory = driven.memory(START + Duration::from_secs(600));
        assert!(memory.reported.len() < 30 && memory.visits.len() < 5, "{memory:?}");
    }

    #[test]
    fn the_pass_id_is_never_printed() {
        assert_eq!(format!("{:?}", PassId::from_text("secret")), "Some(PassId(…))");
    }
}
