//! A GNSS receiver's voice: NMEA sentences of a vehicle that drives, a gpsd that replays them, a serial port.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use time::OffsetDateTime;
use umsicht::geo::{EastNorth, LatLon, LocalFrame};

pub const DEPOT: LatLon = LatLon { lat: 50.0, lon: 8.7 };

/// RMC and GGA of a vehicle that drives north at 10 m/s, so many metres north and east of the depot.
pub fn sentences(at: OffsetDateTime, north_metres: f64, east_metres: f64) -> String {
    let place = LocalFrame::at(DEPOT).latlon_from_local(EastNorth::new(east_metres, north_metres));
    let time = format!("{:02}{:02}{:02}.{:02}", at.hour(), at.minute(), at.second(), at.millisecond() / 10);
    let date = format!("{:02}{:02}{:02}", at.day(), u8::from(at.month()), at.year() % 100);
    let angle = |degrees: f64, width: usize| {
        format!("{:0width$}{:09.6}", degrees.trunc() as u32, degrees.fract() * 60.0, width = width)
    };
    let (lat, lon) = (angle(place.lat, 2), angle(place.lon, 3));
    let rmc = sentence(&format!("GPRMC,{time},A,{lat},N,{lon},E,19.44,0.0,{date},,,A"));
    let gga = sentence(&format!("GPGGA,{time},{lat},N,{lon},E,1,09,0.8,141.0,M,47.0,M,,"));
    rmc + &gga
}

pub fn sentence(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

/// gpsd that reads a log as if a receiver said it, a sentence every 80 ms.
pub struct Gpsd {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Gpsd {
    /// `None`, said loudly, where it is not installed.
    pub fn replay(log: &str, port: u16) -> Option<Self> {
        if ["gpsd", "gpsfake"].iter().any(|program| !is_installed(program)) {
            eprintln!(
                "SKIPPED: gpsd or gpsfake is not installed, positions were not tested with a real gpsd (apt-get install gpsd gpsd-clients)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drive.nmea");
        std::fs::write(&file, log).unwrap();
        let process = Command::new("gpsfake")
            .args(["-1", "-q", "-c", "0.08", "-P", &port.to_string()])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, _folder: folder })
    }
}

impl Drop for Gpsd {
    /// Interrupted, it takes its gpsd with it.
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].iter().any(|f| Path::new(f).join(program).exists())
}

/// A receiver at a serial port: a pseudo terminal, to which a link leads as udev makes them.
pub struct Plugged {
    receiver: File,
    link: PathBuf,
}

impl Plugged {
    pub fn into(link: &Path) -> Self {
        let receiver = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&receiver).unwrap();
        unlockpt(&receiver).unwrap();
        let port = ptsname(&receiver, Vec::new()).unwrap();
        std::os::unix::fs::symlink(port.to_str().unwrap(), link).unwrap();
        Self { receiver: File::from(receiver), link: link.to_owned() }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.receiver.write_all(bytes).unwrap();
    }

    /// What the port was set to.
    pub fn settings(&self) -> rustix::termios::Termios {
        rustix::termios::tcgetattr(&self.receiver).unwrap()
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        std::fs::remove_file(&self.link).unwrap();
    }
}
