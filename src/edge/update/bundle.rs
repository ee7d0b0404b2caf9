//! The file that carries models to devices.
//!
//! ```text
//! UMSICHT  format: 1  signature over the rest: 64  tar: bundle.toml, then the models' files
//! 7 bytes  1 byte     Ed25519, 64 bytes            flat names, plain files, at most 16 MiB in all
//! ```
//!
//! The signature is checked before anything behind it is read, so that a reader of archives never sees what a stranger wrote.
//! The archive is read strictly all the same: whoever holds the key may err, and a device that errs with them is far away.

use std::collections::BTreeSet;
use std::io::Read;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::edge::update::key::{PrivateKey, PublicKey, SIGNATURE_BYTES};
use crate::edge::update::refusal::Refusal;

pub const MAX_BYTES: usize = 16 << 20;
const MAX_FILES: usize = 64;
const MAX_NAME_BYTES: usize = 100;
const HEAD: &[u8] = b"UMSICHT";
const FORMAT: u8 = 1;
const SIGNED_FROM: usize = HEAD.len() + 1 + SIGNATURE_BYTES;
/// Beside the models' files: what the bundle says of itself.
pub const ABOUT: &str = "bundle.toml";

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Grows with each bundle, from 1; a device takes newer ones only.
    pub version: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A bundle whose signature and form are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub about: About,
    /// Name and content; `bundle.toml` is one of them.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Bundle {
    pub fn open(bytes: &[u8], key: &PublicKey) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err(Refusal::TooLarge { most: MAX_BYTES });
        }
        let Some(behind_head) = bytes.strip_prefix(HEAD) else { return Err(Refusal::NotABundle) };
        match behind_head.first() {
            Some(&FORMAT) => {}
            Some(&found) => return Err(Refusal::Format { found, known: FORMAT }),
            None => return Err(Refusal::Truncated),
        }
        let signed = bytes.get(SIGNED_FROM..).ok_or(Refusal::Truncated)?;
        if !key.has_signed(signed, &bytes[SIGNED_FROM - SIGNATURE_BYTES..SIGNED_FROM]) {
            return Err(Refusal::Signature);
        }
        let files = unpacked(signed)?;
        let about = files.iter().find(|(name, _)| name == ABOUT);
        let about = about.ok_or_else(|| Refusal::About("it is not there".into()))?;
        Ok(Self { about: read_about(&about.1)?, files })
    }

    /// The head of a bundle that was opened, with its signature: it tells one bundle from all others.
    #[must_use]
    pub fn seal_of(bytes: &[u8]) -> &[u8] {
        &bytes[..SIGNED_FROM.min(bytes.len())]
    }

    /// Makes a bundle of the models' `files`.
    pub fn seal(about: &About, files: Vec<(String, Vec<u8>)>, key: &PrivateKey) -> Result<Vec<u8>, Refusal> {
        let text = toml::to_string(about).map_err(|e| Refusal::About(e.to_string()))?;
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in [(ABOUT.to_owned(), text.into_bytes())].into_iter().chain(files) {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, &name, &content[..]).map_err(Refusal::Archive)?;
        }
        let sealed = signed(&archive.into_inner().map_err(Refusal::Archive)?, key);
        // What no device would take is not worth carrying to one.
        Self::open(&sealed, &key.public())?;
        Ok(sealed)
    }
}

fn signed(archive: &[u8], key: &PrivateKey) -> Vec<u8> {
    [HEAD, &[FORMAT], &key.sign(archive), archive].concat()
}

fn read_about(text: &[u8]) -> Result<About, Refusal> {
    let text = std::str::from_utf8(text).map_err(|e| Refusal::About(e.to_string()))?;
    let about: About = toml::from_str(text).map_err(|e| Refusal::About(e.message().to_owned()))?;
    if about.version == 0 {
        return Err(Refusal::About("its version is 0; versions start at 1".into()));
    }
    Ok(about)
}

fn unpacked(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    let mut archive = tar::Archive::new(archive);
    let mut files = Vec::new();
    let mut names = BTreeSet::new();
    // Raw: extensions of the format that rename or resize the next file are seen as what they are, and refused.
    for entry in archive.entries().map_err(Refusal::Archive)?.raw(true) {
        let mut entry = entry.map_err(Refusal::Archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(Refusal::NotAFile(name));
        }
        if !is_flat(&name) {
            return Err(Refusal::Name(name));
        }
        if !names.insert(name.clone()) {
            return Err(Refusal::Twice(name));
        }
        if files.len() == MAX_FILES {
            return Err(Refusal::TooManyFiles { most: MAX_FILES });
        }
        let mut content = Vec::new();
        // The archive itself is bounded, so this is too, whatever the entry says of its size.
        entry.read_to_end(&mut content).map_err(Refusal::Archive)?;
        if content.len() as u64 != entry.size() {
            return Err(Refusal::Truncated);
        }
        files.push((name, content));
    }
    Ok(files)
}

