//! Commits: batches of messages, and a new street network.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Sqlite, SqliteConnection, Transaction};
use time::OffsetDateTime;

use super::{Change, Committed, Incoming, Rejection, Store, StoreError, coverage, danger, regroup, rows};
use crate::central::associate::Reach;
use crate::central::model::{DefectId, Section, Sighting};
use crate::central::network::Network;
use crate::clock::hour_of;
use crate::schema::{Evidence, ModelRef};

/// So many unreadable messages are kept.
const MAX_REJECTED: i64 = 10_000;

impl Store {
    /// Takes a batch in one transaction. On disk when it returns; what was taken before changes nothing. Of `now` only
    /// the hour is kept.
    pub async fn commit(&self, batch: &[Incoming], now: OffsetDateTime) -> Result<Committed, StoreError> {
        let hour = hour_of(now);
        let network = self.network();
        let mut transaction = self.shared.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut committed = Committed::default();
        let mut models = HashMap::new();
        let mut dangers = Vec::new();
        let (mut fresh, mut pictured): (Vec<i64>, BTreeSet<DefectId>) = (Vec::new(), BTreeSet::new());
        for incoming in batch {
            match incoming {
                Incoming::Sighting(sighting) => match insert_sighting(&mut transaction, sighting, &mut models).await? {
                    Some(seq) => {
                        committed.new_sightings += 1;
                        fresh.push(seq);
                    }
                    None => committed.repeated += 1,
                },
                Incoming::Danger(told) => {
                    let model = match told.seen() {
                        Some(seen) => Some(model_id(&mut transaction, &seen.model, &mut models).await?),
                        None => None,
                    };
                    if danger::insert(&mut transaction, told, model).await? {
                        committed.new_dangers += 1;
                        dangers.push(Change::Danger(told.clone()));
                    } else {
                        committed.repeated += 1;
                    }
                }
                Incoming::Coverage(driven) => {
                    let model = model_id(&mut transaction, &driven.coverage.model, &mut models).await?;
                    if coverage::insert(&mut transaction, driven, model).await? {
                        committed.new_stretches += 1;
                    } else {
                        committed.repeated += 1;
                    }
                }
                Incoming::Evidence(evidence) => {
                    if insert_evidence(&mut transaction, evidence, hour).await? {
                        committed.new_evidence += 1;
                        pictured.extend(defect_of(&mut transaction, evidence).await?);
                    } else {
                        committed.repeated += 1;
                    }
                }
                Incoming::Rejected(rejection) => {
                    committed.rejected += 1;
                    insert_rejected(&mut transaction, rejection, hour).await?;
                }
            }
        }
        if committed.rejected > 0 {
            sqlx::query("DELETE FROM rejected WHERE seq <= (SELECT max(seq) FROM rejected) - ?")
                .bind(MAX_REJECTED)
                .execute(&mut *transaction)
                .await?;
        }
        if committed.new_sightings + committed.new_dangers + committed.new_stretches > 0 {
            set_fact(&mut transaction, "last_event_at", &hour.unix_timestamp().to_string()).await?;
        }
        let mut changes = regroup::around(&mut transaction, &fresh, &network, &self.shared.profile).await?;
        for change in &changes {
            match change {
                Change::Defect(defect) => pictured.remove(&defect.id),
                Change::Gone(id) => pictured.remove(id),
                Change::Danger(_) | Change::Status => false,
            };
        }
        changes.extend(regroup::refresh_evidence(&mut transaction, &pictured).await?);
        changes.extend(dangers);
        if committed.rejected + committed.new_evidence + committed.new_stretches > 0 {
            changes.push(Change::Status);
        }
        transaction.commit().await?;
        self.tell(changes);
        Ok(committed)
    }

    /// Replaces the street network and makes all defects anew on it. `source` tells later whether it is still the same.
    pub async fn replace_network(
        &self,
        sections: Vec<Section>,
        source: &str,
        attribution: Option<&str>,
    ) -> Result<(), StoreError> {
        let network = Network::new(sections);
        let mut transaction = self.shared.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM sections").execute(&mut *transaction).await?;
        for section in network.sections() {
            insert_section(&mut transaction, section).await?;
        }
        set_fact(&mut transaction, "network_source", source).await?;
        set_fact(&mut transaction, "network_attribution", attribution.unwrap_or_default()).await?;
        let mut changes = regroup::everything(&mut transaction, &network, &self.shared.profile).await?;
        changes.push(Change::Status);
        transaction.commit().await?;
        *self.shared.network.write().unwrap_or_else(std::sync::PoisonError::into_inner) = std::sync::Arc::new(network);
        self.tell(changes);
        Ok(())
    }
}

