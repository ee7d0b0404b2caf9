//! No unmasked region leaves the device.
//!
//! The pixels are guarded three times: by types (only `anonymise` makes a `RedactedImage`), by the property tests beside
//! `anonymise`, and here by a look at the sources and by drives through the real program on which somebody stands beside
//! the damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde_json::Value;
use time::macros::datetime;
use tokio::sync::watch;
use umsicht::edge::config::MountedCamera;
use umsicht::edge::detector::Detector;
use umsicht::edge::fix::FixLog;
use umsicht::edge::infer::{BackendChoice, BackendSettings};
use umsicht::edge::judge::road::RoadJudgeConfig;
use umsicht::edge::mask::Guard;
use umsicht::edge::pass::Pass;
use umsicht::edge::pipeline::{Bounds, CameraFeed, Outbox, Playback, RoadPipeline};
use umsicht::edge::publish::{BrokerConfig, Publisher, delivered};
use umsicht::edge::report::PassId;
use umsicht::edge::spool::{Part, Spool};
use umsicht::geo::EastNorth;
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::EventId;
use umsicht::schema::topic::TopicName;
use umsicht::world::drive::{Antenna, Drive, Gnss};
use umsicht::world::source::windscreen_camera;
use umsicht::world::things::Part as Body;
use umsicht::world::{Split, Town, WorldSource};

use crate::support::mosquitto::{Mosquitto, collect};
use crate::support::{SMALL_SPOOL, umsicht};

/// Who may turn pixels into bytes: the guard itself, the simulated world, which shows nobody, and the technician's drawing
/// over the coarse picture that the guard makes for it.
const MAY_ENCODE: [&str; 3] = ["src/edge/anonymise.rs", "src/world/pictures.rs", "src/edge/calibrate/cli.rs"];
/// Who may look at unredacted camera pixels: their owner, the model's input, the guard; and at their brightness alone whoever
/// measures whether and how the camera sees, and keeps nothing of it.
const MAY_SEE_UNREDACTED: [&str; 4] =
    ["src/edge/frame.rs", "src/edge/preprocess.rs", "src/edge/detector.rs", "src/edge/anonymise.rs"];
const MAY_SEE_BRIGHTNESS: [&str; 4] =
    ["src/edge/frame.rs", "src/edge/yuv.rs", "src/edge/blind/look.rs", "src/edge/calibrate/grey.rs"];
const UNREDACTED: [&str; 2] = ["unredacted(", "unredacted_planes("];
const ENCODERS: [&str; 6] =
    ["JpegEncoder", "PngEncoder", "WebPEncoder", ".write_to(", "write_buffer_with_format", ".save_with_format("];

#[test]
fn only_anonymise_encodes_camera_pixels() {
    for (file, text) in sources() {
        if MAY_ENCODE.iter().any(|allowed| file.ends_with(allowed)) {
            continue;
        }
        for encoder in ENCODERS {
            assert!(!text.contains(encoder), "{} encodes pictures ({encoder}); only anonymise may", file.display());
        }
    }
}

#[test]
fn unredacted_pixels_are_seen_by_the_model_and_the_guard_alone() {
    for (file, text) in sources() {
        if !MAY_SEE_UNREDACTED.iter().any(|allowed| file.ends_with(allowed)) {
            let looks = UNREDACTED.iter().any(|name| text.contains(name));
            assert!(!looks, "{} looks at unredacted pixels", file.display());
        }
        if !MAY_SEE_BRIGHTNESS.iter().any(|allowed| file.ends_with(allowed)) {
            assert!(!text.contains("luma_at("), "{} looks at the brightness of unredacted pixels", file.display());
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("source folders are readable") {
            let path = entry.expect("directory entries are readable").path();
            // Unit tests in files of their own, as those at the end of a file.
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("source files are readable");
                let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
                found.push((path, shipped));
            }
        }
    }
    assert!(found.len() > 10, "the source folder was not found");
    found
}

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 360;
const FRAMES_PER_SECOND: u32 = 5;
/// Damages at the carriageway's edge are shown with so much of what lies beside it, at most.
const SHOWN_BESIDE_METRES: f32 = 2.0;
/// Nothing that lies on the ground has this colour.
const MARKER: [f32; 3] = [1.0, 0.0, 1.0];

