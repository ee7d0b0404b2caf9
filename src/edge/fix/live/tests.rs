//! What a receiver's lines become, without a receiver.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::edge::device_clock::{Anchor, ClockSettings, Reading, Readings, Synchronised};
use crate::edge::fix::nmea::with_checksum;
use crate::edge::fix::settings::GateSettings;
use crate::geo::{LatLon, distance_metres};

const START: OffsetDateTime = datetime!(2026-03-17 09:30 UTC);

/// A device whose monotonic clock, and the system clock's error, are set by the test.
struct Bench {
    shared: Shared,
    clocks: Arc<Mutex<(Duration, time::Duration)>>,
    listener: SentenceListener,
}

impl Bench {
    fn new(system_error: time::Duration) -> Self {
        let clocks = Arc::new(Mutex::new((Duration::ZERO, system_error)));
        let read = Arc::clone(&clocks);
        let readings = Readings {
            clocks: Box::new(move || {
                let (monotonic, error) = *read.lock().unwrap();
                Reading { monotonic, system: Some(START + monotonic + error) }
            }),
            synchronised: Box::new(|| Synchronised::Never),
        };
        let settings = ClockSettings { latency: Duration::ZERO, ..ClockSettings::default() };
        let config = GnssConfig {
            source: GnssSource::Tcp { host: "phone".into(), port: 10110 },
            max_gap_millis: 3000,
            gate: GateSettings::default(),
            clock: settings,
        };
        let shared = Shared::new(&config, Arc::new(DeviceClock::with_readings(settings, readings)));
        shared.connected();
        Self { shared, clocks, listener: SentenceListener::default() }
    }

    fn hear(&mut self, line: &str) {
        self.listener.hear(line.as_bytes(), &self.shared);
    }

    /// The vehicle drives north at 10 m/s from latitude 50.0; `aside` in degrees of latitude.
    fn second(&mut self, second: u32, aside: f64) {
        self.clocks.lock().unwrap().0 = Duration::from_secs(second.into());
        self.hear(&rmc(second, aside));
    }

    fn now(&self) -> OffsetDateTime {
        self.shared.clock.now()
    }

    fn counts(&self) -> PositionCounts {
        self.shared.lock().counts
    }
}

fn rmc(second: u32, aside: f64) -> String {
    let minutes = 60.0 * (f64::from(second) * 10.0 / 111_230.0 + aside);
    with_checksum(&format!("GNRMC,0930{second:02}.00,A,50{minutes:09.6},N,00842.00000,E,19.44,0.0,170326,,,A"))
}

#[test]
fn fixes_are_there_for_the_frames_of_their_time_and_bridged_for_a_while() {
    let mut bench = Bench::new(time::Duration::ZERO);
    for second in 0..10 {
        bench.second(second, 0.0);
    }
    let half = bench.shared.at(START + time::Duration::milliseconds(4500)).unwrap();
    assert!((distance_metres(LatLon { lat: 50.0, lon: 8.7 }, half.position) - 45.0).abs() < 0.1);
    assert_eq!(half.bridged_millis, 0);
    let ahead = bench.shared.at(START + time::Duration::milliseconds(11_500)).unwrap();
    assert_eq!(ahead.bridged_millis, 2500);
    assert!((distance_metres(LatLon { lat: 50.0, lon: 8.7 }, ahead.position) - 115.0).abs() < 0.2);
    assert!(ahead.accuracy_metres > half.accuracy_metres);
    assert_eq!(bench.shared.at(START + time::Duration::seconds(13)), None);
    assert!(bench.shared.state(Instant::now()).reception.is_good());
}

#[test]
fn a_jump_is_counted_and_seen_in_no_frame() {
    let mut bench = Bench::new(time::Duration::ZERO);
    for second in 0..20 {
        // 100 m aside for three seconds.
        bench.second(second, if (10..13).contains(&second) { 100.0 / 111_230.0 } else { 0.0 });
        let fix = bench.shared.at(bench.now()).unwrap();
        let expected = 10.0 * f64::from(second);
        let metres = distance_metres(LatLon { lat: 50.0, lon: 8.7 }, fix.position);
        assert!((metres - expected).abs() < 1.0, "{second} s: {metres} m instead of {expected}");
    }
    assert_eq!((bench.counts().refused_jumps, bench.counts().fixes, bench.counts().new_starts), (3, 17, 0));
}

#[test]
fn a_wrong_system_clock_gives_way_to_gnss_and_frames_meet_their_fixes() {
    let mut bench = Bench::new(-time::Duration::days(400));
    for second in 0..10 {
        bench.second(second, 0.0);
    }
    let state = bench.shared.state(Instant::now());
    assert_eq!(state.clock.unwrap().anchor, Anchor::Gnss);
    assert!(state.counts.refused_age > 0, "fixes of another year are not believed before the clock is right");
    let fix = bench.shared.at(bench.now()).unwrap();
    assert!((distance_metres(LatLon { lat: 50.0, lon: 8.7 }, fix.position) - 90.0).abs() < 0.1);
}

