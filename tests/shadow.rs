//! A second model runs beside the first and changes nothing of what the first reports, whatever it finds and even when it fails.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use umsicht::edge::config::ShadowConfig;
use umsicht::edge::infer::{BackendChoice, BackendSettings};
use umsicht::edge::pipeline::Counters;
use umsicht::edge::shadow::Shadow;
use umsicht::schema::health::ShadowHealth;
use umsicht::schema::{Event, RoadDamage};

use crate::model_update::{drive, images, judge_all, pipeline};
use crate::support::clip;
use crate::support::models::{colours, fails_on_the_road};

/// What is reported with this shadow, and what the shadow has counted once it is done.
fn judged(folder: &Path, pictures: &Path, shadow: Option<Shadow>) -> (Vec<RoadDamage>, u64, ShadowHealth) {
    let out = folder.join("events.jsonl");
    let counts = shadow.as_ref().map(Shadow::counts).unwrap_or_default();
    let mut pipeline = pipeline(&out, None);
    pipeline.shadow = shadow;
    let counters = std::sync::Arc::clone(&pipeline.counters);
    judge_all(pipeline, folder, &mut images(pictures));
    let (started, mut before) = (Instant::now(), counts.now());
    while started.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(300));
        let now = counts.now();
        if now == before {
            break;
        }
        before = now;
    }
    let lines = fs::read_to_string(out).unwrap();
    // Where a damage is in its pass is tagged at random.
    let damage = |line: &str| Event::from_json(line.as_bytes()).unwrap().data.damage().unwrap().clone();
    (lines.lines().map(damage).collect(), frames(&counters), counts.now())
}

fn frames(counters: &Counters) -> u64 {
    counters.frames.load(Ordering::Relaxed)
}

fn open(folder: &Path, every_nth_frame: u64) -> Option<Shadow> {
    let config = ShadowConfig { folder: folder.to_owned(), name: "road".into(), every_nth_frame };
    Shadow::open(&config, &BackendSettings::with_choice(BackendChoice::Tract))
}

#[test]
fn a_shadow_counts_and_the_events_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let clip = drive();
    clip.write_log(folder.path());
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    let (alone, given, none) = judged(folder.path(), &pictures, None);
    assert_eq!((alone.len(), none.frames), (clip.patches.len(), 0));

    let (with_itself, _, counted) = judged(folder.path(), &pictures, open(&clip::models(), 5));
    assert_eq!(with_itself, alone);
    assert!((1..=given.div_ceil(5)).contains(&counted.frames), "{counted:?} of {given} frames");
    assert!(counted.agreed > 0 && counted.only_first == 0 && counted.only_shadow == 0, "{counted:?}");
    assert_eq!((counted.model.as_str(), counted.version.as_str()), ("road", "1.0.0"));
}

#[test]
fn a_shadow_that_fails_is_off_and_the_first_model_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let clip = drive();
    clip.write_log(folder.path());
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    let (alone, given, _) = judged(folder.path(), &pictures, None);
    let (beside, still_given, counted) = judged(folder.path(), &pictures, open(&fails_on_the_road(folder.path()), 1));
    assert_eq!((beside, still_given), (alone, given));
    assert_eq!(counted.frames, 0);

    assert!(open(&folder.path().join("nowhere"), 1).is_none(), "one that cannot be opened is none");
    let other = colours(folder.path(), "3");
    let manifest = fs::read_to_string(other.join("manifest.toml")).unwrap();
    fs::write(other.join("manifest.toml"), manifest.replace("\"D20\"", "\"snow\"")).unwrap();
    assert!(open(&other, 1).is_none(), "nor is one that speaks of other things");
}
