//! No unmasked region leaves the device.
//!
//! The pixels are guarded three times: by types (only `anonymise` makes a `RedactedImage`), by the property tests beside
//! `anonymise`, and here by a look at the sources and by a drive through a poisoned world.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may turn pixels into bytes: the guard itself, and the simulated world, which shows nobody.
const MAY_ENCODE: [&str; 2] = ["src/edge/anonymise.rs", "src/world/pictures.rs"];
/// Who may look at unredacted camera pixels: their owner, the model's input, the guard.
const MAY_SEE_UNREDACTED: [&str; 4] =
    ["src/edge/frame.rs", "src/edge/preprocess.rs", "src/edge/detector.rs", "src/edge/anonymise.rs"];
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
            assert!(!text.contains("unredacted("), "{} looks at unredacted pixels", file.display());
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("source folders are readable") {
            let path = entry.expect("directory entries are readable").path();
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
