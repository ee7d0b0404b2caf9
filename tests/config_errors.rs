//! A wrong configuration is told whole, with line and remedy, by the real program, and ends with code 64.

use std::fs;

use crate::support::{outcome, umsicht};

fn check(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    fs::write(&path, text).unwrap();
    let output = umsicht().args(["edge", "check", "--config"]).arg(&path).output().unwrap();
    assert!(output.stdout.is_empty(), "nothing is checked with a wrong configuration");
    outcome(&output, folder.path())
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = r#"
site = "so est"
devise = "bauhof-3"

[camera.front]
kind = "vidoe"
frames = "latest"

[gnss]
kind = "file"
file = 7
max_gap_millis = 90000

[camera.front.mounting]
width_px = 1280
height_px = "720"
horizontal_fov_degrees = 65.0
focal_px = [1004.0, 1004.0]
height_metres = 14

[model]
folder = "models"
backend = "cuda"

[spool]
folder = ""
quota_byte = 1000000

[broker]
port = 0
"#;
    insta::assert_snapshot!(check(text));
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    insta::assert_snapshot!(check(""));
}

#[test]
fn what_is_not_toml_is_told_by_line() {
    insta::assert_snapshot!(check("site = \"soest\"\ndevice = bauhof-3\n[camera.front\nkind = \"file\"\n"));
}

#[test]
fn a_section_that_is_a_value_is_told() {
    insta::assert_snapshot!(check("site = \"soest\"\ndevice = \"a\"\ncamera = \"drive.mp4\"\nbroker = 1883\n"));
}

#[test]
fn a_secret_that_cannot_be_read_now_is_no_usage_error_that_ends_the_service_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/edge-road.toml");
    let text = fs::read_to_string(example).unwrap();
    let path = folder.path().join("edge.toml");
    fs::write(&path, text.replace("[spool]\n", "[spool]\ndevice_secret_file = \"gone.device-secret\"\n")).unwrap();
    let output = umsicht().args(["edge", "run", "--config"]).arg(&path).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{message}");
    assert!(message.contains("gone.device-secret"), "{message}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = umsicht().args(["edge", "check", "--config"]).arg(folder.path().join("none.toml")).output().unwrap();
    insta::assert_snapshot!(outcome(&output, folder.path()));
}
