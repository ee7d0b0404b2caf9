//! Paints things that stand above the road, far ones first, and marks the pixels they cover.

use crate::edge::camera::{Camera, GroundPoint};
use crate::world::noise;
use crate::world::optics::Optics;
use crate::world::render::{Picture, exposed};
use crate::world::scene::{Pose, Scene};
use crate::world::things::Part;

/// Nearer to the lens than this nothing is drawn.
const NEAR_METRES: f64 = 0.3;

type Place = [f64; 3];

fn depth(camera: &Camera, place: Place) -> f64 {
    camera.camera_from_vehicle(place)[2]
}

/// A polygon in vehicle axes → its part in front of the lens, in the picture.
///
/// It is cut to a pyramid somewhat wider than the picture: far outside of it lens distortion is not defined.
fn project(camera: &Camera, polygon: &[Place]) -> Vec<(f32, f32)> {
    const SPARE: f64 = 1.25;
    let i = &camera.intrinsics;
    let wide = SPARE * 0.5 * f64::from(i.width_px) / i.focal_x_px + 0.1;
    let high = SPARE * 0.5 * f64::from(i.height_px) / i.focal_y_px + 0.1;
    // Each plane as (right, down, ahead, offset): inside where the sum is not negative.
    let mut planes = vec![[0.0, 0.0, 1.0, -NEAR_METRES]];
    if [i.k1, i.k2, i.p1, i.p2].iter().any(|k| *k != 0.0) {
        planes.extend([[1.0, 0.0, wide, 0.0], [-1.0, 0.0, wide, 0.0], [0.0, 1.0, high, 0.0], [0.0, -1.0, high, 0.0]]);
    }
    let mut kept: Vec<(Place, Place)> = polygon.iter().map(|p| (*p, camera.camera_from_vehicle(*p))).collect();
    for plane in planes {
        let side = |c: &Place| plane[0] * c[0] + plane[1] * c[1] + plane[2] * c[2] + plane[3];
        let mut next = Vec::with_capacity(kept.len() + 2);
        for (k, a) in kept.iter().enumerate() {
            let b = &kept[(k + 1) % kept.len()];
            let (da, db) = (side(&a.1), side(&b.1));
            if da >= 0.0 {
                next.push(*a);
            }
            if (da < 0.0) != (db < 0.0) {
                let mix = |a: &Place, b: &Place| [0, 1, 2].map(|i| a[i] + da / (da - db) * (b[i] - a[i]));
                next.push((mix(&a.0, &b.0), mix(&a.1, &b.1)));
            }
        }
        kept = next;
    }
    kept.iter()
        .filter_map(|(p, _)| camera.image_from_vehicle(GroundPoint { forward_metres: p[0], left_metres: p[1] }, p[2]))
        .map(|p| (p.x_px as f32, p.y_px as f32))
        .collect()
}

/// A polygon on the ground (forward, left) → its part in front of the lens, in the picture.
pub(crate) fn project_ground(camera: &Camera, polygon: &[(f64, f64)]) -> Vec<(f32, f32)> {
    let places: Vec<Place> = polygon.iter().map(|p| [p.0, p.1, 0.0]).collect();
    project(camera, &places)
}

struct Painter<'a> {
    scene: &'a Scene,
    optics: &'a Optics,
    picture: &'a mut Picture,
}

