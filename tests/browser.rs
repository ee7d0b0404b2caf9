//! The demo's page in a real Chromium: it says that it is simulated, the map shows the defects, a click on a symbol opens
//! the reasons, what the vehicle sees next appears without loading the page anew, the language switches, and nothing is
//! fetched from elsewhere.
//!
//! Everything is the real thing: `umsicht demo` with its Mosquitto and its embedded page, Chromium. The steps in the
//! browser stand in `ui/tests/browser.mjs`. Without Node.js or Chromium the test says so and is skipped; `make test`
//! installs both.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::demo::Demo;
use crate::support::mosquitto::Mosquitto;

/// So many defects must be there before anybody looks.
const LEAST_DEFECTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_browser_shows_defects_reasons_and_new_sightings() {
    let (chromium, driver) = match tools("browser.mjs") {
        Ok(tools) => tools,
        Err(missing) => {
            eprintln!("SKIPPED a_browser_shows_defects_reasons_and_new_sightings: {missing}; `make test` installs it");
            return;
        }
    };
    if Mosquitto::program().is_none() {
        return;
    }
    let demo = Demo::start(&["--loop", "--port", "0"]);
    let line = demo.wait_for_line("map: http://");
    let url = line.split_whitespace().nth(1).unwrap();
    wait_for_defects(url);

    let mut browser = Command::new("node")
        .arg(driver)
        .args([url, &LEAST_DEFECTS.to_string()])
        .env("CHROMIUM", chromium)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut steps = Vec::new();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines().map_while(Result::ok) {
        eprintln!("browser: {line}");
        steps.push(line);
    }
    assert!(browser.wait().unwrap().success(), "the steps in the browser failed after {:?}", steps.last());
    assert_eq!(steps.last().map(String::as_str), Some("all holds"));
}

/// Chromium and the script in `ui/tests` that drives it, or what of it is missing.
pub(crate) fn tools(script: &str) -> Result<(PathBuf, PathBuf), String> {
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or("Chromium is not installed")?;
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("Node.js is not installed".into());
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    if !ui.join("node_modules/playwright-core").is_dir() {
        return Err("ui/node_modules is not there (npm --prefix ui ci)".into());
    }
    assert!(ui.join("dist/index.html").is_file(), "the page is not built: npm --prefix ui run build");
    Ok((chromium, ui.join("tests").join(script)))
}

fn wait_for_defects(url: &str) {
    let started = Instant::now();
    while defects(url) < LEAST_DEFECTS {
        assert!(started.elapsed() < PATIENCE, "only {} defects after {PATIENCE:?}", defects(url));
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn defects(url: &str) -> usize {
    let mut answer = ureq::get(format!("{url}api/v1/defects")).call().unwrap();
    let list: serde_json::Value = answer.body_mut().read_json().unwrap();
    list["defects"].as_array().unwrap().len()
}
