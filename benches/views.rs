//! Simulated views for the trial of blind detection: a vehicle's camera through the simulated town, and a pool's fixed camera.
//!
//! All is simulated: light from before dawn to night, exposure, a sensor's noise, vibration, hills, standing, lorries ahead,
//! bridges, sun from ahead in bends, drops on the windscreen; waves, people, sun through windows. Pictures are 256 × 144; a
//! vehicle's come from loops that are rendered once and driven again under other light.

use std::f64::consts::TAU;
use std::sync::OnceLock;

use image::{Rgb, RgbImage};
use time::macros::datetime;
use umsicht::edge::camera::{Camera, Intrinsics};
use umsicht::world::dice::Dice;
use umsicht::world::optics::Optics;
use umsicht::world::render::Renderer;
use umsicht::world::source::windscreen_camera;
use umsicht::world::{Drive, Split, Town};

pub const WIDTH_PX: u32 = 256;
pub const HEIGHT_PX: u32 = 144;
pub const LOOKS_PER_SECOND: u32 = 2;
/// Rendered beyond the picture, so that the camera can vibrate and be moved.
const MARGIN_X_PX: u32 = 16;
const MARGIN_Y_PX: u32 = 18;
/// Of the rendered picture; the cut-out picture then shows 65°.
const RENDERED_FOV_DEGREES: f64 = 71.26;

/// One look of a camera.
pub struct View {
    pub picture: RgbImage,
    /// The vehicle drives; always at a pool.
    pub moves: bool,
}

/// How far the camera was turned: the picture's content moves by so many pixels.
pub type Turned = (i64, i64);

/// A simulated camera; a copy goes on as the original would.
pub trait Watched: Clone {
    fn next(&mut self, turned: Turned) -> View;
}

/// Pictures of one loop through one town.
pub struct Loop(Vec<RgbImage>);

impl Loop {
    /// Of the whole loop, or of its first pictures.
    pub fn render(seed: u64, at_most: usize) -> Self {
        let town = Town::generate(seed, Split::Test);
        let drive = Drive::new(&town.route, datetime!(2026-03-17 08:00 UTC), std::time::Duration::from_secs(90));
        let (width, height) = (WIDTH_PX + 2 * MARGIN_X_PX, HEIGHT_PX + 2 * MARGIN_Y_PX);
        let mounting = windscreen_camera(width, height).mounting;
        let intrinsics = Intrinsics::from_horizontal_fov(width, height, RENDERED_FOV_DEGREES);
        let renderer = Renderer::new(Optics::new(Camera::new(intrinsics, mounting)));
        let mut pictures = Vec::new();
        for number in 0_u32.. {
            let elapsed = f64::from(number) / f64::from(LOOKS_PER_SECOND);
            if drive.along_at(elapsed) > town.route.length_metres() || pictures.len() >= at_most {
                break;
            }
            let pose = drive.pose_at(drive.started_at + time::Duration::seconds_f64(elapsed));
            pictures.push(renderer.render(&town.scene, pose, number).pixels);
        }
        Self(pictures)
    }
}

/// What a vehicle does.
#[derive(Clone)]
enum Doing {
    Driving,
    Standing { lorry: Option<[f32; 3]> },
}

#[derive(Clone)]
pub struct Road<'l> {
    loops: &'l [Loop],
    dice: Dice,
    bonnet: bool,
    hour: f64,
    seconds: f64,
    town: usize,
    frame: usize,
    doing: Doing,
    doing_until: f64,
    town_until: f64,
    exposure: f64,
    cloud: f64,
    bridge_until: f64,
    glare_until: f64,
    drops: Vec<(f64, f64, f64)>,
    hill_phase: f64,
}

impl<'l> Road<'l> {
    pub fn new(loops: &'l [Loop], seed: u64, starts_at_hour: f64) -> Self {
        let mut dice = Dice::new(seed, 70);
        let bonnet = dice.chance(0.5);
        Self {
            loops,
            bonnet,
            hour: starts_at_hour,
            seconds: 0.0,
            town: 0,
            frame: 0,
            doing: Doing::Driving,
            doing_until: 60.0,
            town_until: 0.0,
            exposure: 1.0,
            cloud: 1.0,
            bridge_until: 0.0,
            glare_until: 0.0,
            drops: Vec::new(),
            hill_phase: dice.between(0.0, 6.0),
            dice,
        }
    }

