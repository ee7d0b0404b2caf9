//! Removes the events that a caller recognises, with their pictures, and makes the defects around them anew.
//!
//! What is removed is overwritten in the file, the index of places is built anew, and the file is written anew, so that no
//! free page, no node of the index and no write-ahead log still holds it. There is no way back but a backup of the file.
//!
//! A picture tells no device: it has no tag, its event has. One that comes in after its event was removed would stay for ever,
//! so a purge takes pictures without an event as well, whosever they are.

use std::collections::BTreeSet;
use std::fmt;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use time::OffsetDateTime;

use super::{Change, Store, StoreError, regroup, rows, write};
use crate::central::model::DefectId;
use crate::schema::{DeviceTag, EventId};

/// Where the record of what was purged stands.
const RECORD: &str = "purges";

/// An event as a purge may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Match<'e> {
    pub id: EventId,
    pub hour: OffsetDateTime,
    pub tag: &'e DeviceTag,
}

/// How much a purge has removed, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    pub sightings: u64,
    pub dangers: u64,
    /// Stretches of road that were driven.
    pub stretches: u64,
    /// Of these sightings and dangers.
    pub pictures: u64,
    /// Pictures without an event that arrived since the first of the days.
    pub stray_pictures: u64,
    /// Events of the same hours that carry no tag: nobody can tell whose they are.
    pub untagged: u64,
    /// Why what was removed may still be found in the files, if it may.
    pub remains: Option<Remains>,
}

/// How much, in words; not whose.
impl fmt::Display for Purged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sightings, {} dangers, {} stretches, {} pictures",
            self.sightings, self.dangers, self.stretches, self.pictures
        )?;
        match self.stray_pictures {
            0 => Ok(()),
            strays => write!(f, ", {strays} pictures without an event"),
        }
    }
}

/// Where what was removed may still stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Remains {
    #[error(
        "the file could not be written anew, so its free pages may still hold what was removed; stop the service and purge again"
    )]
    File,
    #[error(
        "the service is running and its log (the file with -wal) still holds what was removed; stop the service and purge again, \
         or it goes when the service has written on for some time"
    )]
    Log,
}

impl Store {
    /// Looks at all events with a tag whose hour is from `from` to before `until`, and removes those that `is_meant` knows;
    /// without `remove` they are only counted.
    pub async fn purge(
        &self,
        (from, until): (OffsetDateTime, OffsetDateTime),
        remove: bool,
        is_meant: impl Fn(&Match<'_>) -> bool,
    ) -> Result<Purged, StoreError> {
        let network = self.network();
        let mut transaction = self.shared.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut purged = Purged::default();
        let hours = (from.unix_timestamp(), until.unix_timestamp());
        let sightings = events(&mut transaction, "sightings", hours, &is_meant, &mut purged.untagged).await?;
        let dangers = events(&mut transaction, "dangers", hours, &is_meant, &mut purged.untagged).await?;
        let stretches = events(&mut transaction, "coverage", hours, &is_meant, &mut purged.untagged).await?;
        purged.stretches = stretches.len() as u64;
        (purged.sightings, purged.dangers) = (sightings.len() as u64, dangers.len() as u64);
        for id in sightings.iter().chain(&dangers) {
            purged.pictures += pictures(&mut transaction, *id).await?;
        }
        purged.stray_pictures = strays(&mut transaction, from, remove).await?;
        if !remove {
            return Ok(purged);
        }

        let (around, defects) = neighbours(&mut transaction, &sightings).await?;
        for id in &dangers {
            delete(&mut transaction, "DELETE FROM dangers WHERE id = ?", *id).await?;
        }
        for id in &stretches {
            delete(&mut transaction, "DELETE FROM coverage WHERE id = ?", *id).await?;
        }
        for id in &sightings {
            delete(&mut transaction, "DELETE FROM reach WHERE seq = (SELECT seq FROM sightings WHERE id = ?)", *id)
                .await?;
            delete(&mut transaction, "DELETE FROM sightings WHERE id = ?", *id).await?;
        }
        for id in sightings.iter().chain(&dangers) {
            delete(&mut transaction, "DELETE FROM evidence WHERE event = ?", *id).await?;
        }
        let mut changes = regroup::around(&mut transaction, &around, &network, &self.shared.profile).await?;
        for defect in defects {
            let emptied = sqlx::query(
                "DELETE FROM defects WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sightings WHERE defect = defects.id)",
            )
            .bind(&defect.as_bytes()[..])
            .execute(&mut *transaction)
            .await?;
            if emptied.rows_affected() > 0 {
                changes.push(Change::Gone(defect));
            }
        }
        build_index_anew(&mut transaction).await?;
        changes.push(Change::Status);
        self.record(&mut transaction, (from, until), purged).await?;
        transaction.commit().await?;
        self.tell(changes);
        purged.remains = self.write_anew().await;
        Ok(purged)
    }

    /// A transaction cannot do this, and it needs a moment in which nobody else writes.
    async fn write_anew(&self) -> Option<Remains> {
        if let Err(error) = sqlx::query("VACUUM").execute(&self.shared.writer).await {
            tracing::warn!(%error, "the store cannot be written anew");
            return Some(Remains::File);
        }
        // That somebody still reads from the log is no error here, but the first column of an answer.
        let emptied = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.shared.writer).await;
        match emptied {
            Ok(0_i64) => None,
            Ok(_) => Some(Remains::Log),
            Err(error) => {
                tracing::warn!(%error, "the store's log cannot be emptied");
                Some(Remains::Log)
            }
        }
    }

