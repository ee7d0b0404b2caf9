//! Rendered checkerboards through the whole way: picture → corners → lens → mounting.

use nalgebra::{Rotation3, Vector3};

use crate::edge::calibrate::board::{Board, BoardError, find};
use crate::edge::calibrate::flat::{flat_board, on_road};
use crate::edge::calibrate::grey::Grey;
use crate::edge::calibrate::lens::{LensError, lens};
use crate::edge::camera::{Camera, ImagePoint, Intrinsics, Mounting};

const WIDTH: usize = 640;
const HEIGHT: usize = 400;
const HELD: Board = Board { columns: 9, rows: 6, square_metres: 0.03 };
const LAID: Board = Board { columns: 9, rows: 6, square_metres: 0.12 };
const SAMPLES: [f64; 2] = [0.25, 0.75];

/// Numbers from 0 to 1 that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.roll()
    }
}

/// Brightness of the board at a place (from its first inner corner, metres): squares, a white margin, `None` outside.
fn board_brightness(board: &Board, x: f64, y: f64) -> Option<f32> {
    let (column, row) = (x / board.square_metres, y / board.square_metres);
    let (columns, rows) = (board.columns as f64, board.rows as f64);
    let within = |margin: f64| {
        column >= -1.0 - margin && column < columns + margin && row >= -1.0 - margin && row < rows + margin
    };
    if within(0.0) {
        let odd = (column.floor() + row.floor()).rem_euclid(2.0) > 0.5;
        Some(if odd { 215.0 } else { 35.0 })
    } else {
        within(0.5).then_some(220.0)
    }
}

/// Four rays a pixel, of a lens; taken out once for many pictures.
fn rays(lens: &Intrinsics) -> Vec<[f64; 2]> {
    let mut rays = Vec::with_capacity(WIDTH * HEIGHT * 4);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            for (dx, dy) in SAMPLES.iter().flat_map(|dx| SAMPLES.map(|dy| (*dx, dy))) {
                let (px, py) = (x as f64 + dx, y as f64 + dy);
                let ray = lens
                    .undistort((px - lens.centre_x_px) / lens.focal_x_px, (py - lens.centre_y_px) / lens.focal_y_px);
                rays.push([ray.0, ray.1]);
            }
        }
    }
    rays
}

/// `brightness` of each ray, blurred as a lens does, with the noise of a sensor.
fn picture(rays: &[[f64; 2]], seed: u64, brightness: impl Fn([f64; 2]) -> Option<f32>) -> Grey {
    let mut dice = Dice(seed);
    let values = rays
        .chunks_exact(4)
        .enumerate()
        .map(|(k, four)| {
            // A floor with large soft spots.
            let behind = 95.0 + 20.0 * ((k % WIDTH) as f32 * 0.031).sin() * ((k / WIDTH) as f32 * 0.023).cos();
            four.iter().map(|ray| brightness(*ray).unwrap_or(behind)).sum::<f32>() / 4.0
        })
        .collect();
    let mut grey = Grey { width: WIDTH, height: HEIGHT, values }.blurred(0.6);
    for value in &mut grey.values {
        // The sum of four even ones is nearly normal; sigma about 3.5.
        let noise: f64 = (0..4).map(|_| dice.between(-3.0, 3.0)).sum();
        *value = (*value + noise as f32).round().clamp(0.0, 255.0);
    }
    grey
}

fn held(rays: &[[f64; 2]], turn: &Rotation3<f64>, place: &Vector3<f64>, seed: u64) -> Grey {
    let (right, down, away) = (turn * Vector3::x(), turn * Vector3::y(), turn * Vector3::z());
    picture(rays, seed, |[x, y]| {
        let ray = Vector3::new(x, y, 1.0);
        let on_plane = ray * (away.dot(place) / away.dot(&ray)) - place;
        board_brightness(&HELD, on_plane.dot(&right), on_plane.dot(&down))
    })
}

fn project(lens: &Intrinsics, turn: &Rotation3<f64>, place: &Vector3<f64>, x: f64, y: f64) -> ImagePoint {
    let p = turn * Vector3::new(x, y, 0.0) + place;
    let (dx, dy) = lens.distort(p.x / p.z, p.y / p.z);
    ImagePoint { x_px: dx * lens.focal_x_px + lens.centre_x_px, y_px: dy * lens.focal_y_px + lens.centre_y_px }
}

