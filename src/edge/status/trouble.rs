//! What is wrong with this device and what to do about it, for whoever stands beside it. Pure.

use super::DeviceStatus;
use crate::edge::machine::{CLOCK_OFF_SECONDS, HOT_CELSIUS, MOST_WRITTEN_BYTES, WARM_CELSIUS};

/// Older than this, a fix places nothing.
const OLD_FIX_SECONDS: f64 = 10.0;
/// A receiver needs so long after a cold start, under an open sky.
const FIRST_FIX_SECONDS: u64 = 120;
const LEAST_FREE_BYTES: u64 = 256 << 20;
/// Above this share the spool is said to be nearly full.
const NEARLY_FULL: f64 = 0.8;
/// A connection takes a moment after the start.
const BROKER_SECONDS: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The device does not do what it is there for.
    Fault,
    /// It does, but not for long, or not as well as it could.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub severity: Severity,
    pub what: String,
    pub to_do: String,
}

/// Faults first, else in the order of the flow.
#[must_use]
pub fn troubles(status: &DeviceStatus) -> Vec<Trouble> {
    let mut found = Vec::new();
    let mut say = |severity, what: String, to_do: &str| {
        found.push(Trouble { severity, what, to_do: to_do.to_owned() });
    };
    if let Some(stuck) = &status.watchdog.stuck {
        say(
            Severity::Fault,
            format!("{stuck} stands still"),
            "wait: the watchdog starts the program anew; if it comes again, send the log: journalctl -u umsicht-edge",
        );
    }
    cameras(status, &mut say);
    position(status, &mut say);
    machine(status, &mut say);
    delivery(status, &mut say);
    if let Some(refused) = status.last_reload.as_ref().and_then(|reload| reload.refused.as_ref()) {
        say(
            Severity::Warning,
            format!("the last reload was refused, the configuration before is in use: {refused}"),
            "correct the file, try it with `umsicht edge check`, then: systemctl reload umsicht-edge",
        );
    }
    if let Some(refusal) = &status.models.last_refusal {
        say(
            Severity::Warning,
            format!("the last bundle of models was not kept: {refusal}"),
            "sign the bundle anew with a higher version, or leave the models as they are",
        );
    }
    found.sort_by_key(|trouble: &Trouble| trouble.severity);
    found
}

fn cameras(status: &DeviceStatus, say: &mut impl FnMut(Severity, String, &str)) {
    for (name, camera) in &status.cameras {
        if let Some(reason) = &camera.blind {
            let (what, to_do) = blindness(reason);
            let error = camera.last_error.as_ref().filter(|_| reason == "no_frames");
            let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
            say(Severity::Fault, format!("camera {name} {what}{error}"), to_do);
        }
        if camera.wrong_size > 0 {
            let (count, width, height) = (camera.wrong_size, camera.width_px, camera.height_px);
            say(
                Severity::Fault,
                format!(
                    "camera {name} gives {width}×{height}, its mounting was measured for another size: {count} pictures not judged"
                ),
                "set the camera to that size, or measure it anew: `umsicht edge calibrate`",
            );
        }
    }
}

fn blindness(reason: &str) -> (String, &'static str) {
    let (what, to_do) = match reason {
        "no_frames" => {
            ("gives no pictures", "check its cable and power; then `umsicht edge check` tells what it answers")
        }
        "frozen" => ("gives the same picture again and again", "take its power away for ten seconds"),
        "dark" => ("sees too little light", "take off the cover; at night this is as it should be"),
        "glare" => ("is dazzled", "wait for the sun to move; if it stays, clean the lens and fit a shade"),
        "covered" => ("is covered", "clean the lens and the windscreen before it"),
        "defocused" => ("is out of focus", "clean the lens; if it stays, focus it anew"),
        "moved" => {
            ("looks elsewhere than it was measured", "turn it back, or measure it anew: `umsicht edge calibrate`")
        }
        other => {
            return (
                format!("sees nothing: {other}"),
                "look at the camera; `umsicht edge check` tells what it answers",
            );
        }
    };
    (what.to_owned(), to_do)
}

