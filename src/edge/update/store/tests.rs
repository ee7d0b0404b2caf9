//! The power may be cut between any two operations: the models are always the old or the new ones, whole.

use super::*;
use crate::edge::update::bundle::About;
use crate::edge::update::disk::Done;
use time::macros::datetime;

const MANIFEST: &str = r#"[[model]]
name = "road"
task = "road"
version = "VERSION"
file = "road.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
card = "road.md"
licence = "CC0-1.0"
layout = "end2end"
classes = ["D40"]
score_threshold = 0.5
golden = "golden.json"
[model.input]
width = 64
height = 64
pad_value = 0
scale = 1.0
"#;

fn bundle(version: u64) -> Bundle {
    let files = [
        ("bundle.toml", String::new()),
        ("manifest.toml", MANIFEST.replace("VERSION", &version.to_string())),
        ("road.onnx", format!("weights {version}")),
        ("road.md", String::new()),
        ("golden.json", r#"{"picture": "golden.png", "detections": []}"#.to_owned()),
        ("golden.png", String::new()),
    ];
    Bundle {
        about: About { version, made_at: datetime!(2026-11-20 10:00 UTC), note: None },
        files: files.into_iter().map(|(name, content)| (name.to_owned(), content.into_bytes())).collect(),
    }
}

fn take(store: &mut Store, version: u64, in_service: bool) -> Result<(), Refusal> {
    store.check_newer(version)?;
    store.stage(&bundle(version))?;
    Ok(store.activate(version, in_service)?)
}

/// A device with version 3, which has proved itself.
fn with_version_3(folder: &Path) {
    let mut store = Store::open(folder).unwrap();
    take(&mut store, 3, true).unwrap();
    store.set(store.state().with_trial_passed());
}

/// The version in use after a start, after a look at whether it is whole and the link says the same.
fn version_at_next_start(folder: &Path) -> (u64, State) {
    let store = Store::open(folder).unwrap();
    let version = store.bundle_version();
    if let Some(current) = store.current() {
        for (name, content) in &bundle(version).files {
            assert_eq!(&fs::read(current.join(name)).unwrap(), content, "{name} of version {version}");
        }
        assert_eq!(fs::canonicalize(folder.join(CURRENT)).unwrap(), fs::canonicalize(current).unwrap());
    } else {
        assert!(!folder.join(CURRENT).exists());
    }
    (version, store.state().clone())
}

/// Runs `change` with the power cut after 0, 1, 2 … operations, until it comes through; each time on a device of its own.
fn with_each_cut(prepare: impl Fn(&Path), change: impl Fn(&mut Store), check: impl Fn(&Path, usize)) -> usize {
    for cut_after in 0.. {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let mut store = Store::open(folder.path()).unwrap();
        store.disk.left.set(Some(cut_after));
        change(&mut store);
        let came_through = store.disk.left.get() != Some(0);
        drop(store);
        check(folder.path(), cut_after);
        if came_through {
            return cut_after;
        }
    }
    unreachable!("some number of operations is enough")
}

#[test]
fn an_activation_cut_off_anywhere_leaves_the_old_or_the_new_version_whole() {
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let steps = with_each_cut(
        with_version_3,
        |store| drop(take(store, 5, false)),
        |folder, cut_after| {
            let (version, state) = version_at_next_start(folder);
            assert!([3, 5].contains(&version), "cut after {cut_after}: {version}");
            assert_eq!(state.highest, version, "cut after {cut_after}: what was not activated is not burnt");
            seen.borrow_mut().insert(version);
        },
    );
    assert_eq!(*seen.borrow(), BTreeSet::from([3, 5]), "both sides of the one step were met");
    assert!(steps > 20, "{steps} operations");
}

#[test]
fn the_first_activation_cut_off_anywhere_leaves_what_came_with_the_program_or_the_new_version() {
    with_each_cut(
        |_| (),
        |store| drop(take(store, 5, false)),
        |folder, cut_after| {
            let (version, _) = version_at_next_start(folder);
            assert!([0, 5].contains(&version), "cut after {cut_after}: {version}");
        },
    );
}

#[test]
fn a_version_cut_off_before_it_was_activated_can_be_offered_again() {
    with_each_cut(
        with_version_3,
        |store| drop(take(store, 5, false)),
        |folder, _| {
            let mut store = Store::open(folder).unwrap();
            if store.bundle_version() == 3 {
                take(&mut store, 5, false).unwrap();
            }
            drop(store);
            assert_eq!(version_at_next_start(folder).0, 5);
        },
    );
}

#[test]
fn a_roll_back_cut_off_anywhere_ends_with_the_old_version_and_the_new_one_burnt() {
    with_each_cut(
        |folder| {
            with_version_3(folder);
            take(&mut Store::open(folder).unwrap(), 5, false).unwrap();
        },
        |store| {
            store.set(store.state().with_start());
            store.take_back("it failed");
        },
        |folder, cut_after| {
            let (version, state) = version_at_next_start(folder);
            let before_it_began = cut_after <= 3 && version == 5;
            assert!(version == 3 || before_it_began, "cut after {cut_after}: {version}");
            assert_eq!(state.highest, 5);
            let store = Store::open(folder).unwrap();
            assert!(matches!(store.check_newer(5), Err(Refusal::NotNewer { offered: 5, highest: 5 })));
        },
    );
}

#[test]
fn a_crash_on_trial_is_rolled_back_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    take(&mut Store::open(folder.path()).unwrap(), 5, true).unwrap();
    let (version, state) = version_at_next_start(folder.path());
    assert_eq!((version, state.rolled_back, state.trial), (3, 1, None));
    assert!(state.last_refusal.unwrap().contains("went down while version 5"));
    assert!(!folder.path().join("versions/5").exists(), "nothing can use it again");
}

