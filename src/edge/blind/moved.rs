//! Moved: the mean of many pictures against a reference, as a shift.
//!
//! What flows past a vehicle averages out; the light above, the road's edges and whatever of the vehicle is seen remain. Of
//! both means the luma's slopes are compared, so that neither light nor exposure counts, at every whole shift within reach;
//! a parabola through the best and its neighbours gives the part of a cell. A shift counts when the slopes fit well there and
//! clearly worse without it. In the dark nothing is judged: lamps change what is bright.
//!
//! The reference follows slow changes of the scene within minutes. A mount that creeps slower than that shows only against
//! a reference that the caller has kept from commissioning: [`Reference::shift_from`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::look::{COLUMNS, Look, ROWS, mean_and_deviation};
use super::policy::Place;

/// Weight of a new picture in the mean that counts as now.
const NOW_SECONDS: f32 = 5.0;
/// Pictures are taken into the means at most so often.
const EVERY: Duration = Duration::from_millis(450);
/// A comparison takes about a millisecond.
const COMPARED_EVERY: Duration = Duration::from_millis(1900);
/// A picture that differs less from the last one taken shows standing, in standard deviations.
const STANDING: f32 = 0.12;
const LEAST_LUMA: f32 = 45.0;
/// How far a shift is looked for, cells.
const REACH_COLUMNS: isize = 8;
const REACH_ROWS: isize = 7;
const LEAST_SCORE: f32 = 0.5;
const LEAST_GAIN: f32 = 0.12;
/// From this shift on the reference does not follow, cells.
const HOLD_CELLS: f32 = 0.8;
const VERSION: u32 = 1;

/// Where a picture's content lies, compared with a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// To the right, share of the picture's width.
    pub right_share: f32,
    /// Downwards, share of the picture's height: the camera looks further up.
    pub down_share: f32,
    /// How well the slopes fit there, and without a shift: −1..1.
    pub score: f32,
    pub score_unmoved: f32,
}

impl Shift {
    /// As a share of the picture's height, for pictures of 16:9.
    #[must_use]
    pub fn height_share(&self) -> f32 {
        self.down_share.hypot(self.right_share * 16.0 / 9.0)
    }

    /// Whether the pictures fit well somewhere and clearly worse without a shift.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.score >= LEAST_SCORE && self.score - self.score_unmoved >= LEAST_GAIN
    }
}

/// The mean look of a camera's scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    version: u32,
    /// Time that has gone into it.
    seconds: f32,
    /// In standard deviations from the mean, thousandths.
    cells: Vec<i16>,
}

#[derive(Debug, thiserror::Error)]
#[error("this is no reference of a camera's view ({0}); remove the file, and the camera learns a new one")]
pub struct UnreadableReference(String);

impl Reference {
    /// # Panics
    /// Never: it holds only values that JSON can express.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a reference is plain JSON")
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableReference> {
        let reference: Self = serde_json::from_slice(bytes).map_err(|e| UnreadableReference(e.to_string()))?;
        if reference.version != VERSION {
            return Err(UnreadableReference(format!("version {} instead of {VERSION}", reference.version)));
        }
        if reference.cells.len() != COLUMNS * ROWS || !reference.seconds.is_finite() || reference.seconds < 0.0 {
            return Err(UnreadableReference("it is incomplete".into()));
        }
        Ok(reference)
    }

    /// How far the view has moved since `commissioned`; worth a warning where it [`is_certain`](Shift::is_certain).
    #[must_use]
    pub fn shift_from(&self, commissioned: &Self) -> Shift {
        shift(&Slopes::of(&commissioned.mean().cells), &Slopes::of(&self.mean().cells))
    }

    fn mean(&self) -> Mean {
        Mean { cells: self.cells.iter().map(|c| f32::from(*c) / 1000.0).collect(), seconds: self.seconds }
    }
}

/// A running mean of looks without their brightness and contrast.
#[derive(Debug, Clone)]
struct Mean {
    cells: Vec<f32>,
    seconds: f32,
}

impl Mean {
    fn new() -> Self {
        Self { cells: vec![0.0; COLUMNS * ROWS], seconds: 0.0 }
    }

