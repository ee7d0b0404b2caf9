//! A folder into which bundles are put by hand or by another program: each is taken, then removed, or renamed to `….refused`
//! with the reason beside it in `….refused.txt`. An empty file `roll-back` asks to go back.
//!
//! Others may write into this folder, so no link in it is followed, neither to read nor to write. Not kept out: who swaps a
//! file for a named pipe between the look and the reading holds up the thread of the inbox, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::edge::update::bundle::MAX_BYTES;
use crate::edge::update::refusal::Refusal;

/// Of files that are bundles; all others are left alone.
pub const ENDING: &str = ".umsicht-models";
pub const ROLL_BACK: &str = "roll-back";
/// Files that `umsicht edge update` renames to this are whole from their first moment.
pub const BY_HAND: &str = "by-hand-";

/// Size and time of change: a file that is still being copied differs from look to look.
type Look = (u64, Option<SystemTime>);

#[derive(Debug)]
struct Seen {
    look: Look,
    /// It has looked like this from then on.
    since: Instant,
    /// Perhaps it could not be removed.
    handled: bool,
}

#[derive(Debug, Default)]
pub struct Inbox {
    folder: PathBuf,
    at_rest: Duration,
    seen: BTreeMap<PathBuf, Seen>,
}

/// What lies ready in the inbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Letter {
    Bundle(PathBuf),
    RollBack(PathBuf),
}

impl Inbox {
    pub fn new(folder: &Path, at_rest: Duration) -> Self {
        Self { folder: folder.to_owned(), at_rest, seen: BTreeMap::new() }
    }

    /// The next thing to do, in the order of names. A bundle must have looked the same for `at_rest`.
    pub fn next(&mut self, now: Instant) -> Option<Letter> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        self.seen.retain(|path, _| paths.contains(path));
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let request = name == ROLL_BACK;
            // A link may point to anything; only what was put here counts.
            let Some(about) = path.symlink_metadata().ok().filter(Metadata::is_file) else { continue };
            if !request && !name.ends_with(ENDING) {
                continue;
            }
            let whole = request || name.starts_with(BY_HAND);
            let look = (about.len(), about.modified().ok());
            let anew = || Seen { look, since: now, handled: false };
            let met_before = self.seen.get(&path).is_some_and(|seen| seen.look == look);
            if !met_before {
                self.seen.insert(path.clone(), anew());
            }
            let seen = self.seen.entry(path.clone()).or_insert_with(anew);
            if !seen.handled && (whole || met_before && now - seen.since >= self.at_rest) {
                seen.handled = true;
                return Some(if request { Letter::RollBack(path) } else { Letter::Bundle(path) });
            }
        }
        None
    }
}

/// No more than any bundle has; what is larger is refused by its length.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_file(File::open(path)?)
}

/// As [`read`], of a plain file that is no link.
pub fn read_letter(path: &Path) -> io::Result<Vec<u8>> {
    let named = path.symlink_metadata()?;
    let not_plain = || io::Error::other("it is no plain file");
    if !named.is_file() {
        return Err(not_plain());
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    // Swapped in between.
    if !opened.is_file() || (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(not_plain());
    }
    read_file(file)
}

fn read_file(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A new file in place of what had this name, be it a link.
pub fn write_anew(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)?.write_all(content)
}

/// Puts a handled bundle away. That it cannot be is told; it is not taken again as long as it stays as it is.
pub fn put_away(path: &Path, outcome: Result<(), &Refusal>) {
    let done = match outcome {
        Ok(()) => fs::remove_file(path),
        Err(refusal) => {
            let reason = write_anew(&refused(path).with_added_extension("txt"), format!("{refusal}\n").as_bytes());
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

    const AT_REST: Duration = Duration::from_secs(5);

    #[test]
    fn a_bundle_is_taken_once_it_is_at_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.umsicht-models");
        let mut inbox = Inbox::new(folder.path(), AT_REST);
        let started = Instant::now();
        let mut at = |seconds| inbox.next(started + Duration::from_secs(seconds));
        fs::write(&path, "half").unwrap();
        assert_eq!([at(0), at(4)], [None, None], "the copy pauses");
        fs::write(&path, "half and half").unwrap();
        assert_eq!([at(6), at(10)], [None, None], "it has grown");
        assert_eq!(at(11), Some(Letter::Bundle(path.clone())));
        assert_eq!(at(20), None, "once");
        fs::write(&path, "another").unwrap();
        assert_eq!([at(21), at(26)], [None, Some(Letter::Bundle(path))], "another of the same name");
    }

    #[test]
    fn a_file_that_is_whole_from_its_first_moment_is_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (bundle, request) = (folder.path().join("by-hand-7.umsicht-models"), folder.path().join(ROLL_BACK));
        fs::write(&bundle, "bundle").unwrap();
        fs::write(&request, "").unwrap();
        let mut inbox = Inbox::new(folder.path(), AT_REST);
        let now = Instant::now();
        assert_eq!([inbox.next(now), inbox.next(now)], [Some(Letter::Bundle(bundle)), Some(Letter::RollBack(request))]);
        assert_eq!(inbox.next(now), None);
    }

    #[test]
    fn other_files_folders_and_links_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("note.txt");
        fs::write(&other, "").unwrap();
        fs::create_dir(folder.path().join("b.umsicht-models")).unwrap();
        let link = folder.path().join("by-hand-1.umsicht-models");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let mut inbox = Inbox::new(folder.path(), AT_REST);
        let now = Instant::now();
        assert_eq!([inbox.next(now), inbox.next(now + AT_REST)], [None, None]);
        assert!(read_letter(&link).is_err() && read_letter(folder.path()).is_err(), "swapped after the look");
        assert!(read_letter(&other).is_ok());
    }

    #[test]
    fn what_was_refused_stays_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.umsicht-models");
        fs::write(&path, "bundle").unwrap();
        // Left by somebody who would have another file written.
        let (reason, precious) = (folder.path().join("a.umsicht-models.refused.txt"), folder.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &reason).unwrap();
        put_away(&path, Err(&Refusal::Signature));
        assert!(!path.exists() && refused(&path).exists());
        let text = fs::read_to_string(reason).unwrap();
        assert!(text.contains("signature"), "{text}");
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious", "no link is followed");
    }
}
