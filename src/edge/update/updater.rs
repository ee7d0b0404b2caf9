//! Takes bundles in while the pipeline runs, hands new models over to it, and goes back by itself.
//!
//! The pipeline asks [`Updater::between_frames`] before each frame, which costs the look at one flag while nothing is new.
//! Everything slow, the self-test above all, runs on the thread of whoever offers a bundle.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::edge::config::{ModelConfig, UpdateConfig};
use crate::edge::infer::InferError;
use crate::edge::infer::model::{Manifest, Task};
use crate::edge::update::bundle::Bundle;
use crate::edge::update::inbox::{self, Inbox, Letter};
use crate::edge::update::key::PublicKey;
use crate::edge::update::models::Models;
use crate::edge::update::refusal::Refusal;
use crate::edge::update::selftest::self_test;
use crate::edge::update::state::State;
use crate::edge::update::store::{Store, UpdateError};
use crate::edge::update::trial::{TrialLimits, Verdict};
use crate::schema::health::ModelHealth;

/// A bundle that is in use from now on, on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activated {
    pub version: u64,
}

/// What a look around has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    Fine,
    /// Models were taken back, but the thread that judges does not let go of them: only a new start of the program helps.
    Stuck,
}

pub struct Updater {
    model: ModelConfig,
    /// Or why there is none: a device whose key is lost takes no new models and judges on.
    key: Result<PublicKey, String>,
    limits: TrialLimits,
    /// One bundle at a time.
    offers: Mutex<()>,
    store: Mutex<Store>,
    inbox: Mutex<Inbox>,
    trial: Mutex<Option<Running>>,
    /// What the pipeline takes next; `ready` says whether there is anything.
    next: Mutex<Option<Models>>,
    ready: AtomicBool,
    in_use: Mutex<BTreeMap<String, String>>,
    /// A pipeline works with the models of this updater.
    in_service: AtomicBool,
    given: AtomicU64,
    /// Since the pipeline has taken the newest models.
    judged: AtomicU64,
    /// Until when the pipeline must let go of models that were taken back.
    release_by: Mutex<Option<Instant>>,
}

/// A trial in this run of the program.
#[derive(Debug, Clone, Copy)]
struct Running {
    since: Instant,
    given_before: u64,
}

impl Updater {
    /// Brings the device's models into order, see [`Store::open`]; no other program may do so at the same time.
    pub fn open(config: &UpdateConfig, model: &ModelConfig, limits: TrialLimits) -> Result<Self, UpdateError> {
        let store = Store::open(&config.folder)?;
        std::fs::create_dir_all(&config.inbox).map_err(|source| UpdateError::Disk {
            path: config.inbox.clone(),
            what: "made",
            source,
        })?;
        Ok(Self {
            model: model.clone(),
            key: PublicKey::read(&config.public_key_file).map_err(|error| error.to_string()),
            limits,
            offers: Mutex::new(()),
            store: Mutex::new(store),
            inbox: Mutex::new(Inbox::new(&config.inbox)),
            trial: Mutex::new(None),
            next: Mutex::new(None),
            ready: AtomicBool::new(false),
            in_use: Mutex::default(),
            in_service: AtomicBool::new(false),
            given: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            release_by: Mutex::new(None),
        })
    }

    /// Takes a bundle in: looks at all of it, tries it, and activates it. Whatever is wrong leaves the models as they are.
    pub fn offer(&self, bytes: &[u8], origin: &str) -> Result<Activated, Refusal> {
        let _one_at_a_time = lock(&self.offers);
        let taken = self.take_in(bytes);
        match &taken {
            Ok(Activated { version }) => {
                tracing::info!(
                    version,
                    "models from {origin} are activated; on trial until they have proved themselves"
                );
            }
            Err(refusal) => {
                tracing::warn!("models from {origin} are refused: {refusal}");
                let mut store = lock(&self.store);
                let state = store.state().with_refused(&refusal.to_string());
                store.set(state);
                store.clean();
            }
        }
        taken
    }

    fn take_in(&self, bytes: &[u8]) -> Result<Activated, Refusal> {
        let key = self.key.as_ref().map_err(|reason| Refusal::NoKey(reason.clone()))?;
        let bundle = Bundle::open(bytes, key)?;
        let version = bundle.about.version;
        let staging = {
            let store = lock(&self.store);
            store.check_newer(version)?;
            store.stage(&bundle)?
        };
        let models = self_test(&staging, &self.model, self.has_privacy_model())?;
        let in_service = self.in_service.load(Ordering::Relaxed);
        lock(&self.store).activate(version, in_service)?;
        if in_service {
            // In this order: at no moment is the one version judged by what the other did.
            self.end_trial();
            self.hand_over(models);
            self.begin_trial();
        }
        Ok(Activated { version })
    }

    /// Goes back to the models before, if there are any; returns the version now in use, 0 for what came with the program.
    pub fn roll_back(&self, why: &str) -> Result<Option<u64>, InferError> {
        let _one_at_a_time = lock(&self.offers);
        {
            let mut store = lock(&self.store);
            if store.state().current.is_none() {
                return Ok(None);
            }
            self.end_trial();
            store.take_back(why);
        }
        if self.in_service.load(Ordering::Relaxed) {
            let models = self.open_current()?;
            self.hand_over(models);
        }
        Ok(Some(lock(&self.store).bundle_version()))
    }

    /// The models for a pipeline that starts now.
    pub fn first_models(&self) -> Result<Models, InferError> {
        self.in_service.store(true, Ordering::Relaxed);
        {
            let mut store = lock(&self.store);
            // Before they are loaded: loading alone may bring the program down.
            let started = store.state().with_start();
            store.set(started);
        }
        let on_trial = lock(&self.store).state().trial.is_some();
        if on_trial {
            self.begin_trial();
        }
        let models = self.open_current()?;
        *lock(&self.in_use) = models.in_use();
        Ok(models)
    }

