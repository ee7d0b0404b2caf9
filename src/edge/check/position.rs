//! Is there a position? A recording is read; a receiver is listened to for a few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::edge::check::Verdict;
use crate::edge::device_clock::DeviceClock;
use crate::edge::fix::settings::{GnssConfig, GnssSource};
use crate::edge::fix::{FixLog, PositionState, Positions, Reception};

/// Receivers give a fix a second; gpsd takes a moment to hand over the first.
const PATIENCE: Duration = Duration::from_secs(8);

/// What was found, and what else depends on it.
pub(super) struct Found {
    pub verdict: Verdict,
    /// Of a recording.
    pub first_at: Option<OffsetDateTime>,
    /// GNSS time less the system's clock in seconds, where there was a fix.
    pub gnss_ahead_seconds: Option<f64>,
}

pub(super) fn look(config: &GnssConfig, starts_at: Option<OffsetDateTime>) -> Found {
    match &config.source {
        GnssSource::File { path } => {
            let log = FixLog::read(path);
            let first_at = log.as_ref().ok().and_then(FixLog::first_at);
            let verdict = match log {
                Ok(log) => recording_verdict(&log, starts_at),
                Err(error) => Verdict::Fail(error.to_string()),
            };
            Found { verdict, first_at, gnss_ahead_seconds: None }
        }
        _ => listen(config),
    }
}

fn recording_verdict(log: &FixLog, starts_at: Option<OffsetDateTime>) -> Verdict {
    let span = match (log.first_at(), log.last_at()) {
        (Some(first), Some(last)) => format!("{} fixes, {first} to {last}", log.fixes().len()),
        _ => return Verdict::Fail("holds no fix".into()),
    };
    if starts_at.is_some_and(|at| log.at(at).is_none()) {
        return Verdict::Warn(format!("{span}; none at starts_at of the camera: are both in UTC?"));
    }
    if let Some(complaint) = log.report().complaint() {
        return Verdict::Warn(format!("{span}; {complaint}"));
    }
    Verdict::Ok(span)
}

fn listen(config: &GnssConfig) -> Found {
    let clock = Arc::new(DeviceClock::start(config.clock));
    let stop = Arc::new(AtomicBool::new(false));
    let positions = match Positions::open(config, &clock, &stop) {
        Ok(positions) => positions,
        Err(error) => {
            let verdict = Verdict::Fail(error.to_string());
            return Found { verdict, first_at: None, gnss_ahead_seconds: None };
        }
    };
    let since = Instant::now();
    while !has_fix(&positions.state()) && since.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    let state = positions.state();
    stop.store(true, Ordering::Relaxed);
    let gnss_ahead_seconds = has_fix(&state).then(|| {
        let clock = clock.state();
        (clock.gnss_ahead.unwrap_or_default() - clock.system_ahead).as_seconds_f64()
    });
    Found { verdict: receiver_verdict(&state), first_at: None, gnss_ahead_seconds }
}

fn has_fix(state: &PositionState) -> bool {
    matches!(state.reception, Reception::Good | Reception::HeadingUnknown)
}

fn receiver_verdict(state: &PositionState) -> Verdict {
    let text = format!("{}: {}", state.source, state.reception);
    let accuracy = state.accuracy_metres.map_or(String::new(), |metres| format!(", ±{metres:.1} m"));
    let satellites = state.satellites.map_or(String::new(), |count| format!(", {count} satellites"));
    match &state.reception {
        Reception::Good | Reception::HeadingUnknown => Verdict::Ok(format!("{text}{accuracy}{satellites}")),
        Reception::NoFix | Reception::Refused(_) => Verdict::Warn(format!("{text}{satellites}")),
        Reception::Disconnected(_) | Reception::Silent | Reception::Unreadable => Verdict::Fail(text),
    }
}
