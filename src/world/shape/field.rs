//! Alligator cracks: a field cut into small cells, denser and darker where the load is.

use crate::world::dice::Dice;
use crate::world::noise::{self, Cells};
use crate::world::shape::{Canvas, Severity, Shape};
use crate::world::split::{CellMaker, Family};

const METRES_PER_TEXEL: f32 = 0.007;

pub(crate) fn draw(severity: Severity, family: &Family, dice: &mut Dice) -> Shape {
    let (length, width) = (dice.between(0.9, 3.2) as f32, dice.between(0.6, 1.6) as f32);
    let maker = family.cells[dice.index(family.cells.len())];
    let jitter = dice.within(family.cell_jitter) as f32;
    let cell_metres = dice.between(0.11, 0.24) as f32;
    // Cells stretch along the road.
    let stretch = dice.between(1.0, 1.6) as f32;
    let heavy = f32::from(severity);
    let dark = 0.60 - 0.12 * heavy + dice.between(-0.04, 0.04) as f32;
    let thick = (0.006 + 0.006 * heavy) * dice.between(0.9, 1.3) as f32;
    let seed = dice.seed() as u32;
    let mut canvas = Canvas::new(length * 1.15, width * 1.15, METRES_PER_TEXEL);
    canvas.paint(|along, across, factor, _| {
        let bend = 0.05 * (noise::value(along * 6.0, across * 6.0, 1 << 20, seed ^ 2) - 0.5);
        let (u, v) = ((along / stretch + bend) / cell_metres + 500.0, (across - bend) / cell_metres + 500.0);
        let found = match maker {
            CellMaker::Jittered => noise::cells(u, v, 1 << 20, jitter, seed, noise::euclid),
            CellMaker::Taxicab => noise::cells(u, v, 1 << 20, jitter, seed, noise::taxicab),
            CellMaker::WarpedHexagons => hexagons(u, v, jitter, seed),
        };
        let edge_metres = 0.5 * (found.second - found.nearest) * cell_metres;
        // A superellipse with a ragged rim bounds the field.
        let ragged = 0.45 * (noise::value(along * 3.0, across * 3.0, 1 << 20, seed ^ 3) - 0.5);
        let inside = 1.0 - ((2.0 * along / length).powi(4) + (2.0 * across / width).powi(4)).powf(0.25) + ragged;
        let live = noise::value(along * 9.0, across * 9.0, 1 << 20, seed ^ 4);
        let own = thick * (4.0 * inside).clamp(0.0, 1.0) * (0.25 + 1.3 * live);
        let line =
            ((own - edge_metres) / METRES_PER_TEXEL + 0.5).clamp(0.0, 1.0) * (2.0 * own / METRES_PER_TEXEL).min(1.0);
        let dirt = 0.18 * (3.0 * inside).clamp(0.0, 1.0) * (-(edge_metres / 0.03).powi(2)).exp();
        let tone = if inside > 0.1 { 0.06 * ((found.id >> 24) as f32 / 256.0 - 0.5) - 0.03 * heavy } else { 0.0 };
        *factor = (1.0 - (1.0 - dark) * line).min(1.0 - dirt) + tone;
    });
    canvas.finish()
}

/// Cell noise on a hexagonal lattice.
fn hexagons(u: f32, v: f32, jitter: f32, seed: u32) -> Cells {
    const ROW: f32 = 0.866;
    let row = (v / ROW).floor() as i32;
    let mut found = Cells { nearest: f32::MAX, second: f32::MAX, id: 0 };
    for r in row - 1..=row + 2 {
        let shift = if r.rem_euclid(2) == 1 { 0.5 } else { 0.0 };
        let column = (u - shift).floor() as i32;
        for c in column - 1..=column + 2 {
            let h = noise::hash(c, r, seed);
            let x = c as f32 + shift + jitter * ((h & 0xFFFF) as f32 / 65536.0 - 0.5);
            let y = r as f32 * ROW + jitter * ((h >> 16) as f32 / 65536.0 - 0.5);
            let distance = noise::euclid(x - u, y - v);
            if distance < found.nearest {
                found.second = found.nearest;
                (found.nearest, found.id) = (distance, h);
            } else if distance < found.second {
                found.second = distance;
            }
        }
    }
    found
}
