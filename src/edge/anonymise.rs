//! The guard: what of a camera picture may leave the device.
//!
//! An allow-list. A pixel is kept only when its ray meets the road inside the damage's footprint plus
//! [`MARGIN_METRES`]; everything else is one solid colour, and nothing at or above the horizon can be kept, because such
//! rays meet no road. Where a mask of the privacy model touches the allowed region there is no picture at all.
//! Only this module can make a [`RedactedImage`], and only a `RedactedImage` can be encoded.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, Rgb, RgbImage};

use crate::edge::camera::{Camera, GroundPoint, ImagePoint};
use crate::edge::detection::BoundingBox;
use crate::edge::frame::CameraImage;
use crate::edge::locate::Footprint;
use crate::edge::mask::NoPicture;
use crate::schema::evidence::MAX_EVIDENCE_BYTES;

/// Road shown around the damage's outline.
pub const MARGIN_METRES: f64 = 1.0;
/// Beyond this distance one row of pixels covers so much road that an outline says nothing: no picture.
pub const MAX_RANGE_METRES: f64 = 16.0;
/// What is not shown.
pub const SOLID: Rgb<u8> = Rgb([32, 36, 40]);
const MAX_WIDTH_PX: u32 = 640;
const MIN_SIDE_PX: u32 = 16;
/// A plate 5 m ahead is about 12 of these columns wide and 3 high, through a lens of 65°.
const MAX_COARSE_COLUMNS: u32 = 160;

/// A picture that shows road surface around one damage and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactedImage {
    pixels: RgbImage,
}

impl std::fmt::Debug for RedactedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedactedImage({}×{})", self.pixels.width(), self.pixels.height())
    }
}

impl RedactedImage {
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.pixels.width()
    }

    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.pixels.height()
    }

    /// JPEG without metadata, at most [`MAX_EVIDENCE_BYTES`]; `None` when even the lowest quality does not fit.
    #[must_use]
    pub fn to_jpeg(&self) -> Option<Vec<u8>> {
        [85, 70, 50, 30].into_iter().find_map(|quality| {
            let mut bytes = Vec::new();
            let (width, height) = self.pixels.dimensions();
            JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode(self.pixels.as_raw(), width, height, ExtendedColorType::Rgb8)
                .ok()?;
            (bytes.len() <= MAX_EVIDENCE_BYTES).then_some(bytes)
        })
    }
}

/// Cuts the damage out of a picture. There is none when too little of it is visible, when it reaches beyond
/// [`MAX_RANGE_METRES`], or when one of `masks` (see `edge::mask`) touches what would be shown. `masks` is called once, and
/// only when all else speaks for a picture.
pub fn redact(
    image: &CameraImage,
    camera: &Camera,
    footprint: &Footprint,
    masks: impl FnOnce() -> Result<Vec<BoundingBox>, NoPicture>,
) -> Result<RedactedImage, NoPicture> {
    // Written so that a side which is not a number gives no picture either.
    let is_sound = footprint.length_metres() > 0.0 && footprint.width_metres() > 0.0;
    if !(is_sound && footprint.far_metres <= MAX_RANGE_METRES) {
        return Err(NoPicture::NotInSight);
    }
    let window = Window::around(image, camera, footprint).ok_or(NoPicture::NotInSight)?;
    if masks()?.iter().any(|mask| mask.intersection_px(&window.region) > 0.0) {
        return Err(NoPicture::SomebodyInIt);
    }
    let source = image.unredacted();
    let mut kept = 0u32;
    let pixels = RgbImage::from_fn(window.width_px, window.height_px, |x, y| {
        let (source_x, source_y) = window.source_of(x, y);
        let centre = ImagePoint { x_px: f64::from(source_x) + 0.5, y_px: f64::from(source_y) + 0.5 };
        if is_allowed(camera, footprint, centre) {
            kept += 1;
            *source.get_pixel(source_x, source_y)
        } else {
            SOLID
        }
    });
    if kept < MIN_SIDE_PX * MIN_SIDE_PX {
        return Err(NoPicture::NotInSight);
    }
    Ok(RedactedImage { pixels })
}

/// Whether this point of the picture may be shown.
#[must_use]
pub fn is_allowed(camera: &Camera, footprint: &Footprint, point: ImagePoint) -> bool {
    camera.ground_from_image(point).is_some_and(|ground| footprint.distance_metres(ground) <= MARGIN_METRES)
}

/// The part of the picture around the allowed region, and its scale.
struct Window {
    region: BoundingBox,
    x0: u32,
    y0: u32,
    step: f64,
    width_px: u32,
    height_px: u32,
}

