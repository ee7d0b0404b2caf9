//! Repairs: an area of other asphalt, often with a sealed edge.

use crate::world::dice::Dice;
use crate::world::noise;
use crate::world::shape::{Canvas, Severity, Shape};
use crate::world::split::{Family, PatchMaker};

const METRES_PER_TEXEL: f32 = 0.008;

pub(crate) fn draw(severity: Severity, family: &Family, dice: &mut Dice) -> Shape {
    let (length, width) = (dice.between(0.7, 3.0) as f32, dice.between(0.6, 1.7) as f32);
    let maker = family.patches[dice.index(family.patches.len())];
    let corner = dice.between(0.1, 0.3) as f32;
    let skew = [dice.between(-0.25, 0.25) as f32, dice.between(-0.25, 0.25) as f32];
    let cut = (dice.between(0.35, 0.6) as f32, dice.between(0.35, 0.6) as f32);
    let seed = dice.seed() as u32;
    let tone = if dice.chance(0.8) { dice.between(0.52, 0.74) as f32 } else { dice.between(1.24, 1.42) as f32 };
    let seal = if dice.chance(0.6) { dice.between(0.015, 0.045) as f32 } else { 0.0 };
    let grain = dice.between(0.10, 0.22) as f32;
    let (a, b) = (0.5 * length, 0.5 * width);
    // Metres inside the rim, negative outside.
    let depth = |x: f32, y: f32| {
        let rectangle = |x: f32, y: f32, a: f32, b: f32| (a - x.abs()).min(b - y.abs());
        match maker {
            PatchMaker::Rectangle => rectangle(x, y, a, b),
            PatchMaker::Chamfered => rectangle(x, y, a, b).min((a + b - corner - x.abs() - y.abs()) * 0.707),
            PatchMaker::Skewed => rectangle(x - skew[0] * y, y - skew[1] * x * b / a, a * 0.9, b * 0.9),
            PatchMaker::Rounded => {
                let (dx, dy) = ((x.abs() - a + corner).max(0.0), (y.abs() - b + corner).max(0.0));
                if dx > 0.0 && dy > 0.0 { corner - dx.hypot(dy) } else { rectangle(x, y, a, b) }
            }
            PatchMaker::LShape => {
                let notch = (x - a + 2.0 * a * cut.0).min(y - b + 2.0 * b * cut.1);
                rectangle(x, y, a, b).min(-notch)
            }
        }
    };
    let mut canvas = Canvas::new(length * 1.2 + 0.2, width * 1.2 + 0.2, METRES_PER_TEXEL);
    canvas.paint(|x, y, factor, cover| {
        let at = |per_metre: f32, k: u32| {
            noise::value(x * per_metre + 700.0, y * per_metre + 700.0, 1 << 20, seed ^ k) - 0.5
        };
        let inside = depth(x, y) + 0.02 * at(12.0, 1) + 0.012 * at(40.0, 2);
        let edge = if seal > 0.0 {
            ((0.5 * seal - inside.abs()) / METRES_PER_TEXEL + 0.5).clamp(0.0, 1.0)
                * (0.6 + 0.8 * (at(5.0, 3) + 0.5)).min(1.0)
        } else {
            0.0
        };
        if inside > 0.0 {
            *factor = tone + grain * (at(100.0, 4) + 0.5 * at(30.0, 5)) + 0.12 * at(2.5, 6);
            *cover = 0.85;
        }
        *factor += edge * (0.36 - *factor);
    });
    if severity > 1 {
        // An old patch: its edge has opened here and there.
        let wear = 0.1 * f32::from(severity);
        canvas.paint(|x, y, factor, _| {
            let open = noise::value(x * 8.0 + 300.0, y * 8.0 + 300.0, 1 << 20, seed ^ 8);
            if depth(x, y).abs() < 0.02 && open < wear {
                *factor *= 0.6;
            }
        });
    }
    canvas.finish()
}
