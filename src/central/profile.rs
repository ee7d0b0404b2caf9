//! The numbers behind grades and priorities, read from a profile file (see `config/profiles/standard.toml`).

use std::collections::BTreeMap;
use std::path::Path;

use super::model::RoadClass;
use crate::config::{self, ConfigError, Table};
use crate::schema::DamageClass;

const STANDARD: &str = include_str!("../../config/profiles/standard.toml");

/// grade = base + extent part + area part, at most 5; each part grows linearly up to its full size.
#[derive(Debug, Clone, PartialEq)]
pub struct GradeRule {
    pub base: f64,
    pub extent_add: f64,
    pub extent_full_metres: f64,
    pub area_add: f64,
    pub area_full_square_metres: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PriorityRule {
    pub severity_points: f64,
    pub pothole_points: f64,
    pub extent_points: f64,
    pub extent_full_square_metres: f64,
    pub certainty_points: f64,
    pub certainty_full_sightings: u32,
    pub road_class_points: BTreeMap<RoadClass, f64>,
    pub unknown_road_points: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub name: String,
    grades: BTreeMap<DamageClass, GradeRule>,
    pub add_per_further_damage: f64,
    pub priority: PriorityRule,
}

impl Profile {
    /// The profile that comes with the program.
    pub fn standard() -> Result<Self, ConfigError> {
        config::parse(Path::new("config/profiles/standard.toml"), STANDARD, profile)
    }

    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        config::read(path, profile)
    }

    #[must_use]
    pub fn grade_rule(&self, class: DamageClass) -> &GradeRule {
        // Reading fails when a class has no rule.
        &self.grades[&class]
    }
}

fn profile(root: &Table) -> Option<Profile> {
    let name = root.text("name").required("name = \"…\"");
    let grade = root.table("grade");
    let grades: Vec<_> = DamageClass::ALL.into_iter().map(|class| grade_rule(&grade.table(class.code()))).collect();
    let section = root.table("section");
    let add = section.number("add_per_further_damage", 0.0..=4.0).required("add_per_further_damage = 0.2");
    let priority = priority_rule(&root.table("priority"));
    let grades: Option<BTreeMap<_, _>> =
        DamageClass::ALL.into_iter().zip(grades).map(|(class, rule)| Some((class, rule?))).collect();
    Some(Profile { name: name?, grades: grades?, add_per_further_damage: add?, priority: priority? })
}

fn grade_rule(table: &Table) -> Option<GradeRule> {
    let base = table.number("base", 1.0..=5.0).required("base = 2.0");
    let extent_add = table.number("extent_add", 0.0..=4.0).required("extent_add = 0.0");
    let extent_full = table.number("extent_full_metres", 0.01..=1e4).required("extent_full_metres = 10.0");
    let area_add = table.number("area_add", 0.0..=4.0).required("area_add = 0.0");
    let area_full = table.number("area_full_square_metres", 0.01..=1e6).required("area_full_square_metres = 10.0");
    Some(GradeRule {
        base: base?,
        extent_add: extent_add?,
        extent_full_metres: extent_full?,
        area_add: area_add?,
        area_full_square_metres: area_full?,
    })
}

fn priority_rule(table: &Table) -> Option<PriorityRule> {
    let points = |key: &'static str, of: &Table| of.number(key, 0.0..=100.0).required(&format!("{key} = 10.0"));
    let severity = points("severity_points", table);
    let pothole = points("pothole_points", table);
    let extent = points("extent_points", table);
    let extent_full =
        table.number("extent_full_square_metres", 0.01..=1e6).required("extent_full_square_metres = 10.0");
    let certainty = points("certainty_points", table);
    let full = table.integer("certainty_full_sightings", 2..=1000).required("certainty_full_sightings = 4");
    let roads = table.table("road_class_points");
    let by_class: Vec<_> = RoadClass::ALL.into_iter().map(|class| points(class.name(), &roads)).collect();
    let unknown = points("unknown", &roads);
    let by_class: BTreeMap<RoadClass, f64> =
        RoadClass::ALL.into_iter().zip(by_class).map(|(class, p)| Some((class, p?))).collect::<Option<_>>()?;
    let rule = PriorityRule {
        severity_points: severity?,
        pothole_points: pothole?,
        extent_points: extent?,
        extent_full_square_metres: extent_full?,
        certainty_points: certainty?,
        certainty_full_sightings: full?,
        road_class_points: by_class,
        unknown_road_points: unknown?,
    };
    if rule.largest_sum() > 100.0 + 1e-9 {
        table.wrong(
            "severity_points",
            &format!("all points together can reach {}; write numbers that sum to at most 100", rule.largest_sum()),
        );
        return None;
    }
    Some(rule)
}

impl PriorityRule {
    fn largest_sum(&self) -> f64 {
        let road = self.road_class_points.values().copied().fold(self.unknown_road_points, f64::max);
        self.severity_points + self.pothole_points + self.extent_points + self.certainty_points + road
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_profile_is_complete() {
        let profile = Profile::standard().unwrap();
        assert_eq!(profile.name, "standard");
        assert!((profile.priority.largest_sum() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_profile_beyond_100_points_is_refused_with_its_line() {
        let text = STANDARD.replace("severity_points = 40.0", "severity_points = 60.0");
        let error = config::parse(Path::new("own.toml"), &text, profile).unwrap_err().to_string();
        assert!(error.contains("own.toml:") && error.contains("can reach 120"), "{error}");
    }

    #[test]
    fn a_missing_class_is_named() {
        let text = STANDARD.replace("[grade.D40]", "[grade.D41]");
        let error = config::parse(Path::new("own.toml"), &text, profile).unwrap_err().to_string();
        assert!(error.contains("grade.D40") && error.contains("grade.D41"), "{error}");
    }
}
