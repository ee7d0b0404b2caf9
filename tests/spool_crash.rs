//! A writer that is killed at any moment loses no event whose commit had returned.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use umsicht::edge::spool::{Part, Spool};
use umsicht::schema::EventId;

use crate::support::{SMALL_SPOOL, damage, picture};

const FOLDER: &str = "UMSICHT_TEST_SPOOL";
const ROUNDS: u32 = 25;

/// The process to be killed: commits for ever, says each id when its commit has returned, acknowledges every third event.
#[test]
#[ignore = "started by the test below"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (spool, _) = Spool::open(Path::new(&folder), SMALL_SPOOL).unwrap();
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        let picture = (number % 7 == 0).then(picture);
        let ids = spool.commit(vec![damage(number, picture), damage(number, None)]).unwrap();
        writeln!(out, "committed {} {}", ids[0], ids[1]).unwrap();
        out.flush().unwrap();
        if number % 3 == 0 {
            let item = spool.take_next(true).unwrap().unwrap();
            if item.part == Part::Event {
                // Said before it is done: a kill in between must not look like a loss.
                writeln!(out, "acknowledged {}", item.id).unwrap();
                out.flush().unwrap();
            }
            spool.acknowledge(item.ticket);
        }
    }
}

#[test]
fn nothing_committed_is_lost_to_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let (mut committed, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    let mut rng = rand::rng();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool_crash::writer", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // Kill only a writer that writes.
        let mut first = String::new();
        while !first.contains("committed") {
            first.clear();
            assert!(out.read_line(&mut first).unwrap() > 0, "the writer ended by itself in round {round}");
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut said = first;
        out.read_to_string(&mut said).unwrap();
        // The last line may be cut off.
        for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let mut words = line.split_whitespace().skip_while(|word| *word != "committed" && *word != "acknowledged");
            let to = if words.next() == Some("committed") { &mut committed } else { &mut acknowledged };
            to.extend(words.map(|id| id.parse::<EventId>().unwrap()));
        }

        let (spool, recovery) = Spool::open(folder.path(), SMALL_SPOOL).unwrap();
        assert!(recovery.set_aside.is_empty(), "a crash is no damage");
        let held = held(&spool);
        let lost: Vec<_> = committed.difference(&held).filter(|id| !acknowledged.contains(id)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
    }
    assert!(committed.len() > 50, "only {} events were committed", committed.len());
}

fn held(spool: &Spool) -> BTreeSet<EventId> {
    let mut ids = BTreeSet::new();
    while let Some(item) = spool.take_next(true).unwrap() {
        if item.part == Part::Event {
            ids.insert(item.id);
        }
    }
    ids
}
