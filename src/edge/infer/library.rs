//! Finds `libonnxruntime` on this machine.
//!
//! Order: the setting, `ORT_DYLIB_PATH`, beside this program, the cache of `make`, the folder of the package. A setting or
//! variable that names nothing is an error, not a reason to look further: whoever wrote it wants that library.

use std::path::{Path, PathBuf};
use std::{env, fs};

const STEM: &str = "libonnxruntime.so";

#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("{}, named by {named_by}, does not exist; name a {STEM} or a folder that holds one", path.display())]
    NamedIsMissing { path: PathBuf, named_by: &'static str },
    #[error(
        "no {STEM} in {}; put the library into one of these folders or set ORT_DYLIB_PATH to it",
        folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound { folders: Vec<PathBuf> },
}

/// The library to load, as an absolute path without links.
pub fn find(setting: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let variable = env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from);
    find_in(setting, variable.as_deref(), usual_folders())
}

fn find_in(setting: Option<&Path>, variable: Option<&Path>, folders: Vec<PathBuf>) -> Result<PathBuf, LibraryError> {
    let named = setting.map(|path| (path, "the configuration")).or(variable.map(|path| (path, "ORT_DYLIB_PATH")));
    if let Some((path, named_by)) = named {
        return at(path).ok_or_else(|| LibraryError::NamedIsMissing { path: path.to_owned(), named_by });
    }
    folders.iter().find_map(|folder| at(folder)).ok_or(LibraryError::NotFound { folders })
}

/// `path` itself if it is a file, or the newest library in the folder `path`.
fn at(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return path.canonicalize().ok();
    }
    let files = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    files.filter(|file| file.is_file()).filter_map(|file| Some((version(&file)?, file))).max()?.1.canonicalize().ok()
}

/// Version numbers in the name of a `libonnxruntime.so…`; a name without one counts as the oldest.
fn version(file: &Path) -> Option<Vec<u32>> {
    let rest = file.file_name()?.to_str()?.strip_prefix(STEM)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest.strip_prefix('.')?.split('.').map(|part| part.parse().ok()).collect()
}

fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let program = env::current_exe().ok().and_then(|program| program.canonicalize().ok());
    if let Some(beside) = program.as_deref().and_then(Path::parent) {
        folders.push(beside.to_owned());
        folders.push(beside.join("../lib/umsicht"));
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    if let Some(cache) = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache"))) {
        let umsicht = cache.join("umsicht");
        folders.push(umsicht.clone());
        // `make` keeps one folder per version and machine.
        let kept = umsicht.join("onnxruntime");
        let mut versions: Vec<PathBuf> =
            fs::read_dir(&kept).into_iter().flatten().flatten().map(|e| e.path()).collect();
        versions.retain(|folder| folder.to_string_lossy().ends_with(env::consts::ARCH));
        versions.sort();
        versions.reverse();
        folders.push(kept);
        folders.append(&mut versions);
    }
    folders.push(PathBuf::from("/usr/lib/umsicht"));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_in_a_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.28.0", "libonnxruntime_providers_shared.so"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = find_in(None, None, vec![folder.path().join("absent"), folder.path().to_owned()]).unwrap();
        assert_eq!(found.file_name().unwrap(), "libonnxruntime.so.1.28.0");
    }

    #[test]
    fn a_named_library_that_is_missing_is_an_error_that_says_who_named_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(STEM), "").unwrap();
        let absent = folder.path().join("absent.so");
        let usual = vec![folder.path().to_owned()];
        let setting = find_in(Some(&absent), None, usual.clone()).unwrap_err().to_string();
        assert!(setting.contains("absent.so") && setting.contains("the configuration"), "{setting}");
        let variable = find_in(None, Some(&absent), usual).unwrap_err().to_string();
        assert!(variable.contains("ORT_DYLIB_PATH"), "{variable}");
    }

    #[test]
    fn nothing_found_names_the_folders() {
        let error = find_in(None, None, vec!["/nowhere/a".into(), "/nowhere/b".into()]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/a, /nowhere/b"), "{error}");
    }
}
