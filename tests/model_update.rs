//! A device takes new models by itself, safely: whatever is wrong with a bundle, and whatever a model does once it runs, the device
//! goes on judging with models that work, and each event names the model that judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use umsicht::edge::config::{EdgeConfig, ModelConfig, MountedCamera};
use umsicht::edge::detector::Detector;
use umsicht::edge::fix::FixLog;
use umsicht::edge::infer::BackendChoice;
use umsicht::edge::judge::road::RoadJudgeConfig;
use umsicht::edge::mask::Guard;
use umsicht::edge::pass::Pass;
use umsicht::edge::pipeline::{Bounds, CameraFeed, Outbox, Playback, RoadPipeline};
use umsicht::edge::report::PassId;
use umsicht::edge::source::images::{ImageSequence, Timing};
use umsicht::edge::source::{CapturedImage, FrameSource, SourceError};
use umsicht::edge::update::{Activated, Refusal, TrialLimits, Updater, Watch, on_command};
use umsicht::schema::topic::TopicName;
use umsicht::schema::{DamageClass, Event, RoadDamage};

use crate::support::clip::{self, Clip, Patch, STARTED_AT};
use crate::support::models::{Device, came_with_the_program, colours, fails_on_the_road};
use crate::support::umsicht;

const METRES_PER_SECOND: f64 = 8.0;

pub fn drive() -> Clip {
    let patch = |class, along_metres, left_metres, length_metres, width_metres| Patch {
        class,
        along_metres,
        left_metres,
        length_metres,
        width_metres,
    };
    let patches = vec![
        patch(DamageClass::Pothole, 14.0, 0.4, 0.8, 0.6),
        patch(DamageClass::AlligatorCrack, 45.0, 1.2, 2.0, 1.5),
        patch(DamageClass::Pothole, 60.0, -0.5, 0.5, 0.5),
    ];
    Clip { patches, along_at: |seconds| METRES_PER_SECOND * seconds, duration: Duration::from_secs(9) }
}

pub fn images(pictures: &Path) -> ImageSequence {
    ImageSequence::open(pictures, &Timing::Table(pictures.join("times.csv")), STARTED_AT).unwrap()
}

pub fn pipeline(out: &Path, updates: Option<Arc<Updater>>) -> RoadPipeline<'static> {
    let models = updates.as_ref().map(|updates| updates.first_models().unwrap());
    let (detector, guard) = match models {
        Some(models) => (models.detector, models.guard),
        None => (Detector::open(&clip::models(), "road", BackendChoice::Tract).unwrap(), Guard::AllowListOnly),
    };
    RoadPipeline {
        site: TopicName::new("soest").unwrap(),
        judge: RoadJudgeConfig::default(),
        danger: None,
        simulated: false,
        detector,
        guard,
        updates,
        shadow: None,
        bounds: Bounds::none(),
        live: None,
        outbox: Outbox::lines(out).unwrap(),
        observer: Box::new(|_, _| {}),
        counters: Arc::default(),
    }
}

/// Every frame of the drive in `folder`.
pub fn judge_all(pipeline: RoadPipeline, folder: &Path, source: &mut dyn FrameSource) {
    let fixes = FixLog::read(&folder.join("drive.nmea")).unwrap();
    let camera = CameraFeed {
        source,
        playback: Playback::EVERY_FRAME,
        // As the patches were drawn, so that they are found where they are.
        mounted: measured_camera(folder),
        pass: Pass::OfOneRun(PassId::from_text("test").unwrap()),
        counters: Arc::default(),
        sight: None,
    };
    pipeline.run(vec![camera], &|at| fixes.at(at), &AtomicBool::new(false)).unwrap();
}

/// Pictures, and something that happens before one of them.
struct Meanwhile<F> {
    images: ImageSequence,
    left: usize,
    happens: Option<F>,
}

impl<F: FnOnce() + Send> FrameSource for Meanwhile<F> {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        if self.left == 0
            && let Some(happens) = self.happens.take()
        {
            happens();
        }
        self.left = self.left.saturating_sub(1);
        self.images.next_image()
    }
}

