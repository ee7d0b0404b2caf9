//! The real `umsicht demo` as a process: what it says, and its end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::umsicht;

/// A debug build on a busy machine may take so long for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stopped in order when dropped: killed, it would leave its broker behind.
pub struct Demo {
    process: Child,
    said: Receiver<String>,
}

impl Demo {
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = umsicht()
            .arg("demo")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (tell, said) = channel();
        // Read to the end, whoever listens: a full pipe would stop the demo.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("demo: {line}");
                let _ = tell.send(line);
            }
        });
        Self { process, said }
    }

    /// Waits for the next line with `part` in it.
    pub fn wait_for_line(&self, part: &str) -> String {
        let started = Instant::now();
        loop {
            match self.said.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the demo ended before it said {part:?}"),
                Err(RecvTimeoutError::Timeout) => panic!("the demo did not say {part:?} within {PATIENCE:?}"),
            }
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.ended_within(PATIENCE).unwrap_or_else(|| panic!("the demo did not end within {PATIENCE:?}"))
    }

    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.process.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // What fails here fails because it has ended in the meantime.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        if self.ended_within(Duration::from_secs(60)).is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
