//! Takes a device into a town's fleet: makes its secret and hands it out, once, as three files.
//!
//! One goes onto the device, two are the shares of two roles (see [`super::shares`]). The town keeps none of them. No file is
//! ever overwritten: a second secret under the same name would leave the events of the first for nobody to find.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;

use super::shares::{Pad, file_name, split};
use crate::failure::Failure;
use crate::schema::DeviceSecret;
use crate::schema::topic::TopicName;

/// Only who made them reads these files.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("{} is there already, and a secret is never overwritten; choose another folder, or remove what is there", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("this machine gives no random numbers: {0}")]
    Random(String),
}

impl From<EnrolError> for Failure {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Exists(_) => Self::usage(error),
            EnrolError::Write { .. } | EnrolError::Random(_) => Self::unavailable(error),
        }
    }
}

/// Where the files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub secret: PathBuf,
    /// In the order of [`super::shares::Role::BOTH`].
    pub shares: [PathBuf; 2],
}

/// Writes the three files, or none.
pub fn enrol(device: &TopicName, folder: &Path) -> Result<Enrolled, EnrolError> {
    let secret = DeviceSecret::from_bytes(random()?);
    let shares = split(device, &secret, &Pad { pair: random()?, bytes: random()? });
    let enrolled = Enrolled {
        secret: folder.join(format!("{device}.device-secret")),
        shares: shares.each_ref().map(|share| file_name(folder, device, share.role)),
    };
    let [operations, data_protection] = &shares;
    let files = [
        (&enrolled.secret, secret.to_file_text(device.as_str())),
        (&enrolled.shares[0], operations.to_file_text()),
        (&enrolled.shares[1], data_protection.to_file_text()),
    ];
    if let Some((there, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(EnrolError::Exists((*there).clone()));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(|source| EnrolError::Write { path: folder.to_owned(), source })?;
    let mut written = Vec::new();
    for (path, text) in &files {
        if let Err(error) = write_new(path, text) {
            // A secret without its shares, or a share without its secret, is of no use to anybody.
            written.iter().for_each(|path: &&PathBuf| drop(std::fs::remove_file(path)));
            return Err(error);
        }
        written.push(path);
    }
    Ok(enrolled)
}

fn write_new(path: &Path, text: &str) -> Result<(), EnrolError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => EnrolError::Exists(path.to_owned()),
        _ => EnrolError::Write { path: path.to_owned(), source },
    };
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        drop(std::fs::remove_file(path));
        failed(source)
    })
}

fn random<const N: usize>() -> Result<[u8; N], EnrolError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| EnrolError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::central::shares::{Share, join};

    #[test]
    fn three_files_are_written_once_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new");
        let device = TopicName::new("bus7").unwrap();
        let enrolled = enrol(&device, &out).unwrap();
        let secret = DeviceSecret::from_file_text(&std::fs::read_to_string(&enrolled.secret).unwrap()).unwrap();
        let [one, other] = enrolled.shares.each_ref().map(|path| Share::read(path).unwrap());
        assert_eq!(join(&one, &other), Ok(secret.clone()));
        for path in [&enrolled.secret, &enrolled.shares[0], &enrolled.shares[1]] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        for path in [&enrolled.secret, &enrolled.shares[0], &enrolled.shares[1]] {
            let mut others = vec![&enrolled.secret, &enrolled.shares[0], &enrolled.shares[1]];
            others.retain(|other| *other != path);
            let saved: Vec<String> = others.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
            others.iter().for_each(|p| std::fs::remove_file(p).unwrap());
            assert!(matches!(enrol(&device, &out), Err(EnrolError::Exists(there)) if there == *path));
            assert!(others.iter().all(|p| !p.exists()), "nothing half done is left");
            others.iter().zip(saved).for_each(|(p, text)| std::fs::write(p, text).unwrap());
        }
        let another = enrol(&TopicName::new("bus8").unwrap(), &out).unwrap();
        assert_ne!(DeviceSecret::from_file_text(&std::fs::read_to_string(another.secret).unwrap()), Ok(secret));
    }
}
