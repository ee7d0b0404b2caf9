//! Where commits line up: those that come while one is being written share the next write, and its one sync.
//!
//! There is no thread of its own: whoever comes while nobody writes, writes, for all who wait. Who wants to be alone (an alarm)
//! is written alone, and before all others that wait; it waits for one running write at most.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};

/// So many share one write at most, so that nobody waits for a write without end.
const MAX_SHARED: usize = 256;

/// `T` is what one brings, `R` what each gets back.
pub(super) struct Lineup<T, R> {
    state: Mutex<State<T, R>>,
    changed: Condvar,
}

struct State<T, R> {
    next: u64,
    alone: VecDeque<(u64, T)>,
    shared: VecDeque<(u64, T)>,
    writing: bool,
    results: HashMap<u64, R>,
    /// A write has panicked: its results will never come.
    broken: bool,
}

impl<T, R> Default for Lineup<T, R> {
    fn default() -> Self {
        let (alone, shared, results) = (VecDeque::new(), VecDeque::new(), HashMap::new());
        let state = State { next: 0, alone, shared, writing: false, results, broken: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T, R> State<T, R> {
    fn take(&mut self) -> Vec<(u64, T)> {
        match self.alone.pop_front() {
            Some(alone) => vec![alone],
            None => self.shared.drain(..self.shared.len().min(MAX_SHARED)).collect(),
        }
    }
}

impl<T, R> Lineup<T, R> {
    /// Brings `item` and returns its result when it was written, by this thread or another one. `write` gives one result for
    /// each item, in their order.
    ///
    /// # Panics
    /// When a write has panicked, here or in another thread.
    pub fn join(&self, item: T, alone: bool, write: impl Fn(Vec<T>) -> Vec<R>) -> R {
        let mut state = self.lock();
        let mine = state.next;
        state.next += 1;
        if alone {
            state.alone.push_back((mine, item));
        } else {
            state.shared.push_back((mine, item));
        }
        loop {
            assert!(!state.broken, "a write of another thread has panicked");
            if let Some(result) = state.results.remove(&mine) {
                return result;
            }
            if state.writing {
                state = self.changed.wait(state).expect("no holder of this lock panics");
                continue;
            }
            state.writing = true;
            let (numbers, items): (Vec<u64>, Vec<T>) = state.take().into_iter().unzip();
            drop(state);
            let turn = Turn { lineup: self, done: false };
            let results = write(items);
            turn.done();
            state = self.lock();
            state.results.extend(numbers.into_iter().zip(results));
            state.writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// Tells the others when a write panics; they would wait for ever.
struct Turn<'l, T, R> {
    lineup: &'l Lineup<T, R>,
    done: bool,
}

impl<T, R> Turn<'_, T, R> {
    fn done(mut self) {
        self.done = true;
    }
}

impl<T, R> Drop for Turn<'_, T, R> {
    fn drop(&mut self) {
        if !self.done {
            if let Ok(mut state) = self.lineup.state.lock() {
                state.broken = true;
            }
            self.lineup.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Waits until so many stand in line.
    fn until_waiting(lineup: &Lineup<u32, u32>, count: usize) {
        while {
            let state = lineup.lock();
            state.alone.len() + state.shared.len() < count
        } {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn who_waits_shares_the_next_write_and_an_alarm_goes_first_and_alone() {
        let lineup = Lineup::default();
        let written = Mutex::new(Vec::new());
        let (go, going) = mpsc::channel();
        let going = Mutex::new(going);
        let write = |items: Vec<u32>| {
            if items == [0] {
                going.lock().unwrap().recv().unwrap();
            }
            written.lock().unwrap().push(items.clone());
            items
        };
        std::thread::scope(|scope| {
            let join = |item, alone| {
                scope.spawn({
                    let lineup = &lineup;
                    move || lineup.join(item, alone, write)
                })
            };
            let first = join(0, false);
            while !lineup.lock().writing {
                std::thread::sleep(Duration::from_millis(1));
            }
            let mut others = Vec::new();
            for item in 1..=3 {
                others.push(join(item, false));
                until_waiting(&lineup, item as usize);
            }
            let alarm = join(9, true);
            until_waiting(&lineup, 4);
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap(), 0);
            assert_eq!(alarm.join().unwrap(), 9);
            let results: Vec<u32> = others.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(results, [1, 2, 3]);
        });
        assert_eq!(written.into_inner().unwrap(), [vec![0], vec![9], vec![1, 2, 3]]);
    }

    #[test]
    fn everybody_gets_their_own_result() {
        let lineup: Lineup<usize, usize> = Lineup::default();
        let writes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (lineup, writes) = (&lineup, &writes);
                scope.spawn(move || {
                    for number in 0..500 {
                        let item = thread * 1000 + number;
                        let write = |items: Vec<usize>| {
                            writes.fetch_add(1, Ordering::Relaxed);
                            items.into_iter().map(|item| item * 2).collect()
                        };
                        assert_eq!(lineup.join(item, number % 7 == 0, write), item * 2);
                    }
                });
            }
        });
        assert!(writes.into_inner() <= 8 * 500);
        assert!(lineup.lock().results.is_empty());
    }
}
