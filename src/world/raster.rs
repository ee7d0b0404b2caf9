//! Surfaces as tables: tiling textures and decals, both with mip levels, so that a distant pixel averages what it covers.
//!
//! A [`Tile`] repeats for ever and holds a brightness factor; a [`Raster`] lies once on the road and holds a factor and a
//! cover: `colour = mix(grainy asphalt, plain asphalt, cover) × factor`. Factors are stored as 1/128, so 128 is neutral.

/// A brightness texture that repeats.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Level 0 first; each is square with a power of two as its side.
    levels: Vec<Vec<f32>>,
    side_log2: u32,
    texels_per_metre: f32,
}

/// Ground coordinates are shifted by this before they index a tile, so that they are never negative in a town.
const SHIFT_METRES: f32 = 2048.0;

impl Tile {
    /// `make` is asked for every texel (column, row) of a square with side 2^`side_log2`; 1 is neutral.
    pub fn new(side_log2: u32, metres_per_texel: f32, make: impl Fn(u32, u32) -> f32) -> Self {
        let side = 1u32 << side_log2;
        let mut base = Vec::with_capacity((side * side) as usize);
        for row in 0..side {
            base.extend((0..side).map(|column| make(column, row)));
        }
        let mean = base.iter().sum::<f32>() / base.len() as f32;
        for value in &mut base {
            *value += 1.0 - mean;
        }
        let mut levels = vec![base];
        for level in 1..=side_log2 {
            let (from, side) = (&levels[level as usize - 1], side >> level);
            let wide = (side * 2) as usize;
            let mut next = Vec::with_capacity((side * side) as usize);
            for row in 0..side as usize {
                for column in 0..side as usize {
                    let at = 2 * row * wide + 2 * column;
                    next.push(0.25 * (from[at] + from[at + 1] + from[at + wide] + from[at + wide + 1]));
                }
            }
            levels.push(next);
        }
        Self { levels, side_log2, texels_per_metre: 1.0 / metres_per_texel }
    }

    /// The level whose texels are about as large as `footprint_metres`.
    #[must_use]
    pub fn level(&self, footprint_metres: f32) -> u32 {
        let texels = (footprint_metres * self.texels_per_metre).max(1.0);
        (texels.log2().round() as u32).min(self.side_log2)
    }

    #[must_use]
    pub fn view(&self, level: u32) -> TileView<'_> {
        TileView {
            texels: &self.levels[level as usize],
            scale: self.texels_per_metre / (1u32 << level) as f32,
            side_log2: self.side_log2 - level,
        }
    }

    #[cfg(test)]
    pub(crate) fn base(&self) -> &[f32] {
        &self.levels[0]
    }
}

/// One level of a tile, ready to be sampled.
#[derive(Clone, Copy)]
pub struct TileView<'a> {
    texels: &'a [f32],
    scale: f32,
    side_log2: u32,
}

impl TileView<'_> {
    #[must_use]
    #[inline]
    pub fn at(&self, east: f32, north: f32) -> f32 {
        let mask = (1u32 << self.side_log2) - 1;
        let column = ((east + SHIFT_METRES) * self.scale) as u32 & mask;
        let row = ((north + SHIFT_METRES) * self.scale) as u32 & mask;
        self.texels[((row << self.side_log2) | column) as usize]
    }

    /// Between the texels: for what is larger in the picture than in the table.
    #[must_use]
    #[inline]
    pub fn smooth_at(&self, east: f32, north: f32) -> f32 {
        let mask = (1u32 << self.side_log2) - 1;
        let (x, y) = ((east + SHIFT_METRES) * self.scale, (north + SHIFT_METRES) * self.scale);
        let (column, row) = (x as u32, y as u32);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = |c: u32, r: u32| self.texels[(((r & mask) << self.side_log2) | (c & mask)) as usize];
        let top = at(column, row) + fx * (at(column + 1, row) - at(column, row));
        let bottom = at(column, row + 1) + fx * (at(column + 1, row + 1) - at(column, row + 1));
        top + fy * (bottom - top)
    }
}

