//! From a source to frames: a thread reads pictures, joins the fix of their time at once, and hands them over by policy.
//!
//! Memory: one frame with the reader, one in the slot, one with the judge; the decoder holds two more at most.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::edge::config::FramePolicy;
use crate::edge::fix::FixLog;
use crate::edge::frame::Frame;
use crate::edge::pipeline::slot::{Slot, Taken};
use crate::edge::source::{FrameSource, SourceError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playback {
    pub frames: FramePolicy,
    /// Recordings play at the speed at which they were taken; a camera gives that speed by itself.
    pub real_time: bool,
}

impl Playback {
    /// Recordings as fast as they can be judged, nothing dropped.
    pub const EVERY_FRAME: Self = Self { frames: FramePolicy::Every, real_time: false };

    #[must_use]
    pub fn of(frames: FramePolicy) -> Self {
        Self { frames, real_time: frames == FramePolicy::Latest }
    }
}

/// Counted while it runs; anybody may look.
#[derive(Debug, Default)]
pub struct Counters {
    /// Judged.
    pub frames: AtomicU64,
    /// Dropped by policy, because the next one came before they could be judged.
    pub dropped_frames: AtomicU64,
    /// Judged without a fix: what they show cannot be placed.
    pub frames_without_fix: AtomicU64,
    pub detections: AtomicU64,
    pub sightings: AtomicU64,
    /// Sightings without a picture, because a mask of the privacy model touched it.
    pub pictures_with_somebody: AtomicU64,
    /// Sightings without a picture, because the privacy model could not look at it.
    pub pictures_nobody_looked_at: AtomicU64,
    /// Committed.
    pub events: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Calls `judge` with one frame after the other until the source ends, `stop` is set, or either of them fails.
///
/// The outer result is the judge's, the inner one the source's, so that a broken source does not hide what was judged.
pub(super) fn feed<E>(
    source: &mut dyn FrameSource,
    fixes: &FixLog,
    playback: Playback,
    counters: &Counters,
    stop: &AtomicBool,
    mut judge: impl FnMut(Frame) -> Result<(), E>,
) -> Result<Result<(), SourceError>, E> {
    let slot = Slot::new();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let result = read(source, fixes, playback, counters, &slot);
            slot.end();
            result
        });
        let judged = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            match slot.take() {
                Taken::Item(frame) => {
                    if let Err(error) = judge(frame) {
                        break Err(error);
                    }
                }
                Taken::NotYet => {}
                Taken::Ended => break Ok(()),
            }
        };
        slot.close();
        let read = reader.join().unwrap_or_else(|_| {
            Err(SourceError::Interrupted { input: "the source".into(), reason: "its thread panicked, a bug".into() })
        });
        judged.map(|()| read)
    })
}

fn read(
    source: &mut dyn FrameSource,
    fixes: &FixLog,
    playback: Playback,
    counters: &Counters,
    slot: &Slot<Frame>,
) -> Result<(), SourceError> {
    let mut sequence = 0;
    let mut started = None;
    while let Some(captured) = source.next_image()? {
        if playback.real_time {
            let (start, first) = *started.get_or_insert_with(|| (Instant::now(), captured.stream_time));
            let due = captured.stream_time.saturating_sub(first);
            slot.sleep(due.saturating_sub(start.elapsed()));
        }
        let frame = Frame {
            sequence,
            captured_at: captured.captured_at,
            stream_time: captured.stream_time,
            fix: fixes.at(captured.captured_at),
            image: captured.image,
        };
        sequence += 1;
        let taken = match playback.frames {
            FramePolicy::Every => slot.put(frame),
            FramePolicy::Latest => slot.replace(frame).map(|dropped| add(&counters.dropped_frames, dropped)),
        };
        if taken.is_none() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::RgbImage;
    use time::macros::datetime;

    use super::*;
    use crate::edge::frame::CameraImage;
    use crate::edge::source::CapturedImage;

    /// Gives `count` pictures, 10 ms apart, then breaks off when told to.
    struct Source {
        given: u32,
        count: u32,
        breaks: bool,
    }

    impl FrameSource for Source {
        fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
            if self.given == self.count {
                let broken = SourceError::Interrupted { input: "test".into(), reason: "cut".into() };
                return if self.breaks { Err(broken) } else { Ok(None) };
            }
            let stream_time = Duration::from_millis(10) * self.given;
            self.given += 1;
            Ok(Some(CapturedImage {
                captured_at: datetime!(2026-03-17 09:30 UTC) + stream_time,
                stream_time,
                image: CameraImage::new(RgbImage::new(4, 4)),
            }))
        }
    }

    fn run(source: &mut Source, playback: Playback, judge_millis: u64) -> (Vec<u64>, u64, Result<(), SourceError>) {
        let counters = Counters::default();
        let mut seen = Vec::new();
        let read =
            feed(source, &FixLog::from_fixes(Vec::new()), playback, &counters, &AtomicBool::new(false), |frame| {
                std::thread::sleep(Duration::from_millis(judge_millis));
                seen.push(frame.sequence);
                Ok::<(), ()>(())
            });
        (seen, counters.dropped_frames.into_inner(), read.unwrap())
    }

    #[test]
    fn every_frame_is_judged_when_the_source_can_wait() {
        let mut source = Source { given: 0, count: 30, breaks: false };
        let (seen, dropped, read) = run(&mut source, Playback::EVERY_FRAME, 1);
        assert_eq!((seen, dropped), ((0..30).collect(), 0));
        assert!(read.is_ok());
    }

    #[test]
    fn a_slow_judge_gets_the_newest_frames_and_the_rest_is_counted() {
        let mut source = Source { given: 0, count: 30, breaks: false };
        let (seen, dropped, _) = run(&mut source, Playback::of(FramePolicy::Latest), 50);
        assert!(dropped > 5, "{dropped}");
        assert_eq!(u64::try_from(seen.len()).unwrap() + dropped, 30, "each frame is judged or counted");
        assert_eq!(seen.last(), Some(&29));
    }

    #[test]
    fn a_source_that_breaks_off_does_not_hide_what_it_gave() {
        let mut source = Source { given: 0, count: 5, breaks: true };
        let (seen, _, read) = run(&mut source, Playback::EVERY_FRAME, 0);
        assert_eq!(seen.len(), 5);
        assert!(read.unwrap_err().is_transient());
    }

    #[test]
    fn a_judge_that_fails_stops_the_source() {
        let mut source = Source { given: 0, count: u32::MAX, breaks: false };
        let counters = Counters::default();
        let fixes = FixLog::from_fixes(Vec::new());
        let stop = AtomicBool::new(false);
        let result = feed(&mut source, &fixes, Playback::EVERY_FRAME, &counters, &stop, |_| Err("enough"));
        assert_eq!(result.err(), Some("enough"));
    }
}
