//! How a model's answer is laid out: which outputs, in which shapes. `edge::postprocess` reads them.
//!
//! C classes, N candidates; boxes are in pixels of the network's input unless said otherwise:
//! - `yolo` (YOLOv8, YOLO11), `[1, 4 + C, N]`: centre x, centre y, width, height, then C scores.
//! - `yolov5` (YOLOv5, YOLOv7, decoded YOLOX), `[1, N, 5 + C]`: centre and size, objectness, C scores.
//! - `yolox`, `[1, N, 5 + C]`: relative to a grid per stride, with objectness.
//! - `detr`, two outputs `[1, N, 4]` and `[1, N, K]`: centre and size as parts of the input's sides, and a score per class;
//!   K is C, or C + 1 where one column stands for "no object".
//! - `end2end`, `[1, N, 6]` or `[N, 7]` and the like: suppression is in the network; the columns are named in the manifest.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::model::InputSpec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    Yolo,
    Yolov5,
    /// One grid per stride, the finest first.
    Yolox {
        strides: Vec<usize>,
    },
    Detr {
        scores: ScoreKind,
        no_object: Option<NoObject>,
    },
    EndToEnd {
        columns: Vec<Column>,
    },
}

/// What the numbers per class are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreKind {
    /// Logits of classes that do not exclude each other.
    Sigmoid,
    /// Logits of classes of which one holds.
    Softmax,
    /// Already 0..1.
    Probability,
}

/// The column that stands for "no object".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoObject {
    First,
    Last,
}

/// A column of a network that suppresses by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// The picture's number in the batch; always the first picture here.
    Batch,
    X0,
    Y0,
    X1,
    Y1,
    Score,
    Class,
}

impl Column {
    /// As YOLOv10 and most exports with suppression write them.
    pub const USUAL: [Self; 6] = [Self::X0, Self::Y0, Self::X1, Self::Y1, Self::Score, Self::Class];
}

const NAMES: [&str; 5] = ["yolo", "yolov5", "yolox", "detr", "end2end"];

/// A side of a shape that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Exactly(usize),
    /// Any number of candidates, at least one.
    Some,
    /// Any number, also none.
    Any,
}

impl Side {
    fn fits(self, found: usize) -> bool {
        match self {
            Self::Exactly(side) => found == side,
            Self::Some => found > 0,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(side) => side.fmt(f),
            Self::Some | Self::Any => f.write_str("N"),
        }
    }
}

fn shape_text(shape: &[Side]) -> String {
    let sides: Vec<String> = shape.iter().map(Side::to_string).collect();
    format!("[{}]", sides.join(", "))
}

