//! From a box in the picture to a place and an extent on the road.
//!
//! Frames: the footprint is in *ground* axes (forward, left, metres, origin below the camera, see [`super::camera`]);
//! places are WGS 84. The fix is the antenna's, so the antenna's place in ground axes is part of the sum.
//!
//! A box in perspective is not centred on its damage. What the box does fix is four tangents: its rows bound the
//! damage's distance, its columns are lines through the camera's pole on the road. The damage is taken as symmetric
//! about an axis along the vehicle, and its centre and half extents are solved from these tangents, once for an ellipse
//! and once for a rectangle; the mean of both is kept, since a damage is something in between. The derivation: a line
//! through the pole with slope t touches an ellipse centred at (u, w) with shape matrix S when
//! (w − t·u)² = S_ww − 2·t·S_uw + t²·S_uu, which is a quadratic in t whose sum and product of roots give w and S_ww.
//!
//! Uncertainty is propagated with a numeric Jacobian over the four box edges (independent from frame to frame) and over
//! height, pitch, roll and yaw of the mounting (the same in every frame, so it never averages out).

use crate::edge::camera::{Camera, GroundPoint, ImagePoint, Mounting};
use crate::edge::detection::BoundingBox;
use crate::edge::fix::Fix;
use crate::geo::{Covariance, EastNorth, LatLon, LocalFrame, direction_of};

/// A damage fills its length × width as an inscribed ellipse does.
pub const AREA_SHARE: f64 = std::f64::consts::FRAC_PI_4;
/// A box edge this close to the picture's border is taken as cut off by it.
const BORDER_PX: f32 = 3.0;
/// No damage is narrower than this.
const MIN_HALF_EXTENT_METRES: f64 = 0.02;

/// Where the GNSS antenna is, in ground axes of the camera.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AntennaOffset {
    pub forward_metres: f64,
    pub left_metres: f64,
}

/// What the propagation takes as uncertain beside the camera's mounting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocateNoise {
    /// One sigma of each edge of a detected box.
    pub box_edge_sigma_px: f64,
    /// One sigma of the heading.
    pub heading_sigma_degrees: f64,
}

impl Default for LocateNoise {
    fn default() -> Self {
        Self { box_edge_sigma_px: 3.0, heading_sigma_degrees: 1.0 }
    }
}

/// One side of a footprint: its coordinate and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    pub metres: f64,
    /// From the box alone; independent between frames.
    pub box_sigma_metres: f64,
    /// From the mounting; common to all frames.
    pub mounting_sigma_metres: f64,
    /// The picture ends here, the damage perhaps not.
    pub cut: bool,
}

impl Edge {
    #[must_use]
    pub fn sigma_metres(&self) -> f64 {
        self.box_sigma_metres.hypot(self.mounting_sigma_metres)
    }
}

/// A rectangle along the vehicle's axes that encloses the damage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    pub near_metres: f64,
    pub far_metres: f64,
    pub right_metres: f64,
    pub left_metres: f64,
}

impl Footprint {
    #[must_use]
    pub fn centre(&self) -> GroundPoint {
        GroundPoint {
            forward_metres: 0.5 * (self.near_metres + self.far_metres),
            left_metres: 0.5 * (self.right_metres + self.left_metres),
        }
    }

    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.far_metres - self.near_metres
    }

    #[must_use]
    pub fn width_metres(&self) -> f64 {
        self.left_metres - self.right_metres
    }

    /// Corners, going round.
    #[must_use]
    pub fn outline(&self) -> [GroundPoint; 4] {
        [
            (self.near_metres, self.right_metres),
            (self.far_metres, self.right_metres),
            (self.far_metres, self.left_metres),
            (self.near_metres, self.left_metres),
        ]
        .map(|(forward_metres, left_metres)| GroundPoint { forward_metres, left_metres })
    }

    /// Distance of a road point from this footprint; 0 inside.
    #[must_use]
    pub fn distance_metres(&self, point: GroundPoint) -> f64 {
        let outside = |value: f64, low: f64, high: f64| (low - value).max(value - high).max(0.0);
        outside(point.forward_metres, self.near_metres, self.far_metres).hypot(outside(
            point.left_metres,
            self.right_metres,
            self.left_metres,
        ))
    }
}

/// A box on the road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocatedBox {
    pub footprint: Footprint,
    pub near: Edge,
    pub far: Edge,
    pub right: Edge,
    pub left: Edge,
    /// Of the centre, from the box; `east` stands for forward and `north` for left.
    pub box_covariance: Covariance,
    /// Of the centre, from the mounting; axes as above.
    pub mounting_covariance: Covariance,
}

