use super::*;
use crate::central::testing::{ORIGIN, sighting};
use crate::schema::DamageClass;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

fn placed(sighting: Sighting) -> Placed {
    Placed { sighting, one_way: false }
}

fn sets(sightings: &[Placed], groups: &[Group]) -> BTreeSet<BTreeSet<crate::schema::EventId>> {
    groups.iter().map(|g| g.iter().map(|&i| sightings[i].sighting.id).collect()).collect()
}

/// A standard normal deviate (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Passes over potholes at the given places, each with a common offset; the truth is the place's index.
fn drive(
    places: &[(f64, f64)],
    passes: u32,
    drift_metres: f64,
    detection: f64,
    seed: u64,
) -> (Vec<Placed>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let own_metres = 0.25;
    let sigma = drift_metres.hypot(own_metres);
    let (mut sightings, mut truth) = (Vec::new(), Vec::new());
    for pass in 0..passes {
        let mut offset = (drift_metres * normal(&mut rng), drift_metres * normal(&mut rng));
        for (index, place) in places.iter().enumerate() {
            // The drift wanders slowly along the way, and the tag changes every 100 m.
            offset.0 += 0.05 * normal(&mut rng);
            offset.1 += 0.05 * normal(&mut rng);
            if rng.random::<f64>() > detection {
                continue;
            }
            let east = place.0 + offset.0 + own_metres * normal(&mut rng);
            let north = place.1 + offset.1 + own_metres * normal(&mut rng);
            let tag = format!("{pass}-{}", (north / 100.0).floor());
            let number = pass * 10_000 + index as u32;
            sightings.push(placed(sighting(number, &tag, east, north, sigma)));
            truth.push(index);
        }
    }
    (sightings, truth)
}

/// F1 of unique things: a group is right when it is the first whose majority is that thing.
fn unique_f1(groups: &[Group], truth: &[usize], seen: usize) -> f64 {
    let mut found = BTreeSet::new();
    let mut right = 0;
    for group in groups {
        let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
        for &i in group {
            *votes.entry(truth[i]).or_default() += 1;
        }
        let majority = votes.into_iter().max_by_key(|(_, n)| *n).map(|(thing, _)| thing);
        right += usize::from(majority.is_some_and(|m| found.insert(m)));
    }
    2.0 * right as f64 / (groups.len() + seen) as f64
}

proptest! {
    #[test]
    fn order_of_arrival_changes_nothing(seed in 0..500u64, turn in 0..40usize) {
        let places: Vec<(f64, f64)> = (0..8).map(|i| (f64::from(i % 2) * 3.0, f64::from(i) * 4.0)).collect();
        let (sightings, _) = drive(&places, 3, 1.8, 0.8, seed);
        let before = sets(&sightings, &associate(&sightings));
        let mut turned = sightings.clone();
        turned.reverse();
        let steps = turn % turned.len().max(1);
        turned.rotate_left(steps);
        prop_assert_eq!(sets(&turned, &associate(&turned)), before);
    }

    #[test]
    fn neighbourhoods_are_independent(seed in 0..200u64) {
        let places: Vec<(f64, f64)> = (0..12).map(|i| (0.0, f64::from(i) * 7.0)).collect();
        let (sightings, _) = drive(&places, 3, 0.8, 0.8, seed);
        let whole = sets(&sightings, &associate(&sightings));
        let mut parts = BTreeSet::new();
        for members in neighbourhoods(&sightings) {
            let part: Vec<Placed> = members.iter().map(|&i| sightings[i].clone()).collect();
            parts.extend(sets(&part, &associate(&part)));
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn no_pass_is_twice_in_a_group_and_every_sighting_once(seed in 0..200u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sightings: Vec<Placed> = (0..60)
            .map(|n| {
                let (east, north) = (rng.random::<f64>() * 12.0, rng.random::<f64>() * 30.0);
                placed(sighting(n, &format!("{}", n % 5), east, north, 0.3 + rng.random::<f64>() * 2.0))
            })
            .collect();
        let groups = associate(&sightings);
        let mut all: Vec<usize> = groups.iter().flatten().copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..sightings.len()).collect::<Vec<_>>());
        for group in &groups {
            let tags: BTreeSet<_> = group.iter().map(|&i| &sightings[i].sighting.damage.pass).collect();
            prop_assert_eq!(tags.len(), group.len());
        }
    }

    #[test]
    fn the_fused_position_is_no_worse_than_the_best_sighting(sigmas in prop::collection::vec(0.2..3.0f64, 1..6)) {
        let sightings: Vec<Sighting> =
            sigmas.iter().enumerate().map(|(i, s)| sighting(i as u32, &i.to_string(), 0.1 * i as f64, 0.0, *s)).collect();
        let summary = summarise(&sightings.iter().collect::<Vec<_>>()).unwrap();
        let best = sigmas.iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert!(summary.covariance.sigma_metres() <= best + 1e-9);
        prop_assert_eq!(summary.sightings, sigmas.len());
    }
}

