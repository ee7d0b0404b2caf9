//! A small town: a block of four named streets that cross at its corners and run on beyond, with damages along the way
//! that a drive takes around the block.
//!
//! Frame: metres east and north of [`ORIGIN`], a place in a forest where no town is. Traffic keeps right.

use std::sync::Arc;

use crate::geo::{self, EastNorth, LatLon, LocalFrame};
use crate::schema::damage::DamageClass;
use crate::world::damage::Damage;
use crate::world::dice::Dice;
use crate::world::look::Look;
use crate::world::roadside;
use crate::world::route::Route;
use crate::world::scene::{Pose, Scene};
use crate::world::split::Split;
use crate::world::street::{Street, StreetIndex};
use crate::world::style;
use crate::world::textures::Textures;

/// Where the fictitious town lies.
pub const ORIGIN: LatLon = LatLon { lat: 50.05, lon: 9.40 };

/// Names that no town has together; the first four make the block.
const NAMES: [&str; 5] = ["Ahornweg", "Probestraße", "Musterallee", "Kranichgasse", "Am Prüfstand"];

/// Nearer than this to a crossing nothing is damaged: there it would be on two streets.
const CLEAR_OF_CROSSINGS_METRES: f64 = 9.0;

#[derive(Debug)]
pub struct Town {
    pub frame: LocalFrame,
    pub scene: Scene,
    pub damages: Vec<Damage>,
    /// Once around the block, in the right lane.
    pub route: Route,
}

impl Town {
    #[must_use]
    pub fn generate(seed: u64, split: Split) -> Self {
        let dice = |stream| Dice::new(split.seed(seed), stream);
        let family = split.family();
        let textures = Arc::new(Textures::generate(seed, split, 5));
        let streets = lay_out(&textures, &mut dice(10));
        let index = StreetIndex::new(&streets);
        let route = Route::around_the_block(&streets[..4]);
        let mut look = Look::choose(&family, &mut dice(11));
        // A drive worth watching: clear and dry.
        (look.wet, look.visibility_metres) = (0.0, look.visibility_metres.max(300.0));
        let damages = damage_along(&route, &index, &streets, split, &mut dice(12));

        let mut along_the_way = dice(13);
        let mut decals = Vec::new();
        let mut things = Vec::new();
        let mut shadows = Vec::new();
        let free = |place: EastNorth, reach: f64| {
            damages.iter().all(|d| d.pose.position.distance_metres(place) > reach + d.reach_metres() + 0.3)
        };
        let keep_clear: Vec<EastNorth> = route.every(1.0).map(|p| p.position).collect();
        for street in &streets {
            let span = (1.0, street.length_metres() - 1.0);
            decals.extend(roadside::decoys(street, span, 16.0, &mut along_the_way, free));
            let (more, cast) = roadside::furnish(street, span, true, &look, &index, &keep_clear, &mut along_the_way);
            things.extend(more);
            shadows.extend(cast);
        }
        decals.extend(damages.iter().map(Damage::decal));
        decals.extend(shadows);
        let scene = Scene { streets, index, decals, things, look, textures };
        Self { frame: LocalFrame::at(ORIGIN), scene, damages, route }
    }

    /// Where a damage lies on the earth.
    #[must_use]
    pub fn position_of(&self, damage: &Damage) -> LatLon {
        self.frame.latlon_from_local(damage.pose.position)
    }

    /// The streets as a GeoJSON `FeatureCollection` of `LineString`s with `name` and `highway`.
    #[must_use]
    pub fn network_geojson(&self) -> serde_json::Value {
        let features: Vec<serde_json::Value> = self
            .scene
            .streets
            .iter()
            .map(|street| {
                let line: Vec<[f64; 2]> =
                    street.points.iter().map(|p| self.frame.latlon_from_local(*p)).map(|p| [p.lon, p.lat]).collect();
                serde_json::json!({
                    "type": "Feature",
                    "properties": { "name": street.name, "highway": street.highway, "simulated": true },
                    "geometry": { "type": "LineString", "coordinates": line },
                })
            })
            .collect();
        serde_json::json!({ "type": "FeatureCollection", "features": features })
    }

    /// All damages as a GeoJSON `FeatureCollection` of outlines.
    #[must_use]
    pub fn truth_geojson(&self) -> serde_json::Value {
        let features: Vec<serde_json::Value> = self
            .damages
            .iter()
            .map(|damage| {
                let mut ring: Vec<[f64; 2]> = damage
                    .outline_on_ground()
                    .iter()
                    .map(|p| self.frame.latlon_from_local(*p))
                    .map(|p| [p.lon, p.lat])
                    .collect();
                ring.extend(ring.first().copied());
                let middle = self.position_of(damage);
                serde_json::json!({
                    "type": "Feature",
                    "properties": {
                        "id": damage.id, "class": damage.class.code(), "severity": damage.severity, "simulated": true,
                        "lat": middle.lat, "lon": middle.lon,
                        "length_metres": damage.length_metres, "width_metres": damage.width_metres,
                    },
                    "geometry": { "type": "Polygon", "coordinates": [ring] },
                })
            })
            .collect();
        serde_json::json!({ "type": "FeatureCollection", "features": features })
    }
}