#[derive(Debug, Clone)]
struct RasterLevel {
    columns: usize,
    rows: usize,
    /// Factor × 128 and cover × 255.
    texels: Vec<[u8; 2]>,
}

/// A decal's pixels: columns along its length, rows across to the left.
#[derive(Debug, Clone)]
pub struct Raster {
    levels: Vec<RasterLevel>,
    metres_per_texel: f32,
    length_metres: f32,
    width_metres: f32,
}

impl Raster {
    /// `make(along, across)` is asked in metres from the decal's middle and gives (factor, cover).
    pub fn new(
        length_metres: f32,
        width_metres: f32,
        metres_per_texel: f32,
        mut make: impl FnMut(f32, f32) -> (f32, f32),
    ) -> Self {
        let columns = ((length_metres / metres_per_texel).ceil() as usize).max(2);
        let rows = ((width_metres / metres_per_texel).ceil() as usize).max(2);
        let mut texels = Vec::with_capacity(columns * rows);
        for row in 0..rows {
            let across = (row as f32 + 0.5) * metres_per_texel - 0.5 * width_metres;
            for column in 0..columns {
                let along = (column as f32 + 0.5) * metres_per_texel - 0.5 * length_metres;
                let (factor, cover) = make(along, across);
                texels.push([
                    (factor * 128.0 + 0.5).clamp(0.0, 255.0) as u8,
                    (cover * 255.0 + 0.5).clamp(0.0, 255.0) as u8,
                ]);
            }
        }
        let mut levels = vec![RasterLevel { columns, rows, texels }];
        while let Some(last) = levels.last().filter(|l| l.columns > 2 && l.rows > 2) {
            levels.push(last.halved());
        }
        Self { levels, metres_per_texel, length_metres, width_metres }
    }

    /// Factor and cover at a place, averaged over about `footprint_metres`; neutral outside.
    #[must_use]
    pub fn at(&self, along: f32, across: f32, footprint_metres: f32) -> (f32, f32) {
        let texels = (footprint_metres / self.metres_per_texel).max(1.0);
        let number = (texels.log2().round() as usize).min(self.levels.len() - 1);
        let level = &self.levels[number];
        let scale = 1.0 / (self.metres_per_texel * (1u32 << number) as f32);
        let x = (along + 0.5 * self.length_metres) * scale - 0.5;
        let y = (across + 0.5 * self.width_metres) * scale - 0.5;
        if x <= -1.0 || y <= -1.0 || x >= level.columns as f32 || y >= level.rows as f32 {
            return (1.0, 0.0);
        }
        let (cx, cy) = (x.floor(), y.floor());
        let (fx, fy) = (x - cx, y - cy);
        let (column, row) = (cx as i32, cy as i32);
        let [a, b, c, d] = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| level.texel(column + dx, row + dy));
        let mix = |k: usize| {
            let top = a[k] + fx * (b[k] - a[k]);
            let bottom = c[k] + fx * (d[k] - c[k]);
            top + fy * (bottom - top)
        };
        (mix(0) / 128.0, mix(1) / 255.0)
    }
}

impl RasterLevel {
    fn texel(&self, column: i32, row: i32) -> [f32; 2] {
        if column < 0 || row < 0 || column as usize >= self.columns || row as usize >= self.rows {
            return [128.0, 0.0];
        }
        let [factor, cover] = self.texels[row as usize * self.columns + column as usize];
        [f32::from(factor), f32::from(cover)]
    }

    fn halved(&self) -> Self {
        let (columns, rows) = (self.columns.div_ceil(2), self.rows.div_ceil(2));
        let mut texels = Vec::with_capacity(columns * rows);
        for row in 0..rows as i32 {
            for column in 0..columns as i32 {
                let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| self.texel(2 * column + dx, 2 * row + dy));
                texels.push([0, 1].map(|k| (0.25 * four.iter().map(|t| t[k]).sum::<f32>() + 0.5) as u8));
            }
        }
        Self { columns, rows, texels }
    }
}
