//! A live camera that never ends by itself: whatever goes wrong, its connection is torn down, and made anew after a pause.
//!
//! Opening and closing run in threads of their own, since a driver or a resolver can block for as long as it likes; whoever
//! asks for pictures is back within [`TICK`], and within [`FAREWELL`] after the stop flag was set. What hangs shows in the
//! heartbeat, which stands still while a connection is being closed, or takes longer than [`OPENING_LIMIT`] to open; it
//! ticks while a camera is merely away. A closing that hangs for good holds its thread and its device: only a new start of
//! the program frees them, so nothing else is tried then.
//!
//! Pauses grow from half a second to half a minute, with jitter over the whole range, so that cameras and devices that lost
//! their power together do not come back in step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::clock::Clock;
use crate::edge::frame::CameraImage;
use crate::edge::source::pace::Pace;
use crate::edge::source::settings::CameraPolicy;
use crate::edge::source::state::{CameraState, Phase, add};
use crate::edge::source::{CapturedImage, FrameSource, SourceError};

/// How long anything waits at most before the stop flag is looked at.
const TICK: Duration = Duration::from_millis(100);
/// For a thread to end, between two looks.
const GLANCE: Duration = Duration::from_millis(10);
/// A resolver without an answer gives up within this time.
const OPENING_LIMIT: Duration = Duration::from_secs(60);
/// A camera sends a whole picture within this time after it was asked, or does not understand us.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(10);
/// For taking leave of the camera, which may allow but a few connections.
const FAREWELL: Duration = Duration::from_millis(800);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that held so long was a good one: the next pause is short.
const GOOD_CONNECTION: Duration = Duration::from_secs(60);

/// One connection to a camera. Dropping it may block.
pub trait Session: Send {
    /// Waits for a picture, no longer than `wait`. `wanted` is asked with a picture's age before it costs a conversion.
    fn poll(&mut self, wait: Duration, wanted: &mut dyn FnMut(Duration) -> bool) -> Result<Polled, String>;

    /// Which decoder is at work, for people.
    fn decoder(&self) -> Option<String>;

    /// Pictures of this connection that newer ones replaced before they were fetched.
    fn replaced_frames(&self) -> u64;
}

#[derive(Debug)]
pub enum Polled {
    Nothing,
    Unwanted,
    Broken,
    Picture { image: CameraImage, age: Duration },
}

/// Makes a connection; the error says what to do.
pub type Connect = Arc<dyn Fn() -> Result<Box<dyn Session>, String> + Send + Sync>;

pub struct Reconnecting {
    /// For the log.
    name: String,
    connect: Connect,
    policy: CameraPolicy,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
    state: Arc<CameraState>,
    step: Step,
    started: Instant,
    last_stream_time: Option<Duration>,
    pace: Pace,
    /// Failures in a row.
    attempts: u32,
}

enum Step {
    Pause { until: Instant },
    Open { thread: JoinHandle<Result<Box<dyn Session>, String>>, since: Instant },
    Fetch(Connection),
    Close { thread: JoinHandle<()> },
    Ended,
}

struct Connection {
    session: Box<dyn Session>,
    since: Instant,
    last_picture: Option<Instant>,
    replaced_frames: u64,
}

impl Reconnecting {
    #[must_use]
    pub fn new(
        name: &str,
        connect: Connect,
        policy: CameraPolicy,
        clock: Arc<dyn Clock>,
        stop: Arc<AtomicBool>,
        state: Arc<CameraState>,
    ) -> Self {
        let started = Instant::now();
        let pace = Pace::new(policy.max_frames_per_second);
        let step = Step::Pause { until: started };
        let (name, last_stream_time, attempts) = (name.to_owned(), None, 0);
        Self { name, connect, policy, clock, stop, state, step, started, last_stream_time, pace, attempts }
    }

