//! The order of work: a priority 0 … 100 as a sum of reasons, each with its points and its words. Pure.
//!
//! Points are rounded to a tenth before they are summed, so that the list of reasons adds up to the number shown.
//! Remarks (depth not measured, camera not calibrated, simulated) carry no points: they tell how far to trust the rest.

use super::model::{Reason, RoadClass, SectionRef, Summary, Text, to_tenth};
use super::profile::Profile;
use crate::schema::DamageClass;

/// A priority and the reasons that sum to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Priority {
    pub points: f64,
    pub reasons: Vec<Reason>,
}

#[must_use]
pub fn prioritise(summary: &Summary, grade: f64, section: Option<&SectionRef>, profile: &Profile) -> Priority {
    let mut reasons = vec![severity(summary, grade, profile)];
    if summary.class == DamageClass::Pothole {
        reasons.push(reason(
            "pothole",
            profile.priority.pothole_points,
            "Schlagloch: Gefahr für Zweiräder bei jeder Größe".into(),
            "Pothole: a danger to two-wheelers at any size".into(),
        ));
    }
    reasons.push(extent(summary, profile));
    reasons.push(road(section, profile));
    reasons.push(certainty(summary, profile));
    reasons.extend(remarks(summary));
    let points = to_tenth(reasons.iter().map(|r| r.points).sum::<f64>()).clamp(0.0, 100.0);
    Priority { points, reasons }
}

fn severity(summary: &Summary, grade: f64, profile: &Profile) -> Reason {
    let points = (grade - 1.0) / 4.0 * profile.priority.severity_points;
    let (de, en) = class_words(summary.class);
    reason(
        "severity",
        points,
        format!("{de}, Zustandsnote {}", german(grade, 1)),
        format!("{en}, condition grade {grade:.1}"),
    )
}

fn extent(summary: &Summary, profile: &Profile) -> Reason {
    let rule = &profile.priority;
    let share = (summary.area_square_metres / rule.extent_full_square_metres).clamp(0.0, 1.0);
    // A repair covers its area on purpose.
    let share = if summary.class == DamageClass::Repair { 0.2 * share } else { share };
    let (length, width, area) = (summary.length_metres, summary.width_metres, summary.area_square_metres);
    reason(
        "extent",
        share * rule.extent_points,
        format!("Fläche {} m² ({} m lang, {} m breit)", german(area, 2), german(length, 1), german(width, 1)),
        format!("Area {area:.2} m² ({length:.1} m long, {width:.1} m wide)"),
    )
}

fn road(section: Option<&SectionRef>, profile: &Profile) -> Reason {
    let Some(section) = section else {
        return reason(
            "road",
            profile.priority.unknown_road_points,
            "Keine bekannte Straße an dieser Stelle".into(),
            "No known street at this place".into(),
        );
    };
    let points = profile.priority.road_class_points.get(&section.road_class).copied().unwrap_or_default();
    let (de, en) = road_words(section.road_class);
    let name = section.name.as_ref().map(|name| format!(" „{name}“")).unwrap_or_default();
    let name_en = section.name.as_ref().map(|name| format!(" “{name}”")).unwrap_or_default();
    reason("road", points, format!("{de}{name}"), format!("{en}{name_en}"))
}

fn certainty(summary: &Summary, profile: &Profile) -> Reason {
    let rule = &profile.priority;
    let repeats = (summary.sightings.saturating_sub(1)) as f64 / f64::from(rule.certainty_full_sightings - 1);
    let score = f64::from(summary.best_score).clamp(0.0, 1.0);
    let points = rule.certainty_points * (0.5 * score + 0.5 * repeats.min(1.0));
    let (de, en) = match summary.sightings {
        1 => ("einmal".to_owned(), "once".to_owned()),
        n => (format!("{n}-mal"), format!("{n} times")),
    };
    let percent = (score * 100.0).round();
    reason(
        "certainty",
        points,
        format!("{de} gesehen, beste Erkennungssicherheit {percent} %"),
        format!("Seen {en}, best detection score {percent} %"),
    )
}