impl LocatedBox {
    #[must_use]
    pub fn range_metres(&self) -> f64 {
        let centre = self.footprint.centre();
        centre.forward_metres.hypot(centre.left_metres)
    }

    /// Whether the whole damage is in the picture.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        ![self.near, self.far, self.right, self.left].iter().any(|edge| edge.cut)
    }

    #[must_use]
    pub fn area_square_metres(&self) -> f64 {
        AREA_SHARE * self.footprint.length_metres() * self.footprint.width_metres()
    }

    /// Covariance of the centre in east/north, square metres: box, mounting, heading and GNSS together.
    #[must_use]
    pub fn world_covariance(&self, fix: &Fix, noise: &LocateNoise) -> Covariance {
        let camera = self.box_covariance.plus(self.mounting_covariance);
        turned_to_world(camera, fix.heading_degrees)
            .plus(heading_covariance(self.footprint.centre(), fix.heading_degrees, noise))
            .plus(Covariance::isotropic(fix.accuracy_metres))
    }
}

/// Locates a box. `None` when it lies on nothing: its lower edge at or above the horizon, behind the camera, or empty
/// within the picture. A box that reaches above the horizon has no far edge either, so it is refused as well.
#[must_use]
pub fn locate(camera: &Camera, box_in_image: BoundingBox, noise: &LocateNoise) -> Option<LocatedBox> {
    let clipped = clip(camera, box_in_image)?;
    let footprint = footprint_of(camera, clipped)?;
    let sides = |f: Footprint| [f.near_metres, f.far_metres, f.right_metres, f.left_metres];
    let base = sides(footprint);
    let mut box_variances = [0.0; 4];
    let mut mounting_variances = [0.0; 4];
    let mut box_covariance = Covariance { east_east: 0.0, east_north: 0.0, north_north: 0.0 };
    let mut mounting_covariance = box_covariance;
    let mut add = |moved: Footprint, scale: f64, of_box: bool| {
        let delta: [f64; 4] = std::array::from_fn(|k| (sides(moved)[k] - base[k]) * scale);
        let centre = outer_product(0.5 * (delta[0] + delta[1]), 0.5 * (delta[2] + delta[3]));
        let (variances, covariance) = if of_box {
            (&mut box_variances, &mut box_covariance)
        } else {
            (&mut mounting_variances, &mut mounting_covariance)
        };
        for (variance, d) in variances.iter_mut().zip(delta) {
            *variance += d * d;
        }
        *covariance = covariance.plus(centre);
    };
    for moved_box in stepped_boxes(clipped) {
        add(footprint_of(camera, moved_box)?, noise.box_edge_sigma_px / f64::from(BOX_STEP_PX), true);
    }
    for (mounting, scale) in stepped_mountings(&camera.mounting) {
        add(footprint_of(&camera.with_mounting(mounting), clipped)?, scale, false);
    }
    let (width, height) = (camera.intrinsics.width_px as f32, camera.intrinsics.height_px as f32);
    let cut = [
        clipped.y1 >= height - BORDER_PX,
        clipped.y0 <= BORDER_PX,
        clipped.x1 >= width - BORDER_PX,
        clipped.x0 <= BORDER_PX,
    ];
    let edge = |k: usize| Edge {
        metres: base[k],
        box_sigma_metres: box_variances[k].sqrt(),
        mounting_sigma_metres: mounting_variances[k].sqrt(),
        cut: cut[k],
    };
    Some(LocatedBox {
        footprint,
        near: edge(0),
        far: edge(1),
        right: edge(2),
        left: edge(3),
        box_covariance,
        mounting_covariance,
    })
}

/// The place of a road point seen from a vehicle at `fix`.
#[must_use]
pub fn latlon_from_ground(fix: &Fix, antenna: AntennaOffset, point: GroundPoint) -> LatLon {
    LocalFrame::at(fix.position).latlon_from_local(offset_from_antenna(fix.heading_degrees, antenna, point))
}

/// From the antenna to a road point, east/north.
#[must_use]
pub fn offset_from_antenna(heading_degrees: f64, antenna: AntennaOffset, point: GroundPoint) -> EastNorth {
    let ahead = direction_of(heading_degrees);
    let forward = point.forward_metres - antenna.forward_metres;
    let left = point.left_metres - antenna.left_metres;
    EastNorth::new(
        forward * ahead.east_metres - left * ahead.north_metres,
        forward * ahead.north_metres + left * ahead.east_metres,
    )
}