pub(crate) fn things(scene: &Scene, pose: Pose, optics: &Optics, picture: &mut Picture) {
    let mut seen: Vec<(f64, usize)> = scene
        .things
        .iter()
        .enumerate()
        .map(|(k, thing)| (pose.vehicle_from_local(thing.pose.position), k))
        .filter(|((forward, left), k)| {
            let reach = f64::from(scene.things[*k].radius_metres);
            *forward > -reach && *forward < 120.0 && left.abs() < forward.abs() * 1.6 + reach + 4.0
        })
        .map(|((forward, left), k)| (forward.hypot(left), k))
        .collect();
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut painter = Painter { scene, optics, picture };
    for (distance, k) in seen {
        let thing = &scene.things[k];
        let place = |p: [f32; 3]| -> Place {
            let (forward, left) =
                pose.vehicle_from_local(thing.pose.local_from_vehicle(f64::from(p[0]), f64::from(p[1])));
            [forward, left, f64::from(p[2])]
        };
        let mut parts: Vec<(f64, &Part)> = thing
            .parts
            .iter()
            .map(|part| {
                let middle = match part {
                    Part::Block { from, to, .. } => [0, 1, 2].map(|i| 0.5 * (from[i] + to[i])),
                    Part::Crown { middle, .. } => *middle,
                };
                let [forward, left, up] = place(middle);
                (forward.hypot(left).hypot(up - optics.camera.mounting.height_metres), part)
            })
            .collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let haze = 1.0 - (-(distance as f32 - 20.0).max(0.0) / scene.look.visibility_metres).exp();
        for (_, part) in parts {
            match part {
                Part::Block { from, to, colour, windows } => painter.block(*from, *to, *colour, *windows, &place, haze),
                Part::Crown { middle, radius, colour, seed } => {
                    painter.crown(place(*middle), *radius, *colour, *seed, haze);
                }
            }
        }
    }
}

