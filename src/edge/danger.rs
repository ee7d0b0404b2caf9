//! Which damages are told at once: the danger profile.
//!
//! It says how large a hole must be to be a danger on the day it is seen. Depth is not measured: one camera cannot. British
//! road authorities act within days on potholes from 20 cm across and 4 cm deep (County Councils' highway safety inspection
//! policies under "Well-managed Highway Infrastructure", 2016); without the depth, twice that width is asked here.

use crate::edge::judge::road::Sighting;
use crate::schema::DamageClass;

/// Pothole sizes and the confidence from which on a sighting is a danger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DangerProfile {
    /// Across the direction of travel.
    pub min_width_metres: f64,
    /// Along the direction of travel.
    pub min_length_metres: f64,
    /// Best score of the pass, 0..1.
    pub min_score: f32,
}

impl Default for DangerProfile {
    fn default() -> Self {
        Self { min_width_metres: 0.4, min_length_metres: 0.3, min_score: 0.5 }
    }
}

impl DangerProfile {
    #[must_use]
    pub fn is_danger(&self, sighting: &Sighting) -> bool {
        sighting.class == DamageClass::Pothole
            && sighting.score >= self.min_score
            && sighting.width_metres >= self.min_width_metres
            && sighting.length_metres >= self.min_length_metres
    }
}