    fn advance(&mut self, step: Step) -> (Step, Option<CapturedImage>) {
        let next = match step {
            Step::Pause { until } => {
                self.state.tick();
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    self.state.enter(Phase::Connecting);
                    let connect = Arc::clone(&self.connect);
                    Step::Open { thread: std::thread::spawn(move || connect()), since: Instant::now() }
                } else {
                    std::thread::sleep(left.min(TICK));
                    Step::Pause { until }
                }
            }
            Step::Open { thread, since } if !thread.is_finished() => {
                if since.elapsed() < OPENING_LIMIT {
                    self.state.tick();
                }
                std::thread::sleep(GLANCE);
                Step::Open { thread, since }
            }
            Step::Open { thread, .. } => match thread.join() {
                Ok(Ok(session)) => {
                    let since = Instant::now();
                    Step::Fetch(Connection { session, since, last_picture: None, replaced_frames: 0 })
                }
                Ok(Err(reason)) => self.pause_after(&reason),
                Err(_) => self.pause_after("opening it panicked, a bug"),
            },
            Step::Fetch(connection) => return self.fetch(connection),
            Step::Close { thread } if !thread.is_finished() => {
                std::thread::sleep(GLANCE);
                Step::Close { thread }
            }
            Step::Close { .. } => Step::Pause { until: Instant::now() + self.pause() },
            Step::Ended => Step::Ended,
        };
        (next, None)
    }

    fn fetch(&mut self, mut connection: Connection) -> (Step, Option<CapturedImage>) {
        self.state.tick();
        let counts = &self.state.counts;
        let (mut late, mut stream_time) = (false, Duration::ZERO);
        let polled = connection.session.poll(TICK, &mut |age| {
            late = age > self.policy.max_latency;
            stream_time = self.started.elapsed().saturating_sub(age);
            // After a backlog the grid of times may lie ahead; a picture that is late must not use up a place in it.
            !late && self.pace.takes(stream_time)
        });
        let replaced = connection.session.replaced_frames();
        add(&counts.replaced_frames, replaced.saturating_sub(connection.replaced_frames));
        connection.replaced_frames = connection.replaced_frames.max(replaced);
        if late {
            add(&counts.late_frames, 1);
        }
        match polled {
            Ok(Polled::Picture { image, age }) => {
                if connection.last_picture.replace(Instant::now()).is_none() {
                    self.has_connected(connection.session.decoder());
                }
                let captured = self.captured(image, age, stream_time);
                return (Step::Fetch(connection), Some(captured));
            }
            Ok(Polled::Unwanted) if !late => {
                connection.last_picture = connection.last_picture.map(|_| Instant::now());
            }
            Ok(Polled::Broken) => add(&counts.broken_frames, 1),
            Ok(Polled::Unwanted | Polled::Nothing) => {}
            Err(reason) => return (self.close(connection, &reason), None),
        }
        if let Some(reason) = self.stalled(&connection) {
            return (self.close(connection, &reason), None);
        }
        (Step::Fetch(connection), None)
    }

    /// Pictures that are all broken or late help nobody; a new connection starts with a whole picture and no backlog.
    fn stalled(&self, connection: &Connection) -> Option<String> {
        let (since, limit) = match connection.last_picture {
            Some(at) => (at, self.policy.stall),
            None => (connection.since, self.policy.stall.max(FIRST_PICTURE_TIMEOUT)),
        };
        (since.elapsed() > limit).then(|| {
            format!("no usable picture for {:.1} s; is the camera busy, or the link too slow?", limit.as_secs_f64())
        })
    }

    fn has_connected(&mut self, decoder: Option<String>) {
        add(&self.state.counts.connections, 1);
        let shown = decoder.as_deref().unwrap_or("none");
        tracing::info!(camera = self.name, decoder = shown, "the camera delivers");
        self.state.decodes_by(decoder);
        self.state.enter(Phase::Delivering);
    }

    fn captured(&mut self, image: CameraImage, age: Duration, stream_time: Duration) -> CapturedImage {
        self.state.delivered((image.width_px(), image.height_px()));
        let least = self.last_stream_time.map_or(Duration::ZERO, |last| last + Duration::from_micros(1));
        let stream_time = stream_time.max(least);
        self.last_stream_time = Some(stream_time);
        let captured_at = self.clock.now() - age - self.policy.delay;
        CapturedImage { captured_at, stream_time, image }
    }

    fn close(&mut self, connection: Connection, reason: &str) -> Step {
        if connection.last_picture.is_some() && connection.since.elapsed() >= GOOD_CONNECTION {
            self.attempts = 0;
        }
        self.note(reason);
        close(connection)
    }

    fn pause_after(&mut self, reason: &str) -> Step {
        self.note(reason);
        Step::Pause { until: Instant::now() + self.pause() }
    }

    fn note(&mut self, reason: &str) {
        self.state.enter(Phase::Waiting);
        if self.state.failed(reason) {
            tracing::warn!(camera = self.name, "{reason}; it is tried again and again");
        }
    }

    fn pause(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        rand::rng().random_range(SHORTEST_PAUSE..=longest_pause(self.attempts))
    }

    /// Takes leave of the camera, but does not wait for one that does not answer.
    fn end(&mut self) {
        if let Step::Fetch(connection) = std::mem::replace(&mut self.step, Step::Ended) {
            self.step = close(connection);
        }
        if let Step::Close { thread } = std::mem::replace(&mut self.step, Step::Ended) {
            let since = Instant::now();
            while !thread.is_finished() && since.elapsed() < FAREWELL {
                std::thread::sleep(GLANCE);
            }
        }
        self.state.enter(Phase::Ended);
    }
}

