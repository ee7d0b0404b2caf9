//! The trial: power cuts on a disk that forgets what was not synced. Whatever part of the rest survives, nothing committed is
//! lost, and no loss for want of space goes uncounted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fault::FaultyDisk;
use super::tests::{SMALL, event, ids, waiting};
use super::*;

const CUTS: u64 = 1000;

fn open(disk: &FaultyDisk) -> Result<(Spool, Recovery), SpoolError> {
    Spool::open_on(Box::new(disk.clone()), Path::new("simulated"), None, SMALL)
}

/// What a run may rely on.
#[derive(Default)]
struct Truth {
    /// Commits that returned, by event.
    committed: BTreeSet<EventId>,
    acknowledged: BTreeSet<EventId>,
}

/// Commits and acknowledges by chance until the power goes or the steps are done.
fn work(spool: &Spool, truth: &mut Truth, dice: &mut ChaCha8Rng, steps: usize) {
    for _ in 0..steps {
        match dice.random_range(0..10) {
            0..6 => {
                let picture = dice.random_bool(0.5).then(|| dice.random_range(1_000..60_000));
                let events = (0..dice.random_range(1..4)).map(|_| event(picture)).collect();
                match spool.commit_encoded(events) {
                    Ok(ids) => truth.committed.extend(ids),
                    Err(SpoolError::Full) => {}
                    Err(_) => return,
                }
            }
            6..9 => {
                for _ in 0..dice.random_range(1..20) {
                    // The power may be off here too.
                    let Ok(Some(item)) = spool.take_next(true) else { break };
                    if dice.random_bool(0.8) {
                        spool.acknowledge(item.ticket);
                        if item.part == Part::Event {
                            truth.acknowledged.insert(item.id);
                        }
                    } else {
                        spool.give_back(item.ticket);
                    }
                }
            }
            _ => {
                if spool.flush().is_err() {
                    return;
                }
            }
        }
    }
}

/// After a cut: everything committed and not acknowledged is there, or its eviction is counted.
fn check(spool: &Spool, truth: &Truth, seed: u64) {
    let there = ids(spool);
    let missing = truth.committed.iter().filter(|id| !truth.acknowledged.contains(id) && !there.contains(id)).count();
    // Read by now, so that what cannot be read is counted.
    let losses = spool.stats().losses;
    let events: u64 = [Priority::Alarm, Priority::Danger, Priority::Damage].into_iter().map(|p| losses.of(p)).sum();
    assert!(missing as u64 <= events, "seed {seed}: {missing} events are gone, {events} evictions are counted");
    assert_eq!(losses.unreadable, 0, "seed {seed}");
}

#[test]
fn at_a_thousand_power_cuts_nothing_committed_is_lost() {
    let mut cuts_with_items = 0;
    for seed in 0..CUTS {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = FaultyDisk::default();
        let mut truth = Truth::default();
        // Several lives in a row, so that what one cut leaves behind meets the next one.
        for _ in 0..3 {
            disk.cut_at(disk.operations() + dice.random_range(1..400));
            if let Ok((spool, _)) = open(&disk) {
                work(&spool, &mut truth, &mut dice, 120);
            }
            disk = disk.after_the_cut(&mut dice);
        }
        let (spool, recovery) = open(&disk).unwrap();
        cuts_with_items += u64::from(recovery.items > 0);
        check(&spool, &truth, seed);
        let next = spool.commit_encoded(vec![event(None)]).unwrap()[0];
        assert!(ids(&spool).contains(&next), "seed {seed}: it goes on");
    }
    assert!(cuts_with_items > CUTS / 2, "the trial must have something to lose: {cuts_with_items}");
}

