//! A device that restarts while its vehicle waits at a traffic light goes on with its pass: what stands before it is reported
//! once, not once per start. After a long pause it is another pass, and what is seen then counts again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use time::format_description::well_known::Rfc3339;
use umsicht::schema::{DamageClass, Event, PassTag, RoadDamage};

use crate::support::clip::{self, Clip, Patch, STARTED_AT};
use crate::support::mosquitto::{Collected, Mosquitto, collect};
use crate::support::umsicht;

const EVENTS: &str = "umsicht/1/soest/road/event/road.damage";
/// At 8 m/s the vehicle comes to its stop 8 m before the first damage, and goes on when the light is green.
const STOPS_AT_SECONDS: f64 = 1.5;
const GREEN_AT_SECONDS: f64 = 21.0;
const LATE_GREEN_AT_SECONDS: f64 = 61.0;

fn driven_metres(seconds: f64, green_at_seconds: f64) -> f64 {
    8.0 * (seconds.min(STOPS_AT_SECONDS) + (seconds - green_at_seconds).max(0.0))
}

fn clip(along_at: fn(f64) -> f64, green_at_seconds: f64) -> Clip {
    let patch = |class, along_metres, left_metres, length_metres, width_metres| Patch {
        class,
        along_metres,
        left_metres,
        length_metres,
        width_metres,
    };
    let patches = vec![
        patch(DamageClass::Pothole, 20.0, 0.4, 0.8, 0.6),
        patch(DamageClass::AlligatorCrack, 32.0, -0.6, 2.0, 1.5),
    ];
    Clip { patches, along_at, duration: Duration::from_secs_f64(green_at_seconds + 6.0) }
}

/// A run of the real device program over a part of the drive; it ends when the pictures end and all is sent.
fn run(folder: &Path, clip: &Clip, from_seconds: f64, to_seconds: f64, broker_port: u16) {
    let (from, to) = (Duration::from_secs_f64(from_seconds), Duration::from_secs_f64(to_seconds));
    let pictures = clip.write_pictures(folder, from, to);
    let config = folder.join("edge.toml");
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\nkind = \"images\"\nfolder = \"{pictures}\"\n\
         times = \"{pictures}/times.csv\"\nframes = \"every\"\nstarts_at = \"{}\"\n[gnss]\nkind = \"file\"\nfile = \"drive.nmea\"\n{}\
         [model]\nfolder = \"{}\"\nbackend = \"tract\"\n[spool]\nfolder = \"spool\"\nbatch_minutes = 0\n\
         [broker]\nhost = \"127.0.0.1\"\nport = {broker_port}\n",
        (STARTED_AT + from).format(&Rfc3339).unwrap(),
        clip::CAMERA,
        clip::models().display(),
        pictures = pictures.display(),
    );
    fs::write(&config, text).unwrap();
    let output = umsicht().args(["edge", "run", "--config"]).arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn arrived(collected: &Collected, count: usize) -> Vec<RoadDamage> {
    let started = Instant::now();
    while collected.on(EVENTS).len() < count {
        assert!(started.elapsed() < Duration::from_secs(10), "{} of {count} events came", collected.on(EVENTS).len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = |payload: &Vec<u8>| Event::from_json(payload).unwrap().data.damage().unwrap().clone();
    collected.on(EVENTS).iter().map(read).collect()
}

fn classes(damages: &[RoadDamage]) -> Vec<DamageClass> {
    let mut classes: Vec<DamageClass> = damages.iter().map(|damage| damage.class).collect();
    classes.sort();
    classes
}

fn tags(damages: &[RoadDamage]) -> BTreeSet<&PassTag> {
    damages.iter().map(|damage| &damage.pass).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_at_a_traffic_light_reports_nothing_twice() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let (folder, collected) = (tempfile::tempdir().unwrap(), collect(broker.port()));
    let clip = clip(|seconds| driven_metres(seconds, GREEN_AT_SECONDS), GREEN_AT_SECONDS);
    clip.write_log(folder.path());
    run(folder.path(), &clip, 0.0, 4.0, broker.port());
    let before = arrived(&collected, 1).await;
    assert!(
        classes(&before).contains(&DamageClass::Pothole),
        "what was seen before the restart is reported: {before:?}"
    );
    run(folder.path(), &clip, 20.0, 30.0, broker.port());
    let all = arrived(&collected, 2).await;
    assert_eq!(classes(&all), [DamageClass::AlligatorCrack, DamageClass::Pothole], "each once");
    assert_eq!(tags(&all).len(), 1, "on one pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_long_pause_it_is_another_pass() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let (folder, collected) = (tempfile::tempdir().unwrap(), collect(broker.port()));
    let clip = clip(|seconds| driven_metres(seconds, LATE_GREEN_AT_SECONDS), LATE_GREEN_AT_SECONDS);
    clip.write_log(folder.path());
    run(folder.path(), &clip, 0.0, 4.0, broker.port());
    let before = arrived(&collected, 1).await;
    run(folder.path(), &clip, 60.0, 70.0, broker.port());
    let all = arrived(&collected, before.len() + 2).await;
    assert_eq!(all.len(), before.len() + 2, "both are seen again");
    assert_eq!(tags(&all).len(), 2, "on another pass");
}