impl FrameSource for Reconnecting {
    /// Never an error; the end only when it was told to stop.
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        while !self.stop.load(Ordering::Relaxed) {
            let step = std::mem::replace(&mut self.step, Step::Ended);
            let (next, captured) = self.advance(step);
            self.step = next;
            if captured.is_some() {
                return Ok(captured);
            }
        }
        self.end();
        Ok(None)
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.end();
    }
}

fn close(connection: Connection) -> Step {
    Step::Close { thread: std::thread::spawn(move || drop(connection)) }
}

/// 1 s after the first failure, then doubled.
fn longest_pause(attempts: u32) -> Duration {
    LONGEST_PAUSE.min(SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts.min(16))))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use image::RgbImage;
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;
    use crate::clock::SimulatedClock;

    const NOW: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);

    enum Does {
        Gives(Duration, u32),
        Is(Polled),
        Breaks(&'static str),
        /// Connected, but nothing comes any more.
        Stalls,
    }

    /// Does one thing after the other, and holds up its closing until the other side of the channel is gone.
    struct Scripted {
        script: std::vec::IntoIter<Does>,
        closes: Receiver<()>,
    }

    impl Session for Scripted {
        fn poll(&mut self, wait: Duration, wanted: &mut dyn FnMut(Duration) -> bool) -> Result<Polled, String> {
            match self.script.next().unwrap_or(Does::Stalls) {
                Does::Gives(age, _) if !wanted(age) => Ok(Polled::Unwanted),
                Does::Gives(age, side) => {
                    Ok(Polled::Picture { image: CameraImage::new(RgbImage::new(side, side)), age })
                }
                Does::Is(polled) => Ok(polled),
                Does::Breaks(reason) => Err(reason.into()),
                Does::Stalls => {
                    std::thread::sleep(wait);
                    Ok(Polled::Nothing)
                }
            }
        }

        fn decoder(&self) -> Option<String> {
            Some("fake".into())
        }

        fn replaced_frames(&self) -> u64 {
            0
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            let _ = self.closes.recv();
        }
    }

    struct Bench {
        source: Reconnecting,
        state: Arc<CameraState>,
        stop: Arc<AtomicBool>,
        /// While it is here, closing hangs.
        holds: Vec<Sender<()>>,
    }

    /// Each attempt takes the next script; an error where it has none.
    fn bench(scripts: Vec<Result<Vec<Does>, &'static str>>, policy: CameraPolicy, hangs: bool) -> Bench {
        let (state, stop) = (Arc::new(CameraState::default()), Arc::new(AtomicBool::new(false)));
        let (holds, sessions): (Vec<_>, Vec<_>) = scripts
            .into_iter()
            .map(|script| {
                let (hold, closes) = channel();
                (hold, script.map(|script| Scripted { script: script.into_iter(), closes }))
            })
            .unzip();
        let sessions = Mutex::new(sessions.into_iter());
        let connect: Connect = Arc::new(move || match sessions.lock().unwrap().next() {
            Some(Ok(session)) => Ok(Box::new(session)),
            Some(Err(reason)) => Err(reason.into()),
            None => Err("away".into()),
        });
        let clock = Arc::new(SimulatedClock::starting_at(NOW));
        let source = Reconnecting::new("front", connect, policy, clock, Arc::clone(&stop), Arc::clone(&state));
        Bench { source, state, stop, holds: if hangs { holds } else { Vec::new() } }
    }

    fn fresh(side: u32) -> Does {
        Does::Gives(Duration::ZERO, side)
    }

    #[test]
    fn a_camera_that_breaks_or_refuses_comes_back_and_its_time_goes_on() {
        let scripts = vec![
            Ok(vec![fresh(4), fresh(4), Does::Breaks("cut")]),
            Err("401"),
            Ok(vec![fresh(6), Does::Is(Polled::Broken), fresh(4)]),
        ];
        let mut bench = bench(scripts, CameraPolicy::default(), false);
        let times: Vec<_> = (0..4).map(|_| bench.source.next_image().unwrap().unwrap().stream_time).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        let report = bench.state.report();
        assert_eq!((report.frames, report.connections, report.failures), (4, 2, 2));
        assert_eq!((report.broken_frames, report.size_changes, report.size_px), (1, 2, Some((4, 4))));
        assert_eq!(report.last_error.as_deref(), Some("401"));
        assert_eq!((report.phase, report.decoder.as_deref()), (Phase::Delivering, Some("fake")));
    }

    #[test]
    fn the_age_and_the_cameras_own_delay_are_taken_off_the_capture_time() {
        let policy = CameraPolicy { delay: Duration::from_millis(80), ..CameraPolicy::default() };
        let mut bench = bench(vec![Ok(vec![Does::Gives(Duration::from_millis(120), 4)])], policy, false);
        let captured = bench.source.next_image().unwrap().unwrap();
        assert_eq!(captured.captured_at, NOW - Duration::from_millis(200));
    }

    #[test]
    fn what_lay_in_a_backlog_is_dropped_and_counted() {
        let old = || Does::Gives(Duration::from_secs(3), 4);
        let mut bench = bench(vec![Ok(vec![old(), old(), fresh(6)])], CameraPolicy::default(), false);
        let captured = bench.source.next_image().unwrap().unwrap();
        assert_eq!((captured.image.width_px(), bench.state.report().late_frames), (6, 2));
    }

    #[test]
    fn a_stall_is_noticed() {
        let policy = CameraPolicy { stall: Duration::from_millis(500), ..CameraPolicy::default() };
        let mut bench = bench(vec![Ok(vec![fresh(4)]), Ok(vec![fresh(6)])], policy, false);
        let sides = [(); 2].map(|()| bench.source.next_image().unwrap().unwrap().image.width_px());
        assert_eq!(sides, [4, 6]);
        let error = bench.state.report().last_error.unwrap();
        assert!(error.contains("no usable picture for 0.5 s"), "{error}");
    }

    #[test]
    fn an_endless_stream_of_broken_or_late_pictures_is_a_stall_too() {
        let policy = CameraPolicy { stall: Duration::from_millis(500), ..CameraPolicy::default() };
        let slow = |does: fn() -> Does| (0..60).flat_map(move |_| [does(), Does::Stalls]);
        let broken = std::iter::once(fresh(4)).chain(slow(|| Does::Is(Polled::Broken))).collect();
        let late = std::iter::once(fresh(5)).chain(slow(|| Does::Gives(Duration::from_secs(9), 4))).collect();
        let mut bench = bench(vec![Ok(broken), Ok(late), Ok(vec![fresh(6)])], policy, false);
        let sides = [(); 3].map(|()| bench.source.next_image().unwrap().unwrap().image.width_px());
        assert_eq!(sides, [4, 5, 6]);
    }

    /// Runs the source in a thread of its own; returns its state and how to stop it.
    fn watched(mut bench: Bench) -> (Arc<CameraState>, Arc<AtomicBool>, Vec<Sender<()>>, JoinHandle<u32>) {
        let thread = std::thread::spawn(move || {
            let mut frames = 0;
            while bench.source.next_image().unwrap().is_some() {
                frames += 1;
            }
            frames
        });
        (bench.state, bench.stop, bench.holds, thread)
    }

    fn heartbeats(state: &CameraState) -> u64 {
        let before = state.report().heartbeat;
        std::thread::sleep(Duration::from_secs(1));
        state.report().heartbeat - before
    }

    #[test]
    fn the_heart_beats_while_the_camera_is_away_and_stands_still_when_closing_hangs() {
        let (state, stop, _, thread) = watched(bench(Vec::new(), CameraPolicy::default(), false));
        assert!(heartbeats(&state) > 0, "away");
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();

        let scripts = vec![Ok(vec![fresh(4), Does::Breaks("cut")])];
        let (state, stop, holds, thread) = watched(bench(scripts, CameraPolicy::default(), true));
        while state.report().failures == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(heartbeats(&state), 0, "hangs");
        let stopped = Instant::now();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(thread.join().unwrap(), 1);
        assert!(stopped.elapsed() < Duration::from_secs(3), "a hanging driver does not hold up the stop");
        assert_eq!(state.report().phase, Phase::Ended);
        drop(holds);
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let seconds = [1, 2, 3, 6, 7, 1000].map(|attempts| longest_pause(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 4, 30, 30, 30]);
    }
}
