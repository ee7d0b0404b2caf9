//! An input with two positions: read, settled, told when it changes.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::code::Code;
use super::evdev;
use super::input::{Input, Switch};

/// Between two looks at a file. A GPIO line in `/sys` cannot be waited for without more rights.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where an input stands, settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub on: bool,
    /// When it came to stand there, before it settled.
    pub since: Instant,
}

/// Lets a change count when it has lasted. Pure.
#[derive(Debug)]
struct Settling {
    rises_after: Duration,
    falls_after: Duration,
    settled: Option<Level>,
    candidate: Option<Level>,
}

impl Settling {
    fn new(switch: &Switch) -> Self {
        let Switch { rises_after, falls_after, .. } = *switch;
        Self { rises_after, falls_after, settled: None, candidate: None }
    }

    /// The input reads `on`; the new level when it has just settled.
    fn see(&mut self, on: bool, now: Instant) -> Option<Level> {
        if self.settled.is_some_and(|settled| settled.on == on) {
            self.candidate = None;
        } else if self.candidate.is_none_or(|candidate| candidate.on != on) {
            self.candidate = Some(Level { on, since: now });
        }
        self.pass(now)
    }

    /// Time has passed, and the input says nothing else.
    fn pass(&mut self, now: Instant) -> Option<Level> {
        if now < self.due()? {
            return None;
        }
        self.settled = self.candidate.take();
        self.settled
    }

    /// When what the input reads now will have settled.
    fn due(&self) -> Option<Instant> {
        let candidate = self.candidate?;
        Some(candidate.since + if candidate.on { self.rises_after } else { self.falls_after })
    }
}

/// Tells each settled level for ever; the first one too. While the input cannot be read, what it said last holds.
pub async fn follow(switch: Switch, tell: impl FnMut(Level) + Send) {
    match &switch.input {
        Input::File(path) => follow_file(path, &switch, tell).await,
        Input::Key(key) => follow_key(&key.device, key.code, &switch, tell).await,
    }
}

async fn follow_file(path: &Path, switch: &Switch, mut tell: impl FnMut(Level) + Send) {
    let mut settling = Settling::new(switch);
    let mut told = false;
    loop {
        match read(path).await {
            Ok(value) => {
                told = false;
                if let Some(level) = settling.see(value == switch.on_value, Instant::now()) {
                    tell(level);
                }
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!("{}: {error}; it is tried again, and what it said last holds", path.display());
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn read(path: &Path) -> io::Result<bool> {
    let text = tokio::fs::read_to_string(path).await?;
    match text.trim() {
        "0" => Ok(false),
        "1" => Ok(true),
        other => {
            let other: String = other.chars().take(20).collect();
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("reads {other:?}, neither 0 nor 1")))
        }
    }
}

async fn follow_key(device: &Path, code: Code, switch: &Switch, mut tell: impl FnMut(Level) + Send) {
    let (to_settle, mut values) = tokio::sync::mpsc::unbounded_channel();
    let reading = evdev::follow(device, move |record| {
        if let Some(value) = record.level_of(code) {
            // Both ends live in this function.
            let _ = to_settle.send(value);
        }
    });
    let settle = async {
        let mut settling = Settling::new(switch);
        loop {
            let due = settling.due().map(tokio::time::Instant::from_std);
            let settled = tokio::select! {
                value = values.recv() => match value {
                    Some(value) => settling.see(value == switch.on_value, Instant::now()),
                    None => return,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    settling.pass(Instant::now())
                }
            };
            if let Some(level) = settled {
                tell(level);
            }
        }
    };
    tokio::join!(reading, settle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn switch(rises_millis: u64, falls_millis: u64) -> Switch {
        Switch {
            input: Input::File("value".into()),
            on_value: true,
            rises_after: Duration::from_millis(rises_millis),
            falls_after: Duration::from_millis(falls_millis),
        }
    }

    /// What is told of readings, each with its time in milliseconds, seen by looks at 100 ms.
    fn told(switch: &Switch, readings: &[(u64, bool)], until: u64) -> Vec<(u64, bool)> {
        let start = Instant::now();
        let mut settling = Settling::new(switch);
        let mut told = Vec::new();
        for look in (0..=until).step_by(100) {
            let reading = readings.iter().rev().find(|(at, _)| *at <= look);
            let settled = reading.and_then(|(_, on)| settling.see(*on, start + Duration::from_millis(look)));
            told.extend(settled.map(|level| (look, level.on)));
        }
        told
    }

    #[test]
    fn the_starter_does_not_switch_the_ignition_off() {
        let ignition = switch(1500, 1500);
        let readings = [(0, true), (5000, false), (6000, true), (9000, false)];
        assert_eq!(told(&ignition, &readings, 12_000), [(1500, true), (10_500, false)]);
    }

    #[test]
    fn a_level_says_since_when() {
        let start = Instant::now();
        let mut settling = Settling::new(&switch(0, 1500));
        assert_eq!(settling.see(true, start), Some(Level { on: true, since: start }));
        let off = start + Duration::from_secs(3);
        assert_eq!(settling.see(false, off), None);
        assert_eq!(settling.due(), Some(off + Duration::from_millis(1500)));
        assert_eq!(settling.pass(off + Duration::from_millis(1600)), Some(Level { on: false, since: off }));
    }

    #[test]
    fn strokes_of_the_wiper_are_one_rain() {
        let readings: Vec<(u64, bool)> =
            (0..10).flat_map(|n| [(n * 20_000, true), (n * 20_000 + 800, false)]).collect();
        assert_eq!(told(&switch(0, 120_000), &readings, 400_000), [(0, true), (300_800, false)]);
    }

    proptest! {
        #[test]
        fn levels_alternate_and_each_has_lasted(
            times in prop::collection::vec((0_u64..20_000, any::<bool>()), 0..40),
            rises in 0_u64..2000,
            falls in 0_u64..2000,
        ) {
            let mut readings = times;
            readings.sort_unstable();
            let told = told(&switch(rises, falls), &readings, 20_000);
            prop_assert!(told.windows(2).all(|pair| pair[0].1 != pair[1].1));
            for (at, on) in told {
                let needed = if on { rises } else { falls };
                let during = (0..=at).step_by(100).filter(|look| look + needed >= at);
                for look in during {
                    let reading = readings.iter().rev().find(|(time, _)| *time <= look);
                    prop_assert_eq!(reading.map(|(_, on)| *on), Some(on));
                }
            }
        }
    }
}
