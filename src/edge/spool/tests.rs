use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::schema::coverage::tests::coverage;
use crate::schema::event::{EventData, tests as schema_tests};
use crate::schema::{BlindReason, DeviceBlind, DeviceRecovered, RoadDamage, RoadDanger};

pub(super) fn event(evidence_bytes: Option<usize>) -> (Event, Option<Vec<u8>>) {
    let mut event = Event { id: EventId::random(), ..schema_tests::damage() };
    event.data.damage_mut().unwrap().has_evidence = evidence_bytes.is_some();
    (event, evidence_bytes.map(|n| vec![0xff; n]))
}

pub(super) const SMALL: SpoolSettings =
    SpoolSettings { quota_bytes: MIN_QUOTA_BYTES, batching: Batching::Off, secret: None };

fn open(folder: &Path) -> (Spool, Recovery) {
    Spool::open(folder, SMALL).unwrap()
}

/// Everything that would be sent, in order; it stays to be sent.
pub(super) fn waiting(spool: &Spool) -> Vec<Outgoing> {
    let all = std::iter::from_fn(|| spool.take_next(true).unwrap()).collect();
    spool.give_back_all();
    all
}

pub(super) fn ids(spool: &Spool) -> BTreeSet<EventId> {
    waiting(spool).iter().filter(|item| item.part == Part::Event).map(|item| item.id).collect()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    segment::list(&Folder::new(folder)).unwrap().into_iter().map(|n| folder.join(segment::name_of(n))).collect()
}

#[test]
fn events_come_before_pictures_and_both_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let committed = {
        let (spool, _) = open(folder.path());
        spool.commit_encoded(vec![event(Some(2000)), event(None)]).unwrap()
    };
    let (spool, recovery) = open(folder.path());
    assert_eq!(recovery, Recovery { items: 3, ..Recovery::default() });
    let found = waiting(&spool);
    let parts: Vec<_> = found.iter().map(|item| (item.part, item.id)).collect();
    assert_eq!(parts, [(Part::Event, committed[0]), (Part::Event, committed[1]), (Part::Evidence, committed[0])]);
    assert_eq!(Event::from_json(&found[0].payload).unwrap().id, committed[0]);
    assert_eq!(found[2].payload, vec![0xff; 2000]);
}

#[test]
fn what_is_acknowledged_and_flushed_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    let committed = spool.commit_encoded(vec![event(None), event(None)]).unwrap();
    spool.acknowledge(waiting(&spool)[0].ticket);
    drop(spool);
    let (spool, _) = open(folder.path());
    assert_eq!(ids(&spool), BTreeSet::from([committed[1]]));
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, _) = open(folder.path());
    let error = Spool::open(folder.path(), SMALL).err().unwrap();
    assert!(matches!(error, SpoolError::InUse(_)), "{error}");
}

#[test]
fn damage_in_the_middle_costs_one_record_and_keeps_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let committed = {
        let (spool, _) = open(folder.path());
        (0..3).map(|_| spool.commit_encoded(vec![event(None)]).unwrap()[0]).collect::<Vec<_>>()
    };
    let segment = segments(folder.path()).remove(0);
    let length = std::fs::metadata(&segment).unwrap().len();
    OpenOptions::new().write(true).open(&segment).unwrap().write_all_at(b"garbage", length / 2).unwrap();

    let (spool, recovery) = open(folder.path());
    assert_eq!(ids(&spool), BTreeSet::from([committed[0], committed[2]]));
    assert_eq!(recovery.set_aside.len(), 1);
    assert!(recovery.set_aside[0].exists(), "a damaged file is kept");
    drop(spool);
    let (spool, recovery) = open(folder.path());
    assert_eq!((ids(&spool).len(), recovery.set_aside.len()), (2, 0), "salvage happens once");
}

#[test]
fn under_pressure_pictures_go_first_and_every_loss_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    let picture_bytes = 100_000;
    let mut committed = BTreeSet::new();
    for _ in 0..100 {
        committed.extend(spool.commit_encoded(vec![event(Some(picture_bytes))]).unwrap());
        assert!(spool.stats().bytes_on_disk <= MIN_QUOTA_BYTES + MIN_QUOTA_BYTES / 16);
    }
    assert_eq!(ids(&spool), committed, "no event is given up for a picture");
    let stats = spool.stats();
    let kept = u64::try_from(stats.by_priority[&Priority::Evidence]).unwrap();
    assert!(kept > 10, "{stats:?}");
    assert_eq!(kept + stats.losses.of(Priority::Evidence), 100);
}

