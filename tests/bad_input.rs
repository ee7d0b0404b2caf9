//! Bad input gives a clear message and the documented exit code, through the real program, and loses nothing.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use umsicht::edge::infer::model::Manifest;
use umsicht::edge::spool::Spool;

use crate::support::{SMALL_SPOOL, damage, outcome, picture, umsicht};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// An RMC sentence of a vehicle driving north at 10 m/s; `second` after half past nine.
fn rmc(second: u32) -> String {
    let body = format!(
        "GNRMC,0930{second:02}.00,A,50{:07.4},N,00841.9557,E,19.44,0.0,170326,,,A",
        0.5 + f64::from(second) * 0.0054
    );
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{checksum:02X}\r\n")
}

fn drive(folder: &Path) -> (PathBuf, PathBuf) {
    let (pictures, log) = (folder.join("pictures"), folder.join("drive.nmea"));
    fs::create_dir(&pictures).unwrap();
    for number in 0..5 {
        image::RgbImage::new(640, 480).save(pictures.join(format!("{number}.png"))).unwrap();
    }
    fs::write(&log, (0..5).map(rmc).collect::<String>()).unwrap();
    (pictures, log)
}

fn replay(video: &Path, gnss: &Path, models: &Path, out: &Path) -> Output {
    let mut command = umsicht();
    command.args(["edge", "replay"]).arg("--video").arg(video).arg("--gnss").arg(gnss);
    command.arg("--models").arg(models).arg("--out").arg(out).output().unwrap()
}

#[test]
fn a_file_that_is_no_video_is_named_with_its_reason_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = drive(folder.path());
    let noise: Vec<u8> = (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // The start of a real MP4 whose rest was never written.
    let cut_off = [b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\xff\xffmdat".as_slice(), &noise].concat();
    for (name, bytes) in [("noise.mp4", noise.as_slice()), ("cut_off.mp4", &cut_off), ("empty.mp4", &[])] {
        let video = folder.path().join(name);
        fs::write(&video, bytes).unwrap();
        let started = Instant::now();
        let output = replay(&video, &log, &models(), &folder.path().join("events.jsonl"));
        let text = outcome(&output, folder.path());
        assert!(text.starts_with("exit 65\n"), "{text}");
        assert!(text.contains(&format!("umsicht: DIR/{name}: ")), "{text}");
        assert!(started.elapsed() < Duration::from_secs(30), "{name} took {:?}", started.elapsed());
    }
}

#[test]
fn a_drive_without_positions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, log) = drive(folder.path());
    let without = umsicht().args(["edge", "replay", "--out", "x"]).arg("--video").arg(&pictures).output().unwrap();
    assert!(outcome(&without, folder.path()).starts_with("exit 64\n"));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--gnss"));
    let out = folder.path().join("events.jsonl");
    fs::write(&log, "$GNGSA,A,1,,,,,,,,,,,,,,,*1E\r\n").unwrap();
    insta::assert_snapshot!("no_fix", outcome(&replay(&pictures, &log, &models(), &out), folder.path()));
    fs::write(&log, "latitude,longitude\n50,8\n").unwrap();
    insta::assert_snapshot!("no_log", outcome(&replay(&pictures, &log, &models(), &out), folder.path()));
}

#[test]
fn lines_with_wrong_checksums_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, log) = drive(folder.path());
    let out = folder.path().join("events.jsonl");
    let some: String = (0..5).map(|s| if s == 2 { rmc(s).replace("0930", "0931") } else { rmc(s) }).collect();
    fs::write(&log, some).unwrap();
    let output = replay(&pictures, &log, &models(), &out);
    let text = outcome(&output, folder.path());
    assert!(text.starts_with("exit 0\n") && text.contains("1 of 5 lines cannot be used: line 3:"), "{text}");
    fs::write(&log, (0..5).map(|s| rmc(s).replace("0930", "0931")).collect::<String>()).unwrap();
    insta::assert_snapshot!("bad_checksums", outcome(&replay(&pictures, &log, &models(), &out), folder.path()));
}

#[test]
fn a_model_whose_hash_differs_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, log) = drive(folder.path());
    let changed = folder.path().join("models");
    fs::create_dir(&changed).unwrap();
    for entry in fs::read_dir(models()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, changed.join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut bytes = fs::read(changed.join("road.onnx")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(changed.join("road.onnx"), bytes).unwrap();
    let output = replay(&pictures, &log, &changed, &folder.path().join("events.jsonl"));
    let text = outcome(&output, folder.path());
    assert!(text.starts_with("exit 65\n") && text.contains("road.onnx") && text.contains("SHA-256"), "{text}");
}

/// A configuration whose broker is not there.
fn without_broker(folder: &Path) -> PathBuf {
    drive(folder);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n\
         [camera.front]\nkind = \"images\"\nfolder = \"pictures\"\ninterval_millis = 200\nframes = \"every\"\n\
         [gnss]\nkind = \"file\"\nfile = \"drive.nmea\"\n[model]\nfolder = \"{}\"\n[spool]\nfolder = \"spool\"\n\
         [broker]\nhost = \"127.0.0.1\"\nport = {port}\n",
        models().display()
    );
    let path = folder.join("edge.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn check_tells_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let config = without_broker(folder.path());
    let output = umsicht().args(["edge", "check", "--config"]).arg(config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(69), "{text}");
    for expected in [
        "ok    config",
        "ok    camera front   gives pictures of",
        "ok    gnss",
        "warn  mounting front not measured",
        "model          road",
        "FAIL  broker",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("umsicht: not in place: broker"));
    let manifest = Manifest::read(&models()).unwrap();
    let on_trial = manifest.model("road").unwrap().is_on_trial();
    assert_eq!(text.contains("warn  model") && text.contains("in trial operation"), on_trial, "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "site = \"soest\"\n[town]\nname = \"Soest\"\n[http]\nlisten = \"{address}\"\n\
         [broker]\nhost = \"127.0.0.1\"\nport = 1\n[store]\ndatabase = \"central.sqlite\"\n"
    );
    let path = folder.path().join("central.toml");
    fs::write(&path, text).unwrap();
    let output = umsicht().args(["central", "serve", "--config"]).arg(path).output().unwrap();
    let text = outcome(&output, folder.path());
    assert!(text.starts_with("exit 69\n") && text.contains(&address.to_string()), "{text}");
}

#[test]
fn without_a_broker_the_service_keeps_everything_and_stops_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = without_broker(folder.path());
    let spool = folder.path().join("spool");
    let id = Spool::open(&spool, SMALL_SPOOL).unwrap().0.commit(vec![damage(1, Some(picture()))]).unwrap()[0];
    let child =
        umsicht().args(["edge", "run", "--config"]).arg(config).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let output = child.wait_with_output().unwrap();
    let text = outcome(&output, folder.path());
    assert!(text.starts_with("exit 0\n") && text.contains("no connection"), "{text}");
    let (spool, recovery) = Spool::open(&spool, SMALL_SPOOL).unwrap();
    assert!(recovery.items >= 2, "event and picture are kept");
    assert_eq!(spool.take_next(true).unwrap().unwrap().id, id);
}
