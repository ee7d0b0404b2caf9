//! `umsicht edge calibrate`: reads pictures, calls the pure parts, prints and writes the result.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use image::RgbImage;
use time::OffsetDateTime;

use crate::clock::{Clock, SystemClock};
use crate::edge::calibrate::board::{self, Board, BoardError, BoardSize};
use crate::edge::calibrate::drive::{DriveLines, check_size, segments_of};
use crate::edge::calibrate::flat::flat_board;
use crate::edge::calibrate::grey::Grey;
use crate::edge::calibrate::lane::{self, Lane, LaneFit, LinePoints};
use crate::edge::calibrate::lens::{Lens, lens};
use crate::edge::calibrate::picture::drawn;
use crate::edge::calibrate::section::Calibration;
use crate::edge::camera::{Camera, ImagePoint, Intrinsics, Mounting};
use crate::edge::config::{CameraConfig, EdgeConfig, MountedCamera};
use crate::edge::frame::CameraImage;
use crate::edge::source::images::Timing;
use crate::edge::source::{self, FrameSource, SourceConfig};
use crate::failure::Failure;

pub const EXAMPLES: &str = "\
Examples:
  umsicht edge calibrate --config edge-road.toml --height-metres 1.42 --picture fits.png
      a drive from the configured source: pitch and yaw; the lens comes from the configuration
  umsicht edge calibrate --config edge-road.toml --from lane --input still.jpg --lane-width-metres 3.5
      one picture of a straight lane: pitch, yaw and height; lines are found, or given by --left-line and --right-line
  umsicht edge calibrate --config edge-road.toml --from board --board 9x6 --square-metres 0.1 --lens held/ --input flat.jpg
      a checkerboard held before the lens in 6 pictures or more, then flat on the road: all

What cannot be measured must be given: the lens (from the configuration or --horizontal-fov-degrees) for a drive and a lane, the height
for a drive, roll for both. The result is a section for the configuration, with residuals; look at --picture before
you use it: grid and lane must agree, and the horizon must lie on the horizon.";

const DRIVE_INTERVAL_MILLIS: u64 = 200;
const HELD_INTERVAL: Duration = Duration::from_millis(500);
const MAX_DRIVE_PICTURES: usize = 1500;
const MAX_HELD_PICTURES: usize = 40;
const FOLDER_INTERVAL: Duration = Duration::from_secs(1);
/// Measured by tape.
const TAPE_SIGMA_METRES: f64 = 0.02;
/// Where nobody has said how level the camera is.
const ROLL_SIGMA_DEGREES: f64 = 0.5;
/// No mean of a drive is better: streets have a crossfall.
const LEAST_SIGMA_DEGREES: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// The lines of the road over a drive: pitch and yaw.
    Drive,
    /// One picture of a lane of known width: pitch, yaw and height.
    Lane,
    /// A checkerboard: the lens, and lying on the road all of the mounting.
    Board,
}

