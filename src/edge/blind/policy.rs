//! When a camera counts as blind: the `[blind]` section.

use std::time::Duration;

use crate::config::Table;
use crate::schema::blind::BlindReason;

/// What the camera looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From a vehicle: the scene flows, and only its mean over some driving stays.
    Road,
    /// Fixed: the scene stays.
    Pool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BlindPolicy {
    pub place: Place,
    /// Reasons that are not looked for.
    pub off: Vec<BlindReason>,
    /// How long a camera may take until its first picture.
    pub start_up: Duration,
    pub no_frames_after: Duration,
    /// More where a camera has repeated its picture for a while before without being frozen.
    pub frozen_after: Duration,
    pub dark_after: Duration,
    pub glare_after: Duration,
    pub covered_after: Duration,
    pub defocused_after: Duration,
    /// After the mean of some seconds has shown it; only driving counts on the road.
    pub moved_after: Duration,
    /// How long all must be well before the camera has recovered; five times this for defocused and moved.
    pub recovered_after: Duration,
    /// Edges less steep than this share of what is usual for the camera are out of focus.
    pub defocused_below_share: f64,
    /// A shift from this share of the picture's height on counts as moved: 0.045 is 1.9° with 65° of horizontal view.
    pub moved_from_height_share: f64,
}

impl BlindPolicy {
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            place,
            off: Vec::new(),
            start_up: Duration::from_secs(30),
            no_frames_after: Duration::from_secs(4),
            frozen_after: Duration::from_secs(4),
            dark_after: Duration::from_secs(4),
            glare_after: Duration::from_secs(4),
            covered_after: Duration::from_secs(3),
            defocused_after: Duration::from_secs(12),
            moved_after: Duration::from_secs(8),
            recovered_after: Duration::from_secs(3),
            defocused_below_share: 0.55,
            moved_from_height_share: 0.045,
        }
    }

    /// `None` when something is wrong, which is noted.
    pub fn from_table(table: &Table, place: Place) -> Option<Self> {
        let default = Self::new(place);
        let millis = |key: &'static str, longest_seconds: u64, default: Duration| {
            table
                .integer(key, 500..=1000 * longest_seconds)
                .optional()
                .map(|n| n.map_or(default, Duration::from_millis))
        };
        let start_up = millis("start_up_millis", 600, default.start_up);
        let no_frames_after = millis("no_frames_after_millis", 600, default.no_frames_after);
        let frozen_after = millis("frozen_after_millis", 600, default.frozen_after);
        let dark_after = millis("dark_after_millis", 600, default.dark_after);
        let glare_after = millis("glare_after_millis", 600, default.glare_after);
        let covered_after = millis("covered_after_millis", 600, default.covered_after);
        let defocused_after = millis("defocused_after_millis", 3600, default.defocused_after);
        let moved_after = millis("moved_after_millis", 3600, default.moved_after);
        let recovered_after = millis("recovered_after_millis", 600, default.recovered_after);
        let defocused_below_share = table.number("defocused_below_share", 0.1..=0.9).or(default.defocused_below_share);
        let moved_from_height_share =
            table.number("moved_from_height_share", 0.03..=0.2).or(default.moved_from_height_share);
        let off = reasons(table, "off");
        Some(Self {
            place,
            off: off?,
            start_up: start_up?,
            no_frames_after: no_frames_after?,
            frozen_after: frozen_after?,
            dark_after: dark_after?,
            glare_after: glare_after?,
            covered_after: covered_after?,
            defocused_after: defocused_after?,
            moved_after: moved_after?,
            recovered_after: recovered_after?,
            defocused_below_share: defocused_below_share?,
            moved_from_height_share: moved_from_height_share?,
        })
    }

    #[must_use]
    pub fn looks_for(&self, reason: BlindReason) -> bool {
        !self.off.contains(&reason)
    }
}

fn reasons(table: &Table, key: &'static str) -> Option<Vec<BlindReason>> {
    let names = table.texts(key).or(Vec::new())?;
    let known = |name: &String| BlindReason::ALL.into_iter().find(|reason| reason.name() == name);
    if let Some(unknown) = names.iter().find(|name| known(name).is_none()) {
        let words = BlindReason::ALL.map(|reason| format!("\"{reason}\"")).join(", ");
        table.wrong(key, &format!("{unknown:?} is no reason for being blind; write some of: {words}"));
        return None;
    }
    Some(names.iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BlindPolicy, crate::config::ConfigError> {
        crate::config::parse(std::path::Path::new("edge.toml"), text, |root| {
            BlindPolicy::from_table(&root.table("blind"), Place::Road)
        })
    }

    #[test]
    fn an_absent_section_gives_the_defaults() {
        assert_eq!(read("").unwrap(), BlindPolicy::new(Place::Road));
    }

    #[test]
    fn the_section_is_read_and_checked() {
        let policy = read("[blind]\noff = [\"moved\"]\ncovered_after_millis = 2000").unwrap();
        assert!(!policy.looks_for(BlindReason::Moved) && policy.looks_for(BlindReason::Covered));
        assert_eq!(policy.covered_after, Duration::from_secs(2));
        let error = read("[blind]\noff = [\"movd\"]\ndark_after_millis = 5\ndefocused_below_share = 3").unwrap_err();
        let error = error.to_string();
        for part in
            ["edge.toml:2: blind.off: \"movd\" is no reason", "edge.toml:3: blind.dark", "edge.toml:4: blind.defo"]
        {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}
