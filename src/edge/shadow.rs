//! A second model beside the first: it sees every n-th frame and only its disagreement is counted.
//!
//! It can do nothing else. It runs on a thread of its own, gets a copy of a frame when it has nothing to do, and gives numbers
//! back: it never waits for anything that the first model needs, makes no event and no picture, and when it fails it is off.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::edge::config::ShadowConfig;
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::{BackendSettings, InferError};
use crate::schema::DamageClass;
use crate::schema::health::ShadowHealth;

/// Boxes of two models that overlap so much show the same thing.
const SAME_IOU: f32 = 0.5;

/// What one model says of one frame.
pub type Said = Vec<(DamageClass, BoundingBox)>;

/// Boxes that both have found, and those that only one of them has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    pub agreed: u64,
    pub only_first: u64,
    pub only_shadow: u64,
}

/// Pairs boxes one to one, the best overlap first; a pair is of one group of classes and overlaps by half.
#[must_use]
pub fn compare(first: &[(DamageClass, BoundingBox)], shadow: &[(DamageClass, BoundingBox)]) -> Agreement {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (a, (class, of_first)) in first.iter().enumerate() {
        for (b, (other, of_shadow)) in shadow.iter().enumerate() {
            let overlap = of_first.iou(of_shadow);
            if class.same_group(*other) && overlap >= SAME_IOU {
                pairs.push((overlap, a, b));
            }
        }
    }
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)).then(x.2.cmp(&y.2)));
    let (mut taken_first, mut taken_shadow) = (vec![false; first.len()], vec![false; shadow.len()]);
    let mut agreed = 0;
    for (_, a, b) in pairs {
        if !taken_first[a] && !taken_shadow[b] {
            (taken_first[a], taken_shadow[b]) = (true, true);
            agreed += 1;
        }
    }
    Agreement { agreed, only_first: first.len() as u64 - agreed, only_shadow: shadow.len() as u64 - agreed }
}

#[derive(Debug, thiserror::Error)]
enum ShadowError {
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("it has the class {0:?}, which is no road damage")]
    ForeignClass(String),
    #[error("its thread does not start: {0}")]
    Thread(std::io::Error),
}

/// A frame and what the first model said of it.
struct Job {
    image: CameraImage,
    first: Said,
}

/// The first model's end: hands frames over and looks at the numbers.
pub struct Shadow {
    every_nth_frame: u64,
    frames: u64,
    /// `None` when it is off.
    jobs: Option<SyncSender<Job>>,
    counts: Counts,
}

/// The numbers, for whoever reports the device's health.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<ShadowHealth>>);

impl Counts {
    #[must_use]
    pub fn now(&self) -> ShadowHealth {
        self.lock().clone()
    }

    fn add(&self, agreement: Agreement) {
        let mut health = self.lock();
        health.frames += 1;
        health.agreed += agreement.agreed;
        health.only_first += agreement.only_first;
        health.only_shadow += agreement.only_shadow;
    }

    fn lock(&self) -> MutexGuard<'_, ShadowHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shadow {
    /// `None`, told in the log, when it cannot run: that is no reason for the first model not to.
    #[must_use]
    pub fn open(config: &ShadowConfig, backend: &BackendSettings) -> Option<Self> {
        match Self::start(config, backend) {
            Ok(shadow) => Some(shadow),
            Err(error) => {
                tracing::error!("{}: there is no shadow model: {error}", config.folder.display());
                None
            }
        }
    }

