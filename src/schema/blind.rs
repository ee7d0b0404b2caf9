//! Why a camera sees nothing: the words for it that device and town share.

use serde::{Deserialize, Serialize};

/// What makes a camera blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlindReason {
    NoFrames,
    Frozen,
    Dark,
    Glare,
    Covered,
    Defocused,
    Moved,
}

impl BlindReason {
    pub const ALL: [Self; 7] =
        [Self::NoFrames, Self::Frozen, Self::Dark, Self::Glare, Self::Covered, Self::Defocused, Self::Moved];

    /// As events name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFrames => "no-frames",
            Self::Frozen => "frozen",
            Self::Dark => "dark",
            Self::Glare => "glare",
            Self::Covered => "covered",
            Self::Defocused => "defocused",
            Self::Moved => "moved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_name_reasons_as_people_are_told() {
        for reason in BlindReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