impl Window {
    fn around(image: &CameraImage, camera: &Camera, footprint: &Footprint) -> Option<Self> {
        // The picture must be the one that the camera's intrinsics describe; else the geometry guards the wrong pixels.
        let i = &camera.intrinsics;
        if (image.width_px(), image.height_px()) != (i.width_px, i.height_px) {
            return None;
        }
        let (mut x, mut y) = ((f64::MAX, f64::MIN), (f64::MAX, f64::MIN));
        for point in border(footprint) {
            let Some(seen) = camera.image_from_ground(point) else { continue };
            x = (x.0.min(seen.x_px), x.1.max(seen.x_px));
            y = (y.0.min(seen.y_px), y.1.max(seen.y_px));
        }
        // A border behind the camera has no place in the picture; what is in front of it reaches down to the last row.
        if border(footprint).any(|p| camera.image_from_ground(p).is_none()) {
            y.1 = f64::from(i.height_px);
        }
        let clamp = |value: f64, limit: u32| value.clamp(0.0, f64::from(limit));
        let (x0, x1) = (clamp(x.0, i.width_px).floor(), clamp(x.1, i.width_px).ceil());
        let (y0, y1) = (clamp(y.0, i.height_px).floor(), clamp(y.1, i.height_px).ceil());
        let region = BoundingBox::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32)?;
        let (width, height) = ((x1 - x0) as u32, (y1 - y0) as u32);
        let step = (f64::from(width) / f64::from(MAX_WIDTH_PX)).max(1.0);
        let scaled = |side: u32| ((f64::from(side) / step) as u32).max(1);
        let (width_px, height_px) = (scaled(width), scaled(height));
        (width_px >= MIN_SIDE_PX && height_px >= MIN_SIDE_PX).then_some(Self {
            region,
            x0: x0 as u32,
            y0: y0 as u32,
            step,
            width_px,
            height_px,
        })
    }

    fn source_of(&self, x: u32, y: u32) -> (u32, u32) {
        let at = |start: u32, offset: u32| start + (f64::from(offset) * self.step) as u32;
        (at(self.x0, x), at(self.y0, y))
    }
}

/// Points along the footprint's border plus margin, close enough together that a lens cannot bend out between them.
fn border(footprint: &Footprint) -> impl Iterator<Item = GroundPoint> + use<> {
    const STEPS: u32 = 16;
    let wide = Footprint {
        near_metres: footprint.near_metres - MARGIN_METRES,
        far_metres: footprint.far_metres + MARGIN_METRES,
        right_metres: footprint.right_metres - MARGIN_METRES,
        left_metres: footprint.left_metres + MARGIN_METRES,
    };
    let corners = wide.outline();
    (0..4).flat_map(move |k| {
        let (from, to) = (corners[k], corners[(k + 1) % 4]);
        (0..STEPS).map(move |s| {
            let t = f64::from(s) / f64::from(STEPS);
            GroundPoint {
                forward_metres: from.forward_metres + t * (to.forward_metres - from.forward_metres),
                left_metres: from.left_metres + t * (to.left_metres - from.left_metres),
            }
        })
    })
}

/// The mean colours of a grid of so few columns that nobody can be recognised: what may be drawn on to show how a camera looks.
/// Of a smaller picture no more than a quarter of its columns.
#[must_use]
pub fn coarse(image: &CameraImage, columns: u32) -> RgbImage {
    let pixels = image.unredacted();
    let width = columns.min(MAX_COARSE_COLUMNS).min((pixels.width() / 4).max(1));
    let height = (pixels.height() * width / pixels.width().max(1)).max(1);
    RgbImage::from_fn(width, height, |x, y| {
        let span = |k: u32, of: u32, parts: u32| (k * of / parts, ((k + 1) * of / parts).max(k * of / parts + 1));
        let ((x0, x1), (y0, y1)) = (span(x, pixels.width(), width), span(y, pixels.height(), height));
        let mut sum = [0_u32; 3];
        for py in y0..y1.min(pixels.height()) {
            for px in x0..x1.min(pixels.width()) {
                for (s, v) in sum.iter_mut().zip(pixels.get_pixel(px, py).0) {
                    *s += u32::from(v);
                }
            }
        }
        let count = ((x1 - x0) * (y1 - y0)).max(1);
        Rgb(sum.map(|s| (s / count) as u8))
    })
}

#[cfg(test)]
pub(in crate::edge) mod tests {
    use super::*;
    use crate::edge::camera::{Intrinsics, Mounting};
    use proptest::prelude::*;

