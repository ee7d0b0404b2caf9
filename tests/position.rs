//! Positions come from real peers (gpsd, a serial port, TCP), survive what receivers do, and tell how they are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::datetime;
use umsicht::clock::Clock;
use umsicht::edge::device_clock::{Anchor, ClockSettings, DeviceClock};
use umsicht::edge::fix::settings::{GnssConfig, GnssSource};
use umsicht::edge::fix::{PositionState, Positions, Reception};
use umsicht::geo::{distance_metres, heading_difference};

use crate::support::mosquitto::free_port;
use crate::support::receiver::{DEPOT, Gpsd, Plugged, sentence, sentences};

/// Time enough for a busy machine; what is waited for comes much sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// Five fixes a second.
const TICK: Duration = Duration::from_millis(200);

struct Device {
    clock: Arc<DeviceClock>,
    positions: Positions,
    stop: Arc<AtomicBool>,
}

impl Device {
    fn with(source: GnssSource) -> Self {
        let mut config = GnssConfig::file("unused".into());
        config.source = source;
        // These receivers are as quick as their pipe.
        config.clock = ClockSettings { latency: Duration::from_millis(20), ..ClockSettings::default() };
        let (clock, stop) = (Arc::new(DeviceClock::start(config.clock)), Arc::new(AtomicBool::new(false)));
        let positions = Positions::open(&config, &clock, &stop).unwrap();
        Self { clock, positions, stop }
    }

    fn state(&self) -> PositionState {
        self.positions.state()
    }

    /// Calls `meanwhile` five times a second until the state is as wanted.
    fn until(&self, what: &str, mut meanwhile: impl FnMut(), wanted: impl Fn(&PositionState) -> bool) -> PositionState {
        let started = Instant::now();
        loop {
            meanwhile();
            std::thread::sleep(TICK);
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            assert!(started.elapsed() < PATIENCE, "not {what} in time: {state:?}");
        }
    }

