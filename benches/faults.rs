//! The trial of delivery: `make faults`. Events are committed on a device, and device, broker and town are killed again and
//! again (SIGKILL) while they travel over a link that loses packets and breaks. At the end every committed event must be in the
//! town's store, once.
//!
//! Real are the spool and the publisher (in a process of their own, in a network namespace of its own), Mosquitto with its
//! persistence, and `umsicht central serve` with its database. Made up are the events themselves.
//!
//! Needs root for the namespace. Prints what it does and writes `target/faults.json`.

#![allow(clippy::unwrap_used, reason = "a trial that cannot go on stops where it is")]

mod damage;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sha2::{Digest, Sha256};
use umsicht::edge::batch::Batching;
use umsicht::edge::publish::{BrokerConfig, Publisher};
use umsicht::edge::spool::{Draft, Priority, Spool, SpoolSettings};
use umsicht::geo::LatLon;
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::EventId;
use umsicht::schema::event::EventData;
use umsicht::schema::topic::TopicName;

const UMSICHT: &str = env!("CARGO_BIN_EXE_umsicht");
const SETTINGS: SpoolSettings = SpoolSettings { quota_bytes: 512 << 20, batching: Batching::Off, secret: None };
const NAMESPACE: &str = "umsicht-faults";
const TOWN_SIDE: &str = "10.99.77.1";
const DEVICE_SIDE: &str = "10.99.77.2";
const PORT: u16 = 18_883;
const LOSS_PERCENT: u32 = 3;
/// How long the last events may take to arrive once nobody is killed any more.
const LAST_DELIVERY: Duration = Duration::from_secs(900);

#[derive(Parser)]
struct Arguments {
    /// Cargo gives it.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Mean time between two kills.
    #[arg(long, default_value_t = 2_500)]
    every_millis: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "target/faults.json")]
    report: PathBuf,
    /// The role of the device: its folder; prints the id of each event whose commit has returned.
    #[arg(long, hide = true, num_args = 3, value_names = ["FOLDER", "FIRST", "EVENTS_PER_SECOND"])]
    device: Option<Vec<String>>,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(device) = &arguments.device {
        let number = |at: usize| device[at].parse().unwrap();
        return be_the_device(Path::new(&device[0]), number(1), arguments.events, number(2));
    }
    trial(&arguments);
}

fn be_the_device(folder: &Path, first: usize, until: usize, per_second: usize) {
    let spool = Arc::new(Spool::open(folder, SETTINGS).unwrap().0);
    let broker =
        BrokerConfig { address: BrokerAddress::plain(TOWN_SIDE, PORT), client_id: "umsicht-trial-device".into() };
    let name = |text| TopicName::new(text).unwrap();
    let publisher = Publisher::new(broker, name("trial"), name("device"), Arc::clone(&spool));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    runtime.spawn(publisher.run(stopping));
    let mut said = std::io::stdout().lock();
    let mut number = first;
    while number < until {
        let count = 8.min(until - number);
        let ids = spool.commit((number..number + count).map(draft).collect()).unwrap();
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        said.write_all(lines.as_bytes()).unwrap();
        said.flush().unwrap();
        number += count;
        std::thread::sleep(Duration::from_secs_f64(count as f64 / per_second as f64));
    }
    std::thread::sleep(Duration::from_secs(3600));
}

/// Each on a place of its own, so that each becomes a defect.
fn draft(number: usize) -> Draft {
    let (row, column) = ((number / 500) as f64, (number % 500) as f64);
    damage::draft("trial", LatLon { lat: 51.0 + row * 0.001, lon: 8.0 + column * 0.002 }, EventData::RoadDamage)
}

/// The processes that are killed.
struct Stage {
    folder: PathBuf,
    reported: Arc<Mutex<HashSet<EventId>>>,
    committed: Arc<AtomicUsize>,
    events: usize,
    per_second: usize,
    device: Option<Child>,
    broker: Option<Child>,
    town: Option<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Device,
    Broker,
    Town,
}

impl Stage {
    fn start(&mut self, role: Role) {
        match role {
            Role::Device => self.device = Some(self.start_device()),
            Role::Broker => {
                let mosquitto = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(PathBuf::from);
                let program = mosquitto.iter().find(|path| path.exists()).expect("mosquitto is installed");
                self.broker = Some(quiet(Command::new(program).arg("-c").arg(self.folder.join("mosquitto.conf"))));
            }
            Role::Town => {
                let config = self.folder.join("central.toml");
                self.town = Some(quiet(Command::new(UMSICHT).args(["central", "serve", "--config"]).arg(config)));
            }
        }
    }

