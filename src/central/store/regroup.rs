//! Makes the defects around new sightings anew: finds the neighbourhood, associates, compares, writes what differs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::SqliteConnection;

use super::rows::{self, StoredSighting, sighting_columns};
use super::{Change, StoreError};
use crate::central::assess::{assess, place};
use crate::central::associate::{Placed, Reach, associate, keep_identities};
use crate::central::model::{Defect, DefectId, DefectStatus, Sighting};
use crate::central::network::Network;
use crate::central::profile::Profile;
use crate::schema::EventId;

/// Regroups the neighbourhoods of the given rows.
pub(super) async fn around(
    connection: &mut SqliteConnection,
    fresh: &[i64],
    network: &Network,
    profile: &Profile,
) -> Result<Vec<Change>, StoreError> {
    if fresh.is_empty() {
        return Ok(Vec::new());
    }
    let mut known: HashSet<i64> = fresh.iter().copied().collect();
    let mut members: Vec<StoredSighting> = Vec::new();
    let mut waiting: Vec<i64> = fresh.to_vec();
    while let Some(seq) = waiting.pop() {
        let row = sqlx::query(concat!(
            "SELECT ",
            sighting_columns!(),
            " FROM sightings s JOIN models m ON m.id = s.model WHERE s.seq = ?"
        ))
        .bind(seq)
        .fetch_one(&mut *connection)
        .await?;
        let member = rows::sighting(&row)?;
        let reach = Reach::of(&member.sighting.damage);
        // The index keeps boxes in single precision, rounded outwards: more than the exact neighbours, never fewer.
        // A few too many only enlarge the neighbourhood that is solved; groups depend on exact overlaps alone.
        let near: Vec<i64> =
            sqlx::query_scalar("SELECT seq FROM reach WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?")
                .bind(reach.east)
                .bind(reach.west)
                .bind(reach.north)
                .bind(reach.south)
                .fetch_all(&mut *connection)
                .await?;
        waiting.extend(near.into_iter().filter(|seq| known.insert(*seq)));
        members.push(member);
    }
    rewrite(connection, members, network, profile).await
}

/// Regroups all sightings.
pub(super) async fn everything(
    connection: &mut SqliteConnection,
    network: &Network,
    profile: &Profile,
) -> Result<Vec<Change>, StoreError> {
    let rows =
        sqlx::query(concat!("SELECT ", sighting_columns!(), " FROM sightings s JOIN models m ON m.id = s.model"))
            .fetch_all(&mut *connection)
            .await?;
    let members = rows.iter().map(rows::sighting).collect::<Result<Vec<_>, _>>()?;
    rewrite(connection, members, network, profile).await
}

async fn rewrite(
    connection: &mut SqliteConnection,
    members: Vec<StoredSighting>,
    network: &Network,
    profile: &Profile,
) -> Result<Vec<Change>, StoreError> {
    let belonged: BTreeMap<EventId, DefectId> =
        members.iter().filter_map(|m| Some((m.sighting.id, m.defect?))).collect();
    let seqs: BTreeMap<EventId, i64> = members.iter().map(|m| (m.sighting.id, m.seq)).collect();
    let placed: Vec<Placed> = members.into_iter().map(|m| place(m.sighting, network)).collect();
    let groups = associate(&placed);
    let ids: Vec<Vec<EventId>> =
        groups.iter().map(|group| group.iter().map(|&i| placed[i].sighting.id).collect()).collect();
    let identified = identify(connection, &ids, &belonged).await?;

    let mut changes = Vec::new();
    for (group, id) in groups.iter().zip(&identified.ids) {
        let sightings: Vec<&Sighting> = group.iter().map(|&i| &placed[i].sighting).collect();
        for sighting in &sightings {
            if belonged.get(&sighting.id) != Some(id) {
                sqlx::query("UPDATE sightings SET defect = ? WHERE seq = ?")
                    .bind(&id.as_bytes()[..])
                    .bind(seqs.get(&sighting.id))
                    .execute(&mut *connection)
                    .await?;
            }
        }
        let before = load(connection, *id).await?;
        let status = before.as_ref().map_or(DefectStatus::New, |d| d.status);
        let evidence = best_evidence(connection, *id).await?;
        let Some(after) = assess(*id, status, &sightings, evidence, network, profile) else { continue };
        if before.as_ref() != Some(&after) {
            save(connection, &after).await?;
            changes.push(Change::Defect(Box::new(after)));
        }
    }
    for gone in &identified.gone {
        sqlx::query("DELETE FROM defects WHERE id = ?").bind(&gone.as_bytes()[..]).execute(&mut *connection).await?;
        changes.push(Change::Gone(*gone));
    }
    Ok(changes)
}