    /// Metres from the depot at this moment.
    fn metres_now(&self) -> f64 {
        let fix = self.positions.at(self.clock.now()).unwrap();
        distance_metres(DEPOT, fix.position)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A vehicle that drives north at 10 m/s in the present.
struct Drive {
    started: OffsetDateTime,
}

impl Drive {
    fn begins() -> Self {
        Self { started: OffsetDateTime::now_utc() }
    }

    fn metres(&self) -> f64 {
        (OffsetDateTime::now_utc() - self.started).as_seconds_f64() * 10.0
    }

    fn now(&self) -> Vec<u8> {
        self.displaced(0.0)
    }

    fn displaced(&self, east_metres: f64) -> Vec<u8> {
        sentences(OffsetDateTime::now_utc(), self.metres(), east_metres).into_bytes()
    }
}

/// Five fixes a second in twelve sentences, as `Gpsd` paces them.
fn log_from(start: OffsetDateTime, metres: f64) -> String {
    let gsa = sentence("GPGSA,A,3,01,02,03,04,05,06,07,08,,,,,1.5,0.8,1.2");
    let sky = sentence("GPGSV,2,1,08,01,40,083,46,02,17,308,41,03,07,344,39,04,22,228,45")
        + &sentence("GPGSV,2,2,08,05,40,083,46,06,17,308,41,07,07,344,39,08,22,228,45");
    let second = |k: u32| {
        let fixes = (5 * k..5 * k + 5).map(|tick| {
            let both = sentences(start + TICK * tick, metres + f64::from(tick) * 2.0, 0.0);
            format!("{}\r\n{gsa}", both.lines().next().unwrap())
        });
        fixes.collect::<String>() + &sky
    };
    (0..60).map(second).collect()
}

#[test]
fn gpsd_gives_fixes_and_the_time_and_may_be_restarted() {
    let port = free_port();
    let source = GnssSource::Gpsd { host: "127.0.0.1".into(), port, device: None };
    let device = Device::with(source);
    let Some(gpsd) = Gpsd::replay(&log_from(datetime!(2026-03-17 09:30 UTC), 0.0), port) else { return };
    // The drive was in March; this machine's clock cannot be right.
    let good = |state: &PositionState| {
        let knows_sky = state.satellites == Some(8) && state.accuracy_metres.is_some_and(|metres| metres < 2.0);
        state.reception.is_good() && state.counts.fixes >= 10 && knows_sky
    };
    let state = device.until("good", || {}, good);
    let clock = state.clock.unwrap();
    assert_eq!((clock.anchor, clock.clock_leaps), (Anchor::Gnss, 0));
    let now = device.clock.now();
    assert!((now - datetime!(2026-03-17 09:30 UTC)).abs() < time::Duration::minutes(1), "{now}");
    let fix = device.positions.at(now).unwrap();
    assert!(
        heading_difference(fix.heading_degrees, 0.0).abs() < 0.1 && (fix.speed_metres_per_second - 10.0).abs() < 0.1
    );
    assert!((state.accuracy_metres.unwrap() - 1.47).abs() < 0.01, "from the dilution: {state:?}");
    let driven = (fix.at - datetime!(2026-03-17 09:30 UTC)).as_seconds_f64() * 10.0;
    assert!((distance_metres(DEPOT, fix.position) - driven).abs() < 5.0, "{fix:?}");

    drop(gpsd);
    let gone = |state: &PositionState| matches!(&state.reception, Reception::Disconnected(why) if why.contains("gpsd"));
    device.until("gone", || {}, gone);
    // Started anew, gpsd goes on where the vehicle is by now.
    let fixes = device.state().counts.fixes;
    let metres = device.positions.state().last_fix_at.unwrap() - datetime!(2026-03-17 09:30 UTC);
    let _gpsd = Gpsd::replay(&log_from(device.clock.now(), metres.as_seconds_f64() * 10.0), port).unwrap();
    let back = |state: &PositionState| state.reception.is_good() && state.counts.fixes > fixes;
    assert!(device.until("back", || {}, back).counts.reconnects >= 1);
}

#[test]
fn a_receiver_at_a_serial_port_may_be_unplugged_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let port = folder.path().join("gps");
    let device = Device::with(GnssSource::Serial { device: port.clone(), baud: 38_400 });
    let absent = |state: &PositionState| state.reception.to_string().contains("is not there; plug the receiver in");
    device.until("absent", || {}, absent);

    let drive = Drive::begins();
    let mut receiver = Plugged::into(&port);
    let state = device.until("good", || receiver.say(&drive.now()), |s| s.reception.is_good());
    let settings = receiver.settings();
    assert_eq!((settings.input_speed(), settings.output_speed()), (38_400, 38_400));
    let eight_bits = settings.control_modes & rustix::termios::ControlModes::CSIZE;
    assert_eq!(eight_bits, rustix::termios::ControlModes::CS8);
    assert!(!settings.local_modes.contains(rustix::termios::LocalModes::ICANON));
    assert!((device.metres_now() - drive.metres()).abs() < 5.0);
    assert_eq!((state.satellites, state.counts.reconnects), (Some(9), 0));

    drop(receiver);
    device.until("absent", || {}, absent);
    let mut receiver = Plugged::into(&port);
    let fixes = device.state().counts.fixes;
    let back = |state: &PositionState| state.reception.is_good() && state.counts.fixes > fixes;
    let state = device.until("back", || receiver.say(&drive.now()), back);
    assert_eq!((state.counts.reconnects, state.counts.unreadable), (1, 0));
    assert!((device.metres_now() - drive.metres()).abs() < 5.0);
}

#[test]
fn what_is_no_serial_port_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let device = Device::with(GnssSource::Serial { device: file.path().to_owned(), baud: 9600 });
    device.until("told", || {}, |state| state.reception.to_string().contains("is no serial port"));
}

