//! The vehicle is parked: the program has stopped in order and waits for the ignition, or for the end of its power.
//!
//! Whoever wants the whole machine off asks systemd: while the vehicle is parked, the file `ignition-off` lies in the
//! service's runtime folder, and a path unit with `PathExists=/run/umsicht/ignition-off` and `Unit=poweroff.target` acts on
//! it. The program itself needs no right to switch anything off. A stop by hand leaves no such file.

use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "ignition-off";

/// The sign that the vehicle is parked; dropping it takes it down.
#[derive(Debug)]
pub struct ParkedSign(Option<PathBuf>);

impl ParkedSign {
    /// The folder that systemd makes for `RuntimeDirectory=`.
    #[must_use]
    pub fn put_up() -> Self {
        Self::put_up_in(std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from).as_deref())
    }

    fn put_up_in(folder: Option<&Path>) -> Self {
        let Some(folder) = folder else { return Self(None) };
        let path = folder.join(FILE);
        match fs::write(&path, "") {
            Ok(()) => Self(Some(path)),
            Err(error) => {
                tracing::warn!(
                    "{}: {error}; whoever waits for this file does not see that the vehicle is parked",
                    path.display()
                );
                Self(None)
            }
        }
    }
}

impl Drop for ParkedSign {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The folder goes with the service.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_stands_while_the_vehicle_is_parked() {
        let folder = tempfile::tempdir().unwrap();
        let sign = ParkedSign::put_up_in(Some(folder.path()));
        assert!(folder.path().join(FILE).exists());
        drop(sign);
        assert!(!folder.path().join(FILE).exists());
        drop(ParkedSign::put_up_in(Some(&folder.path().join("gone"))));
        drop(ParkedSign::put_up_in(None));
    }
}
