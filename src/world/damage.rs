//! Damages with their exact truth, and what a camera sees of them.

use std::sync::Arc;

use crate::edge::camera::Camera;
use crate::edge::detection::BoundingBox;
use crate::geo::EastNorth;
use crate::schema::damage::DamageClass;
use crate::world::dice::Dice;
use crate::world::paint;
use crate::world::raster::Raster;
use crate::world::render::Picture;
use crate::world::scene::{Decal, Pose};
use crate::world::shape::{self, Severity};
use crate::world::split::Family;

/// One damage in the simulated road. Its place is the middle of its extent in road axes.
#[derive(Debug, Clone)]
pub struct Damage {
    pub id: usize,
    pub class: DamageClass,
    pub severity: Severity,
    /// Middle and the road's direction there.
    pub pose: Pose,
    /// Along the road.
    pub length_metres: f64,
    /// Across the road.
    pub width_metres: f64,
    /// Convex, (along, across) from the middle, metres.
    pub outline: Vec<(f32, f32)>,
    raster: Arc<Raster>,
}

/// A damage in one picture.
#[derive(Debug, Clone, Copy)]
pub struct VisibleDamage {
    pub id: usize,
    pub class: DamageClass,
    /// Tight around what the picture shows of it.
    pub box_in_image: BoundingBox,
    /// Middle of the damage in vehicle axes, metres.
    pub forward_metres: f64,
    pub left_metres: f64,
    /// Share of its part inside the picture that something hides.
    pub occluded_share: f64,
}

/// Which damages of a picture count as visible.
#[derive(Debug, Clone, Copy)]
pub struct Visibility {
    /// Distance of the middle ahead of the camera.
    pub forward_metres: (f64, f64),
    /// In pixels of a picture 640 wide.
    pub min_width_px: f64,
    pub min_height_px: f64,
    pub max_occluded_share: f64,
    /// Of its area on the ground, how much must lie inside the picture.
    pub min_inside_share: f64,
    /// Change of brightness that the strongest fortieth of its area must reach at that distance.
    pub min_contrast: f32,
}

impl Visibility {
    /// What truth counts as visible: 3 to 25 m ahead, large enough, more than half of it seen.
    pub const TRUTH: Self = Self {
        forward_metres: (3.0, 25.0),
        min_width_px: 8.0,
        min_height_px: 6.0,
        max_occluded_share: 0.5,
        min_inside_share: 0.5,
        min_contrast: 0.10,
    };

    /// What a training label is drawn around: everything that a person would mark, also cut off by the picture's edge.
    pub const LABEL: Self =
        Self { forward_metres: (0.5, 30.0), min_inside_share: 0.1, max_occluded_share: 0.7, ..Self::TRUTH };
}

impl Damage {
    #[must_use]
    pub fn new(
        id: usize,
        class: DamageClass,
        severity: Severity,
        pose: Pose,
        family: &Family,
        dice: &mut Dice,
    ) -> Self {
        let shape = shape::draw(class, severity, family, dice);
        Self {
            id,
            class,
            severity,
            pose,
            length_metres: f64::from(shape.length_metres),
            width_metres: f64::from(shape.width_metres),
            outline: shape.outline,
            raster: Arc::new(shape.raster),
        }
    }

    #[must_use]
    pub fn decal(&self) -> Decal {
        Decal {
            pose: self.pose,
            length_metres: self.length_metres as f32 + 0.08,
            width_metres: self.width_metres as f32 + 0.08,
            raster: Arc::clone(&self.raster),
        }
    }

    /// Radius around its middle that holds all of it.
    #[must_use]
    pub fn reach_metres(&self) -> f64 {
        0.5 * self.length_metres.hypot(self.width_metres)
    }

    /// The outline's corners in town coordinates.
    #[must_use]
    pub fn outline_on_ground(&self) -> Vec<EastNorth> {
        self.outline.iter().map(|p| self.pose.local_from_vehicle(f64::from(p.0), f64::from(p.1))).collect()
    }

    /// Whether its own colour shows at a place, for an eye that resolves `footprint_metres` across.
    #[must_use]
    pub fn colours(&self, place: EastNorth, footprint_metres: f64) -> bool {
        const SEEN: f32 = 0.08;
        let (along, across) = self.pose.vehicle_from_local(place);
        let (factor, cover) = self.raster.at(along as f32, across as f32, footprint_metres as f32);
        (factor - 1.0).abs() > SEEN || cover > 0.5
    }

    /// Box around its projected outline, before the picture cuts it; `None` behind the camera.
    #[must_use]
    pub fn projected_box(&self, camera: &Camera, pose: Pose) -> Option<(f64, f64, f64, f64)> {
        let corners: Vec<(f64, f64)> = self.outline_on_ground().iter().map(|p| pose.vehicle_from_local(*p)).collect();
        bounds(&paint::project_ground(camera, &corners))
    }

