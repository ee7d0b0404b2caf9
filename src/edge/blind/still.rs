//! Frozen: the same picture again and again, to the last sample.
//!
//! A sensor's noise makes every picture differ. What repeats pictures of a still scene is strong compression; a camera that
//! does so shows it, since its repetitions end by themselves. So the time that is asked for grows with the longest
//! repetition that has ended. A frozen picture that was compressed anew on its way is not found here.

use std::time::Duration;

/// A repetition must last so many times longer than the longest that has ended.
const LONGER: u32 = 2;
const LONGEST: Duration = Duration::from_secs(60);
/// A picture without contrast may repeat: it is dark, white or covered.
pub(super) const LEAST_CONTRAST: f32 = 1.5;

#[derive(Debug, Clone, Default)]
pub(super) struct Still {
    fingerprint: Option<u64>,
    since: Duration,
    lasted: Duration,
    longest_ended: Duration,
}

impl Still {
    /// Whether the picture has repeated for too long.
    pub fn judge(&mut self, fingerprint: u64, contrast: f32, at: Duration, frozen_after: Duration) -> bool {
        if self.fingerprint != Some(fingerprint) || contrast < LEAST_CONTRAST {
            if self.fingerprint.is_some() && contrast >= LEAST_CONTRAST {
                self.longest_ended = self.longest_ended.max(self.lasted);
            }
            self.fingerprint = Some(fingerprint);
            self.since = at;
            self.lasted = Duration::ZERO;
            return false;
        }
        self.lasted = at.saturating_sub(self.since);
        self.lasted >= frozen_after.max((self.longest_ended * LONGER).min(LONGEST))
    }

    /// Since when the present picture repeats.
    pub fn since(&self) -> Duration {
        self.since
    }
}
