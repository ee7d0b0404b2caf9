//! A damage as the trials commit it.

use time::macros::datetime;
use umsicht::edge::spool::Draft;
use umsicht::geo::{Covariance, LatLon};
use umsicht::schema::event::EventData;
use umsicht::schema::{DamageClass, ModelRef, PassTag, RoadDamage};

/// A pothole at this place, of a site of this name.
pub fn draft(site: &str, position: LatLon, kind: fn(RoadDamage) -> EventData) -> Draft {
    let damage = RoadDamage {
        class: DamageClass::Pothole,
        score: 0.5,
        position,
        position_covariance: Covariance::isotropic(0.5),
        heading_degrees: 135.0,
        length_metres: 0.5,
        width_metres: 0.25,
        area_square_metres: 0.125,
        calibrated: true,
        pass: PassTag::random(),
        frames_seen: 3,
        model: ModelRef { name: "road".into(), version: "0".into(), sha256: "ab".repeat(32), trial_operation: true },
        simulated: true,
        has_evidence: false,
    };
    Draft {
        source: format!("/umsicht/{site}"),
        time: datetime!(2026-03-17 09:00 UTC),
        ordinal: None,
        data: kind(damage),
        picture: None,
    }
}
