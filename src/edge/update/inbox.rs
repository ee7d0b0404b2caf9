//! A folder into which bundles are put by hand or by another program: each is taken, then removed, or renamed to `….refused`
//! with the reason beside it in `….refused.txt`. An empty file `roll-back` asks to go back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::edge::update::bundle::MAX_BYTES;
use crate::edge::update::refusal::Refusal;

/// Of files that are bundles; all others are left alone.
pub const ENDING: &str = ".umsicht-models";
pub const ROLL_BACK: &str = "roll-back";

/// Size and time of change: a file that is still being copied differs from look to look.
type Look = (u64, Option<SystemTime>);

#[derive(Debug, Default)]
pub struct Inbox {
    folder: PathBuf,
    /// Files seen once, and those that were handled and could not be removed.
    seen: BTreeMap<PathBuf, (Look, bool)>,
}

/// What lies ready in the inbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Letter {
    Bundle(PathBuf),
    RollBack(PathBuf),
}

impl Inbox {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), seen: BTreeMap::new() }
    }

    /// The next thing to do, in the order of names. A bundle must have looked the same the last time.
    pub fn next(&mut self) -> Option<Letter> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        self.seen.retain(|path, _| paths.contains(path));
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let request = name == ROLL_BACK;
            // A link may point to anything; only what was put here counts.
            let Some(about) = path.symlink_metadata().ok().filter(fs::Metadata::is_file) else { continue };
            if !request && !name.ends_with(ENDING) {
                continue;
            }
            let look = (about.len(), about.modified().ok());
            match self.seen.get(&path) {
                Some((before, handled)) if *before == look => {
                    if !handled {
                        self.seen.insert(path.clone(), (look, true));
                        return Some(if request { Letter::RollBack(path) } else { Letter::Bundle(path) });
                    }
                }
                _ => {
                    self.seen.insert(path, (look, false));
                }
            }
        }
        None
    }
}

/// No more than any bundle has; what is larger is refused by its length.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts a handled bundle away. That it cannot be is told; it is not taken again as long as it stays as it is.
pub fn put_away(path: &Path, outcome: Result<(), &Refusal>) {
    let done = match outcome {
        Ok(()) => fs::remove_file(path),
        Err(refusal) => {
            let reason = fs::write(refused(path).with_added_extension("txt"), format!("{refusal}\n"));
            reason.and_then(|()| fs::rename(path, refused(path)))
        }
    };
    if let Err(error) = done {
        tracing::warn!("{}: cannot be put away: {error}", path.display());
    }
}

/// The name of a bundle that was refused.
pub fn refused(path: &Path) -> PathBuf {
    path.with_added_extension("refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_taken_once_it_no_longer_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.umsicht-models");
        let mut inbox = Inbox::new(folder.path());
        fs::write(&path, "half").unwrap();
        assert_eq!(inbox.next(), None);
        fs::write(&path, "half and half").unwrap();
        assert_eq!(inbox.next(), None, "it grows");
        assert_eq!(inbox.next(), Some(Letter::Bundle(path.clone())));
        assert_eq!(inbox.next(), None, "once");
        fs::write(&path, "another").unwrap();
        assert_eq!([inbox.next(), inbox.next()], [None, Some(Letter::Bundle(path))], "another of the same name");
    }

    #[test]
    fn other_files_folders_and_links_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("note.txt");
        fs::write(&other, "").unwrap();
        fs::create_dir(folder.path().join("b.umsicht-models")).unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("c.umsicht-models")).unwrap();
        let mut inbox = Inbox::new(folder.path());
        assert_eq!([inbox.next(), inbox.next()], [None, None]);
    }

    #[test]
    fn what_was_refused_stays_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.umsicht-models");
        fs::write(&path, "bundle").unwrap();
        put_away(&path, Err(&Refusal::Signature));
        assert!(!path.exists() && refused(&path).exists());
        let reason = fs::read_to_string(folder.path().join("a.umsicht-models.refused.txt")).unwrap();
        assert!(reason.contains("signature"), "{reason}");
    }
}