/// The row's number, or `None` when the event was there already.
async fn insert_sighting(
    transaction: &mut Transaction<'_, Sqlite>,
    sighting: &Sighting,
    models: &mut HashMap<ModelRef, i64>,
) -> Result<Option<i64>, StoreError> {
    let damage = &sighting.damage;
    let model = model_id(transaction, &damage.model, models).await?;
    let inserted = sqlx::query(
        "INSERT OR IGNORE INTO sightings (id, hour, class, score, lat, lon, east_east, east_north, north_north, \
         heading, length, width, area, calibrated, simulated, has_evidence, pass, frames_seen, model, device_tag) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&sighting.id.as_bytes()[..])
    .bind(sighting.hour.unix_timestamp())
    .bind(damage.class.code())
    .bind(f64::from(damage.score))
    .bind(damage.position.lat)
    .bind(damage.position.lon)
    .bind(damage.position_covariance.east_east)
    .bind(damage.position_covariance.east_north)
    .bind(damage.position_covariance.north_north)
    .bind(damage.heading_degrees)
    .bind(damage.length_metres)
    .bind(damage.width_metres)
    .bind(damage.area_square_metres)
    .bind(damage.calibrated)
    .bind(damage.simulated)
    .bind(damage.has_evidence)
    .bind(&damage.pass.0)
    .bind(i64::from(damage.frames_seen))
    .bind(model)
    .bind(rows::device_tag_bytes(sighting.device_tag.as_ref()))
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(None);
    }
    let seq = inserted.last_insert_rowid();
    let reach = Reach::of(damage);
    sqlx::query("INSERT INTO reach (seq, west, east, south, north) VALUES (?, ?, ?, ?, ?)")
        .bind(seq)
        .bind(reach.west)
        .bind(reach.east)
        .bind(reach.south)
        .bind(reach.north)
        .execute(&mut **transaction)
        .await?;
    Ok(Some(seq))
}

/// `known` saves asking again within a batch.
async fn model_id(
    transaction: &mut Transaction<'_, Sqlite>,
    model: &ModelRef,
    known: &mut HashMap<ModelRef, i64>,
) -> Result<i64, StoreError> {
    if let Some(id) = known.get(model) {
        return Ok(*id);
    }
    sqlx::query(
        "INSERT INTO models (name, version, sha256, trial) VALUES (?, ?, ?, ?) \
         ON CONFLICT (name, version, sha256) DO UPDATE SET trial = excluded.trial",
    )
    .bind(&model.name)
    .bind(&model.version)
    .bind(&model.sha256)
    .bind(model.trial_operation)
    .execute(&mut **transaction)
    .await?;
    let id = sqlx::query_scalar("SELECT id FROM models WHERE name = ? AND version = ? AND sha256 = ?")
        .bind(&model.name)
        .bind(&model.version)
        .bind(&model.sha256)
        .fetch_one(&mut **transaction)
        .await?;
    known.insert(model.clone(), id);
    Ok(id)
}

async fn insert_evidence(
    transaction: &mut Transaction<'_, Sqlite>,
    evidence: &Evidence,
    hour: OffsetDateTime,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query("INSERT OR IGNORE INTO evidence (event, received_at, jpeg) VALUES (?, ?, ?)")
        .bind(&evidence.event_id.as_bytes()[..])
        .bind(hour.unix_timestamp())
        .bind(&evidence.jpeg)
        .execute(&mut **transaction)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

async fn defect_of(
    transaction: &mut Transaction<'_, Sqlite>,
    evidence: &Evidence,
) -> Result<Option<DefectId>, StoreError> {
    let blob: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT defect FROM sightings WHERE id = ?")
        .bind(&evidence.event_id.as_bytes()[..])
        .fetch_optional(&mut **transaction)
        .await?;
    blob.flatten().map(|b| rows::bytes(&b).map(DefectId::from_bytes)).transpose()
}

async fn insert_rejected(
    transaction: &mut Transaction<'_, Sqlite>,
    rejection: &Rejection,
    hour: OffsetDateTime,
) -> Result<(), StoreError> {
    let bounded = |text: &str| text.chars().take(500).collect::<String>();
    sqlx::query(
        "INSERT INTO rejected (received_at, topic, reason, payload_fields, payload_bytes) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(hour.unix_timestamp())
    .bind(bounded(&rejection.topic))
    .bind(bounded(&rejection.reason))
    .bind(rejection.fields.join(" "))
    .bind(i64::try_from(rejection.payload_bytes).unwrap_or(i64::MAX))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_section(connection: &mut SqliteConnection, section: &Section) -> Result<(), StoreError> {
    let line: Vec<[f64; 2]> = section.line.iter().map(|p| [p.lon, p.lat]).collect();
    let line = serde_json::to_string(&line).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    sqlx::query("INSERT INTO sections (id, name, road_class, one_way, length_metres, line) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&section.id.0)
        .bind(&section.name)
        .bind(section.road_class.name())
        .bind(section.one_way)
        .bind(section.length_metres)
        .bind(line)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_fact(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO facts (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}