#[test]
fn an_orderly_end_on_trial_is_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    let mut store = Store::open(folder.path()).unwrap();
    take(&mut store, 5, true).unwrap();
    store.set(store.state().with_orderly_end());
    drop(store);
    assert_eq!(version_at_next_start(folder.path()).0, 5);
}

#[test]
fn older_and_same_versions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    let mut store = Store::open(folder.path()).unwrap();
    for offered in [1, 2, 3] {
        let refusal = take(&mut store, offered, true).unwrap_err();
        assert!(matches!(refusal, Refusal::NotNewer { highest: 3, .. }), "{offered}: {refusal}");
    }
    assert_eq!(store.bundle_version(), 3);
}

#[test]
fn what_is_missing_and_what_nobody_named_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for missing in ["manifest.toml", "road.onnx", "road.md", "golden.json", "golden.png"] {
        let mut bundle = bundle(1);
        bundle.files.retain(|(name, _)| name != missing);
        let refusal = store.stage(&bundle).unwrap_err();
        assert!(matches!(&refusal, Refusal::Missing(name) if name == missing), "{missing}: {refusal}");
    }
    let mut bundle = bundle(1);
    bundle.files.push(("extra.onnx".into(), Vec::new()));
    assert!(matches!(store.stage(&bundle), Err(Refusal::Stranger(name)) if name == "extra.onnx"));
}

#[test]
fn only_one_program_may_change_models() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(UpdateError::InUse(_))));
}

#[test]
fn a_state_that_cannot_be_read_loses_neither_the_models_nor_what_is_burnt() {
    for damage in [Some("{"), None] {
        let folder = tempfile::tempdir().unwrap();
        with_version_3(folder.path());
        match damage {
            Some(text) => fs::write(folder.path().join(STATE), text).unwrap(),
            None => fs::remove_file(folder.path().join(STATE)).unwrap(),
        }
        let (version, state) = version_at_next_start(folder.path());
        assert_eq!((version, state.highest), (3, 3));
    }
}

#[test]
fn what_takes_the_program_down_when_it_is_looked_at_is_refused_unseen_after_two_times() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    for _ in 0..2 {
        let mut store = Store::open(folder.path()).unwrap();
        store.begin_try(5).unwrap();
        // Here the program goes down.
    }
    let mut store = Store::open(folder.path()).unwrap();
    assert!(matches!(store.begin_try(5), Err(Refusal::WentDown { version: 5, times: 2 })));
    store.begin_try(6).expect("others are looked at");
    assert_eq!(version_at_next_start_of(store, folder.path()), 3);
}

fn version_at_next_start_of(store: Store, folder: &Path) -> u64 {
    drop(store);
    version_at_next_start(folder).0
}

#[test]
fn a_look_is_marked_on_the_disk_or_does_not_begin() {
    for cut_after in 0.. {
        let folder = tempfile::tempdir().unwrap();
        with_version_3(folder.path());
        let mut store = Store::open(folder.path()).unwrap();
        store.disk.left.set(Some(cut_after));
        let begun = store.begin_try(5).is_ok();
        drop(store);
        let marked = Store::open(folder.path()).unwrap().state().tries(5) == 1;
        assert!(marked || !begun, "cut after {cut_after}");
        if begun {
            return;
        }
    }
}

/// Panics where a power cut could show what was done in another order than it was: a file without its content, a folder
/// without its files, a state that names a version that is not there.
fn check_order(done: &[Done]) {
    let (mut unsynced_files, mut unsynced_folders) = (BTreeSet::new(), BTreeSet::new());
    for step in done {
        match step {
            Done::Named(path) => drop(unsynced_folders.insert(path.parent().unwrap().to_owned())),
            Done::Written(path) => drop(unsynced_files.insert(path.clone())),
            Done::FileSynced(path) => drop(unsynced_files.remove(path)),
            Done::FolderSynced(path) => drop(unsynced_folders.remove(path)),
            Done::Renamed(from, to) => {
                let within = |path: &PathBuf| path.starts_with(from);
                assert!(!unsynced_files.iter().any(within), "{to:?} gets its name before its content: {done:#?}");
                assert!(!unsynced_folders.iter().any(within), "{to:?} gets its name before its files: {done:#?}");
                let folder = to.parent().unwrap();
                let others = unsynced_folders.iter().any(|path| path != folder);
                assert!(!to.ends_with(STATE) || !others, "the state names what has no name yet: {done:#?}");
                unsynced_folders.extend([folder.to_owned(), from.parent().unwrap().to_owned()]);
            }
        }
    }
    assert!(unsynced_files.is_empty() && unsynced_folders.is_empty(), "it ends before it is durable: {done:#?}");
}

#[test]
fn each_step_is_on_the_disk_before_the_next_one_relies_on_it() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    let mut store = Store::open(folder.path()).unwrap();
    take(&mut store, 5, true).unwrap();
    let activation = store.disk.done.take();
    assert!(activation.iter().any(|step| matches!(step, Done::Renamed(_, to) if to.ends_with("versions/5"))));
    check_order(&activation);
    store.take_back("it failed");
    check_order(&store.disk.done.take());
    store.begin_try(6).unwrap();
    check_order(&store.disk.done.take());
}

#[test]
fn what_the_store_writes_goes_through_no_link() {
    let folder = tempfile::tempdir().unwrap();
    with_version_3(folder.path());
    let mut store = Store::open(folder.path()).unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, folder.path().join("state.json.new")).unwrap();
    store.begin_try(5).unwrap();
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    assert!(folder.path().join(STATE).symlink_metadata().unwrap().is_file());
}
