//! Potholes: an irregular hole with broken rim, shaded walls and loose stones on its floor.

use crate::world::dice::Dice;
use crate::world::noise;
use crate::world::shape::{Canvas, Severity, Shape};
use crate::world::split::{Family, HoleMaker};

const METRES_PER_TEXEL: f32 = 0.005;

pub(crate) fn draw(severity: Severity, family: &Family, dice: &mut Dice) -> Shape {
    let heavy = f32::from(severity);
    let size = (0.16 + 0.09 * heavy) * dice.between(0.85, 1.25) as f32;
    let (long, wide) = (size * dice.between(0.95, 1.6) as f32, size * dice.between(0.8, 1.1) as f32);
    let maker = family.holes[dice.index(family.holes.len())];
    let seed = dice.seed() as u32;
    let waves: Vec<(f32, f32, f32)> = (2..7)
        .map(|k| (0.35 / k as f32 * dice.unit() as f32, k as f32, dice.between(0.0, std::f64::consts::TAU) as f32))
        .collect();
    let discs: Vec<(f32, f32, f32)> = (0..4)
        .map(|_| (dice.between(-0.5, 0.5) as f32, dice.between(-0.5, 0.5) as f32, dice.between(0.45, 0.7) as f32))
        .collect();
    let power = dice.between(2.0, 3.2) as f32;
    let (sun_along, sun_across) = ((dice.between(0.0, std::f64::consts::TAU) as f32).cos(), dice.sign() as f32 * 0.7);
    let floor = 0.58 - 0.09 * heavy + dice.between(-0.04, 0.06) as f32;
    let wet = dice.chance(0.15);
    let noise_at = |x: f32, y: f32, per_metre: f32, k: u32| {
        noise::value(x * per_metre + 900.0, y * per_metre + 900.0, 1 << 20, seed ^ k)
    };
    // Positive inside, about 1 in the middle.
    let depth = |along: f32, across: f32| {
        let (x, y) = (along / long, across / wide);
        let radius = x.hypot(y);
        let angle = y.atan2(x);
        match maker {
            HoleMaker::Harmonics => {
                let rim = 1.0 + waves.iter().map(|(gain, k, phase)| gain * (k * angle + phase).sin()).sum::<f32>();
                1.0 - radius / rim
            }
            HoleMaker::Discs => discs.iter().map(|(cx, cy, r)| 1.0 - (x - cx).hypot(y - cy) / r).fold(-1.0, f32::max),
            HoleMaker::NotchedSuperellipse => {
                let notch = if noise_at(angle, 0.0, 3.0, 5) > 0.7 { 0.18 } else { 0.0 };
                1.0 - (x.abs().powf(power) + y.abs().powf(power)).powf(1.0 / power) - notch
            }
            HoleMaker::NoiseThreshold => {
                1.0 - radius
                    + 0.6 * (noise_at(along, across, 4.5, 6) - 0.5)
                    + 0.25 * (noise_at(along, across, 14.0, 7) - 0.5)
            }
        }
    };
    let mut canvas = Canvas::new(3.2 * long, 3.2 * wide, METRES_PER_TEXEL);
    canvas.paint(|along, across, factor, cover| {
        let ragged = 0.10 * (noise_at(along, across, 30.0, 1) - 0.5);
        let inside = depth(along, across) + ragged;
        if inside > 0.0 {
            let step = 0.03;
            let slope = (depth(along + step * sun_along, across + step * sun_across)
                - depth(along - step * sun_along, across - step * sun_across))
            .clamp(-1.0, 1.0);
            let wall = (1.0 - inside / 0.3).clamp(0.0, 1.0);
            let stones = if wet { 0.04 } else { 0.30 } * (noise_at(along, across, 55.0, 2) - 0.5)
                + 0.16 * (noise_at(along, across, 18.0, 3) - 0.5);
            *factor = (floor - 0.10 * wall + 0.45 * wall * slope + stones).clamp(0.12, 1.05);
            *cover = 0.9;
        } else {
            // Crumbled asphalt around the rim.
            let near = (1.0 + inside / 0.22).clamp(0.0, 1.0);
            *factor = 1.0 + near * (0.22 * (noise_at(along, across, 40.0, 4) - 0.55));
        }
    });
    canvas.finish()
}