    /// Sun above the horizon: 0 at night, 1 by day; civil dawn takes half an hour.
    fn daylight(&self) -> f64 {
        let rising = (self.hour - 6.75) / 0.6;
        let setting = (17.6 - self.hour) / 0.6;
        rising.min(setting).clamp(0.0, 1.0)
    }

    fn step(&mut self) {
        let step = 1.0 / f64::from(LOOKS_PER_SECOND);
        self.seconds += step;
        self.hour += step / 3600.0;
        let dice = &mut self.dice;
        if self.seconds >= self.doing_until {
            let standing = matches!(self.doing, Doing::Driving);
            self.doing = if standing {
                let lorry = dice.chance(0.35).then(|| [0.0; 3].map(|_: f32| dice.between(40.0, 225.0) as f32));
                Doing::Standing { lorry }
            } else {
                Doing::Driving
            };
            let lasts = if standing { dice.between(3.0, 90.0) } else { dice.between(20.0, 180.0) };
            self.doing_until = self.seconds + lasts;
        }
        if self.seconds >= self.town_until {
            self.town = dice.index(self.loops.len());
            self.town_until = self.seconds + dice.between(120.0, 900.0);
            self.drops.clear();
            if dice.chance(0.25) {
                let drop = |dice: &mut Dice| (dice.unit(), dice.unit(), dice.between(0.015, 0.06));
                self.drops = (0..18).map(|_| drop(dice)).collect();
            }
        }
        if matches!(self.doing, Doing::Driving) {
            self.frame += 1;
            if dice.chance(step / 900.0) {
                self.bridge_until = self.seconds + dice.between(1.0, 3.5);
            }
            if dice.chance(step / 240.0) {
                self.glare_until = self.seconds + dice.between(0.5, 2.5);
            }
        }
        self.cloud = (self.cloud + 0.03 * dice.gauss()).clamp(0.55, 1.25);
        self.exposure += 0.3 * (1.0 / self.cloud - self.exposure);
    }

    fn light(&mut self, picture: &mut RgbImage, turned: Turned) {
        let day = self.daylight();
        let bridge = if self.seconds < self.bridge_until { 0.04 } else { 1.0 };
        let gain = (day * self.cloud * self.exposure * bridge) as f32;
        let noise = Noise::new(&mut self.dice, 1.0 + 3.5 * (1.0 - day));
        let veil = if self.seconds < self.glare_until && day > 0.3 { 0.85 } else { 0.0 };
        let (width, height) = (f64::from(WIDTH_PX), f64::from(HEIGHT_PX));
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            // At night the lamps light the road ahead, next to nothing above the horizon.
            let (u, v) = (f64::from(x) / width - 0.5, f64::from(y) / height);
            // The lamps are the vehicle's: what they light moves in the picture when the camera is turned.
            let (u_lit, v_lit) = (u - turned.0 as f64 / width, v - turned.1 as f64 / height);
            let cone =
                if v_lit > 0.28 { (1.0 - 1.6 * u_lit.abs()).max(0.05) * (1.0 - (v_lit - 0.55).abs()) } else { 0.02 };
            let lit = gain.max((0.85 * cone * (1.0 - day)) as f32);
            let around = ((u - 0.1).powi(2) + (v - 0.25).powi(2)).sqrt();
            let white = (veil * (1.3 - 1.2 * around).clamp(0.0, 1.0)) as f32;
            let grain = noise.at(x, y);
            for value in &mut pixel.0 {
                let seen = f32::from(*value) * lit;
                *value = (seen + white * (255.0 - seen) + grain) as u8;
            }
        }
        let wiped = self.dice.chance(0.4);
        for (u, v, radius) in if wiped { &[][..] } else { &self.drops[..] } {
            blot(picture, *u, *v, *radius);
        }
    }
}