#[test]
fn sent_items_free_their_space() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    for _ in 0..100 {
        spool.commit_encoded(vec![event(Some(100_000))]).unwrap();
        waiting(&spool).iter().for_each(|item| spool.acknowledge(item.ticket));
    }
    assert_eq!(spool.stats().losses, Losses::default());
    assert!(segments(folder.path()).len() <= 3);
}

fn danger(damage: RoadDamage) -> EventData {
    EventData::RoadDanger(RoadDanger::Seen(damage))
}

fn event_of(kind: fn(RoadDamage) -> EventData) -> (Event, Option<Vec<u8>>) {
    let mut made = event(None).0;
    made.data = kind(made.data.damage().unwrap().clone());
    (made, None)
}

#[test]
fn what_is_committed_is_signed_with_the_devices_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = DeviceSecret::from_bytes([5; 32]);
    let settings = SpoolSettings { secret: Some(secret.clone()), ..SMALL };
    let (spool, _) = Spool::open(folder.path(), settings).unwrap();
    let event = event(None).0;
    let draft = Draft { source: event.source, time: event.time, ordinal: None, data: event.data, picture: None };
    spool.commit(vec![draft.clone(), draft]).unwrap();
    let sent: Vec<Event> = waiting(&spool).iter().map(|item| Event::from_json(&item.payload).unwrap()).collect();
    assert_ne!(sent[0].device_tag, sent[1].device_tag, "a tag is of one event");
    for event in sent {
        assert_eq!(event.device_tag, Some(secret.tag(event.id, event.time)));
    }
}

#[test]
fn a_danger_goes_before_what_came_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    spool.commit_encoded(vec![event(None), event(None)]).unwrap();
    let danger = spool.commit_encoded(vec![event_of(danger)]).unwrap()[0];
    assert_eq!(waiting(&spool)[0].id, danger);
}

fn operation(data: EventData) -> (Event, Option<Vec<u8>>) {
    (Event { data, ..event(None).0 }, None)
}

#[test]
fn a_blind_camera_is_told_at_once_and_coverage_with_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let batching = Batching::every(Duration::from_secs(3600)).unwrap();
    let (spool, _) = Spool::open(folder.path(), SpoolSettings { batching, ..SMALL }).unwrap();
    let since = schema_tests::damage().time;
    let blind = DeviceBlind { camera: "front".into(), reason: BlindReason::Covered, since };
    let recovered = DeviceRecovered { camera: "front".into(), reason: BlindReason::Covered, blind_seconds: 7 };
    let told =
        [EventData::RoadCoverage(coverage()), EventData::DeviceBlind(blind), EventData::DeviceRecovered(recovered)];
    let ids = spool.commit_encoded(told.map(operation).into()).unwrap();
    let sent: Vec<EventId> = waiting(&spool).iter().map(|item| item.id).collect();
    assert_eq!(sent, ids[1..], "in the order in which it happened");
    assert_eq!(spool.stats().waiting, 1);
}

#[test]
fn only_a_damage_comes_with_a_picture() {
    let picture = crate::edge::anonymise::tests::picture();
    let draft = |data| {
        let Event { source, time, .. } = schema_tests::damage();
        Draft { source, time, ordinal: None, data, picture: Some(picture.clone()) }
    };
    let (told, jpeg) = draft(schema_tests::damage().data).into_event(None);
    assert!(told.data.damage().unwrap().has_evidence && jpeg.is_some());
    assert_eq!(draft(EventData::RoadCoverage(coverage())).into_event(None).1, None);
}

#[test]
fn the_siren_sounds_before_the_disk_is_asked() {
    let disk = FaultyDisk::default();
    let spool = Spool::on_faulty_disk(&disk, SMALL).unwrap();
    disk.cut_at(disk.operations());
    let event = event(None).0;
    let draft = Draft { source: event.source, time: event.time, ordinal: None, data: event.data, picture: None };
    let mut sounded = 0;
    assert!(spool.raise(draft, |_| sounded += 1).is_err(), "the disk is dead");
    assert_eq!(sounded, 1);
}

#[test]
fn road_events_wait_for_their_batch_and_a_danger_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let batching = Batching::every(Duration::from_secs(3600)).unwrap();
    let settings = SpoolSettings { batching, ..SMALL };
    {
        let (spool, _) = Spool::open(folder.path(), settings.clone()).unwrap();
        spool.commit_encoded((0..20).map(|_| event(Some(100))).collect()).unwrap();
        let danger = spool.commit_encoded(vec![event_of(danger)]).unwrap()[0];
        let sent: Vec<EventId> = waiting(&spool).iter().map(|item| item.id).collect();
        assert_eq!(sent, [danger]);
        assert_eq!((spool.stats().waiting, spool.outstanding(true)), (40, 1));
    }
    // Opened again they still wait; nothing leaves early because the power was cut.
    let (spool, _) = Spool::open(folder.path(), settings.clone()).unwrap();
    assert_eq!((waiting(&spool).len(), spool.stats().waiting), (1, 40));
    drop(spool);
    let (spool, _) = open(folder.path());
    assert_eq!(waiting(&spool).len(), 41, "with batching off everything goes");
}