/// A whole drive through the real pipeline, with `happens` before frame `before`.
fn driven(
    folder: &Path,
    updater: &Arc<Updater>,
    before: usize,
    happens: impl FnOnce() + Send,
) -> (Vec<RoadDamage>, u64) {
    let clip = drive();
    clip.write_log(folder);
    let pictures = clip.write_pictures(folder, Duration::ZERO, clip.duration);
    let out = folder.join("events.jsonl");
    let pipeline = pipeline(&out, Some(Arc::clone(updater)));
    let counters = Arc::clone(&pipeline.counters);
    let mut source = Meanwhile { images: images(&pictures), left: before, happens: Some(happens) };
    judge_all(pipeline, folder, &mut source);
    let lines = fs::read_to_string(out).unwrap();
    let damage = |line: &str| Event::from_json(line.as_bytes()).unwrap().data.damage().unwrap().clone();
    (lines.lines().map(damage).collect(), counters.frames.load(Ordering::Relaxed))
}

fn offered(updater: &Updater, bundle: &[u8]) {
    updater.offer(bundle, "test").unwrap();
}

fn measured_camera(folder: &Path) -> Option<MountedCamera> {
    EdgeConfig::read(&clip::write_config(folder, "tract")).unwrap().first_camera().mounted
}

fn versions(events: &[RoadDamage]) -> Vec<&str> {
    events.iter().map(|damage| damage.model.version.as_str()).collect()
}

#[test]
fn a_running_pipeline_takes_new_models_and_each_event_names_the_one_that_judged() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = Arc::new(device.updater(TrialLimits { frames: 5, ..TrialLimits::default() }));
    let bundle = device.bundle(12, &colours(folder.path(), "2.0.0"));
    // Between the first patch and the sight of the second.
    let (events, frames) = driven(folder.path(), &updater, 12, || offered(&updater, &bundle));
    assert_eq!(frames, 45, "no frame is lost");
    assert_eq!(events.len(), drive().patches.len(), "each is reported once: {events:#?}");
    assert_eq!(versions(&events), ["1.0.0", "2.0.0", "2.0.0"]);
    updater.tick();
    let state = updater.state();
    assert_eq!((state.current, state.trial, state.activated), (Some(12), None, 1), "it has proved itself");
    let health = updater.health();
    assert_eq!((health.bundle_version, health.in_use["road"].as_str()), (12, "2.0.0"));
}

#[test]
fn a_swap_in_sight_of_a_damage_reports_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = Arc::new(device.updater(TrialLimits::default()));
    let bundle = device.bundle(12, &colours(folder.path(), "2.0.0"));
    // Seven metres before the second patch: the old models have seen it long enough to report it.
    let (events, _) = driven(folder.path(), &updater, 24, || offered(&updater, &bundle));
    let classes: Vec<DamageClass> = events.iter().map(|damage| damage.class).collect();
    assert_eq!(classes, [DamageClass::Pothole, DamageClass::AlligatorCrack, DamageClass::Pothole], "{events:#?}");
    assert_eq!(versions(&events), ["1.0.0", "1.0.0", "2.0.0"]);
}

#[test]
fn a_model_that_fails_on_the_road_is_taken_back_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = Arc::new(device.updater(TrialLimits::default()));
    let bundle = device.bundle(12, &fails_on_the_road(folder.path()));
    let (events, frames) = driven(folder.path(), &updater, 10, || offered(&updater, &bundle));
    assert_eq!(frames, 45, "the frame on which it failed is judged too");
    assert_eq!(versions(&events), ["1.0.0"; 3]);
    let state = updater.state();
    assert_eq!((state.current, state.activated, state.rolled_back), (None, 1, 1));
    assert!(state.last_refusal.unwrap().contains("not finite"), "the reason is kept");
    let again = updater.offer(&bundle, "test").unwrap_err();
    assert!(matches!(again, Refusal::NotNewer { offered: 12, highest: 12 }), "the version is burnt: {again}");
    let fine = colours(folder.path(), "2.0.0");
    assert_eq!(updater.offer(&device.bundle(13, &fine), "test").unwrap(), Activated { version: 13 });
}

