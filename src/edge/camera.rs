//! The camera as geometry: intrinsics with lens distortion, mounting, and the ground plane.
//!
//! Frames:
//! - *image*: pixels of the original picture, x right, y down, origin at the outer corner of the top left pixel;
//! - *ground*: metres on the road plane in vehicle axes (ISO 8855), forward and left, origin below the camera.
//!
//! Distortion is the Brown–Conrady model with two radial and two tangential terms, as `OpenCV` documents it, applied to
//! normalised coordinates. The ground is taken as flat; where it is not, the error shows up in `pitch_sigma_degrees`.

use serde::{Deserialize, Serialize};

/// A point in the original picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImagePoint {
    pub x_px: f64,
    pub y_px: f64,
}

/// A point on the road plane, vehicle axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroundPoint {
    pub forward_metres: f64,
    pub left_metres: f64,
}

impl GroundPoint {
    #[must_use]
    pub fn distance_metres(self, other: Self) -> f64 {
        (self.forward_metres - other.forward_metres).hypot(self.left_metres - other.left_metres)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intrinsics {
    pub width_px: u32,
    pub height_px: u32,
    pub focal_x_px: f64,
    pub focal_y_px: f64,
    pub centre_x_px: f64,
    pub centre_y_px: f64,
    /// Radial, second order.
    pub k1: f64,
    /// Radial, fourth order.
    pub k2: f64,
    /// Tangential.
    pub p1: f64,
    pub p2: f64,
}

impl Intrinsics {
    /// A camera without distortion whose optical axis meets the picture's centre.
    #[must_use]
    pub fn from_horizontal_fov(width_px: u32, height_px: u32, fov_degrees: f64) -> Self {
        let focal = f64::from(width_px) / 2.0 / (fov_degrees.to_radians() / 2.0).tan();
        Self {
            width_px,
            height_px,
            focal_x_px: focal,
            focal_y_px: focal,
            centre_x_px: f64::from(width_px) / 2.0,
            centre_y_px: f64::from(height_px) / 2.0,
            k1: 0.0,
            k2: 0.0,
            p1: 0.0,
            p2: 0.0,
        }
    }

    /// Normalised coordinates of an ideal camera → the same ray in this lens.
    #[must_use]
    pub fn distort(&self, x: f64, y: f64) -> (f64, f64) {
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (self.k1 + r2 * self.k2);
        (
            x * radial + 2.0 * self.p1 * x * y + self.p2 * (r2 + 2.0 * x * x),
            y * radial + self.p1 * (r2 + 2.0 * y * y) + 2.0 * self.p2 * x * y,
        )
    }

    /// Inverse of [`Self::distort`] by fixed-point iteration; lenses in use converge to 1e-9 within 20 steps.
    #[must_use]
    pub fn undistort(&self, x: f64, y: f64) -> (f64, f64) {
        let (mut ux, mut uy) = (x, y);
        for _ in 0..20 {
            let (dx, dy) = self.distort(ux, uy);
            (ux, uy) = (ux + x - dx, uy + y - dy);
        }
        (ux, uy)
    }
}

/// Where the camera sits and looks, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mounting {
    /// Of the lens above the road.
    pub height_metres: f64,
    /// Positive looks down.
    pub pitch_degrees: f64,
    /// Positive turns the picture's right side down.
    pub roll_degrees: f64,
    /// Positive looks to the left of the direction of travel.
    pub yaw_degrees: f64,
    pub height_sigma_metres: f64,
    /// Includes the vehicle's pitching and the road's slope changes.
    pub pitch_sigma_degrees: f64,
    pub roll_sigma_degrees: f64,
    pub yaw_sigma_degrees: f64,
}

type Vector3 = [f64; 3];

/// Intrinsics and mounting together; maps between picture and road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    pub intrinsics: Intrinsics,
    pub mounting: Mounting,
    /// Rows: the camera's axes (right, down, ahead) in vehicle axes (forward, left, up).
    camera_from_vehicle: [Vector3; 3],
}

