//! The rules by which time moves, with readings that are made up.

use proptest::prelude::*;
use time::macros::datetime;

use super::keeper::Keeper;
use super::*;

const START: OffsetDateTime = datetime!(2026-11-20 06:00 UTC);
const HOUR: time::Duration = time::Duration::HOUR;

/// A machine whose clocks are ours to move.
struct Machine {
    keeper: Keeper,
    monotonic: Duration,
    /// The system clock minus true time.
    system_error: time::Duration,
    synchronised: Synchronised,
}

impl Machine {
    fn new(settings: ClockSettings, system_error: time::Duration) -> Self {
        let monotonic = Duration::from_secs(100);
        let keeper = Keeper::new(settings, monotonic, START + system_error);
        Self { keeper, monotonic, system_error, synchronised: Synchronised::Never }
    }

    fn truth(&self) -> OffsetDateTime {
        START + (self.monotonic - Duration::from_secs(100))
    }

    fn system(&self) -> OffsetDateTime {
        self.truth() + self.system_error
    }

    fn pass(&mut self, millis: u64) {
        self.monotonic += Duration::from_millis(millis);
    }

    fn reading(&self) -> Reading {
        Reading { monotonic: self.monotonic, system: Some(self.system()) }
    }

    /// The error of the device's time.
    fn error(&mut self) -> time::Duration {
        let synchronised = self.synchronised;
        self.keeper.now(self.reading(), || synchronised) - self.truth()
    }

    /// GNSS speaks once a second, with an error of its own and the usual latency.
    fn hear_gnss(&mut self, seconds: u32, gnss_error: time::Duration) {
        for _ in 0..seconds {
            self.pass(1000);
            let gnss = self.truth() + gnss_error - ClockSettings::default().latency;
            let (reading, synchronised) = (self.reading(), self.synchronised);
            self.keeper.gnss_said(gnss, reading, || synchronised);
        }
    }
}

fn machine() -> Machine {
    Machine::new(ClockSettings::default(), time::Duration::ZERO)
}

#[test]
fn a_leap_of_the_system_clock_is_counted_and_moves_nothing() {
    let mut machine = machine();
    for leap in [HOUR, -HOUR * 3, time::Duration::milliseconds(700)] {
        machine.pass(40);
        machine.system_error += leap;
        for _ in 0..1000 {
            machine.pass(40);
            assert_eq!(machine.error(), time::Duration::ZERO);
        }
    }
    let state = machine.keeper.state();
    assert_eq!((state.clock_leaps, state.reanchored, state.anchor), (3, 0, Anchor::System));
    assert_eq!(state.system_ahead, machine.system_error);
}

#[test]
fn a_clock_that_was_synchronised_since_its_leap_is_followed_after_ten_seconds() {
    // No battery: the device starts two years back.
    let mut machine = Machine::new(ClockSettings::default(), -HOUR * 24 * 730);
    machine.pass(60_000);
    assert_eq!(machine.error(), -HOUR * 24 * 730);
    machine.system_error = time::Duration::ZERO;
    machine.synchronised = Synchronised::At(machine.system());
    let _ = machine.error();
    machine.pass(9_000);
    assert_eq!(machine.error(), -HOUR * 24 * 730, "not before it has held");
    machine.pass(2_000);
    assert_eq!(machine.error(), time::Duration::ZERO);
    let state = machine.keeper.state();
    assert_eq!((state.clock_leaps, state.reanchored), (1, 1));
}

#[test]
fn a_date_that_was_set_by_hand_is_not_followed_although_the_clock_was_synchronised_before() {
    for leap in [HOUR, -HOUR] {
        let mut machine = machine();
        machine.synchronised = Synchronised::At(START);
        machine.pass(5_000);
        machine.system_error = leap;
        let _ = machine.error();
        machine.pass(60_000);
        assert_eq!(machine.error(), time::Duration::ZERO, "{leap}");
    }
}

