//! What it takes to judge a road: the `[coverage]` section.

use crate::config::Table;
use crate::schema::{BlindReason, Unusable};

/// Limits beyond which what was driven does not count as judged.
#[derive(Debug, Clone, PartialEq)]
pub struct CoveragePolicy {
    /// Faster, pictures smear.
    pub max_kilometres_per_hour: f64,
    /// Looks further apart leave road between them that nobody saw: at most as long as the road that one picture shows well.
    pub max_metres_between_looks: f64,
    /// Mean brightness of a picture, 0..255.
    pub min_mean_luma: f64,
    /// Fixes of a larger sigma say too little about which road it was.
    pub max_accuracy_metres: f64,
}

impl Default for CoveragePolicy {
    fn default() -> Self {
        Self {
            max_kilometres_per_hour: 60.0,
            max_metres_between_looks: 10.0,
            min_mean_luma: 30.0,
            max_accuracy_metres: 10.0,
        }
    }
}

impl CoveragePolicy {
    pub fn from_table(table: &Table) -> Option<Self> {
        let default = Self::default();
        let speed = table.number("max_kilometres_per_hour", 5.0..=200.0).or(default.max_kilometres_per_hour);
        let apart = table.number("max_metres_between_looks", 1.0..=50.0).or(default.max_metres_between_looks);
        let luma = table.number("min_mean_luma", 0.0..=255.0).or(default.min_mean_luma);
        let accuracy = table.number("max_accuracy_metres", 1.0..=50.0).or(default.max_accuracy_metres);
        Some(Self {
            max_kilometres_per_hour: speed?,
            max_metres_between_looks: apart?,
            min_mean_luma: luma?,
            max_accuracy_metres: accuracy?,
        })
    }

    /// Whether a picture lets the road be judged, as far as the picture goes.
    pub fn usable(&self, mean_luma: f64, wet: bool, blind: Option<BlindReason>) -> Result<(), Unusable> {
        match blind {
            Some(BlindReason::Dark) => return Err(Unusable::Light),
            Some(_) => return Err(Unusable::Lens),
            None => {}
        }
        if mean_luma < self.min_mean_luma {
            return Err(Unusable::Light);
        }
        if wet { Err(Unusable::Wet) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_checked() {
        let read = |text: &str| {
            crate::config::parse(std::path::Path::new("edge.toml"), text, |root| {
                CoveragePolicy::from_table(&root.table("coverage"))
            })
        };
        assert_eq!(read("").unwrap(), CoveragePolicy::default());
        let read_speed = read("[coverage]\nmax_kilometres_per_hour = 80").unwrap().max_kilometres_per_hour;
        assert!((read_speed - 80.0).abs() < 1e-9);
        let error = read("[coverage]\nmax_kilometres_per_hour = 600\nmin_mean_luma = 256").unwrap_err().to_string();
        for part in ["edge.toml:2: coverage.max_kilometres_per_hour", "edge.toml:3: coverage.min_mean_luma"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_the_reason() {
        let policy = CoveragePolicy::default();
        assert_eq!(policy.usable(120.0, false, None), Ok(()));
        assert_eq!(policy.usable(120.0, true, None), Err(Unusable::Wet));
        assert_eq!(policy.usable(20.0, true, None), Err(Unusable::Light));
        assert_eq!(policy.usable(120.0, true, Some(BlindReason::Dark)), Err(Unusable::Light));
        assert_eq!(policy.usable(20.0, true, Some(BlindReason::Covered)), Err(Unusable::Lens));
    }
}
