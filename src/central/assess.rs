//! A group of sightings becomes a defect: what it is, where, how bad and how urgent. Pure.

use super::associate::{Placed, summarise};
use super::grade::defect_grade;
use super::model::{Defect, DefectId, DefectStatus, Section, Sighting};
use super::network::Network;
use super::prioritise::prioritise;
use super::profile::Profile;
use crate::schema::EventId;

/// A sighting with what the network says about its place.
#[must_use]
pub fn place(sighting: Sighting, network: &Network) -> Placed {
    let section = network.section_at(sighting.damage.position, sighting.damage.heading_degrees);
    Placed { one_way: section.is_some_and(|s| s.one_way), sighting }
}

/// `None` for an empty group. `evidence` is the sighting whose picture shows it best, if there is a picture.
#[must_use]
pub fn assess(
    id: DefectId,
    status: DefectStatus,
    group: &[&Sighting],
    evidence: Option<EventId>,
    network: &Network,
    profile: &Profile,
) -> Option<Defect> {
    let summary = summarise(group)?;
    let section = network.section_at(summary.position, summary.heading_degrees).map(Section::reference);
    let grade = defect_grade(&summary, profile);
    let priority = prioritise(&summary, grade, section.as_ref(), profile);
    Some(Defect { id, status, summary, section, grade, priority: priority.points, reasons: priority.reasons, evidence })
}