/// A pose in which the whole board is in the picture.
fn pose(lens: &Intrinsics, dice: &mut Dice, tilt_degrees: f64) -> (Rotation3<f64>, Vector3<f64>) {
    loop {
        let tilt = |dice: &mut Dice| dice.between(-tilt_degrees, tilt_degrees).to_radians();
        let (pitch, yaw, roll) = (tilt(dice), tilt(dice), dice.between(-0.6, 0.6));
        let turn = Rotation3::from_euler_angles(pitch, yaw, roll);
        let away = dice.between(0.3, 0.5);
        let place = Vector3::new(dice.between(-0.3, 0.1), dice.between(-0.2, 0.1), away);
        let far = 0.03 * 1.6;
        let ends = [(-far, -far), (0.24 + far, -far), (-far, 0.15 + far), (0.24 + far, 0.15 + far)];
        let inside = ends.iter().all(|(x, y)| {
            let p = project(lens, &turn, &place, *x, *y);
            p.x_px > 4.0 && p.y_px > 4.0 && p.x_px < WIDTH as f64 - 4.0 && p.y_px < HEIGHT as f64 - 4.0
        });
        if inside {
            return (turn, place);
        }
    }
}

fn distorted(fov_degrees: f64, k1: f64, k2: f64) -> Intrinsics {
    let ideal = Intrinsics::from_horizontal_fov(WIDTH as u32, HEIGHT as u32, fov_degrees);
    Intrinsics {
        focal_y_px: ideal.focal_y_px * 1.004,
        centre_x_px: ideal.centre_x_px + 5.0,
        centre_y_px: ideal.centre_y_px - 4.0,
        k1,
        k2,
        p1: 0.0006,
        p2: -0.0004,
        ..ideal
    }
}

#[test]
fn a_lens_is_found_within_one_percent_and_its_corners_to_a_fraction_of_a_pixel() {
    for (number, (fov, k1, k2)) in (0..).zip([(60.0, -0.18, 0.04), (85.0, -0.25, 0.06), (45.0, 0.08, 0.0)]) {
        let truth = distorted(fov, k1, k2);
        let rays = rays(&truth);
        let mut dice = Dice(77 + number);
        let (mut found, mut off_px, mut missed) = (Vec::new(), Vec::new(), 0);
        for seed in 0..14 {
            let (turn, place) = pose(&truth, &mut dice, 35.0);
            let Ok(corners) = find(&held(&rays, &turn, &place, seed), HELD.columns, HELD.rows) else {
                missed += 1;
                continue;
            };
            // Turned by half, the board looks the same.
            let error = |flip: bool| {
                let off = |k: usize| {
                    let (x, y) = HELD.place(if flip { 53 - k } else { k });
                    let p = project(&truth, &turn, &place, x, y);
                    (corners[k].x_px - p.x_px).hypot(corners[k].y_px - p.y_px)
                };
                (0..54).map(off).sum::<f64>() / 54.0
            };
            off_px.push(error(false).min(error(true)));
            found.push(corners);
        }
        let worst = off_px.iter().copied().fold(0.0, f64::max);
        let lens = lens(WIDTH as u32, HEIGHT as u32, &HELD, &found).unwrap();
        let i = lens.intrinsics;
        eprintln!("fov {fov}: missed {missed} of 14, corners off {worst:.3} px at worst, {lens:?}");
        assert!(missed <= 3, "{missed} boards of 14 were not found");
        // The mean over a board, in the picture where it is tilted most.
        assert!(worst < 0.3, "corners are {worst} px off");
        assert!((i.focal_x_px / truth.focal_x_px - 1.0).abs() < 0.01, "{i:?}");
        assert!((i.focal_y_px / truth.focal_y_px - 1.0).abs() < 0.01, "{i:?}");
        assert!((i.centre_x_px - truth.centre_x_px).abs() < 0.01 * WIDTH as f64, "{i:?}");
        assert!((i.centre_y_px - truth.centre_y_px).abs() < 0.01 * WIDTH as f64, "{i:?}");
        assert!(lens.rms_px < 0.2, "{lens:?}");
        // Distortion counts where it acts: towards the edge of the picture.
        let edge = 0.8 * (fov / 2.0_f64).to_radians().tan();
        let (there, here) = (truth.distort(edge, 0.3 * edge), i.distort(edge, 0.3 * edge));
        let off = (there.0 * truth.focal_x_px + truth.centre_x_px) - (here.0 * i.focal_x_px + i.centre_x_px);
        assert!(off.abs() < 2.0, "{off} px off at the edge");
    }
}