/// Under pressure what is needed is copied forward all the time; the power goes at each operation of that, several times, since
/// what survives is chance.
#[test]
fn what_is_copied_forward_survives_a_power_cut() {
    let press = |spool: &Spool, committed: &mut BTreeSet<EventId>, commits: usize| {
        for _ in 0..commits {
            match spool.commit_encoded(vec![event(Some(45_000))]) {
                Ok(ids) => committed.extend(ids),
                Err(_) => return,
            }
            // Half of the pictures are delivered, so that old segments hold what is needed beside what is not.
            while let Ok(Some(item)) = spool.take_next(true) {
                if item.part == Part::Evidence && item.ticket.sequence % 4 == 1 {
                    spool.acknowledge(item.ticket);
                }
            }
        }
    };
    let pressed = FaultyDisk::default();
    let mut before = BTreeSet::new();
    {
        let (spool, _) = open(&pressed).unwrap();
        press(&spool, &mut before, 120);
        assert!(spool.stats().bytes_on_disk > MIN_QUOTA_BYTES / 10 * 9, "there must be pressure");
    }
    let operations = {
        let disk = pressed.copy();
        let (spool, _) = open(&disk).unwrap();
        press(&spool, &mut BTreeSet::new(), 14);
        disk.operations()
    };
    for cut in 1..operations {
        for seed in 0..2 {
            let mut dice = ChaCha8Rng::seed_from_u64(cut * 100 + seed);
            let disk = pressed.copy();
            disk.cut_at(cut);
            let mut committed = before.clone();
            if let Ok((spool, _)) = open(&disk) {
                press(&spool, &mut committed, 14);
            }
            let (spool, _) = open(&disk.after_the_cut(&mut dice)).unwrap();
            let there = ids(&spool);
            assert!(committed.is_subset(&there), "an event is lost by a cut at {cut}, seed {seed}");
            assert_eq!(spool.stats().losses.unreadable, 0, "cut at {cut}, seed {seed}");
        }
    }
}

#[test]
fn a_disk_that_does_not_answer_for_a_while_costs_nothing() {
    let disk = FaultyDisk::default();
    let (spool, _) = open(&disk).unwrap();
    let committed: BTreeSet<EventId> = (0..20).flat_map(|_| spool.commit_encoded(vec![event(None)]).unwrap()).collect();
    disk.set_mute(true);
    assert_eq!(spool.take_next(true).unwrap(), None);
    disk.set_mute(false);
    assert_eq!(spool.stats().losses.unreadable, 0);
    spool.lock_index().release_due(spool.millis() + READ_AGAIN_MILLIS);
    assert_eq!(ids(&spool), committed);
}

#[test]
fn a_bit_in_a_header_costs_no_event() {
    for at in 0..24 {
        let disk = FaultyDisk::default();
        let committed: BTreeSet<EventId> = {
            let (spool, _) = open(&disk).unwrap();
            (0..20).flat_map(|_| spool.commit_encoded(vec![event(None)]).unwrap()).collect()
        };
        let name = disk.names().into_iter().find(|name| name.ends_with(".segment")).unwrap();
        disk.flip(&name, at);
        let (spool, recovery) = open(&disk).unwrap();
        assert_eq!(ids(&spool), committed, "byte {at}");
        assert_eq!(recovery.set_aside.len(), 1);
    }
}

#[test]
fn what_a_damaged_segment_says_is_done_stays_done() {
    let disk = FaultyDisk::default();
    let acknowledged = {
        let (spool, _) = open(&disk).unwrap();
        for _ in 0..400 {
            spool.commit_encoded(vec![event(None)]).unwrap();
        }
        let items: Vec<Outgoing> = (0..100).map(|_| spool.take_next(true).unwrap().unwrap()).collect();
        items.iter().for_each(|item| spool.acknowledge(item.ticket));
        spool.flush().unwrap();
        items.iter().map(|item| item.id).collect::<BTreeSet<_>>()
    };
    let mut segments: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect();
    segments.sort();
    assert!(segments.len() > 1, "what is done lies in another segment than what says so");
    disk.flip(segments.last().unwrap(), 100);
    for _ in 0..3 {
        let (spool, _) = open(&disk).unwrap();
        assert!(ids(&spool).is_disjoint(&acknowledged));
    }
}

/// Others fill the disk as fast as room is made on it: what is kept is worth more than what finds no room.
#[test]
fn a_disk_that_others_keep_full_does_not_wear_the_spool_down() {
    let disk = FaultyDisk::default();
    let (spool, _) = open(&disk).unwrap();
    let mut kept = BTreeSet::new();
    for _ in 0..3200 {
        kept.extend(spool.commit_encoded(vec![event(None)]).unwrap());
    }
    assert_eq!(ids(&spool).len(), 3200);
    disk.set_capacity(Some(0));
    for _ in 0..50 {
        assert!(spool.commit_encoded(vec![event(None)]).is_err());
    }
    let left = ids(&spool).len();
    assert!(left > 1800, "{left} of 3200 events are left after attempts that stored nothing");
    let lost = 3200 - left as u64;
    assert_eq!(spool.stats().losses.of(Priority::Damage), lost);
}

