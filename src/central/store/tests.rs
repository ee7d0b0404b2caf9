use std::collections::BTreeSet;

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use time::macros::datetime;

use super::*;
use crate::central::replay::defects_of;
use crate::central::testing::sighting;
use crate::schema::{EventId, PassTag};

const NOW: OffsetDateTime = datetime!(2026-03-17 10:12 UTC);

async fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("central.sqlite"), Profile::standard().unwrap()).await.unwrap()
}

fn town(seed: u64, passes: u32, things: u32) -> Vec<Sighting> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let places: Vec<(f64, f64)> =
        (0..things).map(|_| (rng.random::<f64>() * 400.0, rng.random::<f64>() * 400.0)).collect();
    let mut sightings = Vec::new();
    for pass in 0..passes {
        for (index, place) in places.iter().enumerate() {
            let (east, north) = (place.0 + rng.random::<f64>(), place.1 + rng.random::<f64>());
            let tag = format!("{pass}-{}-{}", (east / 100.0).floor(), (north / 100.0).floor());
            sightings.push(sighting(pass * 100_000 + index as u32, &tag, east, north, 0.6));
        }
    }
    sightings
}

fn incoming(sightings: &[Sighting]) -> Vec<Incoming> {
    sightings.iter().cloned().map(|s| Incoming::Sighting(Box::new(s))).collect()
}

/// What a defect says, without its identity.
fn contents(defects: &[Defect]) -> BTreeSet<String> {
    defects.iter().map(|d| format!("{:?} {} {}", d.summary, d.grade, d.priority)).collect()
}

#[tokio::test]
async fn arrival_order_batches_and_repetition_change_nothing() {
    let sightings = town(7, 3, 60);
    let wanted = defects_of(sightings.clone(), &Network::default(), &Profile::standard().unwrap());
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut messages = incoming(&sightings);
        messages.extend(incoming(&sightings[..50]));
        messages.shuffle(&mut rng);
        for batch in messages.chunks(1 + seed as usize * 13) {
            store.commit(batch, NOW).await.unwrap();
        }
        let (defects, total) = store.defects(&DefectFilter::default()).await.unwrap();
        assert_eq!(total, wanted.len() as u64);
        assert_eq!(contents(&defects), contents(&wanted), "seed {seed}");
        assert_eq!(store.counts().await.unwrap().sightings, sightings.len() as u64);
    }
}

#[tokio::test]
async fn a_defect_keeps_its_id_while_sightings_join() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store.commit(&incoming(&[sighting(1, "a", 0.0, 0.0, 0.8)]), NOW).await.unwrap();
    let first = store.defects(&DefectFilter::default()).await.unwrap().0[0].id;
    let mut changes = store.changes();
    store.commit(&incoming(&[sighting(2, "b", 0.5, 0.0, 0.8)]), NOW).await.unwrap();
    let (defect, sightings) = store.defect(first).await.unwrap().unwrap();
    assert_eq!((defect.summary.sightings, sightings.len()), (2, 2));
    assert!(matches!(changes.try_recv(), Ok(Change::Defect(d)) if d.id == first && d.summary.sightings == 2));
    let again = store.commit(&incoming(&[sighting(2, "b", 0.5, 0.0, 0.8)]), NOW).await.unwrap();
    assert_eq!((again.new_sightings, again.repeated), (0, 1));
}

#[tokio::test]
async fn pictures_find_their_defect_before_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let picture = |number: u32| {
        let event_id = sighting(number, "", 0.0, 0.0, 1.0).id;
        Incoming::Evidence(Evidence { event_id, jpeg: vec![0xff, 0xd8, 0xff, number as u8] })
    };
    store.commit(&[picture(1)], NOW).await.unwrap();
    store.commit(&incoming(&[sighting(1, "a", 0.0, 0.0, 0.8), sighting(2, "a", 50.0, 0.0, 0.8)]), NOW).await.unwrap();
    store.commit(&[picture(2), picture(2)], NOW).await.unwrap();
    let (defects, _) = store.defects(&DefectFilter::default()).await.unwrap();
    assert!(defects.iter().all(|d| d.evidence.is_some()), "{defects:?}");
    for defect in defects {
        let event: EventId = defect.evidence.unwrap();
        assert!(store.evidence(event).await.unwrap().unwrap().starts_with(&[0xff, 0xd8]));
    }
    assert_eq!(store.counts().await.unwrap().evidence, 2);
}

