//! Nobody but the town's broker is told anything: from 1.29 on, ONNX Runtime as its makers build it sends reports to them.
//!
//! It does so as soon as it is loaded, before its own setting against it can be reached; only `ORT_DISABLE_TELEMETRY` in the
//! environment prevents that it keeps an id and a database in the home folder and looks for its makers' servers. A program
//! cannot safely change its own environment, but it can start itself anew with another one.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, io};

const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// Returns at once where the variable is set. Otherwise this process goes on as the same program with the variable set, from
/// its beginning; so call it before anything else, and a return is a failure.
pub fn refuse() -> io::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut again = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(again.args(arguments).env(VARIABLE, "1").exec())
}
