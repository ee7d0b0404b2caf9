//! The units are sound and their sandbox is tight, as systemd itself judges it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::clip::{self, Clip, Patch};
use umsicht::schema::DamageClass;

/// Ten times the score that `systemd-analyze security` gives; lower is tighter. The device needs cameras and receivers.
const MAX_EXPOSURE: [(&str, u32); 2] = [("umsicht-edge.service", 15), ("umsicht-central.service", 12)];

/// Libraries try these and go on without: GLib and libnuma ask which priorities and which memory they may have.
const MAY_BE_REFUSED: [&str; 3] = ["mbind", "sched_setattr", "set_mempolicy"];

fn units() -> Option<Vec<PathBuf>> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: systemd-analyze is not installed, the units were not tested");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let units: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "service")).collect();
    assert!(!units.is_empty());
    Some(units)
}

/// Puts the built program where the unit expects the installed one.
fn as_installed(unit: &Path, folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(unit).unwrap().replace("/usr/bin/umsicht", env!("CARGO_BIN_EXE_umsicht"));
    let copy = folder.join(unit.file_name().unwrap());
    std::fs::write(&copy, text).unwrap();
    copy
}

#[test]
fn units_are_understood_without_a_remark() {
    let folder = tempfile::tempdir().unwrap();
    for unit in units().into_iter().flatten() {
        let copy = as_installed(&unit, folder.path());
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(copy).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        // It returns 0 for keys that it does not know.
        assert!(output.status.success() && said.is_empty(), "{}: {}", unit.display(), String::from_utf8_lossy(&said));
    }
}

#[test]
fn a_credential_that_is_not_there_stops_no_unit() {
    for unit in units().into_iter().flatten() {
        let text = std::fs::read_to_string(&unit).unwrap();
        let names = |key: &str| -> Vec<String> {
            let values = text.lines().filter_map(|line| line.strip_prefix(key));
            values.filter_map(|value| value.split_once(':')).map(|(name, _)| name.to_owned()).collect()
        };
        // systemd.exec: with a value set, not being able to load the file is not fatal.
        assert_eq!(names("LoadCredential="), names("SetCredential="), "{}", unit.display());
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/edge-road.toml");
        let example = std::fs::read_to_string(example).unwrap();
        for name in names("LoadCredential=") {
            let path = format!("/run/credentials/{}/{name}", unit.file_name().unwrap().to_string_lossy());
            assert!(example.contains(&path), "the example does not say where the service finds {path}");
        }
    }
}

#[test]
fn the_sandbox_is_tight() {
    for unit in units().into_iter().flatten() {
        let name = unit.file_name().unwrap().to_str().unwrap();
        let (_, most) = MAX_EXPOSURE.into_iter().find(|(known, _)| *known == name).expect("each unit has its limit");
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", &format!("--threshold={most}"), "--no-pager"]);
        let output = command.arg(&unit).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn system_calls_that_the_device_makes_are_allowed() {
    let Some(units) = units() else { return };
    if ["strace", "gst-launch-1.0"].into_iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("SKIPPED: strace or gst-launch-1.0 is not installed, the unit's system calls were not tested");
        return;
    }
    let unit = units.into_iter().find(|unit| unit.ends_with("umsicht-edge.service")).unwrap();
    let allowed = allowed_calls(&std::fs::read_to_string(unit).unwrap());
    assert!(allowed.contains("openat") && !allowed.contains("ptrace") && !allowed.contains("reboot"), "{allowed:?}");

    let folder = tempfile::tempdir().unwrap();
    let pothole = Patch {
        class: DamageClass::Pothole,
        along_metres: 8.0,
        left_metres: 0.4,
        length_metres: 0.8,
        width_metres: 0.6,
    };
    let clip = Clip { patches: vec![pothole], along_at: |seconds| 8.0 * seconds, duration: Duration::from_secs(3) };
    let log = clip.write_log(folder.path());
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    for (source, backend) in [(pictures, "auto"), (video(folder.path()), "tract")] {
        let config = clip::write_config(folder.path(), backend);
        let made = calls_of_a_replay(folder.path(), &config, &source, &log);
        assert!(made.contains("openat") && made.contains("futex"), "strace saw nothing: {made:?}");
        // A replay has no broker: whoever connects to something here is a library that reports to its makers.
        assert!(!made.contains("connect"), "{}: something was told to somebody", source.display());
        let mut refused: Vec<&String> = made.difference(&allowed).collect();
        refused.retain(|call| !MAY_BE_REFUSED.contains(&call.as_str()));
        assert!(refused.is_empty(), "{}: the unit would refuse {refused:?}", source.display());
    }
}

/// What `SystemCallFilter=` leaves: the first line allows, those with `~` take away.
fn allowed_calls(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match line.strip_prefix('~') {
            None => line.split(' ').for_each(|word| allowed.extend(calls_of(word))),
            Some(taken) => {
                for call in taken.split(' ').flat_map(calls_of) {
                    allowed.remove(&call);
                }
            }
        }
    }
    allowed
}

/// A name, or all names of a set such as `@system-service`.
fn calls_of(word: &str) -> BTreeSet<String> {
    if !word.starts_with('@') {
        return BTreeSet::from([word.to_owned()]);
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", word]).output().unwrap();
    assert!(output.status.success(), "{word} is no set of system calls");
    let text = String::from_utf8(output.stdout).unwrap();
    // The set's name stands in the first column, its members are indented, comments begin with #.
    let members = text.lines().filter(|line| line.starts_with(' ')).map(str::trim);
    members.filter(|member| !member.starts_with('#')).flat_map(calls_of).collect()
}

fn video(folder: &Path) -> PathBuf {
    let file = folder.join("drive.mkv");
    let pipeline =
        "videotestsrc num-buffers=15 ! video/x-raw,width=480,height=300,framerate=5/1 ! x264enc ! matroskamux";
    let words = pipeline.split(' ').chain(["!", "filesink"]);
    let output =
        Command::new("gst-launch-1.0").args(words).arg(format!("location={}", file.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

/// The system calls of the program and of all that it starts.
fn calls_of_a_replay(folder: &Path, config: &Path, source: &Path, log: &Path) -> BTreeSet<String> {
    let table = folder.join("calls");
    // As a person would start it, without what cargo sets for tests.
    let output = Command::new("strace")
        .env_remove("ORT_DISABLE_TELEMETRY")
        .args(["-f", "-c", "-U", "name", "-o"])
        .arg(&table)
        .args([env!("CARGO_BIN_EXE_umsicht"), "edge", "replay", "--config"])
        .arg(config)
        .arg("--video")
        .arg(source)
        .arg("--gnss")
        .arg(log)
        .arg("--out")
        .arg(folder.join("events.jsonl"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = std::fs::read_to_string(table).unwrap();
    let name = |line: &str| line.split_whitespace().last().filter(|word| !word.starts_with('-')).map(str::to_owned);
    // The first line names the column, the last one is the sum.
    let names = table.lines().filter_map(name);
    names.filter(|name| !matches!(name.as_str(), "syscall" | "total")).collect()
}
