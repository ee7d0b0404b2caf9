//! `umsicht edge status`: asks the running device over loopback and prints one page.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::edge::local::LocalConfig;
use crate::edge::status::DeviceStatus;
use crate::edge::status::page::page;
use crate::failure::Failure;

pub const EXAMPLES: &str = "\
Examples:
  umsicht edge status --config /etc/umsicht/edge.toml
      what is wrong, and what to do about it; then the facts
  umsicht edge status --config /etc/umsicht/edge.toml --json
      the same for programs

It asks the running service at [local] listen and needs no rights. Exit codes: 0 it answered (there may be faults), 64 the
section [local] is wrong, 69 the service does not run.";

const TIMEOUT: Duration = Duration::from_secs(5);
/// A status is some kilobytes; what is larger is none.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The device's settings; only the section [local] is read, so that other mistakes in it do not matter here.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl StatusArguments {
    pub fn run(self) -> Result<(), Failure> {
        let local = crate::config::read_section(&self.config, "local", LocalConfig::from_table)?;
        let status = ask(local)?;
        if self.json {
            let json = serde_json::to_string_pretty(&status).map_err(Failure::bug)?;
            println!("{json}");
        } else {
            print!("{}", page(&status));
        }
        Ok(())
    }
}

fn ask(local: LocalConfig) -> Result<DeviceStatus, Failure> {
    let address = local.listen;
    // No proxy: the environment of a technician's shell may name one.
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).build();
    let mut answer = ureq::Agent::new_with_config(agent).get(format!("http://{address}/status")).call().map_err(|error| {
        let reason = match error {
            ureq::Error::Timeout(_) => {
                format!("the service at {address} does not answer within {} s: systemctl restart umsicht-edge", TIMEOUT.as_secs())
            }
            error => format!(
                "nothing answers at {address} ({error}): the vehicle is parked (systemctl status umsicht-edge says so), or the service \
                 does not run. Start it: systemctl start umsicht-edge; if it does not stay: journalctl -u umsicht-edge -n 50"
            ),
        };
        Failure::unavailable(reason)
    })?;
    let code = answer.status();
    let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string();
    let body = body.map_err(|error| Failure::unavailable(format!("{address}: the answer broke off: {error}")))?;
    if !code.is_success() {
        let told: Option<serde_json::Value> = serde_json::from_str(&body).ok();
        let told = told.as_ref().and_then(|told| told["error"].as_str()).unwrap_or("no reason given");
        return Err(Failure::unavailable(format!("{address} answers {code}: {told}")));
    }
    match serde_json::from_str::<DeviceStatus>(&body) {
        Ok(status) if !status.program.is_empty() => Ok(status),
        _ => Err(Failure::unavailable(format!(
            "what answers at {address} is not this service; `ss -ltnp` shows which program has the port: stop it, or set \
             [local] listen"
        ))),
    }
}