/// As [`keep_identities`], never taking an id that a defect elsewhere has.
async fn identify(
    connection: &mut SqliteConnection,
    groups: &[Vec<EventId>],
    belonged: &BTreeMap<EventId, DefectId>,
) -> Result<crate::central::associate::Identified, StoreError> {
    let here: BTreeSet<DefectId> = belonged.values().copied().collect();
    let mut reserved = BTreeSet::new();
    loop {
        let identified = keep_identities(groups, belonged, &reserved);
        let mut clash = false;
        for id in identified.ids.iter().filter(|id| !here.contains(*id)) {
            if load(connection, *id).await?.is_some() {
                clash = true;
                reserved.insert(*id);
            }
        }
        if !clash {
            return Ok(identified);
        }
    }
}

/// Sets the picture of defects whose sightings got one.
pub(super) async fn refresh_evidence(
    connection: &mut SqliteConnection,
    defects: &BTreeSet<DefectId>,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for id in defects {
        let Some(mut defect) = load(connection, *id).await? else { continue };
        let evidence = best_evidence(connection, *id).await?;
        if defect.evidence != evidence {
            defect.evidence = evidence;
            save(connection, &defect).await?;
            changes.push(Change::Defect(Box::new(defect)));
        }
    }
    Ok(changes)
}

/// The picture of the most certain sighting that has one.
async fn best_evidence(connection: &mut SqliteConnection, defect: DefectId) -> Result<Option<EventId>, StoreError> {
    let best: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT s.id FROM sightings s JOIN evidence e ON e.event = s.id WHERE s.defect = ? \
         ORDER BY s.score DESC, s.id LIMIT 1",
    )
    .bind(&defect.as_bytes()[..])
    .fetch_optional(&mut *connection)
    .await?;
    best.map(|blob| rows::bytes(&blob).map(EventId::from_bytes)).transpose()
}

async fn load(connection: &mut SqliteConnection, id: DefectId) -> Result<Option<Defect>, StoreError> {
    let row = sqlx::query("SELECT * FROM defects WHERE id = ?")
        .bind(&id.as_bytes()[..])
        .fetch_optional(&mut *connection)
        .await?;
    row.as_ref().map(rows::defect).transpose()
}

async fn save(connection: &mut SqliteConnection, defect: &Defect) -> Result<(), StoreError> {
    let summary = &defect.summary;
    let reasons = serde_json::to_string(&defect.reasons).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    sqlx::query(
        "INSERT OR REPLACE INTO defects (id, status, class, lat, lon, east_east, east_north, north_north, heading, \
         length, width, area, best_score, calibrated, simulated, sightings, first_seen, last_seen, section, \
         section_name, road_class, grade, priority, reasons, evidence) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&defect.id.as_bytes()[..])
    .bind(defect.status.name())
    .bind(summary.class.code())
    .bind(summary.position.lat)
    .bind(summary.position.lon)
    .bind(summary.covariance.east_east)
    .bind(summary.covariance.east_north)
    .bind(summary.covariance.north_north)
    .bind(summary.heading_degrees)
    .bind(summary.length_metres)
    .bind(summary.width_metres)
    .bind(summary.area_square_metres)
    .bind(f64::from(summary.best_score))
    .bind(summary.calibrated)
    .bind(summary.simulated)
    .bind(i64::try_from(summary.sightings).unwrap_or(i64::MAX))
    .bind(summary.first_seen.unix_timestamp())
    .bind(summary.last_seen.unix_timestamp())
    .bind(defect.section.as_ref().map(|s| s.id.0.as_str()))
    .bind(defect.section.as_ref().and_then(|s| s.name.as_deref()))
    .bind(defect.section.as_ref().map(|s| s.road_class.name()))
    .bind(defect.grade)
    .bind(defect.priority)
    .bind(reasons)
    .bind(defect.evidence.as_ref().map(|e| e.as_bytes().to_vec()))
    .execute(&mut *connection)
    .await?;
    Ok(())
}
