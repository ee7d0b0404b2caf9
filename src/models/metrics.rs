//! Precision, recall, F1 and average precision from judged findings. Pure.
//!
//! - F1 = 2·TP / (2·TP + FP + FN). The *best* F1 is the highest over all thresholds that some finding has as its score.
//! - Average precision by all-point interpolation: the area under the precision-recall curve after precision was made
//!   non-increasing from the right (Everingham et al., IJCV 111, 2015). Findings of equal score enter together, so their order
//!   cannot matter.

use serde::Serialize;

/// One finding after matching: right or wrong. Findings on ignored boxes are left out before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    pub score: f32,
    pub right: bool,
}

/// Quality at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    pub threshold: f32,
    pub f1: f64,
    pub precision: f64,
    pub recall: f64,
}

/// Quality over all thresholds, and at the one that ships.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    #[serde(flatten)]
    pub best: AtThreshold,
    pub ap50: f64,
    pub shipped: AtThreshold,
    /// Boxes that should be found.
    pub labelled: usize,
}

fn at(threshold: f32, right: usize, wrong: usize, labelled: usize) -> AtThreshold {
    let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    AtThreshold {
        threshold,
        f1: ratio(2 * right, right + wrong + labelled),
        precision: ratio(right, right + wrong),
        recall: ratio(right, labelled),
    }
}

/// (threshold, right, wrong) for each distinct score, from the highest.
fn steps(judged: &[Judged]) -> Vec<(f32, usize, usize)> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut right, mut wrong) = (0, 0);
    let mut steps: Vec<(f32, usize, usize)> = Vec::new();
    for finding in sorted {
        right += usize::from(finding.right);
        wrong += usize::from(!finding.right);
        match steps.last_mut() {
            Some(last) if last.0 == finding.score => *last = (finding.score, right, wrong),
            _ => steps.push((finding.score, right, wrong)),
        }
    }
    steps
}

/// What counts at `threshold` and above.
#[must_use]
pub fn at_threshold(judged: &[Judged], labelled: usize, threshold: f32) -> AtThreshold {
    let right = judged.iter().filter(|j| j.score >= threshold && j.right).count();
    let wrong = judged.iter().filter(|j| j.score >= threshold && !j.right).count();
    at(threshold, right, wrong, labelled)
}

/// The highest F1; of equal ones the highest threshold. All zero, at threshold 1, where nothing was found.
#[must_use]
pub fn best(judged: &[Judged], labelled: usize) -> AtThreshold {
    let mut best = at(1.0, 0, 0, labelled);
    for (threshold, right, wrong) in steps(judged) {
        let here = at(threshold, right, wrong, labelled);
        if here.f1 > best.f1 {
            best = here;
        }
    }
    best
}

#[must_use]
pub fn average_precision(judged: &[Judged], labelled: usize) -> f64 {
    if labelled == 0 {
        return 0.0;
    }
    let steps = steps(judged);
    let (mut area, mut precision) = (0.0, 0.0f64);
    for (index, &(threshold, right, wrong)) in steps.iter().enumerate().rev() {
        precision = precision.max(at(threshold, right, wrong, labelled).precision);
        let before = index.checked_sub(1).map_or(0, |before| steps[before].1);
        area += precision * (right - before) as f64 / labelled as f64;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(list: &[(f32, bool)]) -> Vec<Judged> {
        list.iter().map(|&(score, right)| Judged { score, right }).collect()
    }

    #[test]
    fn a_worked_example() {
        // Right, wrong, right of three labelled: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
        let list = judged(&[(0.9, true), (0.8, false), (0.7, true)]);
        assert!((average_precision(&list, 3) - (1.0 / 3.0 + 2.0 / 9.0)).abs() < 1e-12);
        let best = best(&list, 3);
        assert_eq!(best.threshold, 0.7);
        assert!((best.f1 - 2.0 / 3.0).abs() < 1e-12);
        let shipped = at_threshold(&list, 3, 0.75);
        assert!((shipped.precision - 0.5).abs() < 1e-12 && (shipped.recall - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_found_and_nothing_to_find() {
        assert_eq!(best(&[], 4), at(1.0, 0, 0, 4));
        assert_eq!(average_precision(&[], 4), 0.0);
        assert_eq!(average_precision(&judged(&[(0.5, false)]), 0), 0.0);
    }

    fn any_list() -> impl Strategy<Value = (Vec<Judged>, usize)> {
        let finding = ((1u8..=20).prop_map(|s| f32::from(s) / 20.0), any::<bool>());
        (prop::collection::vec(finding, 0..60), 1usize..20).prop_map(|(list, missed)| {
            let list: Vec<Judged> = list.into_iter().map(|(score, right)| Judged { score, right }).collect();
            let labelled = list.iter().filter(|j| j.right).count() + missed;
            (list, labelled)
        })
    }

    proptest! {
        #[test]
        fn the_best_is_nowhere_beaten_and_all_stay_within_bounds((list, labelled) in any_list(), threshold in 0.0..1.0f32) {
            let best = best(&list, labelled);
            prop_assert!(best.f1 >= at_threshold(&list, labelled, threshold).f1);
            prop_assert_eq!(best, at_threshold(&list, labelled, best.threshold));
            let area = average_precision(&list, labelled);
            let recall = list.iter().filter(|j| j.right).count() as f64 / labelled as f64;
            prop_assert!((0.0..=recall + 1e-9).contains(&area));
        }

        #[test]
        fn the_order_of_findings_does_not_matter((list, labelled) in any_list(), turn in 0usize..60) {
            let mut turned = list.clone();
            turned.rotate_left(turn % list.len().max(1));
            prop_assert_eq!(best(&list, labelled), best(&turned, labelled));
            prop_assert_eq!(average_precision(&list, labelled), average_precision(&turned, labelled));
        }

        #[test]
        fn one_more_right_finding_never_lowers_the_area((list, labelled) in any_list(), score in 0.0..1.0f32) {
            let mut more = list.clone();
            more.push(Judged { score, right: true });
            prop_assert!(average_precision(&more, labelled) >= average_precision(&list, labelled) - 1e-12);
        }
    }
}
