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
    /// What was done, in this order.
    #[cfg(test)]
    pub done: std::cell::RefCell<Vec<Done>>,
}

/// What the order of matters when the power is cut.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    Named(std::path::PathBuf),
    Written(std::path::PathBuf),
    FileSynced(std::path::PathBuf),
    Renamed(std::path::PathBuf, std::path::PathBuf),
    FolderSynced(std::path::PathBuf),
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

    #[cfg(test)]
    fn note(&self, done: Done) {
        self.done.borrow_mut().push(done);
    }

    pub fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::create_dir_all(path)?;
        #[cfg(test)]
        self.note(Done::Named(path.to_owned()));
        Ok(())
    }

    /// A new file; on the disk when this returns. What has this name is removed first and never written through: it may be a
    /// link, and a technician's program writes as root into a folder of the service.
    pub fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.step()?;
        absent_is_fine(fs::remove_file(path))?;
        let mut file = File::create_new(path)?;
        #[cfg(test)]
        self.note(Done::Named(path.to_owned()));
        self.step()?;
        file.write_all(content)?;
        #[cfg(test)]
        self.note(Done::Written(path.to_owned()));
        self.sync(&file, path)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.step()?;
        file.sync_all().map_err(|e| io::Error::new(e.kind(), format!("{} cannot be synced: {e}", path.display())))?;
        #[cfg(test)]
        self.note(if path.is_dir() { Done::FolderSynced(path.to_owned()) } else { Done::FileSynced(path.to_owned()) });
        Ok(())
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)?;
        #[cfg(test)]
        self.note(Done::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub fn link(&self, target: &Path, at: &Path) -> io::Result<()> {
        self.step()?;
        std::os::unix::fs::symlink(target, at)?;
        #[cfg(test)]
        self.note(Done::Named(at.to_owned()));
        Ok(())
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
        self.sync(&File::open(path)?, path)
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
