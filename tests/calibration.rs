//! The camera is measured from what it sees, and a device is accepted by what it reports: through the real program.
//!
//! The simulated town gives drives whose camera is known to the last digit. Real drives need data that is no part of this project;
//! their mounting was estimated, not measured, so only agreement with that estimate is tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use time::macros::datetime;
use umsicht::edge::calibrate::drive::DriveLines;
use umsicht::edge::calibrate::horizon::{Horizon, horizon};
use umsicht::edge::camera::{Camera, Intrinsics, Mounting};
use umsicht::edge::config::{EdgeConfig, assumed_camera};
use umsicht::edge::frame::CameraImage;
use umsicht::schema::DamageClass;
use umsicht::world::{Drive, Split, Town, WorldSource};

use crate::support::clip::{self, Clip, Patch};
use crate::support::{outcome, real_data, umsicht};

fn mounting(pitch: f64, roll: f64, yaw: f64) -> Mounting {
    Mounting {
        height_metres: 1.6,
        pitch_degrees: pitch,
        roll_degrees: roll,
        yaw_degrees: yaw,
        height_sigma_metres: 0.02,
        pitch_sigma_degrees: 0.2,
        roll_sigma_degrees: 0.2,
        yaw_sigma_degrees: 0.2,
    }
}

/// Every tenth frame of two minutes, corners included.
fn pictures(camera: Camera, seed: u64) -> Vec<CameraImage> {
    let town = Arc::new(Town::generate(seed, Split::Test));
    let drive = Drive::new(&town.route, datetime!(2026-05-04 08:00 UTC), Duration::from_secs(120));
    let source = WorldSource::new(town, drive, camera, 25);
    (0..60).map(|k| CameraImage::new(source.frame(k * 25).picture.pixels)).collect()
}

#[test]
fn a_drive_through_the_town_gives_pitch_and_yaw() {
    let lens = Intrinsics::from_horizontal_fov(640, 360, 65.0);
    for (seed, pitch, roll, yaw) in [(3, 10.0, 0.0, 0.0), (5, 6.0, 1.5, -4.0), (8, 22.0, -1.0, 5.0)] {
        let truth = Camera::new(lens, mounting(pitch, roll, yaw));
        let seen = pictures(truth, seed);
        let mut drive = DriveLines::new(lens, roll);
        for image in &seen {
            drive.look_at(image).unwrap();
        }
        let found = drive.lines.vanishing_point().unwrap();
        eprintln!("truth {pitch} {yaw}: {found:?}");
        assert!((found.pitch_degrees - pitch).abs() < 0.5, "{found:?}");
        assert!((found.yaw_degrees - yaw).abs() < 0.7, "{found:?}");
        assert!((found.pitch_degrees - pitch).abs() < 4.0 * found.pitch_sigma_degrees.max(0.1), "{found:?}");

        // The check sees that all is well, and that a camera was knocked by 3°.
        assert!(matches!(horizon(&truth, seen.iter().take(30)), Horizon::Fits(_)));
        let believed = truth.with_mounting(mounting(pitch - 3.0, roll, yaw));
        let told = horizon(&believed, seen.iter().take(30));
        assert!(matches!(told, Horizon::Moved(_)), "{told:?}");
    }
}

fn calibrate(config: &Path, arguments: &[&str]) -> Output {
    umsicht().args(["edge", "calibrate", "--config"]).arg(config).args(arguments).output().unwrap()
}

/// A configuration that has the given section and pictures from a folder.
fn config(folder: &Path, camera: &str) -> PathBuf {
    let path = folder.join("edge.toml");
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\nkind = \"images\"\nfolder = \"pictures\"\ninterval_millis = 1000\n\
         [gnss]\nkind = \"file\"\nfile = \"unused\"\n{camera}[model]\nfolder = \"unused\"\n[spool]\nfolder = \"unused\"\n[broker]\nhost = \"unused\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn what_is_printed_can_be_put_into_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let truth = Camera::new(Intrinsics::from_horizontal_fov(640, 360, 65.0), mounting(9.0, 0.0, 2.0));
    let town = Arc::new(Town::generate(3, Split::Test));
    let drive = Drive::new(&town.route, datetime!(2026-05-04 08:00 UTC), Duration::from_secs(120));
    let source = WorldSource::new(town, drive, truth, 25);
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for k in 0..40 {
        source.frame(k * 25).picture.pixels.save(folder.path().join(format!("pictures/{k:03}.png"))).unwrap();
    }
    let path = config(folder.path(), "");
    let (out, picture) = (folder.path().join("camera.toml"), folder.path().join("fits.png"));
    let (out_text, picture_text) = (out.display().to_string(), picture.display().to_string());
    let output = calibrate(
        &path,
        &["--horizontal-fov-degrees", "65", "--height-metres", "1.6", "--out", &out_text, "--picture", &picture_text],
    );
    assert!(output.status.success(), "{}", outcome(&output, folder.path()));
    let section = fs::read_to_string(&out).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), section);
    assert!(section.contains("residual") && section.contains("Roll is taken as 0"), "{section}");
    let read = EdgeConfig::read(&config(folder.path(), &section)).unwrap().cameras[0].mounted.unwrap();
    assert!((read.mounting.pitch_degrees - 9.0).abs() < 0.5, "{section}");
    assert!((read.mounting.yaw_degrees - 2.0).abs() < 0.7, "{section}");
    assert!((read.intrinsics.focal_x_px - truth.intrinsics.focal_x_px).abs() < 0.01);
    assert_eq!(image::open(&picture).unwrap().width(), 640);
}