    fn camera(pitch_degrees: f64, roll_degrees: f64) -> Camera {
        let mounting = Mounting {
            height_metres: 1.6,
            pitch_degrees,
            roll_degrees,
            yaw_degrees: 0.0,
            height_sigma_metres: 0.0,
            pitch_sigma_degrees: 0.0,
            roll_sigma_degrees: 0.0,
            yaw_sigma_degrees: 0.0,
        };
        Camera::new(Intrinsics::from_horizontal_fov(320, 180, 70.0), mounting)
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands for a privacy model that looked and found nobody")]
    fn nobody() -> Result<Vec<BoundingBox>, NoPicture> {
        Ok(Vec::new())
    }

    /// Paints what may be shown green and what may not magenta.
    fn poisoned(camera: &Camera, footprint: &Footprint) -> CameraImage {
        CameraImage::new(RgbImage::from_fn(320, 180, |x, y| {
            let up = camera.ray_from_image(ImagePoint { x_px: f64::from(x) + 0.5, y_px: f64::from(y) + 0.5 });
            let scale = 1.6 / -up[2];
            let ground = GroundPoint { forward_metres: up[0] * scale, left_metres: up[1] * scale };
            let near = up[2] < 0.0 && footprint.distance_metres(ground) <= MARGIN_METRES;
            if near { Rgb([0, 255, 0]) } else { Rgb([255, 0, 255]) }
        }))
    }

    /// Of a damage on the road ahead.
    pub(in crate::edge) fn picture() -> RedactedImage {
        let camera = camera(10.0, 0.0);
        let footprint = Footprint { near_metres: 5.0, far_metres: 9.0, right_metres: -2.0, left_metres: 2.0 };
        redact(&poisoned(&camera, &footprint), &camera, &footprint, nobody).unwrap()
    }

    proptest! {
        #[test]
        fn only_the_outline_plus_one_metre_is_shown(
            pitch in 4.0..25.0f64, roll in -6.0..6.0f64,
            near in 1.0..12.0f64, right in -4.0..3.0f64, length in 0.1..4.0f64, width in 0.1..3.0f64,
        ) {
            let camera = camera(pitch, roll);
            let footprint = Footprint { near_metres: near, far_metres: near + length, right_metres: right, left_metres: right + width };
            let image = poisoned(&camera, &footprint);
            if let Ok(redacted) = redact(&image, &camera, &footprint, nobody) {
                prop_assert!(redacted.pixels.pixels().all(|p| *p == SOLID || *p == Rgb([0, 255, 0])));
                prop_assert!(redacted.pixels.pixels().any(|p| *p != SOLID));
                let jpeg = redacted.to_jpeg().unwrap();
                prop_assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
            }
        }
    }

    #[test]
    fn a_person_on_the_damage_means_no_picture() {
        let camera = camera(10.0, 0.0);
        let footprint = Footprint { near_metres: 6.0, far_metres: 7.0, right_metres: -0.5, left_metres: 0.5 };
        let image = poisoned(&camera, &footprint);
        assert!(redact(&image, &camera, &footprint, nobody).is_ok());
        let person = BoundingBox::new(150.0, 20.0, 170.0, 120.0).unwrap();
        assert_eq!(redact(&image, &camera, &footprint, || Ok(vec![person])), Err(NoPicture::SomebodyInIt));
        let elsewhere = BoundingBox::new(0.0, 0.0, 40.0, 40.0).unwrap();
        assert!(redact(&image, &camera, &footprint, || Ok(vec![elsewhere])).is_ok());
    }

    #[test]
    fn where_nobody_could_look_there_is_no_picture() {
        let camera = camera(10.0, 0.0);
        let footprint = Footprint { near_metres: 6.0, far_metres: 7.0, right_metres: -0.5, left_metres: 0.5 };
        let image = poisoned(&camera, &footprint);
        assert_eq!(redact(&image, &camera, &footprint, || Err(NoPicture::NobodyLooked)), Err(NoPicture::NobodyLooked));
    }

    #[test]
    fn what_is_empty_far_or_out_of_sight_gives_no_picture() {
        let camera = camera(10.0, 0.0);
        let fine = Footprint { near_metres: 6.0, far_metres: 7.0, right_metres: -0.5, left_metres: 0.5 };
        let image = poisoned(&camera, &fine);
        assert!(redact(&image, &camera, &fine, nobody).is_ok());
        for bad in [
            Footprint { far_metres: 6.0, ..fine },
            Footprint { far_metres: f64::NAN, ..fine },
            Footprint { left_metres: f64::NAN, ..fine },
            Footprint { far_metres: MAX_RANGE_METRES + 0.1, ..fine },
            Footprint { near_metres: -9.0, far_metres: -8.0, ..fine },
            Footprint { right_metres: 60.0, left_metres: 61.0, ..fine },
        ] {
            let not_asked = || -> Result<Vec<BoundingBox>, NoPicture> { panic!("there is nothing to look at") };
            assert_eq!(redact(&image, &camera, &bad, not_asked), Err(NoPicture::NotInSight), "{bad:?}");
        }
    }

    #[test]
    fn the_jpeg_carries_pixels_alone() {
        let jpeg = picture().to_jpeg().unwrap();
        assert!(jpeg.len() <= MAX_EVIDENCE_BYTES);
        let header = &jpeg[..jpeg.windows(2).position(|w| w == [0xff, 0xda]).unwrap()];
        for (name, marker) in [("Exif", 0xe1), ("IPTC", 0xed), ("comment", 0xfe)] {
            assert!(!header.windows(2).any(|w| w == [0xff, marker]), "{name} segment");
        }
    }

    #[test]
    fn a_picture_of_another_size_than_the_camera_is_never_shown() {
        let footprint = Footprint { near_metres: 6.0, far_metres: 7.0, right_metres: -0.5, left_metres: 0.5 };
        let other = CameraImage::new(RgbImage::new(640, 360));
        assert_eq!(redact(&other, &camera(10.0, 0.0), &footprint, nobody), Err(NoPicture::NotInSight));
    }
}
