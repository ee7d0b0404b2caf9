//! Damages of known place and size are projected into a picture, boxed, and located again.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::edge::camera::Intrinsics;

fn camera(height: f64, pitch: f64, yaw: f64) -> Camera {
    let mounting = Mounting {
        height_metres: height,
        pitch_degrees: pitch,
        roll_degrees: 0.0,
        yaw_degrees: yaw,
        height_sigma_metres: 0.02,
        pitch_sigma_degrees: 0.3,
        roll_sigma_degrees: 0.3,
        yaw_sigma_degrees: 0.3,
    };
    Camera::new(Intrinsics::from_horizontal_fov(1280, 720, 70.0), mounting)
}

/// The tight box around an ellipse on the road; `None` when a part lies outside the picture.
pub(crate) fn box_of_ellipse(camera: &Camera, centre: GroundPoint, length: f64, width: f64) -> Option<BoundingBox> {
    let (mut x, mut y) = ((f64::MAX, f64::MIN), (f64::MAX, f64::MIN));
    for step in 0..180 {
        let (sin, cos) = (f64::from(step) * std::f64::consts::PI / 90.0).sin_cos();
        let point = GroundPoint {
            forward_metres: centre.forward_metres + 0.5 * length * cos,
            left_metres: centre.left_metres + 0.5 * width * sin,
        };
        let image = camera.image_from_ground(point)?;
        x = (x.0.min(image.x_px), x.1.max(image.x_px));
        y = (y.0.min(image.y_px), y.1.max(image.y_px));
    }
    let inside = x.0 > 4.0 && x.1 < 1276.0 && y.0 > 4.0 && y.1 < 716.0;
    inside.then(|| BoundingBox::new(x.0 as f32, y.0 as f32, x.1 as f32, y.1 as f32)).flatten()
}

proptest! {
    #[test]
    fn ellipses_are_found_where_they_are(
        height in 1.2..2.4f64, pitch in 6.0..20.0f64, yaw in -4.0..4.0f64,
        forward in 4.0..12.0f64, left in -2.5..2.5f64, length in 0.3..3.0f64, width in 0.2..2.0f64,
    ) {
        let camera = camera(height, pitch, yaw);
        let truth = GroundPoint { forward_metres: forward, left_metres: left };
        let Some(boxed) = box_of_ellipse(&camera, truth, length, width) else { return Ok(()) };
        let located = locate(&camera, boxed, &LocateNoise::default()).unwrap();
        let error = located.footprint.centre().distance_metres(truth);
        prop_assert!(error < 0.05 + 0.06 * width, "{error} m off: {:?}", located.footprint);
        prop_assert!((located.footprint.length_metres() - length).abs() < 0.08 + 0.1 * length);
        // A box beside the axis cannot tell width from length seen at an angle: the doubt grows with both.
        let skewed = 0.3 * length * ((left / forward).abs() + yaw.abs().to_radians().tan());
        prop_assert!((located.footprint.width_metres() - width).abs() < 0.08 + 0.25 * width + skewed);
    }

    #[test]
    fn farther_is_less_certain(pitch in 6.0..15.0f64, left in -2.0..2.0f64) {
        let camera = camera(1.6, pitch, 0.0);
        let sigma_at = |forward| {
            let boxed = box_of_ellipse(&camera, GroundPoint { forward_metres: forward, left_metres: left }, 0.6, 0.6)?;
            Some(locate(&camera, boxed, &LocateNoise::default())?.near.sigma_metres())
        };
        if let (Some(near), Some(far)) = (sigma_at(6.0), sigma_at(14.0)) {
            prop_assert!(near < far);
        }
    }

    #[test]
    fn a_box_that_reaches_the_sky_lies_on_nothing(y1 in 300.0..719.0f32, x in 0.0..1000.0f32) {
        let camera = camera(1.6, 8.0, 0.0);
        let above = camera.horizon_y_px(640.0) as f32 - 5.0;
        let boxed = BoundingBox::new(x, above, x + 100.0, y1).unwrap();
        prop_assert_eq!(locate(&camera, boxed, &LocateNoise::default()), None);
    }
}

#[test]
fn ahead_and_left_turn_with_the_heading() {
    let antenna = AntennaOffset { forward_metres: -1.0, left_metres: 0.0 };
    let point = GroundPoint { forward_metres: 9.0, left_metres: 2.0 };
    let east = offset_from_antenna(90.0, antenna, point);
    assert!((east.east_metres - 10.0).abs() < 1e-9 && (east.north_metres - 2.0).abs() < 1e-9);
    let fix = Fix {
        at: datetime!(2026-01-01 00:00 UTC),
        position: LatLon { lat: 50.0, lon: 8.0 },
        speed_metres_per_second: 10.0,
        heading_degrees: 0.0,
        accuracy_metres: 0.5,
        bridged_millis: 0,
    };
    assert!(latlon_from_ground(&fix, antenna, point).lat > 50.0);
}
