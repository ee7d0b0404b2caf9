//! Why a bundle is not taken. Each reason says what to do; none of them changes the models in use.

use crate::edge::golden::GoldenError;
use crate::edge::infer::InferError;
use crate::edge::infer::model::ModelError;
use crate::edge::update::store::UpdateError;

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("without its public key the device takes no models: {0}")]
    NoKey(String),
    #[error("the file cannot be read: {0}; let the service read it, or transfer it again")]
    Unreadable(std::io::Error),
    #[error("this is no bundle of models; make one with `umsicht models sign`")]
    NotABundle,
    #[error(
        "the bundle has the format {found}, this program reads {known}; update the program first, or sign with its version"
    )]
    Format { found: u8, known: u8 },
    #[error("the bundle has more than {most} bytes; leave models out that no device needs")]
    TooLarge { most: usize },
    #[error("the bundle ends too early; transfer it again")]
    Truncated,
    #[error(
        "the signature does not fit the device's public key: the bundle was changed or damaged on its way, or signed with \
         another key; transfer it again, or sign it with the private key that belongs to update.public_key_file"
    )]
    Signature,
    #[error("the bundle's archive cannot be read: {0}; sign the models again")]
    Archive(std::io::Error),
    #[error("the bundle holds {0:?}, which is no plain file; sign the models again with `umsicht models sign`")]
    NotAFile(String),
    #[error(
        "the bundle holds {0:?}; names may have no folder, no leading dot, and letters, digits, `.`, `-`, `_` only"
    )]
    Name(String),
    #[error("the bundle holds {0:?} twice; sign the models again with `umsicht models sign`")]
    Twice(String),
    #[error("the bundle holds more than {most} files; leave models out that no device needs")]
    TooManyFiles { most: usize },
    #[error("the bundle has no readable bundle.toml: {0}; sign the models again with `umsicht models sign`")]
    About(String),
    #[error("the bundle lacks {0:?}, which its manifest names; sign the models again")]
    Missing(String),
    #[error("the bundle holds {0:?}, which its manifest does not name; sign the models again")]
    Stranger(String),
    #[error(
        "version {offered} is not newer than {highest}, the highest that was ever activated here; sign the models with a \
         higher --bundle-version, also to bring back an older model"
    )]
    NotNewer { offered: u64, highest: u64 },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "the model {model:?} does not run on this device: {source}; sign models that `umsicht models verify` passes here"
    )]
    DoesNotRun { model: String, source: InferError },
    #[error(
        "the model {0:?} has no golden picture, so the device cannot know that it works; name one in the manifest and run \
         `umsicht models verify --renew-golden`"
    )]
    NoGolden(String),
    #[error("the golden picture of {model:?} cannot be compared: {source}; renew it and sign the models again")]
    Golden { model: String, source: GoldenError },
    #[error(
        "the model {model:?} does not find on this device what it found when it was signed: {difference}; run \
         `umsicht models verify` with the program and the library of the device"
    )]
    FindsOtherThings { model: String, difference: String },
    #[error(
        "the model {model:?} has the class {class:?}, which is no road damage; take a road model (D00, D10, D20, D40, Repair)"
    )]
    ForeignClass { model: String, class: String },
    #[error("the models in use include a privacy model and the bundle has none; sign a folder that has both")]
    NoPrivacyModel,
    #[error(
        "the self-test of version {version} has taken the program down or come to no end {times} times, so it is not tried \
         again; find out with `umsicht models verify` on such a device, and sign the models with a higher --bundle-version"
    )]
    WentDown { version: u64, times: u32 },
    #[error(
        "the self-test came to no end within {limit_seconds} s; run `umsicht models verify` with the program and the library \
         of the device"
    )]
    NoEnd { limit_seconds: u64 },
    #[error("the self-test broke off, a fault of the program or of its library; the log has more, please report it")]
    BrokeOff,
    /// The same file, looked at in this run of the program already.
    #[error("{0}")]
    AsBefore(String),
    #[error(transparent)]
    Device(#[from] UpdateError),
}

impl Refusal {
    /// Anybody can cause it, without the key: it must cost the device nothing that wears out.
    #[must_use]
    pub fn is_a_strangers(&self) -> bool {
        matches!(
            self,
            Self::NoKey(_)
                | Self::Unreadable(_)
                | Self::NotABundle
                | Self::Format { .. }
                | Self::TooLarge { .. }
                | Self::Truncated
                | Self::Signature
        )
    }

    /// The look at the models came to no end by itself, as when they take the program down.
    #[must_use]
    pub fn without_end(&self) -> bool {
        matches!(self, Self::NoEnd { .. } | Self::BrokeOff)
    }
}
