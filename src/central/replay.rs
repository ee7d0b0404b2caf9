//! Recorded events → defects, without a broker or a store. Pure but for reading the file: the same events in any order
//! give the same defects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::assess::{assess, place};
use super::associate::{Placed, associate, keep_identities};
use super::message::sighting_from_json;
use super::model::{Defect, DefectStatus, Sighting};
use super::network::Network;
use super::profile::Profile;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the events {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    Event { path: PathBuf, line: usize, reason: String },
}

/// One CloudEvent per line; empty lines are skipped, and so are dangers, whose sightings come by themselves.
pub fn read_events(path: &Path) -> Result<Vec<Sighting>, ReplayError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReplayError::Io { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .filter_map(|(index, line)| {
            let read = sighting_from_json(line.as_bytes()).map_err(|e| ReplayError::Event {
                path: path.to_owned(),
                line: index + 1,
                reason: e.to_string(),
            });
            read.transpose()
        })
        .collect()
}

/// By priority, highest first. Repeated events count once.
#[must_use]
pub fn defects_of(sightings: Vec<Sighting>, network: &Network, profile: &Profile) -> Vec<Defect> {
    let unique: BTreeMap<_, Sighting> = sightings.into_iter().map(|s| (s.id, s)).collect();
    let placed: Vec<Placed> = unique.into_values().map(|s| place(s, network)).collect();
    let groups = associate(&placed);
    let ids: Vec<Vec<_>> = groups.iter().map(|g| g.iter().map(|&i| placed[i].sighting.id).collect()).collect();
    let identified = keep_identities(&ids, &BTreeMap::new(), &BTreeSet::new());
    let mut defects: Vec<Defect> = groups
        .iter()
        .zip(&identified.ids)
        .filter_map(|(group, id)| {
            let group: Vec<&Sighting> = group.iter().map(|&i| &placed[i].sighting).collect();
            assess(*id, DefectStatus::New, &group, None, network, profile)
        })
        .collect();
    defects.sort_by(|a, b| b.priority.total_cmp(&a.priority).then(a.id.cmp(&b.id)));
    defects
}
