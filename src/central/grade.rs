//! The condition grade of a defect and of a section: 1 very good … 5 very poor, to a tenth. Pure.
//!
//! Defect: base of its class plus what its extent and area add (the rule is in the profile). Section: its worst defect,
//! plus a step for each further one; a repair counts a quarter of a step.

use super::model::{Summary, to_tenth};
use super::profile::Profile;
use crate::schema::DamageClass;

#[must_use]
pub fn defect_grade(summary: &Summary, profile: &Profile) -> f64 {
    let rule = profile.grade_rule(summary.class);
    let extent = summary.length_metres.max(summary.width_metres);
    let grade = rule.base
        + rule.extent_add * (extent / rule.extent_full_metres).clamp(0.0, 1.0)
        + rule.area_add * (summary.area_square_metres / rule.area_full_square_metres).clamp(0.0, 1.0);
    to_tenth(grade.clamp(1.0, 5.0))
}

/// `None` without defects: nothing found is no proof of a good road while coverage is unknown.
#[must_use]
pub fn section_grade(defects: &[(DamageClass, f64)], profile: &Profile) -> Option<f64> {
    let worst = defects.iter().map(|(_, grade)| *grade).max_by(f64::total_cmp)?;
    let step = |class: DamageClass| if class == DamageClass::Repair { 0.25 } else { 1.0 };
    let all: f64 = defects.iter().map(|(class, _)| step(*class)).sum();
    let of_worst =
        defects.iter().filter(|(_, grade)| *grade >= worst).map(|(class, _)| step(*class)).fold(0.0, f64::max);
    Some(to_tenth((worst + profile.add_per_further_damage * (all - of_worst)).clamp(1.0, 5.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::testing::summary;
    use proptest::prelude::*;

    #[test]
    fn a_large_pothole_is_worse_than_a_small_one_and_a_repair_is_mild() {
        let profile = Profile::standard().unwrap();
        let sized = |class, side: f64| {
            let mut summary = summary(class);
            (summary.length_metres, summary.width_metres, summary.area_square_metres) = (side, side, side * side);
            defect_grade(&summary, &profile)
        };
        assert!((sized(DamageClass::Pothole, 0.2) - 3.6).abs() < 1e-9);
        assert!((sized(DamageClass::Pothole, 1.0) - 5.0).abs() < 1e-9);
        assert!(sized(DamageClass::Repair, 3.0) < 2.0);
    }

    #[test]
    fn a_section_is_as_bad_as_its_worst_defect_and_worse_with_more() {
        let profile = Profile::standard().unwrap();
        assert_eq!(section_grade(&[], &profile), None);
        assert_eq!(section_grade(&[(DamageClass::Pothole, 3.6)], &profile), Some(3.6));
        let two = [(DamageClass::Pothole, 3.6), (DamageClass::LongitudinalCrack, 2.4)];
        assert_eq!(section_grade(&two, &profile), Some(3.8));
    }

    proptest! {
        #[test]
        fn grades_stay_in_range_and_grow_with_size(index in 0..5usize, small in 0.0..50.0f64, more in 0.0..50.0f64) {
            let profile = Profile::standard().unwrap();
            let class = DamageClass::ALL[index];
            let grade = |side: f64| {
                let mut summary = summary(class);
                (summary.length_metres, summary.width_metres, summary.area_square_metres) = (side, side, side * side);
                defect_grade(&summary, &profile)
            };
            prop_assert!((1.0..=5.0).contains(&grade(small)));
            prop_assert!(grade(small) <= grade(small + more));
        }
    }
}
