//! Why a camera counts as blind: the words that device and town share.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlindReason {
    /// The camera gives no pictures.
    NoFrames,
    /// The camera gives the same picture again and again.
    Frozen,
    /// Too dark for anything to be judged.
    Dark,
    /// Light drowns the picture.
    Glare,
    /// Something lies or stands before the lens.
    Covered,
    /// Out of focus, dirty or steamed up.
    Defocused,
    /// The camera looks elsewhere than when its reference was learned.
    Moved,
}

impl BlindReason {
    /// The gravest first: with the first five nothing is seen, with the others something.
    pub const ALL: [Self; 7] =
        [Self::NoFrames, Self::Frozen, Self::Dark, Self::Glare, Self::Covered, Self::Defocused, Self::Moved];

    /// As events, metrics and the configuration write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFrames => "no_frames",
            Self::Frozen => "frozen",
            Self::Dark => "dark",
            Self::Glare => "glare",
            Self::Covered => "covered",
            Self::Defocused => "defocused",
            Self::Moved => "moved",
        }
    }
}

impl fmt::Display for BlindReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_writes_the_name() {
        for reason in BlindReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
            assert_eq!(serde_json::from_value::<BlindReason>(reason.name().into()).unwrap(), reason);
        }
    }
}
