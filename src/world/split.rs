//! Three families of worlds that share no texture, no light and no damage shape.
//!
//! | | train | validation | test |
//! |---|---|---|---|
//! | asphalt grain | filtered white noise; round stones | ridged value noise with chips | warped gradient noise with cell stones |
//! | crack path | angular random walk; midpoint displacement 0.16–0.22 | midpoint displacement 0.24–0.30 | sum of sines with kinks |
//! | alligator cells | jittered cells 0.75–1.0, Euclid | taxicab cells | warped hexagonal cells |
//! | pothole rim | radial harmonics; union of discs | superellipse with notches | threshold of a noise field |
//! | patch | rectangle; chamfered rectangle | skewed quadrangle | rounded rectangle; L shape |
//! | sun's azimuth from the street | 20–80° | 80–110° | 110–170° |
//! | colour temperature (blue ÷ red) | 0.86–0.98 or 1.06–1.16 | 0.98–1.01 | 1.01–1.06 |
//!
//! Seeds are disjoint as well: the split's number is mixed into every seed.

use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Validation,
    Test,
}

/// How the fine texture of asphalt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrainMaker {
    FilteredNoise,
    RoundStones,
    RidgedChips,
    WarpedGradient,
}

/// How a crack finds its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrackMaker {
    RandomWalk,
    Midpoint,
    MidpointRough,
    Sines,
}

/// How a field of cracks is cut into cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellMaker {
    Jittered,
    Taxicab,
    WarpedHexagons,
}

/// How a pothole's rim is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoleMaker {
    Harmonics,
    Discs,
    NotchedSuperellipse,
    NoiseThreshold,
}

/// What a patch looks like from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchMaker {
    Rectangle,
    Chamfered,
    Skewed,
    Rounded,
    LShape,
}

/// Everything in which the splits differ. Ranges of different splits never overlap.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub grains: &'static [GrainMaker],
    pub cracks: &'static [CrackMaker],
    pub cells: &'static [CellMaker],
    pub holes: &'static [HoleMaker],
    pub patches: &'static [PatchMaker],
    /// Between the street's direction and the shadows, degrees.
    pub sun_azimuth_degrees: (f64, f64),
    /// Ranges of blue gain divided by red gain.
    pub blue_over_red: &'static [(f64, f64)],
    /// Share of a cell by which feature points move, for [`CellMaker`].
    pub cell_jitter: (f64, f64),
    /// Displacement per length, for midpoint cracks; bend per step in radians for walks; amplitude for sines.
    pub crack_roughness: (f64, f64),
}

impl Split {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// A seed of this split only.
    #[must_use]
    pub fn seed(self, seed: u64) -> u64 {
        let number = match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::Test => 2,
        };
        seed.wrapping_mul(3).wrapping_add(number)
    }

    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Train => Family {
                grains: &[GrainMaker::FilteredNoise, GrainMaker::RoundStones],
                cracks: &[CrackMaker::RandomWalk, CrackMaker::Midpoint],
                cells: &[CellMaker::Jittered],
                holes: &[HoleMaker::Harmonics, HoleMaker::Discs],
                patches: &[PatchMaker::Rectangle, PatchMaker::Chamfered],
                sun_azimuth_degrees: (20.0, 80.0),
                blue_over_red: &[(0.86, 0.98), (1.06, 1.16)],
                cell_jitter: (0.75, 1.0),
                crack_roughness: (0.14, 0.22),
            },
            Self::Validation => Family {
                grains: &[GrainMaker::RidgedChips],
                cracks: &[CrackMaker::MidpointRough],
                cells: &[CellMaker::Taxicab],
                holes: &[HoleMaker::NotchedSuperellipse],
                patches: &[PatchMaker::Skewed],
                sun_azimuth_degrees: (80.0, 110.0),
                blue_over_red: &[(0.98, 1.01)],
                cell_jitter: (0.62, 0.75),
                crack_roughness: (0.24, 0.30),
            },
            Self::Test => Family {
                grains: &[GrainMaker::WarpedGradient],
                cracks: &[CrackMaker::Sines],
                cells: &[CellMaker::WarpedHexagons],
                holes: &[HoleMaker::NoiseThreshold],
                patches: &[PatchMaker::Rounded, PatchMaker::LShape],
                sun_azimuth_degrees: (110.0, 170.0),
                blue_over_red: &[(1.01, 1.06)],
                cell_jitter: (0.40, 0.62),
                crack_roughness: (0.06, 0.13),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown split {0:?}; known are train, validation and test")]
pub struct UnknownSplit(pub String);

impl FromStr for Split {
    type Err = UnknownSplit;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| UnknownSplit(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::Hash;

    fn disjoint<T: Hash + Eq + Copy + 'static>(of: fn(Family) -> &'static [T]) {
        let mut seen = HashSet::new();
        for split in Split::ALL {
            let own: HashSet<T> = of(split.family()).iter().copied().collect();
            assert!(!own.is_empty());
            for item in own {
                assert!(seen.insert(item), "two splits share a generator");
            }
        }
    }

    fn apart(ranges: impl Iterator<Item = (f64, f64)>) {
        let mut ranges: Vec<(f64, f64)> = ranges.collect();
        ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in ranges.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{pair:?} overlap");
        }
    }

    #[test]
    fn splits_share_no_generator() {
        disjoint(|f| f.grains);
        disjoint(|f| f.cracks);
        disjoint(|f| f.cells);
        disjoint(|f| f.holes);
        disjoint(|f| f.patches);
    }

    #[test]
    fn splits_share_no_range() {
        let families = Split::ALL.map(Split::family);
        apart(families.iter().map(|f| f.sun_azimuth_degrees));
        apart(families.iter().flat_map(|f| f.blue_over_red.iter().copied()));
        apart(families.iter().map(|f| f.cell_jitter));
        apart(families.iter().map(|f| f.crack_roughness));
    }

    #[test]
    fn splits_share_no_seed() {
        let mut seen = HashSet::new();
        for split in Split::ALL {
            assert!((0..500).all(|seed| seen.insert(split.seed(seed))));
        }
    }
}
