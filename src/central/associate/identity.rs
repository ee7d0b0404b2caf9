//! Keeps the identities of defects while their groups change.

use std::collections::{BTreeMap, BTreeSet};

use crate::central::model::DefectId;
use crate::schema::EventId;

/// The result of comparing new groups with the defects that their sightings belonged to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// One id per group, in the groups' order.
    pub ids: Vec<DefectId>,
    /// Defects that no group continues: merged away.
    pub gone: BTreeSet<DefectId>,
}

/// Each existing defect goes on in the group that it shares most sightings with; a group without one is founded by its
/// first sighting. `groups` list their sightings in canonical order; `belonged` says to which defect each belonged;
/// `reserved` are ids in use elsewhere.
#[must_use]
pub fn keep_identities(
    groups: &[Vec<EventId>],
    belonged: &BTreeMap<EventId, DefectId>,
    reserved: &BTreeSet<DefectId>,
) -> Identified {
    let mut shared: BTreeMap<(usize, DefectId), usize> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        for defect in group.iter().filter_map(|sighting| belonged.get(sighting)) {
            *shared.entry((index, *defect)).or_default() += 1;
        }
    }
    let mut claims: Vec<(usize, usize, DefectId)> = shared.into_iter().map(|((g, d), n)| (n, g, d)).collect();
    claims.sort_by(|a, b| b.0.cmp(&a.0).then(a.2.cmp(&b.2)).then(a.1.cmp(&b.1)));

    let mut ids: Vec<Option<DefectId>> = vec![None; groups.len()];
    let mut taken: BTreeSet<DefectId> = BTreeSet::new();
    for (_, group, defect) in claims {
        if ids[group].is_none() && taken.insert(defect) {
            ids[group] = Some(defect);
        }
    }
    let gone: BTreeSet<DefectId> = belonged.values().copied().filter(|d| !taken.contains(d)).collect();
    let mut in_use: BTreeSet<DefectId> = taken.into_iter().chain(gone.iter().copied()).collect();
    in_use.extend(reserved);
    let ids = ids.into_iter().zip(groups).map(|(id, group)| id.unwrap_or_else(|| found(group, &mut in_use))).collect();
    Identified { ids, gone }
}

/// The id that the group's first sighting founds; the next one when that is in use, as it can be after a split.
fn found(group: &[EventId], in_use: &mut BTreeSet<DefectId>) -> DefectId {
    let founder = group.first().copied().unwrap_or(EventId::from_bytes([0; 16]));
    let mut attempt = 0;
    loop {
        let id = DefectId::founded_by(founder, attempt);
        if in_use.insert(id) {
            return id;
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u8) -> EventId {
        EventId::from_bytes([n; 16])
    }

    #[test]
    fn the_larger_part_keeps_the_identity() {
        let old = DefectId::founded_by(event(1), 0);
        let belonged = BTreeMap::from([(event(1), old), (event(2), old), (event(3), old)]);
        let split = keep_identities(&[vec![event(1)], vec![event(2), event(3)]], &belonged, &BTreeSet::new());
        assert_eq!(split.ids[1], old);
        assert_ne!(split.ids[0], old);
        assert!(split.gone.is_empty());
    }

    #[test]
    fn a_merge_leaves_one_and_names_the_other() {
        let (a, b) = (DefectId::founded_by(event(1), 0), DefectId::founded_by(event(2), 0));
        let belonged = BTreeMap::from([(event(1), a), (event(2), b), (event(3), b)]);
        let merged = keep_identities(&[vec![event(1), event(2), event(3)]], &belonged, &BTreeSet::new());
        assert_eq!(merged.ids, vec![b]);
        assert_eq!(merged.gone, BTreeSet::from([a]));
    }

    #[test]
    fn unchanged_groups_change_nothing() {
        let groups = [vec![event(1)], vec![event(2), event(3)]];
        let first = keep_identities(&groups, &BTreeMap::new(), &BTreeSet::new());
        let belonged = BTreeMap::from([(event(1), first.ids[0]), (event(2), first.ids[1]), (event(3), first.ids[1])]);
        let again = keep_identities(&groups, &belonged, &BTreeSet::new());
        assert_eq!(again.ids, first.ids);
        assert!(again.gone.is_empty());
    }
}