/// A covariance in (forward, left) turned to (east, north).
#[must_use]
pub fn turned_to_world(covariance: Covariance, heading_degrees: f64) -> Covariance {
    let d = direction_of(heading_degrees);
    // Columns: forward = (sin h, cos h), left = (−cos h, sin h).
    let (fe, fn_, le, ln) = (d.east_metres, d.north_metres, -d.north_metres, d.east_metres);
    let Covariance { east_east: ff, east_north: fl, north_north: ll } = covariance;
    Covariance {
        east_east: fe * fe * ff + 2.0 * fe * le * fl + le * le * ll,
        east_north: fe * fn_ * ff + (fe * ln + le * fn_) * fl + le * ln * ll,
        north_north: fn_ * fn_ * ff + 2.0 * fn_ * ln * fl + ln * ln * ll,
    }
}

/// What a doubtful heading does to a point ahead: it swings it sideways.
#[must_use]
pub fn heading_covariance(point: GroundPoint, heading_degrees: f64, noise: &LocateNoise) -> Covariance {
    let sigma = noise.heading_sigma_degrees.to_radians();
    turned_to_world(outer_product(-point.left_metres * sigma, point.forward_metres * sigma), heading_degrees)
}

fn outer_product(a: f64, b: f64) -> Covariance {
    Covariance { east_east: a * a, east_north: a * b, north_north: b * b }
}

fn clip(camera: &Camera, b: BoundingBox) -> Option<BoundingBox> {
    let (width, height) = (camera.intrinsics.width_px as f32, camera.intrinsics.height_px as f32);
    BoundingBox::new(b.x0.max(0.0), b.y0.max(0.0), b.x1.min(width), b.y1.min(height))
}

const BOX_STEP_PX: f32 = 0.5;

fn stepped_boxes(b: BoundingBox) -> [BoundingBox; 4] {
    // Outwards at the sides and below, inwards above: never across the horizon.
    [
        BoundingBox { x0: b.x0 - BOX_STEP_PX, ..b },
        BoundingBox { x1: b.x1 + BOX_STEP_PX, ..b },
        BoundingBox { y0: b.y0 + BOX_STEP_PX.min(0.25 * (b.y1 - b.y0)), ..b },
        BoundingBox { y1: b.y1 + BOX_STEP_PX, ..b },
    ]
}

/// Each with the factor that scales its small step to one sigma.
fn stepped_mountings(m: &Mounting) -> [(Mounting, f64); 4] {
    const METRES: f64 = 1e-3;
    const DEGREES: f64 = 1e-2;
    [
        (Mounting { height_metres: m.height_metres + METRES, ..*m }, m.height_sigma_metres / METRES),
        // Looking further down brings points nearer: away from the horizon.
        (Mounting { pitch_degrees: m.pitch_degrees + DEGREES, ..*m }, m.pitch_sigma_degrees / DEGREES),
        (Mounting { roll_degrees: m.roll_degrees + DEGREES, ..*m }, m.roll_sigma_degrees / DEGREES),
        (Mounting { yaw_degrees: m.yaw_degrees + DEGREES, ..*m }, m.yaw_sigma_degrees / DEGREES),
    ]
}

/// The footprint that a box in the picture fits best.
fn footprint_of(camera: &Camera, b: BoundingBox) -> Option<Footprint> {
    let (x0, y0, x1, y1) = (f64::from(b.x0), f64::from(b.y0), f64::from(b.x1), f64::from(b.y1));
    let axes = CameraAxes::of(camera);
    let middle_x = 0.5 * (x0 + x1);
    let on_road = |x_px, y_px| camera.ground_from_image(ImagePoint { x_px, y_px }).map(|g| axes.axes_from_ground(g));
    let (near, _) = on_road(middle_x, y1)?;
    let (far, _) = on_road(middle_x, y0)?;
    let (u, half_u) = (0.5 * (near + far), 0.5 * (far - near));
    // All distances count from the pole, which lies behind the picture's lower edge.
    if near - half_u.min(0.0) <= 0.0 || half_u <= 0.0 || near < 0.1 {
        return None;
    }
    let row = camera.image_from_ground(axes.ground_from_axes(u, on_road(middle_x, 0.5 * (y0 + y1))?.1))?.y_px;
    let slope = |x_px| on_road(x_px, row).map(|(u, w)| w / u);
    let (left_slope, right_slope) = (slope(x0)?, slope(x1)?);
    let (low, high) = (left_slope.min(right_slope), left_slope.max(right_slope));
    let (ellipse_w, ellipse_half) = axes.ellipse(u, half_u, low, high);
    let (rectangle_w, rectangle_half) = rectangle(u, half_u, low, high);
    let w = 0.5 * (ellipse_w + rectangle_w);
    let half_w = (0.5 * (ellipse_half + rectangle_half)).max(MIN_HALF_EXTENT_METRES);
    let centre = axes.ground_from_axes(u, w);
    let (half_length, half_width) = axes.half_extents_along_vehicle(half_u, half_w);
    Some(Footprint {
        near_metres: centre.forward_metres - half_length,
        far_metres: centre.forward_metres + half_length,
        right_metres: centre.left_metres - half_width,
        left_metres: centre.left_metres + half_width,
    })
}