fn is_flat(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::update::key::tests::pair;
    use proptest::prelude::*;
    use tar::EntryType;
    use time::macros::datetime;

    fn about(version: u64) -> About {
        About { version, made_at: datetime!(2026-11-20 10:00 UTC), note: Some("more potholes".into()) }
    }

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("manifest.toml".into(), b"[[model]]".to_vec()), ("road.onnx".into(), (0..=255).collect())]
    }

    fn sealed() -> Vec<u8> {
        Bundle::seal(&about(12), files(), &pair(1).0).unwrap()
    }

    fn opened(bytes: &[u8]) -> Result<Bundle, Refusal> {
        Bundle::open(bytes, &pair(1).1)
    }

    /// One entry written field by field, as no well-meant program would write it.
    fn entry(archive: &mut Vec<u8>, kind: EntryType, name: &str, content: &[u8], size: u64) {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        if kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }

    fn about_entry(archive: &mut Vec<u8>) {
        let text = toml::to_string(&about(12)).unwrap();
        entry(archive, EntryType::Regular, ABOUT, text.as_bytes(), text.len() as u64);
    }

    /// What is said to an archive with a good `bundle.toml` and these entries, signed with the right key.
    fn refusal_of(entries: &[(EntryType, &str)]) -> Refusal {
        let mut archive = Vec::new();
        about_entry(&mut archive);
        entries.iter().for_each(|(kind, name)| entry(&mut archive, *kind, name, b"", 0));
        opened(&signed(&archive, &pair(1).0)).unwrap_err()
    }

    #[test]
    fn what_was_sealed_is_opened() {
        let bundle = opened(&sealed()).unwrap();
        assert_eq!(bundle.about, about(12));
        assert_eq!(bundle.files[1..], files());
    }

    #[test]
    fn another_key_is_refused() {
        assert!(matches!(Bundle::open(&sealed(), &pair(2).1), Err(Refusal::Signature)));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = sealed();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let refusal = opened(&bytes).unwrap_err();
            let right = match at {
                0..7 => matches!(refusal, Refusal::NotABundle),
                7 => matches!(refusal, Refusal::Format { .. }),
                _ => matches!(refusal, Refusal::Signature),
            };
            prop_assert!(right, "byte {at}: {refusal}");
        }

        #[test]
        fn a_bundle_cut_off_anywhere_is_refused(at in any::<prop::sample::Index>()) {
            let bytes = sealed();
            let refusal = opened(&bytes[..at.index(bytes.len())]).unwrap_err();
            prop_assert!(matches!(refusal, Refusal::NotABundle | Refusal::Truncated | Refusal::Signature));
        }

        #[test]
        fn whatever_is_signed_is_opened_or_refused_and_never_more(archive in prop::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert!(opened(&signed(&archive, &pair(1).0)).is_err());
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../road.onnx", "/etc/passwd", "a/road.onnx", "..", ".hidden", "", "a\\b", "a b"] {
            assert!(matches!(refusal_of(&[(EntryType::Regular, name)]), Refusal::Name(_)), "{name}");
        }
    }

    #[test]
    fn whatever_is_no_plain_file_is_refused() {
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Fifo,
            EntryType::Char,
            EntryType::GNUSparse,
            EntryType::GNULongName,
            EntryType::XHeader,
        ] {
            assert!(matches!(refusal_of(&[(kind, "road.onnx")]), Refusal::NotAFile(_)), "{kind:?}");
        }
    }

    #[test]
    fn a_name_twice_and_a_name_too_many_are_refused() {
        let file = |name| (EntryType::Regular, name);
        assert!(matches!(refusal_of(&[file("road.onnx"), file("road.onnx")]), Refusal::Twice(_)));
        let names: Vec<String> = (0..MAX_FILES).map(|number| format!("file{number}")).collect();
        let entries: Vec<_> = names.iter().map(|name| file(name)).collect();
        assert!(matches!(refusal_of(&entries), Refusal::TooManyFiles { .. }));
    }

    #[test]
    fn sizes_that_are_not_true_are_refused() {
        for size in [2048, u64::from(u32::MAX)] {
            let mut archive = Vec::new();
            about_entry(&mut archive);
            entry(&mut archive, EntryType::Regular, "road.onnx", b"short", size);
            assert!(opened(&signed(&archive, &pair(1).0)).is_err(), "{size}");
        }
    }

    #[test]
    fn more_than_any_bundle_holds_is_refused_before_it_is_looked_at() {
        let refusal = opened(&vec![0; MAX_BYTES + 1]).unwrap_err();
        assert!(matches!(refusal, Refusal::TooLarge { .. }));
        let large = vec![("road.onnx".to_owned(), vec![0; MAX_BYTES])];
        assert!(matches!(Bundle::seal(&about(1), large, &pair(1).0), Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn a_bundle_says_what_it_is() {
        assert!(matches!(opened(&signed(&[0; 1024], &pair(1).0)), Err(Refusal::About(_))), "an empty archive");
        let sealed = |about| Bundle::seal(&about, files(), &pair(1).0);
        assert!(matches!(sealed(About { version: 0, ..about(1) }), Err(Refusal::About(_))));
        assert!(sealed(About { note: None, ..about(1) }).is_ok());
    }
}
