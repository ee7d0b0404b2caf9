//! What stands beside and on the road: houses, trees, vehicles, people, poles; built of simple parts.

use crate::world::dice::Dice;
use crate::world::scene::Pose;

/// A simple body; places are metres in the thing's own axes (forward, left, up).
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// An upright box; `windows` per storey and side when it is a house.
    Block { from: [f32; 3], to: [f32; 3], colour: [f32; 3], windows: bool },
    /// A ball that is drawn as a ragged disc.
    Crown { middle: [f32; 3], radius: f32, colour: [f32; 3], seed: u32 },
}

#[derive(Debug, Clone)]
pub struct Thing {
    pub pose: Pose,
    pub parts: Vec<Part>,
    /// Around its pose, all of it.
    pub radius_metres: f32,
    /// Half of what it takes up on the ground, along and across its own axes.
    pub footprint_metres: (f32, f32),
}

fn tinted(colour: [f32; 3], dice: &mut Dice) -> [f32; 3] {
    let gain = dice.between(0.75, 1.2) as f32;
    colour.map(|c| (c * gain * dice.between(0.93, 1.07) as f32).min(1.0))
}

#[must_use]
pub fn house(pose: Pose, dice: &mut Dice) -> Thing {
    let (half_length, half_width) = (dice.between(4.0, 7.0) as f32, dice.between(3.5, 5.0) as f32);
    let height = dice.between(3.2, 8.5) as f32;
    let plaster = [[0.82, 0.78, 0.70], [0.75, 0.72, 0.68], [0.80, 0.68, 0.55], [0.62, 0.42, 0.34]][dice.index(4)];
    let roof = [[0.45, 0.22, 0.16], [0.30, 0.29, 0.30]][dice.index(2)];
    let walls = Part::Block {
        from: [-half_length, -half_width, 0.0],
        to: [half_length, half_width, height],
        colour: tinted(plaster, dice),
        windows: true,
    };
    let top = Part::Block {
        from: [-half_length - 0.3, -half_width * 0.8, height],
        to: [half_length + 0.3, half_width * 0.8, height + dice.between(1.2, 2.4) as f32],
        colour: tinted(roof, dice),
        windows: false,
    };
    Thing {
        pose,
        parts: vec![top, walls],
        radius_metres: half_length.hypot(half_width),
        footprint_metres: (half_length, half_width),
    }
}

#[must_use]
pub fn tree(pose: Pose, dice: &mut Dice) -> Thing {
    let height = dice.between(4.0, 9.0) as f32;
    let radius = dice.between(1.3, 2.6) as f32;
    let green = tinted([0.20, 0.30, 0.13], dice);
    let mut parts = vec![Part::Block {
        from: [-0.14, -0.14, 0.0],
        to: [0.14, 0.14, height - radius],
        colour: [0.25, 0.20, 0.16],
        windows: false,
    }];
    for _ in 0..3 {
        let shift = [
            0.5 * radius * dice.gauss() as f32 * 0.6,
            0.5 * radius * dice.gauss() as f32 * 0.6,
            height - 0.5 * radius + 0.4 * dice.gauss() as f32,
        ];
        parts.push(Part::Crown {
            middle: shift,
            radius: radius * dice.between(0.7, 1.0) as f32,
            colour: green,
            seed: dice.seed() as u32,
        });
    }
    Thing { pose, parts, radius_metres: radius, footprint_metres: (0.8, 0.8) }
}

#[must_use]
pub fn hedge(pose: Pose, dice: &mut Dice) -> Thing {
    let parts = (0..5)
        .map(|k| Part::Crown {
            middle: [k as f32 * 0.8 - 1.6, 0.0, 0.5],
            radius: dice.between(0.5, 0.9) as f32,
            colour: tinted([0.22, 0.33, 0.14], dice),
            seed: dice.seed() as u32,
        })
        .collect();
    Thing { pose, parts, radius_metres: 2.6, footprint_metres: (2.2, 0.9) }
}

