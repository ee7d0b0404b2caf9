//! Logs as files: what is read, what is skipped and named, what is an error.

use std::io::Write as _;

use proptest::prelude::*;
use time::macros::datetime;

use super::nmea::with_checksum;
use super::*;

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn pair(seconds: u32, minutes_north: f64, speed: &str, course: &str, hdop: f64) -> String {
    format!(
        "{}\r\n{}\r\n",
        with_checksum(&format!(
            "GNRMC,0930{seconds:02}.00,A,{minutes_north:010.5},N,00841.95579,E,{speed},{course},170326,,,A"
        )),
        with_checksum(&format!(
            "GNGGA,0930{seconds:02}.00,{minutes_north:010.5},N,00841.95579,E,1,12,{hdop:.1},141.0,M,47.0,M,,"
        )),
    )
}

#[test]
fn rmc_and_gga_become_fixes_with_an_accuracy() {
    let log = file(&(0..3).map(|s| pair(s, 5000.5, "19.44", "135.0", 1.4)).collect::<String>());
    let fixes = FixLog::read(log.path()).unwrap();
    assert_eq!(fixes.first_at(), Some(datetime!(2026-03-17 09:30 UTC)));
    assert_eq!(fixes.report().skipped, 0);
    let fix = fixes.at(datetime!(2026-03-17 09:30:01 UTC)).unwrap();
    assert!((fix.accuracy_metres - 2.574).abs() < 0.01, "{}", fix.accuracy_metres);
    assert!((fix.heading_degrees - 135.0).abs() < 1e-6);
}

#[test]
fn bad_checksums_and_rubbish_are_skipped_and_named() {
    let good = pair(0, 5000.5, "19.44", "135.0", 0.8);
    let bad = pair(1, 5000.5, "19.44", "135.0", 0.8).replace("A*", "A*0").replacen("19.44", "19.45", 1);
    let log = file(&format!("{good}{bad}half a li\n$GNRMC,09\n{}", pair(2, 5000.6, "19.44", "135.0", 0.8)));
    let fixes = FixLog::read(log.path()).unwrap();
    assert_eq!(fixes.fixes().len(), 2);
    assert_eq!(fixes.report().skipped, 3, "{:?}", fixes.report());
    let text = fixes.report().describe("line");
    assert!(text.contains("line 3: ") && text.contains("line 5: is no NMEA sentence"), "{text}");
}

#[test]
fn a_checksum_that_differs_is_said_with_both_sums() {
    let log = file(&format!(
        "{}{}",
        pair(0, 5000.5, "19.44", "135.0", 0.8).replacen("19.44", "29.44", 1),
        pair(1, 5000.5, "19.44", "135.0", 0.8)
    ));
    let fixes = FixLog::read(log.path()).unwrap();
    assert!(fixes.report().describe("line").starts_with("line 1: checksum is "), "{:?}", fixes.report());
}

#[test]
fn a_log_without_a_fix_is_an_error_that_names_the_file() {
    let log = file(&pair(0, 5000.5, "19.44", "135.0", 0.8).replace(",A,", ",V,"));
    let message = FixLog::read(log.path()).unwrap_err().to_string();
    assert!(message.contains(log.path().to_str().unwrap()) && message.contains("no usable fix"), "{message}");
    assert!(matches!(FixLog::read(file("hello").path()), Err(FixError::UnknownFormat { .. })));
    assert!(matches!(FixLog::read(Path::new("/nonexistent/log")), Err(FixError::Unreadable { .. })));
    assert!(matches!(FixLog::read(file("<gpx><trk>").path()), Err(FixError::BadGpx { .. })));
}

#[test]
fn the_heading_is_held_at_standstill_and_known_before_driving_off() {
    let log = file(
        &[
            pair(0, 5000.5, "0.05", "12.0", 0.8),
            pair(1, 5000.5, "10.0", "90.0", 0.8),
            pair(2, 5000.5, "0.0", "", 0.8),
            pair(3, 5000.5, "0.1", "271.0", 0.8),
        ]
        .concat(),
    );
    let fixes = FixLog::read(log.path()).unwrap();
    assert!(fixes.fixes().iter().all(|fix| (fix.heading_degrees - 90.0).abs() < 1e-6), "{:?}", fixes.fixes());
}

#[test]
fn a_gpx_track_gives_speed_and_heading_from_its_way() {
    let log = file(
        r#"<?xml version="1.0"?><gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
        <trkpt lat="50.0" lon="8.7"><time>2026-03-17T09:30:00Z</time></trkpt>
        <trkpt lat="50.0001" lon="8.7"><time>2026-03-17T09:30:01Z</time></trkpt>
        <trkpt lat="50.0002" lon="8.7"></trkpt>
        </trkseg></trk></gpx>"#,
    );
    let fixes = FixLog::read(log.path()).unwrap();
    assert_eq!((fixes.fixes().len(), fixes.report().skipped), (2, 1));
    let fix = fixes.fixes()[0];
    assert!((fix.speed_metres_per_second - 11.12).abs() < 0.02 && fix.heading_degrees.abs() < 1e-6, "{fix:?}");
    assert_eq!(fixes.report().describe("point"), "point 3: has no time");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "(\\$GNRMC[ -~]{0,60}\n|[ -~]{0,40}\n){0,8}") {
        let log = file(&text);
        if let Ok(fixes) = FixLog::read(log.path()) {
            prop_assert!(!fixes.fixes().is_empty());
        }
    }

    #[test]
    fn one_flipped_byte_never_moves_a_fix(at in 0usize..70, flip in 1u8..127) {
        let line = with_checksum("GNRMC,093000.00,A,5000.51144,N,00841.95579,E,19.44,135.0,170326,,,A");
        let mut bytes = line.clone().into_bytes();
        let i = at % bytes.len();
        bytes[i] ^= flip;
        let (whole, _) = super::nmea::parse(&line);
        let (fixes, _) = super::nmea::parse(&String::from_utf8_lossy(&bytes));
        prop_assert!(fixes.is_empty() || fixes == whole);
    }
}
