//! A short drive along a straight road with coloured patches, as a folder of pictures with its GNSS log: a clip that a
//! test makes anew each time, to the same pixel. The model in `fixtures/colours` finds the patches.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{Rgb, RgbImage};
use time::OffsetDateTime;
use time::macros::datetime;
use umsicht::edge::camera::{Camera, ImagePoint, Intrinsics, Mounting};
use umsicht::geo::{EastNorth, LatLon, LocalFrame, direction_of};
use umsicht::schema::DamageClass;

pub const WIDTH_PX: u32 = 480;
pub const HEIGHT_PX: u32 = 300;
pub const STARTED_AT: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);
const FRAME_INTERVAL: Duration = Duration::from_millis(200);
const FIX_INTERVAL: Duration = Duration::from_millis(500);
const START: LatLon = LatLon { lat: 50.05, lon: 9.40 };
const HEADING_DEGREES: f64 = 40.0;
/// Beyond this the road is not drawn, so that no two patches of one colour are in one picture.
const DRAWN_METRES: f64 = 24.0;
const SKY: Rgb<u8> = Rgb([200, 200, 200]);

/// A rectangle on the road: metres along the road from the start and to the left of the camera's way.
#[derive(Debug, Clone, Copy)]
pub struct Patch {
    pub class: DamageClass,
    pub along_metres: f64,
    pub left_metres: f64,
    pub length_metres: f64,
    pub width_metres: f64,
}

impl Patch {
    fn covers(&self, along_metres: f64, left_metres: f64) -> bool {
        (along_metres - self.along_metres).abs() <= 0.5 * self.length_metres
            && (left_metres - self.left_metres).abs() <= 0.5 * self.width_metres
    }

    fn colour(&self) -> Rgb<u8> {
        match self.class {
            DamageClass::LongitudinalCrack => Rgb([60, 60, 200]),
            DamageClass::AlligatorCrack => Rgb([60, 180, 60]),
            DamageClass::Pothole => Rgb([210, 60, 60]),
            other => panic!("the model does not know {other}"),
        }
    }

    pub fn position(&self) -> LatLon {
        on_road(self.along_metres, self.left_metres)
    }
}

pub struct Clip {
    pub patches: Vec<Patch>,
    /// Seconds since the start → metres driven.
    pub along_at: fn(f64) -> f64,
    pub duration: Duration,
}

impl Clip {
    /// Writes the pictures of a part of the drive, with their times, into a new folder; its first picture is at `from`.
    pub fn write_pictures(&self, folder: &Path, from: Duration, to: Duration) -> PathBuf {
        self.assert_colours_apart();
        let pictures = folder.join(format!("pictures-{}", from.as_millis()));
        fs::create_dir(&pictures).unwrap();
        let mut times = "file,stream_time_seconds\n".to_owned();
        let mut at = from;
        while at < to.min(self.duration) {
            let name = format!("{:06}.png", at.as_millis());
            self.picture((self.along_at)(at.as_secs_f64())).save(pictures.join(&name)).unwrap();
            writeln!(times, "{name},{}", (at - from).as_secs_f64()).unwrap();
            at += FRAME_INTERVAL;
        }
        fs::write(pictures.join("times.csv"), times).unwrap();
        pictures
    }

    /// Writes the whole drive's positions; the first fix is at the start.
    pub fn write_log(&self, folder: &Path) -> PathBuf {
        let mut text = String::new();
        let mut at = Duration::ZERO;
        while at <= self.duration + FIX_INTERVAL {
            let (before, after) = (at.saturating_sub(FIX_INTERVAL / 2), at + FIX_INTERVAL / 2);
            let way = (self.along_at)(after.as_secs_f64()) - (self.along_at)(before.as_secs_f64());
            let speed = way / (after - before).as_secs_f64();
            text += &rmc(STARTED_AT + at, on_road((self.along_at)(at.as_secs_f64()), 0.0), speed);
            at += FIX_INTERVAL;
        }
        let log = folder.join("drive.nmea");
        fs::write(&log, text).unwrap();
        log
    }

