//! The computer: how hot, how full, how much is written to its flash memory, how much memory and processor time it takes.
//!
//! Linux tells these in files; whoever asks says where `/sys` and `/proc` are, so that a test can lay them out.
//! What a machine does not tell is `None`, never a zero.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

/// From here on boards for vehicles slow down.
pub const WARM_CELSIUS: f64 = 75.0;
/// From here on they switch off before long.
pub const HOT_CELSIUS: f64 = 85.0;
/// A system clock that is further off GNSS time is not to be trusted: it makes the times of events wrong.
pub const CLOCK_OFF_SECONDS: f64 = 2.0;
/// What may be written in a day so that flash memory lasts for years.
pub const MOST_WRITTEN_BYTES: u64 = 1_000_000_000;

const FLASH_FILE: &str = "flash.json";
/// Between two writes of the day's sum: a sum that is kept must not itself wear the flash memory out.
const KEEP_EVERY: time::Duration = time::Duration::minutes(10);

/// Where the system's files are.
#[derive(Debug, Clone)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into() }
    }
}

/// A thermal zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// As the kernel names it: `cpu-thermal`.
    pub place: String,
    pub celsius: f64,
}

/// The file system that a folder lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// For whoever is not root.
    pub free_bytes: u64,
    pub total_bytes: u64,
    pub read_only: bool,
}

impl Disk {
    /// Of the file system of `folder`, or of the nearest folder above it that is there.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
        let stat = rustix::fs::statvfs(there)?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// The hottest of all thermal zones; zones that cannot be read, as those of parts that are switched off, are passed over.
#[must_use]
pub fn hottest(roots: &Roots) -> Option<Temperature> {
    let zones = fs::read_dir(roots.sys.join("class/thermal")).ok()?.flatten();
    let zones = zones.filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"));
    let temperature = |zone: fs::DirEntry| {
        let millis: f64 = text(&zone.path().join("temp"))?.parse().ok()?;
        let place = text(&zone.path().join("type")).unwrap_or_else(|| zone.file_name().to_string_lossy().into_owned());
        Some(Temperature { place, celsius: millis / 1000.0 })
    };
    zones.filter_map(temperature).max_by(|a, b| a.celsius.total_cmp(&b.celsius))
}

/// What this process holds in memory.
#[must_use]
pub fn memory_bytes(roots: &Roots) -> Option<u64> {
    let kibibytes = field(&roots.proc.join("self/status"), "VmRSS:")?;
    kibibytes.trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What this process has had written to disks since it began; a page that is written twice before it reaches the disk
/// counts once.
#[must_use]
pub fn written_bytes(roots: &Roots) -> Option<u64> {
    field(&roots.proc.join("self/io"), "write_bytes:")?.parse().ok()
}

/// What all threads of this process have computed.
#[must_use]
pub fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value of the line that begins with `name`.
fn field(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// How much was written on one day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: Date,
    bytes: u64,
}

/// Sums up what the program writes in a day, over restarts: a program that falls and starts anew again and again writes too.
///
/// A kill loses what was written since the sum was last kept, ten minutes at most.
#[derive(Debug)]
pub struct FlashMeter {
    path: PathBuf,
    day: Option<Day>,
    /// Of the process, when last seen.
    written_before: u64,
    kept_at: Option<OffsetDateTime>,
}

impl FlashMeter {
    /// Goes on with what `folder` holds; what cannot be read there counts as nothing.
    #[must_use]
    pub fn kept_in(folder: &Path) -> Self {
        let path = folder.join(FLASH_FILE);
        let day = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, day, written_before: 0, kept_at: None }
    }

    /// The day's sum, when the process has written `written_bytes` since it began. A clock that is set to another day begins
    /// a new sum.
    pub fn see(&mut self, written_bytes: u64, now: OffsetDateTime) -> u64 {
        let more = written_bytes.saturating_sub(self.written_before);
        self.written_before = written_bytes;
        let today = now.to_offset(time::UtcOffset::UTC).date();
        let before = self.day.filter(|kept| kept.day == today).map_or(0, |kept| kept.bytes);
        let day = Day { day: today, bytes: before.saturating_add(more) };
        self.day = Some(day);
        if self.kept_at.is_none_or(|at| (now - at).abs() >= KEEP_EVERY) {
            self.kept_at = Some(now);
            self.keep();
        }
        day.bytes
    }

    /// Also at the end of a run.
    pub fn keep(&self) {
        let Some(day) = self.day else { return };
        let new = self.path.with_extension("new");
        let written = serde_json::to_vec(&day)
            .map_err(io::Error::other)
            .and_then(|bytes| fs::write(&new, bytes))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            tracing::warn!("{}: the day's sum of what was written cannot be kept: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn roots(folder: &Path) -> Roots {
        Roots { sys: folder.join("sys"), proc: folder.join("proc") }
    }

    fn zone(folder: &Path, number: u32, kind: &str, temp: &str) {
        let zone = folder.join(format!("sys/class/thermal/thermal_zone{number}"));
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("type"), format!("{kind}\n")).unwrap();
        fs::write(zone.join("temp"), temp).unwrap();
    }

    #[test]
    fn the_hottest_zone_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(hottest(&roots(folder.path())), None, "a machine without zones");
        zone(folder.path(), 0, "cpu-thermal", "61234\n");
        zone(folder.path(), 1, "gpu-thermal", "72500\n");
        zone(folder.path(), 2, "modem", "");
        zone(folder.path(), 10, "board", "-5000\n");
        fs::create_dir_all(folder.path().join("sys/class/thermal/cooling_device0")).unwrap();
        let found = hottest(&roots(folder.path())).unwrap();
        assert_eq!((found.place.as_str(), found.celsius), ("gpu-thermal", 72.5));
    }