#[must_use]
pub fn car(pose: Pose, dice: &mut Dice) -> Thing {
    let paint = [
        [0.75, 0.75, 0.77],
        [0.10, 0.10, 0.11],
        [0.55, 0.10, 0.08],
        [0.12, 0.20, 0.42],
        [0.40, 0.42, 0.44],
        [0.85, 0.85, 0.83],
    ][dice.index(6)];
    let colour = tinted(paint, dice);
    let (length, height) = (dice.between(3.8, 4.8) as f32, dice.between(1.40, 1.65) as f32);
    let half = 0.5 * length;
    let tyre = |f: f32, l: f32| Part::Block {
        from: [f - 0.3, l - 0.1, 0.0],
        to: [f + 0.3, l + 0.1, 0.6],
        colour: [0.05; 3],
        windows: false,
    };
    let lamp = |f: f32, l: f32, colour: [f32; 3]| Part::Block {
        from: [f - 0.03, l - 0.18, 0.6],
        to: [f + 0.03, l + 0.18, 0.8],
        colour,
        windows: false,
    };
    let mut parts =
        vec![tyre(half - 0.8, 0.72), tyre(half - 0.8, -0.72), tyre(-half + 0.8, 0.72), tyre(-half + 0.8, -0.72)];
    parts.push(Part::Block { from: [-half, -0.85, 0.25], to: [half, 0.85, 0.9], colour, windows: false });
    parts.push(Part::Block {
        from: [-half + 0.5, -0.75, 0.9],
        to: [half - 1.2, 0.75, height - 0.08],
        colour: [0.12, 0.14, 0.16],
        windows: false,
    });
    parts.push(Part::Block {
        from: [-half + 0.7, -0.72, height - 0.08],
        to: [half - 1.5, 0.72, height],
        colour,
        windows: false,
    });
    for side in [-0.6, 0.6] {
        parts.push(lamp(-half, side, [0.55, 0.05, 0.04]));
        parts.push(lamp(half, side, [0.9, 0.9, 0.8]));
    }
    parts.push(Part::Block {
        from: [-half - 0.02, -0.26, 0.45],
        to: [-half, 0.26, 0.57],
        colour: [0.9, 0.9, 0.88],
        windows: false,
    });
    Thing { pose, parts, radius_metres: half, footprint_metres: (half, 0.9) }
}

#[must_use]
pub fn person(pose: Pose, dice: &mut Dice) -> Thing {
    let height = dice.between(1.5, 1.9) as f32;
    let coat = tinted(
        [[0.5, 0.1, 0.1], [0.1, 0.2, 0.5], [0.75, 0.7, 0.3], [0.15, 0.15, 0.15], [0.2, 0.4, 0.25]][dice.index(5)],
        dice,
    );
    let trousers = tinted([[0.12, 0.14, 0.25], [0.2, 0.18, 0.16], [0.35, 0.33, 0.3]][dice.index(3)], dice);
    let skin = tinted([0.72, 0.55, 0.45], dice);
    let step = dice.between(0.0, 0.25) as f32;
    let parts = vec![
        Part::Block {
            from: [-step - 0.08, 0.03, 0.0],
            to: [-step + 0.08, 0.17, 0.48 * height],
            colour: trousers,
            windows: false,
        },
        Part::Block {
            from: [step - 0.08, -0.17, 0.0],
            to: [step + 0.08, -0.03, 0.48 * height],
            colour: trousers,
            windows: false,
        },
        Part::Block {
            from: [-0.13, -0.24, 0.45 * height],
            to: [0.13, 0.24, 0.84 * height],
            colour: coat,
            windows: false,
        },
        Part::Crown { middle: [0.0, 0.0, 0.92 * height], radius: 0.075 * height, colour: skin, seed: 0 },
    ];
    Thing { pose, parts, radius_metres: 0.3, footprint_metres: (0.3, 0.3) }
}

#[must_use]
pub fn pole(pose: Pose, dice: &mut Dice) -> Thing {
    let height = dice.between(2.5, 7.0) as f32;
    let mut parts = vec![Part::Block {
        from: [-0.06, -0.06, 0.0],
        to: [0.06, 0.06, height],
        colour: [0.5, 0.52, 0.53],
        windows: false,
    }];
    if dice.chance(0.5) {
        parts.push(Part::Block {
            from: [-0.03, -0.3, height - 0.7],
            to: [0.03, 0.3, height],
            colour: [[0.85, 0.85, 0.85], [0.7, 0.1, 0.1], [0.1, 0.25, 0.6]][dice.index(3)],
            windows: false,
        });
    }
    Thing { pose, parts, radius_metres: 0.3, footprint_metres: (0.3, 0.3) }
}