fn rejection() -> Rejection {
    let fields = ["type", "data", "data.position"].map(str::to_owned).to_vec();
    Rejection { topic: "a/b".into(), reason: "no topic".into(), fields, payload_bytes: 10_000 }
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let store = store(&folder).await;
        store.commit(&incoming(&town(3, 2, 20)), NOW).await.unwrap();
        store.commit(&[Incoming::Rejected(rejection())], NOW).await.unwrap();
        let defects = store.defects(&DefectFilter::default()).await.unwrap().0;
        store.close().await;
        defects
    };
    let store = store(&folder).await;
    assert_eq!(store.defects(&DefectFilter::default()).await.unwrap().0, before);
    assert_eq!(store.rejected(10).await.unwrap()[0].rejection, rejection());
    assert_eq!(store.counts().await.unwrap().last_event_at, Some(datetime!(2026-03-17 10:00 UTC)));
}

#[tokio::test]
async fn a_new_network_gives_defects_their_streets_and_keeps_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store.commit(&incoming(&[sighting(1, "a", 0.0, 10.0, 0.8)]), NOW).await.unwrap();
    let before = store.defects(&DefectFilter::default()).await.unwrap().0.remove(0);
    assert!(before.section.is_none());
    let origin = crate::central::testing::ORIGIN;
    let text = format!(
        r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{"name":"Am Markt","highway":"primary"}},
        "geometry":{{"type":"LineString","coordinates":[[{0},{1}],[{0},{2}]]}}}}]}}"#,
        origin.lon,
        origin.lat,
        origin.lat + 0.001
    );
    let file = folder.path().join("streets.geojson");
    std::fs::write(&file, text).unwrap();
    let sections = crate::central::network::read_sections(&file).unwrap();
    store.replace_network(sections, "test", None).await.unwrap();
    let after = store.defects(&DefectFilter::default()).await.unwrap().0.remove(0);
    assert_eq!(after.id, before.id);
    assert_eq!(after.section.as_ref().and_then(|s| s.name.as_deref()), Some("Am Markt"));
    assert!(after.priority > before.priority);
}

#[tokio::test]
async fn a_day_of_a_town_goes_in_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let messages = incoming(&town(11, 5, 600));
    let started = std::time::Instant::now();
    for batch in messages.chunks(500) {
        store.commit(batch, NOW).await.unwrap();
    }
    let rate = messages.len() as f64 / started.elapsed().as_secs_f64();
    println!("{rate:.0} sightings a second into a new store, {} in all", messages.len());
    // The aim is 1,000 a second on an idle machine; this bound leaves room for a busy one.
    assert!(rate > 200.0, "{rate:.0} sightings a second");
}

fn on_trial(mut sighting: Sighting, trial_operation: bool) -> Sighting {
    sighting.damage.model.trial_operation = trial_operation;
    sighting
}

#[tokio::test]
async fn a_model_on_trial_is_told_until_it_is_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    assert!(!store.counts().await.unwrap().trial_operation);
    store.commit(&incoming(&[on_trial(sighting(1, "a", 0.0, 0.0, 0.8), true)]), NOW).await.unwrap();
    assert!(store.counts().await.unwrap().trial_operation);
    let defect = store.defects(&DefectFilter::default()).await.unwrap().0[0].id;
    let (_, sightings) = store.defect(defect).await.unwrap().unwrap();
    assert!(sightings[0].sighting.damage.model.trial_operation);
    // The same model, whose manifest now shows what was measured.
    store.commit(&incoming(&[on_trial(sighting(2, "b", 0.0, 0.0, 0.8), false)]), NOW).await.unwrap();
    assert!(!store.counts().await.unwrap().trial_operation);
}

#[tokio::test]
async fn no_sighting_moves_a_defect_on_or_closes_it_least_of_all_one_by_a_model_on_trial() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let ids: BTreeSet<DefectId> = {
        store.commit(&incoming(&town(3, 1, 20)), NOW).await.unwrap();
        store.defects(&DefectFilter::default()).await.unwrap().0.iter().map(|d| d.id).collect()
    };
    // Repairs where the damages were, and then nothing there any more, pass after pass.
    let repaired = town(3, 1, 20).into_iter().enumerate().map(|(index, mut seen)| {
        seen.id = EventId::from_bytes([100 + index as u8; 16]);
        seen.damage.class = DamageClass::Repair;
        seen.damage.pass = PassTag("later".into());
        on_trial(seen, true)
    });
    store.commit(&incoming(&repaired.collect::<Vec<_>>()), NOW).await.unwrap();
    store.commit(&incoming(&[on_trial(sighting(9_999_999, "z", 900.0, 900.0, 0.9), true)]), NOW).await.unwrap();
    let (defects, _) = store.defects(&DefectFilter::default()).await.unwrap();
    assert!(defects.iter().all(|defect| defect.status == DefectStatus::New));
    let left: BTreeSet<DefectId> = defects.iter().map(|defect| defect.id).collect();
    assert!(ids.is_subset(&left), "a defect is gone");
}

