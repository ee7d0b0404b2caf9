//! Chooses how a street looks: asphalt, markings, borders.

use crate::world::dice::Dice;
use crate::world::street::{Border, CentreLine, Surface};
use crate::world::textures::Textures;

/// `town`: pavements and kerbs; otherwise a road through fields.
#[must_use]
pub fn surface(town: bool, half_width_metres: f32, textures: &Textures, dice: &mut Dice) -> Surface {
    let tone = dice.between(0.26, 0.56) as f32;
    let warm = dice.between(-0.025, 0.03) as f32;
    let wide = half_width_metres > 2.6;
    let dashes = [(3.0, 6.0), (4.0, 8.0), (2.0, 4.0), (6.0, 3.0)][dice.index(4)];
    let centre = match dice.index(if wide { 6 } else { 12 }) {
        0..=2 => CentreLine::Dashed { on_metres: dashes.0, off_metres: dashes.1 },
        3 => CentreLine::Solid,
        4 => CentreLine::Double,
        _ => CentreLine::None,
    };
    let yellow = dice.chance(0.25);
    let bright = dice.between(0.72, 0.95) as f32;
    Surface {
        asphalt: [tone * (1.0 + warm), tone, tone * (1.0 - warm)],
        grain: dice.index(textures.grains.len()),
        grain_gain: dice.between(0.35, 1.15) as f32,
        stain: dice.index(textures.stains.len()),
        stain_gain: dice.between(0.3, 1.5) as f32,
        tracks: dice.between(-0.16, 0.12) as f32,
        joint_left_metres: dice.chance(0.35).then(|| dice.between(-0.3, 0.3) as f32),
        centre,
        edge_lines: !town && dice.chance(0.8) || town && dice.chance(0.2),
        paint: if yellow { [bright, bright * 0.72, bright * 0.25] } else { [bright; 3] },
        paint_wear: dice.between(0.0, 0.55) as f32,
        border: match (town, dice.index(4)) {
            (true, 0..=2) => Border::Paving,
            (_, 3) => Border::Gravel,
            _ => Border::Grass,
        },
        kerb: town || dice.chance(0.1),
    }
}
