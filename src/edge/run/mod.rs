//! `umsicht edge run`: the service on the device, from its start to its end.
//!
//! SIGTERM, SIGINT and an ignition that goes off end the run in order; SIGHUP begins it anew with the configuration as it is
//! then; while the vehicle is parked the program waits for the ignition, or for the end of its power.

mod looks;
mod pulse;
mod service;
mod wish;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::pulse::Pulse;
use self::service::Kept;
use self::wish::{Wish, Wishes};
use crate::edge::config::EdgeConfig;
use crate::edge::report::PassId;
use crate::edge::vehicle::Ignition;
use crate::edge::vehicle::parked::ParkedSign;
use crate::edge::watchdog::Watchdog;
use crate::failure::Failure;

/// A new configuration with which the run ends within so long was not as right as it looked.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Runs until all recordings have ended or the process is told to stop.
pub fn run(path: &Path, pass_id: Option<&PassId>) -> Result<(), Failure> {
    let mut config = EdgeConfig::read(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable(format!("cannot start the network's thread: {e}")))?;
    let pulse = Arc::new(Pulse::default());
    let watchdog = Arc::new(Watchdog::start(pulse.source()));
    let wishes = Wishes::listen(&runtime, path);
    let run = Run { runtime: &runtime, wishes: &wishes, watchdog: &watchdog, pulse: &pulse };
    let ended = run.run(&mut config, pass_id);
    // What still waits for a name server or a disk must not hold up the end.
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}

struct Run<'r> {
    runtime: &'r Runtime,
    wishes: &'r Wishes,
    watchdog: &'r Arc<Watchdog>,
    pulse: &'r Pulse,
}

impl Run<'_> {
    /// One run after the other, until nothing more is wished.
    fn run(&self, config: &mut EdgeConfig, pass_id: Option<&PassId>) -> Result<(), Failure> {
        let mut before: Option<EdgeConfig> = None;
        let mut kept = Kept { ignition: self.ignition(config), ..Kept::default() };
        loop {
            self.pulse.starts();
            // In this order: what is wished from here on ends what begins.
            self.wishes.go_on();
            if let Some(new) = self.wishes.take_new() {
                let old = std::mem::replace(config, new);
                if old.vehicle.ignition != config.vehicle.ignition {
                    kept.ignition = self.ignition(config);
                }
                before = Some(old);
                Watchdog::reloaded();
            }
            if self.wishes.now() == Wish::Stop {
                return Ok(());
            }
            if kept.ignition.as_ref().is_some_and(Ignition::is_off) {
                self.park(kept.ignition.as_ref());
                continue;
            }
            let began = Instant::now();
            let (runtime, wishes) = (self.runtime, self.wishes);
            let ended = service::run(runtime, config, pass_id, wishes, self.watchdog, self.pulse, &mut kept);
            let is_proven = began.elapsed() >= PROVEN_AFTER;
            match ended {
                Err(error) if !is_proven && before.is_some() => {
                    self.wishes.refuse_reload(&error.to_string());
                    if let Some(old) = before.take() {
                        *config = old;
                    }
                }
                Err(error) => return Err(error),
                Ok(()) if matches!(self.wishes.now(), Wish::Go | Wish::Stop) => return Ok(()),
                Ok(()) => before = before.filter(|_| !is_proven),
            }
        }
    }

    fn ignition(&self, config: &EdgeConfig) -> Option<Ignition> {
        let _within = self.runtime.enter();
        Ignition::watch(&config.vehicle)
    }

    /// Waits until the ignition is on, or something else is wished.
    fn park(&self, ignition: Option<&Ignition>) {
        let Some(ignition) = ignition else { return };
        self.pulse.waits();
        tracing::info!("the ignition is off: all is stopped and written down");
        Watchdog::say("parked: the ignition is off");
        let _sign = ParkedSign::put_up();
        let (mut level, mut told) = (ignition.level.clone(), self.wishes.subscribe());
        self.runtime.block_on(async {
            tokio::select! {
                _ = level.wait_for(|level| level.is_some_and(|level| level.on)) => {}
                _ = told.wait_for(|wish| matches!(wish, Wish::Stop | Wish::Reload)) => {}
            }
        });
    }
}
