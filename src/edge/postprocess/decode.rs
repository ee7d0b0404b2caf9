//! Outputs of a network → candidates in pixels of its input, one function per layout. Pure.
//!
//! Shapes and columns are those of `infer::layout`; whoever calls has compared them. Sources:
//! - `yolo`: boxes are decoded and scores are 0..1 in the export of YOLOv8 and YOLO11; there is no objectness.
//! - `yolov5`: score = objectness × class score, as in the export of YOLOv5 and YOLOv7.
//! - `yolox` (Ge et al., YOLOX, arXiv 2107.08430): centre as an offset from the cell's corner in cells, natural logarithm of the
//!   size in cells; score = objectness × class score. Cells run row by row, stride by stride.
//! - `detr` (Carion et al., End-to-End Object Detection with Transformers, arXiv 2005.12872): softmax over the classes and "no
//!   object"; its successors (Deformable DETR, arXiv 2010.04159; RT-DETR, arXiv 2304.08069) use a sigmoid per class.
//! - `end2end` (YOLOv10, arXiv 2405.14458, and exports with a suppression node): corners, score and class number per row.

use crate::edge::infer::layout::{Column, NoObject, ScoreKind};
use crate::edge::infer::model::Layout;
use crate::edge::infer::{InferError, Tensor};

/// A box as corners in pixels of the input, not yet cut at its edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub corners: [f32; 4],
    pub class: usize,
    /// 0..1.
    pub score: f32,
}

/// What a decoder must know of the model besides its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub classes: usize,
    pub input_width: usize,
    pub input_height: usize,
}

