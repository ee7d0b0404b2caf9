//! The status as one page that a technician reads: what is wrong first, each with what to do, then the facts in columns.

use std::fmt::Write as _;

use super::{DeviceStatus, Severity, troubles};

/// A line of facts begins with its name in so many columns.
const NAME_COLUMNS: usize = 11;

#[must_use]
pub fn page(status: &DeviceStatus) -> String {
    let mut page = String::new();
    let mut line = |name: &str, text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{name:<NAME_COLUMNS$}{text}");
    };
    let since = duration(status.uptime_seconds);
    line("device", format!("{}/{}, umsicht {}, runs for {since}", status.site, status.device, status.program));
    let troubles = troubles(status);
    if troubles.is_empty() {
        line("", "all is well".into());
    }
    for trouble in troubles {
        let word = match trouble.severity {
            Severity::Fault => "FAULT",
            Severity::Warning => "warning",
        };
        line(word, trouble.what);
        line("", format!("→ {}", trouble.to_do));
    }
    line("", String::new());
    facts(status, &mut line);
    // No line ends in blanks.
    page.lines().map(str::trim_end).fold(String::new(), |page, line| page + line + "\n")
}

fn facts(status: &DeviceStatus, line: &mut impl FnMut(&str, String)) {
    let recording = &status.recording;
    let off = recording.why_off.as_ref().map(|why| format!("off: {why}")).unwrap_or_else(|| "off".into());
    line("recording", if recording.on { "on".into() } else { off });
    for (name, camera) in &status.cameras {
        line("camera", format!("{name}: {}", camera_words(camera)));
    }
    line("position", position_words(status));
    let clock = &status.clock;
    let trusted = if clock.trusted { "trusted" } else { "not trusted" };
    // Adding nothing makes a rounded -0.0 a 0.0.
    let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0 + 0.0;
    let ahead = clock.ahead_of_gnss_seconds.map(|ahead| format!(", {:+.1} s to GNSS", tenths(ahead)));
    let ahead = ahead.unwrap_or_default();
    line("clock", format!("{trusted}{ahead}, {} leaps", clock.leaps));
    let models: Vec<String> = status.models.in_use.iter().map(|(name, version)| format!("{name} {version}")).collect();
    line("models", if models.is_empty() { "none yet".into() } else { models.join(", ") });
    let spool = &status.spool;
    line(
        "spool",
        format!(
            "{} items, {} of {} MiB; {} events wait for their batch",
            spool.items,
            spool.bytes_on_disk >> 20,
            spool.quota_bytes >> 20,
            status.delivery.waiting
        ),
    );
    let link = &status.link;
    let connected = if status.connected { "connected" } else { "not connected" };
    let mqtt = if link.mqtt.is_empty() { String::new() } else { format!(", MQTT {}", link.mqtt) };
    let encrypted = if link.encrypted { ", encrypted" } else { "" };
    line(
        "broker",
        format!(
            "{connected}{mqtt}{encrypted}; {} acknowledged, {} connections, {} pictures held",
            link.acknowledged, link.connections, link.held_pictures
        ),
    );
    let machine = &status.machine;
    let hottest = machine.hottest.as_ref().map(|hottest| format!("{:.0} °C at {}", hottest.celsius, hottest.place));
    let disk = machine.disk.map(|disk| format!("{} of {} MiB free", disk.free_bytes >> 20, disk.total_bytes >> 20));
    line("heat", hottest.unwrap_or_else(|| "this machine tells none".into()));
    let disk = disk.unwrap_or_else(|| "not known".into());
    line("disk", format!("{disk}; {} MB written today", machine.written_today_bytes / 1_000_000));
    let share = machine.cpu_seconds / (status.uptime_seconds.max(1) as f64) * 100.0;
    line("load", format!("{} MiB of memory, {share:.0} % of one core since the start", machine.memory_bytes >> 20));
    let watchdog = &status.watchdog;
    line(
        "watchdog",
        match watchdog.limit_seconds {
            Some(limit) => format!("{limit} s, fed {} times, withheld {} times", watchdog.feeds, watchdog.withheld),
            None => "not watched: the program was not started by systemd".into(),
        },
    );
    if status.marks + status.marks_refused > 0 {
        line("marks", format!("{} reported, {} not reported", status.marks, status.marks_refused));
    }
    if let Some(on) = status.ignition_on {
        line("ignition", if on { "on".into() } else { "off".into() });
    }
}

