//! What people have confirmed or rejected, as examples to train on: a folder with `examples.jsonl` and `images/`.
//!
//! Nothing personal and no track can be in it: the pictures are the evidence, redacted on the device, and a line says neither
//! where nor when. One line per sighting with a picture whose defect a person has decided about; docs/training-export.md
//! describes the fields.

use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use serde::Serialize;

use super::model::{Defect, DefectStatus};
use super::store::{DefectFilter, SightingWithPicture, Store, StoreError};
use crate::schema::{DamageClass, ModelRef};

#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: {reason}", path.display())]
    Write { path: PathBuf, reason: String },
}

/// What a person said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is there.
    Confirmed,
    /// There is no damage, or none of this kind.
    Rejected,
}

/// `None` while nobody has decided.
#[must_use]
pub fn verdict(status: DefectStatus) -> Option<Verdict> {
    match status {
        DefectStatus::New => None,
        DefectStatus::Rejected => Some(Verdict::Rejected),
        DefectStatus::Confirmed | DefectStatus::Scheduled | DefectStatus::Repaired | DefectStatus::Verified => {
            Some(Verdict::Confirmed)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Below the folder; a number that says nothing else.
    pub picture: String,
    pub verdict: Verdict,
    /// As the defect is classed now.
    pub class: DamageClass,
    /// As the model classed this sighting.
    pub found_class: DamageClass,
    pub score: f32,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    pub calibrated: bool,
    pub simulated: bool,
    pub model: ModelRef,
}

/// The example that a sighting gives; `None` without a picture or a verdict.
#[must_use]
pub fn example(defect: &Defect, seen: &SightingWithPicture, picture: String) -> Option<Example> {
    let damage = &seen.sighting.damage;
    let verdict = verdict(defect.status).filter(|_| seen.has_picture)?;
    Some(Example {
        picture,
        verdict,
        class: defect.summary.class,
        found_class: damage.class,
        score: damage.score,
        length_metres: damage.length_metres,
        width_metres: damage.width_metres,
        area_square_metres: damage.area_square_metres,
        calibrated: damage.calibrated,
        simulated: damage.simulated,
        model: damage.model.clone(),
    })
}

/// Writes all examples of a store; returns how many.
pub async fn export(store: &Store, folder: &Path) -> Result<usize, TrainingError> {
    let wrong = |path: &Path, e: std::io::Error| TrainingError::Write { path: path.to_owned(), reason: e.to_string() };
    let images = folder.join("images");
    std::fs::create_dir_all(&images).map_err(|e| wrong(&images, e))?;
    let mut decided: Vec<Defect> = store.defects(&DefectFilter::default()).await?.0;
    decided.retain(|defect| verdict(defect.status).is_some());
    // By priority, neighbours on a street would stand together.
    decided.shuffle(&mut rand::rng());
    let mut lines = String::new();
    let mut count = 0;
    for defect in &decided {
        let Some((_, sightings)) = store.defect(defect.id).await? else { continue };
        for seen in &sightings {
            let picture = format!("images/{count:06}.jpg");
            let Some(example) = example(defect, seen, picture) else { continue };
            let Some(jpeg) = store.evidence(seen.sighting.id).await? else { continue };
            let path = folder.join(&example.picture);
            std::fs::write(&path, jpeg).map_err(|e| wrong(&path, e))?;
            // Plain values only; they can always be written.
            lines.push_str(&serde_json::to_string(&example).unwrap_or_default());
            lines.push('\n');
            count += 1;
        }
    }
    let path = folder.join("examples.jsonl");
    std::fs::write(&path, lines).map_err(|e| wrong(&path, e))?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::network::Network;
    use crate::central::profile::Profile;
    use crate::central::replay::defects_of;
    use crate::central::testing::sighting;

    fn decided(status: DefectStatus) -> (Defect, SightingWithPicture) {
        let sighting = sighting(1, "a", 0.0, 0.0, 0.6);
        let mut defects = defects_of(vec![sighting.clone()], &Network::default(), &Profile::standard().unwrap());
        let mut defect = defects.remove(0);
        defect.status = status;
        (defect, SightingWithPicture { sighting, has_picture: true })
    }

    #[test]
    fn what_nobody_decided_or_nobody_can_see_is_no_example() {
        let made = |status| {
            let (defect, seen) = decided(status);
            example(&defect, &seen, "images/000000.jpg".into()).map(|example| example.verdict)
        };
        assert_eq!(made(DefectStatus::New), None);
        assert_eq!(made(DefectStatus::Rejected), Some(Verdict::Rejected));
        assert_eq!(made(DefectStatus::Repaired), Some(Verdict::Confirmed));
        let (defect, seen) = decided(DefectStatus::Confirmed);
        assert!(example(&defect, &SightingWithPicture { has_picture: false, ..seen }, String::new()).is_none());
    }

    #[test]
    fn an_example_says_neither_where_nor_when_nor_which_event() {
        let (defect, seen) = decided(DefectStatus::Confirmed);
        let example = example(&defect, &seen, "images/000000.jpg".into()).unwrap();
        let json = serde_json::to_value(&example).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        let allowed = [
            "area_square_metres",
            "calibrated",
            "class",
            "found_class",
            "length_metres",
            "model",
            "picture",
            "score",
            "simulated",
            "verdict",
            "width_metres",
        ];
        assert_eq!(keys, allowed);
        let text = json.to_string();
        for forbidden in [seen.sighting.id.to_string(), defect.id.to_string(), "2026".into(), "heading".into()] {
            assert!(!text.contains(&forbidden), "{forbidden}");
        }
    }

    #[tokio::test]
    async fn an_undecided_store_gives_an_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("central.sqlite");
        let store = Store::open(&path, Profile::standard().unwrap()).await.unwrap();
        assert_eq!(export(&store, &folder.path().join("out")).await.unwrap(), 0);
        assert_eq!(std::fs::read_to_string(folder.path().join("out/examples.jsonl")).unwrap(), "");
    }
}