impl Watched for Road<'_> {
    fn next(&mut self, turned: Turned) -> View {
        self.step();
        let pictures = &self.loops[self.town].0;
        let base = &pictures[self.frame % pictures.len()];
        let moves = matches!(self.doing, Doing::Driving);
        let hill = 3.5 * (self.seconds * TAU / 71.0 + self.hill_phase).sin() * (self.seconds * TAU / 610.0).sin();
        let shake = if moves { 0.9 } else { 0.0 };
        let (dx, dy) = (shake * self.dice.gauss(), hill + shake * self.dice.gauss());
        let left = (i64::from(MARGIN_X_PX) + dx.round() as i64 - turned.0).clamp(0, 2 * i64::from(MARGIN_X_PX));
        let top = (i64::from(MARGIN_Y_PX) + dy.round() as i64 - turned.1).clamp(0, 2 * i64::from(MARGIN_Y_PX));
        let cut = image::imageops::crop_imm(base, left as u32, top as u32, WIDTH_PX, HEIGHT_PX);
        let mut picture = cut.to_image();
        if let Doing::Standing { lorry: Some(colour) } = self.doing {
            paint_lorry(&mut picture, colour);
        }
        if self.bonnet {
            // Fixed to the vehicle: it moves in the picture only when the camera is turned.
            let edge = i64::from(HEIGHT_PX) * 88 / 100 + turned.1;
            for x in 0..WIDTH_PX {
                let bow = ((f64::from(x) - turned.0 as f64) / f64::from(WIDTH_PX) - 0.5).powi(2) * 40.0;
                let from = (edge + bow as i64).clamp(0, i64::from(HEIGHT_PX)) as u32;
                (from..HEIGHT_PX).for_each(|y| picture.put_pixel(x, y, Rgb([30, 34, 40])));
            }
        }
        self.light(&mut picture, turned);
        View { picture, moves }
    }
}

/// A sensor's noise from a table, shifted anew for each picture.
pub struct Noise {
    table: &'static [f32],
    shift: usize,
    sigma: f32,
}

impl Noise {
    const SIZE: usize = 8191;

    pub fn new(dice: &mut Dice, sigma: f64) -> Self {
        static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
        let table = TABLE.get_or_init(|| {
            let mut dice = Dice::new(0, 73);
            (0..Self::SIZE).map(|_| dice.gauss() as f32).collect()
        });
        Self { table, shift: dice.index(Self::SIZE), sigma: sigma as f32 }
    }

    pub fn at(&self, x: u32, y: u32) -> f32 {
        self.sigma * self.table[(self.shift + x as usize + 1009 * y as usize) % Self::SIZE]
    }
}

/// The back of a lorry that fills most of the view.
fn paint_lorry(picture: &mut RgbImage, colour: [f32; 3]) {
    let (left, right, top, bottom) = (WIDTH_PX / 5, WIDTH_PX * 4 / 5, HEIGHT_PX / 12, HEIGHT_PX * 7 / 10);
    for y in top..bottom {
        for x in left..right {
            let seam = (x - left) % 75 < 2 || y > bottom - 8;
            let plate = y > bottom - 22 && y < bottom - 15 && x.abs_diff(WIDTH_PX / 2) < 14;
            let shade = if plate {
                1.6
            } else if seam {
                0.6
            } else {
                1.0 - 0.1 * (y - top) as f32 / 100.0
            };
            picture.put_pixel(x, y, Rgb(colour.map(|c| (c * shade) as u8)));
        }
    }
}

