//! The ground's own colour: asphalt with grain, stains, wheel tracks, joints and markings; kerb, pavement, grass.

use crate::world::raster::TileView;
use crate::world::scene::Scene;
use crate::world::street::{Border, CentreLine, Street, StreetPlace};
use crate::world::textures::Textures;

/// What a row's pixels cover on the ground, and the textures at that scale.
pub(crate) struct Footprint<'a> {
    across: f32,
    along: f32,
    grains: Vec<TileView<'a>>,
    stains: Vec<TileView<'a>>,
    grass: TileView<'a>,
    near: bool,
}

impl<'a> Footprint<'a> {
    pub(crate) fn new(textures: &'a Textures, across: f32, along: f32) -> Self {
        // The eye forgives some aliasing along the road more than blur across it.
        let size = (across * across * along).cbrt();
        Self {
            across,
            along,
            grains: textures.grains.iter().map(|t| t.view(t.level(size))).collect(),
            stains: textures.stains.iter().map(|t| t.view(t.level(size))).collect(),
            grass: textures.grass.view(textures.grass.level(size)),
            near: size < 0.006,
        }
    }
}

/// Share of a pixel `footprint` wide that a stripe of `width` covers when its middle is `distance` away.
fn stripe(distance: f32, width: f32, footprint: f32) -> f32 {
    ((0.5 * (width + footprint) - distance.abs()) / footprint).clamp(0.0, (width / footprint).min(1.0))
}

/// Colour, and colour without grain, of the ground at `place` (east, north), which lies `at` a street, seen in the direction `ahead`.
pub(crate) fn colour(
    scene: &Scene,
    place: (f32, f32),
    at: Option<&StreetPlace>,
    ahead: (f32, f32),
    footprint: &Footprint,
) -> ([f32; 3], [f32; 3]) {
    let (east, north) = place;
    let Some(at) = at else {
        let land = land(scene, place, footprint);
        return (land, land);
    };
    let street = &scene.streets[at.street as usize];
    let beyond = at.left.abs() - street.half_width_metres;
    if beyond > 0.0 {
        let side = beside(scene, street, place, at, beyond, footprint);
        return (side, side);
    }
    let s = &street.surface;
    let stain = 1.0 + s.stain_gain * (footprint.stains[s.stain].smooth_at(east, north) - 1.0);
    let fine = &footprint.grains[s.grain];
    let grain = if footprint.near { fine.smooth_at(east, north) } else { fine.at(east, north) };
    let mut tone = stain;
    if !at.junction {
        let lane_middle = 0.5 * street.half_width_metres;
        let from_track = ((at.left.abs() - lane_middle).abs() - 0.78).abs();
        tone *= 1.0 + s.tracks * (1.0 - from_track / 0.45).max(0.0);
        if let Some(joint) = s.joint_left_metres {
            tone *= 1.0 - 0.25 * stripe(at.left - joint, 0.012, footprint.across);
        }
    }
    let edge = 1.0 - 0.12 * (1.0 + beyond / 0.35).max(0.0);
    let wet = 1.0 - 0.35 * scene.look.wet;
    let even = tone * edge * wet;
    let plain = [s.asphalt[0] * even, s.asphalt[1] * even, s.asphalt[2] * even];
    let grained = 1.0 + s.grain_gain * (grain - 1.0);
    let mut colour = [plain[0] * grained, plain[1] * grained, plain[2] * grained];
    if !at.junction {
        let paint = marking(street, at, ahead, footprint);
        if paint > 0.0 {
            let worn = ((stain - 1.0) * 3.0 + (grain - 1.0) * 0.8 + 1.1 - s.paint_wear).clamp(0.0, 1.0);
            let share = paint * worn;
            for k in 0..3 {
                colour[k] += share * (s.paint[k] * (0.9 + 0.1 * grained) - colour[k]);
            }
            return (colour, [0, 1, 2].map(|k| plain[k] + share * (s.paint[k] - plain[k])));
        }
    }
    (colour, plain)
}