    /// How often something was purged and how much, without saying whose it was: that would be a record of who drove.
    async fn record(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        (from, until): (OffsetDateTime, OffsetDateTime),
        purged: Purged,
    ) -> Result<(), StoreError> {
        let before: Option<String> = sqlx::query_scalar("SELECT value FROM facts WHERE key = ?")
            .bind(RECORD)
            .fetch_optional(&mut **transaction)
            .await?;
        let last_day = (until - time::Duration::SECOND).date();
        let line = format!("{} to {last_day}: {purged}", from.date());
        let lines = before.map_or_else(|| line.clone(), |before| format!("{before}\n{line}"));
        write::set_fact(transaction, RECORD, &lines).await
    }

    /// What was purged so far, a line for each time, the oldest first.
    pub async fn purges(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.fact(RECORD).await?.map(|lines| lines.lines().map(str::to_owned).collect()).unwrap_or_default())
    }
}

async fn events(
    transaction: &mut Transaction<'_, Sqlite>,
    table: &'static str,
    (from, until): (i64, i64),
    is_meant: &impl Fn(&Match<'_>) -> bool,
    untagged: &mut u64,
) -> Result<Vec<EventId>, StoreError> {
    let query = format!("SELECT id, hour, device_tag FROM {table} WHERE hour >= ? AND hour < ? ORDER BY id");
    let found =
        sqlx::query::<Sqlite>(sqlx::AssertSqlSafe(query)).bind(from).bind(until).fetch_all(&mut **transaction).await?;
    let mut meant = Vec::new();
    for row in &found {
        let Some(tag) = rows::device_tag(row)? else {
            *untagged += 1;
            continue;
        };
        let (id, hour) = identity(row)?;
        if is_meant(&Match { id, hour, tag: &tag }) {
            meant.push(id);
        }
    }
    Ok(meant)
}

fn identity(row: &SqliteRow) -> Result<(EventId, OffsetDateTime), StoreError> {
    Ok((EventId::from_bytes(rows::bytes(row.try_get("id")?)?), rows::at(row.try_get("hour")?)?))
}

async fn pictures(transaction: &mut Transaction<'_, Sqlite>, id: EventId) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM evidence WHERE event = ?")
        .bind(&id.as_bytes()[..])
        .fetch_one(&mut **transaction)
        .await?;
    Ok(count.unsigned_abs())
}

/// Counts the pictures that have come since then without any event of theirs, and deletes them if told to. While the events
/// that go are still there, theirs are not among them.
async fn strays(
    transaction: &mut Transaction<'_, Sqlite>,
    since: OffsetDateTime,
    remove: bool,
) -> Result<u64, StoreError> {
    const STRAY: &str = "FROM evidence WHERE received_at >= ? AND NOT EXISTS (SELECT 1 FROM sightings WHERE id = event) \
                         AND NOT EXISTS (SELECT 1 FROM dangers WHERE id = event)";
    let statement = |what: &str| sqlx::AssertSqlSafe(format!("{what} {STRAY}"));
    let since = since.unix_timestamp();
    if remove {
        let deleted = sqlx::query(statement("DELETE")).bind(since).execute(&mut **transaction).await?;
        return Ok(deleted.rows_affected());
    }
    let count: i64 = sqlx::query_scalar(statement("SELECT count(*)")).bind(since).fetch_one(&mut **transaction).await?;
    Ok(count.unsigned_abs())
}

/// A node of the R*Tree is a blob in which a deleted cell moves behind those that count and stays there: neither
/// `secure_delete` nor `VACUUM` looks into it.
async fn build_index_anew(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "CREATE TABLE reach_kept AS SELECT seq, west, east, south, north FROM reach; \
         DROP TABLE reach; \
         CREATE VIRTUAL TABLE reach USING rtree (seq, west, east, south, north); \
         INSERT INTO reach SELECT seq, west, east, south, north FROM reach_kept; \
         DROP TABLE reach_kept",
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The other sightings whose reach touches one that goes: each part into which a neighbourhood may fall holds one of them.
/// And the defects that lose a sighting.
async fn neighbours(
    transaction: &mut Transaction<'_, Sqlite>,
    going: &[EventId],
) -> Result<(Vec<i64>, BTreeSet<DefectId>), StoreError> {
    let (mut around, mut defects, mut own) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for id in going {
        let row = sqlx::query("SELECT seq, defect FROM sightings WHERE id = ?")
            .bind(&id.as_bytes()[..])
            .fetch_one(&mut **transaction)
            .await?;
        let seq: i64 = row.try_get("seq")?;
        own.insert(seq);
        let defect = row.try_get::<Option<&[u8]>, _>("defect")?.map(rows::bytes).transpose()?;
        defects.extend(defect.map(DefectId::from_bytes));
        let near: Vec<i64> = sqlx::query_scalar(
            "SELECT other.seq FROM reach AS one JOIN reach AS other ON other.west <= one.east \
             AND other.east >= one.west AND other.south <= one.north AND other.north >= one.south WHERE one.seq = ?",
        )
        .bind(seq)
        .fetch_all(&mut **transaction)
        .await?;
        around.extend(near);
    }
    Ok((around.difference(&own).copied().collect(), defects))
}

async fn delete(
    transaction: &mut Transaction<'_, Sqlite>,
    statement: &'static str,
    id: EventId,
) -> Result<(), StoreError> {
    sqlx::query(statement).bind(&id.as_bytes()[..]).execute(&mut **transaction).await?;
    Ok(())
}
