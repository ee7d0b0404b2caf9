//! The town keeps no time finer than the hour, and its log tells no event: what stands in a store and in a log can be read
//! years later, by people whom nobody thought of.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use time::{Duration, OffsetDateTime, UtcOffset};
use umsicht::schema::{Event, Topic};

use crate::central_coverage::{coverage_topic, driven};
use crate::central_devices::{danger, danger_topic};
use crate::central_service::{WAIT, config, damage_topic, event, publish, site, started, wait_for};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::umsicht;

const HOUR: i64 = 3600;
/// Sound, but of a kind that is not known here: it is rejected, and kept for inspection.
const UNKNOWN_KIND: &str = r#"{"specversion":"1.0","id":"03030303-0303-0303-0303-030303030303","source":"/umsicht/soest",
    "type":"road.gossip","time":"2026-03-17T09:47:11Z","data":{"position":{"lat":51.57123,"lon":8.11321}}}"#;

/// Events as a careless device would send them, with the very second, in a zone whose hours begin at half past.
fn careless(event: Event) -> Vec<u8> {
    let zone = UtcOffset::from_hms(5, 30, 0).unwrap();
    let second = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap().to_offset(zone);
    // Never by chance the full hour.
    let time = if second.unix_timestamp() % HOUR == 0 { second + Duration::SECOND } else { second };
    Event { time, ..event }.to_json()
}

fn messages() -> Vec<(String, Vec<u8>)> {
    let picture = Topic::RoadEvidence { site: site(), event_id: event(1).id };
    vec![
        (damage_topic(), careless(event(1))),
        (damage_topic(), careless(event(2))),
        (picture.to_string(), vec![0xff, 0xd8, 0xff, 0xe0]),
        (danger_topic(), careless(danger(3))),
        (coverage_topic(), careless(driven(4))),
        (damage_topic(), b"not json".to_vec()),
        (danger_topic(), b"not json".to_vec()),
        (damage_topic(), UNKNOWN_KIND.as_bytes().to_vec()),
    ]
}

/// Every value of every column that looks like a time of these days: where it stands, and its seconds since 1970.
async fn recent_times(database: &Path) -> Vec<(String, i64)> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(database).read_only(true)).await.unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let mut found = Vec::new();
    // The table of the migrations says when the program was installed, and how many nanoseconds each took.
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> '_sqlx_migrations'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info(?)").bind(&table).fetch_all(&pool).await.unwrap();
        for column in columns {
            let query = format!(
                "SELECT CAST(\"{column}\" AS TEXT) FROM \"{table}\" WHERE typeof(\"{column}\") IN ('integer', 'real', 'text')"
            );
            let values: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await.unwrap();
            let times = values.iter().filter_map(|value| value.parse::<f64>().ok()).flat_map(|number| {
                // Seconds, or the milli-, micro- or nanoseconds that somebody may think of one day.
                [1.0, 1e3, 1e6, 1e9].map(|unit| (number / unit).floor() as i64)
            });
            let recent = times.filter(|time| (now - 24 * HOUR..now + 24 * HOUR).contains(time));
            found.extend(recent.map(|time| (format!("{table}.{column}"), time)));
        }
    }
    pool.close().await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_finer_than_the_hour_is_stored() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let store = serving.store.clone();
    wait_for("all messages", async || {
        publish(broker.port(), messages()).await;
        let counts = store.counts().await.unwrap();
        (counts.sightings, counts.dangers, counts.evidence) == (2, 1, 1) && counts.rejected >= 3
    })
    .await;
    store.acknowledge(danger(3).id).await.unwrap().unwrap();
    stop.send(()).unwrap();
    serving.finished().await.unwrap();

    let found = recent_times(&folder.path().join("central.sqlite")).await;
    for column in [
        "sightings.hour",
        "dangers.hour",
        "coverage.hour",
        "evidence.received_at",
        "rejected.received_at",
        "facts.value",
    ] {
        assert!(found.iter().any(|(name, _)| name == column), "the scan did not see {column}: {found:?}");
    }
    let fine: Vec<_> = found.iter().filter(|(_, time)| time % HOUR != 0).collect();
    assert!(fine.is_empty(), "finer than the hour: {fine:?}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("09:47:11") && !holds("51.57123"), "what was rejected is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_no_event_and_no_device() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = format!(
        "site = \"soest\"\n[town]\nname = \"Soest\"\n[http]\nlisten = \"{address}\"\n\
         [broker]\nport = {}\n[store]\ndatabase = \"central.sqlite\"\n",
        broker.port()
    );
    let (file, log) = (folder.path().join("central.toml"), folder.path().join("log"));
    std::fs::write(&file, text).unwrap();
    let mut command = umsicht();
    command.args(["central", "serve", "--config"]).arg(&file).stdin(Stdio::null());
    let mut service = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let taken = || async {
        let url = format!("http://{address}/api/v1/status");
        let answer = tokio::task::spawn_blocking(move || {
            ureq::get(url).call().ok()?.body_mut().read_json::<serde_json::Value>().ok()
        });
        answer.await.unwrap().is_some_and(|status| status["dangers"] == 1 && status["sightings"] == 2)
    };
    let begun = std::time::Instant::now();
    while !taken().await {
        assert!(begun.elapsed() < 2 * WAIT, "waited in vain for the events");
        let mut all = messages();
        all.push(("umsicht/1/soest/bus7/status".into(), b"online".to_vec()));
        publish(broker.port(), all).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    service.kill().unwrap();
    service.wait().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("connected to the broker"), "{log}");
    for id in [event(1).id, event(2).id, danger(3).id, driven(4).id] {
        assert!(!log.contains(&id.to_string()), "{log}");
    }
    assert!(!log.contains("bus7"), "{log}");
}
