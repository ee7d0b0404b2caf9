//! Light, weather and sensor of one picture or one drive.

use crate::world::dice::Dice;
use crate::world::split::Family;

/// Colours are red, green, blue factors or values in 0..1.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Exposure and colour temperature.
    pub gain: [f32; 3],
    /// Around middle grey; 1 is neutral.
    pub contrast: f32,
    /// Visibility in metres at which a third of the colour is left.
    pub visibility_metres: f32,
    pub sky_low: [f32; 3],
    pub sky_high: [f32; 3],
    /// How dark shadows are, 0..1.
    pub shadow_depth: f32,
    /// Direction of shadows relative to the street, degrees.
    pub shadow_azimuth_degrees: f32,
    /// Standard deviation of the sensor's noise, in 1/255.
    pub sensor_noise: f32,
    /// Darkening of the corners, 0..1.
    pub vignette: f32,
    /// 0 dry, 1 wet.
    pub wet: f32,
    /// Colour of grass.
    pub grass: [f32; 3],
}

impl Look {
    #[must_use]
    pub fn choose(family: &Family, dice: &mut Dice) -> Self {
        let range = family.blue_over_red[dice.index(family.blue_over_red.len())];
        let blue_over_red = dice.within(range) as f32;
        let exposure = dice.between(0.78, 1.25) as f32;
        let sunny = dice.chance(0.55);
        let grey = dice.between(0.62, 0.92) as f32;
        let (sky_low, sky_high) = if sunny {
            ([grey * 0.92, grey * 0.96, grey], [0.32, 0.50, 0.80])
        } else {
            ([grey; 3], [grey * 0.85, grey * 0.88, grey * 0.92])
        };
        let dry = dice.between(0.0, 1.0) as f32;
        Self {
            gain: [exposure / blue_over_red.sqrt(), exposure, exposure * blue_over_red.sqrt()],
            contrast: dice.between(0.85, 1.2) as f32,
            visibility_metres: if dice.chance(0.15) { dice.between(60.0, 150.0) } else { dice.between(250.0, 900.0) }
                as f32,
            sky_low,
            sky_high,
            shadow_depth: if sunny { dice.between(0.35, 0.6) } else { dice.between(0.03, 0.12) } as f32,
            shadow_azimuth_degrees: dice.within(family.sun_azimuth_degrees) as f32,
            sensor_noise: dice.between(0.6, 3.5) as f32,
            vignette: dice.between(0.0, 0.25) as f32,
            wet: if dice.chance(0.12) { dice.between(0.3, 0.9) as f32 } else { 0.0 },
            grass: [0.30 + 0.16 * dry, 0.36 + 0.03 * dry, 0.17 + 0.04 * dry],
        }
    }
}