/// Calls `found` with each candidate of at least `threshold`.
pub fn decode(
    layout: &Layout,
    outputs: &[&Tensor],
    frame: Frame,
    threshold: f32,
    mut found: impl FnMut(Candidate),
) -> Result<(), InferError> {
    match (layout, outputs) {
        (Layout::Yolo, [output]) => yolo(&output.data, frame, threshold, found),
        (Layout::Yolov5, [output]) => yolov5(&output.data, frame, threshold, found),
        (Layout::Yolox { strides }, [output]) => yolox(&output.data, strides, frame, threshold, found),
        (Layout::Detr { scores, no_object }, [boxes, logits]) => {
            detr(&boxes.data, &logits.data, (*scores, *no_object), frame, threshold, found);
        }
        (Layout::EndToEnd { columns }, [output]) => {
            for row in output.data.chunks_exact(columns.len()) {
                if let Some(candidate) = end_to_end(row, columns, frame.classes, threshold)? {
                    found(candidate);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn corners([x, y, w, h]: [f32; 4]) -> [f32; 4] {
    [x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h]
}

/// The highest of a row; of equal ones the first.
fn highest(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// All candidates of one quantity stand in a row.
fn yolo(data: &[f32], frame: Frame, threshold: f32, mut found: impl FnMut(Candidate)) {
    let count = data.len() / (4 + frame.classes);
    let (boxes, scores) = data.split_at(4 * count);
    // Class by class: the memory is read in its own order.
    let mut best = vec![(f32::MIN, 0); count];
    for (class, scores) in scores.chunks_exact(count).enumerate() {
        for (best, &score) in best.iter_mut().zip(scores) {
            if score > best.0 {
                *best = (score, class);
            }
        }
    }
    for (index, (score, class)) in best.into_iter().enumerate().filter(|(_, best)| best.0 >= threshold) {
        let centre_and_size = std::array::from_fn(|row| boxes[row * count + index]);
        found(Candidate { corners: corners(centre_and_size), class, score });
    }
}

fn yolov5(data: &[f32], frame: Frame, threshold: f32, mut found: impl FnMut(Candidate)) {
    for row in data.chunks_exact(5 + frame.classes) {
        if let Some((class, score)) = with_objectness(row, threshold) {
            found(Candidate { corners: corners([row[0], row[1], row[2], row[3]]), class, score });
        }
    }
}

fn yolox(data: &[f32], strides: &[usize], frame: Frame, threshold: f32, mut found: impl FnMut(Candidate)) {
    let mut rows = data.chunks_exact(5 + frame.classes);
    for &stride in strides {
        let (across, down) = (frame.input_width / stride, frame.input_height / stride);
        for (cell, row) in rows.by_ref().take(across * down).enumerate() {
            let Some((class, score)) = with_objectness(row, threshold) else { continue };
            let (column, line, side) = ((cell % across) as f32, (cell / across) as f32, stride as f32);
            let centre_and_size =
                [(row[0] + column) * side, (row[1] + line) * side, row[2].exp() * side, row[3].exp() * side];
            found(Candidate { corners: corners(centre_and_size), class, score });
        }
    }
}

/// Class and score of a row with objectness in its fifth column.
fn with_objectness(row: &[f32], threshold: f32) -> Option<(usize, f32)> {
    // No class score exceeds one, so most candidates need no look at their classes.
    if row[4] < threshold {
        return None;
    }
    let (class, class_score) = highest(row[5..].iter().copied())?;
    let score = row[4] * class_score;
    (score >= threshold).then_some((class, score))
}

fn detr(
    boxes: &[f32],
    logits: &[f32],
    (scores, no_object): (ScoreKind, Option<NoObject>),
    frame: Frame,
    threshold: f32,
    mut found: impl FnMut(Candidate),
) {
    let columns = frame.classes + usize::from(no_object.is_some());
    let first = usize::from(no_object == Some(NoObject::First));
    let (width, height) = (frame.input_width as f32, frame.input_height as f32);
    for (row, place) in logits.chunks_exact(columns).zip(boxes.chunks_exact(4)) {
        let objects = &row[first..first + frame.classes];
        let Some((class, logit)) = highest(objects.iter().copied()) else { continue };
        let score = match scores {
            ScoreKind::Probability => logit,
            ScoreKind::Sigmoid => 1.0 / (1.0 + (-logit).exp()),
            // Relative to this one, so that nothing overflows upwards.
            ScoreKind::Softmax => 1.0 / row.iter().map(|other| (other - logit).exp()).sum::<f32>(),
        };
        if score >= threshold {
            let centre_and_size = [place[0] * width, place[1] * height, place[2] * width, place[3] * height];
            found(Candidate { corners: corners(centre_and_size), class, score });
        }
    }
}

/// Rows that only fill up, as networks of fixed size write them, have a score of zero.
fn end_to_end(
    row: &[f32],
    columns: &[Column],
    classes: usize,
    threshold: f32,
) -> Result<Option<Candidate>, InferError> {
    let value = |wanted: Column| columns.iter().position(|column| *column == wanted).map(|index| row[index]);
    let [x0, y0, x1, y1, score, class] = Column::USUAL.map(|column| value(column).unwrap_or_default());
    if score < threshold || value(Column::Batch).is_some_and(|batch| batch != 0.0) {
        return Ok(None);
    }
    if class.fract() != 0.0 || class < 0.0 || class as usize >= classes {
        return Err(InferError::ClassNumber { found: class, classes });
    }
    Ok(Some(Candidate { corners: [x0, y0, x1, y1], class: class as usize, score }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { classes: 3, input_width: 64, input_height: 32 };

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Tensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    fn candidates(layout: &Layout, outputs: &[&Tensor], threshold: f32) -> Vec<Candidate> {
        let mut all = Vec::new();
        decode(layout, outputs, FRAME, threshold, |candidate| all.push(candidate)).unwrap();
        all
    }

    fn only(layout: &Layout, outputs: &[&Tensor], threshold: f32) -> Candidate {
        let all = candidates(layout, outputs, threshold);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }

    #[test]
    fn yolov5_multiplies_objectness_and_class() {
        let output =
            tensor(&[1, 2, 8], &[10.0, 12.0, 4.0, 6.0, 0.5, 0.1, 0.8, 0.3, 20.0, 12.0, 4.0, 6.0, 0.5, 0.7, 0.1, 0.1]);
        let expected = Candidate { corners: [8.0, 9.0, 12.0, 15.0], class: 1, score: 0.4 };
        assert_eq!(only(&Layout::Yolov5, &[&output], 0.36), expected);
    }

    #[test]
    fn detr_boxes_are_parts_of_the_input_s_sides() {
        let boxes = tensor(&[1, 1, 4], &[0.5, 0.5, 0.25, 0.5]);
        let logits = tensor(&[1, 1, 3], &[-1.0, 0.0, -2.0]);
        let layout = Layout::Detr { scores: ScoreKind::Sigmoid, no_object: None };
        let expected = Candidate { corners: [24.0, 8.0, 40.0, 24.0], class: 1, score: 0.5 };
        assert_eq!(only(&layout, &[&boxes, &logits], 0.3), expected);
    }

    #[test]
    fn detr_softmax_counts_no_object_and_never_answers_with_it() {
        let boxes = tensor(&[1, 1, 4], &[0.5, 0.5, 0.25, 0.5]);
        // e^0 : e^ln 2 : e^0 with "no object" of e^ln 4: 2 of 8.
        let (ln_2, ln_4) = (2f32.ln(), 4f32.ln());
        for (no_object, row) in [(NoObject::Last, [0.0, ln_2, 0.0, ln_4]), (NoObject::First, [ln_4, 0.0, ln_2, 0.0])] {
            let layout = Layout::Detr { scores: ScoreKind::Softmax, no_object: Some(no_object) };
            let found = only(&layout, &[&boxes, &tensor(&[1, 1, 4], &row)], 0.2);
            assert_eq!(found.class, 1);
            assert!((found.score - 0.25).abs() < 1e-6, "{found:?}");
        }
        // Logits that would overflow on their own.
        let layout = Layout::Detr { scores: ScoreKind::Softmax, no_object: None };
        assert_eq!(only(&layout, &[&boxes, &tensor(&[1, 1, 3], &[500.0, 0.0, -500.0])], 0.2).score, 1.0);
    }

    #[test]
    fn end_to_end_columns_stand_where_the_manifest_says() {
        use Column::{Batch, Class, Score, X0, X1, Y0, Y1};
        let layout = Layout::EndToEnd { columns: vec![Batch, X0, Y0, X1, Y1, Class, Score] };
        let output = tensor(
            &[3, 7],
            &[0.0, 1.0, 2.0, 3.0, 4.0, 2.0, 0.9, 1.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0],
        );
        let expected = Candidate { corners: [1.0, 2.0, 3.0, 4.0], class: 2, score: 0.9 };
        assert_eq!(only(&layout, &[&output], 0.3), expected);
        let usual = Layout::EndToEnd { columns: Column::USUAL.to_vec() };
        assert!(candidates(&usual, &[&tensor(&[1, 0, 6], &[])], 0.3).is_empty());
    }

    #[test]
    fn a_class_number_that_the_manifest_does_not_know_is_refused() {
        let layout = Layout::EndToEnd { columns: Column::USUAL.to_vec() };
        for class in [3.0, -1.0, 0.5] {
            let output = tensor(&[1, 1, 6], &[1.0, 2.0, 3.0, 4.0, 0.9, class]);
            let refused = decode(&layout, &[&output], FRAME, 0.3, |_| {});
            assert!(matches!(refused, Err(InferError::ClassNumber { classes: 3, .. })), "{class}");
        }
    }
}
