//! Hands frames from the cameras' threads to the judging one: a place for one frame per camera, emptied in turn, so that a
//! camera that is fast takes nothing from one that is slow.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How long a wait lasts at most, so that both sides notice a stop.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Slots<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    places: Vec<Place<T>>,
    /// Whose turn it is.
    next: usize,
    /// The taking side wants nothing more.
    closed: bool,
}

struct Place<T> {
    waiting: Option<T>,
    /// Its giving side has nothing more.
    ended: bool,
}

pub(super) enum Taken<T> {
    /// From which camera, and what.
    Item(usize, T),
    /// Nothing yet; ask again after a look around.
    NotYet,
    /// All have ended.
    Ended,
}

impl<T> Slots<T> {
    pub fn new(places: usize) -> Self {
        let places = (0..places).map(|_| Place { waiting: None, ended: false }).collect();
        Self { state: Mutex::new(State { places, next: 0, closed: false }), changed: Condvar::new() }
    }

    /// Puts the item in, in the place of one that nobody took. Returns how many were dropped for it; `None` when closed.
    pub fn replace(&self, place: usize, item: T) -> Option<u64> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let dropped = u64::from(state.places[place].waiting.replace(item).is_some());
        self.changed.notify_all();
        Some(dropped)
    }

    /// Waits until there is room. `None` when closed.
    pub fn put(&self, place: usize, item: T) -> Option<()> {
        let mut state = self.lock();
        while state.places[place].waiting.is_some() && !state.closed {
            state = self.changed.wait(state).expect("no holder of this lock panics");
        }
        if state.closed {
            return None;
        }
        state.places[place].waiting = Some(item);
        self.changed.notify_all();
        Some(())
    }

    pub fn take(&self) -> Taken<T> {
        let mut state = self.lock();
        if state.nothing_waits() && !state.all_ended() {
            state = self.changed.wait_timeout(state, PATIENCE).expect("no holder of this lock panics").0;
        }
        match state.take_in_turn() {
            Some((place, item)) => {
                self.changed.notify_all();
                Taken::Item(place, item)
            }
            None if state.all_ended() => Taken::Ended,
            None => Taken::NotYet,
        }
    }

    pub fn end(&self, place: usize) {
        self.lock().places[place].ended = true;
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

impl<T> State<T> {
    fn nothing_waits(&self) -> bool {
        self.places.iter().all(|place| place.waiting.is_none())
    }

    fn all_ended(&self) -> bool {
        self.places.iter().all(|place| place.ended)
    }

    fn take_in_turn(&mut self) -> Option<(usize, T)> {
        let count = self.places.len();
        let place = (0..count).map(|k| (self.next + k) % count).find(|&k| self.places[k].waiting.is_some())?;
        self.next = (place + 1) % count;
        Some((place, self.places[place].waiting.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_camera_takes_no_turn_of_a_slow_one() {
        let slots = Slots::new(2);
        let mut taken = Vec::new();
        slots.replace(1, 100);
        for k in 0..3 {
            slots.replace(0, k);
            let Taken::Item(place, item) = slots.take() else { panic!("an item waits") };
            taken.push((place, item));
        }
        assert_eq!(taken, [(0, 0), (1, 100), (0, 2)], "what nobody took was replaced by the newest");
    }

    #[test]
    fn it_has_ended_when_all_have_and_nothing_waits() {
        let slots = Slots::new(2);
        slots.replace(0, 7);
        slots.end(0);
        assert!(matches!(slots.take(), Taken::Item(0, 7)));
        assert!(matches!(slots.take(), Taken::NotYet));
        slots.end(1);
        assert!(matches!(slots.take(), Taken::Ended));
    }
}
