//! A redacted picture that follows an event under the same id.

use super::EventId;

/// JPEG bytes of a picture that `edge::anonymise` has made; central stores and serves it unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub event_id: EventId,
    pub jpeg: Vec<u8>,
}

/// Larger pictures are refused on both sides; a damage's outline plus one metre never needs more.
pub const MAX_EVIDENCE_BYTES: usize = 256 * 1024;

/// Why a picture was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedEvidence {
    #[error("the picture is {0} bytes; at most {MAX_EVIDENCE_BYTES} are taken")]
    TooLarge(usize),
    #[error("the payload does not start as a JPEG does")]
    NotAJpeg,
}

impl Evidence {
    pub fn from_payload(event_id: EventId, jpeg: Vec<u8>) -> Result<Self, RejectedEvidence> {
        if jpeg.len() > MAX_EVIDENCE_BYTES {
            return Err(RejectedEvidence::TooLarge(jpeg.len()));
        }
        if !jpeg.starts_with(&[0xff, 0xd8, 0xff]) {
            return Err(RejectedEvidence::NotAJpeg);
        }
        Ok(Self { event_id, jpeg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_jpegs_pass() {
        let id = EventId::from_bytes([1; 16]);
        assert!(Evidence::from_payload(id, vec![0xff, 0xd8, 0xff, 0xe0]).is_ok());
        assert_eq!(Evidence::from_payload(id, vec![0x89, b'P']), Err(RejectedEvidence::NotAJpeg));
        let large = vec![0xff; MAX_EVIDENCE_BYTES + 1];
        assert_eq!(Evidence::from_payload(id, large), Err(RejectedEvidence::TooLarge(MAX_EVIDENCE_BYTES + 1)));
    }
}
