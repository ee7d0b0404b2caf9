//! The keys of bundles: Ed25519, each a text file of one line, so that nobody takes the one for the other.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

pub const SIGNATURE_BYTES: usize = 64;
const KEY_BYTES: usize = 32;
const PRIVATE: &str = "umsicht-models-private-ed25519";
const PUBLIC: &str = "umsicht-models-public-ed25519";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: is there already and is not overwritten; choose another name, or move the old key to a safe place", .0.display())]
    Exists(PathBuf),
    #[error("{}: is no {wanted} key; `umsicht models keygen` makes a pair", path.display())]
    NoKey { path: PathBuf, wanted: &'static str },
    #[error("this system gives no random numbers, so no key can be made")]
    NoRandomness,
}

/// Tells whether a bundle comes from who holds the private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        read(path, PUBLIC, "public").map(Self)
    }

    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

/// Never printed.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let seed = read(path, PRIVATE, "private")?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        pair.map(Self).map_err(|_| KeyError::NoKey { path: path.to_owned(), wanted: "private" })
    }

    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

/// Makes a pair of keys; the private one can be read by its owner only. Neither file may exist.
pub fn generate(private: &Path, public: &Path) -> Result<(), KeyError> {
    if let Some(path) = [private, public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let mut seed = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
    let pair = PrivateKey(Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::NoRandomness)?);
    write(private, PRIVATE, &seed, 0o600)?;
    write(public, PUBLIC, &pair.public().0, 0o644)
}

fn write(path: &Path, word: &str, key: &[u8], mode: u32) -> Result<(), KeyError> {
    let hex = key.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(format!("{word} {hex}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::File { path: path.to_owned(), source },
    })
}

fn read(path: &Path, word: &str, wanted: &'static str) -> Result<[u8; KEY_BYTES], KeyError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    let hex = text.trim().strip_prefix(word).map(str::trim).filter(|hex| hex.is_ascii() && hex.len() == 2 * KEY_BYTES);
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok();
    let bytes: Option<Vec<u8>> = hex.and_then(|hex| (0..KEY_BYTES).map(|at| byte(hex, at)).collect());
    let key = bytes.and_then(|bytes| bytes.try_into().ok());
    key.ok_or(KeyError::NoKey { path: path.to_owned(), wanted })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A pair that is the same in each run.
    pub fn pair(number: u8) -> (PrivateKey, PublicKey) {
        let private = PrivateKey(Ed25519KeyPair::from_seed_unchecked(&[number; KEY_BYTES]).unwrap());
        let public = private.public();
        (private, public)
    }

    #[test]
    fn a_pair_is_written_once_and_the_private_key_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("private"), folder.path().join("public"));
        generate(&private, &public).unwrap();
        assert_eq!(private.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let key = PrivateKey::read(&private).unwrap();
        assert_eq!(key.public(), PublicKey::read(&public).unwrap());
        assert!(key.public().has_signed(b"models", &key.sign(b"models")));
        assert!(!key.public().has_signed(b"model", &key.sign(b"models")));

        let before = std::fs::read(&private).unwrap();
        assert!(matches!(generate(&private, &folder.path().join("other")), Err(KeyError::Exists(_))));
        assert!(matches!(generate(&folder.path().join("other"), &public), Err(KeyError::Exists(_))));
        assert!(!folder.path().join("other").exists(), "half a pair is of no use");
        assert_eq!(std::fs::read(&private).unwrap(), before);
    }

    #[test]
    fn one_key_is_not_taken_for_the_other_and_text_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("private"), folder.path().join("public"));
        generate(&private, &public).unwrap();
        assert!(matches!(PublicKey::read(&private), Err(KeyError::NoKey { wanted: "public", .. })));
        assert!(matches!(PrivateKey::read(&public), Err(KeyError::NoKey { wanted: "private", .. })));
        for text in ["", "umsicht-models-public-ed25519", "umsicht-models-public-ed25519 ä", "00"] {
            std::fs::write(&public, text).unwrap();
            assert!(matches!(PublicKey::read(&public), Err(KeyError::NoKey { .. })), "{text}");
        }
    }
}
