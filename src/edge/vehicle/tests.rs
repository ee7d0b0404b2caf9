//! The inputs together, through real files and pipes that carry what the kernel writes.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use tokio::sync::mpsc;

use super::code::Code;
use super::evdev::tests::{bytes_of, pipe_at, until};
use super::*;
use crate::clock::SystemClock;
use crate::config::ConfigError;

fn read(text: &str) -> Result<VehicleConfig, ConfigError> {
    crate::config::parse(Path::new("/etc/umsicht/edge.toml"), text, |root| {
        VehicleConfig::from_table(&root.table("vehicle"))
    })
}

#[test]
fn the_section_is_checked() {
    assert_eq!(read("").unwrap(), VehicleConfig::default());
    let config = read(
        r#"
[vehicle.ignition]
file = "/sys/class/power_supply/ac/online"
[vehicle.mark]
device = "/dev/input/event1"
code = "KEY_F9"
[vehicle.recording]
device = "/dev/input/event2"
code = "switch 9"
on_value = 0
[vehicle.wet]
file = "wiper"
dry_after_seconds = 60
"#,
    )
    .unwrap();
    let ignition = config.ignition.clone().unwrap();
    assert_eq!((ignition.on_value, ignition.falls_after), (true, Duration::from_millis(1500)));
    assert!(!config.recording.clone().unwrap().on_value);
    let wet = config.wet.clone().unwrap();
    assert_eq!((wet.rises_after, wet.falls_after), (Duration::ZERO, Duration::from_secs(60)));
    let inputs: Vec<(&str, &Path)> = config.inputs().collect();
    assert_eq!(inputs.len(), 4);
    assert_eq!(inputs[2], ("vehicle.wet", Path::new("/etc/umsicht/wiper")));
    assert_eq!(inputs[3], ("vehicle.mark", Path::new("/dev/input/event1")));

    let wrong = r#"
[vehicle.ignition]
file = "a"
device = "b"
settle_millis = 9000
[vehicle.mark]
code = "F9"
[vehicle.recording]
device = "/dev/input/event2"
[vehicle.wiper]
"#;
    let said = read(wrong).unwrap_err().to_string();
    for part in [
        "edge.toml:3: vehicle.ignition.file: must be one input",
        "settle_millis: 9000 is out of range",
        "vehicle.mark.device: is missing",
        "\"F9\" is no key or switch",
        "vehicle.recording.file: must be one input",
        "vehicle.wiper: unknown key",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

struct Bench {
    folder: tempfile::TempDir,
    recording: Arc<Recording>,
    marks: Arc<Marks>,
    taken: mpsc::Receiver<Mark>,
    _vehicle: Vehicle,
}

fn bench(prepare: impl FnOnce(&Path), text: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let text = text.replace("DIR", &folder.path().display().to_string());
    let config = read(&text).unwrap();
    let recording = Arc::new(Recording::kept_in(folder.path(), config.recording.as_ref()));
    let (to, taken) = mpsc::channel(8);
    let marks = Arc::new(Marks::new(to, Arc::clone(&recording), Arc::new(SystemClock)));
    let _vehicle = Vehicle::watch(&config, &recording, &marks);
    Bench { folder, recording, marks, taken, _vehicle }
}

#[tokio::test]
async fn ignition_off_is_told_with_the_moment_at_which_it_went() {
    let set = |folder: &Path, value: &str| fs::write(folder.join("value"), value).unwrap();
    let text = "[vehicle.ignition]\nfile = \"DIR/value\"\nsettle_millis = 300";
    let folder = tempfile::tempdir().unwrap();
    set(folder.path(), "1\n");
    let config = read(&text.replace("DIR", &folder.path().display().to_string())).unwrap();
    let watched = Ignition::watch(&config).unwrap();
    let mut ignition = watched.level.clone();
    assert!(ignition.wait_for(Option::is_some).await.unwrap().unwrap().on && !watched.is_off());
    fs::remove_file(folder.path().join("value")).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(ignition.borrow().unwrap().on, "an input that is gone switches nothing off");
    let before = Instant::now();
    set(folder.path(), "0\n");
    let level = ignition.wait_for(|level| !level.unwrap().on).await.unwrap().unwrap();
    assert!(watched.is_off() && level.since >= before && before.elapsed() >= Duration::from_millis(300));
    assert!(before.elapsed() < Duration::from_secs(5), "half of what an orderly stop may take");
}

#[tokio::test]
async fn a_real_press_becomes_a_mark_unless_recording_is_off() {
    let mut bench =
        bench(|folder| pipe_at(&folder.join("button")), "[vehicle.mark]\ndevice = \"DIR/button\"\ncode = \"KEY_F9\"");
    let button = bench.folder.path().join("button");
    let mut button =
        tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(button).unwrap()).await.unwrap();
    let (mark, other) = (Code::from_text("KEY_F9").unwrap(), Code::from_text("KEY_F8").unwrap());
    let before = time::OffsetDateTime::now_utc();
    for bytes in [bytes_of(other, 1), bytes_of(mark, 1), bytes_of(mark, 2), bytes_of(mark, 0)] {
        button.write_all(&bytes).unwrap();
    }
    let taken = tokio::time::timeout(Duration::from_secs(10), bench.taken.recv()).await.unwrap().unwrap();
    assert!(taken.at >= before);
    bench.recording.switch_off().unwrap();
    button.write_all(&bytes_of(mark, 1)).unwrap();
    until("the refusal", || bench.marks.refused() == 1).await;
    assert!(bench.taken.try_recv().is_err(), "holding and releasing are no presses");
}

#[tokio::test]
async fn a_switch_of_an_input_device_stops_recording_and_stays_off_over_a_restart() {
    let text = "[vehicle.recording]\ndevice = \"DIR/switch\"\ncode = \"SW_DOCK\"";
    let prepare = |folder: &Path| {
        pipe_at(&folder.join("switch"));
        fs::write(folder.join("recording-switch"), "on").unwrap();
    };
    let bench = bench(prepare, text);
    assert!(bench.recording.is_on(), "as it was left");
    let path = bench.folder.path().join("switch");
    let mut switch =
        tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(path).unwrap()).await.unwrap();
    switch.write_all(&bytes_of(Code::from_text("SW_DOCK").unwrap(), 0)).unwrap();
    let mut changes = bench.recording.changes();
    tokio::time::timeout(Duration::from_secs(10), changes.wait_for(|on| !on)).await.unwrap().unwrap();
    let config = read(&text.replace("DIR", &bench.folder.path().display().to_string())).unwrap();
    assert!(!Recording::kept_in(bench.folder.path(), config.recording.as_ref()).is_on());
}