#[test]
fn models_that_judge_nothing_while_frames_come_are_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let limits = TrialLimits { silence: Duration::from_millis(50), ..TrialLimits::default() };
    let updater = device.updater(limits);
    updater.first_models().unwrap();
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    assert!(updater.between_frames().is_some());
    sleep(Duration::from_millis(60));
    updater.tick();
    assert_eq!(updater.state().current, Some(12), "without frames there is nothing to judge");
    updater.count_begun();
    updater.count_judged();
    updater.tick();
    assert_eq!(updater.state().current, Some(12), "the first frame came late, and was judged");
    updater.count_begun();
    sleep(Duration::from_millis(60));
    updater.tick();
    assert_eq!((updater.state().current, updater.state().rolled_back), (None, 1));
    let back = updater.between_frames().expect("the old models are handed over");
    assert_eq!(back.detector.model_ref().version, "1.0.0");
}

#[test]
fn a_model_that_does_not_let_go_of_the_program_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let (silence, release) = (Duration::from_millis(50), Duration::from_millis(50));
    let updater = Arc::new(device.updater(TrialLimits { silence, release, ..TrialLimits::default() }));
    updater.first_models().unwrap();
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    // Taken by a thread that never comes back for the next frame.
    assert!(updater.between_frames().is_some());
    updater.count_begun();
    let (tell, told) = channel();
    let _watch = Watch::start(&updater, move || tell.send(()).unwrap());
    told.recv_timeout(Duration::from_secs(10)).expect("somebody must end the program");
    assert_eq!(updater.state().current, None, "the next start has the old models");
}

#[test]
fn an_orderly_end_in_the_middle_of_a_trial_is_not_held_against_the_models() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = Arc::new(device.updater(TrialLimits::default()));
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    updater.first_models().unwrap();
    drop(Watch::start(&updater, || ()));
    drop(updater);
    let next = device.updater(TrialLimits::default());
    assert_eq!(next.first_models().unwrap().detector.model_ref().version, "2.0.0");
    assert!(next.state().trial.is_some(), "the trial goes on");
}

#[test]
fn models_that_are_activated_after_an_orderly_end_wait_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits::default());
    updater.first_models().unwrap();
    updater.end_in_order();
    // Its self-test had begun before.
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    drop(updater);
    assert_eq!(device.updater(TrialLimits::default()).state().current, Some(12), "nothing has used it yet");
}

#[test]
fn models_whose_self_test_comes_to_no_end_are_not_tried_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let bundle = device.bundle(12, &colours(folder.path(), "2.0.0"));
    for _ in 0..2 {
        let updater = device.updater(TrialLimits { self_test: Duration::ZERO, ..TrialLimits::default() });
        let refusal = updater.offer(&bundle, "test").unwrap_err();
        assert!(matches!(refusal, Refusal::NoEnd { .. }), "{refusal}");
    }
    let updater = device.updater(TrialLimits::default());
    let refusal = updater.offer(&bundle, "test").unwrap_err();
    assert!(matches!(refusal, Refusal::WentDown { version: 12, times: 2 }), "{refusal}");
    let next = device.bundle(13, &colours(folder.path(), "2.1.0"));
    assert_eq!(updater.offer(&next, "test").unwrap(), Activated { version: 13 });
    assert_eq!(updater.state().trying, None);
}