#[test]
fn a_batch_leaves_in_another_order_and_pictures_after_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { batching: Batching::every(Duration::from_secs(3600)).unwrap(), ..SMALL };
    let (spool, _) = Spool::open(folder.path(), settings.clone()).unwrap();
    let committed = spool.commit_encoded((0..50).map(|_| event(Some(100))).collect()).unwrap();
    let mut index = spool.lock_index();
    let hours_later = 3 * 3_600_000;
    let sent: Vec<(Ticket, index::Place)> = std::iter::from_fn(|| index.take_next(hours_later, true)).collect();
    drop(index);
    let sequences: Vec<u64> = sent.iter().map(|(ticket, _)| ticket.sequence).collect();
    let events: Vec<u64> = sequences.iter().copied().filter(|sequence| sequence % 2 == 0).collect();
    assert_eq!((sent.len(), events.len()), (100, committed.len()));
    let in_order = events.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((10..40).contains(&in_order), "{in_order} of 49 neighbours are in the order in which they were seen");
}

#[test]
fn what_became_due_without_a_connection_does_not_leave_in_one_burst() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { batching: Batching::every(Duration::from_secs(3600)).unwrap(), ..SMALL };
    let (spool, _) = Spool::open(folder.path(), settings.clone()).unwrap();
    spool.commit_encoded((0..50).map(|_| event(None)).collect()).unwrap();
    let danger = spool.commit_encoded(vec![event_of(danger)]).unwrap()[0];
    spool.lock_index().release_due(3 * 3_600_000);
    assert_eq!(spool.outstanding(true), 51);
    spool.spread_overdue();
    let sent: Vec<EventId> = waiting(&spool).iter().map(|item| item.id).collect();
    assert_eq!(sent, [danger], "a danger is told at once");
    assert_eq!(spool.stats().waiting, 50);
    let quarter = Duration::from_secs(900);
    assert!(spool.next_due().unwrap() < quarter);
    spool.lock_index().release_due(spool.millis() + 900_000);
    assert_eq!(spool.outstanding(true), 51);
}

/// A device that only delivers, and sees nothing new, must come to forget what it has delivered.
#[test]
fn what_is_delivered_without_a_commit_is_written_down_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    for _ in 0..30 {
        spool.commit_encoded((0..100).map(|_| event(None)).collect()).unwrap();
    }
    let before = segments(folder.path()).len();
    {
        // As when the active segment has no room for acknowledgements.
        let _busy = spool.lock_writer();
        while let Some(item) = spool.take_next(true).unwrap() {
            spool.acknowledge(item.ticket);
        }
    }
    assert!(spool.much_is_done());
    spool.flush().unwrap();
    assert!(!spool.much_is_done());
    assert!(segments(folder.path()).len() < before, "what is empty is gone");
    drop(spool);
    assert_eq!(ids(&open(folder.path()).0).len(), 0, "nothing is sent again");
}

#[test]
fn pictures_stay_while_they_may_not_go() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    spool.commit_encoded(vec![event(Some(100))]).unwrap();
    let event = spool.take_next(false).unwrap().unwrap();
    assert_eq!(event.part, Part::Event);
    assert_eq!(spool.take_next(false).unwrap(), None);
    assert_eq!((spool.outstanding(false), spool.outstanding(true), spool.stats().ready_pictures), (1, 2, 1));
    assert_eq!(spool.take_next(true).unwrap().unwrap().part, Part::Evidence);
}

#[test]
fn what_is_given_back_is_sent_again_first() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    spool.commit_encoded(vec![event(None), event(None), event(None)]).unwrap();
    let first = spool.take_next(true).unwrap().unwrap();
    let second = spool.take_next(true).unwrap().unwrap();
    spool.give_back(first.ticket);
    assert_eq!(spool.take_next(true).unwrap().unwrap(), first);
    assert_eq!(spool.give_back_all(), 2);
    assert_eq!(spool.take_next(true).unwrap().unwrap(), first);
    assert_eq!(spool.take_next(true).unwrap().unwrap(), second);
}

