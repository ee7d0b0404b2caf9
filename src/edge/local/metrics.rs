//! Prometheus' text format.
//!
//! Privacy: whoever scrapes this keeps a history, so it holds what is needed to look after the device and nothing of the road:
//! no position, no course, no speed, no count of what was seen.

use std::fmt::{Display, Write as _};

use crate::edge::status::DeviceStatus;

/// Reasons for which a camera is blind that always have a row, so that an alarm can be written for them.
const REASONS: [&str; 7] = ["no_frames", "frozen", "dark", "glare", "covered", "defocused", "moved"];

pub(super) fn text(status: &DeviceStatus) -> String {
    let mut page = Page::default();
    page.family("umsicht_info", "gauge", "1; which program runs.");
    page.row(&[("version", &status.program)], 1);
    page.one("umsicht_uptime_seconds", "gauge", "Since the program began.", status.uptime_seconds);
    cameras(&mut page, status);
    position(&mut page, status);
    page.one("umsicht_recording", "gauge", "1 while recording is on.", u8::from(status.recording.on));
    page.one("umsicht_marks_total", "counter", "Marks of the driver that were reported.", status.marks);
    page.one("umsicht_marks_refused_total", "counter", "Presses of which nothing was reported.", status.marks_refused);
    delivery(&mut page, status);
    machine(&mut page, status);
    let watchdog = &status.watchdog;
    page.one("umsicht_watchdog_feeds_total", "counter", "Signs of life to systemd.", watchdog.feeds);
    page.one(
        "umsicht_watchdog_withheld_total",
        "counter",
        "Signs of life that were due while something stood still.",
        watchdog.withheld,
    );
    let refused = status.last_reload.as_ref().is_some_and(|reload| reload.refused.is_some());
    page.one("umsicht_reload_refused", "gauge", "1 when the last reload was refused.", u8::from(refused));
    page.text
}

fn cameras(page: &mut Page, status: &DeviceStatus) {
    let mut counter = |name, help, of: fn(&crate::edge::status::CameraStatus) -> u64| {
        page.family(name, "counter", help);
        for (camera, state) in &status.cameras {
            page.row(&[("camera", camera)], of(state));
        }
    };
    counter("umsicht_camera_frames_total", "Pictures that the camera gave.", |camera| camera.frames);
    counter("umsicht_camera_frames_dropped_total", "Not judged: the next one came first.", |camera| camera.dropped);
    counter("umsicht_camera_frames_late_total", "Not judged: they came too late.", |camera| camera.late);
    counter("umsicht_camera_connections_total", "Connections that were made.", |camera| camera.connections);
    counter("umsicht_camera_failures_total", "Connections that broke or were not made.", |camera| camera.failures);
    page.family("umsicht_camera_frames_per_second", "gauge", "Over the last minute.");
    for (camera, state) in &status.cameras {
        page.row(&[("camera", camera)], state.frames_per_second_last_minute);
    }
    page.family("umsicht_camera_blind", "gauge", "1 for the reason for which the camera sees nothing.");
    for (camera, state) in &status.cameras {
        let said = state.blind.as_deref();
        for reason in REASONS.into_iter().chain(said.filter(|said| !REASONS.contains(said))) {
            page.row(&[("camera", camera), ("reason", reason)], u8::from(said == Some(reason)));
        }
    }
}

fn position(page: &mut Page, status: &DeviceStatus) {
    let position = &status.position;
    page.one("umsicht_position_connected", "gauge", "1 while the receiver answers.", u8::from(position.connected));
    page.maybe("umsicht_position_fix_age_seconds", "Age of the last fix.", position.fix_age_seconds);
    page.maybe("umsicht_position_accuracy_metres", "One sigma of the last fix.", position.accuracy_metres);
    page.one("umsicht_position_fixes_total", "counter", "Fixes that were used.", position.fixes);
    page.one("umsicht_position_bridged_total", "counter", "Frames placed over an outage.", position.bridged);
    page.one(
        "umsicht_position_missing_total",
        "counter",
        "Frames that could not be placed.",
        position.frames_without_fix,
    );
    page.family("umsicht_position_refused_total", "counter", "Fixes that were not used, by reason.");
    for (reason, count) in &position.refused {
        page.row(&[("reason", reason)], *count);
    }
    page.one("umsicht_clock_trusted", "gauge", "1 while the clock can be trusted.", u8::from(status.clock.trusted));
    page.one("umsicht_clock_leaps_total", "counter", "Leaps of the clock.", status.clock.leaps);
    page.maybe("umsicht_clock_ahead_seconds", "Clock less GNSS time.", status.clock.ahead_of_gnss_seconds);
}