#[derive(Debug, Args)]
pub struct CalibrateArguments {
    /// The device's settings: source, and what is known of the camera.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which of its cameras; else the first.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// What to measure from.
    #[arg(long, value_enum, default_value = "drive")]
    from: Method,
    /// A video, a folder of pictures or one picture; without it the configured source.
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// A picture from the drive this often; at most 1500 are looked at.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = DRIVE_INTERVAL_MILLIS, value_parser = clap::value_parser!(u64).range(20..=60_000))]
    interval_millis: u64,
    /// Of the lens above the road, by tape; else as configured.
    #[arg(long, value_name = "METRES", value_parser = height)]
    height_metres: Option<f64>,
    /// Of a lens without distortion, from its data sheet; else as configured.
    #[arg(long, value_name = "DEGREES", value_parser = field_of_view)]
    horizontal_fov_degrees: Option<f64>,
    /// Positive turns the picture's right side down; else as configured, or 0.
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    roll_degrees: Option<f64>,
    /// Of the lane, between the middles of its lines.
    #[arg(long, value_name = "METRES", value_parser = lane_width)]
    lane_width_metres: Option<f64>,
    /// Two points of the lane's left line in pixels; without both lines they are looked for.
    #[arg(long, value_name = "X1,Y1,X2,Y2", value_parser = LinePoints::from_text, requires = "right_line")]
    left_line: Option<LinePoints>,
    /// Two points of its right line.
    #[arg(long, value_name = "X1,Y1,X2,Y2", value_parser = LinePoints::from_text, requires = "left_line")]
    right_line: Option<LinePoints>,
    /// The board's inner corners, where four squares meet: 9x6 for 10 by 7 squares.
    #[arg(long, value_name = "COLUMNSxROWS", requires = "square_metres")]
    board: Option<BoardSize>,
    /// Side of the board's squares, measured.
    #[arg(long, value_name = "METRES", value_parser = square)]
    square_metres: Option<f64>,
    /// Pictures or a video of the board held before the lens at many angles; without it the lens is as configured.
    #[arg(long, value_name = "PATH")]
    lens: Option<PathBuf>,
    /// How far left of the line that the camera travels along the middle of the board on the road lies.
    #[arg(long, value_name = "METRES", default_value_t = 0.0, allow_negative_numbers = true)]
    board_left_metres: f64,
    /// Where the section goes as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a PNG goes that shows horizon, vanishing point and a grid in metres; of what the camera saw only coarse blocks remain.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// A calibration with the picture that it can be shown on.
struct Measured {
    calibration: Calibration,
    shown: Option<(CameraImage, Vec<(ImagePoint, ImagePoint)>)>,
}

impl CalibrateArguments {
    pub fn run(self) -> Result<(), Failure> {
        let config = EdgeConfig::read(&self.config)?;
        let mut result = match self.from {
            Method::Drive => self.from_drive(&config)?,
            Method::Lane => self.from_lane(&config)?,
            Method::Board => self.from_board(&config)?,
        };
        let now = SystemClock.now();
        let made = format!("Calibrated on {} by umsicht {}.", now.date(), crate::VERSION);
        result.calibration.remarks.insert(0, made);
        let section = format!("camera.{}.mounting", self.camera(&config)?.name);
        let text = result.calibration.to_toml(&section);
        print!("{text}");
        if let Some(path) = &self.out {
            std::fs::write(path, &text).map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))?;
        }
        if let Some(path) = &self.picture {
            let Some((image, marked)) = &result.shown else {
                return Err(Failure::usage("there is no picture of the road to draw on; give one by --input"));
            };
            let camera = Camera::new(result.calibration.intrinsics, result.calibration.mounting);
            save(&drawn(&camera, image, marked), path)?;
        }
        Ok(())
    }

    fn from_drive(&self, config: &EdgeConfig) -> Result<Measured, Failure> {
        let known = self.camera(config)?.mounted.as_ref();
        let mut source = self.source(config)?;
        let Some(first) = source.next()? else { return Err(Failure::data("the input holds no picture")) };
        let intrinsics = self.intrinsics(known, &first)?;
        let (height_metres, height_sigma_metres) = self.height(known).ok_or_else(|| {
            Failure::usage("a drive does not tell how high the camera is; measure it and give --height-metres")
        })?;
        let (roll_degrees, roll_sigma_degrees, roll_remark) = self.roll(known);
        let mut drive = DriveLines::new(intrinsics, roll_degrees);
        // The picture that shows most, for drawing on.
        let mut shown: Option<(usize, usize, CameraImage)> = None;
        let mut next = Some(first);
        while let Some(image) = next {
            let frames = drive.lines.frames();
            drive.look_at(&image).map_err(Failure::data)?;
            if drive.lines.frames() > frames {
                let lines = drive.lines.lines_in(frames);
                if shown.as_ref().is_none_or(|(most, _, _)| lines > *most) {
                    shown = Some((lines, frames, image));
                }
            }
            next = if drive.seen < MAX_DRIVE_PICTURES { source.next()? } else { None };
        }
        let found = drive.lines.vanishing_point().map_err(Failure::data)?;
        let pitching = found.pitching_degrees.unwrap_or(0.0);
        let mounting = Mounting {
            height_metres,
            pitch_degrees: found.pitch_degrees,
            roll_degrees,
            yaw_degrees: found.yaw_degrees,
            height_sigma_metres,
            pitch_sigma_degrees: found.pitch_sigma_degrees.hypot(pitching).max(LEAST_SIGMA_DEGREES),
            roll_sigma_degrees,
            yaw_sigma_degrees: found.yaw_sigma_degrees.max(LEAST_SIGMA_DEGREES),
        };
        let pitches = found.pitching_degrees.map_or_else(String::new, |degrees| {
            format!(" Single pictures scatter by {degrees:.2}° in pitch, which is part of pitch_sigma_degrees.")
        });
        let remarks = vec![
            format!(
                "From a drive: {} lines in {} of {} pictures ({} at standstill left out) meet, residual {:.2}° (root mean square).",
                found.lines, found.frames, drive.seen, drive.standing, found.rms_degrees
            ),
            format!(
                "Pitch ±{:.2}°, yaw ±{:.2}° as means over the drive.{pitches}",
                found.pitch_sigma_degrees, found.yaw_sigma_degrees
            ),
            format!("Given: the lens, the height. {roll_remark}"),
        ];
        let shown = shown.map(|(_, frame, image)| {
            let marked = drive.lines.agreeing(frame, &found).into_iter().map(|(s, _)| (s.from, s.to)).collect();
            (image, marked)
        });
        Ok(Measured { calibration: Calibration { intrinsics, mounting, remarks }, shown })
    }

    fn from_lane(&self, config: &EdgeConfig) -> Result<Measured, Failure> {
        let known = self.camera(config)?.mounted.as_ref();
        let width_metres = self.lane_width_metres.ok_or_else(|| {
            Failure::usage(
                "how wide is the lane? measure it between the middles of its lines and give --lane-width-metres",
            )
        })?;
        let Some(image) = self.source(config)?.next()? else { return Err(Failure::data("the input holds no picture")) };
        let (roll_degrees, roll_sigma_degrees, roll_remark) = self.roll(known);
        let lens = self.intrinsics(known, &image);
        let (left, right) = match (self.left_line, self.right_line, &lens) {
            (Some(left), Some(right), _) => (left, right),
            (_, _, Ok(lens)) => lane::find_lines(*lens, roll_degrees, &segments_of(&image)).map_err(Failure::data)?,
            (_, _, Err(_)) => {
                return Err(Failure::usage(
                    "without a lens the lines cannot be looked for; give --left-line and --right-line, or the lens by \
                     --horizontal-fov-degrees",
                ));
            }
        };
        let lane = Lane { left, right, width_metres, roll_degrees, roll_sigma_degrees };
        let (fit, how) = match (lens, self.height_metres) {
            (Ok(lens), None) => (lane::with_lens(&lane, lens).map_err(Failure::data)?, "the lens".to_owned()),
            (Ok(lens), Some(height)) => {
                let LaneFit { intrinsics, mounting, .. } = lane::with_lens(&lane, lens).map_err(Failure::data)?;
                // A tape at the vehicle beats one across the lane.
                let implied = width_metres * height / mounting.height_metres;
                let mounting = Mounting { height_metres: height, height_sigma_metres: TAPE_SIGMA_METRES, ..mounting };
                let check = format!("the lens and the height, from which the lane would be {implied:.2} m wide");
                (LaneFit { intrinsics, mounting, focal_sigma: None }, check)
            }
            (Err(_), Some(height)) => {
                let (width_px, height_px) = (image.width_px(), image.height_px());
                let fit = lane::with_height(&lane, width_px, height_px, height).map_err(Failure::data)?;
                let percent = 100.0 * fit.focal_sigma.unwrap_or(0.0);
                (fit, format!("the height; the focal length was found from it, ±{percent:.1} %"))
            }
            (Err(error), None) => return Err(error),
        };
        let m = &fit.mounting;
        let remarks = vec![
            format!(
                "From one picture of a lane {width_metres:.2} m wide: pitch ±{:.2}°, yaw ±{:.2}°, height ±{:.3} m.",
                m.pitch_sigma_degrees, m.yaw_sigma_degrees, m.height_sigma_metres
            ),
            format!("Given: {how}. {roll_remark}"),
            "Two lines through one point leave no residual: look at the picture.".to_owned(),
        ];
        let marked = vec![(left.one, left.other), (right.one, right.other)];
        let calibration = Calibration { intrinsics: fit.intrinsics, mounting: fit.mounting, remarks };
        Ok(Measured { calibration, shown: Some((image, marked)) })
    }

    fn from_board(&self, config: &EdgeConfig) -> Result<Measured, Failure> {
        let known = self.camera(config)?.mounted.as_ref();
        let (Some(size), Some(square_metres)) = (self.board, self.square_metres) else {
            return Err(Failure::usage(
                "which board? give its inner corners and squares, e.g. --board 9x6 --square-metres 0.1",
            ));
        };
        let board = Board { columns: size.columns, rows: size.rows, square_metres };
        let mut remarks = Vec::new();
        let held = self.lens.as_deref().map(|path| held_before_the_lens(path, &board)).transpose()?;
        if let Some((lens, looked_at)) = &held {
            remarks.push(format!(
                "Lens from a checkerboard in {} of {looked_at} pictures: reprojection {:.2} px (root mean square), focal length ±{:.1} px.",
                lens.pictures, lens.rms_px, lens.focal_sigma_px
            ));
        }
        let Some(path) = &self.input else {
            let Some((lens, _)) = held else {
                return Err(Failure::usage(
                    "give pictures of the board: --lens for those held before the lens, --input for one on the road",
                ));
            };
            let Some(known) = known else {
                return Err(Failure::usage(
                    "the lens is measured but nothing is known of the mounting; give --input with a picture of the board on the road, or \
                     write its mounting into the configuration first",
                ));
            };
            remarks
                .push("The mounting is as configured and was not measured: calibrate it next, with this lens.".into());
            let calibration = Calibration { intrinsics: lens.intrinsics, mounting: known.mounting, remarks };
            return Ok(Measured { calibration, shown: None });
        };
        let Some(image) = Pictures::open(path, Duration::ZERO)?.next()? else {
            return Err(Failure::data("the input holds no picture"));
        };
        let intrinsics = match &held {
            Some((lens, _)) => lens.intrinsics,
            None => self.intrinsics(known, &image)?,
        };
        check_size(&intrinsics, &image).map_err(Failure::data)?;
        let in_file = |e: &dyn std::fmt::Display| Failure::data(format!("{}: {e}", path.display()));
        let seen = corners(&image, &board).map_err(|e| in_file(&e))?;
        let found = flat_board(intrinsics, &board, &seen, self.board_left_metres).map_err(|e| in_file(&e))?;
        let m = &found.mounting;
        remarks.push(format!(
            "Mounting from the board on the road: {} corners, reprojection {:.2} px (root mean square).",
            seen.len(),
            found.rms_px
        ));
        remarks.push(format!(
            "Pitch ±{:.2}°, roll ±{:.2}°, yaw ±{:.2}°, height ±{:.3} m. The board's middle is {:.2} m ahead: compare with a tape.",
            m.pitch_sigma_degrees, m.roll_sigma_degrees, m.yaw_sigma_degrees, m.height_sigma_metres, found.forward_metres
        ));
        let marked = seen.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let calibration = Calibration { intrinsics, mounting: found.mounting, remarks };
        Ok(Measured { calibration, shown: Some((image, marked)) })
    }

    fn camera<'c>(&self, config: &'c EdgeConfig) -> Result<&'c CameraConfig, Failure> {
        let Some(name) = &self.camera else { return Ok(config.first_camera()) };
        config.cameras.iter().find(|camera| camera.name == *name).ok_or_else(|| {
            let names: Vec<&str> = config.cameras.iter().map(|camera| camera.name.as_str()).collect();
            Failure::usage(format!("there is no camera {name}; the configuration has {}", names.join(", ")))
        })
    }

    fn source(&self, config: &EdgeConfig) -> Result<Pictures, Failure> {
        let interval = Duration::from_millis(self.interval_millis);
        match &self.input {
            Some(path) => Pictures::open(path, interval),
            None => Pictures::from_source(&self.camera(config)?.settings.source, interval),
        }
    }

    /// The lens at the size of the pictures.
    fn intrinsics(&self, known: Option<&MountedCamera>, image: &CameraImage) -> Result<Intrinsics, Failure> {
        if let Some(fov) = self.horizontal_fov_degrees {
            return Ok(Intrinsics::from_horizontal_fov(image.width_px(), image.height_px(), fov));
        }
        let known = known.ok_or_else(|| {
            Failure::usage(
                "nothing is known of the lens; give --horizontal-fov-degrees from its data sheet, or calibrate it with --from board --lens",
            )
        })?;
        check_size(&known.intrinsics, image).map_err(Failure::data)?;
        Ok(known.intrinsics)
    }

    fn height(&self, known: Option<&MountedCamera>) -> Option<(f64, f64)> {
        let configured = known.map(|k| (k.mounting.height_metres, k.mounting.height_sigma_metres));
        self.height_metres.map(|height| (height, TAPE_SIGMA_METRES)).or(configured)
    }

    fn roll(&self, known: Option<&MountedCamera>) -> (f64, f64, String) {
        match (self.roll_degrees, known) {
            (Some(roll), _) => (roll, ROLL_SIGMA_DEGREES, "Roll was given, not measured.".into()),
            (None, Some(known)) => {
                let m = &known.mounting;
                (m.roll_degrees, m.roll_sigma_degrees, "Roll is as configured, not measured.".into())
            }
            (None, None) => {
                (0.0, 1.0, "Roll is taken as 0: check with a spirit level that the camera is level.".into())
            }
        }
    }
}