fn position(status: &DeviceStatus, say: &mut impl FnMut(Severity, String, &str)) {
    let position = &status.position;
    let error = position.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    match position.fix_age_seconds {
        _ if !position.connected => say(
            Severity::Fault,
            format!("no answer from {}{error}", position.source),
            "check the receiver's cable; for gpsd: systemctl status gpsd",
        ),
        Some(age) if age > OLD_FIX_SECONDS => say(
            Severity::Fault,
            format!("no position for {age:.0} s"),
            "drive into the open; if it stays, check the antenna and its cable",
        ),
        None if status.uptime_seconds > FIRST_FIX_SECONDS => say(
            Severity::Fault,
            "no position since the start".into(),
            "drive into the open and wait two minutes; if it stays, check the antenna and its cable",
        ),
        _ => {}
    }
    if let Some(ahead) = status.clock.ahead_of_gnss_seconds.filter(|ahead| ahead.abs() > CLOCK_OFF_SECONDS) {
        let (by, way) = (ahead.abs(), if ahead > 0.0 { "fast" } else { "slow" });
        say(
            Severity::Warning,
            format!("the clock is {by:.0} s {way}; times come from GNSS"),
            "timedatectl set-ntp true; without a network, feed chrony from gpsd",
        );
    } else if !status.clock.trusted {
        say(
            Severity::Warning,
            "the clock cannot be trusted yet".into(),
            "wait for a fix or the time service; timedatectl tells whether it is synchronised",
        );
    }
}

fn machine(status: &DeviceStatus, say: &mut impl FnMut(Severity, String, &str)) {
    let machine = &status.machine;
    if let Some(hottest) = machine.hottest.as_ref().filter(|hottest| hottest.celsius >= WARM_CELSIUS) {
        let severity = if hottest.celsius >= HOT_CELSIUS { Severity::Fault } else { Severity::Warning };
        say(
            severity,
            format!("{:.0} °C at {}", hottest.celsius, hottest.place),
            "give it air; move it out of the sun and away from the heater",
        );
    }
    if let Some(disk) = machine.disk {
        if disk.read_only {
            say(
                Severity::Fault,
                "the disk is read-only, so no event can be kept".into(),
                "dmesg shows why; a card that the system has set to read-only is worn out: replace it",
            );
        } else if disk.free_bytes < LEAST_FREE_BYTES {
            say(
                Severity::Fault,
                format!("only {} MiB of the disk are free", disk.free_bytes >> 20),
                "make room: journalctl --vacuum-size=100M, apt-get clean; or lower spool.quota_bytes",
            );
        }
    }
    if machine.written_today_bytes > MOST_WRITTEN_BYTES {
        say(
            Severity::Warning,
            format!(
                "{} MB were written today, more than the flash memory stands for years",
                machine.written_today_bytes / 1_000_000
            ),
            "look for what repeats in the log: journalctl -u umsicht-edge --since today",
        );
    }
}