#[test]
fn a_bundle_that_comes_with_each_connection_is_counted_and_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits::default());
    let on_the_disk = || fs::read(device.config().folder.join("state.json")).unwrap_or_default();
    let offer = |bundle: &[u8]| on_command(&updater, "update-models", bundle);
    let refused = || updater.health().refused;

    let in_use = device.bundle(12, &colours(folder.path(), "2.0.0"));
    offer(&in_use);
    let before = on_the_disk();
    offer(&in_use);
    assert_eq!((refused(), on_the_disk() == before), (0, true), "what is in use is not refused");
    let other = device.bundle(12, &colours(folder.path(), "2.0.1"));
    offer(&other);
    assert_eq!(refused(), 1, "other models of the same version are");

    let old = device.bundle(3, &colours(folder.path(), "1.9.0"));
    let fails = changed(folder.path(), "2.1", "golden.json", |text| text.replace("D40", "D20"));
    for bundle in [old, device.bundle(13, &fails)] {
        offer(&bundle);
        let (count, before) = (refused(), on_the_disk());
        let written_at = || fs::metadata(device.config().folder.join("state.json")).unwrap().modified().unwrap();
        let at = written_at();
        offer(&bundle);
        assert_eq!((refused(), on_the_disk(), written_at()), (count, before, at));
    }

    let (count, before) = (refused(), on_the_disk());
    offer(b"from a stranger");
    assert_eq!((refused(), on_the_disk()), (count + 1, before), "it wears nothing out");
}

/// The same models with the file of the road model as a privacy model too.
fn with_privacy_model(models: &Path) {
    let manifest = fs::read_to_string(models.join("manifest.toml")).unwrap();
    let again = manifest.replace("\"road\"", "\"privacy\"");
    let again = &again[again.find("[[model]]").unwrap()..];
    fs::write(models.join("manifest.toml"), format!("{manifest}\n{again}")).unwrap();
}

#[test]
fn an_update_never_takes_the_privacy_model_away() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let old = colours(folder.path(), "1.5.0");
    with_privacy_model(&old);
    let model = ModelConfig { folder: old, ..came_with_the_program() };
    let updater = Updater::open(&device.config(), &model, TrialLimits::default()).unwrap();
    updater.first_models().unwrap();
    let new = colours(folder.path(), "2.0.0");
    let without = updater.offer(&device.bundle(1, &new), "test").unwrap_err();
    assert!(matches!(without, Refusal::NoPrivacyModel), "{without}");
    with_privacy_model(&new);
    updater.offer(&device.bundle(1, &new), "test").unwrap();
    assert!(matches!(updater.between_frames().unwrap().guard, Guard::Model(_)), "it looks with the new one");
}

#[test]
fn a_program_that_goes_down_with_models_on_trial_starts_with_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits::default());
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    drop(updater);
    let first_start = device.updater(TrialLimits::default());
    assert_eq!(first_start.first_models().unwrap().detector.model_ref().version, "2.0.0");
    drop(first_start);
    let after_the_crash = device.updater(TrialLimits::default());
    assert_eq!(after_the_crash.state().rolled_back, 1);
    assert_eq!(after_the_crash.first_models().unwrap().detector.model_ref().version, "1.0.0");
}

#[test]
fn models_that_can_no_longer_be_opened_give_way_to_those_before() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits::default());
    updater.offer(&device.bundle(12, &colours(folder.path(), "2.0.0")), "test").unwrap();
    fs::write(device.config().folder.join("versions/12/colours.onnx"), "eaten by a bad card").unwrap();
    assert_eq!(updater.first_models().unwrap().detector.model_ref().version, "1.0.0");
    assert_eq!(updater.state().current, None);
}

#[test]
fn a_device_that_lost_its_key_takes_nothing_and_judges_on() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let bundle = device.bundle(12, &colours(folder.path(), "2.0.0"));
    fs::remove_file(folder.path().join("public")).unwrap();
    let updater = device.updater(TrialLimits::default());
    assert!(matches!(updater.offer(&bundle, "test"), Err(Refusal::NoKey(_))));
    assert_eq!(updater.first_models().unwrap().detector.model_ref().version, "1.0.0");
}

/// A copy of the good models with one file changed.
fn changed(folder: &Path, name: &str, file: &str, change: impl Fn(String) -> String) -> PathBuf {
    let models = colours(folder, name);
    let text = fs::read_to_string(models.join(file)).unwrap();
    fs::write(models.join(file), change(text)).unwrap();
    models
}