/// The lens, and how many pictures were looked at.
fn held_before_the_lens(path: &Path, board: &Board) -> Result<(Lens, usize), Failure> {
    let mut pictures = Pictures::open(path, HELD_INTERVAL)?;
    let (mut found, mut size, mut looked_at, mut last) = (Vec::new(), None, 0, BoardError::NotFound);
    while found.len() < MAX_HELD_PICTURES {
        let Some(image) = pictures.next()? else { break };
        looked_at += 1;
        let here = (image.width_px(), image.height_px());
        if *size.get_or_insert(here) != here {
            return Err(Failure::data(format!(
                "{}: pictures of different sizes; use those of one camera",
                path.display()
            )));
        }
        match corners(&image, board) {
            Ok(corners) => found.push(corners),
            Err(error) => last = error,
        }
    }
    let Some((width_px, height_px)) = size else {
        return Err(Failure::data(format!("{}: holds no picture", path.display())));
    };
    let lens = lens(width_px, height_px, board, &found).map_err(|e| {
        let why = if found.len() < looked_at { format!(" In the others: {last}.") } else { String::new() };
        Failure::data(format!("{}: {e}.{why}", path.display()))
    })?;
    Ok((lens, looked_at))
}

fn corners(image: &CameraImage, board: &Board) -> Result<Vec<ImagePoint>, BoardError> {
    board::find(&Grey::of(image), board.columns, board.rows)
}

