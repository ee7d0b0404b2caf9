//! The network's output → detections in the original picture. Pure.
//!
//! `decode` reads the layouts; here shapes are compared, boxes return to the picture, and overlapping ones are suppressed.
//!
//! An output with a value that is not finite is refused as a whole: such a network is broken, not unsure.
//! Suppression is greedy from the highest score, among candidates of one class or, where the manifest says so, of one group.
//! What stays above a threshold does not depend on candidates below it, so one pass at a low threshold serves a whole sweep.

pub mod decode;

use self::decode::{Candidate, Frame};
use crate::edge::detection::Detection;
use crate::edge::infer::model::{InputSpec, Layout, ModelSpec};
use crate::edge::infer::{InferError, Tensor};
use crate::edge::preprocess::Letterbox;

/// Scores are 0..1; this much more is rounding.
const SCORE_TOLERANCE: f32 = 1e-3;

/// Reads outputs of one model; keeps its memory from frame to frame.
pub struct Postprocessor {
    layout: Layout,
    classes: usize,
    input: InputSpec,
    /// Which of the graph's outputs the layout reads, in its order.
    places: Vec<usize>,
    nms_iou: f32,
    /// Per class; candidates of the same one suppress each other.
    rival_of_class: Vec<usize>,
    candidates: Vec<Detection>,
}

impl Postprocessor {
    /// `output_names` are those of the graph, in its order.
    pub fn new(spec: &ModelSpec, output_names: &[String]) -> Result<Self, InferError> {
        let place_of = |wanted: &String| {
            let unknown = || InferError::OutputName { wanted: wanted.clone(), found: output_names.to_vec() };
            output_names.iter().position(|name| name == wanted).ok_or_else(unknown)
        };
        let places = if spec.outputs.is_empty() {
            (0..spec.layout.outputs()).collect()
        } else {
            spec.outputs.iter().map(place_of).collect::<Result<_, _>>()?
        };
        let alone = || (0..spec.classes.len()).collect();
        Ok(Self {
            layout: spec.layout.clone(),
            classes: spec.classes.len(),
            input: spec.input.clone(),
            places,
            nms_iou: spec.nms_iou,
            rival_of_class: if spec.nms_within_group { spec.group_of_class() } else { alone() },
            candidates: Vec::new(),
        })
    }

    /// Detections with at least `score_threshold`, in original pixels, best first, then from top left. `outputs` are all
    /// of the graph's.
    pub fn detections(
        &mut self,
        outputs: &[Tensor],
        letterbox: &Letterbox,
        score_threshold: f32,
    ) -> Result<Vec<Detection>, InferError> {
        let read: Vec<&Tensor> = self.places.iter().filter_map(|&place| outputs.get(place)).collect();
        self.check_shapes(&read, outputs)?;
        for output in &read {
            if let Some(index) = output.data.iter().position(|value| !value.is_finite()) {
                return Err(InferError::NotFinite { index });
            }
        }
        self.candidates.clear();
        let frame = Frame { classes: self.classes, input_width: self.input.width, input_height: self.input.height };
        let mut too_high = None;
        let candidates = &mut self.candidates;
        decode::decode(&self.layout, &read, frame, score_threshold, |candidate| {
            if candidate.score > 1.0 + SCORE_TOLERANCE {
                too_high = Some(candidate.score);
            }
            push(candidates, letterbox, &candidate);
        })?;
        if let Some(found) = too_high {
            return Err(InferError::NotAScore { layout: self.layout.name(), found });
        }
        sort(&mut self.candidates);
        Ok(suppress(&self.candidates, self.nms_iou, &self.rival_of_class))
    }

    fn check_shapes(&self, read: &[&Tensor], all: &[Tensor]) -> Result<(), InferError> {
        let shapes: Vec<&[usize]> = read.iter().map(|output| output.shape.as_slice()).collect();
        let filled = read.iter().all(|output| output.data.len() == output.shape.iter().product::<usize>());
        if filled && self.layout.fits(&shapes, self.classes, &self.input) {
            return Ok(());
        }
        let all: Vec<&[usize]> = all.iter().map(|output| output.shape.as_slice()).collect();
        Err(InferError::OutputShape {
            layout: self.layout.name(),
            classes: self.classes,
            wanted: self.layout.wanted_text(self.classes, &self.input),
            found: all.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(" and "),
            likely: Layout::likely(&all, self.classes, &self.input).filter(|name| *name != self.layout.name()),
        })
    }
}