fn remarks(summary: &Summary) -> Vec<Reason> {
    let mut remarks = Vec::new();
    if summary.class == DamageClass::Pothole {
        remarks.push(reason(
            "depth_not_measured",
            0.0,
            "Die Tiefe wird nicht gemessen; vor Ort prüfen".into(),
            "Depth is not measured; check on site".into(),
        ));
    }
    if !summary.calibrated {
        remarks.push(reason(
            "uncalibrated",
            0.0,
            "Kamera nicht eingemessen: Ort und Größe sind nur Anhaltswerte".into(),
            "Camera not calibrated: position and size are indications only".into(),
        ));
    }
    if summary.simulated {
        remarks.push(reason(
            "simulated",
            0.0,
            "Simulierte Eingabe: kein wirklicher Schaden".into(),
            "Simulated input: not a real damage".into(),
        ));
    }
    remarks
}

fn reason(code: &str, points: f64, de: String, en: String) -> Reason {
    Reason { code: code.to_owned(), points: to_tenth(points), text: Text { de, en } }
}

fn german(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}").replace('.', ",")
}

fn class_words(class: DamageClass) -> (&'static str, &'static str) {
    match class {
        DamageClass::LongitudinalCrack => ("Längsriss", "Longitudinal crack"),
        DamageClass::TransverseCrack => ("Querriss", "Transverse crack"),
        DamageClass::AlligatorCrack => ("Netzriss", "Alligator crack"),
        DamageClass::Pothole => ("Schlagloch", "Pothole"),
        DamageClass::Repair => ("Flickstelle", "Repair"),
    }
}

fn road_words(class: RoadClass) -> (&'static str, &'static str) {
    match class {
        RoadClass::Motorway => ("Autobahn", "Motorway"),
        RoadClass::Trunk => ("Schnellstraße", "Trunk road"),
        RoadClass::Primary => ("Bundesstraße", "Primary road"),
        RoadClass::Secondary => ("Landesstraße", "Secondary road"),
        RoadClass::Tertiary => ("Kreisstraße", "Tertiary road"),
        RoadClass::Unclassified => ("Nebenstraße", "Minor road"),
        RoadClass::Residential => ("Wohnstraße", "Residential street"),
        RoadClass::LivingStreet => ("Verkehrsberuhigter Bereich", "Living street"),
        RoadClass::Service => ("Zufahrt", "Service road"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::grade::defect_grade;
    use crate::central::testing::summary;
    use proptest::prelude::*;

    #[test]
    fn a_pothole_says_that_its_depth_is_unknown() {
        let profile = Profile::standard().unwrap();
        let pothole = prioritise(&summary(DamageClass::Pothole), 4.0, None, &profile);
        assert!(pothole.reasons.iter().any(|r| r.code == "depth_not_measured" && r.points == 0.0));
        let crack = prioritise(&summary(DamageClass::TransverseCrack), 2.0, None, &profile);
        assert!(crack.reasons.iter().all(|r| r.code != "depth_not_measured"));
        assert!(pothole.points > crack.points);
    }

    #[test]
    fn german_numbers_have_a_comma() {
        let profile = Profile::standard().unwrap();
        let priority = prioritise(&summary(DamageClass::AlligatorCrack), 3.4, None, &profile);
        assert_eq!(priority.reasons[0].text.de, "Netzriss, Zustandsnote 3,4");
        assert_eq!(priority.reasons[0].text.en, "Alligator crack, condition grade 3.4");
    }

    proptest! {
        #[test]
        fn reasons_sum_to_the_priority(
            index in 0..5usize, road in prop::option::of(0..9usize), area in 0.0..100.0f64,
            score in 0.0..=1.0f32, sightings in 1..20usize,
        ) {
            let profile = Profile::standard().unwrap();
            let mut summary = summary(DamageClass::ALL[index]);
            summary.area_square_metres = area;
            summary.best_score = score;
            summary.sightings = sightings;
            let section = road.map(|r| SectionRef {
                id: crate::central::model::SectionId("a".into()), name: None, road_class: RoadClass::ALL[r],
            });
            let priority = prioritise(&summary, defect_grade(&summary, &profile), section.as_ref(), &profile);
            let sum: f64 = priority.reasons.iter().map(|r| r.points).sum();
            prop_assert!((sum - priority.points).abs() < 1e-6);
            prop_assert!((0.0..=100.0).contains(&priority.points));
        }
    }
}