impl Layout {
    /// As the manifest writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Yolo => "yolo",
            Self::Yolov5 => "yolov5",
            Self::Yolox { .. } => "yolox",
            Self::Detr { .. } => "detr",
            Self::EndToEnd { .. } => "end2end",
        }
    }

    /// How many of the graph's outputs it reads.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Detr { .. } => 2,
            _ => 1,
        }
    }

    /// Whether the network leaves overlapping boxes to us.
    #[must_use]
    pub fn needs_suppression(&self) -> bool {
        !matches!(self, Self::Detr { .. } | Self::EndToEnd { .. })
    }

    /// Per output the shapes that it may have.
    fn wanted(&self, classes: usize, input: &InputSpec) -> Vec<Vec<Vec<Side>>> {
        use Side::{Any, Exactly};
        let one = Exactly(1);
        match self {
            Self::Yolo => vec![vec![vec![one, Exactly(4 + classes), Side::Some]]],
            Self::Yolov5 => vec![vec![vec![one, Side::Some, Exactly(5 + classes)]]],
            Self::Yolox { strides } => {
                let cells = strides.iter().map(|s| (input.width / s) * (input.height / s)).sum();
                vec![vec![vec![one, Exactly(cells), Exactly(5 + classes)]]]
            }
            Self::Detr { no_object, .. } => {
                let columns = classes + usize::from(no_object.is_some());
                vec![vec![vec![one, Side::Some, Exactly(4)]], vec![vec![one, Side::Some, Exactly(columns)]]]
            }
            Self::EndToEnd { columns } => {
                let columns = Exactly(columns.len());
                vec![vec![vec![one, Any, columns], vec![Any, columns]]]
            }
        }
    }

    /// The shapes wanted, in words.
    #[must_use]
    pub fn wanted_text(&self, classes: usize, input: &InputSpec) -> String {
        let outputs = self.wanted(classes, input);
        let text = |shapes: &Vec<Vec<Side>>| shapes.iter().map(|s| shape_text(s)).collect::<Vec<_>>().join(" or ");
        outputs.iter().map(text).collect::<Vec<_>>().join(" and ")
    }

    /// Whether outputs of these shapes, in the layout's order, can be read.
    #[must_use]
    pub fn fits(&self, shapes: &[&[usize]], classes: usize, input: &InputSpec) -> bool {
        let fits = |wanted: &Vec<Side>, found: &[usize]| {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(side, found)| side.fits(*found))
        };
        let wanted = self.wanted(classes, input);
        let each =
            shapes.len() == wanted.len() && wanted.iter().zip(shapes).all(|(any, s)| any.iter().any(|w| fits(w, s)));
        // Boxes and scores speak of the same candidates.
        each && (shapes.len() < 2 || shapes[0].get(1) == shapes[1].get(1))
    }

    /// Another layout that these shapes would fit, to name in a message.
    #[must_use]
    pub fn likely(shapes: &[&[usize]], classes: usize, input: &InputSpec) -> Option<&'static str> {
        let candidates = [
            Self::Yolo,
            Self::Yolov5,
            Self::EndToEnd { columns: Column::USUAL.to_vec() },
            Self::Detr { scores: ScoreKind::Sigmoid, no_object: None },
            Self::Detr { scores: ScoreKind::Softmax, no_object: Some(NoObject::Last) },
        ];
        let fits =
            |layout: &&Self| shapes.get(..layout.outputs()).is_some_and(|shapes| layout.fits(shapes, classes, input));
        candidates.iter().find(fits).map(Self::name)
    }
}

/// What the manifest says about the layout, unchecked.
pub(super) struct RawLayout<'a> {
    pub name: &'a Spanned<String>,
    pub strides: Option<&'a Spanned<Vec<usize>>>,
    pub scores: Option<&'a Spanned<ScoreKind>>,
    pub no_object: Option<&'a Spanned<NoObject>>,
    pub columns: Option<&'a Spanned<Vec<Column>>>,
}

type Wrong = (Range<usize>, String);

