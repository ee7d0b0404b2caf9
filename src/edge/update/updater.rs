//! Takes bundles in while the pipeline runs, hands new models over to it, and goes back by itself.
//!
//! The pipeline asks [`Updater::between_frames`] before each frame, which costs the look at one flag while nothing is new.
//! Everything slow, the self-test above all, is waited for on the thread of whoever offers a bundle.
//!
//! Whatever decides about versions does so under the lock of the store, together with what follows from it: the trial, the
//! models that the pipeline takes next, and whether a pipeline works at all. The other locks are taken inside that one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread;
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
use crate::edge::update::trial::{Running, TrialLimits, Verdict};
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
    /// One bundle at a time; kept here is the seal of the last one that was tried and refused, and why.
    offers: Mutex<Option<(Vec<u8>, String)>>,
    store: Mutex<Store>,
    inbox: Mutex<Inbox>,
    trial: Mutex<Option<Running>>,
    /// What the pipeline takes next; `ready` says whether there is anything.
    next: Mutex<Option<Models>>,
    ready: AtomicBool,
    in_use: Mutex<BTreeMap<String, String>>,
    /// A pipeline works with the models of this updater. Under the store's lock.
    in_service: AtomicBool,
    /// A look at a bundle has begun that is marked in the state. Under the store's lock.
    trying: AtomicBool,
    /// Until when the pipeline must let go of models that were taken back.
    release_by: Mutex<Option<Instant>>,
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
            offers: Mutex::new(None),
            store: Mutex::new(store),
            inbox: Mutex::new(Inbox::new(&config.inbox, limits.at_rest)),
            trial: Mutex::new(None),
            next: Mutex::new(None),
            ready: AtomicBool::new(false),
            in_use: Mutex::default(),
            in_service: AtomicBool::new(false),
            trying: AtomicBool::new(false),
            release_by: Mutex::new(None),
        })
    }

    /// Takes a bundle in: looks at all of it, tries it, and activates it. Whatever is wrong leaves the models as they are. One
    /// that is in use already stays so.
    pub fn offer(&self, bytes: &[u8], origin: &str) -> Result<Activated, Refusal> {
        let mut refused_before = lock(&self.offers);
        let taken = self.take_in(bytes, refused_before.as_ref(), origin);
        let mut store = lock(&self.store);
        let tried = self.trying.swap(false, Ordering::Relaxed);
        if let Err(refusal) = &taken {
            let why = refusal.to_string();
            tracing::warn!("models from {origin} are refused: {why}");
            let mut state = store.state().with_refused(&why);
            if tried && !refusal.without_end() {
                state = state.with_try_ended();
            }
            if refusal.is_a_strangers() {
                store.set_in_memory(state);
            } else {
                store.set(state);
            }
            store.clean();
            // What the disk did not take may be taken the next time.
            if tried && !refusal.without_end() && !matches!(refusal, Refusal::Device(_)) {
                *refused_before = Some((Bundle::seal_of(bytes).to_vec(), why));
            }
        }
        taken
    }

    fn take_in(
        &self,
        bytes: &[u8],
        refused_before: Option<&(Vec<u8>, String)>,
        origin: &str,
    ) -> Result<Activated, Refusal> {
        let key = self.key.as_ref().map_err(|reason| Refusal::NoKey(reason.clone()))?;
        let bundle = Bundle::open(bytes, key)?;
        let version = bundle.about.version;
        let staging = {
            let mut store = lock(&self.store);
            if store.is_in_use(&bundle) {
                tracing::info!(version, "models from {origin} are those in use");
                return Ok(Activated { version });
            }
            store.check_newer(version)?;
            // A bundle that the broker retains comes with each connection: it is not written and tried each time.
            if let Some((_, why)) = refused_before.filter(|(seal, _)| seal == Bundle::seal_of(bytes)) {
                return Err(Refusal::AsBefore(why.clone()));
            }
            store.begin_try(version)?;
            self.trying.store(true, Ordering::Relaxed);
            store.stage(&bundle)?
        };
        let models = self.tried(&staging)?;
        let mut store = lock(&self.store);
        let in_service = self.in_service.load(Ordering::Relaxed);
        store.activate(version, in_service)?;
        tracing::info!(version, "models from {origin} are activated; on trial until they have proved themselves");
        if in_service {
            // In this order: at no moment is the one version judged by what the other did.
            self.end_trial();
            self.hand_over(models);
            self.begin_trial(version);
        }
        Ok(Activated { version })
    }

    /// The self-test, on a thread that can be left behind: a model may hang for good, or panic.
    fn tried(&self, staging: &Path) -> Result<Models, Refusal> {
        let (staging, config, needs_privacy) = (staging.to_owned(), self.model.clone(), self.has_privacy_model());
        let (tell, told) = channel();
        thread::spawn(move || {
            // Nobody may be listening any more.
            let _ = tell.send(self_test(&staging, &config, needs_privacy));
        });
        let limit = self.limits.self_test;
        told.recv_timeout(limit).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(Refusal::NoEnd { limit_seconds: limit.as_secs() }),
            RecvTimeoutError::Disconnected => Err(Refusal::BrokeOff),
        })
    }

    /// Goes back to the models before, if there are any; returns the version now in use, 0 for what came with the program.
    pub fn roll_back(&self, why: &str) -> Result<Option<u64>, InferError> {
        {
            let mut store = lock(&self.store);
            if store.state().current.is_none() {
                return Ok(None);
            }
            self.take_back(&mut store, why);
        }
        self.hand_over_current()?;
        Ok(Some(lock(&self.store).bundle_version()))
    }

    fn take_back(&self, store: &mut Store, why: &str) {
        self.end_trial();
        store.take_back(why);
    }

    fn hand_over_current(&self) -> Result<(), InferError> {
        {
            let _decided = lock(&self.store);
            if !self.in_service.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        let (version, models) = self.open_current()?;
        let store = lock(&self.store);
        // Else others came while these were opened, and whoever brought them has handed them over.
        if store.state().current == version {
            self.hand_over(models);
        }
        Ok(())
    }

    /// The models for a pipeline that starts now.
    pub fn first_models(&self) -> Result<Models, InferError> {
        {
            let mut store = lock(&self.store);
            self.in_service.store(true, Ordering::Relaxed);
            // Before they are loaded: loading alone may bring the program down.
            let started = store.state().with_start();
            store.set(started);
        }
        let (version, models) = self.open_current()?;
        let store = lock(&self.store);
        if let (Some(version), Some(_)) = (version, store.state().trial)
            && store.state().current == Some(version)
        {
            self.begin_trial(version);
        }
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
            self.ready.store(false, Ordering::Release);
            next.take()?
        };
        *lock(&self.release_by) = None;
        *lock(&self.in_use) = models.in_use();
        Some(models)
    }

    /// The pipeline begins to judge a frame.
    pub fn count_begun(&self) {
        self.on_trial(|running| running.begin(Instant::now()));
    }

    /// The pipeline has judged a frame.
    pub fn count_judged(&self) {
        self.on_trial(Running::answer);
    }

    /// What the models before do, while the new ones are not taken yet, says nothing about these.
    fn on_trial(&self, happens: impl FnOnce(&mut Running)) {
        let mut running = lock(&self.trial);
        if !self.ready.load(Ordering::Acquire)
            && let Some(running) = running.as_mut()
        {
            happens(running);
        }
    }

    /// The pipeline's model has failed. Returns the models to go on with when the failed ones were on trial; otherwise it is
    /// as if there were no updates.
    pub fn instead_of_failed(&self, why: &dyn Display) -> Option<Models> {
        {
            let mut store = lock(&self.store);
            if let Some(newer) = self.between_frames() {
                self.count_begun();
                return Some(newer);
            }
            let running = (*lock(&self.trial))?;
            if store.state().current != Some(running.version) {
                return None;
            }
            self.take_back(&mut store, &format!("a model on trial failed: {why}"));
        }
        let (_, models) = self.open_current().map_err(|error| tracing::error!("{error}")).ok()?;
        *lock(&self.in_use) = models.in_use();
        Some(models)
    }

    /// A look around, several times a second: is the trial over, does the pipeline let go?
    pub fn tick(&self) -> Tick {
        if lock(&self.trial).is_some() {
            self.look_at_trial();
        }
        let overdue = lock(&self.release_by).is_some_and(|release_by| Instant::now() >= release_by);
        if overdue { Tick::Stuck } else { Tick::Fine }
    }

    fn look_at_trial(&self) {
        let mut store = lock(&self.store);
        let Some(running) = *lock(&self.trial) else { return };
        // A verdict speaks of the version that it was made of.
        if store.state().current != Some(running.version) {
            return;
        }
        match running.verdict(&self.limits, Instant::now()) {
            Verdict::GoesOn => {}
            Verdict::Passed => {
                self.end_trial();
                let passed = store.state().with_trial_passed();
                store.set(passed);
                tracing::info!(version = running.version, "the models have proved themselves");
            }
            Verdict::Silent => {
                *lock(&self.release_by) = Some(Instant::now() + self.limits.release);
                let why = format!("no frame was judged within {} s", self.limits.silence.as_secs());
                self.take_back(&mut store, &why);
                drop(store);
                if let Err(error) = self.hand_over_current() {
                    tracing::error!("the models before cannot be opened: {error}");
                }
            }
        }
    }

    /// Does what lies in the inbox asks for, one thing each time. Takes as long as a self-test.
    pub fn look_into_inbox(&self) {
        let letter = lock(&self.inbox).next(Instant::now());
        match letter {
            Some(Letter::Bundle(path)) => {
                let outcome = match inbox::read_letter(&path) {
                    Ok(bytes) => self.offer(&bytes, &path.display().to_string()),
                    Err(error) => Err(Refusal::Unreadable(error)),
                };
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

    /// The program ends in order; a trial goes on when it starts again. What is activated from here on waits for that start.
    pub fn end_in_order(&self) {
        self.tick();
        let mut store = lock(&self.store);
        self.in_service.store(false, Ordering::Relaxed);
        let mut ended = store.state().with_orderly_end();
        if self.trying.load(Ordering::Relaxed) {
            ended = ended.with_try_put_off();
        }
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

    fn begin_trial(&self, version: u64) {
        *lock(&self.trial) = Some(Running::new(version, Instant::now()));
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
    fn open_current(&self) -> Result<(Option<u64>, Models), InferError> {
        loop {
            let (version, folder) = {
                let store = lock(&self.store);
                (store.state().current, store.current().unwrap_or_else(|| self.model.folder.clone()))
            };
            let error = match Models::open(&folder, &self.model) {
                Ok(models) => return Ok((version, models)),
                Err(error) => error,
            };
            let mut store = lock(&self.store);
            if store.state().current != version {
                continue;
            }
            if version.is_none() {
                return Err(error);
            }
            self.take_back(&mut store, &format!("the models cannot be opened: {error}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that died with a lock leaves values that are whole: each is replaced in one step.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::edge::infer::{BackendChoice, BackendSettings};
    use crate::edge::update::key;

    /// Nothing is waited for: a frame without an answer is silence at once.
    pub const IMPATIENT: TrialLimits = TrialLimits {
        frames: 100,
        time: Duration::from_secs(60),
        silence: Duration::ZERO,
        release: Duration::ZERO,
        self_test: Duration::ZERO,
        at_rest: Duration::ZERO,
    };

    /// On a device whose models nobody opens.
    pub fn updater(folder: &Path) -> Updater {
        let (private, public_key_file) = (folder.join("private"), folder.join("public"));
        key::generate(&private, &public_key_file).unwrap();
        let config = UpdateConfig { folder: folder.join("models"), public_key_file, inbox: folder.join("inbox") };
        let backend = BackendSettings::with_choice(BackendChoice::Tract);
        let model = ModelConfig { folder: folder.join("none"), name: "road".into(), backend };
        Updater::open(&config, &model, IMPATIENT).unwrap()
    }

    impl Updater {
        /// Version `stored` is in use, and `running` is what this run of the program has on trial; it does not answer.
        pub fn with_trial(self, stored: u64, running: u64) -> Self {
            {
                let mut store = lock(&self.store);
                let state = store.state().with_activated(stored, true);
                store.set(state);
            }
            self.begin_trial(running);
            self.count_begun();
            self
        }

        /// As long as it is held an offer takes its time.
        pub fn hold_up_offers(&self) -> impl Drop + '_ {
            lock(&self.offers)
        }
    }

    #[test]
    fn an_orderly_end_in_the_middle_of_a_look_is_not_held_against_the_models() {
        let folder = tempfile::tempdir().unwrap();
        let updater = updater(folder.path());
        lock(&updater.store).begin_try(12).unwrap();
        updater.end_in_order();
        assert_eq!(updater.state().tries(12), 1, "a look of an earlier run, with which that went down");
        lock(&updater.store).begin_try(12).unwrap();
        updater.trying.store(true, Ordering::Relaxed);
        updater.end_in_order();
        assert_eq!(updater.state().tries(12), 1, "this run goes on to its end");
    }

    #[test]
    fn what_the_version_before_did_is_not_held_against_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let updater = updater(folder.path()).with_trial(12, 11);
        updater.tick();
        assert!(updater.instead_of_failed(&"it failed").is_none());
        let state = updater.state();
        assert_eq!((state.current, state.rolled_back), (Some(12), 0));
        assert!(state.trial.is_some(), "nor does it pass for the other");
    }
}