#[tokio::test]
async fn an_older_store_forgets_minutes_names_of_devices_and_what_it_could_not_read() {
    use sqlx::{AssertSqlSafe, SqlitePool};

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.sqlite");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true).pragma("secure_delete", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let run = async |script: &'static str| sqlx::raw_sql(AssertSqlSafe(script)).execute(&pool).await.map(drop).unwrap();
    run(include_str!("migrations/0001_start.sql")).await;
    run(include_str!("migrations/0002_trial_operation.sql")).await;
    run("INSERT INTO evidence VALUES (x'01', 1773742331, x'ff'); \
         INSERT INTO facts VALUES ('last_event_at', '1773742331'), ('network_source', 'ab12'); \
         INSERT INTO rejected (received_at, topic, reason, payload, payload_bytes) VALUES \
         (1773742331, 'umsicht/1/soest/bus7/x', '\"umsicht/1/soest/bus7/x\" is no topic of this system', x'', 0), \
         (1773742331, 'umsicht/1/soest/road/event/road.damage', 'payload: \"09:47:11\" is no number', x'30393a34373a3131', 8);")
    .await;
    run(include_str!("migrations/0003_danger_and_hours.sql")).await;
    let hour = 1_773_741_600_i64;
    let text = async |query: &'static str| sqlx::query_scalar::<_, String>(query).fetch_all(&pool).await.unwrap();
    let times =
        "SELECT CAST(received_at AS TEXT) FROM evidence UNION ALL SELECT CAST(received_at AS TEXT) FROM rejected";
    assert!(text(times).await.iter().all(|time| *time == hour.to_string()));
    assert_eq!(text("SELECT value FROM facts ORDER BY key").await, [hour.to_string(), "ab12".to_owned()]);
    let topics = text("SELECT topic FROM rejected ORDER BY seq").await;
    assert_eq!(topics, ["umsicht/1/+/+", "umsicht/1/soest/road/event/road.damage"]);
    assert!(text("SELECT reason FROM rejected").await.iter().all(|reason| !reason.contains("bus7")));
    run(include_str!("migrations/0004_nothing_of_what_is_unreadable.sql")).await;
    assert_eq!(text("SELECT reason FROM rejected ORDER BY seq").await, ["no topic of this system", "payload"]);
    let columns = text("SELECT name FROM pragma_table_info('rejected')").await;
    assert!(!columns.contains(&"payload".to_owned()) && columns.contains(&"payload_bytes".to_owned()), "{columns:?}");
    pool.close().await;
    assert!(
        !std::fs::read(&file).unwrap().windows(8).any(|window| window == b"09:47:11"),
        "gone from the file as well"
    );
}

#[tokio::test]
async fn dangers_of_before_marks_stay_and_a_mark_says_no_class() {
    use sqlx::{AssertSqlSafe, SqlitePool};

    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let mut old = pool.acquire().await.unwrap();
    for script in [
        include_str!("migrations/0001_start.sql"),
        include_str!("migrations/0002_trial_operation.sql"),
        include_str!("migrations/0003_danger_and_hours.sql"),
        "INSERT INTO models (id, name, version, sha256, trial) VALUES (3, 'road', '1', 'ab', 0); \
         INSERT INTO dangers VALUES (x'01', 1773741600, 'D40', 0.5, 50.0, 8.0, 1.5, 90.0, 0.8, 0.6, 0.4, 1, 0, 3, x'0a', 1);",
        include_str!("migrations/0006_marks.sql"),
        "INSERT INTO dangers (id, hour, marked_by, lat, lon, sigma, heading, simulated) \
         VALUES (x'02', 1773741600, 'driver', 50.0, 8.0, 7.0, 90.0, 0);",
    ] {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *old).await.unwrap();
    }
    let kept = "SELECT class || ' ' || length || ' ' || model || ' ' || hex(device_tag) || ' ' || acknowledged FROM dangers \
                WHERE marked_by IS NULL";
    let kept: Vec<String> = sqlx::query_scalar(kept).fetch_all(&mut *old).await.unwrap();
    assert_eq!(kept, ["D40 0.8 3 0A 1"]);
    let neither =
        "INSERT INTO dangers (id, hour, lat, lon, sigma, heading, simulated) VALUES (x'03', 0, 50.0, 8.0, 7.0, 9.0, 0)";
    assert!(sqlx::query(neither).execute(&mut *old).await.is_err(), "nobody says that it is one");
}
