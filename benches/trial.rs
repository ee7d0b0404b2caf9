//! Runs a watch over a simulated camera, and copies of it into every kind of harm.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use umsicht::edge::blind::{BlindPolicy, BlindWatch, Change, Look, Place};
use umsicht::edge::frame::CameraImage;
use umsicht::schema::blind::BlindReason;
use umsicht::world::dice::Dice;

use super::views::{Harm, LOOKS_PER_SECOND, Turned, View, Watched, harmed};

/// What a promise covers: the scene must show something to begin with.
const LEAST_LUMA: f32 = 50.0;
const TICK: Duration = Duration::from_millis(100);
/// A turned camera needs a scene that resembles what it has seen before; so many are found in time, the others later.
const MOVED_SHARE: f64 = 0.95;
/// How long a harm lasts, in seconds that count.
const HARM_SECONDS: f64 = 120.0;

/// Up, down and aside: 3° at the least where 65° are seen across.
const TURNS: [Turned; 4] = [(0, 11), (0, -11), (12, 0), (-12, 0)];

/// When copies of the watch are put to the test.
pub struct Tested {
    /// It must have seen enough by then.
    pub first_seconds: f64,
    /// On average.
    pub every_seconds: f64,
}

#[derive(Default)]
pub struct Trial {
    hours: f64,
    pub false_blinds: Vec<(BlindReason, f64)>,
    /// Seconds until blind by the reason that was brought about; `None`: not found in [`HARM_SECONDS`].
    pub found: BTreeMap<&'static str, Vec<Option<f64>>>,
    /// Which reason was told, by what was brought about.
    pub told: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
}

/// A copy of the watch that meets a harm.
struct Branch {
    harm: Harm,
    watch: BlindWatch,
    dice: Dice,
    /// Seconds that count: of driving for a moved camera on the road.
    seconds: f64,
    frozen: Option<Look>,
}

impl Trial {
    pub fn run(place: Place, hours: f64, seed: u64, tested: Tested, mut camera: impl Watched) -> Self {
        let mut trial = Self { hours, ..Self::default() };
        let mut watch = BlindWatch::new(BlindPolicy::new(place));
        let mut dice = Dice::new(seed, 72);
        let mut branches: Vec<Branch> = Vec::new();
        let mut next_harm = tested.first_seconds;
        let step = 1.0 / f64::from(LOOKS_PER_SECOND);
        let mut turn = (0, 0);
        for number in 1..(hours * 3600.0 / step) as u64 {
            let seconds = number as f64 * step;
            let at = Duration::from_secs_f64(seconds);
            // The same moment, had the camera been turned.
            let turned = (!branches.is_empty()).then(|| camera.clone().next(turn));
            let view = camera.next((0, 0));
            let look = Look::of(&CameraImage::new(view.picture.clone()));
            let mut changes: Vec<Option<Change>> = (1..5).rev().map(|k| watch.tick(at - TICK * k)).collect();
            changes.push(watch.see(&look, at));
            for change in changes.into_iter().flatten() {
                if let Change::Blind { reason, since } = change {
                    eprintln!("{place:?}: {reason} since {} s, told at {seconds} s", since.as_secs());
                    trial.false_blinds.push((reason, seconds));
                }
            }
            if seconds >= next_harm && branches.is_empty() && watch.current().is_none() {
                next_harm = seconds + dice.between(0.5, 1.5) * tested.every_seconds;
                turn = TURNS[dice.index(TURNS.len())];
                branches = harms(&mut dice, turn)
                    .into_iter()
                    .filter(|harm| look.mean_luma >= LEAST_LUMA || matches!(harm, Harm::NoFrames | Harm::Frozen))
                    .map(|harm| Branch { harm, watch: watch.clone(), dice: dice.clone(), seconds: 0.0, frozen: None })
                    .collect();
            }
            if let Some(turned) = turned {
                branches.retain_mut(|branch| branch.goes_on(&view, &turned, &look, at, place, &mut trial));
            }
        }
        trial
    }

    pub fn keeps_promises(&self) -> bool {
        let kept = |names: &[&str], limit: f64, share: f64| {
            names.iter().filter_map(|name| self.found.get(*name)).all(|times| within(times, limit) >= share)
        };
        self.false_blinds.len() as f64 <= (self.hours / 8.0).ceil()
            && kept(&["no_frames", "covered", "frozen", "dark", "glare"], 5.0, 1.0)
            && kept(&["defocused"], 30.0, 1.0)
            && kept(&["moved", "moved_aside"], 30.0, MOVED_SHARE)
    }