/// Four streets around a block, running on beyond its corners, and a lane through its middle.
fn lay_out(textures: &Textures, dice: &mut Dice) -> Vec<Street> {
    let (wide, deep) = (dice.between(118.0, 138.0), dice.between(84.0, 100.0));
    let beyond = dice.between(45.0, 60.0);
    let bow = dice.between(3.0, 6.0) * dice.sign();
    let at = |e: f64, n: f64| EastNorth::new(e - 0.5 * wide, n - 0.5 * deep);
    let straight = |from: EastNorth, to: EastNorth| vec![from, to];
    // The eastern street swings out between its two crossings.
    let bowed = (0..=60)
        .map(|k| {
            let north = -beyond + f64::from(k) / 60.0 * (deep + 2.0 * beyond);
            let share = ((north - 15.0) / (deep - 30.0)).clamp(0.0, 1.0);
            at(wide + bow * (std::f64::consts::PI * share).sin().powi(2), north)
        })
        .collect();
    // Counter-clockwise: each street runs in the direction of the drive.
    let lines: [(Vec<EastNorth>, &'static str, f64); 5] = [
        (straight(at(-beyond, 0.0), at(wide + beyond, 0.0)), "tertiary", dice.between(3.3, 3.7)),
        (bowed, "residential", dice.between(2.9, 3.3)),
        (straight(at(wide + beyond, deep), at(-beyond, deep)), "residential", dice.between(3.0, 3.5)),
        (straight(at(0.0, deep + beyond), at(0.0, -beyond)), "residential", dice.between(2.9, 3.2)),
        (straight(at(0.45 * wide, deep), at(0.45 * wide, deep + beyond)), "living_street", 2.4),
    ];
    lines
        .into_iter()
        .zip(NAMES)
        .map(|((points, highway, half_width), name)| {
            let half_width_metres = half_width as f32;
            let surface = style::surface(true, half_width_metres, textures, dice);
            Street { name: name.to_owned(), highway, points, half_width_metres, surface }
        })
        .collect()
}

/// Damages near the route: mostly 8 to 16 m from one to the next, about every fifth with a neighbour 3 to 5 m on.
fn damage_along(route: &Route, index: &StreetIndex, streets: &[Street], split: Split, dice: &mut Dice) -> Vec<Damage> {
    let family = split.family();
    let crossings: Vec<EastNorth> = crossings(streets);
    let mut damages: Vec<Damage> = Vec::new();
    let mut classes = shuffled(dice);
    let mut along = dice.between(4.0, 8.0);
    while along < route.length_metres() - 4.0 {
        let on_route = route.at(along);
        along += if dice.chance(0.22) { dice.between(3.2, 5.0) } else { dice.between(7.0, 14.0) };
        let side = dice.between(-1.0, 2.6);
        let place = Pose { position: on_route.position, ..on_route }.local_from_vehicle(0.0, side);
        if crossings.iter().any(|c| c.distance_metres(place) < CLEAR_OF_CROSSINGS_METRES) {
            continue;
        }
        let Some(street_place) = index.place(place.east_metres as f32, place.north_metres as f32) else { continue };
        // In the street's direction, as the drive goes.
        let (east, north) = street_place.direction;
        let heading_degrees = geo::normalise_heading(f64::from(east).atan2(f64::from(north)).to_degrees());
        let class = classes.pop().unwrap_or(DamageClass::Pothole);
        let severity = 1 + dice.index(3) as u8;
        let damage =
            Damage::new(damages.len(), class, severity, Pose { position: place, heading_degrees }, &family, dice);
        let inside = f64::from(-street_place.beyond) > 0.5 * damage.width_metres.min(2.0);
        // Neighbours never touch.
        let apart = damages.iter().all(|d| {
            let (forward, left) = d.pose.vehicle_from_local(place);
            forward.abs() > 0.5 * (d.length_metres + damage.length_metres) + 0.6
                || left.abs() > 0.5 * (d.width_metres + damage.width_metres) + 0.5
        });
        let far_enough = damages.iter().all(|d| d.pose.position.distance_metres(place) > 3.0);
        if inside && apart && far_enough {
            damages.push(damage);
        } else {
            classes.push(class);
        }
        if classes.is_empty() {
            classes = shuffled(dice);
        }
    }
    damages
}

fn shuffled(dice: &mut Dice) -> Vec<DamageClass> {
    let mut classes = DamageClass::ALL.to_vec();
    for k in (1..classes.len()).rev() {
        classes.swap(k, dice.index(k + 1));
    }
    classes
}

/// Where two streets' centrelines meet.
fn crossings(streets: &[Street]) -> Vec<EastNorth> {
    let mut found = Vec::new();
    for (k, one) in streets.iter().enumerate() {
        for other in &streets[k + 1..] {
            for a in one.points.windows(2) {
                found.extend(other.points.windows(2).filter_map(|b| meeting((a[0], a[1]), (b[0], b[1]))));
            }
        }
    }
    found
}

fn meeting(a: (EastNorth, EastNorth), b: (EastNorth, EastNorth)) -> Option<EastNorth> {
    let (ae, an) = (a.1.east_metres - a.0.east_metres, a.1.north_metres - a.0.north_metres);
    let (be, bn) = (b.1.east_metres - b.0.east_metres, b.1.north_metres - b.0.north_metres);
    let cross = ae * bn - an * be;
    let (de, dn) = (b.0.east_metres - a.0.east_metres, b.0.north_metres - a.0.north_metres);
    let (s, t) = ((de * bn - dn * be) / cross, (de * an - dn * ae) / cross);
    let on = |v: f64| (-1e-9..=1.0 + 1e-9).contains(&v);
    (cross.abs() > 1e-9 && on(s) && on(t)).then(|| EastNorth::new(a.0.east_metres + s * ae, a.0.north_metres + s * an))
}
