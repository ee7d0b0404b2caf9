//! A camera that sees is not called blind, and one that does not is found in time. Everything here is simulated; the long
//! operation is `cargo bench --bench blind`, real pictures are tried beside the module.

#[path = "../benches/trial.rs"]
#[allow(dead_code)]
mod trial;
#[path = "../benches/views.rs"]
mod views;

use trial::{Tested, Trial};
use umsicht::edge::blind::Place;
use views::{Loop, Pool, Road};

fn check(trial: &Trial) {
    assert!(trial.found.len() >= 7, "not every harm was tried: {:?}", trial.found.keys());
    assert!(trial.keeps_promises(), "blind without cause: {:?}; found after: {:?}", trial.false_blinds, trial.found);
    assert!(trial.false_blinds.is_empty(), "{:?}", trial.false_blinds);
}

#[test]
fn a_vehicles_camera() {
    let loops = [Loop::render(11, 40)];
    let tested = Tested { first_seconds: 190.0, every_seconds: 600.0 };
    check(&Trial::run(Place::Road, 260.0 / 3600.0, 5, tested, Road::new(&loops, 3, 10.0)));
}

#[test]
fn a_pools_camera() {
    let tested = Tested { first_seconds: 60.0, every_seconds: 600.0 };
    check(&Trial::run(Place::Pool, 120.0 / 3600.0, 5, tested, Pool::new(4, 10.0)));
}
