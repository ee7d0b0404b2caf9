//! From findings and labels to the numbers of a report. Pure.
//!
//! `ap50` and `ap50_95` of the whole are means over the kinds that are labelled, as COCO does; F1, precision and recall of the whole
//! count all boxes alike. The intervals of F1 hold the threshold fixed that was found on all pictures.

use serde::Serialize;

use crate::edge::detection::Detection;
use crate::models::bootstrap::{self, Interval};
use crate::models::groups::Origin;
use crate::models::matching::{self, Fate, Labelled, Rules};
use crate::models::metrics::{AtThreshold, Judged, Sweep};
use crate::models::{binomial, cover, extent};

/// 0.50, 0.55 … 0.95.
const COCO_OVERLAPS: usize = 10;

fn coco_overlap(index: usize) -> f32 {
    (50 + 5 * index) as f32 / 100.0
}

/// One picture: what is labelled in it and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Best first, of the classes that are asked for; what counts as one is merged.
    pub found: Vec<Detection>,
    pub labelled: Vec<Labelled>,
    pub origin: Origin,
    /// With `--match cover`, and the class of each of its regions.
    pub cover: Option<(cover::Covered, Vec<usize>)>,
    /// Where a mask is drawn and the model answers with one.
    pub extent: Option<extent::Tally>,
}