fn camera_words(camera: &super::CameraStatus) -> String {
    let size = match camera.width_px {
        0 => String::new(),
        width if camera.decoder.is_empty() => format!(", {width}×{}", camera.height_px),
        width => format!(", {width}×{} by {}", camera.height_px, camera.decoder),
    };
    let dropped = camera.dropped + camera.late + camera.wrong_size;
    format!(
        "{}{size}, {:.1} frames/s; {} frames, {dropped} not judged, {} connections, {} failures",
        camera.state, camera.frames_per_second_last_minute, camera.frames, camera.connections, camera.failures
    )
}

fn position_words(status: &DeviceStatus) -> String {
    let position = &status.position;
    let fix = match (position.fix_age_seconds, position.accuracy_metres) {
        (Some(age), Some(accuracy)) => format!("a fix {age:.1} s ago, ±{accuracy:.1} m"),
        (Some(age), None) => format!("a fix {age:.1} s ago"),
        (None, _) => "no fix yet".into(),
    };
    let bridging = if position.bridging { ", bridging an outage" } else { "" };
    let refused: u64 = position.refused.values().sum();
    let reasons: Vec<String> =
        position.refused.iter().filter(|(_, count)| **count > 0).map(|(why, count)| format!("{why} {count}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!(
        "{}: {fix}{bridging}; {} fixes, {refused} refused{reasons}, {} frames bridged, {} without",
        position.source, position.fixes, position.bridged, position.frames_without_fix
    )
}

/// `3 d 4 h`, `4 h 12 min`, `12 min`, `12 s`.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::edge::machine::{Disk, Temperature};
    use crate::edge::status::{CameraStatus, ClockStatus, MachineStatus, PositionStatus, WatchdogStatus};

    #[test]
    fn the_page_is_as_reviewed() {
        let front = CameraStatus {
            state: "delivering".into(),
            frames: 51_234,
            dropped: 12,
            frames_per_second_last_minute: 14.96,
            connections: 1,
            width_px: 1280,
            height_px: 720,
            decoder: "avdec_h264".into(),
            ..CameraStatus::default()
        };
        let rear = CameraStatus {
            state: "waiting".into(),
            blind: Some("no_frames".into()),
            failures: 7,
            last_error: Some("rtsp://…@10.0.0.6/1: no route to host".into()),
            ..CameraStatus::default()
        };
        let status = DeviceStatus {
            site: "soest".into(),
            device: "bauhof-3".into(),
            program: "0.1.0".into(),
            uptime_seconds: 15_200,
            cameras: BTreeMap::from([("front".into(), front), ("rear".into(), rear)]),
            position: PositionStatus {
                source: "gpsd 127.0.0.1:2947".into(),
                connected: true,
                fix_age_seconds: Some(0.31),
                accuracy_metres: Some(1.84),
                fixes: 15_000,
                refused: BTreeMap::from([("jump".into(), 2)]),
                ..PositionStatus::default()
            },
            clock: ClockStatus { trusted: true, leaps: 0, ahead_of_gnss_seconds: Some(-0.04) },
            connected: true,
            machine: MachineStatus {
                hottest: Some(Temperature { place: "cpu-thermal".into(), celsius: 78.2 }),
                disk: Some(Disk { free_bytes: 20 << 30, total_bytes: 28 << 30, read_only: false }),
                written_today_bytes: 41_000_000,
                memory_bytes: 210 << 20,
                cpu_seconds: 9_000.0,
            },
            watchdog: WatchdogStatus { limit_seconds: Some(30), feeds: 1012, ..WatchdogStatus::default() },
            ..DeviceStatus::default()
        };
        insta::assert_snapshot!(page(&status));
    }

    #[test]
    fn times_are_said_in_two_units_at_most() {
        let said = [7, 61, 15_200, 3 * 86_400 + 4 * 3600].map(duration);
        assert_eq!(said, ["7 s", "1 min", "4 h 13 min", "3 d 4 h"]);
    }
}
