//! What the status gives away, and to whom.

use proptest::prelude::*;

use super::*;

fn status() -> DeviceStatus {
    let front = CameraStatus {
        state: "delivering".into(),
        blind: Some("covered".into()),
        frames: 9,
        last_error: Some("rtsp://admin:s3cret@10.0.0.5/1: connection refused".into()),
        ..CameraStatus::default()
    };
    DeviceStatus {
        cameras: BTreeMap::from([("front".into(), front)]),
        position: PositionStatus {
            fix_age_seconds: Some(0.4),
            refused: BTreeMap::from([("jump".into(), 2), ("inexact".into(), 3)]),
            ..PositionStatus::default()
        },
        machine: MachineStatus {
            hottest: Some(Temperature { place: "cpu".into(), celsius: 71.6 }),
            disk: Some(Disk { free_bytes: (64 << 20) + 5, total_bytes: 1 << 30, read_only: false }),
            ..MachineStatus::default()
        },
        ..DeviceStatus::default()
    }
}

#[test]
fn health_is_the_part_that_may_leave() {
    let health = status().health();
    assert_eq!(health.position.as_ref().unwrap().refused, 5);
    let machine = health.machine.as_ref().unwrap();
    assert_eq!((machine.temperature_celsius, machine.disk_free_bytes), (Some(72), Some(64 << 20)));
    let text = String::from_utf8(health.to_json()).unwrap();
    for word in ["10.0.0.5", "connection refused", "accuracy", "0.4"] {
        assert!(!text.contains(word), "{word} is in {text}");
    }
}

#[test]
fn a_tunnel_cannot_be_told_from_the_minutes() {
    let minutes = |seconds: Option<f64>| {
        let position = PositionStatus { fix_age_seconds: seconds, ..PositionStatus::default() };
        let status = DeviceStatus { position, uptime_seconds: 601, ..DeviceStatus::default() };
        status.health().position.unwrap().minutes_without_fix
    };
    assert_eq!([minutes(Some(0.2)), minutes(Some(299.0)), minutes(Some(301.0)), minutes(Some(599.0))], [0, 0, 5, 5]);
    assert_eq!(minutes(None), 10, "no fix since the start");
}

#[test]
fn json_round_trips_and_an_older_program_is_understood() {
    let json = serde_json::to_string(&status()).unwrap();
    assert_eq!(serde_json::from_str::<DeviceStatus>(&json).unwrap(), status());
    assert_eq!(serde_json::from_str::<DeviceStatus>("{\"later\": 1}").unwrap(), DeviceStatus::default());
}

#[test]
fn nobody_reads_a_password() {
    let json = serde_json::to_string(&status().without_secrets()).unwrap();
    assert!(!json.contains("s3cret") && !json.contains("admin") && json.contains("rtsp://…@10.0.0.5/1"), "{json}");
    assert_eq!(without_credentials("rtsp://u:p@ss/w@cam/1 and http://plain/"), "rtsp://…@cam/1 and http://plain/");
    assert_eq!(without_credentials("no address@all"), "no address@all");
}

proptest! {
    #[test]
    fn no_password_survives_wherever_the_address_stands(
        before in "[a-z ]{0,10}",
        password in "[A-Z0-9:@/]{6,12}",
        after in "( [a-z]{0,10})?",
    ) {
        let text = without_credentials(&format!("{before}rtsp://user:{password}@camera/1{after}"));
        prop_assert_eq!(text, format!("{before}rtsp://…@camera/1{after}"));
    }

    #[test]
    fn any_text_is_cleaned_without_harm(text in "\\PC*") {
        let clean = without_credentials(&text);
        prop_assert!(text.contains("://") || clean == text);
    }
}
