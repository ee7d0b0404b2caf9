//! The device looks at itself every few seconds, on a thread of its own: what it reads may hang with a bad card or sensor, and
//! must hold up neither frames nor packets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::edge::health::Health;
use crate::edge::pipeline::sight::Sight;
use crate::edge::status::{CameraStatus, DeviceStatus};
use crate::edge::watchdog::Watchdog;

/// For sums over a day and rates over a minute.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// In looks: so often it is kept how cameras usually look.
const KEEP_VIEWS_EVERY: u32 = 60;

/// Where it is kept how a camera usually looks.
pub(super) type View = (PathBuf, Arc<Sight>);

/// Dropping it ends the looks and keeps the views; one that hangs is left behind.
pub(super) struct Looks {
    ended: Arc<AtomicBool>,
    views: Vec<View>,
    thread: JoinHandle<()>,
}

impl Looks {
    pub fn start(health: &Arc<Health>, views: Vec<View>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = {
            let (health, views, ended) = (Arc::downgrade(health), views.clone(), Arc::clone(&ended));
            thread::spawn(move || look(&health, &views, &ended))
        };
        Self { ended, views, thread }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.views.iter().for_each(|(file, sight)| keep(file, sight));
    }
}

fn look(health: &Weak<Health>, views: &[View], ended: &AtomicBool) {
    for look in 1_u32.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let Some(health) = health.upgrade() else { return };
        let status = health.look();
        drop(health);
        // It may have hung in between; what it saw is then of a run that is over.
        if ended.load(Ordering::Relaxed) {
            return;
        }
        Watchdog::say(&in_one_line(&status));
        if look % KEEP_VIEWS_EVERY == 0 {
            views.iter().for_each(|(file, sight)| keep(file, sight));
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

/// What `systemctl status` shows.
fn in_one_line(status: &DeviceStatus) -> String {
    let camera = |(name, camera): (&String, &CameraStatus)| match &camera.blind {
        Some(reason) => format!("{name}: blind ({reason})"),
        None => format!("{name}: {} {:.1}/s", camera.state, camera.frames_per_second_last_minute),
    };
    let cameras: Vec<String> = status.cameras.iter().map(camera).collect();
    let broker = if status.connected { "broker connected" } else { "broker away" };
    let recording = if status.recording.on { "" } else { ", recording off" };
    format!("{}; {broker}, {} waiting{recording}", cameras.join(", "), status.spool.items)
}

fn keep(file: &Path, sight: &Sight) {
    let Some(view) = sight.reference().filter(|_| sight.may_be_kept()) else { return };
    let new = file.with_added_extension("new");
    if let Err(error) = std::fs::write(&new, view.to_bytes()).and_then(|()| std::fs::rename(&new, file)) {
        tracing::warn!("{}: how the camera looks cannot be kept: {error}", file.display());
    }
}