#[test]
fn a_lane_of_known_width_gives_the_height() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::new(Intrinsics::from_horizontal_fov(960, 540, 65.0), mounting(9.0, 0.0, 2.0));
    // Two lines 0.15 m wide, the left one broken, middles 3.5 m apart.
    let still = image::RgbImage::from_fn(960, 540, |x, y| {
        let samples = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].map(|(dx, dy)| {
            let point = umsicht::edge::camera::ImagePoint { x_px: f64::from(x) + dx, y_px: f64::from(y) + dy };
            let Some(ground) = camera.ground_from_image(point) else { return 180.0 };
            let on = |middle: f64| (ground.left_metres - middle).abs() < 0.075;
            let paint = (on(1.9) && ground.forward_metres % 9.0 < 5.0) || on(-1.6);
            let grain = f64::from((x * 7919 + y * 104_729) % 13);
            if paint { 215.0 } else { 85.0 + grain }
        });
        image::Rgb([(samples.iter().sum::<f64>() / 4.0) as u8; 3])
    });
    let path = folder.path().join("still.png");
    still.save(&path).unwrap();
    let path = path.display().to_string();
    let known = config(folder.path(), "");
    let output = calibrate(
        &known,
        &["--from", "lane", "--input", &path, "--lane-width-metres", "3.5", "--horizontal-fov-degrees", "65"],
    );
    assert!(output.status.success(), "{}", outcome(&output, folder.path()));
    let section = String::from_utf8(output.stdout).unwrap();
    let read = EdgeConfig::read(&config(folder.path(), &section)).unwrap().cameras[0].mounted.unwrap().mounting;
    assert!((read.height_metres - 1.6).abs() < 0.04, "{section}");
    assert!((read.pitch_degrees - 9.0).abs() < 0.3 && (read.yaw_degrees - 2.0).abs() < 0.3, "{section}");
}

#[test]
fn bad_input_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("bare.png");
    image::RgbImage::from_pixel(640, 360, image::Rgb([90; 3])).save(&bare).unwrap();
    let bare = bare.display().to_string();
    let section = "[camera.front.mounting]\nwidth_px = 1280\nheight_px = 720\nhorizontal_fov_degrees = 65\nheight_metres = 1.4\npitch_degrees = 4\n";
    let (unknown, known) = (folder.path().join("a"), folder.path().join("b"));
    for path in [&unknown, &known] {
        fs::create_dir(path).unwrap();
    }
    let (unknown, known) = (config(&unknown, ""), config(&known, section));
    let fov = ["--horizontal-fov-degrees", "65"];
    let cases: [(&Path, Vec<&str>, i32, &str); 8] = [
        (&unknown, vec!["--input", &bare], 64, "give --horizontal-fov-degrees"),
        (&unknown, vec!["--input", &bare, fov[0], fov[1]], 64, "give --height-metres"),
        (&known, vec!["--input", &bare], 65, "640×360"),
        (&known, vec!["--input", &bare, fov[0], fov[1]], 65, "only 0 lines along the road"),
        (&known, vec!["--input", &bare, "--from", "lane"], 64, "--lane-width-metres"),
        (
            &known,
            vec![
                "--input",
                &bare,
                "--from",
                "lane",
                "--lane-width-metres",
                "3.5",
                fov[0],
                fov[1],
                "--left-line",
                "100,300,200,200",
                "--right-line",
                "100,300,200,200",
            ],
            65,
            "they are the same line",
        ),
        (
            &known,
            vec!["--input", &bare, "--from", "board", "--board", "9x6", "--square-metres", "0.1", fov[0], fov[1]],
            65,
            "no checkerboard was found",
        ),
        (
            &known,
            vec!["--lens", &bare, "--from", "board", "--board", "9x6", "--square-metres", "0.1"],
            65,
            "at least 6",
        ),
    ];
    for (config, arguments, code, wanted) in cases {
        let output = calibrate(config, &arguments);
        let told = outcome(&output, folder.path());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(wanted), "{arguments:?}: {told}");
    }
}