impl Camera {
    #[must_use]
    pub fn new(intrinsics: Intrinsics, mounting: Mounting) -> Self {
        Self { intrinsics, mounting, camera_from_vehicle: camera_axes(&mounting) }
    }

    /// The viewing ray of a picture point in vehicle axes (forward, left, up); not normalised.
    #[must_use]
    pub fn ray_from_image(&self, point: ImagePoint) -> Vector3 {
        let i = &self.intrinsics;
        let (x, y) =
            i.undistort((point.x_px - i.centre_x_px) / i.focal_x_px, (point.y_px - i.centre_y_px) / i.focal_y_px);
        let [right, down, ahead] = self.camera_from_vehicle;
        std::array::from_fn(|k| x * right[k] + y * down[k] + ahead[k])
    }

    /// Where the ray through a picture point meets the road; `None` at and above the horizon.
    #[must_use]
    pub fn ground_from_image(&self, point: ImagePoint) -> Option<GroundPoint> {
        let [forward, left, up] = self.ray_from_image(point);
        // Rays flatter than 0.1° meet the road beyond 500 m: as good as never.
        if up > -1.75e-3 * forward.hypot(left) {
            return None;
        }
        let scale = self.mounting.height_metres / -up;
        Some(GroundPoint { forward_metres: forward * scale, left_metres: left * scale })
    }

    /// A place in vehicle axes (forward, left, up from the road) in the lens's axes: right, down, ahead; metres.
    #[must_use]
    pub fn camera_from_vehicle(&self, [forward, left, up]: [f64; 3]) -> [f64; 3] {
        self.camera_from_vehicle.map(|axis| dot(axis, [forward, left, up - self.mounting.height_metres]))
    }

    /// Where a point at `up_metres` above the road appears; `None` behind the camera. The result may lie outside the picture.
    #[must_use]
    pub fn image_from_vehicle(&self, ground: GroundPoint, up_metres: f64) -> Option<ImagePoint> {
        let [x, y, z] = self.camera_from_vehicle([ground.forward_metres, ground.left_metres, up_metres]);
        if z <= 0.05 {
            return None;
        }
        let i = &self.intrinsics;
        let (dx, dy) = i.distort(x / z, y / z);
        Some(ImagePoint { x_px: dx * i.focal_x_px + i.centre_x_px, y_px: dy * i.focal_y_px + i.centre_y_px })
    }

    #[must_use]
    pub fn image_from_ground(&self, ground: GroundPoint) -> Option<ImagePoint> {
        self.image_from_vehicle(ground, 0.0)
    }

    /// Row of the horizon in column `x_px` (may lie outside the picture); rows above it (smaller y) never show road.
    #[must_use]
    pub fn horizon_y_px(&self, x_px: f64) -> f64 {
        // The ray's `up` grows monotonically with decreasing y, so bisect for its sign change.
        let (mut above, mut below) =
            (-10.0 * f64::from(self.intrinsics.height_px), 11.0 * f64::from(self.intrinsics.height_px));
        let undistorted =
            Self { intrinsics: Intrinsics { k1: 0.0, k2: 0.0, p1: 0.0, p2: 0.0, ..self.intrinsics }, ..*self };
        for _ in 0..60 {
            let middle = 0.5 * (above + below);
            if undistorted.ray_from_image(ImagePoint { x_px, y_px: middle })[2] > 0.0 {
                above = middle;
            } else {
                below = middle;
            }
        }
        below
    }

    /// This camera mounted slightly differently: for propagating the mounting's uncertainty.
    #[must_use]
    pub fn with_mounting(&self, mounting: Mounting) -> Self {
        Self::new(self.intrinsics, mounting)
    }
}

