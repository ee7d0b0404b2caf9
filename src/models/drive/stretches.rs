//! Stretches of a way by their number: seen from near enough, damaged, with a sighting. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::way::Way;
use super::{LabelledBox, Point, REACH_METRES};
use crate::edge::camera::{Camera, GroundPoint, ImagePoint};
use crate::edge::config::{MountedCamera, assumed_camera};
use crate::edge::detection::BoundingBox;
use crate::edge::fix::Fix;
use crate::edge::locate::{AntennaOffset, LocateNoise, latlon_from_ground, locate};

/// What of the road a frame shows.
pub struct View {
    camera: Camera,
    /// Positions are the antenna's.
    antenna: AntennaOffset,
}

impl View {
    pub fn of(mounted: Option<MountedCamera>, width_px: u32, height_px: u32) -> Self {
        Self {
            camera: mounted.map_or_else(|| assumed_camera(width_px, height_px), |mounted| mounted.camera()),
            antenna: mounted.map_or_else(AntennaOffset::default, |mounted| mounted.antenna()),
        }
    }

    /// The nearest ground in the middle of the picture, metres ahead of the camera.
    pub fn nearest_metres(&self) -> f64 {
        let (width_px, height_px) = (self.camera.intrinsics.width_px, self.camera.intrinsics.height_px);
        let bottom = ImagePoint { x_px: 0.5 * f64::from(width_px), y_px: f64::from(height_px) };
        self.camera.ground_from_image(bottom).map_or(0.0, |point| point.forward_metres)
    }

    /// How far from the antenna something may lie along the way: sightings may be placed farther than labels.
    pub fn farthest_metres(&self) -> f64 {
        2.0 * REACH_METRES + self.antenna.forward_metres.abs()
    }

    /// The ground under a box: the middle of its near and of its far edge. `None` where that lies beyond the reach or nowhere.
    fn ground_under(&self, box_in_image: BoundingBox) -> Option<[GroundPoint; 2]> {
        let footprint = locate(&self.camera, box_in_image, &LocateNoise::default())?.footprint;
        let left_metres = footprint.centre().left_metres;
        let at = |forward_metres: f64| GroundPoint { forward_metres, left_metres };
        (footprint.near_metres < REACH_METRES)
            .then(|| [at(footprint.near_metres), at(footprint.far_metres.min(REACH_METRES))])
    }
}

pub struct Stretches {
    stretch_metres: f64,
    seen: BTreeSet<i64>,
    damaged: BTreeSet<i64>,
}

impl Stretches {
    /// `with_fix` are the numbers of the frames that the way was made from, with their fixes.
    pub fn new(
        way: &Way,
        view: &View,
        with_fix: &[(u64, Fix)],
        labels: &BTreeMap<u64, Vec<LabelledBox>>,
        stretch_metres: f64,
    ) -> Self {
        let mut road = Self { stretch_metres, seen: BTreeSet::new(), damaged: BTreeSet::new() };
        let nearest_metres = view.nearest_metres();
        for ((frame, fix), &antenna_at) in with_fix.iter().zip(way.chainages_metres()) {
            let camera_at = antenna_at - view.antenna.forward_metres;
            road.seen.extend(road.touched(camera_at + nearest_metres, camera_at + REACH_METRES));
            for label in labels.get(frame).into_iter().flatten() {
                let Some(ground) = view.ground_under(label.box_in_image) else { continue };
                let [near, far] =
                    ground.map(|point| way.chainage_near(latlon_from_ground(fix, view.antenna, point), antenna_at));
                road.damaged.extend(road.touched(near.min(far), near.max(far)));
            }
        }
        let known = &road.seen;
        road.damaged.retain(|stretch| known.contains(stretch));
        road
    }

    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    pub fn damaged(&self) -> usize {
        self.damaged.len()
    }

    fn stretch_of(&self, chainage_metres: f64) -> i64 {
        (chainage_metres / self.stretch_metres).floor() as i64
    }

    fn touched(&self, from_metres: f64, to_metres: f64) -> RangeInclusive<i64> {
        self.stretch_of(from_metres)..=self.stretch_of(to_metres)
    }

