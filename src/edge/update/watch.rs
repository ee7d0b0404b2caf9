//! The threads that look after an [`Updater`] while its pipeline runs: one after the trial, and one after the inbox, which may
//! be held up by a self-test for as long as that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::edge::update::updater::{Tick, Updater};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// At its end the program does not wait longer for whoever is in the middle of a self-test.
const FAREWELL: Duration = Duration::from_secs(1);

/// Looks until it is dropped; dropping it is the orderly end of the run, unless the thread that drops it panics.
pub struct Watch {
    updater: Arc<Updater>,
    stop: Arc<AtomicBool>,
    trial: Option<JoinHandle<()>>,
    inbox: JoinHandle<()>,
}

impl Watch {
    /// `on_stuck` is called at most once, see [`Tick::Stuck`].
    pub fn start(updater: &Arc<Updater>, on_stuck: impl FnOnce() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut on_stuck = Some(on_stuck);
        let trial = looking(updater, &stop, move |updater| {
            if updater.tick() == Tick::Stuck
                && let Some(on_stuck) = on_stuck.take()
            {
                on_stuck();
            }
        });
        let inbox = looking(updater, &stop, Updater::look_into_inbox);
        Self { updater: Arc::clone(updater), stop, trial: Some(trial), inbox }
    }
}

fn looking(
    updater: &Arc<Updater>,
    stop: &Arc<AtomicBool>,
    mut look: impl FnMut(&Updater) + Send + 'static,
) -> JoinHandle<()> {
    let (updater, stop) = (Arc::clone(updater), Arc::clone(stop));
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            look(&updater);
            thread::park_timeout(LOOK_EVERY);
        }
    })
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.inbox.thread().unpark();
        if let Some(trial) = self.trial.take() {
            trial.thread().unpark();
            // Its panic was printed; nothing is left to do about it here.
            let _ = trial.join();
        }
        // A panic with models on trial is their fault until they prove otherwise.
        if !thread::panicking() {
            self.updater.end_in_order();
        }
        let asked = Instant::now();
        while !self.inbox.is_finished() && asked.elapsed() < FAREWELL {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::edge::update::updater::tests::updater;

    #[test]
    fn a_self_test_that_hangs_stops_neither_the_look_at_the_trial_nor_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let updater = Arc::new(updater(folder.path()).with_trial(12, 12));
        let held = updater.hold_up_offers();
        fs::write(folder.path().join("inbox/by-hand-1.umsicht-models"), "bundle").unwrap();
        let (tell, told) = channel();
        let watch = Watch::start(&updater, move || tell.send(()).unwrap());
        if told.recv_timeout(Duration::from_secs(20)).is_err() {
            drop(held);
            panic!("nobody looks at the trial");
        }
        assert_eq!(updater.state().current, None);
        let asked = Instant::now();
        drop(watch);
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        drop(held);
    }
}
