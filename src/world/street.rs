//! Streets as smooth centrelines with a cross-section, and the fast way from a place to its street coordinates.
//!
//! Street coordinates: `along` metres from the centreline's start, `left` metres from the centreline, positive to the left
//! of its direction.

use crate::geo::EastNorth;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CentreLine {
    None,
    Dashed { on_metres: f32, off_metres: f32 },
    Solid,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    Grass,
    Gravel,
    Paving,
}

/// What a street's surface looks like. Colours are red, green, blue in 0..1.
#[derive(Debug, Clone, Copy)]
pub struct Surface {
    pub asphalt: [f32; 3],
    pub grain: usize,
    pub grain_gain: f32,
    pub stain: usize,
    pub stain_gain: f32,
    /// Change of brightness where wheels roll.
    pub tracks: f32,
    /// A joint between two lanes of paving, metres left of the centreline.
    pub joint_left_metres: Option<f32>,
    pub centre: CentreLine,
    pub edge_lines: bool,
    pub paint: [f32; 3],
    /// 0 new, 1 gone.
    pub paint_wear: f32,
    pub border: Border,
    pub kerb: bool,
}

#[derive(Debug, Clone)]
pub struct Street {
    pub name: String,
    /// OpenStreetMap vocabulary: `residential`, `tertiary`, …
    pub highway: &'static str,
    /// Centreline; points at most a few metres apart in bends.
    pub points: Vec<EastNorth>,
    /// From the centreline to the edge of the carriageway.
    pub half_width_metres: f32,
    pub surface: Surface,
}

impl Street {
    #[must_use]
    pub fn length_metres(&self) -> f64 {
        self.points.windows(2).map(|p| p[0].distance_metres(p[1])).sum()
    }
}

/// Where a place lies on the street nearest to it.
#[derive(Debug, Clone, Copy)]
pub struct StreetPlace {
    pub street: u16,
    pub along: f32,
    pub left: f32,
    /// The centreline's direction there (east, north).
    pub direction: (f32, f32),
    /// From the carriageway's edge; negative on it.
    pub beyond: f32,
    /// The place lies on the carriageway of a second street as well.
    pub junction: bool,
}