#[test]
fn where_nobody_can_tell_a_leap_must_hold_for_ten_minutes() {
    let mut machine = machine();
    machine.synchronised = Synchronised::Unknown;
    machine.pass(1_000);
    machine.system_error = HOUR;
    let _ = machine.error();
    machine.pass(599_000);
    assert_eq!(machine.error(), time::Duration::ZERO);
    machine.pass(2_000);
    assert_eq!(machine.error(), HOUR);
    machine.system_error = -HOUR * 24 * 400;
    let _ = machine.error();
    machine.pass(700_000);
    assert_eq!(machine.error(), HOUR, "a year that is over is not plausible");
}

#[test]
fn gnss_takes_over_from_a_wrong_system_clock() {
    let mut machine = Machine::new(ClockSettings::default(), -HOUR * 24 * 1000);
    machine.hear_gnss(3, time::Duration::ZERO);
    assert_eq!(machine.error(), -HOUR * 24 * 1000, "three readings are not enough");
    machine.hear_gnss(3, time::Duration::ZERO);
    assert_eq!(machine.error(), time::Duration::ZERO);
    let state = machine.keeper.state();
    assert_eq!((state.anchor, state.reanchored, state.clock_leaps), (Anchor::Gnss, 1, 0));
    // Somebody sets the date meanwhile: GNSS has the word.
    machine.system_error = HOUR;
    machine.synchronised = Synchronised::Unknown;
    machine.hear_gnss(1200, time::Duration::ZERO);
    assert_eq!(machine.error(), time::Duration::ZERO);
}

#[test]
fn a_receiver_that_stumbles_moves_nothing_and_one_that_insists_does() {
    let mut machine = machine();
    machine.hear_gnss(60, time::Duration::ZERO);
    machine.hear_gnss(20, -HOUR);
    assert_eq!(machine.error(), time::Duration::ZERO);
    machine.hear_gnss(60, time::Duration::ZERO);
    machine.hear_gnss(40, -HOUR);
    assert_eq!(machine.error(), -HOUR);
    machine.hear_gnss(40, time::Duration::ZERO);
    assert_eq!(machine.error(), time::Duration::ZERO);
    let state = machine.keeper.state();
    assert_eq!((state.anchor, state.reanchored), (Anchor::System, 2), "the system clock is right once more");
}

#[test]
fn gnss_that_repeats_its_time_or_runs_at_another_pace_is_not_believed() {
    let mut machine = machine();
    let stuck = machine.truth() - HOUR;
    for _ in 0..100 {
        machine.pass(1000);
        machine.keeper.gnss_said(stuck, machine.reading(), || Synchronised::Never);
    }
    assert_eq!(machine.error(), time::Duration::ZERO);
    assert_eq!(machine.keeper.state().gnss_ahead, None);
}

#[test]
fn a_small_difference_from_gnss_is_told_and_moves_no_frame() {
    let mut machine = Machine::new(ClockSettings::default(), time::Duration::milliseconds(-1200));
    machine.hear_gnss(20, time::Duration::ZERO);
    assert_eq!(machine.keeper.gnss_ahead(), time::Duration::milliseconds(1200));
    assert_eq!(machine.error(), time::Duration::milliseconds(-1200));
    let mut machine = Machine::new(ClockSettings::default(), time::Duration::milliseconds(-200));
    machine.hear_gnss(20, time::Duration::ZERO);
    assert_eq!(machine.keeper.gnss_ahead(), time::Duration::ZERO, "a latency explains it");
}

#[test]
fn a_receiver_behind_a_synchronised_clock_is_late_and_one_ahead_contradicts() {
    let mut machine = machine();
    machine.synchronised = Synchronised::At(machine.system());
    machine.hear_gnss(60, time::Duration::seconds(-4));
    assert_eq!((machine.error(), machine.keeper.gnss_ahead()), (time::Duration::ZERO, time::Duration::ZERO));
    machine.hear_gnss(60, time::Duration::seconds(4));
    assert_eq!(machine.error(), time::Duration::seconds(4));
}