    pub fn json(&self) -> Value {
        let found = self.found.iter().map(|(name, times)| {
            let mut seconds: Vec<f64> = times.iter().flatten().copied().collect();
            seconds.sort_by(f64::total_cmp);
            let at = |share: f64| seconds.get(((seconds.len().max(1) - 1) as f64 * share).round() as usize);
            let row = json!({
                "trials": times.len(), "missed": times.len() - seconds.len(),
                "share_within_5_seconds": within(times, 5.0), "share_within_30_seconds": within(times, 30.0), "told_as": self.told.get(name),
                "p50_seconds": at(0.5), "p95_seconds": at(0.95), "max_seconds": at(1.0),
            });
            ((*name).to_owned(), row)
        });
        let false_blinds: Vec<Value> =
            self.false_blinds.iter().map(|(reason, at)| json!({ "reason": reason, "at_seconds": at })).collect();
        json!({ "false_blinds": false_blinds, "found": found.collect::<serde_json::Map<_, _>>() })
    }
}

/// Share of the trials that were found within so many seconds.
fn within(times: &[Option<f64>], limit: f64) -> f64 {
    let found = times.iter().flatten().filter(|seconds| **seconds <= limit).count();
    found as f64 / times.len().max(1) as f64
}

impl Branch {
    /// Until it was found, or for as long as a harm lasts.
    fn goes_on(
        &mut self,
        view: &View,
        turned: &View,
        look: &Look,
        at: Duration,
        place: Place,
        trial: &mut Trial,
    ) -> bool {
        let step = 1.0 / f64::from(LOOKS_PER_SECOND);
        let counts = place == Place::Pool || view.moves || !matches!(self.harm, Harm::Moved(_));
        self.seconds += if counts { step } else { 0.0 };
        let mut changes: Vec<Option<Change>> = (1..5).rev().map(|k| self.watch.tick(at - TICK * k)).collect();
        changes.push(match self.harm {
            Harm::NoFrames => self.watch.tick(at),
            Harm::Frozen => {
                let frozen = self.frozen.get_or_insert_with(|| look.clone());
                self.watch.see(frozen, at)
            }
            harm => {
                let seen = if matches!(harm, Harm::Moved(_)) { turned } else { view };
                let picture = harmed(seen.picture.clone(), harm, &mut self.dice);
                self.watch.see(&Look::of(&CameraImage::new(picture)), at)
            }
        });
        let (name, as_good) = expected(self.harm);
        let told = changes.into_iter().flatten().find_map(|change| match change {
            Change::Blind { reason, .. } => Some(reason),
            Change::Recovered { .. } => None,
        });
        if let Some(reason) = told {
            *trial.told.entry(name).or_default().entry(reason.name()).or_default() += 1;
        }
        let found = told.is_some_and(|reason| as_good.contains(&reason));
        if !found && self.seconds < HARM_SECONDS {
            return true;
        }
        if !found {
            eprintln!("{place:?}: missed {:?} from {} s on, {:?}", self.harm, at.as_secs(), self.watch.shift());
        }
        trial.found.entry(name).or_default().push(found.then_some(self.seconds));
        false
    }
}

/// Every harm once, each of random strength.
fn harms(dice: &mut Dice, turn: Turned) -> Vec<Harm> {
    let mut between = |low: f64, high: f64| dice.between(low, high) as f32;
    vec![
        Harm::NoFrames,
        Harm::Frozen,
        Harm::Dark { left: between(0.0, 0.03) },
        Harm::Glare { veil: between(0.95, 1.0) },
        // A hand, a cloth, paper, dirt that leaves a strip.
        Harm::Covered { luma: between(50.0, 140.0), slope: between(-60.0, 60.0), open_share: 0.0 },
        Harm::Covered { luma: between(0.0, 20.0), slope: 0.0, open_share: 0.0 },
        Harm::Covered { luma: between(150.0, 220.0), slope: between(-60.0, 60.0), open_share: 0.0 },
        Harm::Covered { luma: between(40.0, 100.0), slope: 20.0, open_share: between(0.05, 0.12) },
        // Out of focus, and steamed up.
        Harm::Defocused { blur_share: between(0.004, 0.015), contrast: 1.0 },
        Harm::Defocused { blur_share: between(0.006, 0.02), contrast: between(0.4, 0.7) },
        Harm::Moved(turn),
    ]
}

/// Its name, and which reasons tell a person the right thing.
fn expected(harm: Harm) -> (&'static str, &'static [BlindReason]) {
    use BlindReason::{Covered, Dark, Defocused, Frozen, Glare, Moved, NoFrames};
    match harm {
        Harm::NoFrames => ("no_frames", &[NoFrames]),
        Harm::Frozen => ("frozen", &[Frozen]),
        Harm::Dark { .. } => ("dark", &[Dark, Covered]),
        Harm::Glare { .. } => ("glare", &[Glare, Covered]),
        Harm::Covered { .. } => ("covered", &[Covered, Dark, Glare]),
        Harm::Defocused { .. } => ("defocused", &[Defocused, Covered]),
        Harm::Moved((0, _)) => ("moved", &[Moved]),
        Harm::Moved(_) => ("moved_aside", &[Moved]),
    }
}