/// A drive through a town in which everything that is not ground has one colour: people, vehicles with their plates,
/// houses, trees and the sky. What is sent of it has none of that colour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_poisoned_world_nothing_leaves_but_road() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let town = Arc::new(poisoned_town());
    let drive = Drive::new(&town.route, datetime!(2026-05-04 08:00 UTC), Duration::from_secs(14));
    let source = || {
        WorldSource::new(Arc::clone(&town), drive.clone(), windscreen_camera(WIDTH_PX, HEIGHT_PX), FRAMES_PER_SECOND)
    };
    assert_the_poison_is_seen(&source());

    let spool = Arc::new(Spool::open(folder.path(), SMALL_SPOOL).unwrap().0);
    let fixes = FixLog::from_fixes(drive.fixes(&town.frame, Gnss::Perfect, Antenna::default(), 5));
    let (mut source, outbox) = (source(), Outbox::spool(Arc::clone(&spool)));
    tokio::task::spawn_blocking(move || {
        let mounted = windscreen_camera(WIDTH_PX, HEIGHT_PX);
        let camera = CameraFeed {
            source: &mut source,
            playback: Playback::EVERY_FRAME,
            mounted: Some(MountedCamera {
                intrinsics: mounted.intrinsics,
                mounting: mounted.mounting,
                antenna_forward_metres: 0.0,
                antenna_left_metres: 0.0,
            }),
            pass: Pass::OfOneRun(PassId::random()),
            counters: Arc::default(),
            sight: None,
        };
        pipeline(outbox).run(vec![camera], &|at| fixes.at(at), &AtomicBool::new(false))
    })
    .await
    .unwrap()
    .unwrap();
    let kept = pictures_in(&spool);
    assert!(kept.len() >= 3, "only {} pictures were made", kept.len());
    for (id, jpeg) in &kept {
        let picture = image::load_from_memory(jpeg).unwrap().into_rgb8();
        assert_eq!(poisoned_pixels(&picture), 0, "the picture of {id} shows more than road");
    }

    let collected = collect(broker.port());
    let name = |text: &str| TopicName::new(text).unwrap();
    let link = BrokerConfig { address: BrokerAddress::plain("127.0.0.1", broker.port()), client_id: "edge".into() };
    let publisher = Publisher::new(link, name("soest"), name("bauhof-3"), Arc::clone(&spool));
    let (mut stats, (stop, stopped)) = (publisher.stats(), watch::channel(false));
    let publishing = tokio::spawn(publisher.run(stopped));
    tokio::time::timeout(Duration::from_secs(60), delivered(&spool, &mut stats)).await.expect("all is sent in time");
    stop.send_replace(true);
    publishing.await.unwrap();
    let sent = |id: &EventId| collected.on(&format!("umsicht/1/soest/road/evidence/{id}"));
    let started = Instant::now();
    while kept.keys().any(|id| sent(id).is_empty()) {
        assert!(started.elapsed() < Duration::from_secs(10), "only these arrived: {:?}", collected.topics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kept.iter().all(|(id, jpeg)| sent(id)[0] == *jpeg), "what was looked at is what was sent");
    let evidence = collected.topics().iter().filter(|topic| topic.contains("/evidence/")).count();
    assert_eq!(evidence, kept.len(), "nothing else was sent");
}

/// Nobody stands on ground that may be shown: to find people and vehicles there is a model's part, not geometry's.
fn poisoned_town() -> Town {
    let mut town = Town::generate(3, Split::Test);
    (town.scene.look.sky_low, town.scene.look.sky_high) = (MARKER, MARKER);
    for thing in &mut town.scene.things {
        let here = thing.pose.position;
        let Some(place) = town.scene.index.place(here.east_metres as f32, here.north_metres as f32) else { continue };
        if place.beyond < SHOWN_BESIDE_METRES {
            let outward = f64::from((SHOWN_BESIDE_METRES + 1.0) * place.left.signum());
            let (east, north) = (f64::from(place.direction.0), f64::from(place.direction.1));
            thing.pose.position =
                EastNorth::new(here.east_metres - outward * north, here.north_metres + outward * east);
        }
    }
    for body in town.scene.things.iter_mut().flat_map(|thing| &mut thing.parts) {
        match body {
            Body::Block { colour, windows, .. } => (*colour, *windows) = (MARKER, false),
            Body::Crown { colour, .. } => *colour = MARKER,
        }
    }
    town
}

/// In every frame, above the horizon and below it: else this test would prove nothing.
fn assert_the_poison_is_seen(source: &WorldSource) {
    let horizon_px = windscreen_camera(WIDTH_PX, HEIGHT_PX).horizon_y_px(f64::from(WIDTH_PX) / 2.0).ceil() as u32;
    for number in (0..70).step_by(10) {
        let pixels = source.frame(number).picture.pixels;
        let below = image::imageops::crop_imm(&pixels, 0, horizon_px, WIDTH_PX, HEIGHT_PX - horizon_px).to_image();
        let share = |picture: &RgbImage| poisoned_pixels(picture) as f32 / (picture.width() * picture.height()) as f32;
        assert!(share(&pixels) > 0.1, "frame {number} shows {:.3} poison", share(&pixels));
        assert!(share(&below) > 0.005, "frame {number} shows {:.3} poison below the horizon", share(&below));
    }
}

/// Pixels near the marker's hue, whatever light, haze and compression have made of it.
fn poisoned_pixels(picture: &RgbImage) -> usize {
    picture.pixels().filter(|pixel| pixel.0[0].min(pixel.0[2]).saturating_sub(pixel.0[1]) > 40).count()
}

fn pipeline(outbox: Outbox) -> RoadPipeline<'static> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    RoadPipeline {
        site: TopicName::new("soest").unwrap(),
        judge: RoadJudgeConfig::default(),
        danger: None,
        // No model helps here: geometry alone must keep the poison in.
        guard: Guard::open(&root.join("tests/fixtures/models"), &BackendSettings::default()),
        simulated: true,
        detector: Detector::open(&root.join("models"), "road", BackendChoice::Tract).unwrap(),
        updates: None,
        shadow: None,
        bounds: Bounds::none(),
        live: None,
        outbox,
        observer: Box::new(|_, _| {}),
        counters: Arc::default(),
    }
}

