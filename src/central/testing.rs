//! What tests of several modules of the town's side need.

use time::macros::datetime;

use super::model::{Sighting, Summary};
use crate::geo::{Covariance, EastNorth, LatLon, LocalFrame};
use crate::schema::{DamageClass, EventId, ModelRef, PassTag, RoadDamage};

pub(in crate::central) const ORIGIN: LatLon = LatLon { lat: 51.57, lon: 8.11 };

pub(in crate::central) fn summary(class: DamageClass) -> Summary {
    Summary {
        class,
        position: ORIGIN,
        covariance: Covariance::isotropic(0.5),
        heading_degrees: 90.0,
        length_metres: 1.0,
        width_metres: 0.5,
        area_square_metres: 0.4,
        best_score: 0.6,
        calibrated: true,
        simulated: false,
        sightings: 1,
        first_seen: datetime!(2026-03-17 09:00 UTC),
        last_seen: datetime!(2026-03-17 09:00 UTC),
    }
}

/// A pothole seen by `pass` at metres east and north of [`ORIGIN`], driving north.
pub(in crate::central) fn sighting(number: u32, pass: &str, east: f64, north: f64, sigma_metres: f64) -> Sighting {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    Sighting {
        id: EventId::from_bytes(id),
        hour: datetime!(2026-03-17 09:00 UTC),
        device_tag: None,
        damage: RoadDamage {
            class: DamageClass::Pothole,
            score: 0.6,
            position: LocalFrame::at(ORIGIN).latlon_from_local(EastNorth::new(east, north)),
            position_covariance: Covariance::isotropic(sigma_metres),
            heading_degrees: 0.0,
            length_metres: 0.5,
            width_metres: 0.4,
            area_square_metres: 0.15,
            calibrated: true,
            pass: PassTag(pass.to_owned()),
            frames_seen: 4,
            model: ModelRef {
                name: "road".into(),
                version: "0.1.0".into(),
                sha256: "ab".into(),
                trial_operation: false,
            },
            simulated: false,
            has_evidence: false,
        },
    }
}