/// Road axes of the camera: `u` along its view, `w` to the left of it, origin at the pole through which the picture's
/// columns run (where the camera's downward axis meets the road).
struct CameraAxes {
    sin_yaw: f64,
    cos_yaw: f64,
    pole_behind_metres: f64,
}

impl CameraAxes {
    fn of(camera: &Camera) -> Self {
        let (sin_yaw, cos_yaw) = camera.mounting.yaw_degrees.to_radians().sin_cos();
        let pole_behind_metres = camera.mounting.height_metres * camera.mounting.pitch_degrees.to_radians().tan();
        Self { sin_yaw, cos_yaw, pole_behind_metres }
    }

    fn axes_from_ground(&self, g: GroundPoint) -> (f64, f64) {
        let u = self.cos_yaw * g.forward_metres + self.sin_yaw * g.left_metres;
        let w = self.cos_yaw * g.left_metres - self.sin_yaw * g.forward_metres;
        (u + self.pole_behind_metres, w)
    }

    fn ground_from_axes(&self, u: f64, w: f64) -> GroundPoint {
        let u = u - self.pole_behind_metres;
        GroundPoint {
            forward_metres: self.cos_yaw * u - self.sin_yaw * w,
            left_metres: self.sin_yaw * u + self.cos_yaw * w,
        }
    }

    /// Off-diagonal of the shape matrix in camera axes of an ellipse whose axes are the vehicle's.
    fn skew(&self, s_uu: f64, s_ww: f64) -> f64 {
        let difference = self.cos_yaw * self.cos_yaw - self.sin_yaw * self.sin_yaw;
        if difference < 0.5 { 0.0 } else { (s_ww - s_uu) * self.sin_yaw * self.cos_yaw / difference }
    }

    fn ellipse(&self, u: f64, half_u: f64, low: f64, high: f64) -> (f64, f64) {
        let (mean, half_spread) = (0.5 * (low + high), 0.5 * (high - low));
        let s_uu = half_u * half_u;
        let room = (u * u - s_uu).max(0.0);
        let (mut w, mut s_ww) = (mean * u, (half_spread * u).powi(2));
        for _ in 0..6 {
            w = (mean * room + self.skew(s_uu, s_ww)) / u;
            s_ww = (w * w - (mean * mean - half_spread * half_spread) * room).max(0.0);
        }
        (w, s_ww.sqrt())
    }

    /// Half extents along and across the vehicle from those in camera axes.
    fn half_extents_along_vehicle(&self, half_u: f64, half_w: f64) -> (f64, f64) {
        let (s2, c2) = (self.sin_yaw * self.sin_yaw, self.cos_yaw * self.cos_yaw);
        let (uu, ww) = (half_u * half_u, half_w * half_w);
        if c2 - s2 < 0.5 {
            return (half_u, half_w);
        }
        let along = (uu * c2 - ww * s2) / (c2 - s2);
        let across = (ww * c2 - uu * s2) / (c2 - s2);
        let least = MIN_HALF_EXTENT_METRES * MIN_HALF_EXTENT_METRES;
        (along.max(least).sqrt(), across.max(least).sqrt())
    }
}

/// Centre and half width of a rectangle whose corners touch the two lines.
fn rectangle(u: f64, half_u: f64, low: f64, high: f64) -> (f64, f64) {
    // A side turned to the camera's axis is touched at its far corner, one turned away at its near corner.
    let side = |slope: f64, outwards: f64| {
        if slope * outwards > 0.0 { slope * (u - half_u) } else { slope * (u + half_u) }
    };
    let (right, left) = (side(low, -1.0), side(high, 1.0));
    (0.5 * (left + right), (0.5 * (left - right)).max(0.0))
}

#[cfg(test)]
pub(in crate::edge) mod tests;
