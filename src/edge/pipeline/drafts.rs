//! What a sighting becomes: a damage for its batch and, above the danger profile, a danger that goes at once.

use time::OffsetDateTime;

use crate::clock::hour_of;
use crate::edge::coverage::Stretch;
use crate::edge::danger::DangerProfile;
use crate::edge::judge::road::Sighting;
use crate::edge::report::Reporter;
use crate::edge::spool::Draft;
use crate::schema::event::EventData;
use crate::schema::topic::TopicName;
use crate::schema::{DriverMark, PassTag, RoadDamage, RoadDanger};

/// What is to be reported of the sighting at `now`; nothing when an earlier run of the pass has done it.
pub(super) fn drafts(
    site: &TopicName,
    profile: Option<DangerProfile>,
    reporter: &mut Reporter,
    sighting: Sighting,
    now: OffsetDateTime,
) -> Vec<Draft> {
    let is_danger = profile.is_some_and(|profile| profile.is_danger(&sighting));
    let Some(damage) = reporter.draft(&sighting, now) else { return Vec::new() };
    let draft = |data, ordinal, picture| Draft {
        source: format!("/umsicht/{site}"),
        time: hour_of(sighting.best_seen_at),
        ordinal,
        data,
        picture,
    };
    // Its tag is of no pass: it must not lead to the damage that comes with the batch.
    let danger = is_danger
        .then(|| RoadDamage { pass: PassTag::random(), has_evidence: false, ..damage.clone() })
        .map(|danger| draft(EventData::RoadDanger(RoadDanger::Seen(danger)), None, None));
    let ordinal = reporter.ordinal(damage.position, sighting.best_seen_at);
    let damage = draft(EventData::RoadDamage(damage), Some(ordinal), sighting.picture.clone().ok());
    danger.into_iter().chain([damage]).collect()
}

/// A stretch of road, for its batch.
pub(super) fn coverage_draft(site: &TopicName, reporter: &mut Reporter, stretch: &Stretch, calibrated: bool) -> Draft {
    let coverage = reporter.coverage(stretch, calibrated);
    let ordinal = reporter.ordinal(coverage.middle(), stretch.driven_at);
    Draft {
        source: format!("/umsicht/{site}"),
        time: hour_of(stretch.driven_at),
        ordinal: Some(ordinal),
        data: EventData::RoadCoverage(coverage),
        picture: None,
    }
}

/// What the driver marked, at once.
pub(super) fn mark_draft(site: &TopicName, mark: DriverMark, at: OffsetDateTime) -> Draft {
    Draft {
        source: format!("/umsicht/{site}"),
        time: hour_of(at),
        ordinal: None,
        data: EventData::RoadDanger(RoadDanger::MarkedByDriver(mark)),
        picture: None,
    }
}

/// What a device says of itself.
pub(super) fn device_draft(site: &TopicName, data: EventData, now: OffsetDateTime) -> Draft {
    Draft { source: format!("/umsicht/{site}"), time: now, ordinal: None, data, picture: None }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::edge::mask::NoPicture;
    use crate::edge::report::PassId;
    use crate::geo::{Covariance, LatLon};
    use crate::schema::{DamageClass, EventKind, ModelRef};

    fn pothole(width_metres: f64) -> Sighting {
        Sighting {
            class: DamageClass::Pothole,
            score: 0.7,
            position: LatLon { lat: 50.0, lon: 8.0 },
            position_covariance: Covariance::isotropic(1.0),
            heading_degrees: 0.0,
            length_metres: 0.5,
            width_metres,
            area_square_metres: 0.2,
            calibrated: true,
            frames_seen: 3,
            best_seen_at: datetime!(2026-05-01 10:20 UTC),
            picture: Err(NoPicture::NotInSight),
        }
    }

    fn drafts_of(sighting: Sighting) -> Vec<Draft> {
        let model = ModelRef { name: "road".into(), version: "1".into(), sha256: "00".into(), trial_operation: false };
        let mut reporter = Reporter::new(PassId::random(), model, false);
        let site = TopicName::new("soest").unwrap();
        let now = sighting.best_seen_at;
        drafts(&site, Some(DangerProfile::default()), &mut reporter, sighting, now)
    }

    #[test]
    fn a_large_hole_is_told_twice_and_nothing_joins_the_two() {
        let told = drafts_of(pothole(0.6));
        let kinds: Vec<EventKind> = told.iter().map(|draft| draft.data.kind()).collect();
        assert_eq!(kinds, [EventKind::RoadDanger, EventKind::RoadDamage]);
        let (danger, damage) = (&told[0], &told[1]);
        let pass = |draft: &Draft| draft.data.damage().unwrap().pass.clone();
        assert_ne!(pass(danger), pass(damage));
        assert_eq!((danger.ordinal, danger.time.minute()), (None, 0));
        let (danger, damage) = (told[0].clone().into_event(None).0, told[1].clone().into_event(None).0);
        assert_ne!(danger.id, damage.id);
    }

    #[test]
    fn a_small_hole_and_a_large_crack_wait_for_their_batch() {
        let crack = Sighting { class: DamageClass::AlligatorCrack, ..pothole(3.0) };
        for sighting in [pothole(0.2), crack] {
            let told = drafts_of(sighting);
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].data.kind(), EventKind::RoadDamage);
            assert!(told[0].ordinal.is_some());
        }
    }
}
