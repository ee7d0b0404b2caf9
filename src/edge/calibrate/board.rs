//! A checkerboard in a picture: corners that are neighbours along their edges, ordered into the board's grid.
//!
//! Columns and rows count *inner* corners, where four squares meet: a board of 10 by 7 squares has 9 by 6. As seen from its
//! front, columns count to the right and rows downwards, whichever way the board is turned.

use std::collections::{BTreeMap, VecDeque};
use std::f64::consts::TAU;
use std::str::FromStr;

use crate::edge::calibrate::corners::{Corner, corners};
use crate::edge::calibrate::grey::Grey;
use crate::edge::camera::ImagePoint;

const DIRECTION_TOLERANCE_RADIANS: f64 = 0.3;
const STEPS: [(i32, i32); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Board {
    pub columns: usize,
    pub rows: usize,
    pub square_metres: f64,
}

/// Inner corners of a board, as `--board 9x6` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardSize {
    pub columns: usize,
    pub rows: usize,
}

impl FromStr for BoardSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sizes = text.split_once('x').and_then(|(c, r)| Some((c.trim().parse().ok()?, r.trim().parse().ok()?)));
        match sizes {
            Some((columns @ 3..=30, rows @ 3..=30)) => Ok(Self { columns, rows }),
            _ => Err("is no board; write its inner corners, each 3 to 30, e.g. 9x6 for 10 by 7 squares".into()),
        }
    }
}

impl Board {
    /// Where a corner lies on the board: to the right and downwards from its first one, metres.
    #[must_use]
    pub fn place(&self, corner: usize) -> (f64, f64) {
        let (column, row) = (corner % self.columns, corner / self.columns);
        (column as f64 * self.square_metres, row as f64 * self.square_metres)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoardError {
    #[error(
        "no checkerboard was found; the whole board must be in the picture, sharp, evenly lit, each square at least 15 pixels wide and high"
    )]
    NotFound,
    #[error(
        "a checkerboard of {columns} by {rows} inner corners was found, not the given size; count where four squares meet, and show \
         the whole board"
    )]
    OtherSize { columns: usize, rows: usize },
}

/// The board's corners row by row.
pub fn find(picture: &Grey, columns: usize, rows: usize) -> Result<Vec<ImagePoint>, BoardError> {
    let corners = corners(picture);
    let links = links(&corners);
    let mut largest: Option<BTreeMap<(i32, i32), usize>> = None;
    let mut seen = vec![false; corners.len()];
    for start in 0..corners.len() {
        if seen[start] {
            continue;
        }
        let grid = grown(start, &links, &mut seen);
        if let Some(order) = rectangle(&grid, columns, rows) {
            return Ok(order.into_iter().map(|k| corners[k].place).collect());
        }
        if largest.as_ref().is_none_or(|l| l.len() < grid.len()) {
            largest = Some(grid);
        }
    }
    match largest {
        Some(grid) if grid.len() >= 9 => {
            let span = |of: fn(&(i32, i32)) -> i32| {
                let (low, high) = grid.keys().map(of).fold((i32::MAX, i32::MIN), |(l, h), v| (l.min(v), h.max(v)));
                usize::try_from(high - low + 1).unwrap_or(0)
            };
            Err(BoardError::OtherSize { columns: span(|k| k.0), rows: span(|k| k.1) })
        }
        _ => Err(BoardError::NotFound),
    }
}

/// For each corner and each of its edges the neighbour, and which of the neighbour's edges leads back.
type Links = Vec<[Option<(usize, usize)>; 4]>;

fn links(corners: &[Corner]) -> Links {
    let nearest = |from: usize, edge: usize| -> Option<(usize, usize)> {
        let here = &corners[from];
        let mut best: Option<(f64, usize, usize)> = None;
        for (to, there) in corners.iter().enumerate() {
            let (dx, dy) = (there.place.x_px - here.place.x_px, there.place.y_px - here.place.y_px);
            let distance = dx.hypot(dy);
            if to == from || best.is_some_and(|b| b.0 <= distance) {
                continue;
            }
            let direction = dy.atan2(dx);
            if apart(direction, here.edges[edge]) > DIRECTION_TOLERANCE_RADIANS {
                continue;
            }
            let back = (0..4).find(|k| apart(direction + 0.5 * TAU, there.edges[*k]) < DIRECTION_TOLERANCE_RADIANS);
            let Some(back) = back else { continue };
            // The square beside the edge is the same one, seen from both ends.
            if here.is_bright(edge) == there.is_bright((back + 3) % 4) {
                best = Some((distance, to, back));
            }
        }
        best.map(|(_, to, back)| (to, back))
    };
    let one_way: Links = (0..corners.len()).map(|from| std::array::from_fn(|edge| nearest(from, edge))).collect();
    let mutual = |from: usize, edge: usize| {
        one_way[from][edge].filter(|(to, back)| one_way[*to][*back].is_some_and(|(home, _)| home == from))
    };
    (0..corners.len()).map(|from| std::array::from_fn(|edge| mutual(from, edge))).collect()
}

fn apart(a: f64, b: f64) -> f64 {
    let difference = (a - b).rem_euclid(TAU);
    difference.min(TAU - difference)
}

/// All that hangs together with a corner, each at its place in the grid.
fn grown(start: usize, links: &Links, seen: &mut [bool]) -> BTreeMap<(i32, i32), usize> {
    let mut grid = BTreeMap::from([((0, 0), start)]);
    seen[start] = true;
    // Corner, its place, and how far its edges are turned against the grid's directions.
    let mut waiting = VecDeque::from([(start, (0, 0), 0)]);
    while let Some((from, (column, row), turned)) = waiting.pop_front() {
        for edge in 0..4 {
            let Some((to, back)) = links[from][edge] else { continue };
            let direction = (edge + turned) % 4;
            let place = (column + STEPS[direction].0, row + STEPS[direction].1);
            if seen[to] || grid.contains_key(&place) {
                continue;
            }
            seen[to] = true;
            grid.insert(place, to);
            waiting.push_back((to, place, (direction + 8 - (back + 2)) % 4));
        }
    }
    grid
}

/// The corners of a full rectangle of this size, row by row; turned by a right angle where it lies on its side.
fn rectangle(grid: &BTreeMap<(i32, i32), usize>, columns: usize, rows: usize) -> Option<Vec<usize>> {
    if grid.len() < columns * rows {
        return None;
    }
    let (columns, rows) = (columns as i32, rows as i32);
    for (first_column, first_row) in grid.keys() {
        let upright = |column: i32, row: i32| grid.get(&(first_column + column, first_row + row));
        // A quarter turn keeps what is left and right of a direction.
        let turned = |column: i32, row: i32| grid.get(&(first_column + rows - 1 - row, first_row + column));
        let cells = || (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let found = cells().map(|(c, r)| upright(c, r).copied()).collect::<Option<Vec<_>>>();
        let found = found.or_else(|| cells().map(|(c, r)| turned(c, r).copied()).collect());
        if found.is_some() {
            return found;
        }
    }
    None
}
