//! `umsicht edge run`: the service on the device, from its start to its end.
//!
//! SIGTERM, SIGINT and an ignition that goes off end the run in order; SIGHUP begins it anew with the configuration as it is
//! then; while the vehicle is parked the program waits for the ignition, or for the end of its power.

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
use crate::edge::vehicle::{Ignition, VehicleConfig};
use crate::edge::watchdog::Watchdog;
use crate::failure::Failure;

/// A new configuration with which the run ends within so long was not as right as it looked.
const PROVEN_AFTER: Duration = Duration::from_secs(60);

/// Runs until all recordings have ended or the process is told to stop.
pub fn run(path: &Path, pass_id: Option<&PassId>) -> Result<(), Failure> {
    let mut config = EdgeConfig::read(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable(format!("cannot start the network's thread: {e}")))?;
    let pulse = Arc::new(Pulse::default());
    pulse.starts();
    let watchdog = Arc::new(Watchdog::start(pulse.source()));
    let wishes = Wishes::listen(&runtime, path);
    let mut before: Option<EdgeConfig> = None;
    loop {
        let began = Instant::now();
        let ended = service::run(&runtime, &config, pass_id, &wishes, &watchdog, &pulse);
        match (ended, before.take()) {
            (Err(error), Some(old)) if began.elapsed() < PROVEN_AFTER => {
                wishes.refuse_reload(&error.to_string());
                config = old;
                continue;
            }
            (ended, _) => ended?,
        }
        match wishes.now() {
            Wish::Go | Wish::Stop => return Ok(()),
            Wish::Reload => {
                if let Some(new) = wishes.take_new() {
                    before = Some(std::mem::replace(&mut config, new));
                }
                Watchdog::reloaded();
            }
            Wish::Park => {
                pulse.waits();
                if !park(&runtime, &config.vehicle, &wishes) {
                    return Ok(());
                }
            }
        }
        pulse.starts();
        wishes.go_on();
    }
}

/// Returns whether the ignition is on again; a reload is carried out then. False: the process is told to stop.
fn park(runtime: &Runtime, vehicle: &VehicleConfig, wishes: &Wishes) -> bool {
    tracing::info!("the ignition is off: all is stopped and written down");
    Watchdog::say("parked: the ignition is off");
    let _sign = ParkedSign::put_up();
    let _within = runtime.enter();
    let Some(mut ignition) = Ignition::watch(vehicle) else { return true };
    let mut told = wishes.subscribe();
    runtime.block_on(async {
        tokio::select! {
            on = ignition.level.wait_for(|level| level.is_some_and(|level| level.on)) => on.is_ok(),
            _ = told.wait_for(|wish| *wish == Wish::Stop) => false,
        }
    })
}
