//! The units are sound and their sandbox is tight, as systemd itself judges it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Ten times the score that `systemd-analyze security` gives; lower is tighter, 20 and below is its "OK".
const MAX_EXPOSURE: u32 = 20;

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
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", &format!("--threshold={MAX_EXPOSURE}"), "--no-pager"]);
        let output = command.arg(&unit).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
