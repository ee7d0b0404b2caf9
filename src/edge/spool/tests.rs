use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;
use crate::schema::event::tests as schema_tests;

pub(super) fn event(evidence_bytes: Option<usize>) -> (Event, Option<Vec<u8>>) {
    let mut event = Event { id: EventId::random(), ..schema_tests::damage() };
    event.data.damage_mut().has_evidence = evidence_bytes.is_some();
    (event, evidence_bytes.map(|n| vec![0xff; n]))
}

pub(super) const SMALL: SpoolSettings = SpoolSettings { quota_bytes: MIN_QUOTA_BYTES, batching: Batching::Off };

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
