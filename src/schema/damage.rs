//! Classes of road damage, named as in the RDD2022 data set (Arya et al., Geoscience Data Journal 11(4), 2024).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DamageClass {
    /// Longitudinal crack.
    #[serde(rename = "D00")]
    LongitudinalCrack,
    /// Transverse crack.
    #[serde(rename = "D10")]
    TransverseCrack,
    /// Alligator crack: a field of connected cracks.
    #[serde(rename = "D20")]
    AlligatorCrack,
    /// Pothole.
    #[serde(rename = "D40")]
    Pothole,
    /// A repair or patch: not damage by itself, but part of the surface's condition.
    Repair,
}

impl DamageClass {
    pub const ALL: [Self; 5] =
        [Self::LongitudinalCrack, Self::TransverseCrack, Self::AlligatorCrack, Self::Pothole, Self::Repair];

    /// The code used in models, events and interfaces.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::LongitudinalCrack => "D00",
            Self::TransverseCrack => "D10",
            Self::AlligatorCrack => "D20",
            Self::Pothole => "D40",
            Self::Repair => "Repair",
        }
    }

    /// Crack types are easily confused with one another; they count as one group when sightings are compared.
    #[must_use]
    pub fn is_crack(self) -> bool {
        matches!(self, Self::LongitudinalCrack | Self::TransverseCrack | Self::AlligatorCrack)
    }

    /// Whether two sightings of these classes may be the same thing on the street.
    #[must_use]
    pub fn same_group(self, other: Self) -> bool {
        self == other || (self.is_crack() && other.is_crack())
    }
}

impl fmt::Display for DamageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown damage class {0:?}; known are D00, D10, D20, D40 and Repair")]
pub struct UnknownDamageClass(pub String);

impl FromStr for DamageClass {
    type Err = UnknownDamageClass;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.code() == code).ok_or_else(|| UnknownDamageClass(code.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_match_serde() {
        for class in DamageClass::ALL {
            assert_eq!(class.code().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("{:?}", class.code()));
        }
        assert!("D99".parse::<DamageClass>().is_err());
    }
}
