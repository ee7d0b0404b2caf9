//! The simulated camera of a drive as a source of frames, and a log of what it truly showed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::edge::camera::{Camera, Intrinsics, Mounting};
use crate::edge::fix::Fix;
use crate::edge::frame::CameraImage;
use crate::edge::source::{CapturedImage, FrameSource, SourceError};
use crate::geo::EastNorth;
use crate::world::damage::{Damage, Visibility, VisibleDamage};
use crate::world::drive::Drive;
use crate::world::optics::Optics;
use crate::world::render::{Picture, Renderer};
use crate::world::scene::Pose;
use crate::world::score::{self, Placed};
use crate::world::town::Town;

/// Damages seen from no further than this must be found.
pub const NEAR_METRES: f64 = 12.0;
/// Shown in fewer frames than this a damage counts as not shown.
const FRAMES_TO_COUNT: u32 = 4;

/// The demo's camera behind a windscreen: 1.6 m high, 10° down, 65° wide, exactly known.
#[must_use]
pub fn windscreen_camera(width_px: u32, height_px: u32) -> Camera {
    let mounting = Mounting {
        height_metres: 1.6,
        pitch_degrees: 10.0,
        roll_degrees: 0.0,
        yaw_degrees: 0.0,
        height_sigma_metres: 0.01,
        pitch_sigma_degrees: 0.1,
        roll_sigma_degrees: 0.1,
        yaw_sigma_degrees: 0.1,
    };
    Camera::new(Intrinsics::from_horizontal_fov(width_px, height_px, 65.0), mounting)
}

/// What the drive has shown so far, by damage id.
#[derive(Debug, Clone, Default)]
pub struct TruthLog {
    shown: BTreeMap<usize, Shown>,
}

#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Frames that showed it at all.
    pub frames: u32,
    /// When frames showed it within [`NEAR_METRES`].
    pub near_at: Vec<OffsetDateTime>,
}

impl TruthLog {
    fn note(&mut self, at: OffsetDateTime, visible: &[VisibleDamage]) {
        for damage in visible {
            let shown = self.shown.entry(damage.id).or_default();
            shown.frames += 1;
            if damage.forward_metres.hypot(damage.left_metres) <= NEAR_METRES {
                shown.near_at.push(at);
            }
        }
    }

    #[must_use]
    pub fn shown(&self) -> &BTreeMap<usize, Shown> {
        &self.shown
    }

    /// The damages that must be found, and those that were seen from further away only; each where it is and where the log
    /// `noisy` puts it, given the log `perfect` of the same drive.
    #[must_use]
    pub fn wanted_and_tolerated(
        &self,
        town: &Town,
        perfect: &[Fix],
        noisy: &[Fix],
    ) -> (Vec<score::Truth>, Vec<score::Truth>) {
        let near = |id: usize| self.shown.get(&id).is_some_and(|s| s.near_at.len() >= FRAMES_TO_COUNT as usize);
        let (wanted, others): (Vec<_>, Vec<_>) = town.damages.iter().partition(|d| near(d.id));
        let truth = |d: &Damage| {
            let times = self.shown.get(&d.id).map_or(&[][..], |shown| &shown.near_at);
            let off = score::mean_error(perfect, noisy, times).unwrap_or(EastNorth::new(0.0, 0.0));
            let at = d.pose.position;
            let logged = EastNorth::new(at.east_metres + off.east_metres, at.north_metres + off.north_metres);
            let placed = Placed { class: d.class, position: town.position_of(d) };
            score::Truth { placed, logged: town.frame.latlon_from_local(logged) }
        };
        (wanted.into_iter().map(truth).collect(), others.into_iter().map(truth).collect())
    }
}

/// One frame of a drive with its truth.
#[derive(Debug)]
pub struct Truth {
    pub captured_at: OffsetDateTime,
    pub pose: Pose,
    pub picture: Picture,
    pub visible: Vec<VisibleDamage>,
}

/// Renders a drive frame by frame, as fast as it is asked.
#[derive(Debug)]
pub struct WorldSource {
    town: Arc<Town>,
    drive: Drive,
    renderer: Renderer,
    frame_interval: Duration,
    next_frame: u32,
    log: Arc<Mutex<TruthLog>>,
}

impl WorldSource {
    #[must_use]
    pub fn new(town: Arc<Town>, drive: Drive, camera: Camera, frames_per_second: u32) -> Self {
        Self {
            town,
            drive,
            renderer: Renderer::new(Optics::new(camera)),
            frame_interval: Duration::from_secs(1) / frames_per_second.max(1),
            next_frame: 0,
            log: Arc::default(),
        }
    }

    /// Filled while frames are taken; may be read at any time.
    #[must_use]
    pub fn truth_log(&self) -> Arc<Mutex<TruthLog>> {
        Arc::clone(&self.log)
    }

    /// Frame `number` of the drive; the same number gives the same frame.
    #[must_use]
    pub fn frame(&self, number: u32) -> Truth {
        let captured_at = self.drive.started_at + self.frame_interval * number;
        let pose = self.drive.pose_at(captured_at);
        let picture = self.renderer.render(&self.town.scene, pose, number);
        let camera = &self.renderer.optics.camera;
        let seen = |d: &crate::world::damage::Damage| d.seen(camera, pose, &picture, &Visibility::TRUTH);
        let visible = self.town.damages.iter().filter_map(seen).collect();
        Truth { captured_at, pose, picture, visible }
    }
}

