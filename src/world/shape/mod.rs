//! Damages and other things that lie in the road's surface, drawn in road axes (along, across; metres from the middle).
//!
//! A drawing's extent is what can be seen of it: the outline is the convex hull of all texels whose brightness is changed
//! by more than [`VISIBLE_CHANGE`], and the middle of its bounding box is the damage's place.

pub mod crack;
pub mod decoy;
pub mod field;
pub mod hole;
pub mod patch;

use crate::schema::damage::DamageClass;
use crate::world::dice::Dice;
use crate::world::raster::Raster;
use crate::world::split::Family;

/// Change of brightness from which a texel counts as part of the damage.
const VISIBLE_CHANGE: f32 = 0.16;

/// A finished drawing, centred on the middle of its extent.
#[derive(Debug, Clone)]
pub struct Shape {
    pub raster: Raster,
    /// Convex, counter-clockwise seen from above; (along, across) in metres from the middle.
    pub outline: Vec<(f32, f32)>,
    pub length_metres: f32,
    pub width_metres: f32,
}

/// How heavy a damage is: 1 light, 2 medium, 3 severe.
pub type Severity = u8;

/// Draws a damage of a class in a family's manner.
#[must_use]
pub fn draw(class: DamageClass, severity: Severity, family: &Family, dice: &mut Dice) -> Shape {
    match class {
        DamageClass::LongitudinalCrack => crack::draw(true, severity, family, dice),
        DamageClass::TransverseCrack => crack::draw(false, severity, family, dice),
        DamageClass::AlligatorCrack => field::draw(severity, family, dice),
        DamageClass::Pothole => hole::draw(severity, family, dice),
        DamageClass::Repair => patch::draw(severity, family, dice),
    }
}

/// A drawing in the making: a factor and a cover per texel, neutral at first.
pub(crate) struct Canvas {
    columns: usize,
    rows: usize,
    metres_per_texel: f32,
    factor: Vec<f32>,
    cover: Vec<f32>,
}

impl Canvas {
    pub(crate) fn new(length_metres: f32, width_metres: f32, metres_per_texel: f32) -> Self {
        let columns = (length_metres / metres_per_texel).ceil() as usize + 1;
        let rows = (width_metres / metres_per_texel).ceil() as usize + 1;
        Self { columns, rows, metres_per_texel, factor: vec![1.0; columns * rows], cover: vec![0.0; columns * rows] }
    }

    fn along(&self, column: usize) -> f32 {
        (column as f32 - 0.5 * (self.columns - 1) as f32) * self.metres_per_texel
    }

    fn across(&self, row: usize) -> f32 {
        (row as f32 - 0.5 * (self.rows - 1) as f32) * self.metres_per_texel
    }

