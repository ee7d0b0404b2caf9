//! Blind detection over simulated operation: how often a seeing camera is called blind, and how soon a blind one is.
//!
//!     cargo bench --bench blind -- [--hours N] [--seed N]
//!
//! Two vehicles, from before dawn on and until into the night, and two pools, N hours each (default 8). About every four
//! minutes a copy of the watch meets each harm, so that the operation itself stays undisturbed. Prints JSON; says on stderr
//! what was called blind. Exit code 1 when a promise is broken.

#![allow(clippy::unwrap_used, reason = "a trial that cannot go on stops where it is")]

mod trial;
mod views;

use serde_json::json;
use trial::{Tested, Trial};
use umsicht::edge::blind::Place;
use views::{Loop, Pool, Road};

const TOWNS: u64 = 8;
const TESTED: Tested = Tested { first_seconds: 300.0, every_seconds: 240.0 };

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |flag: &str, default: f64| {
        let at = arguments.iter().position(|a| a == flag);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (hours, seed) = (number("--hours", 8.0), number("--seed", 1.0) as u64);
    let loops: Vec<Loop> = (0..TOWNS).map(|k| Loop::render(1000 * seed + k, usize::MAX)).collect();
    let mut cameras = Vec::new();
    let mut kept = true;
    for (name, hour) in [("vehicle from before dawn", 6.0), ("vehicle until night", 12.0)] {
        let road = Road::new(&loops, 7 * seed + hour as u64, hour);
        let trial = Trial::run(Place::Road, hours, seed, TESTED, road);
        kept &= trial.keeps_promises();
        eprintln!("{name}: {}", trial.json());
        cameras.push(json!({ "camera": name, "simulated": true, "result": trial.json() }));
    }
    for (name, hour) in [("pool from before dawn", 6.0), ("pool until night", 14.0)] {
        let pool = Pool::new(7 * seed + hour as u64, hour);
        let trial = Trial::run(Place::Pool, hours, seed, TESTED, pool);
        kept &= trial.keeps_promises();
        eprintln!("{name}: {}", trial.json());
        cameras.push(json!({ "camera": name, "simulated": true, "result": trial.json() }));
    }
    let report =
        json!({ "commit": umsicht::COMMIT, "hours": hours, "seed": seed, "cameras": cameras, "promises_kept": kept });
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    if !kept {
        std::process::exit(1);
    }
}
