//! Hysteresis: a suspicion must last before it counts, and its opposite must last before it is over.
//!
//! A look to the contrary takes time off instead of all of it, so that one lucky look among many does not start the clock
//! anew.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Dwell {
    /// How many times its own time a look to the contrary takes off.
    contrary: f32,
    raised: bool,
    /// Towards raising, or once raised towards clearing.
    seconds: f32,
    since: Option<Duration>,
}

impl Dwell {
    pub fn new(contrary: f32) -> Self {
        Self { contrary, raised: false, seconds: 0.0, since: None }
    }

    /// `step`: how long this observation stands for.
    pub fn observe(
        &mut self,
        suspect: bool,
        at: Duration,
        step: Duration,
        raise_after: Duration,
        clear_after: Duration,
    ) {
        if suspect == self.raised {
            self.seconds = (self.seconds - self.contrary * step.as_secs_f32()).max(0.0);
        } else {
            self.seconds += step.as_secs_f32();
        }
        if !self.raised {
            if suspect {
                self.since.get_or_insert(at.saturating_sub(step));
            } else if self.seconds == 0.0 {
                self.since = None;
            }
        }
        let limit = if self.raised { clear_after } else { raise_after };
        if suspect != self.raised && self.seconds >= limit.as_secs_f32() {
            self.raised = suspect;
            self.seconds = 0.0;
            if !suspect {
                self.since = None;
            }
        }
    }

    pub fn is_raised(&self) -> bool {
        self.raised
    }

    /// When the suspicion began, while there is one.
    pub fn since(&self) -> Option<Duration> {
        self.since
    }
}
