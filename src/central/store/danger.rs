//! Dangers: taken once, listed, acknowledged by a person.

use sqlx::{Sqlite, Transaction};

use super::{Change, Store, StoreError, rows};
use crate::central::model::Danger;
use crate::schema::EventId;

impl Store {
    /// The newest hour first; `acknowledged` lets only those through of which it is or is not true.
    pub async fn dangers(&self, acknowledged: Option<bool>, limit: u32) -> Result<Vec<Danger>, StoreError> {
        const SELECTED: &str = " WHERE (? IS NULL OR d.acknowledged = ?) ORDER BY d.hour DESC, d.id LIMIT ?";
        let rows = sqlx::query::<Sqlite>(sqlx::AssertSqlSafe(format!("{}{SELECTED}", rows::DANGERS)))
            .bind(acknowledged)
            .bind(acknowledged)
            .bind(i64::from(limit))
            .fetch_all(&self.shared.readers)
            .await?;
        rows.iter().map(rows::danger).collect()
    }

    /// A person has seen it. Saying so again changes nothing; `None` when there is no such danger.
    pub async fn acknowledge(&self, id: EventId) -> Result<Option<Danger>, StoreError> {
        let mut transaction = self.shared.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = sqlx::query("UPDATE dangers SET acknowledged = 1 WHERE id = ? AND acknowledged = 0")
            .bind(&id.as_bytes()[..])
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let row = sqlx::query::<Sqlite>(sqlx::AssertSqlSafe(format!("{} WHERE d.id = ?", rows::DANGERS)))
            .bind(&id.as_bytes()[..])
            .fetch_optional(&mut *transaction)
            .await?;
        let danger = row.as_ref().map(rows::danger).transpose()?;
        transaction.commit().await?;
        if let Some(danger) = danger.as_ref().filter(|_| changed > 0) {
            self.tell(vec![Change::Danger(Box::new(danger.clone()))]);
        }
        Ok(danger)
    }
}

/// False when it was there already; what a person said of it then stands. `model` is the row of what saw it.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    danger: &Danger,
    model: Option<i64>,
) -> Result<bool, StoreError> {
    let seen = danger.seen();
    let inserted = sqlx::query(
        "INSERT OR IGNORE INTO dangers (id, hour, marked_by, class, score, lat, lon, sigma, heading, length, width, area, \
         calibrated, simulated, model, device_tag, acknowledged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&danger.id.as_bytes()[..])
    .bind(danger.hour.unix_timestamp())
    .bind(danger.marked_by())
    .bind(seen.map(|seen| seen.class.code()))
    .bind(seen.map(|seen| f64::from(seen.score)))
    .bind(danger.position.lat)
    .bind(danger.position.lon)
    .bind(danger.sigma_metres)
    .bind(danger.heading_degrees)
    .bind(seen.map(|seen| seen.length_metres))
    .bind(seen.map(|seen| seen.width_metres))
    .bind(seen.map(|seen| seen.area_square_metres))
    .bind(seen.map(|seen| seen.calibrated))
    .bind(danger.simulated)
    .bind(model)
    .bind(rows::device_tag_bytes(danger.device_tag.as_ref()))
    .bind(danger.acknowledged)
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() > 0)
}