#[test]
fn full_segments_are_opened_by_their_summary_and_without_one_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (committed, acknowledged) = {
        let (spool, _) = open(folder.path());
        let committed: Vec<EventId> = (0..800).flat_map(|_| spool.commit_encoded(vec![event(None)]).unwrap()).collect();
        let done: Vec<Outgoing> = (0..300).map(|_| spool.take_next(true).unwrap().unwrap()).collect();
        done.iter().for_each(|item| spool.acknowledge(item.ticket));
        (committed, done.len())
    };
    let expected: BTreeSet<EventId> = committed[acknowledged..].iter().copied().collect();
    assert_eq!(ids(&open(folder.path()).0), expected);
    // Without its last bytes a full segment has no summary.
    let full = segments(folder.path());
    assert!(full.len() > 2, "{full:?}");
    for segment in &full[..full.len() - 1] {
        let file = OpenOptions::new().write(true).open(segment).unwrap();
        file.set_len(file.metadata().unwrap().len() - 4).unwrap();
    }
    let (spool, recovery) = open(folder.path());
    assert_eq!(ids(&spool), expected);
    assert!(recovery.set_aside.is_empty() && recovery.torn_bytes > 0, "{recovery:?}");
}

#[test]
fn no_sequence_is_used_twice_even_when_nothing_is_left_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut highest = None;
    for _ in 0..4 {
        let (spool, _) = open(folder.path());
        for _ in 0..300 {
            spool.commit_encoded(vec![event(None)]).unwrap();
            let item = spool.take_next(true).unwrap().unwrap();
            assert!(Some(item.ticket.sequence) > highest);
            highest = Some(item.ticket.sequence);
            spool.acknowledge(item.ticket);
        }
    }
}

/// Flash wears by the page: what a commit of one event costs, with everything beside it.
#[test]
fn an_event_costs_few_pages_even_when_each_is_committed_alone() {
    let disk = FaultyDisk::default();
    let spool = Spool::on_faulty_disk(&disk, SMALL).unwrap();
    let before = disk.page_bytes_written();
    for _ in 0..2000 {
        spool.commit_encoded(vec![event(None)]).unwrap();
        let item = spool.take_next(true).unwrap().unwrap();
        spool.acknowledge(item.ticket);
    }
    let bytes = (disk.page_bytes_written() - before) / 2000;
    assert!(bytes <= 16 * 1024, "{bytes} bytes per event");
}

#[test]
fn who_commits_at_the_same_time_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    let committed: BTreeSet<EventId> = std::thread::scope(|scope| {
        let commit = || (0..50).flat_map(|_| spool.commit_encoded(vec![event(None)]).unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(commit)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(committed.len(), 300);
    drop(spool);
    assert_eq!(ids(&open(folder.path()).0), committed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is cut off the end, everything before the cut is found again and the spool goes on working.
    #[test]
    fn a_torn_tail_costs_only_itself(cut_bytes in 1..3000u64) {
        let folder = tempfile::tempdir().unwrap();
        let (committed, ends) = {
            let (spool, _) = open(folder.path());
            let mut ends = Vec::new();
            let committed: Vec<_> = (0..6).map(|_| {
                let id = spool.commit_encoded(vec![event(None)]).unwrap()[0];
                ends.push(spool.stats().bytes_on_disk);
                id
            }).collect();
            (committed, ends)
        };
        let segment = segments(folder.path()).remove(0);
        let file = OpenOptions::new().write(true).open(segment).unwrap();
        let length = file.metadata().unwrap().len() - cut_bytes;
        file.set_len(length).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();

        let (spool, recovery) = open(folder.path());
        prop_assert_eq!(ids(&spool), committed[..whole].iter().copied().collect::<BTreeSet<_>>());
        prop_assert!(recovery.set_aside.is_empty());
        let next = spool.commit_encoded(vec![event(None)]).unwrap()[0];
        drop(spool);
        prop_assert!(ids(&open(folder.path()).0).contains(&next));
    }

    /// Against a model: commits, acknowledgements and restarts in any order.
    #[test]
    fn it_holds_what_was_committed_and_not_acknowledged(steps in prop::collection::vec(0..10u8, 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path()).0;
        let mut expected = BTreeSet::new();
        for step in steps {
            match step {
                0..5 => {
                    let events = (0..=step).map(|i| event((i == 3).then_some(30_000))).collect();
                    expected.extend(spool.commit_encoded(events).unwrap());
                }
                5..8 => for item in waiting(&spool).into_iter().take(usize::from(step)) {
                    spool.acknowledge(item.ticket);
                    if item.part == Part::Event {
                        expected.remove(&item.id);
                    }
                },
                _ => {
                    drop(spool);
                    spool = open(folder.path()).0;
                }
            }
            prop_assert_eq!(&ids(&spool), &expected);
        }
    }
}
