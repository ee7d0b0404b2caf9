//! From a sighting to what the town may know of it.
//!
//! Privacy: the payload names no time finer than the hour and no vehicle. A [`PassTag`] tells the town which sightings
//! belong to one pass, because two sightings of one pass are never the same damage; it does so only within one cell of
//! about 100 m, so that tags of neighbouring cells cannot be joined into a track. The tag is the start of
//! SHA-256(pass id ‖ cell ‖ visit); whoever does not know the device's pass id can neither compute nor link tags.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::edge::judge::road::Sighting;
use crate::geo::LatLon;
use crate::schema::{ModelRef, PassTag, RoadDamage};

/// Random secret of one run of a device; persisted on the device, never sent.
#[derive(Clone, PartialEq, Eq)]
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

/// About 111 m × 107 m at 50° north.
const CELL_LAT_DEGREES: f64 = 0.001;
const CELL_LON_DEGREES: f64 = 0.0015;
/// Coming back to a cell after so long is another pass.
const ABSENCE: Duration = Duration::from_secs(30);

type Cell = (i32, i32);

fn cell_of(position: LatLon) -> Cell {
    let index = |value: f64, step: f64| (value / step).floor() as i32;
    (index(position.lat, CELL_LAT_DEGREES), index(position.lon, CELL_LON_DEGREES))
}

/// Turns the sightings of one run into payloads.
#[derive(Debug)]
pub struct Reporter {
    pass_id: PassId,
    model: ModelRef,
    simulated: bool,
    visits: HashMap<Cell, Visit>,
}

#[derive(Debug)]
struct Visit {
    number: u32,
    last_at: OffsetDateTime,
}

impl Reporter {
    #[must_use]
    pub fn new(pass_id: PassId, model: ModelRef, simulated: bool) -> Self {
        Self { pass_id, model, simulated, visits: HashMap::new() }
    }

    /// The payload of a sighting. Sightings come in the order in which the vehicle passed them.
    pub fn draft(&mut self, sighting: &Sighting) -> RoadDamage {
        RoadDamage {
            class: sighting.class,
            score: sighting.score.clamp(0.0, 1.0),
            position: sighting.position,
            position_covariance: sighting.position_covariance,
            heading_degrees: sighting.heading_degrees,
            length_metres: sighting.length_metres,
            width_metres: sighting.width_metres,
            area_square_metres: sighting.area_square_metres,
            calibrated: sighting.calibrated,
            pass: self.tag(cell_of(sighting.position), sighting.best_seen_at),
            frames_seen: sighting.frames_seen,
            model: self.model.clone(),
            simulated: self.simulated,
            has_evidence: sighting.picture.is_ok(),
        }
    }

    fn tag(&mut self, cell: Cell, at: OffsetDateTime) -> PassTag {
        let visit = self.visits.entry(cell).or_insert(Visit { number: 0, last_at: at });
        if at - visit.last_at >= ABSENCE {
            visit.number += 1;
        }
        visit.last_at = visit.last_at.max(at);
        let secret = format!("{}|{}|{}|{}", self.pass_id.as_str(), cell.0, cell.1, visit.number);
        let digest = Sha256::digest(secret.as_bytes());
        PassTag(format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|k| digest[k]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::mask::NoPicture;
    use crate::geo::Covariance;
    use crate::schema::DamageClass;
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

    #[test]
    fn a_pass_is_linked_within_a_cell_and_nowhere_else() {
        let start = datetime!(2026-05-01 10:00 UTC);
        let mut one = reporter("a");
        let first = one.draft(&sighting(50.0002, start)).pass;
        assert_eq!(first, one.draft(&sighting(50.0008, start + Duration::from_secs(8))).pass);
        assert_ne!(first, one.draft(&sighting(50.0012, start + Duration::from_secs(12))).pass, "another cell");
        assert_ne!(first, one.draft(&sighting(50.0002, start + Duration::from_secs(300))).pass, "another visit");
        assert_ne!(first, reporter("b").draft(&sighting(50.0002, start)).pass, "another run");
        assert_eq!(first, reporter("a").draft(&sighting(50.0002, start)).pass, "the same run read again");
    }

    #[test]
    fn the_pass_id_is_never_printed() {
        assert_eq!(format!("{:?}", PassId::from_text("secret")), "Some(PassId(…))");
    }
}