/// Keeps what has an extent inside the picture.
fn push(candidates: &mut Vec<Detection>, letterbox: &Letterbox, candidate: &Candidate) {
    if candidate.corners.iter().all(|value| value.is_finite())
        && let Some(box_in_image) = letterbox.image_from_input(candidate.corners)
    {
        candidates.push(Detection { box_in_image, class: candidate.class, score: candidate.score.min(1.0) });
    }
}

/// Best first; equal scores from top left, so that the order never depends on how the network lays out its cells.
fn sort(candidates: &mut [Detection]) {
    let place = |d: &Detection| [d.box_in_image.y0, d.box_in_image.x0, d.box_in_image.y1, d.box_in_image.x1];
    candidates.sort_unstable_by(|a, b| {
        let by_place = place(a).into_iter().zip(place(b)).map(|(a, b)| a.total_cmp(&b));
        b.score
            .total_cmp(&a.score)
            .then_with(|| by_place.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then))
            .then_with(|| a.class.cmp(&b.class))
    });
}

/// Greedy suppression of sorted candidates.
fn suppress(candidates: &[Detection], nms_iou: f32, rival_of_class: &[usize]) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        let beaten = kept.iter().any(|better| {
            rival_of_class[better.class] == rival_of_class[candidate.class]
                && better.box_in_image.iou(&candidate.box_in_image) > nms_iou
        });
        if !beaten {
            kept.push(*candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::edge::detection::BoundingBox;
    use crate::edge::infer::layout::ScoreKind;
    use crate::edge::infer::model::{ChannelOrder, Fit, InputSpec, Task};
    use proptest::prelude::*;

    const SIDE: usize = 64;

    fn spec(layout: Layout, nms_within_group: bool) -> ModelSpec {
        ModelSpec {
            name: "test".into(),
            task: Task::Road,
            version: "1".into(),
            file: "test.onnx".into(),
            sha256: String::new(),
            card: "test.md".into(),
            licence: "CC0-1.0".into(),
            layout,
            outputs: Vec::new(),
            classes: ["D00", "D10", "D40"].map(String::from).into(),
            score_threshold: 0.3,
            nms_iou: 0.5,
            nms_within_group,
            groups: [("crack".to_owned(), vec!["D00".to_owned(), "D10".to_owned()])].into(),
            input: InputSpec {
                width: SIDE,
                height: SIDE,
                pad_value: 0,
                scale: 1.0,
                order: ChannelOrder::Rgb,
                fit: Fit::Letterbox,
                mean: [0.0; 3],
                std: [1.0; 3],
            },
            extent: None,
            data: Vec::new(),
            metrics: [].into(),
            golden: None,
            masks: [].into(),
        }
    }

    /// A picture twice as wide as high, twice the input's width.
    fn letterbox(spec: &ModelSpec) -> Letterbox {
        Letterbox::new(128, 64, &spec.input).unwrap()
    }

    /// Boxes as (cx, cy, w, h) with class scores → a `yolo` output.
    fn yolo(candidates: &[([f32; 4], [f32; 3])]) -> Tensor {
        let column = |row: usize| candidates.iter().map(move |(b, s)| if row < 4 { b[row] } else { s[row - 4] });
        Tensor { shape: vec![1, 7, candidates.len()], data: (0..7).flat_map(column).collect() }
    }

    fn read(layout: Layout, within_group: bool, output: &Tensor, threshold: f32) -> Result<Vec<Detection>, InferError> {
        let spec = spec(layout, within_group);
        Postprocessor::new(&spec, &["output".to_owned()])?.detections(
            slice::from_ref(output),
            &letterbox(&spec),
            threshold,
        )
    }

    #[test]
    fn a_yolo_box_returns_to_the_picture() {
        let output = yolo(&[([32.0, 32.0, 16.0, 8.0], [0.1, 0.8, 0.2]), ([10.0, 30.0, 4.0, 4.0], [0.1, 0.2, 0.1])]);
        let found = read(Layout::Yolo, true, &output, 0.3).unwrap();
        let expected = BoundingBox::new(48.0, 24.0, 80.0, 40.0).unwrap();
        assert_eq!(found, [Detection { box_in_image: expected, class: 1, score: 0.8 }]);
    }

    #[test]
    fn groups_suppress_each_other_only_when_the_manifest_says_so() {
        let same = [32.0, 32.0, 16.0, 16.0];
        let output = yolo(&[(same, [0.9, 0.0, 0.0]), (same, [0.0, 0.8, 0.0]), (same, [0.0, 0.0, 0.7])]);
        let classes = |found: Vec<Detection>| found.iter().map(|d| d.class).collect::<Vec<_>>();
        assert_eq!(classes(read(Layout::Yolo, true, &output, 0.3).unwrap()), [0, 2]);
        assert_eq!(classes(read(Layout::Yolo, false, &output, 0.3).unwrap()), [0, 1, 2]);
    }

    #[test]
    fn a_wrong_shape_is_refused_with_the_layout_what_was_found_and_what_was_wanted() {
        let output = Tensor::filled(&[1, 10, 8], 0.1);
        let refused = |layout| read(layout, true, &output, 0.3).unwrap_err().to_string();
        assert_eq!(
            refused(Layout::Yolo),
            "the layout \"yolo\" with 3 classes wants output of the shape [1, 7, N], the model answers with [1, 10, 8]; \
             that would fit the layout \"yolov5\""
        );
        let yolox = refused(Layout::Yolox { strides: vec![32] });
        assert!(
            yolox.contains("\"yolox\"") && yolox.contains("[1, 4, 8], the model answers with [1, 10, 8]"),
            "{yolox}"
        );
        let detr = refused(Layout::Detr { scores: ScoreKind::Sigmoid, no_object: None });
        assert!(detr.contains("[1, N, 4] and [1, N, 3], the model answers with [1, 10, 8]"), "{detr}");
    }

    #[test]
    fn logits_where_scores_should_be_are_refused() {
        let output = yolo(&[([32.0, 32.0, 16.0, 8.0], [0.1, 3.5, 0.2])]);
        let refused = read(Layout::Yolo, true, &output, 0.3).unwrap_err().to_string();
        assert!(refused.contains("3.5") && refused.contains("0 to 1"), "{refused}");
    }

    #[test]
    fn outputs_are_found_by_their_names_in_any_order() {
        let layout = Layout::Detr { scores: ScoreKind::Probability, no_object: None };
        let spec = ModelSpec { outputs: ["boxes", "scores"].map(String::from).into(), ..spec(layout, true) };
        let outputs = [
            Tensor::filled(&[1, 40, 8], 0.0),
            Tensor { shape: vec![1, 1, 3], data: vec![0.1, 0.2, 0.9] },
            Tensor { shape: vec![1, 1, 4], data: vec![0.5, 0.5, 0.25, 0.25] },
        ];
        let names = ["extent", "scores", "boxes"].map(String::from);
        let found = Postprocessor::new(&spec, &names).unwrap().detections(&outputs, &letterbox(&spec), 0.3).unwrap();
        assert_eq!((found.len(), found[0].class), (1, 2));
        let missing = Postprocessor::new(&spec, &names[..2]).err().unwrap().to_string();
        assert!(missing.contains("\"boxes\"") && missing.contains("extent, scores"), "{missing}");
    }

    #[test]
    fn one_value_that_is_not_finite_refuses_the_output() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut output = yolo(&[([32.0, 32.0, 16.0, 8.0], [0.1, 0.8, 0.2])]);
            output.data[2] = bad;
            assert!(matches!(read(Layout::Yolo, true, &output, 0.3), Err(InferError::NotFinite { index: 2 })));
        }
    }

    fn any_candidates() -> impl Strategy<Value = Vec<([f32; 4], [f32; 3])>> {
        let shape = (0.0..64.0f32, 16.0..48.0f32, 2.0..40.0f32, 2.0..30.0f32);
        // Few different scores, so that equal ones happen.
        let scores = prop::array::uniform3((0u8..=10).prop_map(|tenth| f32::from(tenth) / 10.0));
        prop::collection::vec((shape.prop_map(|(x, y, w, h)| [x, y, w, h]), scores), 1..40)
    }

    proptest! {
        #[test]
        fn what_is_kept_is_ordered_above_the_threshold_inside_the_picture_and_apart(
            candidates in any_candidates(), threshold in 0.05..0.9f32,
        ) {
            let found = read(Layout::Yolo, true, &yolo(&candidates), threshold).unwrap();
            let groups = spec(Layout::Yolo, true).group_of_class();
            for (index, a) in found.iter().enumerate() {
                prop_assert!(a.score >= threshold);
                prop_assert!(a.box_in_image.x0 >= 0.0 && a.box_in_image.x1 <= 128.0);
                prop_assert!(a.box_in_image.y0 >= 0.0 && a.box_in_image.y1 <= 64.0);
                for b in &found[index + 1..] {
                    prop_assert!(a.score >= b.score);
                    prop_assert!(groups[a.class] != groups[b.class] || a.box_in_image.iou(&b.box_in_image) <= 0.5);
                }
            }
        }

        #[test]
        fn the_order_of_the_cells_does_not_matter(candidates in any_candidates(), turn in 0usize..40) {
            let mut turned = candidates.clone();
            turned.rotate_left(turn % candidates.len());
            let (a, b) = (read(Layout::Yolo, true, &yolo(&candidates), 0.05), read(Layout::Yolo, true, &yolo(&turned), 0.05));
            prop_assert_eq!(a.unwrap(), b.unwrap());
        }

        #[test]
        fn one_pass_at_a_low_threshold_serves_all_higher_ones(candidates in any_candidates(), threshold in 0.05..0.9f32) {
            let mut low = read(Layout::Yolo, true, &yolo(&candidates), 0.01).unwrap();
            low.retain(|d| d.score >= threshold);
            prop_assert_eq!(low, read(Layout::Yolo, true, &yolo(&candidates), threshold).unwrap());
        }

        #[test]
        fn yolox_reads_what_was_written_into_a_cell(
            stride_index in 0usize..2, cell_fraction in 0.0..1.0f32, offset in prop::array::uniform2(0.0..1.0f32),
            size in prop::array::uniform2(4.0..30.0f32), class in 0usize..3,
        ) {
            let strides = [8usize, 16];
            let stride = strides[stride_index];
            let cells: Vec<usize> = strides.iter().map(|s| (SIDE / s) * (SIDE / s)).collect();
            let cell = ((cells[stride_index] as f32 * cell_fraction) as usize).min(cells[stride_index] - 1);
            let mut output = Tensor::filled(&[1, cells.iter().sum(), 8], 0.0);
            let first = cells[..stride_index].iter().sum::<usize>() + cell;
            let row = &mut output.data[8 * first..8 * (first + 1)];
            row[..2].copy_from_slice(&offset);
            row[2] = (size[0] / stride as f32).ln();
            row[3] = (size[1] / stride as f32).ln();
            row[4] = 0.9;
            row[5 + class] = 0.8;
            let layout = Layout::Yolox { strides: strides.to_vec() };
            let spec = spec(layout.clone(), true);
            let across = SIDE / stride;
            let centre = [(cell % across) as f32 + offset[0], (cell / across) as f32 + offset[1]].map(|v| v * stride as f32);
            let expected = letterbox(&spec).image_from_input([
                centre[0] - size[0] / 2.0, centre[1] - size[1] / 2.0, centre[0] + size[0] / 2.0, centre[1] + size[1] / 2.0,
            ]);
            let found = read(layout, true, &output, 0.5).unwrap();
            match expected {
                None => prop_assert!(found.is_empty()),
                // Edges that fall onto the picture's rim may go either way by rounding.
                Some(b) if b.area_px() < 1e-2 => {}
                Some(b) => {
                    prop_assert_eq!(found.len(), 1);
                    prop_assert!(found[0].class == class && (found[0].score - 0.72).abs() < 1e-6);
                    prop_assert!(found[0].box_in_image.iou(&b) > 0.99);
                }
            }
        }
    }
}
