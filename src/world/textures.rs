//! The textures of one split: several kinds of asphalt grain, broad stains, grass. Made once per world, then only read.

use crate::world::dice::Dice;
use crate::world::noise;
use crate::world::raster::Tile;
use crate::world::split::{GrainMaker, Split};

const GRAIN_SIDE_LOG2: u32 = 9;
const GRAIN_METRES_PER_TEXEL: f32 = 0.005;

#[derive(Debug)]
pub struct Textures {
    /// Fine texture of asphalt: 2.56 m, 5 mm.
    pub grains: Vec<Tile>,
    /// Broad unevenness of colour: 82 m, 16 cm.
    pub stains: Vec<Tile>,
    /// Grass, gravel and soil: 5 m, 2 cm.
    pub grass: Tile,
}

impl Textures {
    /// `variety`: how many different grains and stains.
    #[must_use]
    pub fn generate(seed: u64, split: Split, variety: usize) -> Self {
        let mut dice = Dice::new(split.seed(seed), 1);
        let makers = split.family().grains;
        let grains = (0..variety).map(|k| grain(makers[k % makers.len()], &mut dice)).collect();
        let stains = (0..variety).map(|_| stain(&mut dice)).collect();
        Self { grains, stains, grass: grass(&mut dice) }
    }
}

fn grain(maker: GrainMaker, dice: &mut Dice) -> Tile {
    let seed = dice.seed() as u32;
    let side = 1i32 << GRAIN_SIDE_LOG2;
    let strength = dice.between(0.5, 1.0) as f32;
    let speckle = |x: u32, y: u32| noise::lattice(x as i32, y as i32, seed ^ 7) - 0.5;
    // Texels per stone: a power of two, so that the tile repeats without a seam.
    let stone = [2, 4][dice.index(2)];
    let octave = move |x: u32, y: u32, size: i32, k: u32| {
        noise::value(x as f32 / size as f32, y as f32 / size as f32, side / size, seed ^ k)
    };
    match maker {
        GrainMaker::FilteredNoise => Tile::new(GRAIN_SIDE_LOG2, GRAIN_METRES_PER_TEXEL, |x, y| {
            let soft: f32 = [2, 4, 16, 64]
                .iter()
                .zip([0.35, 0.25, 0.15, 0.12])
                .map(|(size, gain)| gain * (octave(x, y, *size, *size as u32) - 0.5))
                .sum();
            1.0 + strength * (0.5 * speckle(x, y) + soft)
        }),
        GrainMaker::RoundStones => Tile::new(GRAIN_SIDE_LOG2, GRAIN_METRES_PER_TEXEL, |x, y| {
            let c =
                noise::cells(x as f32 / stone as f32, y as f32 / stone as f32, side / stone, 0.9, seed, noise::euclid);
            let tone = (c.id >> 20) as f32 / 4096.0;
            1.0 + strength
                * (0.55 * (0.5 - c.nearest)
                    + 0.5 * (tone - 0.5)
                    + 0.15 * speckle(x, y)
                    + 0.2 * (octave(x, y, 32, 3) - 0.5))
        }),
        GrainMaker::RidgedChips => Tile::new(GRAIN_SIDE_LOG2, GRAIN_METRES_PER_TEXEL, |x, y| {
            let ridge = |size: i32| 0.5 - (2.0 * octave(x, y, size, size as u32) - 1.0).abs();
            let chip = if noise::lattice(x as i32 / 2, y as i32 / 2, seed ^ 3) > 0.94 { 0.45 } else { 0.0 };
            1.0 + strength * (0.3 * ridge(2) + 0.25 * ridge(8) + 0.12 * ridge(32) + chip + 0.2 * speckle(x, y))
        }),
        GrainMaker::WarpedGradient => Tile::new(GRAIN_SIDE_LOG2, GRAIN_METRES_PER_TEXEL, |x, y| {
            let warp = 3.0 * (octave(x, y, 16, 11) - 0.5);
            let (wx, wy) = (x as f32 + warp, y as f32 - warp);
            let soft = noise::gradient(wx / 4.0, wy / 4.0, side / 4, seed)
                + 0.5 * noise::gradient(wx / 16.0, wy / 16.0, side / 16, seed ^ 5)
                - 0.75;
            let c = noise::cells(wx / 4.0, wy / 4.0, side / 4, 0.6, seed ^ 9, noise::euclid);
            let stone = if (c.id >> 24) > 200 && c.nearest < 0.35 { 0.4 } else { 0.0 };
            1.0 + strength * (0.6 * soft + stone + 0.4 * speckle(x, y))
        }),
    }
}

fn stain(dice: &mut Dice) -> Tile {
    let seed = dice.seed() as u32;
    Tile::new(9, 0.16, |x, y| {
        let octave = |size: i32, k: u32| {
            noise::value(x as f32 / size as f32, y as f32 / size as f32, 512 / size, seed ^ k) - 0.5
        };
        1.0 + 0.10 * octave(4, 1) + 0.16 * octave(16, 2) + 0.22 * octave(64, 3)
    })
}

fn grass(dice: &mut Dice) -> Tile {
    let seed = dice.seed() as u32;
    Tile::new(8, 0.02, |x, y| {
        let octave = |size: i32, k: u32| {
            noise::value(x as f32 / size as f32, y as f32 / size as f32, 256 / size, seed ^ k) - 0.5
        };
        1.0 + 0.5 * (noise::lattice(x as i32, y as i32, seed) - 0.5) + 0.5 * octave(4, 1) + 0.5 * octave(32, 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_other_textures_in_every_split() {
        let bases: Vec<Vec<f32>> =
            Split::ALL.iter().map(|s| Textures::generate(5, *s, 1).grains[0].base().to_vec()).collect();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let differing = bases[a].iter().zip(&bases[b]).filter(|(x, y)| (*x - *y).abs() > 1e-3).count();
            assert!(differing > bases[a].len() * 9 / 10);
        }
        assert_eq!(Textures::generate(5, Split::Test, 1).grains[0].base(), bases[2]);
    }

    #[test]
    fn distant_texture_has_the_mean_of_the_near_one() {
        let textures = Textures::generate(1, Split::Train, 2);
        for tile in &textures.grains {
            assert!((tile.view(GRAIN_SIDE_LOG2).at(1.0, 1.0) - 1.0).abs() < 1e-3);
        }
    }
}