#[test]
fn evictions_are_counted_across_power_cuts() {
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let mut disk = FaultyDisk::default();
    let (mut committed, mut counted) = (0, 0);
    for _ in 0..6 {
        let (spool, _) = open(&disk).unwrap();
        assert!(spool.stats().losses.of(Priority::Evidence) >= counted, "a count never shrinks");
        for _ in 0..40 {
            spool.commit_encoded(vec![event(Some(60_000))]).unwrap();
            committed += 1;
        }
        counted = spool.stats().losses.of(Priority::Evidence);
        disk.cut_at(disk.operations());
        drop(spool);
        disk = disk.after_the_cut(&mut dice);
    }
    let (spool, _) = open(&disk).unwrap();
    let stats = spool.stats();
    let kept = stats.by_priority[&Priority::Evidence] as u64;
    assert_eq!(stats.losses.of(Priority::Evidence) + kept, committed);
    assert_eq!(ids(&spool).len() as u64, committed, "and no event has gone for a picture");
}

#[test]
fn a_full_disk_costs_what_is_least_urgent_and_is_counted() {
    let disk = FaultyDisk::default();
    let (spool, _) = open(&disk).unwrap();
    disk.set_capacity(Some(1_500_000));
    let mut committed = BTreeSet::new();
    for _ in 0..60 {
        committed.extend(spool.commit_encoded(vec![event(Some(50_000))]).expect("pictures make room"));
    }
    assert_eq!(ids(&spool), committed, "no event is given up for a picture");
    let stats = spool.stats();
    let pictures = stats.by_priority.get(&Priority::Evidence).copied().unwrap_or(0) as u64;
    assert_eq!(pictures + stats.losses.of(Priority::Evidence), 60);
    assert!(disk.used_bytes() <= 1_500_000);
    // With room again, the whole quota is used again.
    disk.set_capacity(None);
    for _ in 0..60 {
        spool.commit_encoded(vec![event(Some(50_000))]).unwrap();
    }
    let pictures = spool.stats().by_priority[&Priority::Evidence];
    assert!(pictures > 45, "{pictures}");
}

#[test]
fn a_disk_without_any_room_fails_the_commit_and_loses_nothing() {
    let disk = FaultyDisk::default();
    let (spool, _) = open(&disk).unwrap();
    let mut committed = BTreeSet::new();
    committed.extend(spool.commit_encoded(vec![event(None)]).unwrap());
    disk.set_capacity(Some(0));
    for _ in 0..3 {
        let error = spool.commit_encoded(vec![event(None)]).unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    assert_eq!(spool.stats().failed_commits, 3);
    disk.set_capacity(None);
    committed.extend(spool.commit_encoded(vec![event(None)]).unwrap());
    assert_eq!(ids(&spool), committed);
    drop(spool);
    assert_eq!(ids(&open(&disk).unwrap().0), committed, "also after a restart");
}

#[test]
fn flipped_bits_cost_a_record_and_are_counted() {
    let mut dice = ChaCha8Rng::seed_from_u64(5);
    for round in 0..60 {
        let disk = FaultyDisk::default();
        let committed: BTreeMap<EventId, u64> = {
            let (spool, _) = open(&disk).unwrap();
            (0..400).map(|number| (spool.commit_encoded(vec![event(None)]).unwrap()[0], number)).collect()
        };
        let segments: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect();
        assert!(segments.len() > 1, "a full segment and an open one: {segments:?}");
        let name = &segments[round % segments.len()];
        disk.flip(name, dice.random_range(0..disk.bytes_of(name)));
        let (spool, recovery) = open(&disk).unwrap();
        let found = ids(&spool);
        assert!(found.iter().all(|id| committed.contains_key(id)));
        let lost = committed.len() - found.len();
        // A byte of a header costs nothing when the records are sound, one in a record costs that record.
        assert!(lost <= 1, "{lost} events were lost by one bit in {name}");
        let told =
            spool.stats().losses.unreadable as usize + recovery.set_aside.len() + usize::from(recovery.torn_bytes > 0);
        assert!(lost == 0 || told > 0, "a loss that nobody is told of");
        let stats = spool.stats();
        waiting(&spool).iter().for_each(|item| spool.acknowledge(item.ticket));
        spool.flush().unwrap();
        assert!(stats.set_aside <= 1);
    }
}