/// Pictures of a source, some time apart.
struct Pictures {
    source: Option<Box<dyn FrameSource>>,
    single: Option<CameraImage>,
    interval: Duration,
    next_at: Duration,
}

impl Pictures {
    fn open(path: &Path, interval: Duration) -> Result<Self, Failure> {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if path.is_dir() {
            let table = path.join("times.csv");
            let timing = if table.exists() { Timing::Table(table) } else { Timing::Interval(FOLDER_INTERVAL) };
            return Self::from_source(&SourceConfig::Images { folder: path.to_owned(), timing }, interval);
        }
        if matches!(ending.as_deref(), Some("jpg" | "jpeg" | "png" | "webp")) {
            let wrong = |e: &dyn std::fmt::Display| {
                Failure::data(format!("{}: is no picture that can be read: {e}", path.display()))
            };
            let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
            let pixels = reader.map_err(|e| wrong(&e))?.decode().map_err(|e| wrong(&e))?.into_rgb8();
            let single = Some(CameraImage::new(pixels));
            return Ok(Self { source: None, single, interval, next_at: Duration::ZERO });
        }
        Self::from_source(&SourceConfig::File { path: path.to_owned() }, interval)
    }

    fn from_source(config: &SourceConfig, interval: Duration) -> Result<Self, Failure> {
        // When the pictures were taken does not matter here.
        let source = source::open(config, OffsetDateTime::UNIX_EPOCH).map_err(Failure::data)?;
        Ok(Self { source: Some(source), single: None, interval, next_at: Duration::ZERO })
    }