#[test]
fn three_identical_passes_give_three_sightings_each_and_no_more_things() {
    for spacing in [2.5, 3.0, 4.0, 5.0, 9.0, 40.0] {
        let places: Vec<(f64, f64)> = (0..9).map(|i| (0.0, 1.0 + f64::from(i) * spacing)).collect();
        let once = drive(&places, 1, 0.0, 1.0, 1).0;
        let mut sightings = Vec::new();
        for pass in 0..3_u32 {
            for (index, first) in once.iter().enumerate() {
                let mut copy = first.sighting.clone();
                copy.id = sighting(pass * 1000 + index as u32, "", 0.0, 0.0, 1.0).id;
                copy.damage.pass = PassTag(format!("{pass}{}", copy.damage.pass.0));
                copy.damage.position_covariance = Covariance::isotropic(1.8);
                sightings.push(placed(copy));
            }
        }
        let groups = associate(&sightings);
        assert_eq!(groups.len(), once.len(), "spacing {spacing}");
        assert!(groups.iter().all(|g| g.len() == 3), "spacing {spacing}");
    }
}

#[test]
fn drifting_passes_join_and_neighbours_stay_apart() {
    // Per scene: spacing along the lane, detection rate, least mean F1 of unique things over the seeds.
    for (spacing, detection, least) in
        [(4.0, 1.0, 0.97), (4.0, 0.8, 0.90), (3.0, 0.8, 0.88), (8.0, 0.8, 0.90), (15.0, 0.8, 0.90), (40.0, 0.8, 0.90)]
    {
        let (mut sum, mut fraction, seeds) = (0.0, 0.0, 40);
        for seed in 0..seeds {
            let places: Vec<(f64, f64)> =
                (0..12).map(|i| (if i % 3 == 0 { 1.5 } else { -0.5 }, 2.0 + f64::from(i) * spacing)).collect();
            let (sightings, truth) = drive(&places, 3, 1.8, detection, seed);
            let seen = truth.iter().collect::<BTreeSet<_>>().len();
            let groups = associate(&sightings);
            sum += unique_f1(&groups, &truth, seen);
            fraction += groups.len() as f64 / seen as f64;
        }
        let (f1, things) = (sum / f64::from(seeds as u32), fraction / f64::from(seeds as u32));
        println!("spacing {spacing} m, detection {detection}: F1 {f1:.3}, things found per thing {things:.3}");
        assert!(f1 >= least, "spacing {spacing} m, detection {detection}: F1 {f1:.3}");
    }
}

#[test]
fn opposite_carriageways_stay_apart_and_one_road_does_not() {
    let mut there = placed(sighting(1, "a", 0.0, 0.0, 0.8));
    let mut back = placed(sighting(2, "b", 1.0, 0.0, 0.8));
    back.sighting.damage.heading_degrees = 180.0;
    assert_eq!(associate(&[there.clone(), back.clone()]).len(), 1);
    there.one_way = true;
    back.one_way = true;
    assert_eq!(associate(&[there, back]).len(), 2);
}

#[test]
fn crack_types_are_one_group_and_potholes_another() {
    let pothole = placed(sighting(1, "a", 0.0, 0.0, 0.8));
    let mut crack = placed(sighting(2, "b", 0.2, 0.0, 0.8));
    crack.sighting.damage.class = DamageClass::TransverseCrack;
    let mut other = placed(sighting(3, "c", 0.1, 0.0, 0.8));
    other.sighting.damage.class = DamageClass::AlligatorCrack;
    assert_eq!(associate(&[pothole, crack, other]).len(), 2);
}

#[test]
fn the_middle_of_a_long_crack_field_may_wander() {
    let long = |number, pass: &str, north| {
        let mut field = placed(sighting(number, pass, 0.0, north, 0.4));
        field.sighting.damage.class = DamageClass::AlligatorCrack;
        field.sighting.damage.length_metres = 15.0;
        field.sighting.damage.width_metres = 2.0;
        field
    };
    assert_eq!(associate(&[long(1, "a", 0.0), long(2, "b", 4.0)]).len(), 1);
    let short = |number, pass: &str, north| placed(sighting(number, pass, 0.0, north, 0.4));
    assert_eq!(associate(&[short(1, "a", 0.0), short(2, "b", 4.0)]).len(), 2);
}

#[test]
fn nothing_gives_nothing() {
    assert!(associate(&[]).is_empty());
    assert!(summarise(&[]).is_none());
    let _ = ORIGIN;
}