    /// Lets `paint(along, across, factor, cover)` change every texel.
    pub(crate) fn paint(&mut self, mut paint: impl FnMut(f32, f32, &mut f32, &mut f32)) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let (along, across) = (self.along(column), self.across(row));
                let at = row * self.columns + column;
                paint(along, across, &mut self.factor[at], &mut self.cover[at]);
            }
        }
    }

    /// Darkens along a line from `a` to `b` (along, across, width) to the factor `dark`, with a dirty border around.
    pub(crate) fn stroke(&mut self, a: (f32, f32, f32), b: (f32, f32, f32), dark: f32, border: f32) {
        const BORDER_METRES: f32 = 0.03;
        let reach = 0.5 * a.2.max(b.2) + 1.5 * BORDER_METRES;
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length_squared = (dx * dx + dy * dy).max(1e-9);
        let column_of = |v: f32| {
            (v / self.metres_per_texel + 0.5 * (self.columns - 1) as f32).clamp(0.0, (self.columns - 1) as f32)
        };
        let row_of =
            |v: f32| (v / self.metres_per_texel + 0.5 * (self.rows - 1) as f32).clamp(0.0, (self.rows - 1) as f32);
        let columns = column_of(a.0.min(b.0) - reach) as usize..=column_of(a.0.max(b.0) + reach) as usize;
        for row in row_of(a.1.min(b.1) - reach) as usize..=row_of(a.1.max(b.1) + reach) as usize {
            for column in columns.clone() {
                let (px, py) = (self.along(column) - a.0, self.across(row) - a.1);
                let share = ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0);
                let distance = (px - share * dx).hypot(py - share * dy);
                let half_width = 0.5 * (a.2 + share * (b.2 - a.2));
                // A line thinner than a texel fades instead of breaking up.
                let inside = ((half_width - distance) / self.metres_per_texel + 0.5).clamp(0.0, 1.0)
                    * (2.0 * half_width / self.metres_per_texel).min(1.0);
                let dirt = border * (-(distance / BORDER_METRES).powi(2)).exp();
                let factor = (1.0 - (1.0 - dark) * inside).min(1.0 - dirt);
                let at = row * self.columns + column;
                self.factor[at] = self.factor[at].min(factor);
            }
        }
    }

    /// Cuts the drawing to what can be seen of it. A drawing of which nothing can be seen keeps one texel in the middle.
    pub(crate) fn finish(self) -> Shape {
        let visible = |at: usize| (self.factor[at] - 1.0).abs() > VISIBLE_CHANGE || self.cover[at] > 0.5;
        let half = 0.5 * self.metres_per_texel;
        let mut rim = Vec::new();
        for row in 0..self.rows {
            let own = (0..self.columns).filter(|column| visible(row * self.columns + column));
            let ends = own.fold(None, |ends: Option<(usize, usize)>, c| Some((ends.map_or(c, |e| e.0), c)));
            if let Some((first, last)) = ends {
                let (low, high) = (self.along(first) - half, self.along(last) + half);
                let across = self.across(row);
                rim.extend([(low, across - half), (low, across + half), (high, across - half), (high, across + half)]);
            }
        }
        if rim.is_empty() {
            rim.extend([(-half, -half), (half, -half), (half, half), (-half, half)]);
        }
        let outline = convex_hull(rim);
        let bounds = outline.iter().fold((f32::MAX, f32::MAX, f32::MIN, f32::MIN), |b, p| {
            (b.0.min(p.0), b.1.min(p.1), b.2.max(p.0), b.3.max(p.1))
        });
        let (length_metres, width_metres) = (bounds.2 - bounds.0, bounds.3 - bounds.1);
        let middle = (0.5 * (bounds.0 + bounds.2), 0.5 * (bounds.1 + bounds.3));
        let margin = 0.08;
        let raster =
            Raster::new(length_metres + margin, width_metres + margin, self.metres_per_texel, |along, across| {
                let column = ((along + middle.0) / self.metres_per_texel + 0.5 * (self.columns - 1) as f32).round();
                let row = ((across + middle.1) / self.metres_per_texel + 0.5 * (self.rows - 1) as f32).round();
                if column < 0.0 || row < 0.0 || column as usize >= self.columns || row as usize >= self.rows {
                    return (1.0, 0.0);
                }
                let at = row as usize * self.columns + column as usize;
                (self.factor[at], self.cover[at])
            });
        let outline = outline.into_iter().map(|p| (p.0 - middle.0, p.1 - middle.1)).collect();
        Shape { raster, outline, length_metres, width_metres }
    }
}

/// Andrew's monotone chain; counter-clockwise.
fn convex_hull(mut points: Vec<(f32, f32)>) -> Vec<(f32, f32)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    let half = |points: &mut dyn Iterator<Item = (f32, f32)>| {
        let mut chain: Vec<(f32, f32)> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..] {
                if (b.0 - a.0) * (p.1 - a.1) - (b.1 - a.1) * (p.0 - a.0) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter().copied());
    hull.extend(half(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::split::Split;
    use proptest::prelude::*;

    fn any_damage() -> impl Strategy<Value = (DamageClass, Severity, Split, u64)> {
        (0..5usize, 1..=3u8, 0..3usize, any::<u64>())
            .prop_map(|(c, s, p, seed)| (DamageClass::ALL[c], s, Split::ALL[p], seed))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_damage_is_centred_and_its_outline_is_its_extent((class, severity, split, seed) in any_damage()) {
            let shape = draw(class, severity, &split.family(), &mut Dice::new(seed, 0));
            let range = |of: fn(&(f32, f32)) -> f32| {
                shape.outline.iter().map(of).fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)))
            };
            let (along, across) = (range(|p| p.0), range(|p| p.1));
            prop_assert!((along.0 + along.1).abs() < 1e-4 && (across.0 + across.1).abs() < 1e-4);
            prop_assert!((along.1 - along.0 - shape.length_metres).abs() < 1e-4);
            prop_assert!((across.1 - across.0 - shape.width_metres).abs() < 1e-4);
            prop_assert!(shape.length_metres > 0.15 && shape.length_metres < 6.5, "{} m long", shape.length_metres);
            prop_assert!(shape.width_metres > 0.02 && shape.width_metres < 4.5, "{} m wide", shape.width_metres);
            match class {
                DamageClass::LongitudinalCrack => prop_assert!(shape.length_metres > 1.5 * shape.width_metres),
                DamageClass::TransverseCrack => prop_assert!(shape.width_metres > 1.5 * shape.length_metres),
                _ => {}
            }
        }

        #[test]
        fn the_same_seed_draws_the_same((class, severity, split, seed) in any_damage()) {
            let [a, b] = [0, 1].map(|_| draw(class, severity, &split.family(), &mut Dice::new(seed, 0)));
            prop_assert_eq!(a.outline, b.outline);
            prop_assert_eq!(a.raster.at(0.05, 0.02, 0.0), b.raster.at(0.05, 0.02, 0.0));
        }
    }
}
