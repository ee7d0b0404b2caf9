//! Fixes from NMEA 0183, line by line or a whole log.
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

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sentence {
    Rmc(RawFix),
    /// RMC of a receiver that has no fix.
    NoFix,
    Gga {
        time: Time,
        hdop: f64,
        satellites: Option<u32>,
    },
    /// A sentence of no use here, or a GGA without a fix.
    Other,
}

/// Reads one line without its end; `Err` says what is wrong with it.
#[allow(
    clippy::default_trait_access,
    reason = "the default day and time are those of a crate that is not ours to name"
)]
pub(super) fn read(line: &str) -> Result<Sentence, String> {
    if !is_wanted(line) {
        let is_sentence = line.starts_with('$') || line.starts_with('!');
        return if is_sentence { Ok(Sentence::Other) } else { Err("is no NMEA sentence".into()) };
    }
    match parse_str(line).map_err(|error| plain_reason(&error))? {
        ParseResult::RMC(rmc) => {
            if rmc.status_of_fix == RmcStatusOfFix::Invalid {
                return Ok(Sentence::NoFix);
            }
            let at = rmc.fix_date.zip(rmc.fix_time).and_then(|(date, time)| {
                let days = date.signed_duration_since(Default::default()).num_days();
                let midnight = OffsetDateTime::UNIX_EPOCH.checked_add(time::Duration::days(days))?;
                midnight.checked_add(since_midnight(time.signed_duration_since(Default::default()).num_milliseconds()))
            });
            let position = rmc.lat.zip(rmc.lon).and_then(|(lat, lon)| LatLon::new(lat, lon));
            let (Some(at), Some(position)) = (at, position) else {
                return Err("RMC lacks its date, time or position".into());
            };
            Ok(Sentence::Rmc(RawFix {
                at,
                position,
                speed_metres_per_second: rmc
                    .speed_over_ground
                    .map(|knots| f64::from(knots) * METRES_PER_SECOND_PER_KNOT),
                course_degrees: rmc.true_course.map(f64::from),
                hdop: None,
                stated_accuracy_metres: None,
            }))
        }
        ParseResult::GGA(gga) => {
            let usable = gga.fix_type.is_some_and(|kind| kind != FixType::Invalid);
            let (true, Some(time), Some(hdop)) = (usable, gga.fix_time, gga.hdop) else { return Ok(Sentence::Other) };
            let since = since_midnight(time.signed_duration_since(Default::default()).num_milliseconds());
            Ok(Sentence::Gga { time: Time::MIDNIGHT + since, hdop: f64::from(hdop), satellites: gga.fix_satellites })
        }
        _ => Ok(Sentence::Other),
    }
}

/// All usable fixes, in the order of the log, and what was left out.
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
        match read(line) {
            Ok(Sentence::Rmc(fix)) => fixes.push(fix),
            Ok(Sentence::NoFix) => report.skip(number, "RMC says its fix is not valid"),
            Ok(Sentence::Gga { time, hdop, .. }) => dilutions.push((time, hdop)),
            Ok(Sentence::Other) => {}
            Err(reason) => report.skip(number, reason),
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
