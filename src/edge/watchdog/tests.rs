//! The watchdog as systemd meets it: a process of its own, a datagram socket, the real protocol.
//!
//! The process is this test program again, told by the environment to run one of the cases at the end of this file.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use super::*;

const LIMIT: Duration = Duration::from_secs(3);

/// A service as systemd starts it.
struct Service {
    child: Child,
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start(case: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let name = format!("{}::{case}", module_path!().split_once("::").unwrap().1);
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name.as_str(), "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", LIMIT.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket, _folder: folder }
    }

    /// The next message, or `None` when there is none for so long.
    fn next_within(&self, limit: Duration) -> Option<String> {
        let mut bytes = [0; 512];
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).trim_end().to_owned())
    }

    /// Messages up to the wanted one.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != wanted) {
            match self.next_within(Duration::from_secs(20)) {
                Some(message) => seen.push(message),
                None => panic!("{wanted} was not told, but {seen:?}"),
            }
        }
        seen
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn progress_feeds_in_time_and_the_end_is_told() {
    let service = Service::start("case_of_a_program_that_works");
    let seen = service.until("READY=1");
    assert!(seen.iter().all(|message| message != "STOPPING=1"), "{seen:?}");
    for _ in 0..3 {
        let message = service.next_within(LIMIT);
        assert_eq!(message.as_deref(), Some("WATCHDOG=1"), "each within the limit");
    }
    let reload = service.until("READY=1");
    assert!(reload.iter().any(|m| m.starts_with("RELOADING=1\nMONOTONIC_USEC=")), "{reload:?}");
    assert!(reload.iter().any(|m| m == "STATUS=12 frames/s on 2 cameras"), "{reload:?}");
    service.until("STOPPING=1");
}

#[test]
fn a_judge_that_hangs_is_not_fed() {
    let service = Service::start("case_of_a_judge_that_hangs");
    service.until("STATUS=the judge stands still");
    let after = service.next_within(2 * LIMIT);
    assert_eq!(after, None, "for longer than systemd waits, there is no sign of life");
}

#[test]
fn a_reader_that_hangs_is_not_fed_while_all_else_works() {
    let service = Service::start("case_of_a_reader_that_hangs");
    let seen = service.until("STATUS=the reader of camera rear stands still");
    assert!(seen.iter().any(|message| message == "READY=1"));
    assert_eq!(service.next_within(2 * LIMIT), None);
}

/// Counters that move every 20 ms, but for what hangs after a second.
fn program(hangs: &'static str) -> CountSource {
    let started = Instant::now();
    Arc::new(move || {
        let turns = |part: &str| {
            let moves_for =
                if part == hangs { started.elapsed().min(Duration::from_secs(1)) } else { started.elapsed() };
            1 + u64::try_from(moves_for.as_millis() / 20).unwrap()
        };
        let readers = ["the reader of camera front", "the reader of camera rear"];
        Counts {
            heartbeats: readers.map(|reader| (reader.to_owned(), turns(reader))).into(),
            frames_to_judge: turns("camera"),
            frames_judged: turns("the judge"),
            frames_waiting: 0,
        }
    })
}

#[test]
#[ignore = "a program for the tests above, not a test"]
fn case_of_a_program_that_works() {
    let watchdog = Watchdog::start(program("nothing"));
    thread::sleep(3 * LIMIT);
    assert!(watchdog.is_ready() && watchdog.status().feeds > 2 && watchdog.status().stuck.is_none());
    Watchdog::say("12 frames/s\non 2 cameras");
    Watchdog::reloading();
    Watchdog::reloaded();
    drop(watchdog);
}

#[test]
#[ignore = "a program for the tests above, not a test"]
fn case_of_a_judge_that_hangs() {
    let watchdog = Watchdog::start(program("the judge"));
    thread::sleep(8 * LIMIT);
    assert_eq!(watchdog.status().stuck.as_deref(), Some("the judge"));
}

#[test]
#[ignore = "a program for the tests above, not a test"]
fn case_of_a_reader_that_hangs() {
    let _watchdog = Watchdog::start(program("the reader of camera rear"));
    thread::sleep(8 * LIMIT);
}

#[test]
fn without_systemd_nothing_is_told_and_what_stands_still_is_not_counted_as_fed() {
    // The test program itself was not started by systemd.
    let watchdog = Watchdog::start(program("nothing"));
    while !watchdog.is_ready() {
        thread::sleep(Duration::from_millis(5));
    }
    let status = watchdog.status();
    assert_eq!((status.limit_seconds, status.feeds), (None, 0));
}
