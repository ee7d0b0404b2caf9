//! Coverage: taken once, found by time and place.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use time::OffsetDateTime;

use super::{Store, StoreError, rows};
use crate::central::model::DrivenStretch;
use crate::geo::LatLon;
use crate::schema::{EventId, Ordinal, PassTag, RoadCoverage};

/// West, south, east, north of an area, in degrees.
pub type Bounds = [f64; 4];

/// Which coverage is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct CoverageFilter {
    /// Whatever touches it.
    pub bounds: Option<Bounds>,
    pub from: Option<OffsetDateTime>,
    /// Before this hour.
    pub until: Option<OffsetDateTime>,
    pub limit: u32,
}

impl Store {
    /// The newest hour first; within an hour in no order that means anything.
    pub async fn coverage(&self, filter: &CoverageFilter) -> Result<Vec<DrivenStretch>, StoreError> {
        // The middle of a stretch that touches the area is no further from it than half a stretch, so it is looked for in
        // a slightly larger one by the index, and then exactly.
        const SELECTED: &str = "SELECT c.*, m.name AS model_name, m.version AS model_version, m.sha256 AS model_sha256, \
             m.trial AS model_trial FROM coverage c JOIN models m ON m.id = c.model \
             WHERE c.lat BETWEEN ?2 - 0.002 AND ?4 + 0.002 AND c.lon BETWEEN ?1 - 0.004 AND ?3 + 0.004 \
             AND max(c.from_lat, c.to_lat) >= ?2 AND min(c.from_lat, c.to_lat) <= ?4 \
             AND max(c.from_lon, c.to_lon) >= ?1 AND min(c.from_lon, c.to_lon) <= ?3 \
             AND c.hour >= ?5 AND c.hour < ?6 ORDER BY c.hour DESC, c.id LIMIT ?7";
        let [west, south, east, north] = filter.bounds.unwrap_or([-180.0, -90.0, 180.0, 90.0]);
        let seconds = |at: Option<OffsetDateTime>, default: i64| at.map_or(default, OffsetDateTime::unix_timestamp);
        let rows = sqlx::query(SELECTED)
            .bind(west)
            .bind(south)
            .bind(east)
            .bind(north)
            .bind(seconds(filter.from, i64::MIN))
            .bind(seconds(filter.until, i64::MAX))
            .bind(i64::from(filter.limit))
            .fetch_all(&self.shared.readers)
            .await?;
        rows.iter().map(stretch).collect()
    }
}

/// False when it was there already.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    driven: &DrivenStretch,
    model: i64,
) -> Result<bool, StoreError> {
    let coverage = &driven.coverage;
    let middle = coverage.middle();
    let unusable = serde_json::to_string(&coverage.unusable).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let inserted = sqlx::query(
        "INSERT OR IGNORE INTO coverage (id, hour, from_lat, from_lon, to_lat, to_lon, lat, lon, accuracy, heading, \
         length, usable, unusable, calibrated, simulated, pass, ordinal, model, device_tag) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&driven.id.as_bytes()[..])
    .bind(driven.hour.unix_timestamp())
    .bind(coverage.from.lat)
    .bind(coverage.from.lon)
    .bind(coverage.to.lat)
    .bind(coverage.to.lon)
    .bind(middle.lat)
    .bind(middle.lon)
    .bind(coverage.accuracy_metres)
    .bind(coverage.heading_degrees)
    .bind(coverage.length_metres)
    .bind(coverage.usable_metres)
    .bind(unusable)
    .bind(coverage.calibrated)
    .bind(coverage.simulated)
    .bind(&coverage.pass.0)
    .bind(driven.ordinal.map(|ordinal| i64::from(ordinal.0)))
    .bind(model)
    .bind(rows::device_tag_bytes(driven.device_tag.as_ref()))
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

fn stretch(row: &SqliteRow) -> Result<DrivenStretch, StoreError> {
    let unusable: &str = row.try_get("unusable")?;
    let coverage = RoadCoverage {
        from: LatLon { lat: row.try_get("from_lat")?, lon: row.try_get("from_lon")? },
        to: LatLon { lat: row.try_get("to_lat")?, lon: row.try_get("to_lon")? },
        accuracy_metres: row.try_get("accuracy")?,
        heading_degrees: row.try_get("heading")?,
        length_metres: row.try_get("length")?,
        usable_metres: row.try_get("usable")?,
        unusable: serde_json::from_str(unusable).map_err(|e| StoreError::Corrupt(format!("unusable: {e}")))?,
        calibrated: row.try_get("calibrated")?,
        model: rows::model(row)?,
        simulated: row.try_get("simulated")?,
        pass: PassTag(row.try_get("pass")?),
    };
    Ok(DrivenStretch {
        id: EventId::from_bytes(rows::bytes(row.try_get("id")?)?),
        hour: rows::at(row.try_get("hour")?)?,
        ordinal: row.try_get::<Option<u32>, _>("ordinal")?.map(Ordinal),
        device_tag: rows::device_tag(row)?,
        coverage,
    })
}
