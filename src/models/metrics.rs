//! Precision, recall, F1 and average precision from judged findings. Pure.
//!
//! - F1 = 2·TP / (2·TP + FP + FN). The *best* F1 is the highest over all thresholds that some finding has as its score.
//! - Average precision as COCO counts it (Lin et al., arXiv 1405.0312; `pycocotools.cocoeval`): precision is made non-increasing
//!   from the right, then averaged over the recalls 0, 0.01 … 1. Unlike there, findings of equal score enter together, so that
//!   their order cannot matter, and a picture may have more than a hundred findings.
//!
//! Every number can be asked for with a weight per *unit* (a picture or a group of pictures), which is how often that unit counts:
//! that serves the bootstrap without sorting again.

use serde::Serialize;

/// One finding after matching: right or wrong. Findings on ignored boxes are left out before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    pub score: f32,
    pub right: bool,
    pub unit: usize,
}

/// Quality at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    pub threshold: f32,
    pub f1: f64,
    pub precision: f64,
    pub recall: f64,
}

impl AtThreshold {
    #[must_use]
    pub fn of(threshold: f32, right: usize, wrong: usize, labelled: usize) -> Self {
        let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Self {
            threshold,
            f1: ratio(2 * right, right + wrong + labelled),
            precision: ratio(right, right + wrong),
            recall: ratio(right, labelled),
        }
    }
}

/// All findings of one kind at one overlap, best first, and what there was to find.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    findings: Vec<Judged>,
    /// Per unit.
    labelled: Vec<usize>,
}

impl Sweep {
    #[must_use]
    pub fn new(mut findings: Vec<Judged>, labelled: Vec<usize>) -> Self {
        findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self { findings, labelled }
    }

    /// How many boxes are to be found.
    #[must_use]
    pub fn labelled(&self, weights: &[usize]) -> usize {
        self.labelled.iter().zip(weights).map(|(labelled, weight)| labelled * weight).sum()
    }

    /// (threshold, right, wrong) for each distinct score, from the highest.
    fn steps(&self, weights: &[usize]) -> Vec<(f32, usize, usize)> {
        let (mut right, mut wrong) = (0, 0);
        let mut steps: Vec<(f32, usize, usize)> = Vec::new();
        for finding in &self.findings {
            let weight = weights[finding.unit];
            if weight == 0 {
                continue;
            }
            if finding.right {
                right += weight;
            } else {
                wrong += weight;
            }
            match steps.last_mut() {
                Some(last) if last.0 == finding.score => *last = (finding.score, right, wrong),
                _ => steps.push((finding.score, right, wrong)),
            }
        }
        steps
    }

    /// What counts at `threshold` and above.
    #[must_use]
    pub fn at_threshold(&self, threshold: f32, weights: &[usize]) -> AtThreshold {
        let counted = self.findings.iter().take_while(|finding| finding.score >= threshold);
        let (mut right, mut wrong) = (0, 0);
        for finding in counted {
            *(if finding.right { &mut right } else { &mut wrong }) += weights[finding.unit];
        }
        AtThreshold::of(threshold, right, wrong, self.labelled(weights))
    }

    /// The highest F1; of equal ones the highest threshold. All zero, at threshold 1, where nothing was found.
    #[must_use]
    pub fn best(&self, weights: &[usize]) -> AtThreshold {
        let labelled = self.labelled(weights);
        let mut best = AtThreshold::of(1.0, 0, 0, labelled);
        for (threshold, right, wrong) in self.steps(weights) {
            let here = AtThreshold::of(threshold, right, wrong, labelled);
            if here.f1 > best.f1 {
                best = here;
            }
        }
        best
    }

    /// 0 where nothing is to be found.
    #[must_use]
    pub fn average_precision(&self, weights: &[usize]) -> f64 {
        let labelled = self.labelled(weights);
        if labelled == 0 {
            return 0.0;
        }
        let mut curve: Vec<(f64, f64)> = self
            .steps(weights)
            .into_iter()
            .map(|(_, right, wrong)| (right as f64 / labelled as f64, right as f64 / (right + wrong) as f64))
            .collect();
        let mut highest = 0.0f64;
        for (_, precision) in curve.iter_mut().rev() {
            highest = highest.max(*precision);
            *precision = highest;
        }
        let mut reached = curve.into_iter().peekable();
        let mut sum = 0.0;
        for hundredth in 0..=RECALLS {
            // As numpy's linspace rounds them: the comparison with an exact recall depends on it.
            let recall = if hundredth == RECALLS { 1.0 } else { f64::from(hundredth) * (1.0 / f64::from(RECALLS)) };
            while reached.next_if(|(here, _)| *here < recall).is_some() {}
            sum += reached.peek().map_or(0.0, |(_, precision)| *precision);
        }
        sum / f64::from(RECALLS + 1)
    }
}