fn dot(a: Vector3, b: Vector3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Yaw about up, then pitch about the turned left axis, then roll about the viewing direction.
fn camera_axes(mounting: &Mounting) -> [Vector3; 3] {
    let (sin_yaw, cos_yaw) = mounting.yaw_degrees.to_radians().sin_cos();
    let (sin_pitch, cos_pitch) = mounting.pitch_degrees.to_radians().sin_cos();
    let (sin_roll, cos_roll) = mounting.roll_degrees.to_radians().sin_cos();
    let ahead = [cos_pitch * cos_yaw, cos_pitch * sin_yaw, -sin_pitch];
    let level_right = [sin_yaw, -cos_yaw, 0.0];
    let level_down = [-sin_pitch * cos_yaw, -sin_pitch * sin_yaw, -cos_pitch];
    let right = std::array::from_fn(|k| cos_roll * level_right[k] + sin_roll * level_down[k]);
    let down = std::array::from_fn(|k| cos_roll * level_down[k] - sin_roll * level_right[k]);
    [right, down, ahead]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mounting(height: f64, pitch: f64, roll: f64, yaw: f64) -> Mounting {
        Mounting {
            height_metres: height,
            pitch_degrees: pitch,
            roll_degrees: roll,
            yaw_degrees: yaw,
            height_sigma_metres: 0.02,
            pitch_sigma_degrees: 0.3,
            roll_sigma_degrees: 0.3,
            yaw_sigma_degrees: 0.3,
        }
    }

    #[test]
    fn the_optical_axis_meets_the_road_at_height_over_tan_pitch() {
        let camera = Camera::new(Intrinsics::from_horizontal_fov(1280, 720, 70.0), mounting(1.5, 10.0, 0.0, 0.0));
        let ground = camera.ground_from_image(ImagePoint { x_px: 640.0, y_px: 360.0 }).unwrap();
        assert!((ground.forward_metres - 1.5 / 10f64.to_radians().tan()).abs() < 1e-9);
        assert!(ground.left_metres.abs() < 1e-9);
    }

    #[test]
    fn right_in_the_picture_is_right_on_the_road_and_left_yaw_looks_left() {
        let camera = Camera::new(Intrinsics::from_horizontal_fov(1280, 720, 70.0), mounting(1.5, 10.0, 0.0, 0.0));
        assert!(camera.ground_from_image(ImagePoint { x_px: 900.0, y_px: 500.0 }).unwrap().left_metres < 0.0);
        let turned = camera.with_mounting(mounting(1.5, 10.0, 0.0, 5.0));
        assert!(turned.ground_from_image(ImagePoint { x_px: 640.0, y_px: 500.0 }).unwrap().left_metres > 0.0);
        let rolled = camera.with_mounting(mounting(1.5, 10.0, 5.0, 0.0));
        assert!(
            rolled.horizon_y_px(1200.0) < rolled.horizon_y_px(80.0),
            "the right side looks lower, so the horizon rises there"
        );
    }

    proptest! {
        #[test]
        fn ground_and_image_round_trip(
            height in 0.8..3.5f64, pitch in 2.0..35.0f64, roll in -5.0..5.0f64, yaw in -10.0..10.0f64,
            k1 in -0.15..0.05f64, k2 in -0.02..0.02f64, p1 in -0.002..0.002f64,
            forward in 3.0..40.0f64, left in -4.0..4.0f64,
        ) {
            let intrinsics = Intrinsics { k1, k2, p1, ..Intrinsics::from_horizontal_fov(1280, 720, 75.0) };
            let camera = Camera::new(intrinsics, mounting(height, pitch, roll, yaw));
            let ground = GroundPoint { forward_metres: forward, left_metres: left };
            let image = camera.image_from_ground(ground).unwrap();
            prop_assume!((0.0..1280.0).contains(&image.x_px) && (0.0..720.0).contains(&image.y_px));
            let back = camera.ground_from_image(image).unwrap();
            prop_assert!(back.distance_metres(ground) < 1e-4, "{back:?} {ground:?}");
        }

        #[test]
        fn nothing_above_the_horizon_is_road(
            pitch in 0.0..35.0f64, roll in -8.0..8.0f64, x in 0.0..1280.0f64, above in 0.5..400.0f64,
        ) {
            let camera = Camera::new(Intrinsics::from_horizontal_fov(1280, 720, 75.0), mounting(1.5, pitch, roll, 0.0));
            let y_px = camera.horizon_y_px(x) - above;
            prop_assert_eq!(camera.ground_from_image(ImagePoint { x_px: x, y_px }), None);
        }
    }
}