#[test]
fn a_phone_that_sends_rubbish_jumps_and_goes_back_in_time_is_survived_and_counted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let device = Device::with(GnssSource::Tcp { host: "localhost".into(), port });
    let (mut phone, _) = listener.accept().unwrap();
    let drive = Drive::begins();

    // Noise, half a line, a line without an end, a wrong checksum.
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
    let good = drive.now();
    phone.write_all(&noise).unwrap();
    phone.write_all(b"\n$GPRMC,0930\r\n").unwrap();
    phone
        .write_all(String::from_utf8_lossy(&good).replacen("19.44", "29.44", 1).lines().next().unwrap().as_bytes())
        .unwrap();
    phone.write_all(b"\r\n").unwrap();
    let state = device.until("good", || phone.write_all(&drive.now()).unwrap(), |s| s.counts.fixes >= 5);
    assert_eq!(state.counts.unreadable, 3, "{state:?}");

    // 100 m aside for half a second: no frame sees it.
    let (now, metres) = (OffsetDateTime::now_utc(), drive.metres());
    let tenths = |from: OffsetDateTime, aside_metres: f64| -> Vec<u8> {
        let fix = |k: u32| sentences(from + k * TICK / 2, metres + f64::from(k), aside_metres);
        (0..5).flat_map(|k| fix(k).into_bytes()).collect()
    };
    phone.write_all(&[drive.now(), tenths(now + TICK, 100.0)].concat()).unwrap();
    device.until("refused", || {}, |state| state.counts.refused_jumps == 5);
    phone.write_all(&drive.now()).unwrap();
    let metres_now = device.metres_now();
    assert!((metres_now - drive.metres()).abs() < 5.0, "{metres_now} m instead of {}", drive.metres());

    // Two seconds back, five times; the last fix once more.
    // Sentences tell hundredths of a second.
    std::thread::sleep(TICK);
    let (newest, before) = (drive.now(), OffsetDateTime::now_utc() - time::Duration::seconds(2));
    phone.write_all(&[newest.clone(), tenths(before, 0.0), newest].concat()).unwrap();
    let counted = |state: &PositionState| state.counts.refused_time == 5 && state.counts.repeated == 1;
    device.until("counted", || {}, counted);

    // Somewhere else for good: believed when it has persisted.
    let moved = |state: &PositionState| state.counts.new_starts == 1;
    let state = device.until("moved", || phone.write_all(&drive.displaced(800.0)).unwrap(), moved);
    assert!(state.counts.refused_jumps >= 9);
    let fix = device.positions.at(device.clock.now()).unwrap();
    assert!((distance_metres(DEPOT, fix.position) - drive.metres().hypot(800.0)).abs() < 5.0);

    drop(phone);
    let (mut phone, _) = listener.accept().unwrap();
    let fixes = device.state().counts.fixes;
    let again = |state: &PositionState| state.counts.reconnects == 1 && state.counts.fixes > fixes;
    device.until("again", || phone.write_all(&drive.displaced(800.0)).unwrap(), again);
}

#[test]
fn a_phone_may_connect_to_the_device_and_another_takes_its_place() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let device = Device::with(GnssSource::Listen { address });
    device.until("waiting", || {}, |state| state.reception.to_string().contains("nobody has connected"));
    let drive = Drive::begins();
    let mut first = TcpStream::connect(address).unwrap();
    device.until("good", || first.write_all(&drive.now()).unwrap(), |state| state.reception.is_good());
    // The first is never closed: its phone has lost the network.
    let mut second = TcpStream::connect(address).unwrap();
    let fixes = device.state().counts.fixes;
    device.until("heard", || second.write_all(&drive.now()).unwrap(), |state| state.counts.fixes > fixes + 3);
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(first.read(&mut [0; 8]), Ok(0) | Err(_)), "the first connection is let go");

    device.stop.store(true, Ordering::Relaxed);
    let told = Instant::now();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(second.read(&mut [0; 8]), Ok(0) | Err(_)), "the thread lets go of the phone");
    assert!(told.elapsed() < Duration::from_secs(2), "stopping took {:?}", told.elapsed());
}
