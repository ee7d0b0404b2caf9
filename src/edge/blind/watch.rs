//! The watch over one camera: looks and time in, changes out. Times are monotonic, from the start of the watch.
//!
//! Several reasons may hold at once; the gravest is told. A [`Change::Blind`] may follow another one: the reason has changed.
//! [`Change::Recovered`] comes when none is left.

use std::time::Duration;

use super::dwell::Dwell;
use super::focus::Focus;
use super::look::Look;
use super::moved::{Moved, Reference, Shift};
use super::policy::BlindPolicy;
use super::scene::Scene;
use super::still::Still;
use crate::schema::blind::BlindReason;

/// One look every so often is enough.
const LOOK_EVERY: Duration = Duration::from_millis(240);
/// A look stands for no longer than this, however late the next one comes.
const LONGEST_STEP: Duration = Duration::from_secs(1);
/// Recovering from what is found slowly takes so many times longer.
const SLOW: u32 = 5;
/// What a look to the contrary takes off, in times its own time: a shift is measured less surely than the rest.
const CLEAR: f32 = 2.0;
const VAGUE: f32 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Blind {
        reason: BlindReason,
        /// When it began, not when it was certain.
        since: Duration,
    },
    Recovered {
        /// How long it was blind, for whatever reasons.
        after: Duration,
    },
}

#[derive(Debug, Clone)]
pub struct BlindWatch {
    policy: BlindPolicy,
    last_frame_at: Option<Duration>,
    no_frames: bool,
    /// Frames come again since then.
    frames_since: Duration,
    scene: Scene,
    still: Still,
    focus: Focus,
    moved: Moved,
    frozen: Dwell,
    unseeing: Dwell,
    /// Why nothing is seen: fixed when that is certain.
    unseeing_reason: BlindReason,
    unseeing_after: Duration,
    defocused: Dwell,
    displaced: Dwell,
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    reason: BlindReason,
    blind_since: Duration,
}

impl BlindWatch {
    #[must_use]
    pub fn new(policy: BlindPolicy) -> Self {
        Self::with_reference(policy, None)
    }

    /// With the view that was learned before.
    #[must_use]
    pub fn with_reference(policy: BlindPolicy, reference: Option<&Reference>) -> Self {
        let moved = Moved::new(policy.place, reference);
        Self {
            policy,
            last_frame_at: None,
            no_frames: false,
            frames_since: Duration::ZERO,
            scene: Scene::new(),
            still: Still::default(),
            focus: Focus::default(),
            moved,
            frozen: Dwell::new(CLEAR),
            unseeing: Dwell::new(CLEAR),
            unseeing_reason: BlindReason::Covered,
            unseeing_after: Duration::ZERO,
            defocused: Dwell::new(CLEAR),
            displaced: Dwell::new(VAGUE),
            told: None,
        }
    }

    /// Whether a look at a frame that comes now would be used; a frame in between costs nothing.
    #[must_use]
    pub fn wants(&self, at: Duration) -> bool {
        self.last_frame_at.is_none_or(|last| at.saturating_sub(last) >= LOOK_EVERY)
    }

    /// Judges a picture that came at `at`.
    pub fn see(&mut self, look: &Look, at: Duration) -> Option<Change> {
        let step = self.last_frame_at.map_or(Duration::ZERO, |last| at.saturating_sub(last)).min(LONGEST_STEP);
        if self.no_frames && self.last_frame_at.is_none_or(|last| at.saturating_sub(last) > LONGEST_STEP) {
            self.frames_since = at;
        }
        self.last_frame_at = Some(at);
        if self.no_frames && at.saturating_sub(self.frames_since) >= self.policy.recovered_after {
            self.no_frames = false;
        }
        self.judge(look, at, step);
        self.tell(at)
    }

