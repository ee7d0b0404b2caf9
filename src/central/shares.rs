//! A device's secret in two halves, of which one alone tells nothing.
//!
//! The first share is random, the second is the secret XOR the first: a one-time pad. Whoever has one share knows as much of
//! the secret as before, whatever can be computed. So two people, each in a role of their own, have to agree before the
//! events of one device can be told from those of the others. Both files carry the same random name of the pair and a check
//! over their own contents; both are made without the secret, so that they tell nothing of it either.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::{self, ConfigError, Table};
use crate::schema::DeviceSecret;
use crate::schema::device_tag::{bytes_from_hex, hex};
use crate::schema::topic::TopicName;

const SHARE_BYTES: usize = 32;
const PAIR_BYTES: usize = 8;
const CHECK_BYTES: usize = 8;

/// Who keeps a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Operations,
    DataProtection,
}

impl Role {
    pub const BOTH: [Self; 2] = [Self::Operations, Self::DataProtection];

    /// As files name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::DataProtection => "data-protection",
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    pub device: TopicName,
    pub role: Role,
    pair: [u8; PAIR_BYTES],
    bytes: [u8; SHARE_BYTES],
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("device", &self.device).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Why two shares open nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotJoin {
    #[error("these are shares of different devices, {0} and {1}")]
    Devices(TopicName, TopicName),
    #[error("both are the share of the same role, {}; the other role's share is needed", .0.name())]
    SameRole(Role),
    #[error("these shares were not made together: one is of an older secret of {0}")]
    Pair(TopicName),
}

/// Random bytes from the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Pad {
    pub pair: [u8; PAIR_BYTES],
    pub bytes: [u8; SHARE_BYTES],
}

/// The shares of both roles, in the order of [`Role::BOTH`].
#[must_use]
pub fn split(device: &TopicName, secret: &DeviceSecret, pad: &Pad) -> [Share; 2] {
    let share = |role, bytes| Share { device: device.clone(), role, pair: pad.pair, bytes };
    [share(Role::Operations, pad.bytes), share(Role::DataProtection, xor(pad.bytes, *secret.as_bytes()))]
}

/// The secret, out of the shares of both roles.
pub fn join(one: &Share, other: &Share) -> Result<DeviceSecret, CannotJoin> {
    if one.device != other.device {
        return Err(CannotJoin::Devices(one.device.clone(), other.device.clone()));
    }
    if one.role == other.role {
        return Err(CannotJoin::SameRole(one.role));
    }
    if one.pair != other.pair {
        return Err(CannotJoin::Pair(one.device.clone()));
    }
    Ok(DeviceSecret::from_bytes(xor(one.bytes, other.bytes)))
}

fn xor(mut bytes: [u8; SHARE_BYTES], other: [u8; SHARE_BYTES]) -> [u8; SHARE_BYTES] {
    bytes.iter_mut().zip(other).for_each(|(byte, with)| *byte ^= with);
    bytes
}

impl Share {
    /// The file that the role keeps.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        let (device, role) = (&self.device, self.role.name());
        format!(
            "# One of two shares of the secret of the device {device}. This one is for the role {role}.\n\
             # Keep it where nobody of the other role gets at it, and not on the town's server. Alone it tells nothing;\n\
             # both together find the events of this device: umsicht central purge. See docs/guide/data-protection.en.md\n\
             device = \"{device}\"\n\
             role = \"{role}\"\n\
             # Both shares of a pair have the same.\n\
             pair = \"{}\"\n\
             share = \"{}\"\n\
             # Tells a file that was damaged or mistyped.\n\
             check = \"{}\"\n",
            hex(&self.pair),
            hex(&self.bytes),
            hex(&self.check()),
        )
    }

    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        config::read(path, Self::checked)
    }

    fn checked(root: &Table) -> Option<Self> {
        const WRITE: &str = "the file as `umsicht central enrol` wrote it";
        let device = root.parsed("device", WRITE, TopicName::new).required(WRITE);
        let roles = Role::BOTH.map(|role| (role.name(), role));
        let role = root.choice("role", &roles).required(WRITE);
        let pair = root.parsed("pair", WRITE, digits::<PAIR_BYTES>).required(WRITE);
        let bytes = root.parsed("share", WRITE, digits::<SHARE_BYTES>).required(WRITE);
        let check = root.parsed("check", WRITE, digits::<CHECK_BYTES>).required(WRITE);
        let share = Self { device: device?, role: role?, pair: pair?, bytes: bytes? };
        if share.check() != check? {
            root.wrong(
                "check",
                "does not fit the rest of this file: it was damaged or mistyped; use a copy of the original",
            );
            return None;
        }
        Some(share)
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        let digest = Sha256::new()
            .chain_update(format!("umsicht share 1|{}|{}|", self.device, self.role.name()))
            .chain_update(self.pair)
            .chain_update(self.bytes)
            .finalize();
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&digest[..CHECK_BYTES]);
        check
    }
}

