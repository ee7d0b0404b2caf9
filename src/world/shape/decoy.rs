//! What lies in the road and is no damage: manhole covers, drains, stains; and shadows that fall on it.

use crate::world::dice::Dice;
use crate::world::noise;
use crate::world::raster::Raster;

/// A drawing without truth: its raster with length and width in metres.
#[derive(Debug, Clone)]
pub struct Decoy {
    pub raster: Raster,
    pub length_metres: f32,
    pub width_metres: f32,
}

/// A cast-iron cover with its frame.
#[must_use]
pub fn manhole(dice: &mut Dice) -> Decoy {
    let radius = dice.between(0.28, 0.36) as f32;
    let spokes = 4.0 + dice.index(6) as f32;
    let metal = dice.between(0.6, 1.25) as f32;
    let studs = dice.chance(0.5);
    let side = 2.0 * radius + 0.1;
    let raster = Raster::new(side, side, 0.006, |x, y| {
        let r = x.hypot(y);
        if r > radius {
            return (1.0, 0.0);
        }
        let ring = r / radius;
        let joint = (ring - 0.84).abs() < 0.03 || ring > 0.96;
        let relief = if studs {
            if (x * 60.0).sin() * (y * 60.0).sin() > 0.2 { 0.15 } else { -0.05 }
        } else if (y.atan2(x) * spokes).sin() > 0.6 || (ring * 20.0).sin() > 0.7 {
            0.15
        } else {
            -0.05
        };
        (if joint { 0.35 } else { metal + relief }, 1.0)
    });
    Decoy { raster, length_metres: side, width_metres: side }
}

/// A grate at the kerb.
#[must_use]
pub fn drain(dice: &mut Dice) -> Decoy {
    let (length, width) = (dice.between(0.4, 0.6) as f32, dice.between(0.3, 0.45) as f32);
    let bars = dice.between(55.0, 80.0) as f32;
    let raster = Raster::new(length, width, 0.006, |x, y| {
        let rim = (0.5 * length - x.abs()).min(0.5 * width - y.abs());
        let slot = rim > 0.04 && (x * bars).sin() > 0.1;
        (if slot { 0.2 } else { 0.8 }, 1.0)
    });
    Decoy { raster, length_metres: length, width_metres: width }
}

/// Oil or water: dark, with a soft rim and no relief.
#[must_use]
pub fn stain(dice: &mut Dice) -> Decoy {
    let (length, width) = (dice.between(0.3, 2.2) as f32, dice.between(0.25, 0.9) as f32);
    let dark = dice.between(0.10, 0.28) as f32;
    let seed = dice.seed() as u32;
    let raster = Raster::new(length * 1.5, width * 1.5, 0.02, |x, y| {
        let wobble = 0.6 * (noise::value(x * 3.0 + 90.0, y * 3.0 + 90.0, 1 << 20, seed) - 0.5);
        let inside = 1.0 - (2.0 * x / length).hypot(2.0 * y / width) + wobble;
        (1.0 - dark * (1.6 * inside).clamp(0.0, 1.0), 0.0)
    });
    Decoy { raster, length_metres: length * 1.5, width_metres: width * 1.5 }
}

/// The shadow of a tree's crown: blotches with gaps.
#[must_use]
pub fn crown_shadow(length: f32, width: f32, depth: f32, dice: &mut Dice) -> Decoy {
    let seed = dice.seed() as u32;
    let gaps = dice.between(0.35, 0.5) as f32;
    let raster = Raster::new(length, width, 0.05, |x, y| {
        let at = |per_metre: f32, k: u32| noise::value(x * per_metre + 90.0, y * per_metre + 90.0, 1 << 20, seed ^ k);
        let inside = 1.0 - (2.0 * x / length).hypot(2.0 * y / width) + 0.8 * (at(0.8, 1) - 0.5);
        let leaves = at(2.5, 2) * 0.6 + at(6.0, 3) * 0.4;
        let shade = (4.0 * inside).clamp(0.0, 1.0) * (6.0 * (leaves - gaps) + 0.5).clamp(0.0, 1.0);
        (1.0 - depth * shade, 0.0)
    });
    Decoy { raster, length_metres: length, width_metres: width }
}

/// The shadow of a wall, a pole or a vehicle: straight, with a soft rim.
#[must_use]
pub fn plain_shadow(length: f32, width: f32, depth: f32) -> Decoy {
    let soft = 0.05 + 0.02 * width.min(4.0);
    let texel = if length.max(width) > 4.0 { 0.06 } else { 0.02 };
    let raster = Raster::new(length, width, texel, |x, y| {
        let inside = (0.5 * length - x.abs()).min(0.5 * width - y.abs());
        (1.0 - depth * (inside / soft).clamp(0.0, 1.0), 0.0)
    });
    Decoy { raster, length_metres: length, width_metres: width }
}
