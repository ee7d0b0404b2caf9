//! Fixes from an NMEA 0183 log.
//!
//! RMC gives date, time, position, speed and course; the GGA of the same second fraction adds the dilution of
//! precision. A GGA alone gives no date, so it never makes a fix by itself. Other sentences are read over.

use ::nmea::sentences::FixType;
use ::nmea::sentences::rmc::RmcStatusOfFix;
use ::nmea::{ParseResult, parse_str};
use time::{OffsetDateTime, Time};

use super::{RawFix, ReadReport};
use crate::geo::LatLon;

const METRES_PER_SECOND_PER_KNOT: f64 = 1852.0 / 3600.0;

/// All usable fixes, in the order of the log, and what was left out.
#[allow(
    clippy::default_trait_access,
    reason = "the default day and time are those of a crate that is not ours to name"
)]
pub(super) fn parse(text: &str) -> (Vec<RawFix>, ReadReport) {
    let mut report = ReadReport::default();
    let mut fixes: Vec<RawFix> = Vec::new();
    let mut dilutions: Vec<(Time, f64)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let (number, line) = (i + 1, line.trim());
        if line.is_empty() {
            continue;
        }
        report.read += 1;
        if !is_wanted(line) {
            if !line.starts_with('$') && !line.starts_with('!') {
                report.skip(number, "is no NMEA sentence");
            }
            continue;
        }
        match parse_str(line) {
            Ok(ParseResult::RMC(rmc)) => {
                if rmc.status_of_fix == RmcStatusOfFix::Invalid {
                    report.skip(number, "RMC says its fix is not valid");
                    continue;
                }
                let at = rmc.fix_date.zip(rmc.fix_time).and_then(|(date, time)| {
                    let days = date.signed_duration_since(Default::default()).num_days();
                    let midnight = OffsetDateTime::UNIX_EPOCH.checked_add(time::Duration::days(days))?;
                    midnight
                        .checked_add(since_midnight(time.signed_duration_since(Default::default()).num_milliseconds()))
                });
                let position = rmc.lat.zip(rmc.lon).and_then(|(lat, lon)| LatLon::new(lat, lon));
                let (Some(at), Some(position)) = (at, position) else {
                    report.skip(number, "RMC lacks its date, time or position");
                    continue;
                };
                fixes.push(RawFix {
                    at,
                    position,
                    speed_metres_per_second: rmc
                        .speed_over_ground
                        .map(|knots| f64::from(knots) * METRES_PER_SECOND_PER_KNOT),
                    course_degrees: rmc.true_course.map(f64::from),
                    hdop: None,
                });
            }
            Ok(ParseResult::GGA(gga)) => {
                let usable = gga.fix_type.is_some_and(|kind| kind != FixType::Invalid);
                if let (true, Some(time), Some(hdop)) = (usable, gga.fix_time, gga.hdop) {
                    let since = since_midnight(time.signed_duration_since(Default::default()).num_milliseconds());
                    dilutions.push((Time::MIDNIGHT + since, f64::from(hdop)));
                }
            }
            Ok(_) => {}
            Err(error) => report.skip(number, plain_reason(&error)),
        }
    }
    join_dilutions(&mut fixes, &dilutions);
    (fixes, report)
}

fn since_midnight(millis: i64) -> time::Duration {
    time::Duration::milliseconds(millis)
}

/// RMC and GGA of any talker.
fn is_wanted(line: &str) -> bool {
    line.starts_with('$') && line.get(3..6).is_some_and(|kind| kind == "RMC" || kind == "GGA")
}

/// Sentences of one moment stand next to each other, so both lists run in step through the log.
fn join_dilutions(fixes: &mut [RawFix], dilutions: &[(Time, f64)]) {
    let mut next = 0;
    for fix in fixes {
        if let Some(ahead) = dilutions[next..].iter().take(8).position(|(time, _)| *time == fix.at.time()) {
            next += ahead;
            fix.hdop = Some(dilutions[next].1).filter(|hdop| *hdop > 0.0);
        }
    }
}

fn plain_reason(error: &::nmea::Error<'_>) -> String {
    match error {
        ::nmea::Error::ChecksumMismatch { calculated, found } => {
            format!("checksum is {found:02X} but the line sums to {calculated:02X}")
        }
        ::nmea::Error::ASCII => "holds characters that are not ASCII".into(),
        ::nmea::Error::SentenceLength(length) => format!("is {length} characters long, more than a sentence may be"),
        _ => "is not a complete sentence".into(),
    }
}

/// For tests that build logs.
#[cfg(test)]
pub(super) fn with_checksum(body: &str) -> String {
    let sum = body.bytes().fold(0u8, |sum, b| sum ^ b);
    format!("${body}*{sum:02X}")
}

#[cfg(test)]
mod date_tests {
    use super::*;

    #[test]
    fn the_date_comes_from_rmc() {
        let line = with_checksum("GNRMC,093000.20,A,5000.51068,N,00841.95698,E,19.44,135.0,170326,,,A");
        let (fixes, report) = parse(&line);
        assert_eq!(report, ReadReport { read: 1, ..ReadReport::default() });
        assert_eq!(fixes[0].at, time::macros::datetime!(2026-03-17 09:30:00.2 UTC));
        assert_eq!(fixes[0].at.date(), time::Date::from_calendar_date(2026, time::Month::March, 17).unwrap());
        assert!((fixes[0].speed_metres_per_second.unwrap() - 10.0).abs() < 0.01);
    }
}