    /// New models, if the pipeline is to go on with others.
    pub fn between_frames(&self) -> Option<Models> {
        if !self.ready.load(Ordering::Acquire) {
            return None;
        }
        let models = {
            let mut next = lock(&self.next);
            self.judged.store(0, Ordering::Relaxed);
            self.ready.store(false, Ordering::Release);
            next.take()?
        };
        *lock(&self.release_by) = None;
        *lock(&self.in_use) = models.in_use();
        Some(models)
    }

    /// The source has given a frame.
    pub fn count_given(&self) {
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// The pipeline has judged a frame.
    pub fn count_judged(&self) {
        self.judged.fetch_add(1, Ordering::Relaxed);
    }

    /// The pipeline's model has failed. Returns the models to go on with when the failed ones were on trial; otherwise it is
    /// as if there were no updates.
    pub fn instead_of_failed(&self, why: &dyn Display) -> Option<Models> {
        if let Some(newer) = self.between_frames() {
            return Some(newer);
        }
        lock(&self.trial).as_ref()?;
        self.end_trial();
        lock(&self.store).take_back(&format!("a model on trial failed: {why}"));
        let models = self.open_current().map_err(|error| tracing::error!("{error}")).ok()?;
        *lock(&self.in_use) = models.in_use();
        Some(models)
    }

    /// A look around, several times a second: is the trial over, does something lie in the inbox?
    pub fn tick(&self) -> Tick {
        let running = *lock(&self.trial);
        if let Some(running) = running {
            self.look_at_trial(running);
        }
        self.look_into_inbox();
        let overdue = lock(&self.release_by).is_some_and(|release_by| Instant::now() >= release_by);
        if overdue { Tick::Stuck } else { Tick::Fine }
    }

    fn look_at_trial(&self, running: Running) {
        let given = self.given.load(Ordering::Relaxed) - running.given_before;
        // Frames that the models before have judged in the meantime say nothing.
        let judged = if self.ready.load(Ordering::Acquire) { 0 } else { self.judged.load(Ordering::Relaxed) };
        match self.limits.verdict(running.since.elapsed(), given, judged) {
            Verdict::GoesOn => {}
            Verdict::Passed => {
                self.end_trial();
                let mut store = lock(&self.store);
                let passed = store.state().with_trial_passed();
                store.set(passed);
                tracing::info!(version = store.bundle_version(), "the models have proved themselves");
            }
            Verdict::Silent => {
                self.end_trial();
                let why = format!("no frame was judged within {} s", self.limits.silence.as_secs());
                *lock(&self.release_by) = Some(Instant::now() + self.limits.release);
                if let Err(error) = self.roll_back(&why) {
                    tracing::error!("the models before cannot be opened: {error}");
                }
            }
        }
    }

    fn look_into_inbox(&self) {
        let letter = lock(&self.inbox).next();
        match letter {
            Some(Letter::Bundle(path)) => {
                let bytes = inbox::read(&path).map_err(Refusal::Unreadable);
                let outcome = bytes.and_then(|bytes| self.offer(&bytes, &path.display().to_string()));
                inbox::put_away(&path, outcome.as_ref().map(|_| ()));
            }
            Some(Letter::RollBack(path)) => {
                if let Err(error) = self.roll_back("somebody asked for it") {
                    tracing::error!("the models before cannot be opened: {error}");
                }
                inbox::put_away(&path, Ok(()));
            }
            None => {}
        }
    }

    /// The program ends in order; a trial goes on when it starts again.
    pub fn end_in_order(&self) {
        self.tick();
        let mut store = lock(&self.store);
        let ended = store.state().with_orderly_end();
        store.set(ended);
    }

    pub fn health(&self) -> ModelHealth {
        let store = lock(&self.store);
        let State { activated, refused, rolled_back, last_refusal, .. } = store.state().clone();
        let in_use = lock(&self.in_use).clone();
        ModelHealth { in_use, bundle_version: store.bundle_version(), activated, refused, rolled_back, last_refusal }
    }

    pub fn state(&self) -> State {
        lock(&self.store).state().clone()
    }

    fn begin_trial(&self) {
        let running = Running { since: Instant::now(), given_before: self.given.load(Ordering::Relaxed) };
        *lock(&self.trial) = Some(running);
    }

    fn end_trial(&self) {
        *lock(&self.trial) = None;
    }

    fn hand_over(&self, models: Models) {
        let mut next = lock(&self.next);
        *next = Some(models);
        self.ready.store(true, Ordering::Release);
    }

    fn folder(&self) -> PathBuf {
        lock(&self.store).current().unwrap_or_else(|| self.model.folder.clone())
    }

    fn has_privacy_model(&self) -> bool {
        let manifest = Manifest::read(&self.folder());
        manifest.is_ok_and(|manifest| manifest.models.iter().any(|spec| spec.task == Task::Privacy))
    }

    /// Opens the models in use, and goes back until some can be opened: in the end those that came with the program.
    fn open_current(&self) -> Result<Models, InferError> {
        loop {
            let error = match Models::open(&self.folder(), &self.model) {
                Ok(models) => return Ok(models),
                Err(error) => error,
            };
            let mut store = lock(&self.store);
            if store.state().current.is_none() {
                return Err(error);
            }
            self.end_trial();
            store.take_back(&format!("the models cannot be opened: {error}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that died with a lock leaves values that are whole: each is replaced in one step.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