const RECALLS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Findings of one unit each, so that the weights can be anything.
    fn sweep(list: &[(f32, bool)], labelled: usize) -> Sweep {
        let findings = list.iter().enumerate().map(|(unit, &(score, right))| Judged { score, right, unit }).collect();
        let mut per_unit = vec![0; list.len().max(1)];
        per_unit[0] = labelled;
        Sweep::new(findings, per_unit)
    }

    fn all(sweep: &Sweep) -> Vec<usize> {
        vec![1; sweep.labelled.len()]
    }

    #[test]
    fn a_worked_example() {
        // Right, wrong, right of three labelled: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
        let sweep = sweep(&[(0.9, true), (0.8, false), (0.7, true)], 3);
        // Recalls 0 … 0.33 at precision 1, 0.34 … 0.66 at 2/3.
        assert!((sweep.average_precision(&[1; 3]) - (34.0 + 33.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12);
        let best = sweep.best(&[1; 3]);
        assert_eq!(best.threshold, 0.7);
        assert!((best.f1 - 2.0 / 3.0).abs() < 1e-12);
        let shipped = sweep.at_threshold(0.75, &[1; 3]);
        assert!((shipped.precision - 0.5).abs() < 1e-12 && (shipped.recall - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_found_and_nothing_to_find() {
        assert_eq!(sweep(&[], 4).best(&[1]), AtThreshold::of(1.0, 0, 0, 4));
        assert_eq!(sweep(&[], 4).average_precision(&[1]), 0.0);
        assert_eq!(sweep(&[(0.5, false)], 0).average_precision(&[1]), 0.0);
    }

    #[test]
    fn a_unit_of_weight_two_counts_as_two_alike() {
        let once = Sweep::new(
            vec![
                Judged { score: 0.9, right: true, unit: 0 },
                Judged { score: 0.8, right: false, unit: 1 },
                Judged { score: 0.6, right: true, unit: 1 },
            ],
            vec![1, 2],
        );
        let twice = Sweep::new(
            vec![
                Judged { score: 0.8, right: false, unit: 0 },
                Judged { score: 0.6, right: true, unit: 0 },
                Judged { score: 0.8, right: false, unit: 1 },
                Judged { score: 0.6, right: true, unit: 1 },
            ],
            vec![2, 2],
        );
        assert_eq!(once.average_precision(&[0, 2]), twice.average_precision(&[1, 1]));
        assert_eq!(once.best(&[0, 2]), twice.best(&[1, 1]));
        assert_eq!(once.at_threshold(0.7, &[0, 2]), twice.at_threshold(0.7, &[1, 1]));
    }

    fn any_list() -> impl Strategy<Value = (Vec<(f32, bool)>, usize)> {
        let finding = ((1u8..=20).prop_map(|s| f32::from(s) / 20.0), any::<bool>());
        (prop::collection::vec(finding, 0..60), 1usize..20).prop_map(|(list, missed)| {
            let labelled = list.iter().filter(|(_, right)| *right).count() + missed;
            (list, labelled)
        })
    }

    proptest! {
        #[test]
        fn the_best_is_nowhere_beaten_and_all_stay_within_bounds((list, labelled) in any_list(), threshold in 0.0..1.0f32) {
            let sweep = sweep(&list, labelled);
            let weights = all(&sweep);
            let best = sweep.best(&weights);
            prop_assert!(best.f1 >= sweep.at_threshold(threshold, &weights).f1);
            prop_assert_eq!(best, sweep.at_threshold(best.threshold, &weights));
            let recall = list.iter().filter(|(_, right)| *right).count() as f64 / labelled as f64;
            // Each of the 101 recalls stands for the piece of the axis up to it.
            prop_assert!((0.0..=recall + 1.0 / 101.0 + 1e-9).contains(&sweep.average_precision(&weights)));
        }

        #[test]
        fn the_order_of_findings_does_not_matter((list, labelled) in any_list(), turn in 0usize..60) {
            let mut turned = list.clone();
            turned.rotate_left(turn % list.len().max(1));
            let (a, b) = (sweep(&list, labelled), sweep(&turned, labelled));
            prop_assert_eq!(a.best(&all(&a)), b.best(&all(&b)));
            prop_assert_eq!(a.average_precision(&all(&a)), b.average_precision(&all(&b)));
        }

        #[test]
        fn one_more_right_finding_never_lowers_the_area((list, labelled) in any_list(), score in 0.0..1.0f32) {
            let mut more = list.clone();
            more.push((score, true));
            let (more, less) = (sweep(&more, labelled), sweep(&list, labelled));
            prop_assert!(more.average_precision(&all(&more)) >= less.average_precision(&all(&less)) - 1e-12);
        }
    }
}