    /// Of sightings as (chainage of the centre, length), metres. What lies on a stretch that no frame showed from near enough is
    /// not judged.
    pub fn point(&self, threshold: f32, sightings: impl Iterator<Item = (f64, f64)>) -> Point {
        let mut with_sighting = BTreeSet::new();
        let (mut judged, mut right) = (0, 0);
        for (centre, length_metres) in sightings {
            let stretch = self.stretch_of(centre);
            if !self.seen.contains(&stretch) {
                continue;
            }
            judged += 1;
            right += usize::from(self.damaged.contains(&stretch));
            let half = 0.5 * length_metres;
            with_sighting.extend(self.touched(centre - half, centre + half).filter(|s| self.seen.contains(s)));
        }
        let found = self.damaged.intersection(&with_sighting).count();
        Point {
            threshold,
            sightings: judged,
            sightings_on_damage: right,
            damaged_stretches_with_sighting: found,
            found_share: (!self.damaged.is_empty()).then(|| found as f64 / self.damaged.len() as f64),
            right_share: (judged > 0).then(|| right as f64 / judged as f64),
            covered_share: with_sighting.len() as f64 / self.seen.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::way::tests::corner;
    use super::*;
    use crate::schema::DamageClass;

    #[test]
    fn shares_count_stretches_by_length_and_sightings_by_their_centre() {
        let road = Stretches { stretch_metres: 5.0, seen: (0..20).collect(), damaged: [2, 3, 10].into() };
        // From 11 to 17 m: both damaged stretches 2 and 3. At 47 m: on none. At 130 m and behind the start: not judged.
        let point = road.point(0.3, [(14.0, 6.0), (47.0, 1.0), (130.0, 1.0), (-1.0, 1.0)].into_iter());
        assert_eq!((point.sightings, point.sightings_on_damage, point.damaged_stretches_with_sighting), (2, 1, 2));
        assert_eq!((point.found_share, point.right_share), (Some(2.0 / 3.0), Some(0.5)));
        assert_eq!(point.covered_share, 3.0 / 20.0);
        let nothing = road.point(0.9, std::iter::empty());
        assert_eq!((nothing.found_share, nothing.right_share), (Some(0.0), None));
        let good_road = Stretches { damaged: BTreeSet::new(), ..road };
        assert_eq!(good_road.point(0.3, [(14.0, 6.0)].into_iter()).found_share, None);
    }

    #[test]
    fn labels_lie_on_the_way_around_the_corner_and_frames_without_a_fix_shift_nothing() {
        let view = View::of(None, 1024, 630);
        let fixes = corner();
        // Frames 0 and 1 had no fix: the first with one is frame 2.
        let with_fix: Vec<(u64, Fix)> = (2..).zip(fixes.iter().copied()).collect();
        let way = Way::driven(&fixes, view.farthest_metres()).unwrap();
        let label = |box_in_image| vec![LabelledBox { class: DamageClass::Pothole, box_in_image }];
        let near = BoundingBox::new(500.0, 500.0, 530.0, 560.0).unwrap();
        let [from, to] = view.ground_under(near).unwrap().map(|point| point.forward_metres);
        // Frame 2 + 6 was taken at 30 m, going north; frame 2 + 15 at 75 m, going east.
        for (frame, at) in [(8, 30.0), (17, 75.0)] {
            let road = Stretches::new(&way, &view, &with_fix, &BTreeMap::from([(frame, label(near))]), 1.0);
            let expected: BTreeSet<i64> = ((at + from).floor() as i64..=(at + to).floor() as i64).collect();
            assert_eq!(road.damaged, expected, "frame {frame}");
        }
        let unplaced = Stretches::new(&way, &view, &with_fix, &BTreeMap::from([(1, label(near))]), 1.0);
        assert_eq!(unplaced.damaged(), 0, "a frame without a fix has no place");
    }

    #[test]
    fn the_ground_under_a_label_ends_at_the_reach() {
        let view = View::of(None, 1024, 630);
        let ends = |b: [f32; 4]| {
            let box_in_image = BoundingBox::new(b[0], b[1], b[2], b[3]).unwrap();
            view.ground_under(box_in_image).map(|points| points.map(|point| point.forward_metres))
        };
        let [near, far] = ends([450.0, 500.0, 550.0, 600.0]).unwrap();
        assert!(near > 3.0 && far < 8.0 && near < far, "{near}–{far}");
        assert_eq!(ends([450.0, 90.0, 550.0, 600.0]).unwrap()[1], REACH_METRES);
        assert_eq!(ends([450.0, 60.0, 550.0, 80.0]), None);
    }
}