impl RawLayout<'_> {
    pub(super) fn checked(&self, input: &InputSpec) -> Result<Layout, Wrong> {
        let name = self.name.get_ref().as_str();
        self.refuse_foreign_keys(name)?;
        match name {
            "yolo" => Ok(Layout::Yolo),
            "yolov5" => Ok(Layout::Yolov5),
            "yolox" => self.yolox(input),
            "detr" => self.detr(),
            "end2end" => self.end_to_end(),
            other => {
                Err((self.name.span(), format!("layout {other:?} is not known; write one of {}", NAMES.join(", "))))
            }
        }
    }

    fn refuse_foreign_keys(&self, name: &str) -> Result<(), Wrong> {
        let keys = [
            ("strides", "yolox", self.strides.map(Spanned::span)),
            ("scores", "detr", self.scores.map(Spanned::span)),
            ("no_object", "detr", self.no_object.map(Spanned::span)),
            ("columns", "end2end", self.columns.map(Spanned::span)),
        ];
        for (key, owner, span) in keys {
            if let Some(span) = span.filter(|_| name != owner) {
                return Err((span, format!("{key} belongs to the layout {owner:?} only")));
            }
        }
        Ok(())
    }

    fn yolox(&self, input: &InputSpec) -> Result<Layout, Wrong> {
        let Some(strides) = self.strides else {
            return Err((self.name.span(), "the layout \"yolox\" needs strides, as [8, 16, 32]".into()));
        };
        let divides =
            |stride: &usize| *stride > 0 && input.width.is_multiple_of(*stride) && input.height.is_multiple_of(*stride);
        if strides.get_ref().is_empty() || !strides.get_ref().iter().all(divides) {
            return Err((strides.span(), "each of strides must divide the input's width and height".into()));
        }
        Ok(Layout::Yolox { strides: strides.get_ref().clone() })
    }

    fn detr(&self) -> Result<Layout, Wrong> {
        let Some(scores) = self.scores.map(|scores| *scores.get_ref()) else {
            let what = "the layout \"detr\" needs scores = \"sigmoid\", \"softmax\" or \"probability\"";
            return Err((self.name.span(), what.into()));
        };
        Ok(Layout::Detr { scores, no_object: self.no_object.map(|n| *n.get_ref()) })
    }

    fn end_to_end(&self) -> Result<Layout, Wrong> {
        let Some(columns) = self.columns else {
            return Ok(Layout::EndToEnd { columns: Column::USUAL.to_vec() });
        };
        let times = |wanted: Column| columns.get_ref().iter().filter(|column| **column == wanted).count();
        if Column::USUAL.iter().any(|column| times(*column) != 1) || times(Column::Batch) > 1 {
            let what = "columns must name each of x0, y0, x1, y1, score and class once, and batch at most once";
            return Err((columns.span(), what.into()));
        }
        Ok(Layout::EndToEnd { columns: columns.get_ref().clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::infer::model::{ChannelOrder, Fit};

    fn input() -> InputSpec {
        InputSpec {
            width: 64,
            height: 64,
            pad_value: 0,
            scale: 1.0,
            order: ChannelOrder::Rgb,
            fit: Fit::Letterbox,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    fn every_layout() -> Vec<(Layout, Vec<Vec<usize>>)> {
        vec![
            (Layout::Yolo, vec![vec![1, 7, 84]]),
            (Layout::Yolov5, vec![vec![1, 84, 8]]),
            (Layout::Yolox { strides: vec![8, 16, 32] }, vec![vec![1, 84, 8]]),
            (Layout::Detr { scores: ScoreKind::Sigmoid, no_object: None }, vec![vec![1, 9, 4], vec![1, 9, 3]]),
            (
                Layout::Detr { scores: ScoreKind::Softmax, no_object: Some(NoObject::Last) },
                vec![vec![1, 9, 4], vec![1, 9, 4]],
            ),
            (Layout::EndToEnd { columns: Column::USUAL.to_vec() }, vec![vec![1, 0, 6]]),
            (Layout::EndToEnd { columns: Column::USUAL.to_vec() }, vec![vec![5, 6]]),
        ]
    }

    fn fits(layout: &Layout, shapes: &[Vec<usize>]) -> bool {
        layout.fits(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>(), 3, &input())
    }

    #[test]
    fn each_layout_takes_its_shapes_and_no_others() {
        for (layout, shapes) in every_layout() {
            assert!(fits(&layout, &shapes), "{layout:?} {shapes:?}");
            for output in 0..shapes.len() {
                let mut wider = shapes.clone();
                *wider[output].last_mut().unwrap() += 1;
                // Only `yolo` has its candidates last.
                assert_eq!(fits(&layout, &wider), layout == Layout::Yolo, "{layout:?} {wider:?}");
                let mut batch = shapes.clone();
                batch[output].insert(0, 2);
                assert!(!fits(&layout, &batch), "{layout:?} {batch:?}");
            }
            assert!(!fits(&layout, &shapes[..shapes.len() - 1]), "{layout:?} without an output");
        }
    }

    #[test]
    fn boxes_and_scores_must_count_the_same_candidates() {
        let layout = Layout::Detr { scores: ScoreKind::Sigmoid, no_object: None };
        assert!(!fits(&layout, &[vec![1, 9, 4], vec![1, 8, 3]]));
    }

    #[test]
    fn what_is_wanted_is_said_in_words_and_another_layout_is_named_when_it_fits() {
        let layout = Layout::Detr { scores: ScoreKind::Softmax, no_object: Some(NoObject::Last) };
        assert_eq!(layout.wanted_text(3, &input()), "[1, N, 4] and [1, N, 4]");
        let end_to_end = Layout::EndToEnd { columns: Column::USUAL.to_vec() };
        assert_eq!(end_to_end.wanted_text(3, &input()), "[1, N, 6] or [N, 6]");
        assert_eq!(Layout::likely(&[&[1, 84, 8]], 3, &input()), Some("yolov5"));
        assert_eq!(Layout::likely(&[&[1, 7, 84]], 3, &input()), Some("yolo"));
        assert_eq!(Layout::likely(&[&[1, 9, 9]], 3, &input()), None);
    }
}