    fn next(&mut self) -> Result<Option<CameraImage>, Failure> {
        if let Some(single) = self.single.take() {
            return Ok(Some(single));
        }
        let Some(source) = &mut self.source else { return Ok(None) };
        while let Some(captured) = source.next_image().map_err(Failure::data)? {
            if captured.stream_time >= self.next_at {
                self.next_at = captured.stream_time + self.interval;
                return Ok(Some(captured.image));
            }
        }
        Ok(None)
    }
}

fn save(picture: &RgbImage, path: &Path) -> Result<(), Failure> {
    let saved = picture.save_with_format(path, image::ImageFormat::Png);
    saved.map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}

fn within(text: &str, low: f64, high: f64, example: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| (low..=high).contains(n));
    number.ok_or_else(|| format!("write a number from {low} to {high}, e.g. {example}"))
}

fn height(text: &str) -> Result<f64, String> {
    within(text, 0.3, 5.0, "1.42")
}

fn field_of_view(text: &str) -> Result<f64, String> {
    within(text, 20.0, 150.0, "65")
}

fn lane_width(text: &str) -> Result<f64, String> {
    within(text, 1.0, 8.0, "3.5")
}

fn square(text: &str) -> Result<f64, String> {
    within(text, 0.005, 1.0, "0.1")
}
