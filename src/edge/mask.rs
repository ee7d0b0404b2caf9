//! What must not be seen in a picture: the privacy model and the one rule that turns its detections into masks.
//!
//! The masks come in addition to the allow-list of `anonymise`; they never widen it. Scores below which nothing is masked are
//! low and every mask is larger than its detection, because a mask too many costs a picture and one too few shows a face.
//! All rectangles are in pixels of the original picture.

use std::path::Path;

use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::model::{Manifest, ModelSpec, Task};
use crate::edge::infer::{BackendSettings, InferError};

/// Why an event goes without a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPicture {
    #[error("too little of the damage could be shown")]
    NotInSight,
    #[error("a face, a plate, a person or a vehicle touches what would be shown")]
    SomebodyInIt,
    #[error("the privacy model could not look at the picture")]
    NobodyLooked,
}

/// The masks that detections of the model `spec` ask for, as shipped: per class those with at least the class's score, grown
/// on each side by the class's share of their width and height, cut to the picture. A class without a rule is not masked.
#[must_use]
pub fn masks(detections: &[Detection], spec: &ModelSpec, width_px: u32, height_px: u32) -> Vec<BoundingBox> {
    let mask = |detection: &Detection| {
        let rule = spec.masks.get(spec.classes.get(detection.class)?)?;
        (detection.score >= rule.score_threshold).then_some(())?;
        let b = detection.box_in_image;
        let (reach_x, reach_y) = (rule.dilation * (b.x1 - b.x0), rule.dilation * (b.y1 - b.y0));
        let (width, height) = (width_px as f32, height_px as f32);
        BoundingBox::new(
            (b.x0 - reach_x).clamp(0.0, width),
            (b.y0 - reach_y).clamp(0.0, height),
            (b.x1 + reach_x).clamp(0.0, width),
            (b.y1 + reach_y).clamp(0.0, height),
        )
    };
    detections.iter().filter_map(mask).collect()
}

/// The privacy model of a folder's manifest; `None` when it has none.
pub fn privacy_model(models_dir: &Path, settings: &BackendSettings) -> Result<Option<Detector>, InferError> {
    let manifest = Manifest::read(models_dir)?;
    let Some(spec) = manifest.models.iter().find(|model| model.task == Task::Privacy) else { return Ok(None) };
    Ok(Some(Detector::open_with(models_dir, &spec.name, settings)?))
}

/// Who looks for what must not be seen before a picture is made.
pub enum Guard {
    /// The folder holds no privacy model: the allow-list stands alone.
    AllowListOnly,
    Model(Box<Detector>),
    /// There is a privacy model and it cannot be used: no picture is made.
    Broken,
}

impl Guard {
    /// Whatever is wrong with the folder's privacy model is logged and costs pictures, never events.
    #[must_use]
    pub fn open(models_dir: &Path, settings: &BackendSettings) -> Self {
        match privacy_model(models_dir, settings) {
            Ok(Some(detector)) => Self::Model(Box::new(detector)),
            Ok(None) => {
                tracing::warn!(
                    "{} holds no privacy model: pictures rest on the allow-list alone",
                    models_dir.display()
                );
                Self::AllowListOnly
            }
            Err(error) => {
                tracing::error!("the privacy model cannot be used, so no event gets a picture: {error}");
                Self::Broken
            }
        }
    }

    /// The masks of one picture.
    pub fn masks(&mut self, image: &CameraImage) -> Result<Vec<BoundingBox>, NoPicture> {
        match self {
            Self::AllowListOnly => Ok(Vec::new()),
            Self::Broken => Err(NoPicture::NobodyLooked),
            Self::Model(detector) => {
                let found = detector.detect(image).map_err(|error| {
                    tracing::warn!("the privacy model failed, so there is no picture: {error}");
                    NoPicture::NobodyLooked
                })?;
                Ok(masks(&found, detector.spec(), image.width_px(), image.height_px()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::infer::manifest::tests::privacy_spec;
    use proptest::prelude::*;

    fn detection(class: usize, score: f32, corners: [f32; 4]) -> Detection {
        let [x0, y0, x1, y1] = corners;
        Detection { box_in_image: BoundingBox::new(x0, y0, x1, y1).unwrap(), class, score }
    }

    #[test]
    fn each_class_has_its_own_score_and_growth() {
        let spec = privacy_spec();
        let at = [100.0, 50.0, 140.0, 130.0];
        // face: from 0.05, a quarter on each side; person: from 0.2, a tenth.
        let found = [detection(0, 0.05, at), detection(1, 0.19, at), detection(1, 0.2, at)];
        let grown = |x: f32, y: f32| BoundingBox::new(100.0 - x, 50.0 - y, 140.0 + x, 130.0 + y).unwrap();
        assert_eq!(masks(&found, &spec, 640, 360), [grown(10.0, 20.0), grown(4.0, 8.0)]);
    }

    proptest! {
        #[test]
        fn a_mask_holds_its_detection_and_stays_in_the_picture(
            x in 0.0..600.0f32, y in 0.0..300.0f32, w in 1.0..40.0f32, h in 1.0..60.0f32, score in 0.2..1.0f32,
        ) {
            let one = detection(1, score, [x, y, x + w, y + h]);
            let masks = masks(&[one], &privacy_spec(), 640, 360);
            let [mask] = masks[..] else { panic!("one detection, one mask") };
            prop_assert!(mask.x0 >= 0.0 && mask.y0 >= 0.0 && mask.x1 <= 640.0 && mask.y1 <= 360.0);
            prop_assert!((mask.intersection_px(&one.box_in_image) - one.box_in_image.area_px()).abs() < 0.1);
        }
    }

    #[test]
    fn a_folder_without_a_privacy_model_rests_on_the_allow_list_and_a_broken_one_shows_nothing() {
        let image = CameraImage::new(image::RgbImage::new(64, 64));
        assert_eq!(Guard::AllowListOnly.masks(&image), Ok(Vec::new()));
        assert_eq!(Guard::Broken.masks(&image), Err(NoPicture::NobodyLooked));
        let nowhere = Guard::open(Path::new("/nonexistent"), &BackendSettings::default());
        assert!(matches!(nowhere, Guard::Broken), "a folder that cannot be read hides whether there is a model");
    }
}
