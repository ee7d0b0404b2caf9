//! The switch that stops recording, which a works council may ask for. While it is off nothing is judged, kept or sent, and
//! no mark is taken.
//!
//! Invariant: off stays off until somebody switches on: over restarts, power cuts and a disk that fails. Doubt counts as off:
//! a switch that is set up and was not read, or a folder that cannot be looked at. Two can switch off, by hand (over loopback)
//! and with a switch in the vehicle; recording is on only while neither does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::input::{Input, Switch};

/// Its presence means off; nothing in it matters.
const OFF_FILE: &str = "recording-off";
/// `on` or `off`: where a switch of an input device stood, which says so only when it moves.
const SWITCH_FILE: &str = "recording-switch";

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("recording is off now, but this cannot be kept over a restart: {}: {source}", path.display())]
    OffNotKept { path: PathBuf, source: io::Error },
    #[error("recording stays off: {}: {source}; remove that file", path.display())]
    StaysOff { path: PathBuf, source: io::Error },
}

/// Where the vehicle's switch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// There is no such switch.
    None,
    NotRead,
    On,
    Off,
}

#[derive(Debug, Clone, Copy)]
struct State {
    off_by_hand: bool,
    off_is_not_kept: bool,
    switch: Position,
}

impl State {
    fn is_on(self) -> bool {
        !self.off_by_hand && matches!(self.switch, Position::None | Position::On)
    }

    fn why_off(self) -> Option<&'static str> {
        match (self.off_by_hand, self.switch) {
            (true, _) => Some("switched off by hand"),
            (false, Position::Off) => Some("the switch in the vehicle is off"),
            (false, Position::NotRead) => Some("the switch in the vehicle was not read yet; move it once"),
            (false, Position::None | Position::On) => None,
        }
    }
}

#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    keeps_switch: bool,
    state: Mutex<State>,
    on: watch::Sender<bool>,
}

impl Recording {
    /// Goes on as it was left in `folder`, which lasts over restarts.
    #[must_use]
    pub fn kept_in(folder: &Path, switch: Option<&Switch>) -> Self {
        // A file says at once where its switch stands; an input device says so only when it moves.
        let keeps_switch = switch.is_some_and(|switch| matches!(switch.input, Input::Key(_)));
        let position = match switch {
            None => Position::None,
            Some(_) if keeps_switch => position_kept_in(folder),
            Some(_) => Position::NotRead,
        };
        let off_by_hand = folder.join(OFF_FILE).try_exists().unwrap_or(true);
        let state = State { off_by_hand, off_is_not_kept: false, switch: position };
        if let Some(why) = state.why_off() {
            tracing::info!("recording is off: {why}");
        }
        Self {
            folder: folder.to_owned(),
            keeps_switch,
            state: Mutex::new(state),
            on: watch::Sender::new(state.is_on()),
        }
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Whether a person has switched it off and the disk does not know, so that the program must.
    #[must_use]
    pub fn off_is_not_kept(&self) -> bool {
        let state = self.lock();
        state.off_by_hand && state.off_is_not_kept
    }

    /// In plain words.
    #[must_use]
    pub fn why_off(&self) -> Option<&'static str> {
        self.lock().why_off()
    }