#[test]
fn models_that_fail_the_self_test_are_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits::default());
    let refusal = |version, models: &Path| updater.offer(&device.bundle(version, models), "test").unwrap_err();

    let other = changed(folder.path(), "2.1", "golden.json", |text| text.replace("D40", "D20"));
    assert!(matches!(refusal(1, &other), Refusal::FindsOtherThings { .. }));
    let hash = |text: String| text.replace("sha256 = \"bf", "sha256 = \"00");
    assert!(matches!(refusal(2, &changed(folder.path(), "2.2", "manifest.toml", hash)), Refusal::Model(_)));
    let classes = |text: String| text.replace("\"D20\"", "\"snow\"");
    let foreign = changed(folder.path(), "2.3", "manifest.toml", classes);
    assert!(matches!(refusal(3, &foreign), Refusal::ForeignClass { class, .. } if class == "snow"));
    let wide = |text: String| text.replace("width = 320", "width = 640");
    assert!(matches!(refusal(4, &changed(folder.path(), "2.4", "manifest.toml", wide)), Refusal::DoesNotRun { .. }));
    let name = |text: String| text.replace("name = \"road\"", "name = \"street\"");
    assert!(matches!(refusal(5, &changed(folder.path(), "2.5", "manifest.toml", name)), Refusal::Model(_)));

    let health = updater.health();
    assert_eq!((health.activated, health.refused, health.bundle_version), (0, 5, 0));
    assert!(health.last_refusal.unwrap().contains("street"), "the last reason is kept");
    assert!(!device.config().folder.join("staging").exists(), "what was refused is removed");
    assert!(updater.offer(&device.bundle(1, &colours(folder.path(), "2.6")), "test").is_ok(), "nothing was burnt");
}

#[test]
fn a_command_and_the_inbox_are_ways_in() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let updater = device.updater(TrialLimits { at_rest: Duration::ZERO, ..TrialLimits::default() });
    assert!(on_command(&updater, "update-models", &device.bundle(2, &colours(folder.path(), "2.0.0"))));
    assert_eq!(updater.state().current, Some(2));
    assert!(!on_command(&updater, "open-the-door", b""));

    let inbox = device.config().inbox;
    fs::write(inbox.join("good.umsicht-models"), device.bundle(3, &colours(folder.path(), "3.0.0"))).unwrap();
    fs::write(inbox.join("old.umsicht-models"), device.bundle(1, &colours(folder.path(), "1.0.0"))).unwrap();
    for _ in 0..4 {
        updater.look_into_inbox();
    }
    assert_eq!(updater.state().current, Some(3));
    let mut left: Vec<String> =
        fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["old.umsicht-models.refused", "old.umsicht-models.refused.txt"]);
}

/// The configuration of a device with updates, and a folder of pictures.
fn write_config(device: &Device, pictures: &Path) -> PathBuf {
    let path = device.folder.join("edge.toml");
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\nkind = \"images\"\nfolder = \"{pictures}\"\n\
         times = \"{pictures}/times.csv\"\n[gnss]\nkind = \"file\"\nfile = \"drive.nmea\"\n{}[model]\nfolder = \"{}\"\nbackend = \"tract\"\n\
         [update]\nfolder = \"models\"\npublic_key_file = \"public\"\n[spool]\nfolder = \"spool\"\n\
         [broker]\nhost = \"127.0.0.1\"\nport = 1\n",
        clip::CAMERA,
        clip::models().display(),
        pictures = pictures.display(),
    );
    fs::write(&path, text).unwrap();
    path
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    (output.status.code().unwrap_or(-1), text)
}

fn edge(arguments: &[&str], config: &Path) -> (i32, String) {
    said(&umsicht().arg("edge").args(arguments).arg("--config").arg(config).output().unwrap())
}

