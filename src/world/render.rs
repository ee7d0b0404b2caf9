//! The camera: casts a ray through every pixel onto the road plane, colours what it meets, then paints what stands above.
//!
//! The ground is done row by row in passes (asphalt and land, decals, light), since pixels of a row see it at the same
//! scale. Distance is anti-aliased by mip levels across and by several samples along the line of sight.

use image::RgbImage;

use crate::geo::direction_of;
use crate::world::dice::Dice;
use crate::world::look::Look;
use crate::world::noise;
use crate::world::optics::Optics;
use crate::world::paint;
use crate::world::scene::{Decal, Pose, Scene};
use crate::world::surface;

const NOISE_TABLE: usize = 1 << 14;

/// A rendered picture and which of its pixels show something that stands above the road.
#[derive(Debug)]
pub struct Picture {
    pub pixels: RgbImage,
    /// Row by row.
    pub occluded: Vec<bool>,
}

/// A decal that is seen, with the pixels it may cover.
struct SeenDecal<'a> {
    decal: &'a Decal,
    /// First and last column and row.
    columns: (usize, usize),
    rows: (usize, usize),
    /// Middle and direction of its length in vehicle axes.
    middle: (f32, f32),
    axis: (f32, f32),
}

#[derive(Debug)]
pub struct Renderer {
    pub optics: Optics,
    sensor: Vec<f32>,
    vignette: Vec<f32>,
}

/// What a row of ground looks like before the light falls on it.
#[derive(Default)]
struct Row {
    colour: Vec<[f32; 3]>,
    /// Without the asphalt's grain.
    plain: Vec<[f32; 3]>,
}

impl Renderer {
    #[must_use]
    pub fn new(optics: Optics) -> Self {
        let mut dice = Dice::new(0, 99);
        let sensor = (0..NOISE_TABLE).map(|_| dice.gauss() as f32).collect();
        let (middle_x, middle_y) = (0.5 * optics.width as f32, 0.5 * optics.height as f32);
        let vignette = (0..optics.width)
            .map(|x| ((x as f32 - middle_x) / middle_x).powi(2) * 0.6)
            .chain((0..optics.height).map(|y| ((y as f32 - middle_y) / middle_y).powi(2) * 0.4))
            .collect();
        Self { optics, sensor, vignette }
    }

    /// `frame_seed` moves the sensor's noise, nothing else.
    #[must_use]
    pub fn render(&self, scene: &Scene, pose: Pose, frame_seed: u32) -> Picture {
        let (width, height) = (self.optics.width, self.optics.height);
        let seen = self.seen_decals(scene, pose);
        let ahead = direction_of(pose.heading_degrees);
        let (sin, cos) = (ahead.east_metres as f32, ahead.north_metres as f32);
        let (east, north) = (pose.position.east_metres as f32, pose.position.north_metres as f32);
        let mut picture =
            Picture { pixels: RgbImage::new(width as u32, height as u32), occluded: vec![false; width * height] };
        let focal_px = self.optics.camera.intrinsics.focal_y_px as f32;
        let skyline = skyline(pose, width, focal_px);
        let mut row = Row { colour: vec![[0.0; 3]; width], plain: vec![[0.0; 3]; width] };
        for y in 0..height {
            let ground = &self.optics.ground[y * width..(y + 1) * width];
            let (across, along) = self.optics.footprint[y];
            let footprint = surface::Footprint::new(&scene.textures, across, along);
            for x in 0..width {
                let [forward, left] = ground[x];
                if forward.is_nan() {
                    row.colour[x] = sky(&scene.look, (self.optics.horizon[x] - y as f32) / focal_px, skyline[x]);
                    continue;
                }
                let place = (east + forward * sin - left * cos, north + forward * cos + left * sin);
                let (colour, plain) = surface::colour(scene, place, (sin, cos), &footprint);
                row.colour[x] = colour;
                row.plain[x] = plain;
            }
            for decal in seen.iter().filter(|d| d.rows.0 <= y && y <= d.rows.1) {
                decal.paint(ground, across, along, &mut row);
            }
            let haze_per_metre = 1.0 / scene.look.visibility_metres;
            let base = y * width * 3;
            let out: &mut [u8] = picture.pixels.as_flat_samples_mut().samples;
            let shift = noise::hash(y as i32, frame_seed as i32, 17) as usize;
            for x in 0..width {
                let mut colour = row.colour[x];
                let [forward, left] = ground[x];
                if !forward.is_nan() {
                    let distance = forward.abs().max(left.abs());
                    if distance > 20.0 {
                        let haze = 1.0 - (-(distance - 20.0) * haze_per_metre).exp();
                        for k in 0..3 {
                            colour[k] += haze * (scene.look.sky_low[k] - colour[k]);
                        }
                    }
                }
                let noise = self.sensor[(shift + x) & (NOISE_TABLE - 1)] * scene.look.sensor_noise;
                let shade = 1.0 - scene.look.vignette * (self.vignette[x] + self.vignette[width + y]);
                for k in 0..3 {
                    out[base + 3 * x + k] = exposed(colour[k], scene.look.gain[k], scene.look.contrast, shade, noise);
                }
            }
        }
        paint::things(scene, pose, &self.optics, &mut picture);
        picture
    }