    #[test]
    fn a_disk_is_asked_even_for_a_folder_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (there, not_yet) = (Disk::of(folder.path()).unwrap(), Disk::of(&folder.path().join("a/b")).unwrap());
        assert_eq!(there.total_bytes, not_yet.total_bytes);
        assert!(there.total_bytes > 0 && there.free_bytes <= there.total_bytes && !there.read_only);
    }

    #[test]
    fn this_process_is_seen() {
        let roots = Roots::default();
        assert!(memory_bytes(&roots).unwrap() > 1 << 20);
        let before = cpu_time();
        // Looking at a clock takes time too.
        let started = std::time::Instant::now();
        while cpu_time() == before && started.elapsed() < Duration::from_secs(10) {}
        assert!(cpu_time() > before);
        assert_eq!(memory_bytes(&Roots { proc: "/nowhere".into(), ..roots }), None);
    }

    #[test]
    fn what_the_kernel_says_of_writing_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc/self")).unwrap();
        let text =
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6144\ncancelled_write_bytes: 7\n";
        fs::write(folder.path().join("proc/self/io"), text).unwrap();
        assert_eq!(written_bytes(&roots(folder.path())), Some(6144));
    }

    #[test]
    fn a_day_is_summed_up_over_restarts_and_a_new_day_begins_at_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = datetime!(2026-05-01 23:00 UTC);
        let mut meter = FlashMeter::kept_in(folder.path());
        assert_eq!([meter.see(10, at), meter.see(30, at)], [10, 30]);
        meter.keep();
        let mut restarted = FlashMeter::kept_in(folder.path());
        assert_eq!(restarted.see(5, at + time::Duration::minutes(1)), 35, "a process counts from nothing");
        assert_eq!(restarted.see(6, at + time::Duration::hours(1)), 1, "after midnight");
        assert_eq!(restarted.see(8, at), 2, "a clock that was set back");
    }

    #[test]
    fn the_sum_is_written_down_rarely_and_a_broken_one_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FLASH_FILE);
        fs::write(&file, "{\"day\":").unwrap();
        let mut meter = FlashMeter::kept_in(folder.path());
        let at = datetime!(2026-05-01 10:00 UTC);
        let mut kept = |minutes: i64| {
            let _ = fs::remove_file(&file);
            meter.see(1, at + time::Duration::minutes(minutes));
            file.exists()
        };
        assert_eq!([0, 9, 10, 11].map(&mut kept), [true, false, true, false]);
    }
}
