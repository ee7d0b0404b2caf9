//! The `[gnss]` section: where the position comes from and which fixes are believed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::DEFAULT_MAX_GAP_MILLIS;
pub use super::gate::GateSettings;
use crate::config::Table;
use crate::edge::device_clock::{ClockSettings, DEFAULT_LATENCY_MILLIS, DEFAULT_MAX_DIFFERENCE_MILLIS};

const GPSD_PORT: u16 = 2947;
/// What NMEA 0183 receivers start with since USB took over; the standard's own 4800 is too slow for several fixes a second.
const DEFAULT_BAUD: u32 = 9600;
const BAUDS: [u32; 8] = [4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];

#[derive(Debug, Clone, PartialEq)]
pub struct GnssConfig {
    pub source: GnssSource,
    /// Longest outage that is bridged.
    pub max_gap_millis: u64,
    pub gate: GateSettings,
    pub clock: ClockSettings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GnssSource {
    Gpsd {
        host: String,
        port: u16,
        /// One of several receivers that gpsd has.
        device: Option<String>,
    },
    /// NMEA 0183 from a serial port, 8N1.
    Serial { device: PathBuf, baud: u32 },
    /// NMEA 0183 from somebody who offers it, e.g. a phone.
    Tcp { host: String, port: u16 },
    /// NMEA 0183 from whoever connects to this address.
    Listen { address: SocketAddr },
    /// A recording: NMEA 0183 or GPX.
    File { path: PathBuf },
}

impl GnssSource {
    /// For messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Gpsd { host, port, device: None } => format!("gpsd at {host}:{port}"),
            Self::Gpsd { host, port, device: Some(device) } => format!("{device} of gpsd at {host}:{port}"),
            Self::Serial { device, baud } => format!("{} at {baud} baud", device.display()),
            Self::Tcp { host, port } => format!("NMEA from {host}:{port}"),
            Self::Listen { address } => format!("NMEA from whoever connects to {address}"),
            Self::File { path } => format!("the recording {}", path.display()),
        }
    }
}

impl GnssConfig {
    /// A recording, with everything else as it is by default.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        Self {
            source: GnssSource::File { path },
            max_gap_millis: DEFAULT_MAX_GAP_MILLIS,
            gate: GateSettings::default(),
            clock: ClockSettings::default(),
        }
    }

    pub fn from_table(table: &Table) -> Option<Self> {
        let source = source(table);
        let max_gap_millis = table.integer("max_gap_millis", 0..=30_000_u64).or(DEFAULT_MAX_GAP_MILLIS);
        let default = GateSettings::default();
        let accuracy = table.number("max_accuracy_metres", 0.5..=200.0).or(default.max_accuracy_metres);
        let age = table.integer("max_age_millis", 500..=60_000_u64).or(default.max_age_millis);
        let speed = table.number("max_speed_metres_per_second", 5.0..=100.0).or(default.max_speed_metres_per_second);
        let trust = table.boolean("trust_system_clock").or(true);
        let difference = table.integer("max_clock_difference_millis", 500..=60_000_u64);
        let difference = difference.or(DEFAULT_MAX_DIFFERENCE_MILLIS);
        let latency = table.integer("latency_millis", 0..=5000_u64).or(DEFAULT_LATENCY_MILLIS);
        Some(Self {
            source: source?,
            max_gap_millis: max_gap_millis?,
            gate: GateSettings {
                max_accuracy_metres: accuracy?,
                max_age_millis: age?,
                max_speed_metres_per_second: speed?,
            },
            clock: ClockSettings {
                trust_system_clock: trust?,
                max_difference: Duration::from_millis(difference?),
                latency: Duration::from_millis(latency?),
            },
        })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Gpsd,
    Serial,
    Tcp,
    File,
}