    fn start_device(&self) -> Child {
        let (first, events) = (self.committed.load(Ordering::SeqCst), self.events);
        let mut child = Command::new("ip")
            .args(["netns", "exec", NAMESPACE])
            .arg(std::env::current_exe().unwrap())
            .args(["--events", &events.to_string(), "--device"])
            .arg(self.folder.join("spool"))
            .args([first.to_string(), self.per_second.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::options().append(true).create(true).open(self.folder.join("device.log")).unwrap())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (reported, committed) = (Arc::clone(&self.reported), Arc::clone(&self.committed));
        std::thread::spawn(move || {
            // The last line before a kill may be cut off: that commit has returned, but nobody was told.
            for id in said.lines().map_while(Result::ok).filter_map(|line| line.parse().ok()) {
                if reported.lock().unwrap().insert(id) {
                    committed.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        child
    }

    fn kill(&mut self, role: Role) {
        let process = match role {
            Role::Device => &mut self.device,
            Role::Broker => &mut self.broker,
            Role::Town => &mut self.town,
        };
        let mut process = process.take().expect("it was started");
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in [&mut self.device, &mut self.broker, &mut self.town].into_iter().flatten() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn trial(arguments: &Arguments) {
    let link = Link::new();
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let kill_seconds = arguments.kills as f64 * arguments.every_millis as f64 / 1e3;
    let mut stage = Stage {
        folder: folder.path().to_owned(),
        reported: Arc::default(),
        committed: Arc::default(),
        events: arguments.events,
        // The last events are committed about when the last kill comes.
        per_second: ((arguments.events as f64 / kill_seconds * 1.1) as usize).max(50),
        device: None,
        broker: None,
        town: None,
    };
    for role in [Role::Broker, Role::Town, Role::Device] {
        stage.start(role);
        std::thread::sleep(Duration::from_millis(500));
    }
    let started = Instant::now();
    let mut dice = ChaCha8Rng::seed_from_u64(arguments.seed);
    let mut kills: BTreeMap<Role, usize> = BTreeMap::new();
    let mut cuts = 0;
    for number in 1..=arguments.kills {
        let pause =
            Duration::from_millis(dice.random_range(arguments.every_millis / 2..arguments.every_millis * 3 / 2));
        if dice.random_bool(0.3) {
            link.cut(pause.mul_f64(dice.random_range(0.1..0.6)));
            cuts += 1;
        }
        std::thread::sleep(pause);
        let role = [Role::Device, Role::Broker, Role::Town][dice.random_range(0..3)];
        stage.kill(role);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..1000)));
        stage.start(role);
        *kills.entry(role).or_default() += 1;
        let committed = stage.committed.load(Ordering::SeqCst);
        eprintln!(
            "kill {number} of {}: {role:?}; {committed} of {} events committed",
            arguments.kills, arguments.events
        );
    }
    eprintln!("no more kills; waiting for the last events");
    let arrived = wait_for_all(&stage, &folder.path().join("central.sqlite"));
    let seconds = started.elapsed().as_secs_f64();
    stage.kill(Role::Device);
    let (spool, _) = Spool::open(&folder.path().join("spool"), SETTINGS).unwrap();
    let stats = spool.stats();
    let evicted: u64 = Priority::ALL.into_iter().map(|priority| stats.losses.of(priority)).sum();
    let reported = stage.reported.lock().unwrap();
    let present: HashSet<EventId> = arrived.ids.iter().copied().collect();
    let lost = reported.difference(&present).count();
    let duplicated = (arrived.ids.len() - present.len()).max(arrived.in_defects.abs_diff(arrived.ids.len()));
    let report = json!({
        "reported": reported.len(),
        "lost": lost,
        "duplicated": duplicated,
        "evicted": evicted,
        "unreadable": stats.losses.unreadable,
        "left_in_spool": stats.items,
        "arrived": present.len(),
        "kills": arguments.kills,
        "kills_by_role": kills.iter().map(|(role, count)| (format!("{role:?}").to_lowercase(), *count)).collect::<BTreeMap<_, _>>(),
        "link": link.description,
        "link_cuts": cuts,
        "seconds": seconds,
        "seed": arguments.seed,
        "commit": umsicht::COMMIT,
        "binary_sha256": sha256_of(Path::new(UMSICHT)),
    });
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    if let Some(parent) = arguments.report.parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    std::fs::write(&arguments.report, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    eprintln!("written to {}", arguments.report.display());
    let failed = lost > 0 || duplicated > 0 || reported.len() < arguments.events;
    drop(reported);
    drop(stage);
    std::process::exit(i32::from(failed));
}

/// What the town's store holds.
struct Arrived {
    ids: Vec<EventId>,
    /// Sightings that all defects together say they have.
    in_defects: usize,
}

fn wait_for_all(stage: &Stage, database: &Path) -> Arrived {
    let started = Instant::now();
    let mut told = Instant::now();
    loop {
        let all_committed = stage.committed.load(Ordering::SeqCst) >= stage.events;
        let count = count(database);
        let all_there = all_committed && count >= stage.reported.lock().unwrap().len();
        if all_there || started.elapsed() > LAST_DELIVERY {
            return arrived(database);
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{count} events have arrived");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn arrived(database: &Path) -> Arrived {
    let ids: Vec<Vec<u8>> =
        asked(database, async |pool| sqlx::query_scalar("SELECT id FROM sightings").fetch_all(pool).await);
    let in_defects: Option<i64> =
        asked(database, async |pool| sqlx::query_scalar("SELECT sum(sightings) FROM defects").fetch_one(pool).await);
    Arrived {
        ids: ids.iter().map(|id| EventId::from_bytes(id.as_slice().try_into().unwrap())).collect(),
        in_defects: usize::try_from(in_defects.unwrap_or(0)).unwrap(),
    }
}

fn count(database: &Path) -> usize {
    let count: i64 =
        asked(database, async |pool| sqlx::query_scalar("SELECT count(*) FROM sightings").fetch_one(pool).await);
    usize::try_from(count).unwrap()
}

fn asked<T>(database: &Path, ask: impl AsyncFnOnce(&sqlx::SqlitePool) -> sqlx::Result<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).read_only(true);
        let pool = sqlx::SqlitePool::connect_with(options.busy_timeout(Duration::from_secs(30))).await.unwrap();
        let answer = ask(&pool).await.unwrap();
        pool.close().await;
        answer
    })
}

/// The broker saves what it holds every second, and the town's service listens on a free port.
fn configure(folder: &Path) {
    let broker = format!(
        "listener {PORT} {TOWN_SIDE}\nallow_anonymous true\nuser root\nmax_queued_messages 0\npersistence true\n\
         persistence_location {}/\nautosave_interval 1\n",
        folder.display()
    );
    std::fs::write(folder.join("mosquitto.conf"), broker).unwrap();
    let central = format!(
        "site = \"trial\"\n[town]\nname = \"Trial\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [broker]\nhost = \"{TOWN_SIDE}\"\nport = {PORT}\n[store]\ndatabase = \"central.sqlite\"\n"
    );
    std::fs::write(folder.join("central.toml"), central).unwrap();
}

fn quiet(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A pair of network interfaces; the device's end lies in a namespace of its own and loses packets.
struct Link {
    description: String,
}

impl Link {
    fn new() -> Self {
        let _ = ip(&["netns", "del", NAMESPACE]);
        let _ = ip(&["link", "del", "umfaults0"]);
        let steps: [&[&str]; 7] = [
            &["netns", "add", NAMESPACE],
            &["link", "add", "umfaults0", "type", "veth", "peer", "name", "umfaults1", "netns", NAMESPACE],
            &["addr", "add", &format!("{TOWN_SIDE}/30"), "dev", "umfaults0"],
            &["link", "set", "umfaults0", "up"],
            &["-n", NAMESPACE, "addr", "add", &format!("{DEVICE_SIDE}/30"), "dev", "umfaults1"],
            &["-n", NAMESPACE, "link", "set", "umfaults1", "up"],
            &["-n", NAMESPACE, "link", "set", "lo", "up"],
        ];
        for step in steps {
            if !ip(step) {
                eprintln!("stopped: `ip {}` failed; this trial needs root and network namespaces", step.join(" "));
                std::process::exit(69);
            }
        }
        let loss = format!("{LOSS_PERCENT}%");
        let netem = ["netns", "exec", NAMESPACE, "tc", "qdisc", "add", "dev", "umfaults1", "root", "netem"];
        if ip(&[&netem[..], &["loss", &loss, "delay", "20ms", "10ms"]].concat()) {
            return Self { description: format!("netem: {loss} loss, 20 ± 10 ms") };
        }
        // A kernel without netem: the packet filter drops by chance, in both directions; there is no delay then.
        let chain = |hook: &str| {
            format!(
                "chain {hook} {{\ntype filter hook {hook} priority 0;\n\
                 numgen random mod 100 < {LOSS_PERCENT} drop;\n}}\n"
            )
        };
        let rules = format!("table inet faults {{\n{}{}}}\n", chain("input"), chain("output"));
        let mut nft = Command::new("ip")
            .args(["netns", "exec", NAMESPACE, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        if !nft.wait().unwrap().success() {
            eprintln!(
                "stopped: neither `tc … netem` nor `nft` can lose packets here; on Debian: apt-get install nftables"
            );
            std::process::exit(69);
        }
        Self { description: format!("nftables: {loss} loss each way (this kernel has no netem, so no delay)") }
    }

    /// Breaks the link for a while.
    fn cut(&self, length: Duration) {
        ip(&["link", "set", "umfaults0", "down"]);
        std::thread::sleep(length);
        ip(&["link", "set", "umfaults0", "up"]);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", NAMESPACE]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn sha256_of(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
