//! The golden picture of a model: what it found in it when it was shipped, and whether it still finds that.
//!
//! A file beside the manifest names the picture (beside it too) and holds the detections at the shipped threshold, in pixels of the
//! picture. `umsicht models verify --renew-golden` writes the detections anew. They depend on the whole way from the file to the
//! box: decoding, resizing, network, layout, threshold, suppression.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::InferError;

/// Of scores, and of boxes as parts of the picture's longer side.
pub const TOLERANCE: f32 = 1e-2;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    pub picture: String,
    pub detections: Vec<GoldenDetection>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenDetection {
    pub class: String,
    pub score: f32,
    /// x0, y0, x1, y1 in pixels of the picture.
    #[serde(rename = "box")]
    pub corners: [f32; 4],
}

#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: the picture {name:?} must be the name of a file beside it", path.display())]
    Elsewhere { path: PathBuf, name: String },
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl Golden {
    pub fn read(path: &Path) -> Result<Self, GoldenError> {
        let unreadable = |reason: String| GoldenError::Unreadable { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        let golden: Self = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        if Path::new(&golden.picture).components().count() != 1 || golden.picture.starts_with(['.', '/']) {
            return Err(GoldenError::Elsewhere { path: path.to_owned(), name: golden.picture });
        }
        Ok(golden)
    }

    pub fn write(&self, path: &Path) -> Result<(), GoldenError> {
        let unwritable = |reason: String| GoldenError::Unreadable { path: path.to_owned(), reason };
        let text = serde_json::to_string_pretty(self).map_err(|e| unwritable(e.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|e| unwritable(e.to_string()))
    }

    /// The picture, which lies in the manifest's folder.
    pub fn open(&self, folder: &Path) -> Result<CameraImage, GoldenError> {
        let path = folder.join(&self.picture);
        let pixels = image::open(&path).map_err(|e| GoldenError::Unreadable { path, reason: e.to_string() })?;
        Ok(CameraImage::new(pixels.into_rgb8()))
    }

    /// What the model finds in the picture now, and the picture's longer side.
    pub fn look(&self, folder: &Path, detector: &mut Detector) -> Result<(Vec<GoldenDetection>, f32), GoldenError> {
        let picture = self.open(folder)?;
        let longer_px = picture.width_px().max(picture.height_px()) as f32;
        let found = detector.detect(&picture)?;
        let classes = detector.classes();
        Ok((found.iter().map(|detection| described(detection, classes)).collect(), longer_px))
    }

    /// What differs between these detections and the golden ones, in words; empty when they agree.
    #[must_use]
    pub fn differences(&self, found: &[GoldenDetection], longer_px: f32) -> Vec<String> {
        let mut differences = Vec::new();
        let mut left: Vec<&GoldenDetection> = found.iter().collect();
        for expected in &self.detections {
            match left.iter().position(|found| is_close(expected, found, longer_px)) {
                Some(index) => {
                    left.remove(index);
                }
                None => differences.push(format!("{} finds no {} as expected", self.picture, text(expected))),
            }
        }
        differences
            .extend(left.into_iter().map(|found| format!("{} finds {} unexpectedly", self.picture, text(found))));
        differences
    }
}

fn described(detection: &Detection, classes: &[String]) -> GoldenDetection {
    let b = &detection.box_in_image;
    // More digits than the tolerance needs would only change from machine to machine.
    let round = |value: f32, digits: f32| (value * digits).round() / digits;
    GoldenDetection {
        class: classes[detection.class].clone(),
        score: round(detection.score, 1e4),
        corners: [b.x0, b.y0, b.x1, b.y1].map(|px| round(px, 1e2)),
    }
}

fn is_close(a: &GoldenDetection, b: &GoldenDetection, longer_px: f32) -> bool {
    let near = |a: f32, b: f32, unit: f32| (a - b).abs() <= TOLERANCE * unit;
    a.class == b.class
        && near(a.score, b.score, 1.0)
        && a.corners.iter().zip(&b.corners).all(|(a, b)| near(*a, *b, longer_px))
}

fn text(of: &GoldenDetection) -> String {
    format!("{} of {:.3} at {:?}", of.class, of.score, of.corners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(class: &str, score: f32, x: f32) -> GoldenDetection {
        GoldenDetection { class: class.into(), score, corners: [x, 10.0, x + 50.0, 60.0] }
    }

    #[test]
    fn small_differences_are_none_and_large_ones_are_named() {
        let golden = Golden {
            picture: "a.png".into(),
            detections: vec![detection("D00", 0.8, 10.0), detection("D40", 0.5, 200.0)],
        };
        let same = [detection("D40", 0.509, 201.0), detection("D00", 0.795, 9.0)];
        assert!(golden.differences(&same, 320.0).is_empty());
        for (found, says) in [
            (vec![detection("D00", 0.8, 10.0)], "finds no D40 of 0.500"),
            (vec![detection("D00", 0.8, 10.0), detection("D40", 0.52, 200.0)], "finds D40 of 0.520"),
            (vec![detection("D00", 0.8, 14.0), detection("D40", 0.5, 200.0)], "finds no D00"),
            (vec![detection("D10", 0.8, 10.0), detection("D40", 0.5, 200.0)], "finds D10"),
        ] {
            let differences = golden.differences(&found, 320.0).join("; ");
            assert!(differences.contains(says), "{differences}");
        }
    }

    #[test]
    fn the_picture_lies_beside_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("golden.json");
        let golden = Golden { picture: "../a.png".into(), detections: Vec::new() };
        golden.write(&path).unwrap();
        assert!(matches!(Golden::read(&path), Err(GoldenError::Elsewhere { .. })));
        let golden = Golden { picture: "a.png".into(), ..golden };
        golden.write(&path).unwrap();
        assert_eq!(Golden::read(&path).unwrap(), golden);
    }
}