    /// The model puts one box around all of a colour, so two such patches in one picture would be one damage between them.
    fn assert_colours_apart(&self) {
        for (k, one) in self.patches.iter().enumerate() {
            for other in self.patches[k + 1..].iter().filter(|other| other.class == one.class) {
                let apart_metres = (one.along_metres - other.along_metres).abs();
                let road_between = apart_metres - 0.5 * (one.length_metres + other.length_metres);
                assert!(road_between >= DRAWN_METRES, "two patches of {} are {apart_metres} m apart", one.class);
            }
        }
    }

    fn picture(&self, driven_metres: f64) -> RgbImage {
        let camera = camera();
        RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |x, y| {
            let point = ImagePoint { x_px: f64::from(x) + 0.5, y_px: f64::from(y) + 0.5 };
            let Some(ground) = camera.ground_from_image(point).filter(|g| g.forward_metres < DRAWN_METRES) else {
                return SKY;
            };
            let along = driven_metres + ground.forward_metres;
            let patch = self.patches.iter().find(|patch| patch.covers(along, ground.left_metres));
            patch.map_or_else(|| asphalt(along, ground.left_metres), Patch::colour)
        })
    }
}

/// Grey, with a grain that lies on the road and moves with it.
fn asphalt(along_metres: f64, left_metres: f64) -> Rgb<u8> {
    let (a, b) = ((along_metres * 20.0).floor() as i64, (left_metres * 20.0).floor() as i64);
    let grain = (a.wrapping_mul(73_856_093) ^ b.wrapping_mul(19_349_663)).rem_euclid(23) as u8;
    Rgb([80 + grain; 3])
}

fn on_road(along_metres: f64, left_metres: f64) -> LatLon {
    let ahead = direction_of(HEADING_DEGREES);
    LocalFrame::at(START).latlon_from_local(EastNorth::new(
        along_metres * ahead.east_metres - left_metres * ahead.north_metres,
        along_metres * ahead.north_metres + left_metres * ahead.east_metres,
    ))
}

/// The camera of every clip: 1.6 m high, 10° down, 65° wide.
fn camera() -> Camera {
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
    Camera::new(Intrinsics::from_horizontal_fov(WIDTH_PX, HEIGHT_PX, 65.0), mounting)
}

/// The same camera as a configuration states it.
pub const CAMERA: &str = "[camera.front.mounting]\nwidth_px = 480\nheight_px = 300\nhorizontal_fov_degrees = 65.0\nheight_metres = 1.6\n\
    pitch_degrees = 10.0\nheight_sigma_metres = 0.01\npitch_sigma_degrees = 0.1\nroll_sigma_degrees = 0.1\n\
    yaw_sigma_degrees = 0.1\n";

/// Writes the configuration of a device with this camera and the model that finds the patches.
pub fn write_config(folder: &Path, backend: &str) -> PathBuf {
    let config = folder.join(format!("{backend}.toml"));
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\nkind = \"images\"\nfolder = \"unused\"\ninterval_millis = 200\n\
         [gnss]\nkind = \"file\"\nfile = \"unused\"\n{CAMERA}[model]\nfolder = \"{}\"\nbackend = \"{backend}\"\n\
         [spool]\nfolder = \"unused\"\n[broker]\nhost = \"unused\"\n",
        models().display()
    );
    fs::write(&config, text).unwrap();
    config
}

/// The folder of the model that finds the patches.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/colours")
}

fn rmc(at: OffsetDateTime, place: LatLon, speed_metres_per_second: f64) -> String {
    let angle =
        |degrees: f64, width: usize| format!("{:0width$}{:010.7}", degrees.trunc() as u32, degrees.fract() * 60.0);
    let body = format!(
        "GNRMC,{:02}{:02}{:02}.{:02},A,{},N,{},E,{:.3},{HEADING_DEGREES:.1},{:02}{:02}{:02},,,A",
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond() / 10,
        angle(place.lat, 2),
        angle(place.lon, 3),
        speed_metres_per_second / 1852.0 * 3600.0,
        at.day(),
        u8::from(at.month()),
        at.year() % 100,
    );
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{checksum:02X}\r\n")
}