fn pictures_in(spool: &Spool) -> BTreeMap<EventId, Vec<u8>> {
    let mut pictures = BTreeMap::new();
    while let Some(item) = spool.take_next(true).unwrap() {
        if item.part == Part::Evidence {
            pictures.insert(item.id, item.payload);
        }
    }
    pictures
}

const BLOB: &str = "6b23c257905bb1bbe34362b87c2f04e9140e22d0a55b1c8f07cbf3b7ab785245";
/// The test model scores a cell of 160 pixels by its colours: as a damage in `road`, as somebody in `privacy`.
const POTHOLE: [u8; 3] = [204, 0, 0];
const FACE: [u8; 3] = [0, 0, 102];

/// One model of a manifest, on the weights of the test model.
fn entry(task: &str, hash: &str, classes: &str, threshold: f32, more: &str) -> String {
    format!(
        "[[model]]\nname = \"{task}\"\ntask = \"{task}\"\nversion = \"1.0.0\"\nfile = \"blob.onnx\"\nsha256 = \"{hash}\"\n\
         card = \"blob.md\"\nlicence = \"EUPL-1.2\"\nlayout = \"yolo\"\nclasses = {classes}\nscore_threshold = {threshold}\n\
         nms_iou = 0.5\n[model.input]\nwidth = 64\nheight = 64\npad_value = 0\nscale = 0.00392156862745098\n{more}"
    )
}

fn road() -> String {
    entry("road", BLOB, r#"["D00", "D10", "D40"]"#, 0.5, "")
}

/// A face from 0.3 on, grown by a quarter; a red cell is no person below 0.95.
fn privacy(hash: &str) -> String {
    let rule = |class, threshold| format!("{class} = {{ score_threshold = {threshold}, dilation = 0.25 }}\n");
    let rules = rule("face", 0.3) + &rule("licence_plate", 0.3) + &rule("person", 0.95);
    entry("privacy", hash, r#"["face", "licence_plate", "person"]"#, 0.3, &format!("[model.masks]\n{rules}"))
}

/// Replays three frames, the second with these cells (column, row, colour), and says whether the one event has a picture.
fn has_picture(manifest: &str, cells: &[(u32, u32, [u8; 3])]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (models, pictures) = (folder.path().join("models"), folder.path().join("pictures"));
    fs::create_dir(&models).unwrap();
    fs::create_dir(&pictures).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    fs::copy(fixtures.join("blob.onnx"), models.join("blob.onnx")).unwrap();
    fs::write(models.join("manifest.toml"), manifest).unwrap();
    for number in 0..3 {
        let shown = if number == 1 { cells } else { &[] };
        let colour =
            |x, y| shown.iter().find(|cell| (x / 160, y / 160) == (cell.0, cell.1)).map_or([0; 3], |cell| cell.2);
        RgbImage::from_fn(640, 640, |x, y| Rgb(colour(x, y))).save(pictures.join(format!("{number}.png"))).unwrap();
    }
    let point = |second: u32| {
        let latitude = 50.0 + f64::from(second) * 0.00009;
        format!("<trkpt lat=\"{latitude}\" lon=\"8\"><time>2026-03-17T09:30:0{second}Z</time></trkpt>")
    };
    let points: String = (0..4).map(point).collect();
    let gpx = format!("<gpx version=\"1.1\" creator=\"test\"><trk><trkseg>{points}</trkseg></trk></gpx>");
    fs::write(folder.path().join("drive.gpx"), gpx).unwrap();
    let out = folder.path().join("events.jsonl");
    let output = umsicht()
        .args(["edge", "replay", "--video"])
        .arg(&pictures)
        .arg("--gnss")
        .arg(folder.path().join("drive.gpx"))
        .arg("--models")
        .arg(&models)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = fs::read_to_string(out).unwrap();
    assert_eq!(events.lines().count(), 1, "the damage is reported, with or without a picture: {events}");
    let event: Value = serde_json::from_str(&events).unwrap();
    event["data"]["has_evidence"].as_bool().unwrap()
}

#[test]
fn somebody_beside_the_damage_takes_the_picture_and_leaves_the_event() {
    let damage = (1, 2, POTHOLE);
    let both = road() + &privacy(BLOB);
    assert!(has_picture(&both, &[damage]), "nobody is there");
    assert!(has_picture(&both, &[damage, (3, 0, FACE)]), "somebody far off is not shown anyway");
    assert!(!has_picture(&both, &[damage, (2, 2, FACE)]), "somebody stands beside the damage");
    assert!(has_picture(&road(), &[damage, (2, 2, FACE)]), "without a privacy model the allow-list stands alone");
}

#[test]
fn a_privacy_model_that_cannot_run_takes_every_picture() {
    let spoiled = "0".repeat(64);
    assert!(!has_picture(&(road() + &privacy(&spoiled)), &[(1, 2, POTHOLE)]));
}