/// Signs with the real program.
fn sign(device: &Device, models: &Path, version: u64) -> PathBuf {
    let out = device.folder.join(format!("{version}.umsicht-models"));
    let mut command: Command = umsicht();
    command.args(["models", "sign", "--models"]).arg(models).arg("--key").arg(device.folder.join("private"));
    let (code, text) =
        said(&command.args(["--bundle-version", &version.to_string(), "--out"]).arg(&out).output().unwrap());
    assert_eq!(code, 0, "{text}");
    out
}

#[test]
fn a_technician_updates_and_rolls_back_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let config = write_config(&device, Path::new("unused"));
    let bundle = sign(&device, &colours(folder.path(), "2.0.0"), 12);
    let bundle = bundle.to_str().unwrap();
    let update = |bundle: &str| edge(&["update", "--bundle", bundle], &config);

    let (code, text) = edge(&["rollback"], &config);
    assert!(code == 64 && text.contains("nothing to go back to"), "{text}");
    let (code, text) = update(bundle);
    assert!(code == 0 && text.contains("version 12 is in place"), "{text}");
    let (_, text) = edge(&["check"], &config);
    assert!(text.contains("bundle         version 12, on trial") && text.contains("road 2.0.0"), "{text}");
    let (code, text) = edge(&["rollback"], &config);
    assert!(code == 0 && text.contains("came with the program is in use instead of version 12"), "{text}");
    let (code, text) = update(bundle);
    assert!(code == 65 && text.contains("version 12 is not newer than 12"), "{text}");
    fs::write(folder.path().join("note.txt"), "no bundle").unwrap();
    let (code, text) = update(folder.path().join("note.txt").to_str().unwrap());
    assert!(code == 65 && text.contains("no bundle of models"), "{text}");
}

#[test]
fn models_that_do_not_verify_are_not_signed_and_keys_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let models = changed(folder.path(), "2.0.0", "golden.json", |text| text.replace("D40", "D20"));
    let mut command = umsicht();
    command.args(["models", "sign", "--bundle-version", "1", "--models"]).arg(models);
    command.arg("--key").arg(folder.path().join("private")).arg("--out").arg(folder.path().join("out"));
    let (code, text) = said(&command.output().unwrap());
    assert!(code == 65 && text.contains("is not signed") && text.contains("finds no D20"), "{text}");
    assert!(!folder.path().join("out").exists());
    let mut command = umsicht();
    command.args(["models", "keygen", "--private"]).arg(folder.path().join("private"));
    let (code, text) = said(&command.arg("--public").arg(device.folder.join("new")).output().unwrap());
    assert!(code == 64 && text.contains("not overwritten"), "{text}");
}

#[test]
fn a_running_service_takes_what_a_technician_hands_it() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path());
    let clip = Clip { duration: Duration::from_secs(30), along_at: |_| 0.0, patches: drive().patches };
    clip.write_log(folder.path());
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    let config = write_config(&device, &pictures);
    let bundle = sign(&device, &colours(folder.path(), "2.0.0"), 12);
    let mut service = umsicht().args(["edge", "run", "--config"]).arg(&config).spawn().unwrap();
    let started = Instant::now();
    while !device.config().inbox.exists() && started.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(50));
    }
    let (code, text) = edge(&["update", "--bundle", bundle.to_str().unwrap()], &config);
    assert!(code == 0 && text.contains("version 12 is in place and on trial"), "{text}");
    let (code, text) = edge(&["update", "--bundle", bundle.to_str().unwrap()], &config);
    assert!(code == 0 && text.contains("version 12 is in place"), "{text}");
    let (code, text) = edge(&["rollback"], &config);
    assert!(code == 0 && text.contains("instead of version 12"), "{text}");
    let (code, text) = edge(&["update", "--bundle", bundle.to_str().unwrap()], &config);
    assert!(code == 65 && text.contains("not newer"), "{text}");
    let stopped = Command::new("kill").arg(service.id().to_string()).status().unwrap();
    assert!(stopped.success() && service.wait().unwrap().success(), "it stops in order");
}
