//! The thread that looks after an [`Updater`] while its pipeline runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::edge::update::updater::{Tick, Updater};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks until it is dropped; dropping it is the orderly end of the run, unless the thread that drops it panics.
pub struct Watch {
    updater: Arc<Updater>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// `on_stuck` is called at most once, see [`Tick::Stuck`].
    pub fn start(updater: &Arc<Updater>, on_stuck: impl FnOnce() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, told) = (Arc::clone(updater), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut on_stuck = Some(on_stuck);
            while !told.load(Ordering::Relaxed) {
                if seen.tick() == Tick::Stuck
                    && let Some(on_stuck) = on_stuck.take()
                {
                    on_stuck();
                }
                thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { updater: Arc::clone(updater), stop, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panic was printed; nothing is left to do about it here.
            let _ = thread.join();
        }
        // A panic with models on trial is their fault until they prove otherwise.
        if !thread::panicking() {
            self.updater.end_in_order();
        }
    }
}
