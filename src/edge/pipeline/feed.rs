//! From the cameras to frames: a thread per camera reads pictures, joins the fix of their time at once, and hands them over
//! by policy. One thread judges them in turn: a small device has memory for one model and cores for one, and a camera that
//! gives nothing takes nothing from the others.
//!
//! Memory: per camera one frame with its reader and one in its slot, and one with the judge; a decoder holds two more at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use time::OffsetDateTime;

use crate::edge::fix::Fix;
use crate::edge::frame::Frame;
use crate::edge::pipeline::sight::Sight;
use crate::edge::pipeline::slot::{Slots, Taken};
use crate::edge::source::settings::FramePolicy;
use crate::edge::source::{FrameSource, SourceError};

/// Where the vehicle was at a moment.
pub type FixAt<'f> = dyn Fn(OffsetDateTime) -> Option<Fix> + Sync + 'f;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playback {
    pub frames: FramePolicy,
    pub pace: Pace,
}

/// Who says how fast frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A recording that plays as fast as its frames can be judged.
    Fast,
    /// A recording that plays at the speed at which it was taken.
    RealTime,
    /// A camera, which gives that speed by itself and may give other pictures tomorrow.
    Camera,
}

impl Playback {
    /// Recordings as fast as they can be judged, nothing dropped.
    pub const EVERY_FRAME: Self = Self { frames: FramePolicy::Every, pace: Pace::Fast };

    /// A recording: in real time, unless each of its frames is wanted.
    #[must_use]
    pub fn of(frames: FramePolicy) -> Self {
        let pace = if frames == FramePolicy::Latest { Pace::RealTime } else { Pace::Fast };
        Self { frames, pace }
    }
}

/// The part of a camera that its own thread works with.
pub(super) struct Reader<'s> {
    pub source: &'s mut dyn FrameSource,
    pub playback: Playback,
    pub counters: Arc<CameraCounters>,
    pub sight: Option<Arc<Sight>>,
}

/// Counted per camera while it runs; anybody may look.
#[derive(Debug, Default)]
pub struct CameraCounters {
    /// Judged.
    pub frames: AtomicU64,
    /// Dropped by policy, because the next one came before they could be judged.
    pub dropped_frames: AtomicU64,
    /// Not judged: the mounting was measured for pictures of another size.
    pub frames_of_wrong_size: AtomicU64,
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
    /// Judged with a fix that was bridged over an outage.
    pub frames_bridged: AtomicU64,
    /// Not judged, because nothing may be recorded there or then.
    pub frames_not_recorded: AtomicU64,
    /// The clock by which frames are timed was set while they came.
    pub clock_leaps: AtomicU64,
    /// Steps of the judging thread: it stands still when judging hangs.
    pub steps: AtomicU64,
    pub detections: AtomicU64,
    pub sightings: AtomicU64,
    /// Sightings without a picture, because a mask of the privacy model touched it.
    pub pictures_with_somebody: AtomicU64,
    /// Sightings without a picture, because the privacy model could not look at it.
    pub pictures_nobody_looked_at: AtomicU64,
    /// The driver's marks that were reported.
    pub marks: AtomicU64,
    /// Marks that could not be placed, or must not be.
    pub marks_not_reported: AtomicU64,
    /// Committed.
    pub events: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// What the judging thread does next.
pub(super) enum Step {
    /// The frame of a camera, by its place in the list.
    Judge(usize, Box<Frame>),
    /// Nothing waits: time to look around. Comes about ten times a second.
    LookAround,
}

/// Takes one step after the other until all sources have ended, `stop` is set, or a step fails.
///
/// The outer result is that of the steps, the inner ones are the sources', so that a broken source hides neither what was
/// judged nor the other cameras.
pub(super) fn feed<E>(
    cameras: &mut [Reader<'_>],
    fix_at: &FixAt<'_>,
    counters: &Counters,
    stop: &AtomicBool,
    mut step: impl FnMut(Step) -> Result<(), E>,
) -> Result<Vec<Result<(), SourceError>>, E> {
    let slots = Slots::new(cameras.len());
    let read_to_the_end = |place: usize, camera: &mut Reader<'_>| {
        let result = read(place, camera, fix_at, counters, &slots);
        slots.end(place);
        result
    };
    std::thread::scope(|scope| {
        let start = |(place, camera)| scope.spawn(move || read_to_the_end(place, camera));
        let readers: Vec<_> = cameras.iter_mut().enumerate().map(start).collect();
        let stepped = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            let next = match slots.take() {
                Taken::Item(place, frame) => Step::Judge(place, Box::new(frame)),
                Taken::NotYet => Step::LookAround,
                Taken::Ended => break Ok(()),
            };
            add(&counters.steps, 1);
            if let Err(error) = step(next) {
                break Err(error);
            }
        };
        slots.close();
        let panicked =
            || SourceError::Interrupted { input: "a camera".into(), reason: "its thread panicked, a bug".into() };
        let read = readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| Err(panicked()))).collect();
        stepped.map(|()| read)
    })
}