    /// To be called a few times a second, with or without frames.
    pub fn tick(&mut self, at: Duration) -> Option<Change> {
        let allowed = match self.last_frame_at {
            Some(last) => last + self.policy.no_frames_after,
            None => self.policy.start_up,
        };
        if at >= allowed && self.policy.looks_for(BlindReason::NoFrames) {
            self.no_frames = true;
        }
        self.tell(at)
    }

    /// Why the camera counts as blind now.
    #[must_use]
    pub fn current(&self) -> Option<BlindReason> {
        self.told.map(|told| told.reason)
    }

    /// The learned view, to be kept over restarts; `None` until enough was seen.
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        self.moved.reference()
    }

    /// How far the view is from the reference, as far as that is known.
    #[must_use]
    pub fn shift(&self) -> Option<Shift> {
        self.moved.shift()
    }

    /// Takes the present view for the right one: after a new calibration.
    pub fn relearn_view(&mut self) {
        self.moved.relearn();
        self.displaced = Dwell::new(VAGUE);
    }

    fn judge(&mut self, look: &Look, at: Duration, step: Duration) {
        let policy = &self.policy;
        let frozen = self.still.judge(look.fingerprint, look.contrast, at, policy.frozen_after);
        if policy.looks_for(BlindReason::Frozen) {
            // The repetition itself has lasted long enough.
            self.frozen.observe(frozen, at, step, Duration::ZERO, policy.recovered_after);
        }
        if self.frozen.is_raised() {
            return;
        }
        let unseeing = self.scene.judge(look, at, step).filter(|unseeing| policy.looks_for(unseeing.reason));
        if let Some(unseeing) = unseeing
            && !self.unseeing.is_raised()
        {
            self.unseeing_reason = unseeing.reason;
            self.unseeing_after = match unseeing.reason {
                _ if unseeing.dark => policy.dark_after,
                BlindReason::Glare => policy.glare_after,
                _ => policy.covered_after,
            };
        }
        self.unseeing.observe(unseeing.is_some(), at, step, self.unseeing_after, policy.recovered_after);
        // What is hardly seen is neither sharp nor in its place, and nothing to learn from.
        if self.unseeing.since().is_some() {
            return;
        }
        let slow = policy.recovered_after * SLOW;
        if policy.looks_for(BlindReason::Defocused)
            && let Some(soft) = self.focus.judge(look, step, policy.defocused_below_share as f32)
        {
            self.defocused.observe(soft, at, step, policy.defocused_after, slow);
        }
        if policy.looks_for(BlindReason::Moved)
            && let Some((moved, step)) = self.moved.judge(look, at, policy.moved_from_height_share as f32)
        {
            self.displaced.observe(moved, at, step, policy.moved_after, slow);
        }
    }

    /// The gravest reason that holds, and since when.
    fn gravest(&self) -> Option<(BlindReason, Option<Duration>)> {
        let repeated_since = self.still.since();
        let reasons = [
            (self.no_frames, BlindReason::NoFrames, Some(self.last_frame_at.unwrap_or_default())),
            (self.frozen.is_raised(), BlindReason::Frozen, Some(repeated_since)),
            (self.unseeing.is_raised(), self.unseeing_reason, self.unseeing.since()),
            (self.defocused.is_raised(), BlindReason::Defocused, self.defocused.since()),
            (self.displaced.is_raised(), BlindReason::Moved, self.displaced.since()),
        ];
        reasons.into_iter().find(|(holds, ..)| *holds).map(|(_, reason, since)| (reason, since))
    }

    fn tell(&mut self, at: Duration) -> Option<Change> {
        match (self.gravest(), self.told) {
            (Some((reason, _)), Some(told)) if told.reason == reason => None,
            (Some((reason, since)), told) => {
                let since = since.unwrap_or(at);
                let blind_since = told.map_or(since, |told| told.blind_since);
                self.told = Some(Told { reason, blind_since });
                Some(Change::Blind { reason, since })
            }
            (None, Some(told)) => {
                self.told = None;
                Some(Change::Recovered { after: at.saturating_sub(told.blind_since) })
            }
            (None, None) => None,
        }
    }
}
