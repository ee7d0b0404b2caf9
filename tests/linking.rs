//! From everything that passes the broker nobody can join two events of one vehicle, sightings or stretches of road that it drove,
//! that lie more than 250 m apart: guessing among what lies within reach does as well.
//!
//! Ten simulated vehicles drive through a simulated town; their events travel through real spools, publishers and a real
//! Mosquitto, and a listener records payloads and the order of arrival. The attacker knows all of that, and the map: he
//! looks for the next event among those that lie 250 to 600 m ahead, and for the next stretch among those straight ahead on the
//! same street. Without knowing more he is right as often as chance has it; every rule that reads the stream may be right at
//! most 1.2 times as often. The hour is shortened to some seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event as MqttEvent, MqttOptions};
use time::OffsetDateTime;
use time::macros::datetime;
use umsicht::edge::batch::Batching;
use umsicht::edge::coverage::{Coverage, CoveragePolicy, Stretch};
use umsicht::edge::fix::Fix;
use umsicht::edge::judge::road::{Sighting, accuracy_class_metres};
use umsicht::edge::mask::NoPicture;
use umsicht::edge::publish::{BrokerConfig, Publisher};
use umsicht::edge::report::{PassId, Reporter};
use umsicht::edge::spool::{Draft, MIN_QUOTA_BYTES, Spool, SpoolSettings};
use umsicht::geo::{Covariance, EastNorth, LatLon, LocalFrame, direction_of};
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::device_tag::DeviceSecret;
use umsicht::schema::event::EventData;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{DamageClass, Event, EventId, ModelRef, PassTag, RoadCoverage, Unusable};

use crate::support::mosquitto::Mosquitto;

const VEHICLES: usize = 10;
/// Of each.
const SIGHTINGS: usize = 600;
const AT_ONCE: usize = 120;
const BATCH: Duration = Duration::from_secs(24);
const BLOCK_METRES: f64 = 120.0;
/// At 15 m/s.
const BLOCK_TIME: Duration = Duration::from_secs(8);
/// Streets in each direction.
const STREETS: i32 = 16;
const TOO_FAR_METRES: f64 = 250.0;
const REACH_METRES: f64 = 600.0;
const BEGIN: OffsetDateTime = datetime!(2026-03-17 09:00 UTC);
const ORIGIN: LatLon = LatLon { lat: 51.57, lon: 8.11 };

/// What the attacker has of one event.
struct Seen {
    event: Event,
    at: EastNorth,
    heading_degrees: f64,
    ahead: EastNorth,
    /// The first digits of its device tag and of its id, as numbers.
    tag: u64,
    id: u64,
}

