//! What systemd is told: started, how it goes, reloading, stopping, and that the program is alive, which only progress may
//! claim (see [`progress`]).
//!
//! Without systemd (`NOTIFY_SOCKET` is not set) nothing is told. `WatchdogSec=` must be at least four times the longest time
//! that a part may take for one turn of its loop.

pub mod progress;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use self::progress::{Counts, Progress, Verdict};
use crate::edge::status::WatchdogStatus;

/// Where the counts come from; must not wait for anything that may hang.
pub type CountSource = Arc<dyn Fn() -> Counts + Send + Sync>;

/// Without a limit there is nothing to feed; what stands still is looked for all the same, for the status.
const WITHOUT_LIMIT: Duration = Duration::from_secs(30);
/// How often to look whether the program has started.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Feeds the watchdog on a thread of its own; dropping it tells systemd that the program stops.
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    source: CountSource,
    limit: Option<Duration>,
    feeds: AtomicU64,
    withheld: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    ready: bool,
    stuck: Option<String>,
}

impl Watchdog {
    /// `source` may be asked from now on.
    #[must_use]
    pub fn start(source: CountSource) -> Self {
        let shared = Arc::new(Shared {
            source,
            limit: sd_notify::watchdog_enabled(),
            feeds: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
            state: Mutex::default(),
        });
        let watching = Arc::clone(&shared);
        Self { shared, thread: Some(thread::spawn(move || watching.run())) }
    }

    /// One line that `systemctl status` shows.
    pub fn say(text: &str) {
        // A line end would begin another message.
        tell(&[NotifyState::Status(&text.replace(['\n', '\r'], " "))]);
    }

    /// The configuration is read anew; [`Watchdog::reloaded`] must follow.
    pub fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("systemd is not told of the reload: {error}"),
        }
    }

    pub fn reloaded() {
        tell(&[NotifyState::Ready]);
    }

    /// Whether systemd was told that the program has started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.lock().ready
    }

    #[must_use]
    pub fn status(&self) -> WatchdogStatus {
        WatchdogStatus {
            limit_seconds: self.shared.limit.map(|limit| limit.as_secs()),
            feeds: self.shared.feeds.load(Ordering::Relaxed),
            withheld: self.shared.withheld.load(Ordering::Relaxed),
            stuck: self.shared.lock().stuck.clone(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        tell(&[NotifyState::Stopping]);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panic was printed; nothing is left to do about it here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let half = self.limit.unwrap_or(WITHOUT_LIMIT) / 2;
        // When nothing moved at half of the limit, it may only be slow: the other half is for looking again.
        let again = (half / 8).min(LOOK_EVERY);
        let started = Instant::now();
        let first = (self.source)();
        let mut progress = Progress::default();
        let mut fed_at: Option<Instant> = None;
        let mut is_due_told = false;
        while !self.lock().stopped {
            let now = (self.source)();
            if !self.lock().ready && Progress::is_ready(&first, &now, started.elapsed()) {
                tell(&[NotifyState::Ready]);
                self.lock().ready = true;
            }
            if fed_at.is_none_or(|at| at.elapsed() >= half) {
                match progress.see(&now) {
                    Verdict::Gets => {
                        self.feed();
                        (fed_at, is_due_told) = (Some(Instant::now()), false);
                    }
                    Verdict::Stuck(part) if !is_due_told => {
                        is_due_told = true;
                        self.withhold(part);
                    }
                    Verdict::Stuck(_) => {}
                }
            }
            thread::park_timeout(again);
        }
    }

    fn feed(&self) {
        if let Some(part) = self.lock().stuck.take() {
            tracing::info!("{part} gets on again");
        }
        if self.limit.is_some() {
            tell(&[NotifyState::Watchdog]);
            self.feeds.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn withhold(&self, part: String) {
        self.withheld.fetch_add(1, Ordering::Relaxed);
        tracing::error!("{part} stands still: the watchdog is not fed until it gets on");
        Watchdog::say(&format!("{part} stands still"));
        self.lock().stuck = Some(part);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests;
