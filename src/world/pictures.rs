//! Pictures with labels for training a road model: `umsicht simulate pictures`.
//!
//! Every picture is another place, light, surface and camera; about three in ten show no damage, and all show covers,
//! drains and stains, which are none. Labels are YOLO text: `class cx cy w h`, normalised, classes in the order of
//! `classes.txt`. Masks are grey PNG of the picture's size: 1 crack, 2 pothole, 0 all else.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, Luma};

use crate::edge::camera::{Camera, ImagePoint, Intrinsics, Mounting};
use crate::geo::EastNorth;
use crate::schema::damage::DamageClass;
use crate::world::damage::{Damage, Visibility, VisibleDamage};
use crate::world::dice::Dice;
use crate::world::look::Look;
use crate::world::optics::Optics;
use crate::world::render::{Picture, Renderer};
use crate::world::roadside;
use crate::world::scene::{Pose, Scene};
use crate::world::split::Split;
use crate::world::street::{Street, StreetIndex};
use crate::world::style;
use crate::world::textures::Textures;
use crate::world::things;

#[derive(Debug, Clone)]
pub struct PicturesJob {
    pub split: Split,
    pub count: u32,
    pub seed: u64,
    pub out: PathBuf,
    pub width_px: u32,
    pub height_px: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    #[error("{path}: cannot write: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path}: cannot encode the picture: {source}")]
    Encode { path: PathBuf, source: image::ImageError },
}

/// How many pictures and boxes were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PicturesSummary {
    pub pictures: u32,
    pub without_damage: u32,
    pub boxes: u32,
}

/// Writes `images/`, `labels/`, `masks/` and `classes.txt` under the job's folder; `progress` hears of every picture done.
pub fn run(job: &PicturesJob, mut progress: impl FnMut(PicturesSummary)) -> Result<PicturesSummary, PicturesError> {
    let (images, labels, masks) = (job.out.join("images"), job.out.join("labels"), job.out.join("masks"));
    for folder in [&images, &labels, &masks] {
        fs::create_dir_all(folder).map_err(|source| PicturesError::Write { path: folder.clone(), source })?;
    }
    let names = DamageClass::ALL.map(DamageClass::code).join("\n") + "\n";
    write(&job.out.join("classes.txt"), names.as_bytes())?;
    let textures = Arc::new(Textures::generate(job.seed, job.split, 8));
    let mut summary = PicturesSummary::default();
    for number in 0..job.count {
        let mut dice = Dice::new(job.split.seed(job.seed), 1000 + u64::from(number));
        let shot = Shot::take(job.split, &textures, (job.width_px, job.height_px), &mut dice);
        let path = images.join(format!("{number:06}.jpg"));
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 82 + dice.index(14) as u8)
            .encode_image(&shot.picture.pixels)
            .map_err(|source| PicturesError::Encode { path: path.clone(), source })?;
        write(&path, &jpeg)?;
        write(&labels.join(format!("{number:06}.txt")), shot.labels().as_bytes())?;
        let path = masks.join(format!("{number:06}.png"));
        shot.mask.save(&path).map_err(|source| PicturesError::Encode { path, source })?;
        summary.pictures += 1;
        summary.boxes += shot.visible.len() as u32;
        summary.without_damage += u32::from(shot.visible.is_empty());
        progress(summary);
    }
    Ok(summary)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PicturesError> {
    fs::write(path, bytes).map_err(|source| PicturesError::Write { path: path.to_owned(), source })
}

/// One picture with what it shows.
#[derive(Debug)]
pub struct Shot {
    pub picture: Picture,
    pub visible: Vec<VisibleDamage>,
    /// 1 where a crack is seen, 2 where a pothole is.
    pub mask: GrayImage,
}

