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
use crate::world::street::StreetPlace;
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
    /// On which street a pixel lies.
    places: Vec<Option<StreetPlace>>,
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
        let mut row = Row { colour: vec![[0.0; 3]; width], plain: vec![[0.0; 3]; width], places: vec![None; width] };
        for y in 0..height {
            let ground = &self.optics.ground[y * width..(y + 1) * width];
            let (across, along) = self.optics.footprint[y];
            let footprint = surface::Footprint::new(&scene.textures, across, along);
            let local =
                |[forward, left]: [f32; 2]| (east + forward * sin - left * cos, north + forward * cos + left * sin);
            find_streets(scene, ground, &local, &mut row.places);
            for x in 0..width {
                if ground[x][0].is_nan() {
                    row.colour[x] = sky(&scene.look, (self.optics.horizon[x] - y as f32) / focal_px, skyline[x]);
                    continue;
                }
                let place = local(ground[x]);
                (row.colour[x], row.plain[x]) =
                    surface::colour(scene, place, row.places[x].as_ref(), (sin, cos), &footprint);
            }
            for decal in seen.iter().filter(|d| d.rows.0 <= y && y <= d.rows.1) {
                decal.paint(ground, across, along, &mut row);
            }
            // As far as the row's middle, for all of it.
            let distance = across * self.optics.camera.intrinsics.focal_x_px as f32;
            let haze = 1.0 - (-(distance - 20.0).max(0.0) / scene.look.visibility_metres).exp();
            if haze > 0.0 {
                for (colour, _) in row.colour.iter_mut().zip(ground).filter(|(_, g)| !g[0].is_nan()) {
                    for (c, far) in colour.iter_mut().zip(scene.look.sky_low) {
                        *c += haze * (far - *c);
                    }
                }
            }
            let out = &mut picture.pixels.as_flat_samples_mut().samples[y * width * 3..(y + 1) * width * 3];
            self.develop(&scene.look, &row.colour, y, frame_seed, out);
        }
        paint::things(scene, pose, &self.optics, &mut picture);
        picture
    }

    /// Scene colours → pixels of one row, with the lens's vignette and the sensor's noise.
    fn develop(&self, look: &Look, colours: &[[f32; 3]], y: usize, frame_seed: u32, out: &mut [u8]) {
        let shift = noise::hash(y as i32, frame_seed as i32, 17) as usize % (NOISE_TABLE - colours.len());
        let sensor = &self.sensor[shift..];
        let row_shade = 1.0 - look.vignette * self.vignette[colours.len() + y];
        // `exposed`, with all that is the same in a row worked out before.
        let gain = look.gain.map(|g| g * look.contrast * 255.0);
        let lift = 0.4 * (1.0 - look.contrast) * 255.0;
        for (((pixel, colour), noise), corner) in out.chunks_exact_mut(3).zip(colours).zip(sensor).zip(&self.vignette) {
            let shade = row_shade - look.vignette * corner;
            let noise = noise * look.sensor_noise;
            pixel[0] = ((colour[0] * gain[0] + lift) * shade + noise) as u8;
            pixel[1] = ((colour[1] * gain[1] + lift) * shade + noise) as u8;
            pixel[2] = ((colour[2] * gain[2] + lift) * shade + noise) as u8;
        }
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

/// Street places of a row's pixels: looked up at every eighth, between them taken as linear where the street is one straight
/// piece, as the row's ground points lie on a line.
fn find_streets(
    scene: &Scene,
    ground: &[[f32; 2]],
    local: &dyn Fn([f32; 2]) -> (f32, f32),
    places: &mut [Option<StreetPlace>],
) {
    const STEP: usize = 8;
    let find = |x: usize| {
        let (east, north) = local(ground[x]);
        scene.index.place(east, north)
    };
    let last = ground.len() - 1;
    let mut x = 0;
    while x < last {
        let next = (x + STEP).min(last);
        if ground[x][0].is_nan() || ground[next][0].is_nan() {
            for at in (x..=next).filter(|at| !ground[*at][0].is_nan()) {
                places[at] = find(at);
            }
        } else {
            let (one, other) = (find(x), find(next));
            let linear = |share: f32| match (&one, &other) {
                (None, None) => Some(None),
                (Some(a), Some(b)) => StreetPlace::between(a, b, share).map(Some),
                _ => None,
            };
            for at in x..=next {
                places[at] = linear((at - x) as f32 / (next - x) as f32).unwrap_or_else(|| find(at));
            }
        }
        x = next;
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
    let (low, high) = (look.sky_low, look.sky_high);
    [low[0] + share * (high[0] - low[0]), low[1] + share * (high[1] - low[1]), low[2] + share * (high[2] - low[2])]
}
