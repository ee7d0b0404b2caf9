//! Zones as files: what is read, what is refused and named, what lies inside.

use std::io::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

fn read(value: &Value) -> Result<Zones, ZoneError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(value.to_string().as_bytes()).unwrap();
    Zones::read(file.path())
}

fn feature(geometry: &Value, properties: &Value) -> Value {
    json!({ "type": "FeatureCollection", "features": [{ "type": "Feature", "geometry": geometry, "properties": properties }] })
}

fn polygon(rings: &Value) -> Value {
    feature(&json!({ "type": "Polygon", "coordinates": rings }), &json!({ "name": "Depot" }))
}

/// About 143 m × 222 m with a hole in its middle.
fn depot() -> Value {
    polygon(&json!([
        [[8.70, 50.000], [8.702, 50.000, 120.0], [8.702, 50.002], [8.70, 50.002], [8.70, 50.000]],
        [[8.7008, 50.0008], [8.7012, 50.0008], [8.7012, 50.0012], [8.7008, 50.0012], [8.7008, 50.0008]]
    ]))
}

fn at(lat: f64, lon: f64) -> LatLon {
    LatLon { lat, lon }
}

fn fix(position: LatLon, accuracy_metres: f64) -> Fix {
    Fix {
        at: datetime!(2026-03-17 09:30 UTC),
        position,
        speed_metres_per_second: 10.0,
        heading_degrees: 90.0,
        accuracy_metres,
        bridged_millis: 0,
    }
}

#[test]
fn a_polygon_holds_what_lies_inside_and_not_its_hole() {
    let zones = read(&depot()).unwrap();
    assert_eq!(zones.len(), 1);
    assert!(zones.contains(at(50.0005, 8.7005)));
    assert!(!zones.contains(at(50.001, 8.701)), "the hole");
    assert!(
        !zones.contains(at(50.0005, 8.6999)) && !zones.contains(at(49.9, 8.7005)) && !zones.contains(at(-50.0, 8.7))
    );
}

#[test]
fn a_fix_whose_circle_touches_a_zone_is_inside_and_without_a_fix_nothing_is_recorded() {
    let zones = read(&depot()).unwrap();
    // 7.2 m west of the zone.
    let near = at(50.001, 8.6999);
    assert!(zones.may_record(Some(&fix(near, 2.0))));
    assert!(!zones.may_record(Some(&fix(near, 4.0))));
    assert!(!zones.may_record(Some(&fix(near, f64::NAN))));
    assert!(!zones.may_record(None));
    assert!(Zones::default().may_record(None), "without zones all may be recorded");
}

#[test]
fn a_point_with_a_radius_is_a_circle() {
    let point = json!({ "type": "Point", "coordinates": [8.7, 50.0] });
    let zones = read(&feature(&point, &json!({ "radius_metres": 100 }))).unwrap();
    assert!(zones.contains(at(50.00089, 8.7)) && !zones.contains(at(50.00091, 8.7)));
    assert!(zones.contains(at(50.0, 8.70138)) && !zones.contains(at(50.0, 8.70141)));
}

#[test]
fn several_polygons_and_a_margin_around_them() {
    let square =
        |lon: f64| json!([[[lon, 50.0], [lon + 0.001, 50.0], [lon + 0.001, 50.001], [lon, 50.001], [lon, 50.0]]]);
    let geometry = json!({ "type": "MultiPolygon", "coordinates": [square(8.7), square(8.8)] });
    let zones = read(&feature(&geometry, &json!({ "radius_metres": 20.0 }))).unwrap();
    assert_eq!(zones.len(), 2);
    assert!(zones.contains(at(50.0005, 8.8005)));
    assert!(zones.contains(at(49.9999, 8.7005)) && !zones.contains(at(49.9997, 8.7005)));
}

#[test]
fn mistakes_name_the_feature_and_what_to_do() {
    let ring = |positions: Value| polygon(&json!([positions]));
    for (value, part) in [
        (
            ring(json!([[50.0, 8.7], [50.0, 8.702], [50.002, 8.702], [50.0, 8.7]])),
            "feature 1 (\"Depot\"): [50, 8.7] has",
        ),
        (ring(json!([[8.7, 50.0], [8.702, 50.002], [8.702, 50.0], [8.7, 50.002], [8.7, 50.0]])), "crosses itself near"),
        (ring(json!([[8.7, 50.0], [8.702, 50.0], [8.701, 50.0], [8.701, 50.002], [8.7, 50.0]])), "crosses itself near"),
        (ring(json!([[8.7, 50.0], [8.702, 50.0], [8.702, 50.002], [8.7, 50.002]])), "does not end where it starts"),
        (ring(json!([[8.7, 50.0], [8.702, 50.0], [8.7, 50.0]])), "has fewer than four positions"),
        (ring(json!([[8.7, 50.0], [8.702, 50.0], [8.704, 50.0], [8.7, 50.0]])), "has no area"),
        (ring(json!([[8.7, 150.0], [8.702, 50.0], [8.704, 50.0], [8.7, 150.0]])), "[8.7, 150] is not on the globe"),
        (polygon(&json!([])), "is empty"),
        (feature(&json!(null), &json!(null)), "feature 1: has no geometry"),
        (feature(&json!({ "type": "Point", "coordinates": [8.7, 50.0] }), &json!({})), "the property radius_metres"),
        (
            feature(&json!({ "type": "Point", "coordinates": [8.7, 50.0] }), &json!({ "radius_metres": "50" })),
            "radius_metres is \"50\"",
        ),
        (
            feature(&json!({ "type": "LineString", "coordinates": [[8.7, 50.0], [8.8, 50.0]] }), &json!({})),
            "is a LineString",
        ),
        (json!({ "type": "FeatureCollection", "features": [] }), "holds no zone"),
        (json!({ "type": "Town" }), "is no GeoJSON"),
    ] {
        let message = read(&value).unwrap_err().to_string();
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(matches!(Zones::read(Path::new("/nonexistent")), Err(ZoneError::Unreadable { .. })));
}

proptest! {
    #[test]
    fn a_star_holds_its_middle_and_what_is_drawn_towards_it(
        radii in proptest::collection::vec(20.0..200.0f64, 5..24), which in 0usize..24, share in 0.0..0.98f64, beyond in 1.02..3.0f64,
    ) {
        let frame = LocalFrame::at(at(51.5, 7.4));
        let count = radii.len();
        let corner = |i: usize, scale: f64| {
            let angle = std::f64::consts::TAU * i as f64 / count as f64;
            frame.latlon_from_local(EastNorth::new(scale * radii[i] * angle.cos(), scale * radii[i] * angle.sin()))
        };
        let positions: Vec<[f64; 2]> = (0..=count).map(|i| corner(i % count, 1.0)).map(|c| [c.lon, c.lat]).collect();
        let zones = read(&polygon(&json!([positions]))).unwrap();
        prop_assert!(zones.contains(frame.origin()));
        let which = which % count;
        prop_assert!(zones.contains(corner(which, share)));
        prop_assert!(!zones.contains(corner(which, beyond)));
        // The circle of a fix reaches as far as the nearest corner at least.
        prop_assert!(zones.touch(corner(which, beyond), (beyond - 1.0) * radii[which] + 0.1));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        prop_assert!(Zones::read(file.path()).is_err());
    }
}
