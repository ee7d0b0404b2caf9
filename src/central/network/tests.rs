use super::*;
use crate::geo::distance_metres;
use proptest::prelude::*;
use std::fmt::Write as _;

fn street(name: &str, one_way: bool, points: &[(f64, f64)]) -> Street {
    let line = points.iter().map(|(lat, lon)| LatLon { lat: *lat, lon: *lon }).collect();
    Street { name: Some(name.into()), road_class: RoadClass::Residential, one_way, line }
}

fn at(east: f64, north: f64) -> LatLon {
    LocalFrame::at(LatLon { lat: 51.0, lon: 8.0 }).latlon_from_local(EastNorth::new(east, north))
}

fn line(name: &str, one_way: bool, points: &[(f64, f64)]) -> Street {
    let places: Vec<(f64, f64)> = points.iter().map(|(e, n)| at(*e, *n)).map(|p| (p.lat, p.lon)).collect();
    street(name, one_way, &places)
}

#[test]
fn opposite_carriageways_are_told_apart_by_heading() {
    // Right-hand traffic: northbound lies east of southbound; the sighting is nearer to the wrong one.
    let northbound = line("Nord", true, &[(4.0, 0.0), (4.0, 90.0)]);
    let southbound = line("Süd", true, &[(-4.0, 90.0), (-4.0, 0.0)]);
    let network = Network::new(cut::sections_of(&[northbound, southbound]));
    let name = |heading| network.section_at(at(1.0, 50.0), heading).and_then(|s| s.name.clone());
    assert_eq!(name(3.0).as_deref(), Some("Nord"));
    assert_eq!(name(178.0).as_deref(), Some("Süd"));
}

#[test]
fn a_crossing_street_does_not_take_what_lies_near_the_junction() {
    let along = line("Längs", false, &[(0.0, -80.0), (0.0, 80.0)]);
    let across = line("Quer", false, &[(-80.0, 0.0), (80.0, 0.0)]);
    let network = Network::new(cut::sections_of(&[along, across]));
    let name = |heading| network.section_at(at(2.0, 1.0), heading).and_then(|s| s.name.clone());
    assert_eq!(name(0.0).as_deref(), Some("Längs"));
    assert_eq!(name(180.0).as_deref(), Some("Längs"));
    assert_eq!(name(270.0).as_deref(), Some("Quer"));
}

#[test]
fn far_from_every_street_there_is_no_section() {
    let network = Network::new(cut::sections_of(&[line("Weg", false, &[(0.0, 0.0), (0.0, 80.0)])]));
    assert!(network.section_at(at(60.0, 40.0), 0.0).is_none());
    assert!(Network::default().section_at(at(0.0, 0.0), 0.0).is_none());
}

proptest! {
    #[test]
    fn sections_cover_the_street_without_gaps(points in prop::collection::vec((-500.0..500.0f64, -500.0..500.0f64), 2..8)) {
        let one = line("Weg", false, &points);
        let total: f64 = one.line.windows(2).map(|w| distance_metres(w[0], w[1])).sum();
        prop_assume!(total > 1.0);
        let parts = cut::cut_in_order(&one);
        for pair in parts.windows(2) {
            prop_assert_eq!(pair[0].line.last(), pair[1].line.first());
        }
        let sum: f64 = parts.iter().map(|s| s.length_metres).sum();
        prop_assert!((sum - total).abs() < 1.0, "{} of {}", sum, total);
        prop_assert!(parts.iter().all(|s| s.length_metres < 150.0 && (s.length_metres > 60.0 || parts.len() == 1)));
    }

    #[test]
    fn ids_do_not_depend_on_the_order_of_import(seed in 0..6usize) {
        let mut streets = vec![
            line("A", false, &[(0.0, 0.0), (0.0, 350.0)]),
            line("B", true, &[(10.0, 0.0), (400.0, 20.0)]),
            line("C", false, &[(0.0, 350.0), (90.0, 400.0)]),
        ];
        let before = cut::sections_of(&streets);
        streets.rotate_left(seed % 3);
        if seed > 2 {
            streets.swap(0, 1);
        }
        prop_assert_eq!(cut::sections_of(&streets), before);
    }
}

#[test]
fn geojson_is_read_and_faults_name_the_feature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streets.geojson");
    let mut text = String::from(r#"{"type":"FeatureCollection","features":["#);
    write!(
        text,
        r#"{{"type":"Feature","geometry":{{"type":"LineString","coordinates":[[8.0,51.0],[8.003,51.0]]}},"properties":{{"name":"Am Markt","highway":"residential"}}}},"#
    )
    .unwrap();
    let footway = r#"{"type":"Feature","geometry":{"type":"LineString","coordinates":[[8.0,51.0],[8.0,51.1]]},"properties":{"highway":"footway"}}"#;
    std::fs::write(&path, format!("{text}{footway}]}}")).unwrap();
    let sections = read_sections(&path).unwrap();
    assert_eq!(sections.len(), 2);
    assert!(sections.iter().all(|s| s.name.as_deref() == Some("Am Markt")));

    std::fs::write(&path, format!("{text}{footway}]}}").replace("[8.003,51.0]", "[8.003,151.0]")).unwrap();
    let message = read_sections(&path).unwrap_err().to_string();
    assert!(message.contains("feature 0: [8.003, 151] is not on the globe"), "{message}");
}

#[test]
fn what_is_no_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("town.osm.pbf");
    std::fs::write(&path, b"this is no protocol buffer at all").unwrap();
    assert!(matches!(read_sections(&path), Err(NetworkError::Pbf { .. })));
    assert!(matches!(read_sections(&folder.path().join("absent.pbf")), Err(NetworkError::Io { .. })));
    assert!(matches!(read_sections(&folder.path().join("town.shp")), Err(NetworkError::UnknownFormat { .. })));
}

#[test]
fn real_drives_lie_on_their_streets() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.is_dir() {
        eprintln!("SKIPPED: no ../shared/data here; the match to real streets was not tried");
        return;
    }
    let sections = read_sections(&data.join("osm/dreieich.osm.pbf")).unwrap();
    let network = Network::new(sections);
    for (drive, street) in [("drive_a", "Hainer Chaussee"), ("drive_b", "Ringstraße")] {
        let truth = std::fs::read_to_string(data.join(format!("drives/{drive}.truth.csv"))).unwrap();
        let (mut right, mut all) = (0, 0);
        for row in truth.lines().skip(1) {
            let cells: Vec<f64> = row.split(',').skip(3).map(|c| c.parse().unwrap()).collect();
            let section = network.section_at(LatLon { lat: cells[0], lon: cells[1] }, cells[2]);
            all += 1;
            right += u32::from(section.and_then(|s| s.name.as_deref()) == Some(street));
        }
        assert!(f64::from(right) >= 0.95 * f64::from(all), "{drive}: {right} of {all} on {street}");
    }
}