fn delivery(status: &DeviceStatus, say: &mut impl FnMut(Severity, String, &str)) {
    let spool = &status.spool;
    let share = spool.bytes_on_disk as f64 / spool.quota_bytes.max(1) as f64;
    let evicted: u64 = spool.evicted.values().sum();
    if spool.failed_commits > 0 {
        say(
            Severity::Fault,
            format!("{} times nothing could be stored", spool.failed_commits),
            "the disk is full or broken: see its line below, and dmesg",
        );
    }
    if spool.set_aside > 0 {
        say(
            Severity::Warning,
            format!("{} damaged parts of the spool lie aside", spool.set_aside),
            "check the disk; then remove the files that end in .damaged from spool.folder",
        );
    }
    if !status.connected && status.uptime_seconds > BROKER_SECONDS {
        say(
            Severity::Warning,
            "no connection to the broker; events wait on the disk".into(),
            "check the modem; `umsicht edge check` tells what the broker answers",
        );
    }
    if spool.quota_bytes > 0 && share >= NEARLY_FULL {
        say(
            Severity::Warning,
            format!("the spool is {:.0} % full, {evicted} items had to be given up", share * 100.0),
            "bring the device to a network, so that it can send what it keeps",
        );
    }
    if status.link.refused > 0 {
        say(
            Severity::Warning,
            format!("the broker refused {} items", status.link.refused),
            "check what the broker's rules let this device write",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::edge::machine::{Disk, Temperature};
    use crate::edge::status::{CameraStatus, ClockStatus, MachineStatus, PositionStatus, ReloadStatus, WatchdogStatus};
    use crate::schema::health::{LinkHealth, ModelHealth, SpoolHealth};
    use time::macros::datetime;

    /// A device with nothing to complain about.
    fn well() -> DeviceStatus {
        DeviceStatus {
            uptime_seconds: 4000,
            cameras: BTreeMap::from([("front".into(), CameraStatus { frames: 1, ..CameraStatus::default() })]),
            position: PositionStatus { connected: true, fix_age_seconds: Some(0.3), ..PositionStatus::default() },
            clock: ClockStatus { trusted: true, ahead_of_gnss_seconds: Some(0.1), ..ClockStatus::default() },
            connected: true,
            machine: MachineStatus {
                hottest: Some(Temperature { place: "cpu".into(), celsius: 60.0 }),
                disk: Some(Disk { free_bytes: 8 << 30, total_bytes: 16 << 30, read_only: false }),
                ..MachineStatus::default()
            },
            ..DeviceStatus::default()
        }
    }

    fn whats(status: &DeviceStatus) -> Vec<String> {
        troubles(status).into_iter().map(|trouble| trouble.what).collect()
    }

    #[test]
    fn a_device_that_is_well_has_none() {
        assert_eq!(whats(&well()), Vec::<String>::new());
    }

    #[test]
    fn each_trouble_says_what_to_do_and_faults_come_first() {
        let blind = |reason: &str| CameraStatus { blind: Some(reason.into()), ..CameraStatus::default() };
        let reasons = ["no_frames", "frozen", "dark", "glare", "covered", "defocused", "moved", "bewitched"];
        let status = DeviceStatus {
            cameras: reasons.map(|reason| (reason.to_owned(), blind(reason))).into(),
            position: PositionStatus { source: "gpsd".into(), ..PositionStatus::default() },
            clock: ClockStatus { ahead_of_gnss_seconds: Some(-40.0), ..ClockStatus::default() },
            connected: false,
            machine: MachineStatus {
                hottest: Some(Temperature { place: "cpu".into(), celsius: 90.0 }),
                disk: Some(Disk { free_bytes: 1, total_bytes: 10, read_only: false }),
                written_today_bytes: 2 * MOST_WRITTEN_BYTES,
                ..MachineStatus::default()
            },
            spool: SpoolHealth {
                bytes_on_disk: 9,
                quota_bytes: 10,
                set_aside: 1,
                failed_commits: 2,
                ..SpoolHealth::default()
            },
            link: LinkHealth { refused: 3, ..LinkHealth::default() },
            models: ModelHealth { last_refusal: Some("wrong signature".into()), ..ModelHealth::default() },
            watchdog: WatchdogStatus { stuck: Some("the judge".into()), ..WatchdogStatus::default() },
            last_reload: Some(ReloadStatus { at: datetime!(2026-05-01 10:00 UTC), refused: Some("line 3".into()) }),
            ..well()
        };
        let found = troubles(&status);
        assert_eq!(found.len(), reasons.len() + 13);
        assert!(found.is_sorted_by_key(|trouble| trouble.severity));
        assert_eq!(found[0].what, "the judge stands still");
        assert!(found.iter().all(|trouble| !trouble.to_do.is_empty()));
        assert!(whats(&status).iter().any(|what| what == "the clock is 40 s slow; times come from GNSS"));
    }

    #[test]
    fn a_receiver_that_just_started_gets_its_time() {
        let position = PositionStatus { connected: true, ..PositionStatus::default() };
        let status = |uptime_seconds| DeviceStatus { position: position.clone(), uptime_seconds, ..well() };
        assert!(whats(&status(100)).is_empty());
        assert_eq!(whats(&status(200)), ["no position since the start"]);
    }

    #[test]
    fn a_disk_that_was_set_read_only_is_said_to_be_worn_out() {
        let disk = Some(Disk { free_bytes: 1 << 40, total_bytes: 1 << 41, read_only: true });
        let status = DeviceStatus { machine: MachineStatus { disk, ..MachineStatus::default() }, ..well() };
        assert!(troubles(&status)[0].to_do.contains("replace it"));
    }
}