impl FrameSource for WorldSource {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        let stream_time = self.frame_interval * self.next_frame;
        if stream_time >= self.drive.duration {
            return Ok(None);
        }
        let truth = self.frame(self.next_frame);
        self.next_frame += 1;
        self.log.lock().unwrap_or_else(PoisonError::into_inner).note(truth.captured_at, &truth.visible);
        Ok(Some(CapturedImage {
            captured_at: truth.captured_at,
            stream_time,
            image: CameraImage::new(truth.picture.pixels),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::camera::GroundPoint;
    use crate::world::split::Split;
    use time::macros::datetime;

    fn source(seed: u64) -> WorldSource {
        let town = Arc::new(Town::generate(seed, Split::Test));
        let drive = Drive::new(&town.route, datetime!(2026-05-04 08:00 UTC), Duration::from_secs(60));
        WorldSource::new(town, drive, windscreen_camera(640, 360), 25)
    }

    #[test]
    fn a_frame_depends_on_its_number_only() {
        let (a, b) = (source(5), source(5));
        let pixels = |s: &WorldSource, k: u32| s.frame(k).picture.pixels.into_raw();
        assert_eq!(pixels(&a, 40), pixels(&b, 40));
        assert_ne!(pixels(&a, 40), pixels(&a, 41));
        assert_ne!(pixels(&a, 40), pixels(&source(6), 40));
    }

    #[test]
    fn boxes_are_the_projected_outlines_and_hold_the_middle() {
        let source = source(5);
        let camera = windscreen_camera(640, 360);
        let mut checked = 0;
        for number in (0..1500).step_by(25) {
            let truth = source.frame(number);
            for seen in &truth.visible {
                let damage = &source.town.damages[seen.id];
                let b = seen.box_in_image;
                let middle = GroundPoint { forward_metres: seen.forward_metres, left_metres: seen.left_metres };
                let middle = camera.image_from_ground(middle).unwrap();
                if seen.occluded_share > 0.0 {
                    continue;
                }
                let (x, y) = (middle.x_px as f32, middle.y_px as f32);
                let inside = (0.0..640.0).contains(&x) && (0.0..360.0).contains(&y);
                assert!(!inside || (b.x0 <= x && x <= b.x1 && b.y0 <= y && y <= b.y1), "{seen:?} {middle:?}");
                // Project every corner of the outline by hand.
                let corners: Vec<_> = damage
                    .outline_on_ground()
                    .into_iter()
                    .map(|p| truth.pose.vehicle_from_local(p))
                    .map(|(forward_metres, left_metres)| GroundPoint { forward_metres, left_metres })
                    .filter_map(|p| camera.image_from_ground(p))
                    .collect();
                let edge = |of: fn(&crate::edge::camera::ImagePoint) -> f64, limit: f64| {
                    let values = corners.iter().map(of);
                    let (low, high) = values.fold((f64::MAX, f64::MIN), |e, v| (e.0.min(v), e.1.max(v)));
                    (low.max(0.0) as f32, high.min(limit) as f32)
                };
                let ((x0, x1), (y0, y1)) = (edge(|p| p.x_px, 640.0), edge(|p| p.y_px, 360.0));
                for (own, projected) in [(b.x0, x0), (b.x1, x1), (b.y0, y0), (b.y1, y1)] {
                    assert!((own - projected).abs() < 0.05, "{seen:?}");
                }
                checked += 1;
            }
        }
        assert!(checked > 40, "{checked}");
    }

    #[test]
    fn where_the_truth_says_damage_the_picture_changes() {
        let mut source = source(5);
        let with: Vec<Truth> = (0..1500).step_by(75).map(|k| source.frame(k)).collect();
        let town = Arc::get_mut(&mut source.town).expect("nobody else holds this town");
        town.scene.decals.retain(|decal| town.damages.iter().all(|d| d.pose.position != decal.pose.position));
        let mut checked = 0;
        for (k, truth) in with.iter().enumerate() {
            let without = source.frame(75 * k as u32).picture;
            for seen in truth.visible.iter().filter(|s| s.forward_metres < 12.0) {
                let b = seen.box_in_image;
                let (mut changed, mut all) = (0, 0);
                for y in b.y0 as u32..(b.y1 as u32).min(360) {
                    for x in b.x0 as u32..(b.x1 as u32).min(640) {
                        let (p, q) = (truth.picture.pixels.get_pixel(x, y), without.pixels.get_pixel(x, y));
                        changed += u32::from(p.0.iter().zip(q.0).any(|(a, b)| a.abs_diff(b) > 4));
                        all += 1;
                    }
                }
                assert!(f64::from(changed) > 0.02 * f64::from(all), "{changed} of {all} pixels of {seen:?}");
                checked += 1;
            }
        }
        assert!(checked > 5);
    }

    #[test]
    fn a_drive_shows_most_damages_near_and_some_twice() {
        let mut source = source(2);
        source.renderer = Renderer::new(Optics::new(windscreen_camera(320, 180)));
        let town = Arc::clone(&source.town);
        assert!((22..=42).contains(&town.damages.len()), "{} damages", town.damages.len());
        let log = source.truth_log();
        source.frame_interval = Duration::from_millis(200);
        while source.next_image().unwrap().is_some() {}
        let log = log.lock().unwrap().clone();
        let near = log.shown().values().filter(|s| !s.near_at.is_empty());
        assert!(near.count() * 10 >= town.damages.len() * 7);
        let long_apart = |s: &&Shown| s.near_at.windows(2).any(|w| w[1] - w[0] > Duration::from_secs(15));
        assert!(log.shown().values().filter(long_apart).count() >= 3);
    }
}