/// Quality over all thresholds, and at the one that ships.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    #[serde(flatten)]
    pub best: AtThreshold,
    pub ap50: f64,
    /// Mean over the overlaps 0.50, 0.55 … 0.95.
    pub ap50_95: f64,
    pub shipped: AtThreshold,
    /// Boxes that should be found.
    pub labelled: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_95: Option<Intervals>,
    #[serde(flatten)]
    pub cover: Option<CoverQuality>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Intervals {
    pub f1: Interval,
    pub shipped_f1: Interval,
    pub ap50: Interval,
    pub ap50_95: Interval,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverQuality {
    pub regions: usize,
    pub covered: usize,
    /// One-sided Clopper–Pearson bound of the covered share.
    pub lower_bound_95: f64,
    /// Masked share of what lies away from every labelled or ignored box; masks are of all classes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked_elsewhere: Option<f64>,
}

/// All findings of all pictures, judged at each overlap. A picture is a unit.
pub struct Table {
    /// Those that are asked for.
    kinds: Vec<Kind>,
    all: Sweep,
    shipped_threshold: f32,
}

struct Kind {
    sweep: Sweep,
    coco: Vec<Sweep>,
}

impl Table {
    /// `kinds` are those that are asked for.
    #[must_use]
    pub fn new(seen: &[Seen], rules: &Rules, kinds: &[usize], shipped_threshold: f32) -> Self {
        let labelled = |kind: Option<usize>| -> Vec<usize> {
            let counts = |l: &&Labelled| !l.ignored && kind.is_none_or(|kind| rules.kind_of_class[l.class] == kind);
            seen.iter().map(|picture| picture.labelled.iter().filter(counts).count()).collect()
        };
        let of_kind = |judged: &[(usize, Judged)], kind: usize| {
            let findings = judged.iter().filter(|(of, _)| *of == kind).map(|(_, judged)| *judged).collect();
            Sweep::new(findings, labelled(Some(kind)))
        };
        let asked = judged(seen, rules);
        let coco: Vec<_> = (0..COCO_OVERLAPS)
            .map(|index| judged(seen, &Rules { min_iou: coco_overlap(index), ..rules.clone() }))
            .collect();
        let kinds = kinds.iter().map(|kind| Kind {
            sweep: of_kind(&asked, *kind),
            coco: coco.iter().map(|judged| of_kind(judged, *kind)).collect(),
        });
        Self {
            kinds: kinds.collect(),
            all: Sweep::new(asked.iter().map(|(_, judged)| *judged).collect(), labelled(None)),
            shipped_threshold,
        }
    }

    #[must_use]
    pub fn of_kind(&self, kind: usize, weights: &[usize]) -> Quality {
        let kind = &self.kinds[kind];
        self.quality(&kind.sweep, kind.averages(weights), weights)
    }

    #[must_use]
    pub fn overall(&self, weights: &[usize]) -> Quality {
        let averages: Vec<_> = self.kinds.iter().map(|kind| kind.averages(weights)).collect();
        self.quality(&self.all, mean(&averages), weights)
    }

    fn quality(&self, sweep: &Sweep, averages: Option<(f64, f64)>, weights: &[usize]) -> Quality {
        let (ap50, ap50_95) = averages.unwrap_or_default();
        Quality {
            best: sweep.best(weights),
            ap50,
            ap50_95,
            shipped: sweep.at_threshold(self.shipped_threshold, weights),
            labelled: sweep.labelled(weights),
            interval_95: None,
            cover: None,
        }
    }

    /// Fills in how far the whole and each kind could have come out otherwise; `unit_of_picture` says what is drawn whole.
    pub fn add_intervals(&self, overall: &mut Quality, kinds: &mut [Quality], unit_of_picture: &[usize], units: usize) {
        let mut of_all = Drawn::default();
        let mut of_kinds = vec![Drawn::default(); self.kinds.len()];
        for sample in bootstrap::samples(units) {
            let weights: Vec<usize> = unit_of_picture.iter().map(|unit| sample[*unit]).collect();
            let averages: Vec<_> = self.kinds.iter().map(|kind| kind.averages(&weights)).collect();
            of_all.note(&self.all, overall, mean(&averages), &weights);
            for (index, drawn) in of_kinds.iter_mut().enumerate() {
                drawn.note(&self.kinds[index].sweep, &kinds[index], averages[index], &weights);
            }
        }
        overall.interval_95 = of_all.intervals();
        for (quality, drawn) in kinds.iter_mut().zip(of_kinds) {
            quality.interval_95 = drawn.intervals();
        }
    }
}

impl Kind {
    /// AP at 0.5 and mean AP over all overlaps; `None` where nothing is labelled.
    fn averages(&self, weights: &[usize]) -> Option<(f64, f64)> {
        if self.sweep.labelled(weights) == 0 {
            return None;
        }
        let averages: Vec<f64> = self.coco.iter().map(|sweep| sweep.average_precision(weights)).collect();
        Some((averages[0], averages.iter().sum::<f64>() / averages.len() as f64))
    }
}

fn mean(averages: &[Option<(f64, f64)>]) -> Option<(f64, f64)> {
    let known: Vec<(f64, f64)> = averages.iter().flatten().copied().collect();
    let count = known.len() as f64;
    let sum = known.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    (count > 0.0).then_some((sum.0 / count, sum.1 / count))
}

/// What came out, sample by sample; samples without anything to find say nothing.
#[derive(Debug, Clone, Default)]
struct Drawn {
    f1: Vec<f64>,
    shipped_f1: Vec<f64>,
    ap50: Vec<f64>,
    ap50_95: Vec<f64>,
}

impl Drawn {
    fn note(&mut self, sweep: &Sweep, full: &Quality, averages: Option<(f64, f64)>, weights: &[usize]) {
        let Some((ap50, ap50_95)) = averages else { return };
        self.f1.push(sweep.at_threshold(full.best.threshold, weights).f1);
        self.shipped_f1.push(sweep.at_threshold(full.shipped.threshold, weights).f1);
        self.ap50.push(ap50);
        self.ap50_95.push(ap50_95);
    }

    fn intervals(&self) -> Option<Intervals> {
        Some(Intervals {
            f1: bootstrap::interval(&self.f1)?,
            shipped_f1: bootstrap::interval(&self.shipped_f1)?,
            ap50: bootstrap::interval(&self.ap50)?,
            ap50_95: bootstrap::interval(&self.ap50_95)?,
        })
    }
}

/// Each finding that counts, with its kind; the picture's number is the unit.
fn judged(seen: &[Seen], rules: &Rules) -> Vec<(usize, Judged)> {
    let mut all = Vec::new();
    for (unit, picture) in seen.iter().enumerate() {
        let fates = matching::fates(&picture.found, &picture.labelled, rules);
        for (finding, fate) in picture.found.iter().zip(fates) {
            if fate != Fate::LeftOut {
                let judged = Judged { score: finding.score, right: fate != Fate::Wrong, unit };
                all.push((rules.kind_of_class[finding.class], judged));
            }
        }
    }
    all
}

/// What the masks as shipped reach in the weighted pictures: recall is the covered share of the regions (of one class, or all),
/// precision the share of masks that touch something known.
#[must_use]
pub fn cover_quality(
    seen: &[Seen],
    weights: &[usize],
    class: Option<usize>,
    threshold: f32,
) -> (AtThreshold, CoverQuality) {
    let (mut regions, mut covered, mut masks, mut needed) = (0, 0, 0, 0);
    let (mut outside, mut masked_outside) = (0, 0);
    for (picture, weight) in seen.iter().zip(weights) {
        let Some((of, classes)) = &picture.cover else { continue };
        let asked = of.regions.iter().zip(classes).filter(|(_, of)| class.is_none_or(|class| class == **of));
        regions += weight * asked.clone().count();
        covered += weight * asked.filter(|(covered, _)| **covered).count();
        masks += weight * of.needed.len();
        needed += weight * of.needed.iter().filter(|needed| **needed).count();
        outside += weight * of.outside_px;
        masked_outside += weight * of.masked_outside_px;
    }
    let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let (precision, recall) = (ratio(needed, masks), ratio(covered, regions));
    let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    let quality = CoverQuality {
        regions,
        covered,
        lower_bound_95: binomial::lower_bound_95(covered, regions),
        masked_elsewhere: class.is_none().then(|| ratio(masked_outside, outside)),
    };
    (AtThreshold { threshold, f1, precision, recall }, quality)
}
