//! Which files a folder of models consists of: those that its manifest and its golden files name, and the manifest itself.

use std::collections::BTreeSet;
use std::path::Path;

use crate::edge::golden::Golden;
use crate::edge::infer::model::{MANIFEST, Manifest};
use crate::edge::update::bundle::ABOUT;
use crate::edge::update::refusal::Refusal;

/// By name. Each model must have a golden picture: without one a device cannot tell whether it works.
pub fn files_of(folder: &Path) -> Result<BTreeSet<String>, Refusal> {
    let mut names = BTreeSet::from([MANIFEST.to_owned()]);
    for spec in Manifest::read(folder)?.models {
        let golden = spec.golden.ok_or_else(|| Refusal::NoGolden(spec.name.clone()))?;
        let picture =
            Golden::read(&folder.join(&golden)).map_err(|source| Refusal::Golden { model: spec.name, source })?.picture;
        names.extend([spec.file, spec.card, golden, picture]);
    }
    Ok(names)
}

/// A bundle's folder holds these files, its `bundle.toml`, and nothing else.
pub(super) fn complete(folder: &Path, present: &BTreeSet<String>) -> Result<(), Refusal> {
    if !present.contains(MANIFEST) {
        return Err(Refusal::Missing(MANIFEST.into()));
    }
    // A golden file that is not there is missing, not unreadable.
    for spec in Manifest::read(folder)?.models {
        if let Some(golden) = spec.golden.filter(|golden| !present.contains(golden)) {
            return Err(Refusal::Missing(golden));
        }
    }
    let wanted = files_of(folder)?;
    if let Some(name) = wanted.iter().find(|name| !present.contains(*name)) {
        return Err(Refusal::Missing(name.clone()));
    }
    match present.iter().find(|name| *name != ABOUT && !wanted.contains(*name)) {
        Some(name) => Err(Refusal::Stranger(name.clone())),
        None => Ok(()),
    }
}
