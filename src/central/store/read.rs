//! Queries for the API and the reports.

use sqlx::{Row, Sqlite, SqlitePool};

use super::rows::{self, sighting_columns};
use super::{Counts, DefectFilter, RejectedMessage, Rejection, Store, StoreError};
use crate::central::model::{Defect, DefectId, Section, SectionId, Sighting};
use crate::schema::{DamageClass, EventId};

/// A sighting of a defect, and whether its picture has arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct SightingWithPicture {
    pub sighting: Sighting,
    pub has_picture: bool,
}

impl Store {
    /// Defects by priority, highest first, and how many the filter lets through in all.
    pub async fn defects(&self, filter: &DefectFilter) -> Result<(Vec<Defect>, u64), StoreError> {
        const WHERE: &str = " WHERE priority >= ? AND (? IS NULL OR class = ?) AND (? IS NULL OR status = ?)";
        const ORDER: &str = " ORDER BY priority DESC, id LIMIT ?";
        let class = filter.class.map(DamageClass::code);
        let status = filter.status.map(super::DefectStatus::name);
        let least = filter.min_priority.unwrap_or(0.0);
        let limit = filter.limit.map_or(-1, i64::from);
        let pool = &self.shared.readers;
        let rows = sqlx::query::<Sqlite>(sqlx::AssertSqlSafe(format!("SELECT * FROM defects{WHERE}{ORDER}")))
            .bind(least)
            .bind(class)
            .bind(class)
            .bind(status)
            .bind(status)
            .bind(limit)
            .fetch_all(pool)
            .await?;
        let total: i64 =
            sqlx::query_scalar::<Sqlite, _>(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM defects{WHERE}")))
                .bind(least)
                .bind(class)
                .bind(class)
                .bind(status)
                .bind(status)
                .fetch_one(pool)
                .await?;
        Ok((rows.iter().map(rows::defect).collect::<Result<_, _>>()?, unsigned(total)))
    }

    pub async fn defect(&self, id: DefectId) -> Result<Option<(Defect, Vec<SightingWithPicture>)>, StoreError> {
        let pool = &self.shared.readers;
        let row =
            sqlx::query("SELECT * FROM defects WHERE id = ?").bind(&id.as_bytes()[..]).fetch_optional(pool).await?;
        let Some(row) = row else { return Ok(None) };
        let sightings = sqlx::query(concat!(
            "SELECT ",
            sighting_columns!(),
            ", e.event IS NOT NULL AS has_picture FROM sightings s JOIN models m ON m.id = s.model \
             LEFT JOIN evidence e ON e.event = s.id WHERE s.defect = ? ORDER BY s.hour DESC, s.id"
        ))
        .bind(&id.as_bytes()[..])
        .fetch_all(pool)
        .await?;
        let sightings = sightings
            .iter()
            .map(|row| {
                let has_picture = row.try_get("has_picture")?;
                Ok(SightingWithPicture { sighting: rows::sighting(row)?.sighting, has_picture })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Some((rows::defect(&row)?, sightings)))
    }

    pub async fn evidence(&self, event: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar("SELECT jpeg FROM evidence WHERE event = ?")
            .bind(&event.as_bytes()[..])
            .fetch_optional(&self.shared.readers)
            .await?)
    }

    /// The newest first.
    pub async fn rejected(&self, limit: u32) -> Result<Vec<RejectedMessage>, StoreError> {
        let rows = sqlx::query(
            "SELECT received_at, topic, reason, payload_fields, payload_bytes FROM rejected ORDER BY seq DESC LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.shared.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let fields: &str = row.try_get("payload_fields")?;
                let rejection = Rejection {
                    topic: row.try_get("topic")?,
                    reason: row.try_get("reason")?,
                    fields: fields.split_whitespace().map(str::to_owned).collect(),
                    payload_bytes: unsigned(row.try_get("payload_bytes")?),
                };
                Ok(RejectedMessage { received_at: rows::at(row.try_get("received_at")?)?, rejection })
            })
            .collect()
    }

    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM defects) AS defects, (SELECT count(*) FROM sightings) AS sightings, \
             (SELECT count(*) FROM dangers) AS dangers, \
             (SELECT count(*) FROM dangers WHERE acknowledged = 0) AS open_dangers, \
             (SELECT count(*) FROM rejected) AS rejected, (SELECT count(*) FROM evidence) AS evidence, \
             (SELECT count(*) FROM sections) AS sections, \
             EXISTS (SELECT 1 FROM sightings WHERE simulated = 1) \
             OR EXISTS (SELECT 1 FROM dangers WHERE simulated = 1) AS simulated, \
             EXISTS (SELECT 1 FROM models WHERE trial = 1) AS trial",
        )
        .fetch_one(&self.shared.readers)
        .await?;
        let last_event = self.fact("last_event_at").await?.and_then(|seconds| seconds.parse().ok());
        Ok(Counts {
            defects: unsigned(row.try_get("defects")?),
            sightings: unsigned(row.try_get("sightings")?),
            dangers: unsigned(row.try_get("dangers")?),
            open_dangers: unsigned(row.try_get("open_dangers")?),
            rejected: unsigned(row.try_get("rejected")?),
            evidence: unsigned(row.try_get("evidence")?),
            sections: unsigned(row.try_get("sections")?),
            simulated: row.try_get("simulated")?,
            trial_operation: row.try_get("trial")?,
            last_event_at: last_event.map(rows::at).transpose()?,
        })
    }

    /// Class and grade of each defect that lies on a section.
    pub async fn grades_by_section(&self) -> Result<Vec<(SectionId, DamageClass, f64)>, StoreError> {
        let rows =
            sqlx::query("SELECT section, class, grade FROM defects WHERE section IS NOT NULL ORDER BY section, id")
                .fetch_all(&self.shared.readers)
                .await?;
        rows.iter()
            .map(|row| {
                Ok((SectionId(row.try_get("section")?), rows::class(row.try_get("class")?)?, row.try_get("grade")?))
            })
            .collect()
    }

    /// What was imported last, as its importer described it.
    pub async fn network_source(&self) -> Result<Option<String>, StoreError> {
        self.fact("network_source").await
    }

    /// Whom the source of the street network wants to be named.
    pub async fn network_attribution(&self) -> Result<Option<String>, StoreError> {
        Ok(self.fact("network_attribution").await?.filter(|text| !text.is_empty()))
    }

    pub(super) async fn fact(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM facts WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.shared.readers)
            .await?)
    }
}

pub(super) async fn sections(pool: &SqlitePool) -> Result<Vec<Section>, StoreError> {
    let rows = sqlx::query("SELECT * FROM sections ORDER BY id").fetch_all(pool).await?;
    rows.iter().map(rows::section).collect()
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
