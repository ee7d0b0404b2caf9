//! Which finding belongs to which labelled box, in one picture. Pure.
//!
//! Findings choose in order of their score; each takes the labelled box it overlaps most, if that is free, of a matching class
//! and overlaps enough. A finding that got none but overlaps an ignored box enough is left out; so is one that is itself too
//! small to be asked for. Whatever is left is wrong. A finding's fate depends on better ones only, so one matching serves every
//! threshold.

use crate::edge::detection::{BoundingBox, Detection};

/// A box that a person or another model has drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled {
    pub box_in_image: BoundingBox,
    pub class: usize,
    /// Neither found nor missed.
    pub ignored: bool,
}

/// How findings and labels are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Per class of the model: classes with the same number count as one.
    pub kind_of_class: Vec<usize>,
    pub min_iou: f32,
    pub smallest: Smallest,
}

/// What is large enough to be asked for, in pixels of the original picture: labelled boxes below are neither found nor missed,
/// findings below never wrong.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Smallest {
    /// Of the shorter side.
    pub side_px: f32,
    /// Of the width, by which plates are read.
    pub width_px: f32,
}

impl Smallest {
    #[must_use]
    pub fn holds(&self, b: &BoundingBox) -> bool {
        let (width_px, height_px) = (b.x1 - b.x0, b.y1 - b.y0);
        width_px.min(height_px) >= self.side_px && width_px >= self.width_px
    }
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has found this labelled box.
    Found(usize),
    /// It counts neither for nor against.
    LeftOut,
    Wrong,
}

/// The fates of one picture's findings, which stand best first.
#[must_use]
pub fn fates(found: &[Detection], labelled: &[Labelled], rules: &Rules) -> Vec<Fate> {
    let kind = |class: usize| rules.kind_of_class[class];
    let mut taken = vec![false; labelled.len()];
    let mut fates = Vec::with_capacity(found.len());
    for finding in found {
        let overlap = |label: &Labelled| label.box_in_image.iou(&finding.box_in_image);
        let fits = |label: &Labelled| kind(label.class) == kind(finding.class) && overlap(label) >= rules.min_iou;
        let free = labelled.iter().enumerate().filter(|(index, label)| !label.ignored && !taken[*index] && fits(label));
        let best = free.max_by(|a, b| overlap(a.1).total_cmp(&overlap(b.1))).map(|(index, _)| index);
        fates.push(match best {
            Some(index) => {
                taken[index] = true;
                Fate::Found(index)
            }
            None if labelled.iter().any(|label| label.ignored && fits(label)) => Fate::LeftOut,
            None if !rules.smallest.holds(&finding.box_in_image) => Fate::LeftOut,
            None => Fate::Wrong,
        });
    }
    fates
}

