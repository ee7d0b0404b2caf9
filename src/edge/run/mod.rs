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
use self::wish::{Wish, Wishes};
use crate::edge::config::EdgeConfig;
use crate::edge::report::PassId;
use crate::edge::vehicle::parked::ParkedSign;
use crate::edge::vehicle::{Ignition, Level, VehicleConfig};
use crate::edge::watchdog::Watchdog;
use crate::failure::Failure;

/// A new configuration with which the run ends within so long was not as right as it looked.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
/// A file says at once how the ignition is; an input device, only when it changes.
const IGNITION_KNOWN: Duration = Duration::from_secs(5);
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
        let mut is_off_by_hand = false;
        loop {
            self.pulse.starts();
            // In this order: what is wished from here on ends the run that begins.
            self.wishes.go_on();
            if let Some(new) = self.wishes.take_new() {
                before = Some(std::mem::replace(config, new));
                Watchdog::reloaded();
            }
            if self.wishes.now() == Wish::Stop {
                return Ok(());
            }
            let began = Instant::now();
            let (runtime, wishes) = (self.runtime, self.wishes);
            let ended = service::run(runtime, config, pass_id, wishes, self.watchdog, self.pulse, &mut is_off_by_hand);
            match (ended, before.take()) {
                (Err(error), Some(old)) if began.elapsed() < PROVEN_AFTER => {
                    self.wishes.refuse_reload(&error.to_string());
                    *config = old;
                    continue;
                }
                (ended, _) => ended?,
            }
            match self.wishes.now() {
                Wish::Go | Wish::Stop => return Ok(()),
                Wish::Reload => {}
                Wish::Park => {
                    self.pulse.waits();
                    if !self.park(&config.vehicle) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until the ignition is on, or another configuration is there. False: the process is told to stop.
    fn park(&self, vehicle: &VehicleConfig) -> bool {
        let _within = self.runtime.enter();
        let Some(mut ignition) = Ignition::watch(vehicle) else { return true };
        let is_on = |level: &Option<Level>| level.is_some_and(|level| level.on);
        // It may be on again by now; nobody must take the vehicle for parked then.
        let known = self.runtime.block_on(async {
            let known = ignition.level.wait_for(Option::is_some);
            tokio::time::timeout(IGNITION_KNOWN, known).await.is_ok_and(|known| known.is_ok_and(|level| is_on(&level)))
        });
        if known {
            return true;
        }
        tracing::info!("the ignition is off: all is stopped and written down");
        Watchdog::say("parked: the ignition is off");
        let _sign = ParkedSign::put_up();
        let mut told = self.wishes.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                on = ignition.level.wait_for(is_on) => on.is_ok(),
                wish = told.wait_for(|wish| matches!(wish, Wish::Stop | Wish::Reload)) => {
                    wish.is_ok_and(|wish| *wish == Wish::Reload)
                }
            }
        })
    }
}
