//! Cuts streets into sections of about 100 m with ids that come from the geometry.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Street;
use crate::central::model::{Section, SectionId};
use crate::geo::{EastNorth, LatLon, LocalFrame};
use crate::schema::device_tag::hex;

const SECTION_METRES: f64 = 100.0;

/// Each street in equal parts of as near 100 m as possible. The same streets in any order give the same sections.
pub(super) fn sections_of(streets: &[Street]) -> Vec<Section> {
    let mut sections = BTreeMap::new();
    for section in streets.iter().flat_map(cut_in_order) {
        sections.entry(section.id.clone()).or_insert(section);
    }
    sections.into_values().collect()
}

pub(super) fn cut_in_order(street: &Street) -> Vec<Section> {
    let Some(first) = street.line.first() else { return Vec::new() };
    let frame = LocalFrame::at(*first);
    let line: Vec<EastNorth> = street.line.iter().map(|p| frame.local_from_latlon(*p)).collect();
    let total: f64 = line.windows(2).map(|w| w[0].distance_metres(w[1])).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let parts = (total / SECTION_METRES).round().max(1.0);
    let part_metres = total / parts;
    let mut sections = Vec::new();
    let mut current = vec![*first];
    let mut left_metres = part_metres;
    for ends in line.windows(2) {
        let mut from = ends[0];
        let mut piece = from.distance_metres(ends[1]);
        while piece > left_metres && ((sections.len() + 1) as f64) < parts {
            let share = left_metres / piece;
            from = EastNorth::new(
                from.east_metres + share * (ends[1].east_metres - from.east_metres),
                from.north_metres + share * (ends[1].north_metres - from.north_metres),
            );
            let point = frame.latlon_from_local(from);
            current.push(point);
            sections.push(section(street, std::mem::replace(&mut current, vec![point]), part_metres));
            piece -= left_metres;
            left_metres = part_metres;
        }
        left_metres -= piece;
        current.push(frame.latlon_from_local(ends[1]));
    }
    sections.push(section(street, current, part_metres));
    sections
}

fn section(street: &Street, line: Vec<LatLon>, length_metres: f64) -> Section {
    Section {
        id: id_of(&line),
        name: street.name.clone(),
        road_class: street.road_class,
        one_way: street.one_way,
        line,
        length_metres,
    }
}

/// A hash of the coordinates, rounded to 1e-6 degrees (about 0.1 m).
fn id_of(line: &[LatLon]) -> SectionId {
    let mut hash = Sha256::new();
    for point in line {
        for degrees in [point.lat, point.lon] {
            hash.update(((degrees * 1e6).round() as i64).to_be_bytes());
        }
    }
    let digest = hash.finalize();
    SectionId(hex(&digest[..8]))
}
