//! What a purge leaves behind: nothing that went, neither in sight nor in the bytes of the files.

use std::collections::BTreeSet;

use time::macros::datetime;

use super::*;
use crate::central::associate::Reach;
use crate::central::testing::sighting;
use crate::schema::{DeviceTag, EventId, PassTag};

const DAY: (OffsetDateTime, OffsetDateTime) = (datetime!(2026-03-17 00:00 UTC), datetime!(2026-03-18 00:00 UTC));
const NOW: OffsetDateTime = datetime!(2026-03-17 10:12 UTC);

async fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("central.sqlite"), Profile::standard().unwrap()).await.unwrap()
}

fn tag(goes: bool) -> DeviceTag {
    DeviceTag(if goes { "aa" } else { "bb" }.repeat(16))
}

fn is_meant(event: &Match<'_>) -> bool {
    *event.tag == tag(true)
}

/// Every third goes, and the last of them; each is a thing of its own.
fn town() -> Vec<Sighting> {
    let seen = |number: u32| {
        let metres = 9.7 * f64::from(number);
        let sighting = sighting(number, &format!("pass {number}"), metres, 1.3 * metres, 0.4);
        Sighting { device_tag: Some(tag(number.is_multiple_of(3))), ..sighting }
    };
    (1..=99).map(seen).collect()
}

fn incoming(sightings: &[Sighting]) -> Vec<Incoming> {
    sightings.iter().cloned().map(|s| Incoming::Sighting(Box::new(s))).collect()
}

fn picture(event_id: EventId) -> Incoming {
    Incoming::Evidence(Evidence { event_id, jpeg: vec![0xff, 0xd8, 0xff, 0xe0] })
}

/// Identity and place as SQLite writes them: real numbers in eight bytes, the corners in the R*Tree in four, rounded outwards.
fn traces(sighting: &Sighting) -> Vec<Vec<u8>> {
    let place = sighting.damage.position;
    let reach = Reach::of(&sighting.damage);
    let single = [reach.west, reach.east, reach.south, reach.north].map(|degrees| degrees as f32);
    let corners = single.into_iter().flat_map(|corner| [corner.next_down(), corner, corner.next_up()]);
    let mut traces: Vec<Vec<u8>> = corners.map(|corner| corner.to_be_bytes().to_vec()).collect();
    traces.extend([place.lat, place.lon].map(|degrees| degrees.to_be_bytes().to_vec()));
    traces.push(sighting.id.as_bytes().to_vec());
    traces
}

fn found(folder: &tempfile::TempDir, traces: &BTreeSet<Vec<u8>>) -> usize {
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap_or_default();
    let bytes = [read("central.sqlite"), read("central.sqlite-wal")].concat();
    let lengths: BTreeSet<usize> = traces.iter().map(Vec::len).collect();
    let windows = lengths.into_iter().flat_map(|length| bytes.windows(length));
    windows.filter(|window| traces.contains(*window)).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn no_file_holds_an_identity_or_a_place_of_what_went() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let town = town();
    for batch in incoming(&town).chunks(10) {
        store.commit(batch, NOW).await.unwrap();
    }
    let (going, staying): (Vec<_>, Vec<_>) = town.iter().partition(|s| s.device_tag == Some(tag(true)));
    let of = |sightings: &[&Sighting]| sightings.iter().flat_map(|s| traces(s)).collect::<BTreeSet<_>>();
    // Neighbours may share a corner.
    let gone: BTreeSet<_> = of(&going).difference(&of(&staying)).cloned().collect();
    assert!(found(&folder, &gone) > 5 * going.len(), "the traces are what the files hold");

    let purged = store.purge(DAY, true, is_meant).await.unwrap();
    assert_eq!((purged.sightings, purged.remains), (going.len() as u64, None));
    assert_eq!(found(&folder, &gone), 0, "traces of what went");
    assert_eq!(store.counts().await.unwrap().defects, staying.len() as u64);

    // The index finds its neighbours as before.
    let mut again = Sighting { id: EventId::from_bytes([9; 16]), ..staying[0].clone() };
    again.damage.pass = PassTag("another".into());
    store.commit(&incoming(&[again]), NOW).await.unwrap();
    assert_eq!(store.counts().await.unwrap().defects, staying.len() as u64);
}

#[tokio::test]
async fn pictures_that_come_after_their_event_went_go_with_the_next_purge() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let town = town();
    store.commit(&incoming(&town), NOW).await.unwrap();
    let earlier = picture(EventId::from_bytes([8; 16]));
    store.commit(&[earlier], DAY.0 - time::Duration::HOUR).await.unwrap();
    store.purge(DAY, true, is_meant).await.unwrap();
    // Number 3 is gone; number 1 is there and keeps its picture.
    store.commit(&[picture(town[2].id), picture(town[0].id)], NOW).await.unwrap();

    let counted = store.purge(DAY, false, is_meant).await.unwrap();
    assert_eq!(counted.stray_pictures, 1);
    assert_eq!(counted.to_string(), "0 sightings, 0 dangers, 0 stretches, 0 pictures, 1 pictures without an event");
    assert_eq!(store.counts().await.unwrap().evidence, 3, "only counted");
    assert_eq!(store.purge(DAY, true, is_meant).await.unwrap(), counted);
    assert_eq!(store.evidence(town[2].id).await.unwrap(), None);
    assert!(store.evidence(town[0].id).await.unwrap().is_some());
    assert_eq!(store.counts().await.unwrap().evidence, 2, "what came before the days is none of theirs");
}

#[tokio::test]
async fn a_log_from_which_somebody_still_reads_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store.commit(&incoming(&town()), NOW).await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 50").execute(&store.shared.writer).await.unwrap();
    let mut reading = store.shared.readers.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM sightings").fetch_one(&mut *reading).await.unwrap();
    assert_eq!(store.purge(DAY, true, is_meant).await.unwrap().remains, Some(Remains::Log));
    reading.rollback().await.unwrap();
    assert_eq!(store.purge(DAY, true, is_meant).await.unwrap().remains, None);
}