impl Shot {
    #[must_use]
    pub fn take(split: Split, textures: &Arc<Textures>, size_px: (u32, u32), dice: &mut Dice) -> Self {
        let family = split.family();
        let town = dice.chance(0.55);
        let half_width = if town { dice.between(2.4, 4.2) } else { dice.between(3.0, 4.6) };
        let bend = if dice.chance(0.4) { dice.sign() / dice.between(60.0, 400.0) } else { 0.0 };
        let mut streets = vec![Street {
            name: String::new(),
            highway: "residential",
            points: bent_line(bend, dice),
            half_width_metres: half_width as f32,
            surface: style::surface(town, half_width as f32, textures, dice),
        }];
        let start = 30.0;
        if dice.chance(0.25) {
            streets.push(crossing(&streets[0], start + dice.between(8.0, 35.0), town, textures, dice));
        }
        let index = StreetIndex::new(&streets);
        let look = Look::choose(&family, dice);
        let street = &streets[0];
        let lane = -0.5 * half_width + dice.between(-0.5, 0.5);
        let mut pose = roadside::on_street(street, start, lane);
        pose.heading_degrees += dice.between(-3.0, 3.0);

        let camera = camera(size_px, dice);
        let nearest = nearest_metres(&camera);
        let mut damages: Vec<Damage> = Vec::new();
        if !dice.chance(0.28) {
            let wanted = 1 + dice.index(6);
            for _ in 0..wanted * 3 {
                if damages.len() == wanted {
                    break;
                }
                let class = DamageClass::ALL[dice.index(5)];
                let severity = 1 + dice.index(3) as u8;
                // Nearer places more often: there the picture shows most.
                let ahead = nearest + (22.0 - nearest).max(4.0) * dice.unit().powf(1.5);
                let left = dice.between(-half_width + 0.6, half_width - 0.6);
                let place = roadside::on_street(street, start + ahead, left);
                let damage = Damage::new(damages.len(), class, severity, place, &family, dice);
                let apart = |d: &Damage| {
                    d.pose.position.distance_metres(place.position)
                        > 0.75 * (d.reach_metres() + damage.reach_metres()) + 0.2
                };
                let room = left.abs() + 0.5 * damage.width_metres < half_width;
                if room && damages.iter().all(apart) {
                    damages.push(damage);
                }
            }
        }
        let span = (start - 2.0, start + 90.0);
        let free = |place: EastNorth, reach: f64| {
            damages.iter().all(|d| d.pose.position.distance_metres(place) > reach + d.reach_metres())
        };
        let mut decals = roadside::decoys(street, (start, start + 40.0), dice.between(2.5, 10.0), dice, free);
        decals.extend(damages.iter().map(Damage::decal));
        let mut standing = Vec::new();
        let keep_clear: Vec<EastNorth> = (0..5).map(|k| pose.local_from_vehicle(f64::from(k) - 0.5, 0.0)).collect();
        for street in &streets {
            let (more, shadows) = roadside::furnish(street, span, town, &look, &index, &keep_clear, dice);
            standing.extend(more);
            decals.extend(shadows);
        }
        if dice.chance(0.35) {
            // Somebody on the road: ahead in the lane, or oncoming.
            let oncoming = dice.chance(0.5);
            let left = if oncoming { 0.5 * half_width } else { -0.5 * half_width };
            let mut place = roadside::on_street(street, start + dice.between(9.0, 40.0), left);
            let shadow = roadside::under_car(place, look.shadow_depth);
            if oncoming {
                place.heading_degrees += 180.0;
            }
            decals.push(shadow);
            standing.push(things::car(place, dice));
        }
        let optics = Optics::new(camera);
        let scene = Scene { streets, index, decals, things: standing, look, textures: Arc::clone(textures) };
        let renderer = Renderer::new(optics);
        let picture = renderer.render(&scene, pose, dice.seed() as u32);
        let camera = &renderer.optics.camera;
        let visible: Vec<VisibleDamage> =
            damages.iter().filter_map(|d| d.seen(camera, pose, &picture, &Visibility::LABEL)).collect();
        let mut mask = GrayImage::new(picture.pixels.width(), picture.pixels.height());
        for seen in &visible {
            draw_mask(&mut mask, &damages[seen.id], seen, camera, pose, &picture);
        }
        Self { picture, visible, mask }
    }

    /// YOLO text, one line per box.
    #[must_use]
    pub fn labels(&self) -> String {
        let (width, height) = (self.picture.pixels.width() as f32, self.picture.pixels.height() as f32);
        let mut text = String::new();
        for damage in &self.visible {
            let b = damage.box_in_image;
            let class = DamageClass::ALL.iter().position(|c| *c == damage.class).unwrap_or_default();
            let (cx, cy) = (0.5 * (b.x0 + b.x1) / width, 0.5 * (b.y0 + b.y1) / height);
            let _ =
                writeln!(text, "{class} {cx:.6} {cy:.6} {:.6} {:.6}", (b.x1 - b.x0) / width, (b.y1 - b.y0) / height);
        }
        text
    }
}

