//! The network's output → detections in the original picture. Pure.
//!
//! Layouts (C classes, N candidates):
//! - `yolo`, `[1, 4 + C, N]`: centre x, centre y, width, height in input pixels, then C scores in 0..1, all candidates of one
//!   quantity in a row. A candidate's class is the one with the highest score.
//! - `yolox`, `[1, N, 5 + C]` (Ge et al., YOLOX, arXiv 2107.08430): centre as an offset from the cell's corner in cells, natural
//!   logarithm of the size in cells, objectness, C scores; the score is objectness × class score. Cells run row by row, stride
//!   by stride.
//!
//! An output with a value that is not finite is refused as a whole: such a network is broken, not unsure.
//! Suppression is greedy from the highest score, among candidates of one class or, where the manifest says so, of one group.
//! What stays above a threshold does not depend on candidates below it, so one pass at a low threshold serves a whole sweep.

use crate::edge::detection::Detection;
use crate::edge::infer::model::{Layout, ModelSpec};
use crate::edge::infer::{InferError, Tensor};
use crate::edge::preprocess::Letterbox;

/// Reads outputs of one model; keeps its memory from frame to frame.
pub struct Postprocessor {
    layout: Layout,
    classes: usize,
    input_width: usize,
    input_height: usize,
    nms_iou: f32,
    /// Per class; candidates of the same one suppress each other.
    rival_of_class: Vec<usize>,
    best: Vec<(f32, usize)>,
    candidates: Vec<Detection>,
}

impl Postprocessor {
    #[must_use]
    pub fn new(spec: &ModelSpec) -> Self {
        let alone = || (0..spec.classes.len()).collect();
        Self {
            layout: spec.layout.clone(),
            classes: spec.classes.len(),
            input_width: spec.input.width,
            input_height: spec.input.height,
            nms_iou: spec.nms_iou,
            rival_of_class: if spec.nms_within_group { spec.group_of_class() } else { alone() },
            best: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Detections with at least `score_threshold`, in original pixels, best first, then from top left.
    pub fn detections(
        &mut self,
        output: &Tensor,
        letterbox: &Letterbox,
        score_threshold: f32,
    ) -> Result<Vec<Detection>, InferError> {
        if let Some(index) = output.data.iter().position(|value| !value.is_finite()) {
            return Err(InferError::NotFinite { index });
        }
        self.candidates.clear();
        match self.layout.clone() {
            Layout::Yolo => self.read_yolo(output, letterbox, score_threshold)?,
            Layout::Yolox { strides } => self.read_yolox(output, letterbox, score_threshold, &strides)?,
        }
        sort(&mut self.candidates);
        Ok(suppress(&self.candidates, self.nms_iou, &self.rival_of_class))
    }

    fn read_yolo(&mut self, output: &Tensor, letterbox: &Letterbox, threshold: f32) -> Result<(), InferError> {
        let rows = 4 + self.classes;
        let count = match output.shape[..] {
            [1, found, count] if found == rows && output.data.len() == rows * count && count > 0 => count,
            _ => {
                return Err(InferError::OutputShape {
                    found: output.shape.clone(),
                    expected: format!("[1, {rows}, N]"),
                });
            }
        };
        let (boxes, scores) = output.data.split_at(4 * count);
        self.best.clear();
        self.best.resize(count, (f32::MIN, 0));
        for (class, scores) in scores.chunks_exact(count).enumerate() {
            for (best, &score) in self.best.iter_mut().zip(scores) {
                if score > best.0 {
                    *best = (score, class);
                }
            }
        }
        for (index, &(score, class)) in self.best.iter().enumerate() {
            if score >= threshold {
                let [x, y, w, h] = std::array::from_fn(|row| boxes[row * count + index]);
                push(&mut self.candidates, letterbox, [x, y, w, h], class, score);
            }
        }
        Ok(())
    }

    fn read_yolox(
        &mut self,
        output: &Tensor,
        letterbox: &Letterbox,
        threshold: f32,
        strides: &[usize],
    ) -> Result<(), InferError> {
        let columns = 5 + self.classes;
        let count: usize = strides.iter().map(|s| (self.input_width / s) * (self.input_height / s)).sum();
        if output.shape != [1, count, columns] || output.data.len() != count * columns {
            let expected = format!("[1, {count}, {columns}]");
            return Err(InferError::OutputShape { found: output.shape.clone(), expected });
        }
        let mut rows = output.data.chunks_exact(columns);
        for &stride in strides {
            let (across, down) = (self.input_width / stride, self.input_height / stride);
            for (cell, row) in rows.by_ref().take(across * down).enumerate() {
                // No class score exceeds one, so most cells need no look at their classes.
                if row[4] < threshold {
                    continue;
                }
                let best = row[5..].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
                let Some((class, &class_score)) = best else { continue };
                let score = row[4] * class_score;
                if score >= threshold {
                    let (column, line, side) = ((cell % across) as f32, (cell / across) as f32, stride as f32);
                    let centre_and_size =
                        [(row[0] + column) * side, (row[1] + line) * side, row[2].exp() * side, row[3].exp() * side];
                    push(&mut self.candidates, letterbox, centre_and_size, class, score);
                }
            }
        }
        Ok(())
    }
}

/// Keeps what has an extent inside the picture.
fn push(candidates: &mut Vec<Detection>, letterbox: &Letterbox, [x, y, w, h]: [f32; 4], class: usize, score: f32) {
    let corners = [x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h];
    if corners.iter().all(|value| value.is_finite())
        && let Some(box_in_image) = letterbox.image_from_input(corners)
    {
        candidates.push(Detection { box_in_image, class, score });
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
    use super::*;
    use crate::edge::detection::BoundingBox;
    use crate::edge::infer::model::{ChannelOrder, InputSpec, Task};
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
            classes: ["D00", "D10", "D40"].map(String::from).into(),
            score_threshold: 0.3,
            nms_iou: 0.5,
            nms_within_group,
            groups: [("crack".to_owned(), vec!["D00".to_owned(), "D10".to_owned()])].into(),
            input: InputSpec { width: SIDE, height: SIDE, pad_value: 0, scale: 1.0, order: ChannelOrder::Rgb },
            extent: None,
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
        Postprocessor::new(&spec).detections(output, &letterbox(&spec), threshold)
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
    fn a_wrong_shape_is_refused() {
        let output = Tensor::filled(&[1, 8, 10], 0.1);
        assert!(matches!(read(Layout::Yolo, true, &output, 0.3), Err(InferError::OutputShape { .. })));
        let yolox = Layout::Yolox { strides: vec![32] };
        assert!(matches!(read(yolox, true, &output, 0.3), Err(InferError::OutputShape { .. })));
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
