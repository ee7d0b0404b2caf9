//! NMEA 0183 as it comes. A fix is taken with its RMC, at once; the dilution is that of the last GGA, which changes slowly.

use time::{Duration, Time};

use super::Shared;
use crate::edge::fix::RawFix;
use crate::edge::fix::nmea::{self, Sentence};

/// The standard's 82, with room for what vendors add.
pub(super) const LONGEST_LINE_BYTES: usize = 512;
/// A dilution from longer ago says nothing.
const DILUTION_HOLDS: Duration = Duration::seconds(5);
const DAY: Duration = Duration::DAY;

#[derive(Default)]
pub(super) struct SentenceListener {
    dilution: Option<(Time, f64)>,
}

impl SentenceListener {
    pub(super) fn hear(&mut self, line: &[u8], shared: &Shared) {
        let sentence =
            std::str::from_utf8(line).map_err(|_| ()).and_then(|line| nmea::read(line.trim()).map_err(|_| ()));
        shared.line_came(sentence.is_ok());
        match sentence {
            Ok(Sentence::Rmc(raw)) => shared.fix_came(RawFix { hdop: self.dilution_at(raw.at.time()), ..raw }),
            Ok(Sentence::NoFix) => shared.no_fix_came(),
            Ok(Sentence::Gga { time, hdop, satellites }) => {
                self.dilution = Some((time, hdop)).filter(|_| hdop > 0.0);
                shared.satellites_came(satellites);
            }
            Ok(Sentence::Other) | Err(()) => {}
        }
    }

    fn dilution_at(&self, time: Time) -> Option<f64> {
        let (said, hdop) = self.dilution?;
        let apart = (time - said).abs();
        // Over midnight as well.
        (apart.min(DAY - apart) <= DILUTION_HOLDS).then_some(hdop)
    }
}