#[test]
fn while_gnss_stumbles_frames_still_meet_their_fixes() {
    let mut machine = machine();
    machine.hear_gnss(60, time::Duration::ZERO);
    machine.hear_gnss(10, -HOUR);
    assert_eq!((machine.error(), machine.keeper.gnss_ahead()), (time::Duration::ZERO, -HOUR));
}

#[test]
fn a_system_clock_that_is_not_trusted_gives_way_at_once_and_for_good() {
    let settings = ClockSettings { trust_system_clock: false, ..ClockSettings::default() };
    let mut machine = Machine::new(settings, time::Duration::seconds(1));
    machine.hear_gnss(6, time::Duration::ZERO);
    assert_eq!(machine.error(), time::Duration::ZERO);
    machine.synchronised = Synchronised::Unknown;
    machine.pass(3_600_000);
    assert_eq!(machine.error(), time::Duration::ZERO);
}

#[test]
fn a_reading_that_took_too_long_is_no_leap() {
    let mut machine = machine();
    machine.pass(500);
    let busy = Reading { monotonic: machine.monotonic, system: None };
    assert_eq!(machine.keeper.now(busy, || Synchronised::Never), machine.truth());
    assert_eq!(machine.keeper.state().clock_leaps, 0);
}

#[test]
fn an_old_receivers_weeks_are_put_right() {
    let now = datetime!(2026-03-17 09:30 UTC);
    assert_eq!(without_rollover(now), now);
    assert_eq!(without_rollover(now - time::Duration::weeks(1024)), now);
    assert_eq!(without_rollover(now - time::Duration::weeks(2048)), now);
    assert_eq!(without_rollover(OffsetDateTime::UNIX_EPOCH), OffsetDateTime::UNIX_EPOCH);
}

#[test]
fn the_machine_itself_can_be_read() {
    let clock = DeviceClock::start(ClockSettings::default());
    let (first, second) = (clock.now(), clock.now());
    assert!(second >= first && (OffsetDateTime::now_utc() - first).abs() < time::Duration::seconds(60));
}

proptest! {
    /// Whatever the clocks do: time runs with the monotonic clock and never back, but for moves that are counted.
    #[test]
    fn time_never_goes_back_but_for_a_counted_move(
        trust_system_clock in any::<bool>(),
        steps in proptest::collection::vec(
            (0u64..20_000, prop_oneof![4 => Just(0i64), 1 => -5_000i64..5_000], prop_oneof![3 => Just(0i64), 1 => -90_000i64..90_000], 0u8..3),
            1..120,
        ),
    ) {
        let settings = ClockSettings { trust_system_clock, ..ClockSettings::default() };
        let mut machine = Machine::new(settings, time::Duration::ZERO);
        let mut gnss_error = time::Duration::ZERO;
        let mut before = (machine.truth() + machine.error(), machine.monotonic, machine.keeper.state().reanchored);
        for (millis, system_leap, gnss_leap, kind) in steps {
            machine.pass(millis);
            machine.system_error += time::Duration::milliseconds(system_leap);
            gnss_error += time::Duration::milliseconds(gnss_leap);
            machine.synchronised =
                if kind == 0 { Synchronised::Unknown } else { Synchronised::At(machine.system()) };
            if kind < 2 {
                machine.hear_gnss(1, gnss_error);
            }
            let now = machine.truth() + machine.error();
            let (said, monotonic, reanchored) = before;
            if machine.keeper.state().reanchored == reanchored {
                prop_assert!(now >= said, "{said} then {now}");
                let passed = machine.monotonic - monotonic;
                let astray = ((now - said) - passed).abs();
                prop_assert!(astray <= time::Duration::milliseconds(1) + passed / 1000, "{astray}");
            }
            before = (now, machine.monotonic, machine.keeper.state().reanchored);
        }
    }
}