impl StreetPlace {
    /// The place a `share` of the way from one to another on the same straight piece of street; `None` when they are not.
    #[must_use]
    pub fn between(one: &Self, other: &Self, share: f32) -> Option<Self> {
        const STRAIGHT: f32 = 0.999;
        let cos = one.direction.0 * other.direction.0 + one.direction.1 * other.direction.1;
        (one.street == other.street && one.junction == other.junction && cos > STRAIGHT).then(|| {
            let left = one.left + share * (other.left - one.left);
            let half_width = one.left.abs() - one.beyond;
            Self { along: one.along + share * (other.along - one.along), left, beyond: left.abs() - half_width, ..*one }
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    street: u16,
    half_width: f32,
    start: (f32, f32),
    direction: (f32, f32),
    length: f32,
    along: f32,
}

/// Grid over all segments: each cell lists the segments that may be nearest for a place in it.
#[derive(Debug)]
pub struct StreetIndex {
    segments: Vec<Segment>,
    origin: (f32, f32),
    columns: usize,
    rows: usize,
    /// Start of each cell's list; one more than there are cells.
    starts: Vec<u32>,
    lists: Vec<u16>,
}

const CELL_METRES: f32 = 4.0;
/// A place this near to a second street's carriageway belongs to a junction: nothing is painted there.
const JUNCTION_METRES: f32 = 0.8;
/// Beyond this distance from every carriageway there is only land.
pub const REACH_METRES: f32 = 12.0;

impl StreetIndex {
    #[must_use]
    pub fn new(streets: &[Street]) -> Self {
        let mut segments = Vec::new();
        for (number, street) in streets.iter().enumerate() {
            let mut along = 0.0;
            for pair in street.points.windows(2) {
                let (de, dn) = (pair[1].east_metres - pair[0].east_metres, pair[1].north_metres - pair[0].north_metres);
                let length = de.hypot(dn);
                if length > 1e-6 {
                    segments.push(Segment {
                        street: number as u16,
                        half_width: street.half_width_metres,
                        start: (pair[0].east_metres as f32, pair[0].north_metres as f32),
                        direction: ((de / length) as f32, (dn / length) as f32),
                        length: length as f32,
                        along: along as f32,
                    });
                    along += length;
                }
            }
        }
        let all = streets.iter().flat_map(|s| &s.points);
        let bounds = all.fold((f32::MAX, f32::MAX, f32::MIN, f32::MIN), |b, p| {
            let (e, n) = (p.east_metres as f32, p.north_metres as f32);
            (b.0.min(e), b.1.min(n), b.2.max(e), b.3.max(n))
        });
        let origin = (bounds.0 - REACH_METRES, bounds.1 - REACH_METRES);
        let columns = (((bounds.2 - origin.0 + REACH_METRES) / CELL_METRES).ceil() as usize).max(1);
        let rows = (((bounds.3 - origin.1 + REACH_METRES) / CELL_METRES).ceil() as usize).max(1);
        let cell_radius = CELL_METRES * 0.71;
        let (mut starts, mut lists) = (vec![0], Vec::new());
        for row in 0..rows {
            for column in 0..columns {
                let middle =
                    (origin.0 + (column as f32 + 0.5) * CELL_METRES, origin.1 + (row as f32 + 0.5) * CELL_METRES);
                let excess: Vec<f32> =
                    segments.iter().map(|s| s.distance(middle.0, middle.1).1 - s.half_width).collect();
                let nearest = excess.iter().copied().fold(f32::MAX, f32::min);
                // Whatever may be nearest somewhere in the cell, or make a junction there.
                let limit =
                    (nearest + 2.0 * cell_radius).max(JUNCTION_METRES + cell_radius).min(REACH_METRES + cell_radius);
                lists.extend((0..segments.len()).filter(|k| excess[*k] <= limit).map(|k| k as u16));
                starts.push(lists.len() as u32);
            }
        }
        Self { segments, origin, columns, rows, starts, lists }
    }

    /// `None` further than [`REACH_METRES`] from every street.
    #[must_use]
    pub fn place(&self, east: f32, north: f32) -> Option<StreetPlace> {
        let column = (east - self.origin.0) / CELL_METRES;
        let row = (north - self.origin.1) / CELL_METRES;
        if column < 0.0 || row < 0.0 || column as usize >= self.columns || row as usize >= self.rows {
            return None;
        }
        let cell = row as usize * self.columns + column as usize;
        let mut best: Option<StreetPlace> = None;
        let (mut best_excess, mut second_street) = (REACH_METRES, f32::MAX);
        for k in &self.lists[self.starts[cell] as usize..self.starts[cell + 1] as usize] {
            let s = &self.segments[*k as usize];
            let (share, distance, left) = s.distance(east, north);
            let excess = distance - s.half_width;
            match &mut best {
                Some(b) if excess >= best_excess => {
                    if b.street != s.street {
                        second_street = second_street.min(excess);
                    }
                }
                slot => {
                    if let Some(b) = slot
                        && b.street != s.street
                    {
                        second_street = second_street.min(best_excess);
                    }
                    if excess < best_excess {
                        best_excess = excess;
                        *slot = Some(StreetPlace {
                            street: s.street,
                            along: s.along + share,
                            left,
                            direction: s.direction,
                            beyond: excess,
                            junction: false,
                        });
                    }
                }
            }
        }
        best.map(|b| StreetPlace { junction: second_street < JUNCTION_METRES, ..b })
    }
}

impl Segment {
    /// Metres along this segment, distance from it, and the distance signed by its side.
    fn distance(&self, east: f32, north: f32) -> (f32, f32, f32) {
        let (pe, pn) = (east - self.start.0, north - self.start.1);
        let along = (pe * self.direction.0 + pn * self.direction.1).clamp(0.0, self.length);
        let left = self.direction.0 * pn - self.direction.1 * pe;
        let (de, dn) = (pe - along * self.direction.0, pn - along * self.direction.1);
        let distance = (de * de + dn * dn).sqrt();
        (along, distance, if left < 0.0 { -distance } else { distance })
    }
}