    fn start(config: &ShadowConfig, backend: &BackendSettings) -> Result<Self, ShadowError> {
        let detector = Detector::open_with(&config.folder, &config.name, backend)?;
        let class = |name: &String| name.parse().map_err(|_| ShadowError::ForeignClass(name.clone()));
        let classes: Vec<DamageClass> = detector.classes().iter().map(class).collect::<Result<_, _>>()?;
        let (model, version) = (detector.spec().name.clone(), detector.spec().version.clone());
        let counts = Counts(Arc::new(Mutex::new(ShadowHealth { model, version, ..ShadowHealth::default() })));
        let (jobs, waiting) = sync_channel(1);
        let kept = counts.clone();
        let work = move || work(detector, &classes, &waiting, &kept);
        thread::Builder::new().name("shadow".into()).spawn(work).map_err(ShadowError::Thread)?;
        Ok(Self { every_nth_frame: config.every_nth_frame.max(1), frames: 0, jobs: Some(jobs), counts })
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Shows it every n-th frame; one that comes while it is busy is left out.
    pub fn look(&mut self, image: &CameraImage, first: &[(DamageClass, Detection)]) {
        let Some(jobs) = &self.jobs else { return };
        let turn = self.frames.is_multiple_of(self.every_nth_frame);
        self.frames += 1;
        if !turn {
            return;
        }
        let first = first.iter().map(|(class, detection)| (*class, detection.box_in_image)).collect();
        let job = Job { image: image.copied(), first };
        if let Err(TrySendError::Disconnected(_)) = jobs.try_send(job) {
            tracing::error!("the shadow model is off until the next start; the first one goes on");
            self.jobs = None;
        }
    }
}

fn work(mut detector: Detector, classes: &[DamageClass], jobs: &Receiver<Job>, counts: &Counts) {
    for Job { image, first } in jobs {
        match detector.detect(&image) {
            Ok(found) => {
                let said: Said = found.iter().map(|found| (classes[found.class], found.box_in_image)).collect();
                counts.add(compare(&first, &said));
            }
            Err(error) => {
                tracing::error!("the shadow model failed: {error}");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said() -> impl Strategy<Value = Said> {
        let one = (0..5usize, 0.0..200.0f32, 0.0..100.0f32, 5.0..80.0f32, 5.0..80.0f32);
        prop::collection::vec(one, 0..8).prop_map(|boxes| {
            let of = |(class, x, y, w, h): (usize, f32, f32, f32, f32)| {
                (DamageClass::ALL[class], BoundingBox::new(x, y, x + w, y + h).unwrap())
            };
            boxes.into_iter().map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn each_box_is_counted_once(first in said(), shadow in said()) {
            let counted = compare(&first, &shadow);
            prop_assert_eq!(counted.agreed + counted.only_first, first.len() as u64);
            prop_assert_eq!(counted.agreed + counted.only_shadow, shadow.len() as u64);
        }

        #[test]
        fn a_model_agrees_with_itself(first in said()) {
            let agreed = first.len() as u64;
            prop_assert_eq!(compare(&first, &first), Agreement { agreed, only_first: 0, only_shadow: 0 });
        }

        #[test]
        fn exchanging_the_models_exchanges_the_counts(first in said(), shadow in said()) {
            let (there, back) = (compare(&first, &shadow), compare(&shadow, &first));
            prop_assert_eq!(there.agreed, back.agreed);
            prop_assert_eq!((there.only_first, there.only_shadow), (back.only_shadow, back.only_first));
        }
    }

    #[test]
    fn kinds_of_cracks_agree_and_a_pothole_is_no_crack() {
        let at = |x: f32| BoundingBox::new(x, 0.0, x + 100.0, 50.0).unwrap();
        let crack = [(DamageClass::LongitudinalCrack, at(0.0))];
        assert_eq!(compare(&crack, &[(DamageClass::AlligatorCrack, at(20.0))]).agreed, 1);
        assert_eq!(compare(&crack, &[(DamageClass::Pothole, at(0.0))]).agreed, 0);
        assert_eq!(compare(&crack, &[(DamageClass::LongitudinalCrack, at(40.0))]).agreed, 0, "too far off");
        let twice = [(DamageClass::LongitudinalCrack, at(0.0)), (DamageClass::LongitudinalCrack, at(10.0))];
        assert_eq!(compare(&crack, &twice), Agreement { agreed: 1, only_first: 0, only_shadow: 1 }, "one to one");
    }
}