impl Painter<'_> {
    fn block(
        &mut self,
        from: [f32; 3],
        to: [f32; 3],
        colour: [f32; 3],
        windows: bool,
        place: &dyn Fn([f32; 3]) -> Place,
        haze: f32,
    ) {
        // Each face with its outward normal in the thing's axes; only those turned to the lens are drawn.
        let (a, b) = (from, to);
        let faces: [([f32; 3], [[f32; 3]; 4], f32); 5] = [
            ([-1.0, 0.0, 0.0], [[a[0], a[1], a[2]], [a[0], b[1], a[2]], [a[0], b[1], b[2]], [a[0], a[1], b[2]]], 0.95),
            ([1.0, 0.0, 0.0], [[b[0], a[1], a[2]], [b[0], b[1], a[2]], [b[0], b[1], b[2]], [b[0], a[1], b[2]]], 0.70),
            ([0.0, -1.0, 0.0], [[a[0], a[1], a[2]], [b[0], a[1], a[2]], [b[0], a[1], b[2]], [a[0], a[1], b[2]]], 0.80),
            ([0.0, 1.0, 0.0], [[a[0], b[1], a[2]], [b[0], b[1], a[2]], [b[0], b[1], b[2]], [a[0], b[1], b[2]]], 0.60),
            ([0.0, 0.0, 1.0], [[a[0], a[1], b[2]], [b[0], a[1], b[2]], [b[0], b[1], b[2]], [a[0], b[1], b[2]]], 1.10),
        ];
        let eye = [0.0, 0.0, self.optics.camera.mounting.height_metres];
        for (normal, corners, light) in faces {
            let corner = place(corners[0]);
            let (foot, tip) = (place([0.0; 3]), place(normal));
            let facing: f64 = (0..3).map(|i| (tip[i] - foot[i]) * (eye[i] - corner[i])).sum();
            if facing <= 0.0 {
                continue;
            }
            let shaded = colour.map(|c| c * light);
            let polygon = project(&self.optics.camera, &corners.map(place));
            self.fill(&polygon, self.hazed(shaded, haze));
            if windows && normal[2] == 0.0 {
                self.windows(&corners, place, light, haze);
            }
        }
    }

    fn windows(&mut self, wall: &[[f32; 3]; 4], place: &dyn Fn([f32; 3]) -> Place, light: f32, haze: f32) {
        let side = (wall[1][0] - wall[0][0]).hypot(wall[1][1] - wall[0][1]);
        let height = wall[2][2] - wall[0][2];
        let (columns, rows) = ((side / 2.6) as usize, (height / 2.8) as usize);
        for row in 0..rows {
            for column in 0..columns {
                let across = (column as f32 + 0.5) / columns as f32;
                let (low, high) = ((row as f32 * 2.8 + 0.9) / height, (row as f32 * 2.8 + 2.2) / height);
                let (left, right) = (across - 0.55 / side, across + 0.55 / side);
                let at = |u: f32, v: f32| {
                    let p = [0, 1].map(|i| wall[0][i] + u * (wall[1][i] - wall[0][i]));
                    place([p[0], p[1], wall[0][2] + v * height])
                };
                let polygon =
                    project(&self.optics.camera, &[at(left, low), at(right, low), at(right, high), at(left, high)]);
                self.fill(&polygon, self.hazed([0.22 * light, 0.26 * light, 0.30 * light], haze));
            }
        }
    }

    fn crown(&mut self, middle: Place, radius: f32, colour: [f32; 3], seed: u32, haze: f32) {
        let depth = depth(&self.optics.camera, middle);
        if depth < 1.0 {
            return;
        }
        let ground = GroundPoint { forward_metres: middle[0], left_metres: middle[1] };
        let Some(centre) = self.optics.camera.image_from_vehicle(ground, middle[2]) else { return };
        let size = radius * (self.optics.camera.intrinsics.focal_x_px / depth) as f32;
        let (cx, cy) = (centre.x_px as f32, centre.y_px as f32);
        let (width, height) = (self.optics.width as f32, self.optics.height as f32);
        if size > 4.0 * width || cx + size < 0.0 || cy + size < 0.0 || cx - size > width || cy - size > height {
            return;
        }
        let colour = self.hazed(colour, haze);
        for y in (cy - size).max(0.0) as usize..(cy + size).clamp(0.0, height) as usize {
            for x in (cx - size).max(0.0) as usize..(cx + size).clamp(0.0, width) as usize {
                let (u, v) = ((x as f32 + 0.5 - cx) / size, (y as f32 + 0.5 - cy) / size);
                let inside = 1.0 - u.hypot(v);
                if inside < -0.01 {
                    continue;
                }
                // Leaves: ragged rim, lit from above. Without a seed it is a plain ball.
                let leaf = if seed == 0 {
                    0.5
                } else {
                    0.5 * noise::value(u * 5.0 + 20.0, v * 5.0 + 20.0, 1 << 20, seed)
                        + 0.5 * noise::value(u * 16.0 + 60.0, v * 16.0 + 60.0, 1 << 20, seed)
                };
                if inside + (leaf - 0.5) * 0.9 > 0.08 {
                    let light = 0.75 + 0.9 * (leaf - 0.5) - 0.3 * v;
                    self.set(x, y, colour.map(|c| c * light));
                }
            }
        }
    }

    fn hazed(&self, colour: [f32; 3], haze: f32) -> [f32; 3] {
        [0, 1, 2].map(|k| colour[k] + haze * (self.scene.look.sky_low[k] - colour[k]))
    }

    fn fill(&mut self, polygon: &[(f32, f32)], colour: [f32; 3]) {
        if polygon.len() < 3 {
            return;
        }
        let (top, bottom) = polygon.iter().fold((f32::MAX, f32::MIN), |b, p| (b.0.min(p.1), b.1.max(p.1)));
        let (width, height) = (self.optics.width as f32, self.optics.height as f32);
        if bottom <= 0.0 || top >= height {
            return;
        }
        for y in top.max(0.0) as usize..bottom.clamp(0.0, height).ceil() as usize {
            let line = y as f32 + 0.5;
            let (mut first, mut last) = (f32::MAX, f32::MIN);
            for (k, a) in polygon.iter().enumerate() {
                let b = polygon[(k + 1) % polygon.len()];
                if (a.1 <= line) != (b.1 <= line) {
                    let x = a.0 + (line - a.1) / (b.1 - a.1) * (b.0 - a.0);
                    (first, last) = (first.min(x), last.max(x));
                }
            }
            for x in (first + 0.5).clamp(0.0, width) as usize..(last + 0.5).clamp(0.0, width) as usize {
                self.set(x, y, colour);
            }
        }
    }

    fn set(&mut self, x: usize, y: usize, colour: [f32; 3]) {
        let look = &self.scene.look;
        let grit = 3.0 * (noise::lattice(x as i32, y as i32, 5) - 0.5) * look.sensor_noise;
        let pixel = [0, 1, 2].map(|k| exposed(colour[k], look.gain[k], look.contrast, 1.0, grit));
        self.picture.pixels.put_pixel(x as u32, y as u32, image::Rgb(pixel));
        self.picture.occluded[y * self.optics.width + x] = true;
    }
}