fn digits<const N: usize>(text: &str) -> Result<[u8; N], String> {
    bytes_from_hex(text).ok_or_else(|| format!("is not {} hexadecimal digits", 2 * N))
}

/// Where a role's file stands.
#[must_use]
pub fn file_name(folder: &Path, device: &TopicName, role: Role) -> PathBuf {
    folder.join(format!("{device}.share-{}", role.name()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn parsed(text: &str) -> Result<Share, ConfigError> {
        config::parse(Path::new("a.share"), text, Share::checked)
    }

    proptest! {
        #[test]
        fn both_shares_give_the_secret_through_their_files(secret: [u8; 32], bytes: [u8; 32], pair: [u8; 8]) {
            let secret = DeviceSecret::from_bytes(secret);
            let shares = split(&device("bus7"), &secret, &Pad { pair, bytes }).map(|s| parsed(&s.to_file_text()).unwrap());
            prop_assert_eq!(join(&shares[0], &shares[1]), Ok(secret.clone()));
            prop_assert_eq!(join(&shares[1], &shares[0]), Ok(secret));
            prop_assert_eq!(join(&shares[0], &shares[0]), Err(CannotJoin::SameRole(Role::Operations)));
        }

        /// For whatever one role holds there is a pad for any other secret that gives the very same file: so the file tells
        /// nothing of which secret it is. Pads are uniform, so all secrets stay equally likely.
        #[test]
        fn one_share_is_independent_of_the_secret(a: [u8; 32], b: [u8; 32], bytes: [u8; 32], pair: [u8; 8]) {
            let name = device("bus7");
            let (a, b) = (DeviceSecret::from_bytes(a), DeviceSecret::from_bytes(b));
            let held = split(&name, &a, &Pad { pair, bytes }).map(|share| share.to_file_text());
            let with_the_same_pad = split(&name, &b, &Pad { pair, bytes });
            prop_assert_eq!(&held[0], &with_the_same_pad[0].to_file_text());
            let other_pad = xor(xor(bytes, *a.as_bytes()), *b.as_bytes());
            let with_another_pad = split(&name, &b, &Pad { pair, bytes: other_pad });
            prop_assert_eq!(&held[1], &with_another_pad[1].to_file_text());
        }

        #[test]
        fn a_mistyped_digit_is_noticed(at in 0_usize..64, secret: [u8; 32], bytes: [u8; 32]) {
            let shares = split(&device("bus7"), &DeviceSecret::from_bytes(secret), &Pad { pair: [1; 8], bytes });
            let mut text = shares[1].to_file_text().into_bytes();
            let line = text.windows(9).position(|w| w == b"share = \"").unwrap();
            let digit = &mut text[line + 9 + at];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
            let error = parsed(&String::from_utf8(text).unwrap()).unwrap_err().to_string();
            prop_assert!(error.contains("mistyped"), "{}", error);
        }
    }

    #[test]
    fn shares_that_do_not_belong_together_open_nothing() {
        let secret = DeviceSecret::from_bytes([3; 32]);
        let pad = Pad { pair: [1; 8], bytes: [5; 32] };
        let bus = split(&device("bus7"), &secret, &pad);
        let lorry = split(&device("lorry"), &secret, &pad);
        let again = split(&device("bus7"), &secret, &Pad { pair: [2; 8], ..pad });
        assert_eq!(join(&bus[0], &lorry[1]), Err(CannotJoin::Devices(device("bus7"), device("lorry"))));
        assert_eq!(join(&bus[0], &again[1]), Err(CannotJoin::Pair(device("bus7"))));
        assert!(!format!("{:?}", bus[0]).contains("05"), "a share shows itself in its file alone");
    }
}
