//! What a model found in one frame.

use crate::edge::camera::ImagePoint;

/// An axis-aligned box in the original picture, pixels; `x0 < x1`, `y0 < y1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    pub x0: f32,
    pub y0: f32,
    pub x1: f32,
    pub y1: f32,
}

impl BoundingBox {
    /// `None` when the box is empty or not finite.
    #[must_use]
    pub fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Option<Self> {
        let finite = [x0, y0, x1, y1].iter().all(|v| v.is_finite());
        (finite && x0 < x1 && y0 < y1).then_some(Self { x0, y0, x1, y1 })
    }

    #[must_use]
    pub fn area_px(&self) -> f32 {
        (self.x1 - self.x0) * (self.y1 - self.y0)
    }

    /// Area shared with `other`, square pixels.
    #[must_use]
    pub fn intersection_px(&self, other: &Self) -> f32 {
        let width = self.x1.min(other.x1) - self.x0.max(other.x0);
        let height = self.y1.min(other.y1) - self.y0.max(other.y0);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0..1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let shared = self.intersection_px(other);
        shared / (self.area_px() + other.area_px() - shared)
    }

    #[must_use]
    pub fn centre(&self) -> ImagePoint {
        ImagePoint { x_px: f64::from(0.5 * (self.x0 + self.x1)), y_px: f64::from(0.5 * (self.y0 + self.y1)) }
    }

    /// Clockwise from the top left.
    #[must_use]
    pub fn corners(&self) -> [ImagePoint; 4] {
        let (x0, y0, x1, y1) = (f64::from(self.x0), f64::from(self.y0), f64::from(self.x1), f64::from(self.y1));
        [(x0, y0), (x1, y0), (x1, y1), (x0, y1)].map(|(x_px, y_px)| ImagePoint { x_px, y_px })
    }
}

/// One box in one frame. `class` is an index into the model's class list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    pub box_in_image: BoundingBox,
    pub class: usize,
    /// 0..1.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_box() -> impl Strategy<Value = BoundingBox> {
        (0.0..500.0f32, 0.0..500.0f32, 1.0..300.0f32, 1.0..300.0f32)
            .prop_map(|(x, y, w, h)| BoundingBox::new(x, y, x + w, y + h).unwrap())
    }

    proptest! {
        #[test]
        fn iou_is_symmetric_and_bounded(a in any_box(), b in any_box()) {
            prop_assert!((a.iou(&b) - b.iou(&a)).abs() < 1e-6);
            prop_assert!((0.0..=1.0001).contains(&a.iou(&b)));
            prop_assert!((a.iou(&a) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn empty_boxes_do_not_exist() {
        assert_eq!(BoundingBox::new(1.0, 1.0, 1.0, 2.0), None);
        assert_eq!(BoundingBox::new(f32::NAN, 1.0, 3.0, 2.0), None);
    }
}
