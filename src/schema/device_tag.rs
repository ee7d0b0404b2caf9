//! How a device signs its events so that nobody knows it by them, until two people in two roles agree to look.
//!
//! Each device holds a secret of 32 random bytes. Out of it comes a key for each UTC day, and out of that the tag of an event:
//!
//! ```text
//! day key = HMAC-SHA-256(secret, "umsicht device tag 1|YYYY-MM-DD")
//! tag     = the first 16 bytes of HMAC-SHA-256(day key, the 16 bytes of the event's id)
//! ```
//!
//! The day is that of the event's time, which is rounded to the hour. Ids are random, so each tag is another one, and
//! without the secret a tag tells nothing. With it, the events of one device can be found and removed. The town keeps no
//! secret: see `central::shares`. HMAC is that of RFC 2104.

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::{Date, OffsetDateTime, UtcOffset};

use super::{DeviceTag, EventId};

const SECRET_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const PURPOSE: &str = "umsicht device tag 1";

/// What a device signs with. It never shows itself in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceSecret([u8; SECRET_BYTES]);

impl DeviceSecret {
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Reads the file that `umsicht central enrol` wrote: lines of comment, and one line of 64 hexadecimal digits.
    pub fn from_file_text(text: &str) -> Result<Self, BadDeviceSecret> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (lines.next(), lines.next()) {
            (Some(digits), None) => bytes_from_hex(digits).map(Self).ok_or(BadDeviceSecret),
            _ => Err(BadDeviceSecret),
        }
    }

    /// The file for the device.
    #[must_use]
    pub fn to_file_text(&self, device: &str) -> String {
        format!(
            "# The secret of the device {device}. It belongs onto this device and nowhere else; keep no copy.\n\
             # With it the device tags its events. What the tags are for: docs/guide/data-protection.en.md\n{}\n",
            hex(&self.0)
        )
    }

    /// The key of one UTC day.
    #[must_use]
    pub fn day_key(&self, day: Date) -> DayKey {
        let (year, month, day) = day.to_calendar_date();
        let message = format!("{PURPOSE}|{year:04}-{:02}-{day:02}", u8::from(month));
        DayKey(hmac_sha256(&self.0, message.as_bytes()))
    }

    /// The tag of one event; `time` is the event's own.
    #[must_use]
    pub fn tag(&self, id: EventId, time: OffsetDateTime) -> DeviceTag {
        self.day_key(time.to_offset(UtcOffset::UTC).date()).tag(id)
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret(…)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no device secret; it is one line of 64 hexadecimal digits, as `umsicht central enrol` writes it")]
pub struct BadDeviceSecret;

/// What tags the events of one day. Whoever has it can find one device's events of that day, and of no other.
#[derive(Clone, PartialEq, Eq)]
pub struct DayKey([u8; SECRET_BYTES]);

impl DayKey {
    #[must_use]
    pub fn tag(&self, id: EventId) -> DeviceTag {
        DeviceTag(hex(&hmac_sha256(&self.0, id.as_bytes())[..TAG_BYTES]))
    }
}

impl fmt::Debug for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DayKey(…)")
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// `None` when it is not exactly `N` bytes in hexadecimal digits.
#[must_use]
pub fn bytes_from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    /// RFC 4231, section 4: cases 1, 2, 3, 4, 6 and 7 (5 is about truncation).
    #[test]
    fn the_test_vectors_of_rfc_4231_hold() {
        let counted: Vec<u8> = (1..=25).collect();
        let long = "This is a test using a larger than block-size key and a larger than block-size data. The key needs \
                    to be hashed before being used by the HMAC algorithm.";
        let cases: [(&[u8], &[u8], &str); 6] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&counted, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (&[0xaa; 131], long.as_bytes(), "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        ];
        for (key, message, wanted) in cases {
            assert_eq!(hex(&hmac_sha256(key, message)), wanted);
        }
    }

    #[test]
    fn a_tag_is_the_hmac_of_the_id_under_the_key_of_the_day() {
        let secret = DeviceSecret::from_bytes([9; 32]);
        let id = EventId::from_bytes([7; 16]);
        let key = hmac_sha256(&[9; 32], b"umsicht device tag 1|2026-03-07");
        let wanted = hex(&hmac_sha256(&key, &[7; 16])[..16]);
        assert_eq!(secret.tag(id, datetime!(2026-03-07 09:00 UTC)).0, wanted);
        // The day is the UTC day, however the time is written.
        assert_eq!(secret.tag(id, datetime!(2026-03-08 00:30 +01:00)).0, wanted);
        assert_ne!(secret.tag(id, datetime!(2026-03-08 00:30 UTC)).0, wanted);
    }

    #[test]
    fn nothing_shows_the_secret_but_its_file() {
        let secret = DeviceSecret::from_bytes([0xab; 32]);
        assert!(!format!("{secret:?}{:?}", secret.day_key(time::macros::date!(2026 - 03 - 07))).contains("ab"));
        let text = secret.to_file_text("bus7");
        assert_eq!(DeviceSecret::from_file_text(&text), Ok(secret));
        for wrong in ["", "# only a comment", "abcd", &format!("{text}{text}"), &text.replace("ab", "zz")] {
            assert_eq!(DeviceSecret::from_file_text(wrong), Err(BadDeviceSecret), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn tags_of_other_events_days_and_devices_are_others(
            a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), id in any::<[u8; 16]>(), other in any::<[u8; 16]>(),
        ) {
            prop_assume!(a != b && id != other);
            let (id, other) = (EventId::from_bytes(id), EventId::from_bytes(other));
            let (day, next) = (datetime!(2026-03-07 09:00 UTC), datetime!(2026-03-08 09:00 UTC));
            let tag = DeviceSecret::from_bytes(a).tag(id, day);
            prop_assert_ne!(&tag, &DeviceSecret::from_bytes(a).tag(other, day));
            prop_assert_ne!(&tag, &DeviceSecret::from_bytes(a).tag(id, next));
            prop_assert_ne!(&tag, &DeviceSecret::from_bytes(b).tag(id, day));
            prop_assert_eq!(tag.0.len(), 32);
        }

        #[test]
        fn hexadecimal_digits_round_trip(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(bytes_from_hex(&hex(&bytes)), Some(bytes));
        }
    }
}