    fn seen_decals<'a>(&self, scene: &'a Scene, pose: Pose) -> Vec<SeenDecal<'a>> {
        scene.decals.iter().filter_map(|decal| self.seen_decal(decal, pose)).collect()
    }

    fn seen_decal<'a>(&self, decal: &'a Decal, pose: Pose) -> Option<SeenDecal<'a>> {
        let middle = pose.vehicle_from_local(decal.pose.position);
        let reach = f64::from(decal.length_metres.hypot(decal.width_metres)) * 0.5;
        if middle.0 + reach < 0.3 || middle.0 - reach > 90.0 || middle.1.abs() - reach > 60.0 {
            return None;
        }
        let (half_length, half_width) = (f64::from(decal.length_metres) * 0.5, f64::from(decal.width_metres) * 0.5);
        let corners = [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
            .map(|(a, b)| pose.vehicle_from_local(decal.pose.local_from_vehicle(a * half_length, b * half_width)));
        let outline = paint::project_ground(&self.optics.camera, &corners);
        let bounds = outline.iter().fold((f32::MAX, f32::MAX, f32::MIN, f32::MIN), |b, p| {
            (b.0.min(p.0), b.1.min(p.1), b.2.max(p.0), b.3.max(p.1))
        });
        let (width, height) = (self.optics.width as f32, self.optics.height as f32);
        if outline.is_empty() || bounds.2 < 0.0 || bounds.3 < 0.0 || bounds.0 >= width || bounds.1 >= height {
            return None;
        }
        let turn = (decal.pose.heading_degrees - pose.heading_degrees).to_radians();
        Some(SeenDecal {
            decal,
            columns: (bounds.0.max(0.0) as usize, bounds.2.min(width - 1.0) as usize),
            rows: (bounds.1.max(0.0) as usize, bounds.3.min(height - 1.0) as usize),
            middle: (middle.0 as f32, middle.1 as f32),
            // Headings turn clockwise, left is counter-clockwise.
            axis: (turn.cos() as f32, -turn.sin() as f32),
        })
    }
}

impl SeenDecal<'_> {
    fn paint(&self, ground: &[[f32; 2]], across: f32, along: f32, row: &mut Row) {
        let (half_length, half_width) = (0.5 * self.decal.length_metres, 0.5 * self.decal.width_metres);
        let samples = ((along / across.max(0.004)).round() as i32).clamp(1, 6);
        // Never finer than the drawing.
        let footprint = across.max(along / samples as f32 * 0.7);
        let margin = along;
        for x in self.columns.0..=self.columns.1 {
            let [forward, left] = ground[x];
            if forward.is_nan() {
                continue;
            }
            let (df, dl) = (forward - self.middle.0, left - self.middle.1);
            let u = df * self.axis.0 + dl * self.axis.1;
            let v = dl * self.axis.0 - df * self.axis.1;
            if u.abs() > half_length + margin || v.abs() > half_width + margin {
                continue;
            }
            let (mut factor, mut cover) = (0.0, 0.0);
            for k in 0..samples {
                let step = along * ((k as f32 + 0.5) / samples as f32 - 0.5);
                let (f, c) = self.decal.raster.at(u + step * self.axis.0, v - step * self.axis.1, footprint);
                factor += f;
                cover += c;
            }
            let share = 1.0 / samples as f32;
            let (factor, cover) = (factor * share, cover * share);
            let (colour, plain) = (&mut row.colour[x], &mut row.plain[x]);
            for k in 0..3 {
                colour[k] = (colour[k] + cover * (plain[k] - colour[k])) * factor;
                plain[k] *= factor;
            }
        }
    }
}

/// Scene value → pixel.
#[must_use]
pub(crate) fn exposed(value: f32, gain: f32, contrast: f32, shade: f32, noise: f32) -> u8 {
    (((value * gain - 0.4) * contrast + 0.4) * shade * 255.0 + noise).clamp(0.0, 255.0) as u8
}

/// Height of the far trees above the horizon per column, radians.
fn skyline(pose: Pose, width: usize, focal_px: f32) -> Vec<f32> {
    let heading = pose.heading_degrees.to_radians() as f32;
    let at = |x: usize| {
        let azimuth = heading + x as f32 / focal_px + 50.0;
        0.012
            + 0.035 * noise::value(azimuth * 25.0, 0.5, 1 << 20, 3)
            + 0.008 * noise::value(azimuth * 160.0, 0.5, 1 << 20, 4)
    };
    (0..width).map(at).collect()
}

/// Sky, with the line of far trees above the horizon.
fn sky(look: &Look, elevation: f32, skyline: f32) -> [f32; 3] {
    if elevation < skyline {
        let far = [0.24, 0.29, 0.22];
        return [0, 1, 2].map(|k| far[k] + 0.45 * (look.sky_low[k] - far[k]));
    }
    let share = (elevation * 2.2).clamp(0.0, 1.0);
    [0, 1, 2].map(|k| look.sky_low[k] + share * (look.sky_high[k] - look.sky_low[k]))
}