    fn add(&mut self, cells: &[f32], step: f32, memory_seconds: f32) {
        self.seconds += step;
        let share = (step / self.seconds.min(memory_seconds)).min(1.0);
        for (mean, now) in self.cells.iter_mut().zip(cells) {
            *mean += share * (now - *mean);
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Moved {
    place: Place,
    reference: Mean,
    now: Mean,
    last_taken: Option<(Duration, Vec<f32>)>,
    /// Time taken into the mean since the last comparison.
    uncompared: Duration,
    shift: Option<Shift>,
}

impl Moved {
    pub fn new(place: Place, reference: Option<&Reference>) -> Self {
        let reference = reference.map_or_else(Mean::new, Reference::mean);
        Self { place, reference, now: Mean::new(), last_taken: None, uncompared: Duration::ZERO, shift: None }
    }

    /// Whether the view has moved, and how long that stands for. `None` when the picture tells nothing: too dark, too soon,
    /// standing, or no reference yet.
    pub fn judge(&mut self, look: &Look, at: Duration, from_height_share: f32) -> Option<(bool, Duration)> {
        if look.mean_luma < LEAST_LUMA {
            return None;
        }
        let (mean, deviation) = mean_and_deviation(&look.cells);
        let cells: Vec<f32> = look.cells.iter().map(|c| ((c - mean) / (deviation + 4.0)).clamp(-4.0, 4.0)).collect();
        let step = match &self.last_taken {
            Some((taken_at, taken)) => {
                let step = at.saturating_sub(*taken_at);
                let change = taken.iter().zip(&cells).map(|(a, b)| (a - b).abs()).sum::<f32>() / cells.len() as f32;
                if step < EVERY || self.place == Place::Road && change < STANDING {
                    return None;
                }
                step.min(Duration::from_secs(1))
            }
            None => EVERY,
        };
        let seconds = step.as_secs_f32();
        self.now.add(&cells, seconds, NOW_SECONDS);
        let follows = !self.shift.is_some_and(|s| s.is_certain() && s.height_share() * ROWS as f32 > HOLD_CELLS);
        if follows {
            self.reference.add(&cells, seconds, self.memory_seconds());
        }
        self.last_taken = Some((at, cells));
        self.uncompared += step;
        if self.uncompared < COMPARED_EVERY {
            return None;
        }
        let stands_for = std::mem::take(&mut self.uncompared);
        if self.reference.seconds < self.enough_seconds() || self.now.seconds < NOW_SECONDS {
            return None;
        }
        let shift = shift(&Slopes::of(&self.reference.cells), &Slopes::of(&self.now.cells));
        self.shift = Some(shift);
        Some((shift.is_certain() && shift.height_share() >= from_height_share, stands_for))
    }

    /// What a reference needs before it is one.
    fn enough_seconds(&self) -> f32 {
        match self.place {
            Place::Road => 120.0,
            Place::Pool => 30.0,
        }
    }

    /// The reference follows the light: at a pool faster, where windows go from dark to bright within half an hour.
    fn memory_seconds(&self) -> f32 {
        match self.place {
            Place::Road => 900.0,
            Place::Pool => 300.0,
        }
    }

    pub fn reference(&self) -> Option<Reference> {
        (self.reference.seconds >= self.enough_seconds()).then(|| Reference {
            version: VERSION,
            seconds: self.reference.seconds,
            cells: self.reference.cells.iter().map(|c| (c * 1000.0).round() as i16).collect(),
        })
    }

    pub fn shift(&self) -> Option<Shift> {
        self.shift
    }

    pub fn relearn(&mut self) {
        *self = Self::new(self.place, None);
    }
}

/// Slopes of luma across and down at the inner cells; 0 at the rim.
struct Slopes(Vec<(f32, f32)>);

impl Slopes {
    fn of(cells: &[f32]) -> Self {
        let mut slopes = vec![(0.0, 0.0); COLUMNS * ROWS];
        for y in 1..ROWS - 1 {
            for x in 1..COLUMNS - 1 {
                let k = y * COLUMNS + x;
                slopes[k] = (cells[k + 1] - cells[k - 1], cells[k + COLUMNS] - cells[k - COLUMNS]);
            }
        }
        Self(slopes)
    }
}

/// Correlation of the slopes where both pictures overlap, when `now` is moved back by so many cells. Slopes across and down
/// count the same, though those of the horizon are much larger.
fn score(reference: &Slopes, now: &Slopes, right: isize, down: isize) -> f32 {
    let overlap = |size: usize, by: isize| {
        let (from, to) = (1 + (-by).max(0), size as isize - 1 - by.max(0));
        (from as usize, to as usize)
    };
    let (columns, rows) = (overlap(COLUMNS, right), overlap(ROWS, down));
    let (mut across, mut down_slopes) = (Correlation::default(), Correlation::default());
    for y in rows.0..rows.1 {
        let row = &reference.0[y * COLUMNS + columns.0..y * COLUMNS + columns.1];
        let start = ((y as isize + down) * COLUMNS as isize + columns.0 as isize + right) as usize;
        for (r, n) in row.iter().zip(&now.0[start..]) {
            across.add(r.0, n.0);
            down_slopes.add(r.1, n.1);
        }
    }
    0.5 * (across.value() + down_slopes.value())
}

#[derive(Default)]
struct Correlation {
    both: f32,
    one: f32,
    other: f32,
}

impl Correlation {
    fn add(&mut self, one: f32, other: f32) {
        self.both += one * other;
        self.one += one * one;
        self.other += other * other;
    }

    fn value(&self) -> f32 {
        self.both / (self.one * self.other).sqrt().max(1e-6)
    }
}

fn shift(reference: &Slopes, now: &Slopes) -> Shift {
    let mut best = (f32::MIN, 0, 0);
    for down in -REACH_ROWS..=REACH_ROWS {
        for right in -REACH_COLUMNS..=REACH_COLUMNS {
            let score = score(reference, now, right, down);
            if score > best.0 {
                best = (score, right, down);
            }
        }
    }
    let (score_best, right, down) = best;
    let across = peak(score(reference, now, right - 1, down), score_best, score(reference, now, right + 1, down));
    let along = peak(score(reference, now, right, down - 1), score_best, score(reference, now, right, down + 1));
    Shift {
        right_share: (right as f32 + across) / COLUMNS as f32,
        down_share: (down as f32 + along) / ROWS as f32,
        score: score_best,
        score_unmoved: score(reference, now, 0, 0),
    }
}

/// Where a parabola through three equidistant values has its peak, from the middle one.
fn peak(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    if bend >= -1e-6 { 0.0 } else { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) }
}