/// Pitch and yaw of a real drive, from every sixth of its stills, with the lens that was estimated for it.
fn of_real_drive(name: &str) -> Option<(f64, f64, String)> {
    let video = real_data()?.join("drives").join(name);
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), "");
    let video = video.display().to_string();
    let picture = folder.path().join("fits.png").display().to_string();
    let output = calibrate(
        &path,
        &[
            "--input",
            &video,
            "--interval-millis",
            "3000",
            "--horizontal-fov-degrees",
            "43.3",
            "--height-metres",
            "2.3",
            "--picture",
            &picture,
        ],
    );
    assert!(output.status.success(), "{}", outcome(&output, folder.path()));
    let section = String::from_utf8(output.stdout).unwrap();
    let read = EdgeConfig::read(&config(folder.path(), &section)).unwrap().cameras[0].mounted.unwrap().mounting;
    Some((read.pitch_degrees, read.yaw_degrees, section))
}

#[test]
fn real_drives_agree_with_the_estimate_although_the_horizon_is_above_the_picture() {
    let estimated = assumed_camera(1024, 630).mounting;
    for name in ["drive_a.mp4", "drive_b.mp4"] {
        let Some((pitch, yaw, section)) = of_real_drive(name) else { return };
        eprintln!("{name}: {section}");
        assert!((pitch - estimated.pitch_degrees).abs() < 2.0, "{name}: {section}");
        assert!((yaw - estimated.yaw_degrees).abs() < 2.0, "{name}: {section}");
    }
}

#[test]
fn a_pass_is_accepted_or_not_and_a_changed_report_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let classes = [DamageClass::Pothole, DamageClass::AlligatorCrack, DamageClass::LongitudinalCrack];
    let patches: Vec<Patch> = (0..6)
        .map(|k| Patch {
            class: classes[k % 3],
            along_metres: 14.0 + 9.0 * k as f64,
            left_metres: 0.6 * (k as f64).sin(),
            length_metres: 0.9,
            width_metres: 0.7,
        })
        .collect();
    let clip = Clip { patches, along_at: |seconds| 8.0 * seconds, duration: Duration::from_secs(9) };
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    let log = clip.write_log(folder.path());
    let config = clip::write_config(folder.path(), "tract");
    let keys = [folder.path().join("private"), folder.path().join("public")];
    let made =
        umsicht().args(["models", "keygen", "--private"]).arg(&keys[0]).arg("--public").arg(&keys[1]).output().unwrap();
    assert!(made.status.success());
    let objects = folder.path().join("objects.csv");
    let write_objects = |wider: f64| {
        let mut text = "name,lat,lon,length_metres,width_metres,class\n".to_owned();
        for (k, patch) in clip.patches.iter().enumerate() {
            let at = patch.position();
            let width = patch.width_metres * wider;
            text += &format!(
                "patch-{k},{},{},{},{width},{}\n",
                at.lat,
                at.lon,
                patch.length_metres * wider,
                patch.class.code()
            );
        }
        fs::write(&objects, text).unwrap();
    };
    let report = folder.path().join("report.json");
    let commission = || {
        let mut command = umsicht();
        command
            .args(["edge", "commission", "--who", "A. Meier", "--config"])
            .arg(&config)
            .arg("--objects")
            .arg(&objects);
        command
            .arg("--video")
            .arg(&pictures)
            .arg("--gnss")
            .arg(&log)
            .arg("--key")
            .arg(&keys[0])
            .arg("--report")
            .arg(&report);
        command.output().unwrap()
    };
    let verify = || {
        let mut command = umsicht();
        command
            .args(["edge", "commission", "--verify"])
            .arg(&report)
            .arg("--public-key")
            .arg(&keys[1])
            .output()
            .unwrap()
    };

    write_objects(1.0);
    let output = commission();
    assert!(output.status.success(), "{}", outcome(&output, folder.path()));
    let text = fs::read_to_string(report.with_extension("md")).unwrap();
    assert!(text.contains("accepted") && text.contains("6 of 6") && text.contains("patch-3"), "{text}");
    let checked = verify();
    assert!(checked.status.success(), "{}", outcome(&checked, folder.path()));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("soest / bauhof-3, accepted, by A. Meier"));

    let sealed: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let about = &sealed["report"]["circumstances"];
    assert_eq!(about["models"].as_array().unwrap().len(), 1, "{about}");
    assert_eq!(about["configuration_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(about["camera"][1]["pitch_degrees"], 10.0);
    let changed = fs::read_to_string(&report).unwrap().replace("A. Meier", "B. Huber");
    fs::write(&report, changed).unwrap();
    let refused = verify();
    let told = outcome(&refused, folder.path());
    assert!(refused.status.code() == Some(65) && told.contains("circumstances.who"), "{told}");

    // Objects that are twice as large as what is reported are not what was measured.
    write_objects(2.0);
    let refused = commission();
    let told = outcome(&refused, folder.path());
    assert!(refused.status.code() == Some(65) && told.contains("sizes are off"), "{told}");
    assert!(verify().status.success(), "a report that says no is signed too");
}
