//! What the run is asked for from outside: by signals and by the ignition.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::edge::config::EdgeConfig;
use crate::edge::reload::Reload;
use crate::edge::status::ReloadStatus;
use crate::edge::watchdog::Watchdog;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Go,
    /// With another configuration, see [`Wishes::take_new`].
    Reload,
    /// The ignition is off.
    Park,
    /// For good.
    Stop,
}

pub(super) struct Wishes {
    wish: watch::Sender<Wish>,
    new: Arc<Mutex<Option<EdgeConfig>>>,
    last_reload: Arc<Mutex<Option<ReloadStatus>>>,
}

impl Wishes {
    /// Listens to signals from now on.
    pub fn listen(runtime: &Runtime, path: &Path) -> Self {
        let wishes = Self { wish: watch::Sender::new(Wish::Go), new: Arc::default(), last_reload: Arc::default() };
        let _within = runtime.enter();
        let caught = |kind| signal(kind).ok();
        let (term, interrupt) = (caught(SignalKind::terminate()), caught(SignalKind::interrupt()));
        let (Some(term), Some(interrupt), Some(hangup)) = (term, interrupt, caught(SignalKind::hangup())) else {
            tracing::warn!("signals cannot be caught; stopping will not be in order");
            return wishes;
        };
        runtime.spawn(stop_on([term, interrupt], wishes.wish.clone()));
        runtime.spawn(reload_on(hangup, path.to_owned(), wishes.clone_parts()));
        wishes
    }

    pub fn now(&self) -> Wish {
        *self.wish.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    pub fn sender(&self) -> watch::Sender<Wish> {
        self.wish.clone()
    }

    /// What was asked for is done; a stop stays asked for.
    pub fn go_on(&self) {
        self.wish.send_if_modified(|wish| *wish != Wish::Stop && std::mem::replace(wish, Wish::Go) != Wish::Go);
    }

    pub fn take_new(&self) -> Option<EdgeConfig> {
        lock(&self.new).take()
    }

    pub fn last_reload(&self) -> Arc<Mutex<Option<ReloadStatus>>> {
        Arc::clone(&self.last_reload)
    }

    /// The new configuration could be read, but nothing runs with it.
    pub fn refuse_reload(&self, why: &str) {
        tracing::error!("RELOAD TAKEN BACK, the configuration before is in use again: {why}");
        *lock(&self.last_reload) = Some(ReloadStatus { at: OffsetDateTime::now_utc(), refused: Some(why.to_owned()) });
        self.go_on();
    }

    fn clone_parts(&self) -> Self {
        let (new, last_reload) = (Arc::clone(&self.new), Arc::clone(&self.last_reload));
        Self { wish: self.wish.clone(), new, last_reload }
    }
}

/// A stop is never taken back.
pub(super) fn ask(wish: &watch::Sender<Wish>, for_what: Wish) {
    wish.send_if_modified(|wish| *wish != Wish::Stop && std::mem::replace(wish, for_what) != for_what);
}

async fn stop_on([mut term, mut interrupt]: [Signal; 2], wish: watch::Sender<Wish>) {
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    ask(&wish, Wish::Stop);
}

async fn reload_on(mut hangup: Signal, path: std::path::PathBuf, wishes: Wishes) {
    while hangup.recv().await.is_some() {
        Watchdog::reloading();
        let reload = Reload::read(&path, EdgeConfig::read);
        *lock(&wishes.last_reload) = Some(reload.status(OffsetDateTime::now_utc()));
        match reload.taken(&path) {
            Some(config) => {
                *lock(&wishes.new) = Some(config);
                ask(&wishes.wish, Wish::Reload);
            }
            None => Watchdog::reloaded(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
