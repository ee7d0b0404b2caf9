//! Single cracks: a path with a varying width, dark, sometimes with a bright lip, sometimes with short branches.

use crate::world::dice::Dice;
use crate::world::noise;
use crate::world::shape::{Canvas, Severity, Shape};
use crate::world::split::{CrackMaker, Family};

const METRES_PER_TEXEL: f32 = 0.006;
/// Between two points of a path.
const STEP_METRES: f64 = 0.04;

pub(crate) fn draw(along_the_road: bool, severity: Severity, family: &Family, dice: &mut Dice) -> Shape {
    let length = if along_the_road { dice.between(1.2, 4.2) } else { dice.between(1.1, 3.2) };
    let heavy = f64::from(severity);
    let width = dice.between(0.010, 0.016) + 0.009 * heavy;
    let dark = (0.62 - 0.13 * heavy + dice.between(-0.05, 0.05)) as f32;
    let border = (0.07 + 0.05 * heavy) as f32;
    let main = path(length, 0.10, family, dice);
    let mut canvas = if along_the_road {
        Canvas::new(length as f32 + 0.6, 1.7, METRES_PER_TEXEL)
    } else {
        Canvas::new(1.7, length as f32 + 0.6, METRES_PER_TEXEL)
    };
    let turn = |p: (f64, f64)| if along_the_road { (p.0 as f32, p.1 as f32) } else { (p.1 as f32, p.0 as f32) };
    let limit = if along_the_road { 0.2 * length } else { 0.18 * length };
    let mut paint = |points: &[(f64, f64)], width: f64, dice: &mut Dice| {
        let seed = dice.seed() as u32;
        let width_at = |k: usize| {
            let slow = noise::value(k as f32 * 0.13, 0.5, 4096, seed);
            let fast = noise::value(k as f32 * 0.6, 0.5, 4096, seed ^ 1);
            let ends = (k.min(points.len() - 1 - k) as f32 / 5.0).clamp(0.25, 1.0);
            width as f32 * ends * (0.35 + 0.8 * slow + 0.5 * fast)
        };
        for (k, pair) in points.windows(2).enumerate() {
            let (a, b) =
                (turn((pair[0].0, pair[0].1.clamp(-limit, limit))), turn((pair[1].0, pair[1].1.clamp(-limit, limit))));
            canvas.stroke((a.0, a.1, width_at(k)), (b.0, b.1, width_at(k + 1)), dark, border);
        }
    };
    paint(&main, width, dice);
    for _ in 0..dice.index(2 + usize::from(severity)) {
        // A branch leaves the main path at an angle and runs out.
        let start = main[dice.index(main.len() * 4 / 5)];
        let angle = dice.sign() * dice.between(0.3, 0.8);
        let reach = dice.between(0.2, 0.6);
        let branch: Vec<(f64, f64)> = path(reach, 0.05, family, dice)
            .iter()
            .map(|p| (p.0 + 0.5 * reach, p.1))
            .map(|p| (start.0 + p.0 * angle.cos() - p.1 * angle.sin(), start.1 + p.0 * angle.sin() + p.1 * angle.cos()))
            .collect();
        paint(&branch, 0.6 * width, dice);
    }
    if dice.chance(0.3) {
        lip(&mut canvas, dice);
    }
    canvas.finish()
}

/// Broken edges catch the light: brighter specks beside the dark.
fn lip(canvas: &mut Canvas, dice: &mut Dice) {
    let seed = dice.seed() as u32;
    canvas.paint(|along, across, factor, _| {
        if (0.75..0.97).contains(factor) && noise::value(along * 40.0, across * 40.0, 1 << 20, seed) > 0.6 {
            *factor = 1.12;
        }
    });
}

/// A path along x, centred on the origin, of about this length; `slope` bounds its mean direction in radians.
fn path(length: f64, slope: f64, family: &Family, dice: &mut Dice) -> Vec<(f64, f64)> {
    let count = (length / STEP_METRES).ceil().max(4.0) as usize;
    let rough = dice.within(family.crack_roughness);
    let tilt = dice.between(-slope, slope);
    let maker = family.cracks[dice.index(family.cracks.len())];
    let wander: Vec<f64> = match maker {
        CrackMaker::RandomWalk => {
            let (mut y, mut direction) = (0.0, 0.0);
            (0..=count)
                .map(|_| {
                    direction = 0.85 * direction + 2.2 * rough * dice.gauss();
                    y += STEP_METRES * f64::sin(direction);
                    y
                })
                .collect()
        }
        CrackMaker::Midpoint | CrackMaker::MidpointRough => midpoint(count, length, rough, dice),
        CrackMaker::Sines => {
            let waves: Vec<(f64, f64, f64)> = (0..7)
                .map(|k| {
                    let metres = 1.6 / f64::from(k + 1) * dice.between(0.7, 1.3);
                    (rough * metres * 0.5, std::f64::consts::TAU / metres, dice.between(0.0, std::f64::consts::TAU))
                })
                .collect();
            let mut kink = 0.0;
            (0..=count)
                .map(|k| {
                    if dice.chance(0.12) {
                        kink += 0.18 * rough * dice.gauss();
                    }
                    let x = k as f64 * STEP_METRES;
                    kink + waves.iter().map(|(size, wave, phase)| size * (wave * x + phase).sin()).sum::<f64>()
                })
                .collect()
        }
    };
    let mean = wander.iter().sum::<f64>() / wander.len() as f64;
    wander
        .iter()
        .enumerate()
        .map(|(k, y)| {
            let x = (k as f64 / count as f64 - 0.5) * length;
            (x, y - mean + tilt * x)
        })
        .collect()
}

/// Midpoint displacement: each half of the path bends by `rough` of its length.
fn midpoint(count: usize, length: f64, rough: f64, dice: &mut Dice) -> Vec<f64> {
    let size = count.next_power_of_two();
    let mut y = vec![0.0; size + 1];
    let (mut step, mut metres) = (size, length);
    while step > 1 {
        for k in (step / 2..size).step_by(step) {
            y[k] = 0.5 * (y[k - step / 2] + y[k + step / 2]) + 0.4 * rough * metres * dice.gauss();
        }
        step /= 2;
        metres *= 0.55;
    }
    (0..=count).map(|k| y[k * size / count]).collect()
}
