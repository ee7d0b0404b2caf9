//! What may leave over the link, and how fast. Pictures are what costs: most of the bytes, and none of the urgency.
//!
//! A link is metered when the interface of the default route looks like a mobile modem's. Where that cannot be told (no
//! default route, a system without `/proc`, IPv6 only) it counts as metered: a picture that waits costs nothing.

use std::time::Instant;

use super::throttle::Throttle;
use crate::config::Table;

const ROUTES: &str = "/proc/net/route";
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pictures {
    #[default]
    Always,
    /// Not over links that cost by the byte.
    Unmetered,
    Never,
}

/// The `[link]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPolicy {
    /// For everything but alarms and dangers.
    pub max_bytes_per_second: Option<u64>,
    pub pictures: Pictures,
    /// Names of interfaces; one `*` stands for any text.
    pub metered_interfaces: Vec<String>,
}

impl Default for LinkPolicy {
    fn default() -> Self {
        let metered_interfaces = ["wwan*", "ppp*"].map(String::from).to_vec();
        Self { max_bytes_per_second: None, pictures: Pictures::Always, metered_interfaces }
    }
}

impl LinkPolicy {
    pub fn from_table(table: &Table) -> Option<Self> {
        let default = Self::default();
        let rate = table.integer("max_bytes_per_second", 100..=1 << 40).optional();
        let choices = [("always", Pictures::Always), ("unmetered", Pictures::Unmetered), ("never", Pictures::Never)];
        let pictures = table.choice("pictures", &choices).or(default.pictures);
        let metered_interfaces = table.texts("metered_interfaces").or(default.metered_interfaces)?;
        if let Some(name) = metered_interfaces.iter().find(|name| name.matches('*').count() > 1) {
            table.wrong("metered_interfaces", &format!("{name:?} has more than one *; write e.g. \"wwan*\""));
            return None;
        }
        Some(Self { max_bytes_per_second: rate?, pictures: pictures?, metered_interfaces })
    }

    /// Whether pictures may leave now; looks at the routes when the answer depends on them.
    #[must_use]
    pub fn lets_pictures_out(&self) -> bool {
        match self.pictures {
            Pictures::Always => true,
            Pictures::Never => false,
            Pictures::Unmetered => !self.is_metered(&std::fs::read_to_string(ROUTES).unwrap_or_default()),
        }
    }

    #[must_use]
    pub fn throttle(&self, now: Instant) -> Option<Throttle> {
        self.max_bytes_per_second.map(|rate| Throttle::new(rate, now))
    }

    fn is_metered(&self, routes: &str) -> bool {
        let Some(interface) = default_interface(routes) else { return true };
        self.metered_interfaces.iter().any(|pattern| matches(pattern, interface))
    }
}

/// The interface of the default route with the lowest metric, from the text of `/proc/net/route`: a head line, then
/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal but for the metric.
fn default_interface(routes: &str) -> Option<&str> {
    let default_route = |line: &'_ str| -> Option<u32> {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "00000000", _, flags, _, _, metric, "00000000", ..] = columns[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & RTF_UP != 0 && flags & RTF_REJECT == 0).then(|| metric.parse().ok())?
    };
    let best = routes.lines().filter_map(|line| Some((default_route(line)?, line))).min_by_key(|(metric, _)| *metric);
    best?.1.split_ascii_whitespace().next()
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    const MODEM: &str = "wwan0\t00000000\t0101A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n";
    const DEPOT: &str = "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
    const LOCAL: &str = "eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
    const DOWN: &str = "eth0\t00000000\t0000A8C0\t0002\t0\t0\t10\t00000000\t0\t0\t0\n";

    fn metered(routes: &[&str]) -> bool {
        let policy = LinkPolicy { pictures: Pictures::Unmetered, ..LinkPolicy::default() };
        policy.is_metered(&routes.concat())
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_decides() {
        assert!(metered(&[HEAD, LOCAL, MODEM]));
        assert!(!metered(&[HEAD, MODEM, DEPOT, LOCAL]), "in the depot the modem is the second way");
        assert!(metered(&[HEAD, MODEM, DOWN]), "a route that is down leads nowhere");
    }

    #[test]
    fn what_cannot_be_told_counts_as_metered() {
        assert!(metered(&[]));
        assert!(metered(&[HEAD, LOCAL]));
    }

    #[test]
    fn one_star_stands_for_any_text() {
        assert!(matches("wwan*", "wwan0") && matches("*usb", "eth-usb") && matches("eth0", "eth0"));
        assert!(!matches("wwan*", "wlan0") && !matches("eth0", "eth01") && !matches("ab*b", "ab"));
    }

    #[test]
    fn the_section_is_checked() {
        let read = |text: &str| {
            crate::config::parse(std::path::Path::new("edge.toml"), text, |root| {
                LinkPolicy::from_table(&root.table("link"))
            })
        };
        assert_eq!(read("").unwrap(), LinkPolicy::default());
        let text = "[link]\nmax_bytes_per_second = 500\npictures = \"unmetered\"\nmetered_interfaces = [\"usb0\"]";
        let metered_interfaces = vec!["usb0".to_owned()];
        let expected =
            LinkPolicy { max_bytes_per_second: Some(500), pictures: Pictures::Unmetered, metered_interfaces };
        assert_eq!(read(text).unwrap(), expected);
        let text = "[link]\nmax_bytes_per_second = 5\npictures = \"allways\"\nmetered_interfaces = [\"*a*\"]";
        let error = read(text).unwrap_err().to_string();
        for part in ["edge.toml:2: link.max_bytes", "did you mean \"always\"?", "edge.toml:4: link.metered"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*(\n\\PC*)*") {
            let _ = default_interface(&text);
        }
    }
}