    /// What `picture`, taken at `pose`, shows of it.
    #[must_use]
    pub fn seen(
        &self,
        camera: &Camera,
        pose: Pose,
        picture: &Picture,
        visibility: &Visibility,
    ) -> Option<VisibleDamage> {
        let (forward_metres, left_metres) = pose.vehicle_from_local(self.pose.position);
        if !(visibility.forward_metres.0..=visibility.forward_metres.1).contains(&forward_metres) {
            return None;
        }
        let (width, height) = (f64::from(picture.pixels.width()), f64::from(picture.pixels.height()));
        let whole = self.projected_box(camera, pose)?;
        let cut = (whole.0.max(0.0), whole.1.max(0.0), whole.2.min(width), whole.3.min(height));
        let (inside, hidden, clear) = self.samples(camera, pose, picture);
        if inside.1 == 0 || (inside.0 as f64) < visibility.min_inside_share * inside.1 as f64 || inside.0 == 0 {
            return None;
        }
        if self.contrast(camera, forward_metres.hypot(left_metres), width) < visibility.min_contrast {
            return None;
        }
        let occluded_share = hidden as f64 / inside.0 as f64;
        let tight = if hidden == 0 {
            cut
        } else {
            clear.map(|c| (c.0.max(cut.0), c.1.max(cut.1), c.2.min(cut.2), c.3.min(cut.3)))?
        };
        let scale = 640.0 / width;
        let large = (tight.2 - tight.0) * scale >= visibility.min_width_px
            && (tight.3 - tight.1) * scale >= visibility.min_height_px;
        (large && occluded_share < visibility.max_occluded_share).then_some(())?;
        let box_in_image = BoundingBox::new(tight.0 as f32, tight.1 as f32, tight.2 as f32, tight.3 as f32)?;
        Some(VisibleDamage {
            id: self.id,
            class: self.class,
            box_in_image,
            forward_metres,
            left_metres,
            occluded_share,
        })
    }

    /// Change of brightness reached by the strongest fortieth of its area when seen from `distance_metres`: thin cracks fade away.
    #[must_use]
    pub fn contrast(&self, camera: &Camera, distance_metres: f64, width_px: f64) -> f32 {
        const STEPS: i32 = 24;
        let across =
            distance_metres / camera.intrinsics.focal_x_px * (f64::from(camera.intrinsics.width_px) / width_px);
        let along = across * distance_metres / camera.mounting.height_metres;
        let place = |k: i32, size: f64| (size * (f64::from(k) + 0.5) / f64::from(STEPS) - 0.5 * size) as f32;
        let averaged = (along / across).round().clamp(1.0, 6.0) as i32;
        let mut changes: Vec<f32> = Vec::with_capacity((STEPS * STEPS) as usize);
        for i in 0..STEPS {
            for j in 0..STEPS {
                let (u, v) = (place(i, self.length_metres), place(j, self.width_metres));
                let sum: f32 = (0..averaged)
                    .map(|k| {
                        let step = along as f32 * ((k as f32 + 0.5) / averaged as f32 - 0.5);
                        self.raster.at(u + step, v, across.max(along / f64::from(averaged) * 0.7) as f32).0
                    })
                    .sum();
                changes.push((sum / averaged as f32 - 1.0).abs());
            }
        }
        changes.sort_by(|a, b| b.total_cmp(a));
        changes[changes.len() / 40]
    }

    /// Samples the outline's inside and rim: (inside the picture, all), how many of them are hidden, bounds of the clear ones.
    #[allow(clippy::type_complexity)]
    fn samples(
        &self,
        camera: &Camera,
        pose: Pose,
        picture: &Picture,
    ) -> ((usize, usize), usize, Option<(f64, f64, f64, f64)>) {
        const RINGS: usize = 5;
        const BETWEEN: usize = 3;
        let (width, height) = (picture.pixels.width() as usize, picture.pixels.height() as usize);
        let (mut all, mut inside, mut hidden, mut clear) = (0, 0, 0, Vec::new());
        for (k, a) in self.outline.iter().enumerate() {
            let b = self.outline[(k + 1) % self.outline.len()];
            for step in 0..BETWEEN {
                let share = step as f32 / BETWEEN as f32;
                let rim = (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1));
                for ring in 1..=RINGS {
                    // Rings of equal area.
                    let out = (ring as f32 / RINGS as f32).sqrt();
                    all += 1;
                    let place = self.pose.local_from_vehicle(f64::from(rim.0 * out), f64::from(rim.1 * out));
                    let ground = pose.vehicle_from_local(place);
                    let Some(point) = paint::project_ground(camera, &[ground]).first().copied() else { continue };
                    if point.0 < 0.0 || point.1 < 0.0 || point.0 >= width as f32 || point.1 >= height as f32 {
                        continue;
                    }
                    inside += 1;
                    if picture.occluded[point.1 as usize * width + point.0 as usize] {
                        hidden += 1;
                    } else {
                        clear.push(point);
                    }
                }
            }
        }
        ((inside, all), hidden, bounds(&clear))
    }
}

fn bounds(points: &[(f32, f32)]) -> Option<(f64, f64, f64, f64)> {
    (!points.is_empty()).then(|| {
        points.iter().fold((f64::MAX, f64::MAX, f64::MIN, f64::MIN), |b, p| {
            let (x, y) = (f64::from(p.0), f64::from(p.1));
            (b.0.min(x), b.1.min(y), b.2.max(x), b.3.max(y))
        })
    })
}
