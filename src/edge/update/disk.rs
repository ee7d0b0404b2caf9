//! The operations on files that change which models a device has. All go through here, one after the other, so that a test can
//! stop the world between any two of them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

#[derive(Debug, Default)]
pub struct Disk {
    /// So many operations are still done before the power is cut.
    #[cfg(test)]
    pub left: std::cell::Cell<Option<usize>>,
}

impl Disk {
    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "in tests the power may be cut here")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        match self.left.get() {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                self.left.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::create_dir_all(path)
    }

    /// A new file, or an old one replaced in place; on the disk when this returns.
    pub fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut file = File::create(path)?;
        self.step()?;
        file.write_all(content)?;
        self.step()?;
        file.sync_all()
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    pub fn link(&self, target: &Path, at: &Path) -> io::Result<()> {
        self.step()?;
        std::os::unix::fs::symlink(target, at)
    }

    /// What is not there is removed already.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        absent_is_fine(fs::remove_file(path))
    }

    pub fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        absent_is_fine(fs::remove_dir_all(path))
    }

    /// Makes names in the folder durable.
    pub fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(path)?.sync_all()
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