impl Seen {
    fn of(event: Event) -> Self {
        let heading_degrees = match &event.data {
            EventData::RoadCoverage(coverage) => coverage.heading_degrees,
            data => data.damage().unwrap().heading_degrees,
        };
        let at = LocalFrame::at(ORIGIN).local_from_latlon(place_of(&event.data));
        let tag = event.device_tag.as_ref().map_or(0, |tag| leading(&tag.0));
        let id = leading(&event.id.to_string());
        Self { at, heading_degrees, ahead: direction_of(heading_degrees), tag, id, event }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_events_is_no_better_than_chance() {
    let Some(seen) = captured(Batching::every(BATCH).unwrap()).await else { return };
    let (truth, seen) = seen;
    for (rule, ratio) in ratios(&truth, &seen) {
        assert!(ratio <= 1.2, "{rule}: right {ratio:.2} times as often as chance");
        eprintln!("{rule}: {ratio:.2} × chance");
    }
}

/// Otherwise the test above would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_batches_the_same_attacker_follows_the_vehicles() {
    let Some((truth, seen)) = captured(Batching::Off).await else { return };
    let best = ratios(&truth, &seen).into_iter().map(|(_, ratio)| ratio).fold(0.0, f64::max);
    assert!(best > 2.0, "only {best:.2} × chance");
}

/// Which vehicle an event is of.
type Truth = HashMap<EventId, usize>;

async fn captured(batching: Batching) -> Option<(Truth, Vec<Seen>)> {
    let broker = Mosquitto::start(false)?;
    let arrived = listen(broker.port());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let damages = damages(&mut dice);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let folders = tempfile::tempdir().unwrap();
    let (mut spools, mut publishing, mut truth) = (Vec::new(), Vec::new(), Truth::new());
    for vehicle in 0..VEHICLES {
        let secret = Some(DeviceSecret::from_bytes([vehicle as u8 + 1; 32]));
        let settings = SpoolSettings { quota_bytes: MIN_QUOTA_BYTES, batching, secret };
        let folder = folders.path().join(vehicle.to_string());
        let spool = Arc::new(Spool::open(&folder, settings).unwrap().0);
        let address = BrokerAddress::plain("127.0.0.1", broker.port());
        let link = BrokerConfig { address, client_id: format!("vehicle-{vehicle}") };
        let name = |text: &str| TopicName::new(text).unwrap();
        let publisher = Publisher::new(link, name("soest"), name(&format!("v{vehicle}")), Arc::clone(&spool));
        publishing.push(tokio::spawn(publisher.run(stopping.clone())));
        spools.push(spool);
    }
    let drives: Vec<Vec<Driven>> = (0..VEHICLES).map(|vehicle| drive(vehicle, &damages, &mut dice)).collect();
    let mut reporters: Vec<Reporter> = (0..VEHICLES).map(|_| Reporter::new(PassId::random(), model(), true)).collect();
    // All see what they see in the same batch, in turns of some sightings each.
    until_a_batch_begins().await;
    let longest = drives.iter().map(Vec::len).max().unwrap();
    for first in (0..longest).step_by(AT_ONCE) {
        for vehicle in 0..VEHICLES {
            let driven = drives[vehicle].iter().skip(first).take(AT_ONCE);
            let drafts = driven.filter_map(|driven| draft(&mut reporters[vehicle], driven)).collect();
            let spool = Arc::clone(&spools[vehicle]);
            let ids = tokio::task::spawn_blocking(move || spool.commit(drafts).unwrap()).await.unwrap();
            truth.extend(ids.into_iter().map(|id| (id, vehicle)));
        }
    }
    let started = Instant::now();
    while arrived.lock().unwrap().len() < truth.len() {
        assert!(started.elapsed() < 4 * BATCH, "{} of {} have arrived", arrived.lock().unwrap().len(), truth.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.send_replace(true);
    for task in publishing {
        task.await.unwrap();
    }
    let mut payloads = std::mem::take(&mut *arrived.lock().unwrap());
    // No connection breaks here. One that breaks sends again what was on its way, between two words about the device that it
    // was away: whoever reads both knows whose these few events are, as the guide for data protection says.
    let mut known = std::collections::HashSet::new();
    payloads.retain(|event| known.insert(event.id));
    Some((truth, payloads.into_iter().map(Seen::of).collect()))
}

/// Batches begin at the same moments everywhere.
async fn until_a_batch_begins() {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let into = Duration::from_nanos(u64::try_from(since_epoch.as_nanos() % BATCH.as_nanos()).unwrap());
    tokio::time::sleep(BATCH - into).await;
}

fn draft(reporter: &mut Reporter, driven: &Driven) -> Option<Draft> {
    let (data, at) = match driven {
        Driven::Past(sighting) => {
            (EventData::RoadDamage(reporter.draft(sighting, sighting.best_seen_at)?), sighting.best_seen_at)
        }
        Driven::Along(stretch) => (EventData::RoadCoverage(reporter.coverage(stretch, true)), stretch.driven_at),
    };
    let ordinal = Some(reporter.ordinal(place_of(&data), at));
    Some(Draft { source: "/umsicht/soest".into(), time: BEGIN, ordinal, data, picture: None })
}

fn place_of(data: &EventData) -> LatLon {
    match data {
        EventData::RoadDamage(damage) => damage.position,
        EventData::RoadCoverage(coverage) => coverage.middle(),
        other => unreachable!("nobody sends {:?}", other.kind()),
    }
}

fn coverage(seen: &Seen) -> Option<&RoadCoverage> {
    match &seen.event.data {
        EventData::RoadCoverage(coverage) => Some(coverage),
        _ => None,
    }
}

fn pass(seen: &Seen) -> &PassTag {
    match &seen.event.data {
        EventData::RoadCoverage(coverage) => &coverage.pass,
        data => &data.damage().unwrap().pass,
    }
}

fn sigma_metres(seen: &Seen) -> f64 {
    match &seen.event.data {
        EventData::RoadCoverage(coverage) => coverage.accuracy_metres,
        data => data.damage().unwrap().position_covariance.sigma_metres(),
    }
}

/// How far from the middle of its street a stretch seems to have been driven, on average of its ends: what it takes to know a
/// receiver again that places its vehicle beside the road.
fn beside_metres(seen: &Seen) -> f64 {
    let Some(coverage) = coverage(seen) else { return 0.0 };
    let frame = LocalFrame::at(ORIGIN);
    let off = |end: LatLon| {
        let at = frame.local_from_latlon(end);
        let along_east = (seen.heading_degrees - 90.0).to_radians().cos().abs() > 0.7;
        let across = if along_east { at.north_metres } else { at.east_metres };
        across - (across / BLOCK_METRES).round() * BLOCK_METRES
    };
    0.5 * (off(coverage.from) + off(coverage.to))
}

/// Which further events somebody takes for those of the same vehicle.
type Reach = fn(&Seen, &Seen) -> bool;

/// How often each rule of the attacker is right, in terms of chance: among all that lies ahead, and among the stretches of road
/// straight ahead on the same street, where the street itself says nothing any more.
fn ratios(truth: &Truth, seen: &[Seen]) -> Vec<(String, f64)> {
    let reaches: [(&str, Reach); 2] = [("ahead", is_within_reach), ("straight on", is_straight_on)];
    reaches.into_iter().flat_map(|(name, reach)| ratios_within(name, reach, truth, seen)).collect()
}

fn ratios_within(reach_name: &str, reach: Reach, truth: &Truth, seen: &[Seen]) -> Vec<(String, f64)> {
    // A rule gives each candidate a distance; the nearest is taken for the next event of the same vehicle.
    type Rule = fn(usize, &Seen, usize, &Seen) -> f64;
    // What only stretches tell counts as unlike where there is none.
    fn of_both(a: &Seen, b: &Seen, unlike: impl Fn(&RoadCoverage, &RoadCoverage) -> f64) -> f64 {
        coverage(a).zip(coverage(b)).map_or(f64::MAX, |(a, b)| unlike(a, b))
    }
    let rules: [(&'static str, Rule); 12] = [
        ("arrives next", |at, _, other, _| if other > at { (other - at) as f64 } else { f64::MAX }),
        ("arrives nearest", |at, _, other, _| other.abs_diff(at) as f64),
        ("same pass tag", |_, a, _, b| f64::from(pass(a) != pass(b))),
        ("same ordinal", |_, a, _, b| f64::from(a.event.ordinal != b.event.ordinal)),
        ("nearest ordinal", |_, a, _, b| {
            let ordinal = |seen: &Seen| f64::from(seen.event.ordinal.map_or(0, |ordinal| ordinal.0));
            (ordinal(a) - ordinal(b)).abs()
        }),
        ("nearest device tag", |_, a, _, b| a.tag.abs_diff(b.tag) as f64),
        ("nearest id", |_, a, _, b| a.id.abs_diff(b.id) as f64),
        ("likest accuracy", |_, a, _, b| (sigma_metres(a) - sigma_metres(b)).abs()),
        ("likest usable share", |_, a, _, b| {
            let share = |coverage: &RoadCoverage| coverage.usable_metres / coverage.length_metres;
            of_both(a, b, |a, b| (share(a) - share(b)).abs())
        }),
        ("likest reasons", |_, a, _, b| {
            let has = |coverage: &RoadCoverage, why: &Unusable| coverage.unusable.contains_key(why);
            of_both(a, b, |a, b| Unusable::ALL.iter().filter(|why| has(a, why) != has(b, why)).count() as f64)
        }),
        ("likest length", |_, a, _, b| of_both(a, b, |a, b| (a.length_metres - b.length_metres).abs())),
        ("same side of the road", |_, a, _, b| (beside_metres(a) - beside_metres(b)).abs()),
    ];
    let vehicle = |at: usize| truth[&seen[at].event.id];
    let (mut chance, mut right, mut tried) = (0.0, BTreeMap::<&str, f64>::new(), 0);
    for at in 0..seen.len() {
        let candidates: Vec<usize> = (0..seen.len()).filter(|other| reach(&seen[at], &seen[*other])).collect();
        let own = candidates.iter().filter(|other| vehicle(**other) == vehicle(at)).count();
        if own == 0 {
            continue;
        }
        tried += 1;
        chance += own as f64 / candidates.len() as f64;
        for (name, rule) in &rules {
            let distances: Vec<f64> =
                candidates.iter().map(|other| rule(at, &seen[at], *other, &seen[*other])).collect();
            let least = distances.iter().copied().fold(f64::MAX, f64::min);
            let best: Vec<usize> =
                candidates.iter().zip(&distances).filter(|(_, d)| **d <= least).map(|(other, _)| *other).collect();
            // Among equals he guesses.
            let own = best.iter().filter(|other| vehicle(**other) == vehicle(at)).count();
            *right.entry(name).or_default() += own as f64 / best.len() as f64;
        }
    }
    assert!(tried > 1500, "too few have a next one {reach_name}: {tried}");
    let share = chance / f64::from(tried);
    assert!(share < 0.5, "there must be something to confuse them with: {share}");
    eprintln!("{reach_name}: {tried} events, chance {share:.3}");
    right.into_iter().map(|(name, count)| (format!("{name}, {reach_name}"), count / chance)).collect()
}

/// Ahead of the vehicle, further than what may be linked and no further than it is worth looking.
fn is_within_reach(from: &Seen, to: &Seen) -> bool {
    let (metres, ahead, _) = from_to(from, to);
    (TOO_FAR_METRES..REACH_METRES).contains(&metres) && ahead > 0.5 * metres
}

/// The same, along the same street and in the same direction.
fn is_straight_on(from: &Seen, to: &Seen) -> bool {
    let (metres, ahead, aside) = from_to(from, to);
    (TOO_FAR_METRES..REACH_METRES).contains(&metres)
        && ahead > 0.0
        && aside < 20.0
        && coverage(from).is_some()
        && coverage(to).is_some()
        && from.ahead.east_metres * to.ahead.east_metres + from.ahead.north_metres * to.ahead.north_metres > 0.97
}

/// Distance, the part of it in the direction of travel, and the part across.
fn from_to(from: &Seen, to: &Seen) -> (f64, f64, f64) {
    let (east, north) = (to.at.east_metres - from.at.east_metres, to.at.north_metres - from.at.north_metres);
    let EastNorth { east_metres: sin, north_metres: cos } = from.ahead;
    (east.hypot(north), east * sin + north * cos, (east * cos - north * sin).abs())
}

/// Its first hexadecimal digits as a number.
fn leading(digits: &str) -> u64 {
    u64::from_str_radix(&digits.chars().filter(char::is_ascii_hexdigit).take(12).collect::<String>(), 16).unwrap()
}

/// What a vehicle has to report, in the order in which it drove.
enum Driven {
    Past(Sighting),
    Along(Stretch),
}

struct Damage {
    at: EastNorth,
    along_east: bool,
    class: DamageClass,
    length_metres: f64,
}

/// Some on each block, in both directions.
fn damages(dice: &mut ChaCha8Rng) -> Vec<Damage> {
    let mut all = Vec::new();
    for street in 0..STREETS {
        for block in 0..STREETS - 1 {
            for along_east in [true, false] {
                for _ in 0..dice.random_range(1..3) {
                    let along = (f64::from(block) + dice.random_range(0.1..0.9)) * BLOCK_METRES;
                    let across = f64::from(street) * BLOCK_METRES + dice.random_range(-2.0..2.0);
                    let at = if along_east { EastNorth::new(along, across) } else { EastNorth::new(across, along) };
                    let class = DamageClass::ALL[dice.random_range(0..4)];
                    all.push(Damage { at, along_east, class, length_metres: dice.random_range(0.3..3.0) });
                }
            }
        }
    }
    all
}

/// A walk through the grid; what lies on its way is sighted in that order, and the way is covered.
fn drive(vehicle: usize, damages: &[Damage], dice: &mut ChaCha8Rng) -> Vec<Driven> {
    let mut crossing = (dice.random_range(0..STREETS), dice.random_range(0..STREETS));
    let mut direction = (1, 0);
    let (mut driven, mut sighted) = (Vec::new(), 0);
    let mut road = Road { coverage: Coverage::new(CoveragePolicy::default()), vehicle, blind_blocks: 0 };
    let mut now = BEGIN;
    while sighted < SIGHTINGS {
        // Straight on more often than not, and never back at once.
        let turns = [
            (direction.0, direction.1),
            (direction.0, direction.1),
            (direction.1, direction.0),
            (-direction.1, -direction.0),
        ];
        let inside = |(east, north): (i32, i32)| (0..STREETS).contains(&east) && (0..STREETS).contains(&north);
        let next = |turn: (i32, i32)| (crossing.0 + turn.0, crossing.1 + turn.1);
        let open: Vec<(i32, i32)> = turns.into_iter().filter(|turn| inside(next(*turn))).collect();
        direction = open[dice.random_range(0..open.len())];
        let (from, to) = (crossing, next(direction));
        let on_the_way = |damage: &&Damage| {
            let east = (f64::from(from.0.min(to.0)) * BLOCK_METRES, f64::from(from.0.max(to.0)) * BLOCK_METRES);
            let north = (f64::from(from.1.min(to.1)) * BLOCK_METRES, f64::from(from.1.max(to.1)) * BLOCK_METRES);
            damage.along_east == (direction.1 == 0)
                && (east.0 - 5.0..=east.1 + 5.0).contains(&damage.at.east_metres)
                && (north.0 - 5.0..=north.1 + 5.0).contains(&damage.at.north_metres)
        };
        let mut passed: Vec<&Damage> = damages.iter().filter(on_the_way).collect();
        let sign = f64::from(direction.0 + direction.1);
        passed.sort_by(|a, b| {
            let along = |d: &Damage| sign * if d.along_east { d.at.east_metres } else { d.at.north_metres };
            along(a).total_cmp(&along(b))
        });
        for damage in passed {
            sighted += 1;
            let accuracy_metres = accuracy_metres(vehicle, now);
            driven.push(Driven::Past(sighting(damage, direction, accuracy_metres, now, dice)));
        }
        driven.extend(road.block(from, direction, now, dice).into_iter().map(Driven::Along));
        now += BLOCK_TIME;
        crossing = to;
    }
    driven.extend(road.coverage.finish().into_iter().map(Driven::Along));
    driven
}

/// Each receiver has an accuracy of its own, which changes slowly.
fn accuracy_metres(vehicle: usize, now: OffsetDateTime) -> f64 {
    1.1 + 0.06 * vehicle as f64 + 0.2 * ((now - BEGIN).as_seconds_f64() / 200.0).sin().abs()
}

/// One vehicle's way along the streets, and what hinders its view.
struct Road {
    coverage: Coverage,
    vehicle: usize,
    /// The lens stays dirty for so many blocks more.
    blind_blocks: u32,
}

impl Road {
    fn block(
        &mut self,
        from: (i32, i32),
        direction: (i32, i32),
        begun_at: OffsetDateTime,
        dice: &mut ChaCha8Rng,
    ) -> Vec<Stretch> {
        // A lens is dirty now and then for a while; a receiver loses its satellites now and then, and always under a bridge.
        self.blind_blocks = match dice.random_range(0..40) {
            0 => 10,
            _ => self.blind_blocks.saturating_sub(1),
        };
        let is_lost = dice.random_range(0..20) == 0 || (from.0 * 7 + from.1 * 3) % 23 == 0;
        let is_fast = (if direction.1 == 0 { from.1 } else { from.0 }) % 5 == 0;
        let is_wet = from.0 < STREETS / 3 && from.1 < STREETS / 2;
        let usable = match (self.blind_blocks > 0, is_wet) {
            (true, _) => Err(Unusable::Lens),
            (_, true) => Err(Unusable::Wet),
            _ => Ok(()),
        };
        let steps = 24;
        let frame = LocalFrame::at(ORIGIN);
        let mut told = Vec::new();
        for step in 0..steps {
            let share = f64::from(step) / f64::from(steps);
            let at = begun_at + BLOCK_TIME.mul_f64(share);
            // A receiver places its vehicle beside the road, for minutes on the same side.
            let slow = (at - BEGIN).as_seconds_f64() / 300.0 + 2.1 * self.vehicle as f64;
            let beside = EastNorth::new(2.0 * slow.sin(), 2.0 * (1.3 * slow).cos());
            let along = |from: i32, direction: i32| (f64::from(from) + share * f64::from(direction)) * BLOCK_METRES;
            let position = frame.latlon_from_local(EastNorth::new(
                along(from.0, direction.0) + beside.east_metres,
                along(from.1, direction.1) + beside.north_metres,
            ));
            let heading_degrees = f64::from(direction.0).atan2(f64::from(direction.1)).to_degrees().rem_euclid(360.0);
            let speed_metres_per_second = if is_fast { 18.0 } else { 15.0 };
            let accuracy_metres = accuracy_metres(self.vehicle, at);
            let bridged_millis = 0;
            let fix = Fix { at, position, speed_metres_per_second, heading_degrees, accuracy_metres, bridged_millis };
            let has_fix = !(is_lost && (6..16).contains(&step));
            told.extend(self.coverage.see(has_fix.then_some(&fix), usable));
        }
        told
    }
}

fn sighting(
    damage: &Damage,
    direction: (i32, i32),
    accuracy_metres: f64,
    now: OffsetDateTime,
    dice: &mut ChaCha8Rng,
) -> Sighting {
    // As the judge adds them: what the camera leaves open, which differs from view to view, and the receiver.
    let camera = Covariance::isotropic(dice.random_range(0.2..0.8));
    let error = |dice: &mut ChaCha8Rng| dice.random_range(-1.5..1.5);
    let at = EastNorth::new(damage.at.east_metres + error(dice), damage.at.north_metres + error(dice));
    Sighting {
        class: damage.class,
        score: dice.random_range(0.4..0.9),
        position: LocalFrame::at(ORIGIN).latlon_from_local(at),
        position_covariance: camera.plus(Covariance::isotropic(accuracy_class_metres(accuracy_metres))),
        heading_degrees: f64::from(direction.0).atan2(f64::from(direction.1)).to_degrees().rem_euclid(360.0),
        length_metres: damage.length_metres * dice.random_range(0.8..1.2),
        width_metres: dice.random_range(0.2..1.0),
        area_square_metres: dice.random_range(0.1..1.0),
        calibrated: true,
        frames_seen: dice.random_range(2..9),
        // All of one hour, as the payload says it.
        best_seen_at: BEGIN + Duration::from_secs((now - BEGIN).whole_seconds().unsigned_abs() % 3600),
        picture: Err(NoPicture::NotInSight),
    }
}

fn model() -> ModelRef {
    ModelRef { name: "road".into(), version: "1".into(), sha256: "00".into(), trial_operation: false }
}

/// Road events in the order of their arrival.
fn listen(port: u16) -> Arc<Mutex<Vec<Event>>> {
    let mut options = MqttOptions::new("attacker", "127.0.0.1", port);
    let large = ConnectProperties { max_packet_size: Some(1 << 20), ..ConnectProperties::default() };
    options.set_connect_properties(large);
    let arrived: Arc<Mutex<Vec<Event>>> = Arc::default();
    let keep = Arc::clone(&arrived);
    tokio::spawn(async move {
        let (client, mut connection) = AsyncClient::new(options, 10);
        loop {
            match connection.poll().await {
                Ok(MqttEvent::Incoming(Packet::ConnAck(_))) => {
                    client.try_subscribe("umsicht/+/+/road/event/#", QoS::AtLeastOnce).unwrap();
                }
                Ok(MqttEvent::Incoming(Packet::Publish(message))) => {
                    keep.lock().unwrap().push(Event::from_json(&message.payload).unwrap());
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    arrived
}