/// Share of the pixel that road paint covers.
fn marking(street: &Street, at: &StreetPlace, ahead: (f32, f32), footprint: &Footprint) -> f32 {
    const LINE_METRES: f32 = 0.12;
    let s = &street.surface;
    let edge_at = street.half_width_metres - 0.25;
    let distance = at.left.abs();
    let reach = 0.3 + footprint.along;
    if distance > reach && (!s.edge_lines || (distance - edge_at).abs() > reach) {
        return 0.0;
    }
    // A pixel is long along the line of sight: turned against the street it is wide across it.
    let cos = (at.direction.0 * ahead.0 + at.direction.1 * ahead.1).abs();
    let sin = (1.0 - cos * cos).max(0.0).sqrt();
    let wide = footprint.across * cos + footprint.along * sin;
    let long = footprint.along * cos + footprint.across * sin;
    let centre = match s.centre {
        CentreLine::None => 0.0,
        CentreLine::Solid => stripe(at.left, LINE_METRES, wide),
        CentreLine::Double => stripe(distance - 0.14, LINE_METRES, wide),
        CentreLine::Dashed { on_metres, off_metres } => {
            let period = on_metres + off_metres;
            let from_middle = at.along.rem_euclid(period) - 0.5 * period;
            stripe(at.left, LINE_METRES, wide) * stripe(from_middle, on_metres, long)
        }
    };
    let edge = if s.edge_lines { stripe(distance - edge_at, LINE_METRES, wide) } else { 0.0 };
    centre.max(edge)
}

fn beside(
    scene: &Scene,
    street: &Street,
    place: (f32, f32),
    at: &StreetPlace,
    beyond: f32,
    footprint: &Footprint,
) -> [f32; 3] {
    let s = &street.surface;
    let rough = footprint.grass.at(place.0, place.1);
    if s.kerb && beyond < 0.14 {
        let joint = stripe(at.along.rem_euclid(1.0) - 0.5, 0.015, footprint.along);
        let tone = (0.60 + 0.1 * (rough - 1.0)) * (1.0 - 0.5 * joint) * if beyond < 0.03 { 0.6 } else { 1.0 };
        return [tone, tone * 0.99, tone * 0.96];
    }
    match s.border {
        Border::Paving if beyond < 2.2 => {
            let slab = 0.5;
            let joint = stripe(
                (at.along + 0.25 * (beyond / slab).floor()).rem_euclid(slab) - 0.5 * slab,
                0.012,
                footprint.along,
            )
            .max(stripe(beyond.rem_euclid(slab) - 0.5 * slab, 0.012, footprint.across));
            let tone = (0.52 + 0.10 * (rough - 1.0)) * (1.0 - 0.3 * joint);
            [tone, tone * 0.97, tone * 0.93]
        }
        Border::Gravel if beyond < 1.3 + 0.5 * (rough - 1.0) => {
            let tone = 0.45 + 0.25 * (rough - 1.0);
            [tone, tone * 0.94, tone * 0.84]
        }
        _ => land(scene, place, footprint),
    }
}

fn land(scene: &Scene, place: (f32, f32), footprint: &Footprint) -> [f32; 3] {
    let fine = footprint.grass.at(place.0, place.1);
    let broad = footprint.stains[0].at(place.0, place.1);
    let tone = fine * (1.0 + 1.5 * (broad - 1.0));
    let [r, g, b] = scene.look.grass;
    [r * tone, g * tone, b * tone]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripe_keeps_its_area_when_it_gets_small() {
        for footprint in [0.01f32, 0.12, 0.5] {
            let step = 0.001;
            let area: f32 = (-2000..2000).map(|k| stripe(k as f32 * step, 0.12, footprint) * step).sum();
            assert!((area - 0.12).abs() < 0.01, "{footprint}: {area}");
        }
    }
}