#[test]
fn a_system_clock_that_is_a_second_slow_displaces_nothing() {
    let mut bench = Bench::new(time::Duration::milliseconds(-1100));
    for second in 0..10 {
        bench.second(second, 0.0);
    }
    let now = bench.now();
    assert_eq!(now, START + time::Duration::milliseconds(9000 - 1100), "frames keep the system clock's time");
    let fix = bench.shared.at(now).unwrap();
    assert_eq!(fix.at, now);
    assert!((distance_metres(LatLon { lat: 50.0, lon: 8.7 }, fix.position) - 90.0).abs() < 0.1);
}

#[test]
fn the_system_clock_leaps_and_the_drive_goes_on() {
    let mut bench = Bench::new(time::Duration::ZERO);
    for second in 0..20 {
        if second == 10 {
            bench.clocks.lock().unwrap().1 = time::Duration::hours(1);
        }
        bench.second(second, 0.0);
        let fix = bench.shared.at(bench.now()).unwrap();
        assert!((distance_metres(LatLon { lat: 50.0, lon: 8.7 }, fix.position) - 10.0 * f64::from(second)).abs() < 0.2);
    }
    let clock = bench.shared.state(Instant::now()).clock.unwrap();
    assert_eq!((clock.clock_leaps, clock.reanchored), (1, 0));
    assert_eq!(bench.counts().fixes, 20);
}

#[test]
fn the_dilution_is_that_of_the_last_gga() {
    let mut bench = Bench::new(time::Duration::ZERO);
    let gga = with_checksum("GNGGA,093000.00,5000.00000,N,00842.00000,E,1,09,1.4,141.0,M,47.0,M,,");
    bench.hear(&gga);
    bench.second(1, 0.0);
    let state = bench.shared.state(Instant::now());
    assert_eq!(state.satellites, Some(9));
    assert!((state.accuracy_metres.unwrap() - 2.574).abs() < 0.01);
    bench.second(9, 0.0);
    let accuracy = bench.shared.state(Instant::now()).accuracy_metres.unwrap();
    assert!((accuracy - 2.758).abs() < 0.01, "after nine seconds the typical one is taken: {accuracy}");
}

#[test]
fn the_state_says_what_is_wrong() {
    let mut bench = Bench::new(time::Duration::ZERO);
    let reception = |bench: &Bench| bench.shared.state(Instant::now()).reception;
    assert_eq!(reception(&bench), Reception::Silent);
    bench.shared.bytes_came();
    bench.hear("\u{fffd}~~}x");
    assert_eq!((reception(&bench), bench.counts().unreadable), (Reception::Unreadable, 1));
    bench.hear(&rmc(0, 0.0).replacen("19.44", "19.45", 1));
    assert_eq!(bench.counts().unreadable, 2, "a wrong checksum");
    bench.hear(&with_checksum("GNRMC,093000.00,V,,,,,,,170326,,,N"));
    assert_eq!(reception(&bench), Reception::NoFix);
    bench.second(1, 0.0);
    assert_eq!(reception(&bench), Reception::Good);
    bench.shared.lost("the receiver was unplugged".into());
    assert_eq!(reception(&bench).to_string(), "the receiver was unplugged");
    bench.shared.connected();
    assert_eq!(bench.counts().reconnects, 1);
}

#[test]
fn what_is_kept_is_bounded() {
    let fix = |millis: i64| Fix {
        at: START + time::Duration::milliseconds(millis),
        position: LatLon { lat: 50.0, lon: 8.7 },
        speed_metres_per_second: 0.0,
        heading_degrees: 0.0,
        accuracy_metres: 1.5,
        bridged_millis: 0,
    };
    let mut kept = Vec::new();
    for millis in 0..30_000 {
        keep(&mut kept, fix(millis));
    }
    assert!(kept.len() <= KEPT_FIXES && kept.len() >= KEPT_FIXES / 4, "{}", kept.len());
    assert_eq!(kept.last().unwrap().at, fix(29_999).at);
    let mut kept = Vec::new();
    for second in 0..20_000 {
        keep(&mut kept, fix(second * 1000));
    }
    assert!(kept.len() <= KEPT_FIXES / 4 + 200, "{}", kept.len());
}

proptest! {
    #[test]
    fn no_line_does_harm(
        lines in proptest::collection::vec(
            prop_oneof![
                "\\PC{0,90}",
                "GN(RMC|GGA),[0-9.]{0,10},[AV1],[0-9.]{0,12},[NS]?,[0-9.]{0,12},[EW]?,[0-9.-]{0,8},[0-9.-]{0,8},[0-9]{0,8},,,A"
                    .prop_map(|body| with_checksum(&body)),
            ],
            0..10,
        ),
        json in proptest::collection::vec("\\{\"class\":\"(TPV|SKY|X)\"(,\"(mode|lat|lon|time|speed|hdop|eph)\":(-?[0-9]{1,5}|[0-9]e30[0-9]|null|\"2026-03-17T09:30:00Z\")){0,6}\\}", 0..6),
    ) {
        let mut bench = Bench::new(time::Duration::ZERO);
        for line in &lines {
            bench.hear(line);
        }
        let mut gpsd = GpsdListener::new(None);
        for line in &json {
            gpsd.hear(line.as_bytes(), &bench.shared);
        }
        let _ = bench.shared.state(Instant::now());
        if let Some(fix) = bench.shared.at(START) {
            prop_assert!(fix.accuracy_metres.is_finite() && LatLon::new(fix.position.lat, fix.position.lon).is_some());
        }
    }
}