fn read(
    place: usize,
    camera: &mut Reader<'_>,
    fix_at: &FixAt<'_>,
    counters: &Counters,
    slots: &Slots<Frame>,
) -> Result<(), SourceError> {
    let mut sequence = 0;
    let mut started = None;
    while let Some(captured) = camera.source.next_image()? {
        if camera.playback.pace == Pace::RealTime {
            let (start, first) = *started.get_or_insert_with(|| (Instant::now(), captured.stream_time));
            let due = captured.stream_time.saturating_sub(first);
            slots.sleep(due.saturating_sub(start.elapsed()));
        }
        if let Some(sight) = &camera.sight {
            sight.see(&captured.image);
        }
        let frame = Frame {
            sequence,
            captured_at: captured.captured_at,
            stream_time: captured.stream_time,
            fix: fix_at(captured.captured_at),
            image: captured.image,
        };
        sequence += 1;
        let taken = match camera.playback.frames {
            FramePolicy::Every => slots.put(place, frame),
            FramePolicy::Latest => slots.replace(place, frame).map(|dropped| {
                add(&counters.dropped_frames, dropped);
                add(&camera.counters.dropped_frames, dropped);
            }),
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

    fn camera(source: &mut Source, playback: Playback) -> Reader<'_> {
        Reader { source, playback, counters: Arc::default(), sight: None }
    }

    fn run(source: &mut Source, playback: Playback, judge_millis: u64) -> (Vec<u64>, u64, Result<(), SourceError>) {
        let counters = Counters::default();
        let mut seen = Vec::new();
        let mut cameras = [camera(source, playback)];
        let read = feed(&mut cameras, &|_| None, &counters, &AtomicBool::new(false), |step| {
            if let Step::Judge(_, frame) = step {
                std::thread::sleep(Duration::from_millis(judge_millis));
                seen.push(frame.sequence);
            }
            Ok::<(), ()>(())
        });
        (seen, counters.dropped_frames.into_inner(), read.unwrap().remove(0))
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
    fn a_camera_that_breaks_off_takes_nothing_from_another() {
        let (mut dying, mut living) =
            (Source { given: 0, count: 3, breaks: true }, Source { given: 0, count: 40, breaks: false });
        let mut cameras = [camera(&mut dying, Playback::EVERY_FRAME), camera(&mut living, Playback::EVERY_FRAME)];
        let mut seen = [0, 0];
        let read = feed(&mut cameras, &|_| None, &Counters::default(), &AtomicBool::new(false), |step| {
            if let Step::Judge(place, _) = step {
                seen[place] += 1;
            }
            Ok::<(), ()>(())
        });
        assert_eq!(seen, [3, 40]);
        assert_eq!(read.unwrap().iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_judge_that_fails_stops_the_source() {
        let mut source = Source { given: 0, count: u32::MAX, breaks: false };
        let mut cameras = [camera(&mut source, Playback::EVERY_FRAME)];
        let stop = AtomicBool::new(false);
        let result = feed(&mut cameras, &|_| None, &Counters::default(), &stop, |step| match step {
            Step::Judge(..) => Err("enough"),
            Step::LookAround => Ok(()),
        });
        assert_eq!(result.err(), Some("enough"));
    }
}
