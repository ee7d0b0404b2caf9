//! What is kept of a picture to judge whether the camera sees: a tiny grey picture and a few measures of full resolution.
//!
//! Only [`COLUMNS`] · [`ROWS`] · 16 pixels and [`LINES`] lines are read, whatever the picture's size. Luma is 0..255, weights
//! as in BT.601. Nobody can be recognised in what is kept: a cell is 1/48 of the picture's width.

use crate::edge::frame::CameraImage;

pub const COLUMNS: usize = 48;
pub const ROWS: usize = 27;
/// Cells are averaged over so many samples in each direction: a sensor's noise falls to a quarter.
const SAMPLES: usize = 4;
/// Lines of full resolution on which edges are measured.
const LINES: usize = 24;
/// A line is cut into so many windows.
const WINDOWS: usize = 20;
/// Luma between the darkest and the lightest pixel of a window that holds an edge worth measuring.
const EDGE_RANGE: i32 = 56;
/// A step of an edge is taken over this share of the picture's width: 2 pixels of 1280.
const STEP_SHARE: f32 = 1.0 / 640.0;
const SATURATED: u8 = 250;
const BLACK: u8 = 16;

/// How steep edges are: 1 when an edge's whole rise lies within one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// Windows that hold an edge.
    pub count: u32,
    /// Upper quartile over these windows; 0 without any.
    pub steepness: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Mean luma of each cell, row by row.
    pub cells: Vec<f32>,
    pub mean_luma: f32,
    /// Share of samples that are white or nearly so.
    pub saturated_share: f32,
    /// Share of samples that are black or nearly so.
    pub black_share: f32,
    /// Standard deviation of the cells.
    pub contrast: f32,
    pub edges: Edges,
    /// Equal for pictures that agree in every sample and line; a sensor's noise alone changes it.
    pub fingerprint: u64,
}

impl Look {
    #[must_use]
    pub fn of(image: &CameraImage) -> Self {
        let (width, height) = (image.width_px() as usize, image.height_px() as usize);
        let mut fingerprint = Fingerprint::new();
        let mut cells = vec![0.0; COLUMNS * ROWS];
        let (mut saturated, mut black) = (0_u32, 0_u32);
        if width == 0 || height == 0 {
            let edges = Edges { count: 0, steepness: 0.0 };
            let black_share = 1.0;
            return Self {
                cells,
                mean_luma: 0.0,
                saturated_share: 0.0,
                black_share,
                contrast: 0.0,
                edges,
                fingerprint: 0,
            };
        }
        let at = |k: usize, count: usize, size: usize| (2 * k + 1) * size / (2 * count);
        let columns: Vec<usize> = (0..COLUMNS * SAMPLES).map(|k| at(k, COLUMNS * SAMPLES, width)).collect();
        for row in 0..ROWS {
            let mut sums = [0_u32; COLUMNS];
            for k in 0..SAMPLES {
                let y = at(row * SAMPLES + k, ROWS * SAMPLES, height);
                for (sum, xs) in sums.iter_mut().zip(columns.chunks_exact(SAMPLES)) {
                    for x in xs {
                        let value = image.luma_at(*x as u32, y as u32);
                        *sum += u32::from(value);
                        saturated += u32::from(value >= SATURATED);
                        black += u32::from(value <= BLACK);
                    }
                }
            }
            for (cell, sum) in cells[row * COLUMNS..].iter_mut().zip(sums) {
                fingerprint.add(sum);
                *cell = sum as f32 / (SAMPLES * SAMPLES) as f32;
            }
        }
        let samples = (COLUMNS * ROWS * SAMPLES * SAMPLES) as f32;
        let (mean_luma, contrast) = mean_and_deviation(&cells);
        let edges = edges(image, &mut fingerprint);
        Self {
            cells,
            mean_luma,
            saturated_share: saturated as f32 / samples,
            black_share: black as f32 / samples,
            contrast,
            edges,
            fingerprint: fingerprint.0,
        }
    }
}

pub(super) fn mean_and_deviation(values: &[f32]) -> (f32, f32) {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

fn edges(image: &CameraImage, fingerprint: &mut Fingerprint) -> Edges {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let step = ((width as f32 * STEP_SHARE).round() as usize).max(1);
    let window = (width / WINDOWS).max(8 * step);
    let mut line = vec![0_u8; width];
    let mut steepness = Vec::with_capacity(LINES * WINDOWS);
    for k in 0..LINES {
        let y = (2 * k + 1) * height / (2 * LINES);
        for (x, value) in line.iter_mut().enumerate() {
            *value = image.luma_at(x as u32, y as u32);
        }
        for part in line.chunks_exact(window) {
            let (low, high, sum) = part
                .iter()
                .fold((255_u8, 0_u8, 0_u32), |(low, high, sum), v| (low.min(*v), high.max(*v), sum + u32::from(*v)));
            fingerprint.add(sum);
            let range = i32::from(high) - i32::from(low);
            if range < EDGE_RANGE {
                continue;
            }
            let steepest = part.iter().zip(&part[step..]).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            steepness.push(f32::from(steepest) / range as f32);
        }
    }
    let count = steepness.len();
    if count == 0 {
        return Edges { count: 0, steepness: 0.0 };
    }
    let (_, upper, _) = steepness.select_nth_unstable_by((count - 1) * 3 / 4, f32::total_cmp);
    Edges { count: count as u32, steepness: *upper }
}

/// FNV-1a over whole numbers: to tell equal from unequal, not to withstand anybody.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x0100_0000_01b3);
    }
}