fn source(table: &Table) -> Option<GnssSource> {
    let kinds = [("gpsd", Kind::Gpsd), ("serial", Kind::Serial), ("tcp", Kind::Tcp), ("file", Kind::File)];
    match table.choice("kind", &kinds).required("kind = \"gpsd\"") {
        Some(Kind::Gpsd) => {
            let host = table.text("host").or("localhost".into());
            let port = table.integer("port", 1..=u16::MAX).or(GPSD_PORT);
            let device = table.text("device").optional();
            Some(GnssSource::Gpsd { host: host?, port: port?, device: device? })
        }
        Some(Kind::Serial) => {
            let device = table.path("device").required("device = \"/dev/ttyACM0\"");
            let baud = table.integer("baud", BAUDS[0]..=BAUDS[BAUDS.len() - 1]).or(DEFAULT_BAUD)?;
            if !BAUDS.contains(&baud) {
                let known = BAUDS.map(|baud| baud.to_string()).join(", ");
                table.wrong("baud", &format!("{baud} is no speed of a serial port; write one of {known}"));
                return None;
            }
            Some(GnssSource::Serial { device: device?, baud })
        }
        Some(Kind::Tcp) => tcp(table),
        Some(Kind::File) => table.path("file").required("file = \"drive.nmea\"").map(|path| GnssSource::File { path }),
        None => {
            // Which keys belong here depends on the kind; none of them is the mistake.
            let _ = (table.text("host"), table.text("device"), table.text("file"), table.text("listen"));
            let _ = (table.integer("port", 0..=u64::MAX), table.integer("baud", 0..=u64::MAX));
            None
        }
    }
}

fn tcp(table: &Table) -> Option<GnssSource> {
    let host = table.text("host").optional();
    let port = table.integer("port", 1..=u16::MAX).optional();
    let listen = table
        .parsed("listen", "\"127.0.0.1:10110\"", |text| {
            text.parse::<SocketAddr>()
                .map_err(|_| format!("{text:?} is no address with a port; write e.g. \"127.0.0.1:10110\""))
        })
        .optional();
    match (host?, port?, listen?) {
        (Some(host), Some(port), None) => Some(GnssSource::Tcp { host, port }),
        (None, None, Some(address)) => Some(GnssSource::Listen { address }),
        _ => {
            let what = "write either `host = \"192.168.43.1\"` and `port = 10110`, to connect to a phone, \
                        or `listen = \"127.0.0.1:10110\"`, to be connected to";
            table.wrong("kind", what);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GnssConfig, String> {
        let text = format!("[gnss]\n{text}");
        crate::config::parse(std::path::Path::new("/etc/umsicht/edge.toml"), &text, |root| {
            GnssConfig::from_table(&root.table("gnss"))
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_has_its_keys() {
        let source = |text: &str| read(text).unwrap().source.describe();
        assert_eq!(source("kind = \"gpsd\""), "gpsd at localhost:2947");
        let serial = "kind = \"serial\"\ndevice = \"/dev/ttyACM0\"\nbaud = 115200";
        assert_eq!(source(serial), "/dev/ttyACM0 at 115200 baud");
        assert_eq!(source("kind = \"tcp\"\nhost = \"phone\"\nport = 10110"), "NMEA from phone:10110");
        assert_eq!(
            source("kind = \"tcp\"\nlisten = \"127.0.0.1:10110\""),
            "NMEA from whoever connects to 127.0.0.1:10110"
        );
        let file = read("kind = \"file\"\nfile = \"drive.nmea\"").unwrap();
        assert_eq!(file, GnssConfig::file("/etc/umsicht/drive.nmea".into()));
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_to_write() {
        for (text, part) in [
            ("file = \"drive.nmea\"", "edge.toml:1: gnss.kind: is missing; write `kind = \"gpsd\"` under [gnss]"),
            ("kind = \"gpsd\"\nbaud = 9600", "edge.toml:3: gnss.baud: unknown key"),
            (
                "kind = \"serial\"\ndevice = \"/dev/ttyACM0\"\nbaud = 9601",
                "9601 is no speed of a serial port; write one",
            ),
            ("kind = \"tcp\"\nhost = \"phone\"", "write either `host"),
            ("kind = \"tcp\"\nlisten = \"phone\"", "edge.toml:3: gnss.listen: \"phone\" is no address"),
            ("kind = \"file\"", "gnss.file: is missing"),
            ("kind = \"gpsd\"\nmax_accuracy_metres = 0", "max_accuracy_metres: 0 is out of range"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{part} is not in {error}");
            assert_eq!(error.lines().count(), 2, "one problem, told once: {error}");
        }
    }
}
