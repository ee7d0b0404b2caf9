//! gpsd's JSON: <https://gpsd.gitlab.io/gpsd/gpsd_json.html>, protocol 3. TPV makes fixes, SKY gives the dilution.
//!
//! gpsd has no better knowledge of the error than the receiver's dilution of precision, times a range error of its own; so
//! the dilution is taken, as everywhere here, and gpsd's own estimate only where no SKY came. That one is a radius for
//! 95 % (`eph`) or 95 % per axis (`epx`, `epy`); [`SIGMAS_95`] and [`RADIUS_SIGMAS_95`] make one sigma of it.

use std::time::{Duration, Instant};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Shared;
use crate::edge::fix::RawFix;
use crate::geo::LatLon;

/// A SKY names each satellite in about 150 bytes.
pub(super) const LONGEST_LINE_BYTES: usize = 64 * 1024;
/// A dilution from longer ago says nothing.
const DILUTION_HOLDS: Duration = Duration::from_secs(10);
/// A receiver that says nothing for so long leaves its place to another one of the same gpsd.
const DEVICE_HOLDS: Duration = Duration::from_secs(10);
const SIGMAS_95: f64 = 1.96;
/// Of a Rayleigh distribution.
const RADIUS_SIGMAS_95: f64 = 2.448;

/// What to say to gpsd first. It takes only these words, and a device's name as JSON.
pub(super) fn watch(device: Option<&str>) -> String {
    let mut wish = serde_json::json!({ "enable": true, "json": true });
    if let Some(device) = device {
        wish["device"] = device.into();
    }
    format!("?WATCH={wish};\n")
}

#[derive(Deserialize)]
#[serde(tag = "class")]
enum Report {
    #[serde(rename = "TPV")]
    Tpv(Tpv),
    #[serde(rename = "SKY")]
    Sky(Sky),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tpv {
    device: Option<String>,
    #[serde(default)]
    mode: u8,
    time: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    /// Metres per second.
    speed: Option<f64>,
    track: Option<f64>,
    epx: Option<f64>,
    epy: Option<f64>,
    eph: Option<f64>,
}

#[derive(Deserialize)]
struct Sky {
    device: Option<String>,
    hdop: Option<f64>,
    #[serde(rename = "uSat")]
    used: Option<u32>,
    #[serde(default)]
    satellites: Vec<Satellite>,
}

#[derive(Deserialize)]
struct Satellite {
    #[serde(default)]
    used: bool,
}

pub(super) struct GpsdListener {
    wanted: Option<String>,
    /// The receiver that is heard.
    device: Option<(String, Instant)>,
    dilution: Option<(f64, Instant)>,
}

impl GpsdListener {
    pub(super) fn new(wanted: Option<String>) -> Self {
        Self { wanted, device: None, dilution: None }
    }

    pub(super) fn hear(&mut self, line: &[u8], shared: &Shared) {
        let report = serde_json::from_slice::<Report>(line);
        shared.line_came(report.is_ok());
        match report {
            Ok(Report::Tpv(tpv)) if self.is_heard(tpv.device.as_deref()) => match tpv.fix() {
                Some(fix) => shared.fix_came(RawFix { hdop: self.dilution(), ..fix }),
                None if tpv.mode < 2 => shared.no_fix_came(),
                // A fix whose time is not known yet: the next one has it.
                None => {}
            },
            Ok(Report::Sky(sky)) if self.is_heard(sky.device.as_deref()) => {
                if let Some(hdop) = sky.hdop.filter(|hdop| *hdop > 0.0) {
                    self.dilution = Some((hdop, Instant::now()));
                }
                let named = sky.satellites.iter().filter(|satellite| satellite.used).count();
                let used = sky.used.or_else(|| u32::try_from(named).ok().filter(|_| !sky.satellites.is_empty()));
                if used.is_some() {
                    shared.satellites_came(used);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn dilution(&self) -> Option<f64> {
        self.dilution.filter(|(_, at)| at.elapsed() <= DILUTION_HOLDS).map(|(hdop, _)| hdop)
    }

    /// Two receivers would take turns in two places: one is heard, the configured one or the first.
    fn is_heard(&mut self, device: Option<&str>) -> bool {
        let Some(device) = device else { return true };
        if let Some(wanted) = &self.wanted {
            return wanted == device;
        }
        let is_other = |(heard, last): &(String, Instant)| heard != device && last.elapsed() < DEVICE_HOLDS;
        if self.device.as_ref().is_some_and(is_other) {
            return false;
        }
        self.device = Some((device.to_owned(), Instant::now()));
        true
    }
}

impl Tpv {
    fn fix(&self) -> Option<RawFix> {
        if self.mode < 2 {
            return None;
        }
        let per_axis = self.epx.zip(self.epy).map(|(x, y)| (0.5 * (x * x + y * y)).sqrt() / SIGMAS_95);
        Some(RawFix {
            at: OffsetDateTime::parse(self.time.as_deref()?, &Rfc3339).ok()?.to_offset(time::UtcOffset::UTC),
            position: LatLon::new(self.lat?, self.lon?)?,
            speed_metres_per_second: self.speed,
            course_degrees: self.track,
            hdop: None,
            stated_accuracy_metres: per_axis.or(self.eph.map(|radius| radius / RADIUS_SIGMAS_95)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_report_of_gpsd_3_22_becomes_a_fix() {
        let line = r#"{"class":"TPV","device":"/dev/pts/2","mode":3,"time":"2026-03-17T09:30:02.400Z","ept":0.005,"lat":50.008549333,"lon":8.699261667,"altMSL":141.0,"track":90.5,"magtrack":2.6,"speed":10.001,"eph":15.200}"#;
        let Ok(Report::Tpv(tpv)) = serde_json::from_str::<Report>(line) else { panic!("is no TPV") };
        let fix = tpv.fix().unwrap();
        assert_eq!(fix.at, datetime!(2026-03-17 09:30:02.4 UTC));
        assert_eq!((fix.course_degrees, fix.speed_metres_per_second), (Some(90.5), Some(10.001)));
        assert!((fix.accuracy_metres() - 6.21).abs() < 0.01, "{}", fix.accuracy_metres());
        let without_fix = Tpv { mode: 1, ..tpv };
        assert_eq!(without_fix.fix(), None);
    }

    #[test]
    fn one_receiver_of_several_is_heard() {
        let mut any = GpsdListener::new(None);
        assert!(any.is_heard(Some("/dev/ttyACM0")) && !any.is_heard(Some("/dev/ttyUSB0")) && any.is_heard(None));
        let mut second = GpsdListener::new(Some("/dev/ttyUSB0".into()));
        assert!(!second.is_heard(Some("/dev/ttyACM0")) && second.is_heard(Some("/dev/ttyUSB0")));
    }

    #[test]
    fn the_wish_is_json_whatever_the_device_is_called() {
        assert_eq!(watch(None), "?WATCH={\"enable\":true,\"json\":true};\n");
        assert!(watch(Some("/dev/\"x")).contains(r#""device":"/dev/\"x""#));
    }
}