/// When classes count as one, two findings of one thing under different classes are one finding: the better stays.
#[must_use]
pub fn merge_rivals(found: &[Detection], kind_of_class: &[usize], nms_iou: f32) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::with_capacity(found.len());
    for finding in found {
        let beaten = kept.iter().any(|better| {
            kind_of_class[better.class] == kind_of_class[finding.class]
                && better.box_in_image.iou(&finding.box_in_image) > nms_iou
        });
        if !beaten {
            kept.push(*finding);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(x: f32, side: f32) -> BoundingBox {
        BoundingBox::new(x, 0.0, x + side, side).unwrap()
    }

    fn label(x: f32, class: usize, ignored: bool) -> Labelled {
        Labelled { box_in_image: square(x, 20.0), class, ignored }
    }

    fn finding(x: f32, class: usize, score: f32) -> Detection {
        Detection { box_in_image: square(x, 20.0), class, score }
    }

    fn rules(kind_of_class: &[usize]) -> Rules {
        Rules { kind_of_class: kind_of_class.to_vec(), min_iou: 0.5, smallest: Smallest::default() }
    }

    /// Whether each finding that counts is right.
    fn judged(found: &[Detection], labelled: &[Labelled], rules: &Rules) -> Vec<bool> {
        let counts = |fate: &Fate| *fate != Fate::LeftOut;
        fates(found, labelled, rules).into_iter().filter(counts).map(|fate| fate != Fate::Wrong).collect()
    }

    #[test]
    fn a_box_is_found_once_and_by_the_better() {
        let found = [finding(1.0, 0, 0.9), finding(0.0, 0, 0.8)];
        assert_eq!(judged(&found, &[label(0.0, 0, false)], &rules(&[0, 1])), [true, false]);
    }

    #[test]
    fn classes_count_as_the_rules_say() {
        let (found, labelled) = ([finding(0.0, 1, 0.9)], [label(0.0, 0, false)]);
        assert_eq!(judged(&found, &labelled, &rules(&[0, 1])), [false]);
        assert_eq!(judged(&found, &labelled, &rules(&[0, 0])), [true]);
    }

    #[test]
    fn on_an_ignored_box_nothing_is_right_or_wrong_but_a_real_one_comes_first() {
        let ignored = label(0.0, 0, true);
        assert!(judged(&[finding(0.0, 0, 0.9)], &[ignored], &rules(&[0])).is_empty());
        assert_eq!(judged(&[finding(0.0, 0, 0.9)], &[ignored, label(4.0, 0, false)], &rules(&[0])), [true]);
    }

    #[test]
    fn a_finding_too_small_to_be_asked_for_is_not_wrong() {
        let small = Rules { smallest: Smallest { side_px: 30.0, width_px: 0.0 }, ..rules(&[0]) };
        assert!(judged(&[finding(0.0, 0, 0.9)], &[], &small).is_empty());
        assert_eq!(judged(&[finding(0.0, 0, 0.9)], &[label(0.0, 0, false)], &small), [true]);
    }

    #[test]
    fn the_smallest_width_asks_for_the_width_alone() {
        let smallest = Smallest { side_px: 0.0, width_px: 20.0 };
        assert!(smallest.holds(&BoundingBox::new(0.0, 0.0, 20.0, 5.0).unwrap()));
        assert!(!smallest.holds(&BoundingBox::new(0.0, 0.0, 5.0, 20.0).unwrap()));
        let side = Smallest { side_px: 20.0, width_px: 0.0 };
        assert!(!side.holds(&BoundingBox::new(0.0, 0.0, 20.0, 5.0).unwrap()));
    }

    #[test]
    fn two_names_for_one_thing_are_one_finding_only_when_classes_count_as_one() {
        let found = [finding(0.0, 0, 0.9), finding(1.0, 1, 0.8)];
        assert_eq!(merge_rivals(&found, &[0, 0], 0.5).len(), 1);
        assert_eq!(merge_rivals(&found, &[0, 1], 0.5).len(), 2);
    }

    proptest! {
        #[test]
        fn a_finding_s_fate_depends_on_better_ones_only(
            found in prop::collection::vec((0.0..100.0f32, 0usize..2, 0.0..1.0f32), 0..20),
            labels in prop::collection::vec((0.0..100.0f32, 0usize..2, any::<bool>()), 0..10),
            keep in 0usize..20,
        ) {
            let mut found: Vec<Detection> = found.into_iter().map(|(x, c, s)| finding(x, c, s)).collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            let labels: Vec<Labelled> = labels.into_iter().map(|(x, c, ignored)| label(x, c, ignored)).collect();
            let all = fates(&found, &labels, &rules(&[0, 1]));
            let some = fates(&found[..keep.min(found.len())], &labels, &rules(&[0, 1]));
            prop_assert_eq!(&all[..some.len()], &some[..]);
            let right = all.iter().filter(|fate| matches!(fate, Fate::Found(_))).count();
            prop_assert!(right <= labels.iter().filter(|l| !l.ignored).count());
        }
    }
}
