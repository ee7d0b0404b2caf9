//! Is there anything to see in a picture? Cut into blocks, each of which has structure, or is flat, dark or white.
//!
//! A block counts as lost when it usually has structure and now has none. A camera that lost nearly all sees nothing; why,
//! the lost blocks say. At night a vehicle sees what its lamps light, and nothing above: dark is a picture only when next to
//! no structure is left at all.

use std::time::Duration;

use super::look::{COLUMNS, Look, ROWS, mean_and_deviation};
use crate::schema::blind::BlindReason;

const BLOCK_COLUMNS: usize = 6;
const BLOCK_ROWS: usize = 3;
const BLOCKS: usize = (COLUMNS / BLOCK_COLUMNS) * (ROWS / BLOCK_ROWS);
/// Standard deviation of a block's cells around a plane, luma: above what a sensor's noise leaves after averaging.
const STRUCTURE: f32 = 2.5;
const DARK: f32 = 26.0;
const WHITE: f32 = 242.0;
/// Share of the usual structure that must be lost.
const LOST_SHARE: f32 = 0.75;
/// Below this share the camera sees as usual.
const WELL_SHARE: f32 = 0.4;
/// With fewer structured blocks than this nothing can be judged: a lamp in the dark, a streak of light along a cover.
const NOTHING: usize = 4;
/// So many blocks must usually have structure for a comparison with the usual.
const ENOUGH: f32 = 8.0;
/// What is usual is a mean over this time.
const MEMORY_SECONDS: f32 = 300.0;
/// Night falls slower than this; a cover does not.
const BRIGHT: f32 = 40.0;
const SUDDEN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// How often each block has structure, 0..1.
    usual: Vec<f32>,
    learned_seconds: f32,
    /// When it last saw as usual, and how bright that was.
    last_well: Option<(Duration, f32)>,
    /// Since when next to nothing is seen.
    unseeing_since: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Unseeing {
    pub reason: BlindReason,
    /// A sudden darkness counts as a cover, but may be a bridge.
    pub dark: bool,
}

enum Block {
    Structured,
    Flat,
    Dark,
    White,
}

impl Scene {
    pub fn new() -> Self {
        Self { usual: vec![0.0; BLOCKS], learned_seconds: 0.0, last_well: None, unseeing_since: None }
    }

    /// Why next to nothing is seen in this picture, if so.
    pub fn judge(&mut self, look: &Look, at: Duration, step: Duration) -> Option<Unseeing> {
        let blocks: Vec<Block> = (0..BLOCKS).map(|k| block(look, k)).collect();
        let structured = blocks.iter().filter(|b| matches!(b, Block::Structured)).count();
        let dark = blocks.iter().filter(|b| matches!(b, Block::Dark)).count();
        let white = blocks.iter().filter(|b| matches!(b, Block::White)).count();
        let bare = BLOCKS - structured;
        let lost = self.lost_share(&blocks);
        let nothing = structured < NOTHING;
        let unseeing = nothing || lost.is_some_and(|share| share >= LOST_SHARE);
        if !unseeing {
            self.unseeing_since = None;
            if lost.is_none_or(|share| share < WELL_SHARE) {
                self.last_well = Some((at, look.mean_luma));
            }
            self.learn(&blocks, step);
            return None;
        }
        let since = *self.unseeing_since.get_or_insert(at);
        let sudden = self.last_well.is_some_and(|(well, luma)| luma >= BRIGHT && since.saturating_sub(well) <= SUDDEN);
        if 2 * dark > bare {
            // What is left at night beside lamps is no reason to call a lens covered.
            let reason = if sudden { BlindReason::Covered } else { BlindReason::Dark };
            return nothing.then_some(Unseeing { reason, dark: true });
        }
        let reason = if 2 * white > bare { BlindReason::Glare } else { BlindReason::Covered };
        Some(Unseeing { reason, dark: false })
    }

    /// `None` while too little is known, or where there is usually next to nothing to see.
    fn lost_share(&self, blocks: &[Block]) -> Option<f32> {
        let expected: f32 = self.usual.iter().sum();
        let lost = self.usual.iter().zip(blocks).filter(|(_, block)| !matches!(block, Block::Structured));
        (expected >= ENOUGH).then(|| lost.map(|(usual, _)| usual).sum::<f32>() / expected)
    }

    fn learn(&mut self, blocks: &[Block], step: Duration) {
        let step = step.as_secs_f32();
        self.learned_seconds += step;
        let share = (step / self.learned_seconds.min(MEMORY_SECONDS)).min(1.0);
        for (usual, block) in self.usual.iter_mut().zip(blocks) {
            let now = if matches!(block, Block::Structured) { 1.0 } else { 0.0 };
            *usual += share * (now - *usual);
        }
    }
}

fn block(look: &Look, number: usize) -> Block {
    let per_row = COLUMNS / BLOCK_COLUMNS;
    let (left, top) = (number % per_row * BLOCK_COLUMNS, number / per_row * BLOCK_ROWS);
    let mut values = [0.0; BLOCK_COLUMNS * BLOCK_ROWS];
    for (row, part) in values.chunks_exact_mut(BLOCK_COLUMNS).enumerate() {
        let start = (top + row) * COLUMNS + left;
        part.copy_from_slice(&look.cells[start..start + BLOCK_COLUMNS]);
    }
    let (mean, _) = mean_and_deviation(&values);
    if deviation_from_plane(&values, mean) >= STRUCTURE {
        Block::Structured
    } else if mean <= DARK {
        Block::Dark
    } else if mean >= WHITE {
        Block::White
    } else {
        Block::Flat
    }
}

/// Light through a cover makes a slope, which is no structure.
fn deviation_from_plane(values: &[f32; BLOCK_COLUMNS * BLOCK_ROWS], mean: f32) -> f32 {
    let place = |k: usize| {
        let (column, row) = ((k % BLOCK_COLUMNS) as f32, (k / BLOCK_COLUMNS) as f32);
        (column - 0.5 * (BLOCK_COLUMNS - 1) as f32, row - 0.5 * (BLOCK_ROWS - 1) as f32)
    };
    // On a grid that is symmetric about its middle the two slopes are independent.
    let (mut xv, mut xx, mut yv, mut yy) = (0.0, 0.0, 0.0, 0.0);
    for (k, value) in values.iter().enumerate() {
        let (x, y) = place(k);
        xv += x * (value - mean);
        xx += x * x;
        yv += y * (value - mean);
        yy += y * y;
    }
    let (across, down) = (xv / xx, yv / yy);
    let rest = |(k, value): (usize, &f32)| {
        let (x, y) = place(k);
        (value - mean - across * x - down * y).powi(2)
    };
    (values.iter().enumerate().map(rest).sum::<f32>() / values.len() as f32).sqrt()
}
