//! Defocused: edges less steep than is usual for this camera, in picture after picture.
//!
//! The steepness of edges hardly depends on the scene, as the upper quartile over many edges: sharp pictures of different
//! cameras give 0.6–1, a blur of 0.3 % of the picture's width 0.2. In the dark, lamps are soft and nothing is judged.

use std::time::Duration;

use super::look::Look;

/// Weight of a new picture in what counts as now.
const NOW_SECONDS: f32 = 3.0;
const MEMORY_SECONDS: f32 = 600.0;
const ENOUGH_SECONDS: f32 = 30.0;
/// Fewer edges weigh less, and teach nothing.
const LEAST_EDGES: u32 = 6;
/// Darker pictures are not judged.
const LEAST_LUMA: f32 = 40.0;
/// Without a history, edges as soft as this are out of focus on any camera.
const SOFT: f32 = 0.2;
/// When this share of the usual number of edges is left, all are gone: fog on the lens leaves none to measure.
const GONE_SHARE: f32 = 0.1;

#[derive(Debug, Clone, Default)]
pub(super) struct Focus {
    usual: Usual,
    steepness: Option<f32>,
    count: Option<f32>,
}

/// What is usual for the camera.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    steepness: f32,
    count: f32,
    seconds: f32,
}

impl Focus {
    /// `None` when the picture cannot be judged.
    pub fn judge(&mut self, look: &Look, step: Duration, below_share: f32) -> Option<bool> {
        if look.mean_luma < LEAST_LUMA {
            return None;
        }
        let step = step.as_secs_f32();
        let share = 1.0 - (-step / NOW_SECONDS).exp();
        let towards = |now: Option<f32>, value: f32, weight: f32| {
            Some(now.map_or(value, |now| now + weight * share * (value - now)))
        };
        self.count = towards(self.count, look.edges.count as f32, 1.0);
        if look.edges.count > 0 {
            let weight = (look.edges.count as f32 / LEAST_EDGES as f32).min(1.0);
            self.steepness = towards(self.steepness, look.edges.steepness, weight);
        }
        let soft = match (self.steepness, self.usual.seconds >= ENOUGH_SECONDS) {
            (Some(now), true) => now < below_share * self.usual.steepness,
            (Some(now), false) => now < SOFT,
            (None, _) => false,
        };
        let gone = self.usual.seconds >= ENOUGH_SECONDS
            && self.count.is_some_and(|count| count < GONE_SHARE * self.usual.count);
        if !soft && !gone && look.edges.count >= LEAST_EDGES {
            self.usual.learn(look, step);
        }
        Some(soft || gone)
    }
}

impl Usual {
    fn learn(&mut self, look: &Look, step: f32) {
        self.seconds += step;
        let share = (step / self.seconds.min(MEMORY_SECONDS)).min(1.0);
        self.steepness += share * (look.edges.steepness - self.steepness);
        self.count += share * (look.edges.count as f32 - self.count);
    }
}