/// Marks the pixels in a damage's box that its crack or hole colours.
fn draw_mask(
    mask: &mut GrayImage,
    damage: &Damage,
    seen: &VisibleDamage,
    camera: &Camera,
    pose: Pose,
    picture: &Picture,
) {
    let value = match damage.class {
        DamageClass::LongitudinalCrack | DamageClass::TransverseCrack | DamageClass::AlligatorCrack => Luma([1]),
        DamageClass::Pothole => Luma([2]),
        DamageClass::Repair => return,
    };
    let b = seen.box_in_image;
    for y in b.y0 as u32..(b.y1.ceil() as u32).min(mask.height()) {
        for x in b.x0 as u32..(b.x1.ceil() as u32).min(mask.width()) {
            if picture.occluded[(y * mask.width() + x) as usize] {
                continue;
            }
            let pixel = ImagePoint { x_px: f64::from(x) + 0.5, y_px: f64::from(y) + 0.5 };
            let Some(ground) = camera.ground_from_image(pixel) else { continue };
            let place = pose.local_from_vehicle(ground.forward_metres, ground.left_metres);
            if damage.colours(place, ground.forward_metres / camera.intrinsics.focal_x_px) {
                mask.put_pixel(x, y, value);
            }
        }
    }
}

/// A camera as survey vehicles and windscreens carry them.
fn camera((width_px, height_px): (u32, u32), dice: &mut Dice) -> Camera {
    let mut intrinsics = Intrinsics::from_horizontal_fov(width_px, height_px, dice.between(45.0, 80.0));
    if dice.chance(0.15) {
        intrinsics.k1 = dice.between(-0.12, 0.0);
    }
    let mounting = Mounting {
        height_metres: dice.between(1.2, 2.6),
        pitch_degrees: dice.between(4.0, 25.0),
        roll_degrees: 0.8 * dice.gauss(),
        yaw_degrees: 2.0 * dice.gauss(),
        height_sigma_metres: 0.02,
        pitch_sigma_degrees: 0.3,
        roll_sigma_degrees: 0.3,
        yaw_sigma_degrees: 0.3,
    };
    Camera::new(intrinsics, mounting)
}

/// The nearest ground that the middle of the picture's lower edge shows.
fn nearest_metres(camera: &Camera) -> f64 {
    let i = camera.intrinsics;
    let lowest = ImagePoint { x_px: i.centre_x_px, y_px: f64::from(i.height_px) };
    camera.ground_from_image(lowest).map_or(3.0, |g| g.forward_metres.clamp(1.0, 15.0))
}

/// 150 m of street with a constant bend (1/metres), in a random direction.
fn bent_line(bend: f64, dice: &mut Dice) -> Vec<EastNorth> {
    let step = if bend == 0.0 { 150.0 } else { 2.0 };
    let mut heading = dice.between(0.0, std::f64::consts::TAU);
    let mut at = EastNorth::new(dice.between(-150.0, 150.0), dice.between(-150.0, 150.0));
    let mut points = vec![at];
    for _ in 0..(150.0 / step) as usize {
        at = EastNorth::new(at.east_metres + step * heading.sin(), at.north_metres + step * heading.cos());
        heading += bend * step;
        points.push(at);
    }
    points
}

fn crossing(main: &Street, along: f64, town: bool, textures: &Textures, dice: &mut Dice) -> Street {
    let at = roadside::on_street(main, along, 0.0);
    let turned = Pose { heading_degrees: at.heading_degrees + dice.between(60.0, 120.0), ..at };
    let half_width = dice.between(2.2, 3.2) as f32;
    Street {
        name: String::new(),
        highway: "residential",
        points: vec![turned.local_from_vehicle(-80.0, 0.0), turned.local_from_vehicle(80.0, 0.0)],
        half_width_metres: half_width,
        surface: style::surface(town, half_width, textures, dice),
    }
}
