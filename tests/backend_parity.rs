//! Both backends say the same about the same picture: whichever a device ends up with, it sees the same damage.

use std::path::{Path, PathBuf};

use umsicht::edge::infer::model::{Manifest, Model};
use umsicht::edge::infer::{BackendChoice, BackendSettings, InferError, library, open_backend};
use umsicht::models::parity;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

fn settings(choice: BackendChoice) -> BackendSettings {
    BackendSettings { choice, probe_program: Some(env!("CARGO_BIN_EXE_umsicht").into()), ..BackendSettings::default() }
}

#[test]
fn ort_and_tract_agree_on_every_shipped_model() {
    if let Err(missing) = library::find(None) {
        eprintln!("SKIPPED: backend parity was not compared: {missing}");
        return;
    }
    let manifest = Manifest::read(&models()).unwrap();
    for spec in &manifest.models {
        let model = Model::from_spec(&manifest.folder, spec.clone()).unwrap();
        let input = parity::input_of(&model).unwrap();
        let [from_ort, from_tract] = [BackendChoice::Ort, BackendChoice::Tract].map(|choice| {
            let mut backend = open_backend(&model, &settings(choice)).unwrap();
            let mut outputs = Vec::new();
            backend.run(&input, &mut outputs).unwrap();
            outputs
        });
        let worst = parity::worst_difference(spec, &from_ort, &from_tract);
        assert!(
            worst.is_some_and(|worst| worst <= parity::TOLERANCE),
            "{}: the backends differ by {worst:?}",
            spec.name
        );
        for output in &from_ort {
            let varies = output.data.iter().any(|value| *value != output.data[0]);
            assert!(varies, "{}: an output of one value proves nothing", spec.name);
        }
    }
}

#[test]
fn a_library_that_does_not_work_is_told_apart_and_tract_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("libonnxruntime.so");
    std::fs::write(&broken, "not a library").unwrap();
    let model = Model::read(&models(), "road").unwrap();
    let with = |choice| BackendSettings { onnxruntime: Some(broken.clone()), ..settings(choice) };
    match open_backend(&model, &with(BackendChoice::Ort)) {
        Err(InferError::BackendUnavailable { backend: "ort", reason }) => {
            assert!(reason.contains("libonnxruntime.so") && reason.contains("trial run"), "{reason}");
        }
        other => panic!("expected an unavailable backend, got {:?}", other.map(|backend| backend.name())),
    }
    assert_eq!(open_backend(&model, &with(BackendChoice::Auto)).unwrap().name(), "tract");
}

#[test]
fn a_program_that_crashes_in_the_trial_run_is_a_failure_with_its_signal() {
    let Ok(found) = library::find(None) else {
        eprintln!("SKIPPED: the crash of a trial run was not tested: there is no libonnxruntime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let crashing = folder.path().join("umsicht");
    std::fs::write(&crashing, "#!/bin/sh\nkill -ILL $$\n").unwrap();
    std::fs::set_permissions(&crashing, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let model = Model::read(&models(), "road").unwrap();
    let settings =
        BackendSettings { onnxruntime: Some(found), probe_program: Some(crashing), ..settings(BackendChoice::Ort) };
    let reason = open_backend(&model, &settings).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(reason.contains("signal 4"), "{reason}");
}
