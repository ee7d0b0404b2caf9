//! Noise on a lattice: hashed values, smooth value noise and gradient noise, cell noise. All repeat with `period` cells,
//! so that textures made of them tile.

/// A well-mixed 32-bit hash of a lattice point (multiply–xorshift rounds).
#[must_use]
pub fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h =
        (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ seed.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// Uniform in [0, 1) per lattice point.
#[must_use]
pub fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1u32 << 24) as f32
}

fn ease(f: f32) -> f32 {
    f * f * (3.0 - 2.0 * f)
}

fn cell(x: f32, y: f32) -> (i32, i32, f32, f32) {
    // `floor` without a call into libm.
    let (ix, iy) = (x as i32 - i32::from(x < 0.0), y as i32 - i32::from(y < 0.0));
    (ix, iy, x - ix as f32, y - iy as f32)
}

/// Smooth noise in [0, 1] between lattice values.
#[must_use]
pub fn value(x: f32, y: f32, period: i32, seed: u32) -> f32 {
    let (ix, iy, fx, fy) = cell(x, y);
    let at = |dx: i32, dy: i32| lattice((ix + dx).rem_euclid(period), (iy + dy).rem_euclid(period), seed);
    let (ex, ey) = (ease(fx), ease(fy));
    let top = at(0, 0) + ex * (at(1, 0) - at(0, 0));
    let bottom = at(0, 1) + ex * (at(1, 1) - at(0, 1));
    top + ey * (bottom - top)
}

/// Gradient noise in about [0, 1], mean 0.5.
#[must_use]
pub fn gradient(x: f32, y: f32, period: i32, seed: u32) -> f32 {
    let (ix, iy, fx, fy) = cell(x, y);
    let at = |dx: i32, dy: i32| {
        let turn = std::f32::consts::TAU * lattice((ix + dx).rem_euclid(period), (iy + dy).rem_euclid(period), seed);
        let (sin, cos) = turn.sin_cos();
        cos * (fx - dx as f32) + sin * (fy - dy as f32)
    };
    let (ex, ey) = (ease(fx), ease(fy));
    let top = at(0, 0) + ex * (at(1, 0) - at(0, 0));
    let bottom = at(0, 1) + ex * (at(1, 1) - at(0, 1));
    (0.5 + 0.72 * (top + ey * (bottom - top))).clamp(0.0, 1.0)
}

/// What cell noise knows of a place: distances to the two nearest feature points (in cells) and the nearest one's number.
#[derive(Debug, Clone, Copy)]
pub struct Cells {
    pub nearest: f32,
    pub second: f32,
    pub id: u32,
}

/// Cell noise: one feature point per cell, moved from its middle by up to `jitter` / 2 cells.
/// `metric` maps an offset to a distance.
#[must_use]
pub fn cells(x: f32, y: f32, period: i32, jitter: f32, seed: u32, metric: fn(f32, f32) -> f32) -> Cells {
    let (ix, iy, fx, fy) = cell(x, y);
    let mut found = Cells { nearest: f32::MAX, second: f32::MAX, id: 0 };
    for dy in -1..=1 {
        for dx in -1..=1 {
            let (cx, cy) = ((ix + dx).rem_euclid(period), (iy + dy).rem_euclid(period));
            let h = hash(cx, cy, seed);
            let px = dx as f32 + 0.5 + jitter * ((h & 0xFFFF) as f32 / 65536.0 - 0.5);
            let py = dy as f32 + 0.5 + jitter * ((h >> 16) as f32 / 65536.0 - 0.5);
            let distance = metric(px - fx, py - fy);
            if distance < found.nearest {
                found.second = found.nearest;
                (found.nearest, found.id) = (distance, h);
            } else if distance < found.second {
                found.second = distance;
            }
        }
    }
    found
}

#[must_use]
pub fn euclid(dx: f32, dy: f32) -> f32 {
    (dx * dx + dy * dy).sqrt()
}

#[must_use]
pub fn taxicab(dx: f32, dy: f32) -> f32 {
    dx.abs() + dy.abs()
}