    /// Whether it is on, whenever that changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.on.subscribe()
    }

    /// Off at once, whatever the disk says; kept when this returns without an error.
    pub fn switch_off(&self) -> Result<(), RecordingError> {
        let mut state = self.lock();
        state.off_by_hand = true;
        self.publish(*state);
        let path = self.folder.join(OFF_FILE);
        let not_kept = |source| RecordingError::OffNotKept { path: path.clone(), source };
        let kept = write(&self.folder, OFF_FILE, b"recording stays off while this file is here\n").map_err(not_kept);
        state.off_is_not_kept = kept.is_err();
        kept
    }

    /// On only when the disk no longer says off.
    pub fn switch_on(&self) -> Result<(), RecordingError> {
        let mut state = self.lock();
        let path = self.folder.join(OFF_FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecordingError::StaysOff { path, source });
            }
            _ => {}
        }
        // Should the power fail before this is on the disk, it comes back as off.
        let _ = sync_folder(&self.folder);
        state.off_by_hand = false;
        self.publish(*state);
        Ok(())
    }

    /// Where the vehicle's switch stands, settled.
    pub fn see_switch(&self, on: bool) {
        let mut state = self.lock();
        state.switch = if on { Position::On } else { Position::Off };
        let words: &[u8] = if on { b"on" } else { b"off" };
        if self.keeps_switch
            && let Err(error) = write(&self.folder, SWITCH_FILE, words)
        {
            tracing::error!("the position of the recording switch cannot be kept: {error}");
            // What is kept may be the opposite. Without it, the next start does not know, and that is off.
            let _ = fs::remove_file(self.folder.join(SWITCH_FILE));
        }
        self.publish(*state);
    }

    fn publish(&self, state: State) {
        let changed = self.on.send_if_modified(|on| std::mem::replace(on, state.is_on()) != state.is_on());
        if changed {
            match state.why_off() {
                Some(why) => tracing::info!("recording is off: {why}"),
                None => tracing::info!("recording is on"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn position_kept_in(folder: &Path) -> Position {
    match fs::read(folder.join(SWITCH_FILE)).as_deref() {
        Ok(b"on") => Position::On,
        Ok(b"off") => Position::Off,
        _ => Position::NotRead,
    }
}

/// On the disk when this returns.
fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::edge::vehicle::code::Code;
    use crate::edge::vehicle::input::Key;

    fn switch(input: Input) -> Switch {
        Switch { input, on_value: true, rises_after: Duration::ZERO, falls_after: Duration::ZERO }
    }

    fn rocker() -> Switch {
        switch(Input::Key(Key { device: "/dev/input/event0".into(), code: Code::from_text("SW_DOCK").unwrap() }))
    }

    #[test]
    fn off_stays_off_until_somebody_switches_on() {
        let folder = tempfile::tempdir().unwrap();
        let start = || Recording::kept_in(folder.path(), None);
        assert!(start().is_on(), "a new device");
        let recording = start();
        let changes = recording.changes();
        recording.switch_off().unwrap();
        assert!(!recording.is_on() && !*changes.borrow());
        assert_eq!(recording.why_off(), Some("switched off by hand"));
        assert!(!start().is_on(), "after a restart");
        recording.switch_on().unwrap();
        recording.switch_on().unwrap();
        assert!(recording.is_on() && start().is_on());
    }

    #[test]
    fn a_disk_that_fails_switches_nothing_on() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::kept_in(&folder.path().join("gone"), None);
        assert!(matches!(recording.switch_off(), Err(RecordingError::OffNotKept { .. })));
        assert!(!recording.is_on(), "off at once all the same");
        // A folder in place of the file is not removed by whoever removes files.
        fs::create_dir(folder.path().join(OFF_FILE)).unwrap();
        let recording = Recording::kept_in(folder.path(), None);
        assert!(!recording.is_on());
        assert!(matches!(recording.switch_on(), Err(RecordingError::StaysOff { .. })));
        assert!(!recording.is_on());
    }

    #[test]
    fn a_folder_that_cannot_be_looked_at_counts_as_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(!Recording::kept_in(&file, None).is_on(), "a file stands where the folder should be");
    }

    #[test]
    fn a_switch_that_was_not_read_counts_as_off() {
        let folder = tempfile::tempdir().unwrap();
        let gpio = switch(Input::File("/sys/class/gpio/gpio5/value".into()));
        let recording = Recording::kept_in(folder.path(), Some(&gpio));
        assert!(!recording.is_on());
        recording.see_switch(true);
        assert!(recording.is_on());
        assert!(!Recording::kept_in(folder.path(), Some(&gpio)).is_on(), "its file tells anew at each start");
    }

    #[test]
    fn a_switch_that_tells_only_when_it_moves_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let start = || Recording::kept_in(folder.path(), Some(&rocker()));
        assert_eq!(start().why_off(), Some("the switch in the vehicle was not read yet; move it once"));
        start().see_switch(true);
        assert!(start().is_on());
        start().see_switch(false);
        assert_eq!(start().why_off(), Some("the switch in the vehicle is off"));
        fs::write(folder.path().join(SWITCH_FILE), "o").unwrap();
        assert!(!start().is_on(), "a torn file");
    }

    #[test]
    fn recording_is_on_only_while_nobody_says_off() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::kept_in(folder.path(), Some(&rocker()));
        recording.see_switch(true);
        recording.switch_off().unwrap();
        recording.see_switch(false);
        recording.see_switch(true);
        assert!(!recording.is_on(), "by hand it is still off");
        recording.switch_on().unwrap();
        assert!(recording.is_on());
        recording.see_switch(false);
        recording.switch_on().unwrap();
        assert!(!recording.is_on(), "who sits in the vehicle has the last word");
    }
}