/// A drop: what lies behind it runs together.
fn blot(picture: &mut RgbImage, u: f64, v: f64, radius: f64) {
    let (x, y, r) = ((u * 256.0) as i64, (v * 144.0) as i64, (radius * 256.0) as i64);
    let places: Vec<(u32, u32)> = (-r..=r)
        .flat_map(|dy| (-r..=r).map(move |dx| (dx, dy)))
        .filter(|(dx, dy)| dx * dx + dy * dy <= r * r)
        .map(|(dx, dy)| (x + dx, y + dy))
        .filter(|(x, y)| (0..i64::from(WIDTH_PX)).contains(x) && (0..i64::from(HEIGHT_PX)).contains(y))
        .map(|(x, y)| (x as u32, y as u32))
        .collect();
    let mut sum = [0_u32; 3];
    for (x, y) in &places {
        let pixel = picture.get_pixel(*x, *y).0;
        (0..3).for_each(|k| sum[k] += u32::from(pixel[k]));
    }
    let count = places.len().max(1) as u32;
    for (x, y) in places {
        let pixel = picture.get_pixel_mut(x, y);
        (0..3).for_each(|k| pixel.0[k] = ((u32::from(pixel.0[k]) + 3 * sum[k] / count) / 4) as u8);
    }
}

#[derive(Clone)]
struct Swimmer {
    at: (f64, f64),
    heading: f64,
    tone: f32,
}

/// A hall with lanes, seen by a fixed camera.
#[derive(Clone)]
pub struct Pool {
    dice: Dice,
    hour: f64,
    seconds: f64,
    swimmers: Vec<Swimmer>,
    wanted: usize,
    last: Option<RgbImage>,
    repeats_until: f64,
}

impl Pool {
    pub fn new(seed: u64, starts_at_hour: f64) -> Self {
        let dice = Dice::new(seed, 71);
        Self { dice, hour: starts_at_hour, seconds: 0.0, swimmers: vec![], wanted: 6, last: None, repeats_until: 0.0 }
    }

    fn swim(&mut self, step: f64) {
        let dice = &mut self.dice;
        if self.swimmers.len() < self.wanted && dice.chance(0.1) {
            let at = (dice.between(0.1, 0.9), dice.between(0.35, 0.9));
            let tone = dice.between(90.0, 200.0) as f32;
            self.swimmers.push(Swimmer { at, heading: dice.between(0.0, TAU), tone });
        } else if self.swimmers.len() > self.wanted && dice.chance(0.1) {
            self.swimmers.pop();
        }
        for swimmer in &mut self.swimmers {
            swimmer.heading += 0.3 * dice.gauss();
            let (sin, cos) = swimmer.heading.sin_cos();
            swimmer.at.0 = (swimmer.at.0 + 0.03 * step * cos).clamp(0.03, 0.97);
            swimmer.at.1 = (swimmer.at.1 + 0.02 * step * sin).clamp(0.32, 0.95);
        }
    }

    fn paint(&mut self, turned: Turned) -> RgbImage {
        let day = ((self.hour - 6.75) / 0.6).min((17.6 - self.hour) / 0.6).clamp(0.0, 1.0);
        let noise = Noise::new(&mut self.dice, 1.5);
        let (sun, time) = ((self.hour - 6.0) / 12.0, self.seconds);
        let mut picture = RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |x, y| {
            let u = (f64::from(x) - turned.0 as f64) / f64::from(WIDTH_PX);
            let v = (f64::from(y) - turned.1 as f64) / f64::from(HEIGHT_PX);
            let wave = (u * 61.0 + v * 43.0 + time * 1.9).sin() * (u * 23.0 - v * 71.0 - time * 1.3).sin();
            let [r, g, b] = if v < 0.24 {
                // The far wall and its windows.
                let window = (u * 8.0).fract() > 0.25 && (0.04..0.19).contains(&v);
                if window {
                    [40.0 + 190.0 * day, 45.0 + 195.0 * day, 60.0 + 190.0 * day]
                } else {
                    [150.0, 145.0, 135.0]
                }
            } else if v < 0.3 {
                let joint = (u * 40.0).fract() < 0.12;
                if joint { [120.0; 3] } else { [178.0, 174.0, 165.0] }
            } else {
                let lane = ((u - 0.5) / (0.3 + v) * 6.0 + 60.0).fract();
                let line = lane < 0.05;
                let float = line && (v * 60.0).fract() < 0.5;
                let ripple = 9.0 * wave;
                if float {
                    [190.0, 60.0, 50.0]
                } else if line {
                    [225.0; 3]
                } else {
                    [60.0 + ripple, 135.0 + ripple, 165.0 + ripple]
                }
            };
            // The sun's patch wanders over the water.
            let patch = (u - sun).abs() < 0.08 + 0.05 * v && v > 0.3;
            let gain = (0.75 + 0.25 * day) * if patch { 1.0 + 0.45 * day } else { 1.0 };
            let grain = f64::from(noise.at(x, y));
            Rgb([r, g, b].map(|c: f64| (c * gain + grain) as u8))
        });
        for swimmer in &self.swimmers {
            let (x, y) = ((swimmer.at.0 * 256.0) as i64 + turned.0, (swimmer.at.1 * 144.0) as i64 + turned.1);
            for dy in -2..=2_i64 {
                for dx in -5..=5_i64 {
                    let (px, py) = (x + dx, y + dy);
                    if (0..i64::from(WIDTH_PX)).contains(&px) && (0..i64::from(HEIGHT_PX)).contains(&py) {
                        let tone = swimmer.tone * (1.0 - 0.05 * (dx.abs() + dy.abs()) as f32);
                        picture.put_pixel(
                            px as u32,
                            py as u32,
                            Rgb([tone as u8, (0.8 * tone) as u8, (0.7 * tone) as u8]),
                        );
                    }
                }
            }
        }
        picture
    }
}