#[test]
fn boards_held_alike_or_too_few_are_refused() {
    let truth = distorted(60.0, -0.1, 0.0);
    let seen = |turn: &Rotation3<f64>, place: &Vector3<f64>| {
        (0..54)
            .map(|k| {
                let (x, y) = HELD.place(k);
                project(&truth, turn, place, x, y)
            })
            .collect::<Vec<_>>()
    };
    let facing =
        |k: usize| (Rotation3::identity(), Vector3::new(-0.12 + 0.004 * k as f64, -0.08, 0.4 + 0.01 * k as f64));
    let alike: Vec<Vec<ImagePoint>> = (0..8).map(facing).map(|(turn, place)| seen(&turn, &place)).collect();
    // Measured corners are never exact.
    let mut dice = Dice(5);
    let wobbly: Vec<Vec<ImagePoint>> = alike
        .iter()
        .map(|points| {
            points
                .iter()
                .map(|p| ImagePoint { x_px: p.x_px + dice.between(-0.2, 0.2), y_px: p.y_px + dice.between(-0.2, 0.2) })
                .collect()
        })
        .collect();
    assert_eq!(lens(WIDTH as u32, HEIGHT as u32, &HELD, &wobbly).unwrap_err(), LensError::Alike);
    let few = lens(WIDTH as u32, HEIGHT as u32, &HELD, &wobbly[..3]).unwrap_err();
    assert!(few.to_string().contains("in 3 pictures only"), "{few}");
}

#[test]
fn a_picture_of_a_board_on_the_road_gives_the_mounting() {
    let lens = distorted(60.0, -0.18, 0.04);
    let mut dice = Dice(3);
    let (mut tried, mut found_boards) = (0, 0);
    for seed in 0..6 {
        let truth = Mounting {
            height_metres: dice.between(1.3, 1.9),
            pitch_degrees: dice.between(14.0, 28.0),
            roll_degrees: dice.between(-3.0, 3.0),
            yaw_degrees: dice.between(-5.0, 5.0),
            height_sigma_metres: 0.0,
            pitch_sigma_degrees: 0.0,
            roll_sigma_degrees: 0.0,
            yaw_sigma_degrees: 0.0,
        };
        let camera = Camera::new(lens, truth);
        let (left, turned) = (dice.between(-0.3, 0.3), dice.between(-0.5, 0.5));
        // As near as the whole board is seen.
        let inside = |forward: f64| {
            [0, 8, 45, 53].iter().all(|k| {
                let p = camera.image_from_ground(on_road(&LAID, *k, forward, left, turned)).unwrap();
                p.y_px < HEIGHT as f64 - 45.0 && p.y_px > 45.0 && p.x_px > 60.0 && p.x_px < WIDTH as f64 - 60.0
            })
        };
        let Some(forward) = (15..50).map(|k| 0.1 * f64::from(k)).find(|forward| inside(*forward)) else { continue };
        tried += 1;
        let (sin, cos) = f64::sin_cos(turned);
        let half = |count: usize| 0.5 * (count as f64 - 1.0) * LAID.square_metres;
        let rays: Vec<[f64; 2]> = (0..HEIGHT)
            .flat_map(|y| (0..WIDTH).map(move |x| (x as f64, y as f64)))
            .flat_map(|(x, y)| SAMPLES.iter().flat_map(move |dx| SAMPLES.map(|dy| [x + dx, y + dy])))
            .collect();
        let grey = picture(&rays, seed, |[x_px, y_px]| {
            let ground = camera.ground_from_image(ImagePoint { x_px, y_px })?;
            let (f, l) = (ground.forward_metres - forward, ground.left_metres - left);
            let (back, across) = (-(cos * f + sin * l), sin * f - cos * l);
            board_brightness(&LAID, across + half(LAID.columns), back + half(LAID.rows))
        });
        let Ok(corners) = find(&grey, LAID.columns, LAID.rows) else { continue };
        found_boards += 1;
        let found = flat_board(lens, &LAID, &corners, left).unwrap();
        let m = found.mounting;
        eprintln!("{truth:?}\n → {found:?}");
        assert!((m.height_metres - truth.height_metres).abs() < 0.03, "{m:?} {truth:?}");
        assert!((m.pitch_degrees - truth.pitch_degrees).abs() < 0.3, "{m:?} {truth:?}");
        assert!((m.roll_degrees - truth.roll_degrees).abs() < 0.3, "{m:?} {truth:?}");
        assert!((m.yaw_degrees - truth.yaw_degrees).abs() < 0.4, "{m:?} {truth:?}");
        assert!((found.forward_metres - forward).abs() < 0.04, "{found:?} {forward}");
    }
    assert!(tried >= 4 && found_boards * 4 >= tried * 3, "{found_boards} of {tried} boards were found");
}

#[test]
fn where_there_is_no_board_or_another_one_it_is_said() {
    let truth = distorted(60.0, -0.1, 0.0);
    let rays = rays(&truth);
    let floor = picture(&rays, 1, |_| None);
    assert_eq!(find(&floor, 9, 6).unwrap_err(), BoardError::NotFound);
    let (turn, place) = (Rotation3::from_euler_angles(0.2, 0.3, 0.1), Vector3::new(-0.12, -0.08, 0.4));
    let error = find(&held(&rays, &turn, &place, 2), 10, 7).unwrap_err();
    assert_eq!(error, BoardError::OtherSize { columns: 9, rows: 6 });
}
