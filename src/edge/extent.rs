//! The extent mask: which cells of a frame a crack or a pothole touches, and how much of the road that is.
//!
//! A box around a field of cracks says where; the mask says how much. It is a second output of a road model,
//! `[1, planes, H / 8, W / 8]` with probabilities, over the network's input of H × W pixels. Cells are square, so far away
//! one stands for more road than near by: areas are summed on the ground, cell by cell, never in pixels.

use crate::edge::camera::{Camera, ImagePoint};
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::infer::model::ModelSpec;
use crate::edge::infer::{InferError, Tensor};
use crate::edge::preprocess::Letterbox;

/// Side of a cell in pixels of the network's input.
pub const CELL_PX: usize = 8;

/// What one frame's mask says about one box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DamagedArea {
    /// Damaged ground as a share of the ground within the box, 0..1.
    pub share: f64,
    /// Ground that one cell stands for, square metres: the smaller, the more the share is worth.
    pub cell_square_metres: f64,
}

/// One frame's mask.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtentMask {
    letterbox: Letterbox,
    columns: usize,
    rows: usize,
    /// Per plane, row by row.
    damaged: Vec<Vec<bool>>,
    plane_of_class: Vec<Option<usize>>,
}

impl ExtentMask {
    /// Reads the second output of a model that has one; `None` for a model without.
    pub fn read(spec: &ModelSpec, outputs: &[Tensor], letterbox: Letterbox) -> Result<Option<Self>, InferError> {
        let Some(extent) = &spec.extent else { return Ok(None) };
        let (rows, columns) = (spec.input.height / CELL_PX, spec.input.width / CELL_PX);
        let wanted = [1, extent.classes.len(), rows, columns];
        let output = outputs.get(1).filter(|output| output.shape == wanted);
        let output = output.ok_or_else(|| InferError::ExtentShape {
            wanted,
            found: outputs.get(1).map(|output| output.shape.clone()).unwrap_or_default(),
        })?;
        if let Some(index) = output.data.iter().position(|value| !value.is_finite()) {
            return Err(InferError::NotFinite { index });
        }
        let damaged = output
            .data
            .chunks_exact(rows * columns)
            .map(|plane| plane.iter().map(|probability| *probability >= extent.threshold).collect())
            .collect();
        Ok(Some(Self { letterbox, columns, rows, damaged, plane_of_class: spec.extent_plane_of_class() }))
    }

    /// (columns, rows) of cells.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Whether any kind of damage touches the cell.
    #[must_use]
    pub fn is_damaged(&self, column: usize, row: usize) -> bool {
        self.damaged.iter().any(|plane| plane[row * self.columns + column])
    }

    /// How much of a detection's ground its own kind of damage covers. `None` when the mask knows nothing of that kind,
    /// or sees none of it there: then the box knows better than the mask.
    #[must_use]
    pub fn within(&self, camera: &Camera, detection: &Detection) -> Option<DamagedArea> {
        let plane = self.plane_of_class.get(detection.class).copied().flatten()?;
        let (mut all, mut damaged, mut cells) = (0.0, 0.0, 0);
        let [x0, y0, x1, y1] = self.letterbox.input_from_image(&detection.box_in_image);
        for row in cells_between(y0, y1, self.rows) {
            for column in cells_between(x0, x1, self.columns) {
                let Some(part) = self.cell(column, row).and_then(|cell| common(&cell, &detection.box_in_image)) else {
                    continue;
                };
                let Some(area) = ground_square_metres(camera, &part) else { continue };
                all += area;
                cells += 1;
                if self.damaged[plane][row * self.columns + column] {
                    damaged += area;
                }
            }
        }
        (damaged > 0.0).then(|| DamagedArea { share: damaged / all, cell_square_metres: all / f64::from(cells) })
    }

    /// A cell in pixels of the picture; `None` in the padding.
    fn cell(&self, column: usize, row: usize) -> Option<BoundingBox> {
        let px = |cell: usize| (cell * CELL_PX) as f32;
        self.letterbox.image_from_input([px(column), px(row), px(column + 1), px(row + 1)])
    }
}

/// The cells that a span of input pixels touches.
fn cells_between(from_px: f32, to_px: f32, count: usize) -> std::ops::Range<usize> {
    let cell = |px: f32| px / CELL_PX as f32;
    (cell(from_px).floor().max(0.0) as usize)..(cell(to_px).ceil().max(0.0) as usize).min(count)
}

fn common(a: &BoundingBox, b: &BoundingBox) -> Option<BoundingBox> {
    BoundingBox::new(a.x0.max(b.x0), a.y0.max(b.y0), a.x1.min(b.x1), a.y1.min(b.y1))
}