impl Watched for Pool {
    fn next(&mut self, turned: Turned) -> View {
        let step = 1.0 / f64::from(LOOKS_PER_SECOND);
        self.seconds += step;
        self.hour += step / 3600.0;
        if self.dice.chance(step / 600.0) {
            self.wanted = self.dice.index(22);
        }
        self.swim(step);
        // An empty pool, strongly compressed: the encoder repeats its picture for up to two seconds.
        if self.swimmers.is_empty() {
            if self.seconds < self.repeats_until
                && turned == (0, 0)
                && let Some(last) = &self.last
            {
                return View { picture: last.clone(), moves: true };
            }
            self.repeats_until = self.seconds + self.dice.between(0.5, 2.0);
        }
        let picture = self.paint(turned);
        self.last = Some(picture.clone());
        View { picture, moves: true }
    }
}

/// What can happen to a camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Harm {
    NoFrames,
    Frozen,
    /// All light gone, but for so much of it.
    Dark {
        left: f32,
    },
    Glare {
        veil: f32,
    },
    /// Something of this luma before the lens; light comes in along one side, which leaves the rim of the picture open.
    Covered {
        luma: f32,
        slope: f32,
        open_share: f32,
    },
    /// Standard deviation of the blur as a share of the picture's width; what is left of the contrast.
    Defocused {
        blur_share: f32,
        contrast: f32,
    },
    Moved(Turned),
}

/// Does to a picture what happens to the camera; what acts on frames or on the view is done by the trial.
pub fn harmed(picture: RgbImage, harm: Harm, dice: &mut Dice) -> RgbImage {
    let noise = Noise::new(dice, 1.5);
    let (width, height) = picture.dimensions();
    let per_pixel = |mut picture: RgbImage, change: &dyn Fn(u32, u32, f32) -> f32| {
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let grain = noise.at(x, y);
            pixel.0 = pixel.0.map(|value| (change(x, y, f32::from(value)) + grain) as u8);
        }
        picture
    };
    match harm {
        Harm::NoFrames | Harm::Frozen | Harm::Moved(_) => picture,
        Harm::Dark { left } => per_pixel(picture, &|_, _, value| value * left),
        Harm::Glare { veil } => per_pixel(picture, &|_, _, value| value + veil * (290.0 - value)),
        Harm::Covered { luma, slope, open_share } => per_pixel(picture, &|x, y, value| {
            if (x as f32) < open_share * width as f32 { value } else { luma + slope * (y as f32 / height as f32 - 0.5) }
        }),
        Harm::Defocused { blur_share, contrast } => {
            let blurred = image::imageops::blur(&picture, blur_share * width as f32);
            per_pixel(blurred, &|_, _, value| 140.0 + contrast * (value - 140.0))
        }
    }
}