fn delivery(page: &mut Page, status: &DeviceStatus) {
    let (spool, link) = (&status.spool, &status.link);
    page.one("umsicht_broker_connected", "gauge", "1 while connected to the broker.", u8::from(status.connected));
    page.one("umsicht_broker_connections_total", "counter", "Connections to the broker.", link.connections);
    page.one("umsicht_broker_refused_total", "counter", "Items that the broker refused.", link.refused);
    page.one("umsicht_broker_too_large_total", "counter", "Items larger than the broker takes.", link.too_large);
    page.one("umsicht_spool_bytes", "gauge", "On the disk.", spool.bytes_on_disk);
    page.one("umsicht_spool_quota_bytes", "gauge", "What the spool may take.", spool.quota_bytes);
    page.one("umsicht_spool_failed_commits_total", "counter", "Commits that failed.", spool.failed_commits);
    page.family("umsicht_spool_evicted_total", "counter", "Given up for want of space, by priority.");
    for (priority, count) in &spool.evicted {
        page.row(&[("priority", priority)], *count);
    }
}

fn machine(page: &mut Page, status: &DeviceStatus) {
    let machine = &status.machine;
    if let Some(hottest) = &machine.hottest {
        page.family("umsicht_temperature_celsius", "gauge", "The hottest place of the machine.");
        page.row(&[("place", &hottest.place)], hottest.celsius);
    }
    page.maybe("umsicht_disk_free_bytes", "Where events are kept.", machine.disk.map(|disk| disk.free_bytes));
    page.maybe("umsicht_disk_total_bytes", "Where events are kept.", machine.disk.map(|disk| disk.total_bytes));
    page.one(
        "umsicht_flash_written_today_bytes",
        "gauge",
        "By this program since midnight UTC.",
        machine.written_today_bytes,
    );
    page.one("umsicht_memory_bytes", "gauge", "Held by this program.", machine.memory_bytes);
    page.one("umsicht_cpu_seconds_total", "counter", "Computed by all threads.", machine.cpu_seconds);
}

/// Grows row by row.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    fn one(&mut self, name: &'static str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.row(&[], value);
    }

    /// What is not known has no row: a zero would be a lie.
    fn maybe(&mut self, name: &'static str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.one(name, "gauge", help, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::edge::machine::{Disk, Temperature};
    use crate::edge::status::{CameraStatus, MachineStatus, PositionStatus};

    #[test]
    fn the_page_is_in_prometheus_format_with_each_family_once() {
        let front = CameraStatus { frames: 7, blind: Some("covered".into()), ..CameraStatus::default() };
        let rear = CameraStatus { blind: Some("a \"new\"\nreason\\".into()), ..CameraStatus::default() };
        let status = DeviceStatus {
            cameras: BTreeMap::from([("front".into(), front), ("rear".into(), rear)]),
            position: PositionStatus { accuracy_metres: Some(1.5), ..PositionStatus::default() },
            machine: MachineStatus {
                hottest: Some(Temperature { place: "cpu".into(), celsius: 61.5 }),
                disk: Some(Disk { free_bytes: 5, total_bytes: 10, read_only: false }),
                ..MachineStatus::default()
            },
            ..DeviceStatus::default()
        };
        let page = text(&status);
        for row in [
            "umsicht_camera_frames_total{camera=\"front\"} 7\n",
            "umsicht_camera_blind{camera=\"front\",reason=\"covered\"} 1\n",
            "umsicht_camera_blind{camera=\"front\",reason=\"glare\"} 0\n",
            "umsicht_camera_blind{camera=\"rear\",reason=\"a \\\"new\\\"\\nreason\\\\\"} 1\n",
            "umsicht_temperature_celsius{place=\"cpu\"} 61.5\n",
            "umsicht_position_accuracy_metres 1.5\n",
        ] {
            assert!(page.contains(row), "{row} is not in {page}");
        }
        assert!(!page.contains("fix_age"), "what is not known has no row");
        let mut families = BTreeSet::new();
        let mut current = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name), "{name} stands there twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                current = name;
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(name.split('{').next(), Some(current));
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}
