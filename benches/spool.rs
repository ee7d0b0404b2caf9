//! How fast, how small and how gentle to the flash the spool is, on a real disk: `make bench`.
//!
//!     cargo bench --bench spool -- [FOLDER] [EVENTS]
//!
//! Prints JSON. `reopen` opens a spool with so many waiting events in a process of its own, with the page cache emptied where
//! that is allowed. Bytes written are those that the kernel counts for the process (pages), and those of the block device
//! (everything that the machine writes meanwhile).

#![allow(clippy::unwrap_used, reason = "a trial that cannot go on stops where it is")]

mod damage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use umsicht::edge::batch::Batching;
use umsicht::edge::spool::{Draft, Spool, SpoolSettings};
use umsicht::geo::LatLon;
use umsicht::schema::event::EventData;
use umsicht::schema::{RoadDamage, RoadDanger};

const REOPEN: &str = "--reopen";
const DEFAULT_EVENTS: usize = 1_000_000;
/// Commits of the comparison with bare syncs.
const COMMITS: usize = 400;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, folder] = &arguments[..]
        && flag == REOPEN
    {
        println!("{}", reopen(Path::new(folder)));
        return;
    }
    let folder = arguments.first().map_or_else(|| std::env::temp_dir().join("umsicht-spool-bench"), PathBuf::from);
    let events = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(DEFAULT_EVENTS);
    let _ = std::fs::remove_dir_all(&folder);
    let report = json!({
        "commit": umsicht::COMMIT,
        "one_by_one": one_by_one(&folder.join("one")),
        "sustained": sustained(&folder.join("many")),
        "alarm_among_others": alarm_among_others(&folder.join("alarm")),
        "reopen": fill_and_reopen(&folder.join("large"), events),
    });
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    let _ = std::fs::remove_dir_all(&folder);
}

fn settings() -> SpoolSettings {
    SpoolSettings { quota_bytes: 8 << 30, batching: Batching::Off, secret: None }
}

fn draft(danger: bool) -> Draft {
    let seen = |damage| EventData::RoadDanger(RoadDanger::Seen(damage));
    let kind: fn(RoadDamage) -> EventData = if danger { seen } else { EventData::RoadDamage };
    damage::draft("soest", LatLon { lat: 51.571_234, lon: 8.105_678 }, kind)
}

/// Each event with a sync of its own, against the same number of bare appends and syncs of a kilobyte.
fn one_by_one(folder: &Path) -> Value {
    let (spool, _) = Spool::open(folder, settings()).unwrap();
    let before = Written::now(folder);
    let times = timed(COMMITS, || drop(spool.commit(vec![draft(true)]).unwrap()));
    let written = before.since(folder, COMMITS);
    let file = std::fs::File::create(folder.join("bare")).unwrap();
    let bare = timed(COMMITS, || {
        std::io::Write::write_all(&mut &file, &[7; 1024]).unwrap();
        file.sync_data().unwrap();
    });
    let ratio = times.total.as_secs_f64() / bare.total.as_secs_f64();
    json!({ "commit": times.json(), "bare_append_and_sync": bare.json(), "ratio": ratio, "written": written })
}

/// Several threads that commit at once share their syncs.
fn sustained(folder: &Path) -> Value {
    let (spool, _) = Spool::open(folder, settings()).unwrap();
    let (threads, each) = (8, 500);
    let before = Written::now(folder);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|_| drop(spool.commit(vec![draft(false)]).unwrap())));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    json!({
        "threads": threads,
        "events_per_second": f64::from(threads * each) / seconds,
        "written": before.since(folder, (threads * each) as usize),
    })
}

/// A commit of what is urgent, while four threads commit damages without a pause.
fn alarm_among_others(folder: &Path) -> Value {
    let (spool, _) = Spool::open(folder, settings()).unwrap();
    let end = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    spool.commit(vec![draft(false)]).unwrap();
                }
            });
        }
        let times = timed(COMMITS, || drop(spool.commit(vec![draft(true)]).unwrap()));
        end.store(true, Ordering::Relaxed);
        times
    });
    times.json()
}

fn fill_and_reopen(folder: &Path, events: usize) -> Value {
    let (spool, _) = Spool::open(folder, settings()).unwrap();
    let batch = 500;
    for number in 0..events / batch {
        spool.commit((0..batch).map(|_| draft(false)).collect()).unwrap();
        if number % 200 == 0 {
            eprintln!("filled {} of {events}", number * batch);
        }
    }
    drop(spool);
    // Only root may; said in the report.
    let cold = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    let output = Command::new(std::env::current_exe().unwrap()).arg(REOPEN).arg(folder).output().unwrap();
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["cold_page_cache"] = cold.into();
    report
}

fn reopen(folder: &Path) -> Value {
    let started = Instant::now();
    let (spool, recovery) = Spool::open(folder, settings()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let peak_bytes = status_kibibytes("VmHWM:") * 1024;
    assert_eq!(spool.len(), recovery.items);
    json!({ "items": recovery.items, "seconds": seconds, "peak_memory_bytes": peak_bytes })
}

struct Times {
    each: Vec<Duration>,
    total: Duration,
}

impl Times {
    fn json(&self) -> Value {
        let millis = |share: f64| {
            let at = ((self.each.len() - 1) as f64 * share).round() as usize;
            self.each[at].as_secs_f64() * 1e3
        };
        json!({ "count": self.each.len(), "p50_millis": millis(0.5), "p99_millis": millis(0.99), "max_millis": millis(1.0) })
    }
}

fn timed(count: usize, mut act: impl FnMut()) -> Times {
    let started = Instant::now();
    let mut each: Vec<Duration> = (0..count)
        .map(|_| {
            let started = Instant::now();
            act();
            started.elapsed()
        })
        .collect();
    let total = started.elapsed();
    each.sort_unstable();
    Times { each, total }
}

/// Bytes that went towards the disk.
struct Written {
    process: u64,
    device: Option<u64>,
}

impl Written {
    fn now(folder: &Path) -> Self {
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let process = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok());
        Self { process: process.unwrap_or(0), device: device_bytes(folder) }
    }

    fn since(&self, folder: &Path, events: usize) -> Value {
        let now = Self::now(folder);
        let device = now.device.zip(self.device).map(|(now, then)| (now - then) / events as u64);
        json!({
            "process_bytes_per_event": (now.process - self.process) / events as u64,
            "device_bytes_per_event": device,
        })
    }
}

/// Sectors written of the block device that holds the folder, in bytes.
fn device_bytes(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(folder).ok()?.dev();
    // As in the kernel's `sysmacros.h`.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & !0xff));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors * 512)
}

fn status_kibibytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
