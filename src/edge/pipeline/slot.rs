//! Hands frames from the source's thread to the judging one: a place for one frame.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How long a wait lasts at most, so that both sides notice a stop.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Option<T>,
    /// The giving side has nothing more.
    ended: bool,
    /// The taking side wants nothing more.
    closed: bool,
}

pub(super) enum Taken<T> {
    Item(T),
    /// Nothing yet; ask again after a look around.
    NotYet,
    Ended,
}

impl<T> Slot<T> {
    pub fn new() -> Self {
        Self { state: Mutex::new(State { waiting: None, ended: false, closed: false }), changed: Condvar::new() }
    }

    /// Puts the item in, in the place of one that nobody took. Returns how many were dropped for it; `None` when closed.
    pub fn replace(&self, item: T) -> Option<u64> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let dropped = u64::from(state.waiting.replace(item).is_some());
        self.changed.notify_all();
        Some(dropped)
    }

    /// Waits until there is room. `None` when closed.
    pub fn put(&self, item: T) -> Option<()> {
        let mut state = self.lock();
        while state.waiting.is_some() && !state.closed {
            state = self.changed.wait(state).expect("no holder of this lock panics");
        }
        if state.closed {
            return None;
        }
        state.waiting = Some(item);
        self.changed.notify_all();
        Some(())
    }

    pub fn take(&self) -> Taken<T> {
        let mut state = self.lock();
        if state.waiting.is_none() && !state.ended {
            state = self.changed.wait_timeout(state, PATIENCE).expect("no holder of this lock panics").0;
        }
        match state.waiting.take() {
            Some(item) => {
                self.changed.notify_all();
                Taken::Item(item)
            }
            None if state.ended => Taken::Ended,
            None => Taken::NotYet,
        }
    }

    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Sleeps, unless it is closed before.
    pub fn sleep(&self, time: Duration) {
        let state = self.lock();
        // Waking early shows the frame early; nothing else depends on it.
        drop(self.changed.wait_timeout_while(state, time, |s| !s.closed));
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of this lock panics")
    }
}