/// Area of a picture's rectangle on the road, by the shoelace formula; `None` when part of it is not road.
fn ground_square_metres(camera: &Camera, part: &BoundingBox) -> Option<f64> {
    let mut corners = Vec::with_capacity(4);
    for ImagePoint { x_px, y_px } in part.corners() {
        corners.push(camera.ground_from_image(ImagePoint { x_px, y_px })?);
    }
    let twice: f64 = (0..4)
        .map(|k| {
            let (a, b) = (corners[k], corners[(k + 1) % 4]);
            a.forward_metres * b.left_metres - b.forward_metres * a.left_metres
        })
        .sum();
    Some(0.5 * twice.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::camera::{Intrinsics, Mounting};
    use crate::edge::infer::manifest::tests::spec_with_extent;

    const SIZE_PX: (u32, u32) = (1024, 640);

    fn camera() -> Camera {
        Camera::new(
            Intrinsics::from_horizontal_fov(SIZE_PX.0, SIZE_PX.1, 60.0),
            Mounting {
                height_metres: 1.5,
                pitch_degrees: 20.0,
                roll_degrees: 0.0,
                yaw_degrees: 0.0,
                height_sigma_metres: 0.0,
                pitch_sigma_degrees: 0.0,
                roll_sigma_degrees: 0.0,
                yaw_sigma_degrees: 0.0,
            },
        )
    }

    fn mask(damaged: impl Fn(usize, usize) -> bool) -> ExtentMask {
        let spec = spec_with_extent();
        let (columns, rows) = (spec.input.width / CELL_PX, spec.input.height / CELL_PX);
        let mut extent = Tensor::filled(&[1, 2, rows, columns], 0.0);
        for row in 0..rows {
            for column in 0..columns {
                extent.data[row * columns + column] = if damaged(column, row) { 0.9 } else { 0.1 };
            }
        }
        let letterbox = Letterbox::new(SIZE_PX.0, SIZE_PX.1, &spec.input).unwrap();
        ExtentMask::read(&spec, &[Tensor::default(), extent], letterbox).unwrap().unwrap()
    }

    fn detection(class: usize, [x0, y0, x1, y1]: [f32; 4]) -> Detection {
        Detection { box_in_image: BoundingBox::new(x0, y0, x1, y1).unwrap(), class, score: 0.9 }
    }

    #[test]
    fn a_box_full_of_damage_is_all_damaged_and_one_without_tells_nothing() {
        let found = detection(0, [300.0, 400.0, 600.0, 600.0]);
        let full = mask(|_, _| true).within(&camera(), &found).unwrap();
        assert!((full.share - 1.0).abs() < 1e-9, "{full:?}");
        assert_eq!(mask(|_, _| false).within(&camera(), &found), None);
    }

    #[test]
    fn the_far_half_of_a_box_counts_more_than_half_of_its_ground() {
        let found = detection(0, [304.0, 400.0, 592.0, 592.0]);
        // The middle row of the box in cells of 8 input pixels, which are 16 picture pixels.
        let far = mask(|_, row| row < 31).within(&camera(), &found).unwrap();
        assert!(far.share > 0.55 && far.share < 0.8, "{far:?}");
        let left = mask(|column, _| column < 28).within(&camera(), &found).unwrap();
        assert!((left.share - 0.5).abs() < 0.02, "{left:?}");
    }

    #[test]
    fn a_nearer_box_knows_finer() {
        let cell = |y: f32| {
            let found = detection(0, [400.0, y, 600.0, y + 60.0]);
            mask(|_, _| true).within(&camera(), &found).unwrap().cell_square_metres
        };
        assert!(cell(560.0) < 0.5 * cell(360.0));
    }

    #[test]
    fn a_kind_that_has_no_plane_is_left_to_its_box() {
        let mut cracks = mask(|_, _| true);
        let pothole = detection(2, [300.0, 400.0, 600.0, 600.0]);
        assert_eq!(cracks.within(&camera(), &pothole), None, "the pothole's plane is empty");
        cracks.plane_of_class[0] = None;
        assert_eq!(cracks.within(&camera(), &detection(0, [300.0, 400.0, 600.0, 600.0])), None);
    }

    #[test]
    fn a_mask_of_another_shape_is_refused() {
        let spec = spec_with_extent();
        let letterbox = Letterbox::new(SIZE_PX.0, SIZE_PX.1, &spec.input).unwrap();
        let error = ExtentMask::read(&spec, &[Tensor::default()], letterbox).unwrap_err().to_string();
        assert!(error.contains("extent mask") && error.contains("[1, 2, 40, 64]"), "{error}");
    }
}
